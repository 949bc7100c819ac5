//! A wait under way: for a context's end, or for a time to come before it.
//!
//! Called by the facade.

use super::core::Core;
use super::entry::Kind;
use super::handle::Handle;
use super::node::{Node, Timed, Waiter};
use super::time::Time;
use super::timers::{self, Due};
use super::turn::fire;
use super::{merge, tree, waits};
use crate::error::Error;
use crate::sync::{AtomicWaker, contain, futex};
use std::task::Waker;
use std::time::Duration;
use std::{ptr, thread};

/// A waiter record of a node, which it keeps.
#[derive(Debug)]
pub(crate) struct Waiting {
    waiter: usize,
    slot: WakerSlot,
}

/// What is known of a waiter's waker slot by the one who fills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WakerSlot {
    Empty,
    Filled,
    /// The clone of a waker panicked inside: it takes none any more.
    Broken,
}

impl WakerSlot {
    /// See [`Waiting::register`]. `is_done`: whether the waker need not be left any more.
    fn leave(&mut self, slot: &AtomicWaker, waker: &Waker, is_done: impl Fn() -> bool) -> bool {
        if *self == Self::Broken {
            return false;
        }
        if *self == Self::Filled {
            // First out with the old one: a panic of its drop inside the slot would break that.
            let old = slot.take();
            contain(|| drop(old));
        }
        *self = Self::Filled;
        // A cancel that is just taking the waker leaves it to this call to wake it: that panic is contained too.
        let left = contain(|| slot.register(waker)) || is_done();
        if !left {
            *self = Self::Broken;
        }
        left
    }
}

impl Waiting {
    /// `None`: the node is done, or never will be. Lock-free.
    pub(crate) fn on(handle: &Handle) -> Option<Self> {
        let node = handle.node()?;
        // SAFETY: `handle` is a handle of it.
        let waiter = unsafe { waits::install(node) }?;
        Some(Self {
            waiter: waiter.expose_provenance(),
            slot: WakerSlot::Empty,
        })
    }

    pub(crate) fn waiter(&self) -> *mut Waiter {
        ptr::with_exposed_provenance_mut(self.waiter)
    }

    /// How the node ended. Wait-free.
    pub(crate) fn err(&self) -> Option<Error> {
        // SAFETY: HELD is ours, and the registration keeps the node.
        unsafe { waits::node_of(self.waiter()).and_then(|node| tree::err(node)) }
    }

    /// Leaves a waker, in place of one left before. Look after, not before. `false`: it could not be cloned, and the
    /// slot is of no more use.
    pub(crate) fn register(&mut self, waker: &Waker) -> bool {
        // SAFETY: HELD is ours.
        let slot = &unsafe { Waiter::at(self.waiter()) }.waker;
        let mut state = self.slot;
        let left = state.leave(slot, waker, || self.err().is_some());
        self.slot = state;
        left
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // SAFETY: HELD is ours, and given up here.
        unsafe { waits::remove(self.waiter(), self.slot == WakerSlot::Filled) };
    }
}

/// A node that is done when a time has come, and that nobody else has a handle of.
#[derive(Debug)]
pub(crate) struct Sleeping {
    node: Handle,
    slot: WakerSlot,
}

impl Sleeping {
    /// From now on, by the clock of the context's engine. Lock-free, but for the start of the timer thread.
    pub(crate) fn under(handle: &Handle, duration: Duration) -> Self {
        // SAFETY: `handle` is a handle of what it is under.
        let node = unsafe { timers::sleep(handle.under(), Due::After(duration)) };
        Self {
            // SAFETY: the node's one handle is ours.
            node: unsafe { Handle::from_node(node) },
            slot: WakerSlot::Empty,
        }
    }

    /// `Some(Ok(()))`: the time has come. An error: what it is under has ended, or the engine was stopped. Wait-free.
    pub(crate) fn result(&self) -> Option<Result<(), Error>> {
        self.node.err().map(|error| match error {
            Error::DeadlineExceeded => Ok(()),
            Error::Canceled => Err(error),
        })
    }

    fn waker(&self) -> Option<&AtomicWaker> {
        let node = self.node.node()?;
        // SAFETY: `self` has a handle of the node, whose kind is a timed one.
        Some(&unsafe { Timed::at(node.cast()) }.waker)
    }

    /// As [`Waiting::register`].
    pub(crate) fn register(&mut self, waker: &Waker) -> bool {
        let mut state = self.slot;
        let left = self
            .waker()
            .is_some_and(|slot| state.leave(slot, waker, || self.node.is_done()));
        self.slot = state;
        left
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        if self.slot == WakerSlot::Filled
            && let Some(slot) = self.waker()
        {
            let waker = slot.take();
            contain(|| drop(waker));
        }
    }
}

impl Handle {
    /// Blocks until it is done; for ever if that can never be.
    pub(crate) fn wait(&self) -> Error {
        loop {
            if let Some(error) = self.block(Time::NEVER) {
                return error;
            }
        }
    }

    /// Blocks until it is done, or that long, by its engine's clock.
    pub(crate) fn wait_for(&self, duration: Duration) -> Option<Error> {
        if self.core().is_manual() {
            if self.err().is_none() {
                let sleeping = Sleeping::under(self, duration);
                sleeping.node.wait();
                if let Some(Err(_)) = sleeping.result() {
                    // It has ended; or its engine was stopped, and that time does not come.
                    return Some(self.wait());
                }
            }
            self.err()
        } else {
            self.block(Time::now().after(duration))
        }
    }

    /// Blocks that long, or until it is done.
    ///
    /// # Errors
    ///
    /// How it ended; or that time cannot come any more.
    pub(crate) fn sleep_for(&self, duration: Duration) -> Result<(), Error> {
        if !self.core().is_manual() {
            return self.wait_for(duration).map_or(Ok(()), Err);
        }
        if let Some(error) = self.err() {
            return Err(error);
        }
        let sleeping = Sleeping::under(self, duration);
        sleeping.node.wait();
        let result = sleeping.result().unwrap_or(Ok(()));
        self.err().map_or(result, Err)
    }

    /// Blocks until it is done or that time has come by the machine's clock: on a word of the kernel's.
    fn block(&self, until: Time) -> Option<Error> {
        let Some(node) = self.endable() else {
            loop {
                let left = left(until)?;
                thread::park_timeout(left.unwrap_or(Duration::MAX));
            }
        };
        loop {
            // SAFETY: `self` is a handle of it.
            let seen = unsafe { waits::announce_sleeper(node) };
            if let Some(error) = seen.err() {
                return Some(error);
            }
            let timeout = match left(until) {
                Some(left) => left,
                None => {
                    // The context's own end comes first where both are due.
                    // SAFETY: as above.
                    let due = unsafe { due_by(node, until) }?;
                    // Its timer is about to fire it, or cannot: it may be held up by a waker, or be this thread.
                    // SAFETY: the handle keeps the node, which keeps what it was derived from.
                    unsafe { fire(due) };
                    continue;
                }
            };
            // SAFETY: as above.
            let word = unsafe { Node::at(node) }.state().word();
            futex::wait(word, seen.low_half(), timeout);
        }
    }
}

/// How long it is until then, `Some(None)` for ever; `None`: the time has come.
fn left(until: Time) -> Option<Option<Duration>> {
    if until == Time::NEVER {
        return Some(None);
    }
    let left = until.since(Time::now());
    (!left.is_zero()).then_some(Some(left))
}

/// The one whose deadline the node has, if that is due by then and a thread sees to it.
///
/// # Safety
///
/// The caller has a handle.
unsafe fn due_by(node: *mut Node, until: Time) -> Option<*mut Node> {
    // SAFETY: the caller's promise.
    let deadline = unsafe { Node::at(node) }.deadline();
    if deadline > until {
        return None;
    }
    let mut next = Some(node);
    while let Some(node) = next {
        // SAFETY: the caller's handle keeps the first, each one's registration the next.
        let this = unsafe { Node::at(node) };
        // Whose deadline it is: of a merged node, that of any of its parents.
        // SAFETY: as above.
        next = unsafe { merge::parents(node) }
            // SAFETY: as above.
            .find(|parent| unsafe { Node::at(*parent) }.deadline() == deadline);
        if next.is_none() && this.entry().kind() == Kind::Deadline {
            // SAFETY: the root of its tree keeps the core.
            let core: &Core = unsafe { &*this.core() };
            return core.is_served().then_some(node);
        }
    }
    None
}
