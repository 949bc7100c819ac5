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
use super::waker::Left;
use super::{merge, tree, waits};
use crate::error::Error;
use crate::sync::{contain, futex};
use std::collections::HashSet;
use std::task::Waker;
use std::time::Duration;
use std::{ptr, thread};

/// A waiter record of a node, which it keeps.
#[derive(Debug)]
pub(crate) struct Waiting {
    waiter: usize,
    left: Left,
}

impl Waiting {
    /// `None`: the node is done, or never will be. Lock-free.
    pub(crate) fn on(handle: &Handle) -> Option<Self> {
        let node = handle.node()?;
        // SAFETY: `handle` is a handle of it (R8).
        let waiter = unsafe { waits::install(node) }?;
        Some(Self {
            waiter: waiter.expose_provenance(),
            left: Left::Nothing,
        })
    }

    pub(crate) fn waiter(&self) -> *mut Waiter {
        ptr::with_exposed_provenance_mut(self.waiter)
    }

    /// How the node ended. Wait-free.
    pub(crate) fn err(&self) -> Option<Error> {
        // SAFETY: HELD is ours, and the registration keeps the node (R10).
        unsafe { waits::node_of(self.waiter()).and_then(|node| tree::err(node)) }
    }

    /// Leaves a waker, in place of one left before, unless that is the same. Look after, not before.
    ///
    /// # Panics
    ///
    /// If cloning it does; nothing has changed then.
    #[inline]
    pub(crate) fn register(&mut self, waker: &Waker) {
        // SAFETY: HELD is ours (R10).
        let this = unsafe { Waiter::at(self.waiter()) };
        // SAFETY: `self` is who polls it.
        unsafe { self.left.leave(this.entry().state(), &this.waker, waker) };
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // SAFETY: HELD is ours, and given up here (R10).
        unsafe { waits::remove(self.waiter(), self.left) };
    }
}

/// A node that is done when a time has come, and that nobody else has a handle of.
#[derive(Debug)]
pub(crate) struct Sleeping {
    node: Handle,
    left: Left,
}

impl Sleeping {
    /// From now on, by the clock of the context's engine. Lock-free, but for the start of the timer thread.
    pub(crate) fn under(handle: &Handle, duration: Duration) -> Self {
        // SAFETY: `handle` is a handle of what it is under (R8).
        let node = unsafe { timers::sleep(handle.under(), Due::After(duration), Kind::Sleep) };
        Self {
            // SAFETY: the node's one handle is ours (R8).
            node: unsafe { Handle::from_node(node) },
            left: Left::Nothing,
        }
    }

    /// `Some(Ok(()))`: the time has come. An error: what it is under has ended, or the engine was stopped. Wait-free.
    pub(crate) fn result(&self) -> Option<Result<(), Error>> {
        self.node.err().map(|error| match error {
            Error::DeadlineExceeded => Ok(()),
            Error::Canceled => Err(error),
        })
    }

    fn timed(&self) -> Option<&Timed> {
        let node = self.node.node()?;
        // SAFETY: `self` has a handle of the node, whose kind is a timed one (R8).
        Some(unsafe { Timed::at(node.cast()) })
    }

    /// As [`Waiting::register`].
    pub(crate) fn register(&mut self, waker: &Waker) {
        let mut left = self.left;
        if let Some(this) = self.timed() {
            // SAFETY: `self` is who polls it.
            unsafe { left.leave(this.node().state(), &this.waker, waker) };
        }
        self.left = left;
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        let mut left = self.left;
        if let Some(this) = self.timed() {
            // SAFETY: `self` is who polls it.
            let waker = unsafe { left.take_back(this.node().state(), &this.waker) };
            contain(|| drop(waker));
        }
        self.left = left;
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
        if !self.core().is_manual() {
            return self.block(Time::now().after(duration));
        }
        if self.err().is_none() {
            // SAFETY: `self` is a handle of what it is under (R8); the node's one handle is ours.
            let passed = unsafe {
                let node = timers::sleep(self.under(), Due::After(duration), Kind::Wait);
                Self::from_node(node)
            };
            passed.wait();
        }
        self.err_due()
    }

    /// How it ended; with a deadline that is due and that its thread has not come to, by that, which this call then fires:
    /// the thread may be held up by a waker, or be this one.
    pub(crate) fn err_due(&self) -> Option<Error> {
        while self.err().is_none() {
            // SAFETY: `self` is a handle of it, which keeps all it was derived from (R8).
            unsafe { fire(due(self.endable()?)?) };
        }
        self.err()
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
            // SAFETY: `self` is a handle of it (R8).
            let seen = unsafe { waits::announce_sleeper(node) };
            if let Some(error) = seen.err() {
                return Some(error);
            }
            let Some(timeout) = left(until) else {
                // The context's own end comes first where both are due.
                return self.err_due();
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

/// Of the deadlines above a node that are due, and that a thread is to fire: the earliest.
///
/// # Safety
///
/// The caller has a handle.
unsafe fn due(node: *mut Node) -> Option<*mut Node> {
    let now = Time::now();
    let mut earliest: Option<(Time, *mut Node)> = None;
    // Where nothing is merged there is one way up, and nothing is kept.
    let mut ahead = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(node);
    while let Some(node) = next.take().or_else(|| ahead.pop()) {
        // SAFETY: the caller's handle keeps the first, each one's registration the next (R8).
        let this = unsafe { Node::at(node) };
        let deadline = this.deadline();
        // No deadline above it is earlier.
        let is_earliest = earliest.is_none_or(|(earliest, _)| deadline < earliest);
        if deadline > now || !is_earliest || !(seen.is_empty() || seen.insert(node)) {
            continue;
        }
        // SAFETY: the root of its tree keeps the core (R8).
        let core: &Core = unsafe { &*this.core() };
        if this.entry().kind() == Kind::Deadline && core.is_served() {
            earliest = Some((deadline, node));
        }
        // SAFETY: as above.
        let mut parents = unsafe { merge::parents(node) };
        next = parents.next();
        ahead.extend(parents);
        if !ahead.is_empty() {
            // From here on by several ways, perhaps.
            seen.insert(node);
        }
    }
    earliest.map(|(_, node)| node)
}
