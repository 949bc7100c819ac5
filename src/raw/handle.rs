//! The engine's safe face: a counted handle of a node, a waiter of one, and what they can be asked.
//!
//! All that the facade does it does through these two; that they own what they stand for is what makes their methods
//! safe.

use super::callbacks;
use super::core::Core;
use super::drive::{Report, Wake};
use super::engine::{self, Timers};
use super::entry::{Kind, Parent};
use super::merge::Merging;
use super::node::{Callback, Function, Node};
use super::state::{End, Snapshot};
use super::time::Time;
use super::timers::{self, Due, Under};
use super::tree::{self, Plan};
use super::view::{NodeView, View};
use super::waits;
use super::walk::{self, Ended};
use crate::cause::Cause;
use crate::error::Error;
use crate::local;
use crate::sync::{Channel, contain};
use std::marker::PhantomData;
use std::ptr;

const BACKGROUND: usize = 0;
const TODO: usize = 1;

/// One counted handle of a node; or a background, which is no node at all.
#[derive(Debug)]
pub(crate) struct Handle(usize);

impl Handle {
    pub(crate) const BACKGROUND: Self = Self(BACKGROUND);
    pub(crate) const TODO: Self = Self(TODO);

    /// # Safety
    ///
    /// A handle of the node is the caller's, and passes to the answer.
    pub(super) unsafe fn from_node(node: *mut Node) -> Self {
        Self(node.expose_provenance())
    }

    /// The node it is a handle of.
    #[inline(always)]
    pub(crate) fn node(&self) -> Option<*mut Node> {
        (self.0 > TODO).then(|| ptr::with_exposed_provenance_mut(self.0))
    }

    /// Of its node; 0 of a background.
    pub(crate) fn place(&self) -> u32 {
        // SAFETY: `self` is a handle of it (R8).
        self.node()
            .map_or(0, |node| unsafe { Node::at(node) }.entry().place())
    }

    /// A child with two handles, of a context whose values have that place. Lock-free.
    ///
    /// A call, in which all is inlined: so its callers are small enough to be inlined in turn, and a context is not moved
    /// by a load of both its words just after each was stored, which waits for both stores.
    #[inline(never)]
    pub(crate) fn derive(&self, values_place: u32) -> (Self, Self) {
        let plan = Plan::new(Kind::Cancel, 2).after(values_place);
        let node = match self.node() {
            // SAFETY: `self` is a handle of it (R8).
            Some(parent) => unsafe { tree::derive_with(parent, plan, |_| ()) },
            // SAFETY: as above.
            None => unsafe { self.under().derive(plan) },
        };
        // SAFETY: the node was made with two handles.
        unsafe { (Self::from_node(node), Self::from_node(node)) }
    }

    /// A child with a deadline of its own, with two handles. Lock-free, but for the start of the timer thread.
    ///
    /// A call, as [`derive`](Self::derive).
    #[inline(never)]
    pub(crate) fn derive_timed(&self, due: Due, values_place: u32) -> (Self, Self) {
        let (ctx, guard, _) = match self.node() {
            Some(node) => self.timed(Under::Node(node), due, None, values_place),
            None => self.timed_background(due, values_place),
        };
        (ctx, guard)
    }

    #[cold]
    fn timed_background(&self, due: Due, values_place: u32) -> (Self, Self, Option<Cause>) {
        self.timed(self.under(), due, None, values_place)
    }

    /// As [`derive_timed`](Self::derive_timed); the cause given is used when that deadline fires. Gives the cause back if
    /// it never will.
    pub(crate) fn derive_timed_cause(
        &self,
        due: Due,
        cause: Cause,
        values_place: u32,
    ) -> (Self, Self, Option<Cause>) {
        self.timed(self.under(), due, Some(cause), values_place)
    }

    /// `under`: what `self` is.
    #[inline(always)]
    fn timed(
        &self,
        under: Under,
        due: Due,
        cause: Option<Cause>,
        values_place: u32,
    ) -> (Self, Self, Option<Cause>) {
        let plan = Plan::new(Kind::Cancel, 2).after(values_place);
        // SAFETY: `self` is a handle of what it is under (R8).
        let (node, unused) = unsafe { timers::derive(under, due, plan, cause) };
        // SAFETY: the node was made with two handles.
        unsafe { (Self::from_node(node), Self::from_node(node), unused) }
    }

    #[inline(always)]
    pub(crate) fn under(&self) -> Under {
        match self.node() {
            Some(node) => Under::Node(node),
            None if self.0 == TODO => Under::Background(Parent::TODO),
            None => Under::Background(Parent::BACKGROUND),
        }
    }

    /// The timers its deadlines are kept by.
    pub(crate) fn core(&self) -> &Core {
        // SAFETY: `self` is a handle of it, and the answer borrows `self` (R8).
        unsafe { self.under().core() }
    }

    /// A background of its engine.
    pub(crate) fn engine_root(&self) -> Self {
        let Some(node) = self.node() else {
            return Self::BACKGROUND;
        };
        if self.endable().is_none() {
            return self.clone();
        }
        // SAFETY: `self` is a handle of it (R8).
        match unsafe { engine::root_beside(node) } {
            // SAFETY: its one handle is ours (R8).
            Some(root) => unsafe { Self::from_node(root) },
            None => Self::BACKGROUND,
        }
    }

    /// The earliest deadline of it and what it was derived from. Wait-free.
    pub(crate) fn deadline(&self) -> Time {
        // SAFETY: `self` is a handle of it (R8).
        self.node()
            .map_or(Time::NEVER, |node| unsafe { Node::at(node) }.deadline())
    }

    /// What it was given may be done, if only by what is derived from it.
    pub(super) fn endable(&self) -> Option<*mut Node> {
        // SAFETY: `self` is a handle of it (R8).
        self.node()
            .filter(|node| unsafe { tree::is_endable(*node) })
    }

    /// An engine with a thread of its own: the handle of its root.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub(crate) fn threaded(name: &str, report: Report) -> std::io::Result<Self> {
        let root = engine::threaded(name, report)?;
        // SAFETY: the root's one handle is ours (R8).
        Ok(unsafe { Self::from_node(root) })
    }

    /// An engine that a loop of the program's drives.
    pub(crate) fn driven(wake: Option<Wake>, report: Report) -> (Self, Timers) {
        let (root, timers) = engine::driven(wake, report);
        // SAFETY: the root's one handle is ours (R8).
        (unsafe { Self::from_node(root) }, timers)
    }

    /// An engine whose clock is moved by hand.
    pub(crate) fn manual(report: Report) -> (Self, Timers) {
        let (root, timers) = engine::manual(report);
        // SAFETY: the root's one handle is ours (R8).
        (unsafe { Self::from_node(root) }, timers)
    }

    /// Ends all deadlines of its engine, unless that serves the whole process.
    pub(crate) fn shut_down(&self) {
        if self.node().is_some() {
            engine::shut_down(self.core());
        }
    }

    /// A context done with the first of `parents` that is; `None`: none of them can ever be done.
    pub(crate) fn merge<'a>(parents: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut merging = Merging::new();
        for parent in parents {
            if let Some(node) = parent.node() {
                // SAFETY: `parent` is a handle of it (R8).
                unsafe { merging.add(node) };
            }
        }
        // SAFETY: one handle of it is now ours (R8).
        merging
            .finish()
            .map(|node| unsafe { Self::from_node(node) })
    }

    /// Wait-free: one load.
    #[inline(always)]
    pub(crate) fn is_done(&self) -> bool {
        self.state().is_some_and(Snapshot::is_done)
    }

    /// Wait-free: one load.
    #[inline(always)]
    pub(crate) fn err(&self) -> Option<Error> {
        self.state().and_then(Snapshot::err)
    }

    #[inline(always)]
    fn state(&self) -> Option<Snapshot> {
        // SAFETY: `self` is a handle of it (R8).
        self.node()
            .map(|node| unsafe { Node::at(node) }.state().load())
    }

    /// Wait-free; a step for each level up to the one that was cancelled.
    pub(crate) fn cause(&self) -> Option<Cause> {
        // SAFETY: `self` is a handle of it (R8).
        self.node().and_then(|node| unsafe { tree::cause(node) })
    }

    /// Lock-free; walks.
    pub(crate) fn child_count(&self) -> usize {
        // SAFETY: `self` is a handle of it (R8).
        self.node()
            .map_or(0, |node| unsafe { tree::child_count(node) })
    }

    /// Whether nobody has another handle of it, waits on it, or has something that was derived from it.
    pub(crate) fn is_sole(&self) -> bool {
        // SAFETY: `self` is a handle of it (R8).
        self.node()
            .is_some_and(|node| unsafe { tree::is_sole(node) })
    }

    /// Ends it and all below. Lock-free; what is ended is to be told.
    pub(crate) fn cancel(&self, cause: Option<Cause>) -> Ended<'_> {
        match self.node() {
            // SAFETY: `self` is a handle of it, and the answer borrows `self` (R8).
            Some(node) => unsafe { walk::cancel(node, cause) },
            None => Ended::nothing(cause),
        }
    }

    /// Ends it, if that takes one RMW: nobody waits on it. `Some(true)`: it had not ended before; `None`: nothing was done.
    #[inline(always)]
    pub(crate) fn end_untold(&self) -> Option<bool> {
        let Some(node) = self.node() else {
            return Some(false);
        };
        // SAFETY: `self` is a handle of it (R8).
        unsafe { Node::at(node) }.state().end_untold(End::CANCELED)
    }

    /// Ends it and gives the handle up, if that takes one RMW: nobody waits on it. `false`: nothing was done.
    #[inline]
    pub(crate) fn end_and_release(&mut self) -> bool {
        // SAFETY: the handle is ours, and if it was released, forgotten (R8).
        let released = self
            .node()
            .is_none_or(|node| unsafe { tree::end_and_release(node) });
        if released {
            self.0 = BACKGROUND;
        }
        released
    }

    /// Whether it can ever be done.
    #[inline]
    pub(crate) fn may_end(&self) -> bool {
        self.endable().is_some()
    }

    /// The node's channel, disconnected once it is done; `None`: it never will be. Allocates on first use.
    pub(crate) fn channel(&self) -> Option<&Channel> {
        // SAFETY: `self` is a handle of it, and the answer borrows `self` (R8).
        self.endable().map(|node| unsafe { waits::channel(node) })
    }

    /// Registers a callback; `Err(true)`: handed over at once, for it is done; `Err(false)`: dropped, for it never will be.
    pub(crate) fn register(&self, function: Function) -> Result<Registered, bool> {
        let Some(node) = self.endable() else {
            contain(|| drop(function));
            return Err(false);
        };
        // SAFETY: `self` is a handle of it (R8).
        let callback = unsafe { callbacks::register(node, function) }.ok_or(true)?;
        Ok(Registered(callback.expose_provenance()))
    }

    /// Says where in the source its node was made: by the creator, before it hands the node out.
    #[cfg(feature = "origin")]
    #[inline(always)]
    pub(crate) fn set_site(&self, number: u16) {
        if let Some(node) = self.node() {
            // SAFETY: `self` is a handle of it (R8).
            unsafe { Node::at(node) }.entry().site().set(number);
        }
    }

    pub(crate) fn view(&self) -> View<'_> {
        match self.node() {
            // SAFETY: `self` is a handle of it (R8).
            Some(node) => View::Node(unsafe { NodeView::new(node) }),
            None if self.0 == TODO => View::Todo,
            None => View::Background,
        }
    }
}

/// A handle that is looked at out of line, by value: one whose address is taken is one in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent<'a> {
    handle: usize,
    lender: PhantomData<&'a Handle>,
}

impl Handle {
    #[inline(always)]
    pub(crate) fn lend(&self) -> Lent<'_> {
        Lent {
            handle: self.0,
            lender: PhantomData,
        }
    }
}

impl Lent<'_> {
    /// Where the timers are that its deadlines are kept by.
    pub(crate) fn engine(self) -> *const Core {
        if self.handle <= TODO {
            return local::global();
        }
        let node = ptr::with_exposed_provenance_mut(self.handle);
        // SAFETY: who lent it has a handle of the node, and keeps it meanwhile (R8).
        unsafe { Node::at(node) }.core()
    }
}

impl Clone for Handle {
    /// Wait-free: one RMW.
    #[inline]
    fn clone(&self) -> Self {
        if let Some(node) = self.node() {
            // SAFETY: `self` is a handle of it (R8).
            unsafe { Node::at(node) }.state().acquire();
        }
        Self(self.0)
    }
}

impl Drop for Handle {
    #[inline]
    fn drop(&mut self) {
        if let Some(node) = self.node() {
            // SAFETY: the handle is ours (R8).
            unsafe { tree::release(node) };
        }
    }
}

impl Ended<'_> {
    fn nothing(lost: Option<Cause>) -> Self {
        Self {
            won: super::entry::Chain::new(),
            contexts: 0,
            lost,
            handle: PhantomData,
        }
    }
}

/// A callback's record, pinned.
#[derive(Debug)]
pub(crate) struct Registered(usize);

impl Registered {
    fn callback(&self) -> *mut Callback {
        ptr::with_exposed_provenance_mut(self.0)
    }

    /// `true`: this call kept it from running. Lock-free; drops the function then.
    pub(crate) fn stop(&self) -> bool {
        // SAFETY: pinned (R10).
        unsafe { callbacks::stop(self.callback()) }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: the pin is ours, and given up here (R10).
        unsafe { callbacks::unpin(self.callback()) };
    }
}
