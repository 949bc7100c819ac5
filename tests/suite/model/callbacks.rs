//! What `after_func` registers. It runs on other threads: what must run is waited for at the end of a history, what must not is
//! looked for after every step.

use super::ledger::Ledger;
use super::ops::Op;
use super::play::{World, pick};
use super::reference::{At, Id};
use ripcord::{AfterFunc, CancelHandle, Error};
use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// How long what is certain to come may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Callbacks {
    held: Vec<Held>,
    /// Registered and not stopped, by number; those whose handle was dropped too.
    live: Vec<(usize, At)>,
    /// Who ends those contexts whose callbacks nobody can stop any more.
    closers: Vec<(CancelHandle, Id)>,
    due: BTreeSet<usize>,
    ran: BTreeSet<usize>,
    functions: Ledger,
    send: Sender<usize>,
    received: Receiver<usize>,
}

struct Held {
    handle: AfterFunc,
    number: usize,
    on: At,
    state: State,
}

enum State {
    /// Its own node in the reference: a child that has a handle until it is stopped.
    Registered(At),
    /// On a context that can never be done, and whether it was stopped.
    Never(bool),
    Over,
}

impl Default for Callbacks {
    fn default() -> Self {
        let (send, received) = mpsc::channel();
        Self {
            held: Vec::new(),
            live: Vec::new(),
            closers: Vec::new(),
            due: BTreeSet::new(),
            ran: BTreeSet::new(),
            functions: Ledger::default(),
            send,
            received,
        }
    }
}

impl World {
    pub(super) fn play_callback(&mut self, op: Op) {
        match op {
            Op::AfterFunc { on } => {
                let on = self.context(on);
                let token = self.callbacks.functions.issue();
                let number = token.number();
                let send = self.callbacks.send.clone();
                let handle = on.ctx.after_func(move || {
                    drop(token);
                    let _ = send.send(number);
                });
                let state = if self.tree.is_done(on.at) {
                    self.callbacks.due.insert(number);
                    State::Over
                } else if on.at.node.is_none() {
                    assert_eq!(self.callbacks.functions.drops(number), 1, "never to be run");
                    State::Never(false)
                } else {
                    let id = self.tree.derive(on.at);
                    let at = self.node_of(on.at, id);
                    self.tree.acquire(at);
                    self.callbacks.live.push((number, at));
                    State::Registered(at)
                };
                self.callbacks.held.push(Held {
                    handle,
                    number,
                    on: on.at,
                    state,
                });
            }
            Op::Stop { which } => {
                if let Some(which) = pick(&self.callbacks.held, which) {
                    self.stop(which);
                }
            }
            Op::DropAfterFunc { which } => {
                if let Some(which) = pick(&self.callbacks.held, which) {
                    self.drop_callback(which);
                }
            }
            _ => unreachable!("{op:?} is none of a callback"),
        }
    }

    fn stop(&mut self, which: usize) {
        let held = &mut self.callbacks.held[which];
        let expected = match &mut held.state {
            State::Over => false,
            State::Never(stopped) => !std::mem::replace(stopped, true),
            State::Registered(at) => {
                let at = *at;
                let is_live = !self.tree.is_done(at);
                if is_live {
                    self.tree.release(at);
                    self.callbacks.live.retain(|(_, live)| *live != at);
                }
                held.state = State::Over;
                is_live
            }
        };
        assert_eq!(held.handle.stop(), expected, "stop");
        if expected {
            assert_eq!(self.callbacks.functions.drops(held.number), 1, "stopped");
        }
    }

    /// The registration is left. Where nobody could end its context any more it would be for good: then the handle stays.
    fn drop_callback(&mut self, which: usize) {
        let held = &self.callbacks.held[which];
        if let State::Registered(at) = held.state
            && !self.tree.is_done(at)
        {
            let of = |id: &Id| Some(*id) == held.on.node;
            let by_guard = self.guards.iter().find(|(_, id)| of(id));
            let by_guard = by_guard.map(|(guard, id)| (guard.handle(), *id));
            let by_handle = || self.handles.iter().find(|(_, id)| of(id)).cloned();
            let closer = by_guard.or_else(by_handle);
            let Some(closer) = closer else { return };
            self.tree.acquire(held.on);
            self.callbacks.closers.push(closer);
        }
        self.callbacks.held.swap_remove(which);
    }

    /// Those beyond `most` that are not registered go.
    pub(super) fn drop_stopped_callbacks(&mut self, most: usize) {
        if self.callbacks.held.len() > most {
            self.stop(0);
            self.drop_callback(0);
        }
    }

    pub(super) fn settle_callbacks(&mut self) {
        let Callbacks { live, due, .. } = &mut self.callbacks;
        live.retain(|(number, at)| {
            let is_done = self.tree.is_done(*at);
            if is_done {
                due.insert(*number);
            }
            !is_done
        });
    }

    /// Ends all that can only be ended from here, and stops the rest.
    pub(super) fn end_callbacks(&mut self) {
        for (closer, id) in std::mem::take(&mut self.callbacks.closers) {
            closer.cancel();
            drop(closer);
            self.canceled(id, super::reference::Why::Error(Error::Canceled));
            self.tree.release(self.node(id));
        }
        while !self.callbacks.held.is_empty() {
            self.stop(0);
            self.drop_callback(0);
        }
    }
}

impl Callbacks {
    /// # Panics
    ///
    /// Where one ran that must not, or a second time.
    pub(super) fn compare(&mut self) {
        while let Ok(number) = self.received.try_recv() {
            self.take(number);
        }
    }

    /// Whether there may be a thread of theirs at work.
    pub(super) fn may_be_at_work(&self) -> bool {
        !self.due.is_empty()
    }

    /// Waits for those that must run, and until all are dropped.
    pub(super) fn finish(&mut self) {
        assert!(self.live.is_empty(), "all were stopped or ended");
        while self.ran.len() < self.due.len() {
            match self.received.recv_timeout(PATIENCE) {
                Ok(number) => self.take(number),
                Err(_) => panic!("of {:?} only {:?} ran", self.due, self.ran),
            }
        }
        assert!(self.functions.is_settled(), "functions dropped");
        self.compare();
    }

    fn take(&mut self, number: usize) {
        assert!(self.due.contains(&number), "callback {number} ran");
        assert!(self.ran.insert(number), "callback {number} ran twice");
    }
}
