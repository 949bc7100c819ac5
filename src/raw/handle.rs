//! The engine's safe face: a counted handle of a node, a waiter of one, and what they can be asked.
//!
//! All that the facade does it does through these two; that they own what they stand for is what makes their methods
//! safe.

use super::entry::{Kind, Parent, ParentRef};
use super::merge::{self, Merging};
use super::node::{Node, Waiter};
use super::state::Snapshot;
use super::walk::{self, Ended};
use super::{tree, waits};
use crate::cause::Cause;
use crate::error::Error;
use crate::sync::{Channel, contain};
use std::marker::PhantomData;
use std::ptr;
use std::task::Waker;

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
    unsafe fn from_node(node: *mut Node) -> Self {
        Self(node.expose_provenance())
    }

    /// The node it is a handle of.
    #[inline(always)]
    pub(crate) fn node(&self) -> Option<*mut Node> {
        (self.0 > TODO).then(|| ptr::with_exposed_provenance_mut(self.0))
    }

    /// Of its node; 0 of a background.
    pub(crate) fn place(&self) -> u32 {
        // SAFETY: `self` is a handle of it.
        self.node()
            .map_or(0, |node| unsafe { Node::at(node) }.entry().place())
    }

    /// A child with two handles, of a context whose values have that place. Lock-free.
    #[inline]
    pub(crate) fn derive(&self, values_place: u32) -> (Self, Self) {
        let node = match self.node() {
            // SAFETY: `self` is a handle of it.
            Some(parent) => unsafe { tree::derive(parent, Kind::Cancel, 2, values_place) },
            None => tree::root(self.background(), 2, values_place.saturating_add(1)),
        };
        // SAFETY: the node was made with two handles.
        unsafe { (Self::from_node(node), Self::from_node(node)) }
    }

    fn background(&self) -> Parent {
        if self.0 == TODO {
            Parent::TODO
        } else {
            Parent::BACKGROUND
        }
    }

    /// A context done with the first of `parents` that is; `None`: none of them can ever be done.
    pub(crate) fn merge<'a>(parents: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut merging = Merging::new();
        for parent in parents {
            if let Some(node) = parent.node() {
                // SAFETY: `parent` is a handle of it.
                unsafe { merging.add(node) };
            }
        }
        // SAFETY: one handle of it is now ours.
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
        // SAFETY: `self` is a handle of it.
        self.node()
            .map(|node| unsafe { Node::at(node) }.state().load())
    }

    /// Wait-free; a step for each level up to the one that was cancelled.
    pub(crate) fn cause(&self) -> Option<Cause> {
        // SAFETY: `self` is a handle of it.
        self.node().and_then(|node| unsafe { tree::cause(node) })
    }

    /// Lock-free; walks.
    pub(crate) fn child_count(&self) -> usize {
        // SAFETY: `self` is a handle of it.
        self.node()
            .map_or(0, |node| unsafe { tree::child_count(node) })
    }

    /// Ends it and all below. Lock-free; what is ended is to be told.
    pub(crate) fn cancel(&self, cause: Option<Cause>) -> Ended<'_> {
        match self.node() {
            // SAFETY: `self` is a handle of it, and the answer borrows `self`.
            Some(node) => unsafe { walk::cancel(node, cause) },
            None => Ended::nothing(cause),
        }
    }

    /// Ends it and gives the handle up, if that takes one RMW: nobody waits on it. `false`: nothing was done.
    #[inline]
    pub(crate) fn end_and_release(&mut self) -> bool {
        // SAFETY: the handle is ours, and if it was released, forgotten.
        let released = self
            .node()
            .is_none_or(|node| unsafe { tree::end_and_release(node) });
        if released {
            self.0 = BACKGROUND;
        }
        released
    }

    /// The node's channel, disconnected once it is done; `None`: it never will be. Allocates on first use.
    pub(crate) fn channel(&self) -> Option<&Channel> {
        // SAFETY: `self` is a handle of it, and the answer borrows `self`.
        self.node().map(|node| unsafe { waits::channel(node) })
    }

    /// Blocks until it is done, on a word of the kernel's; for ever if that can never be.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait(&self) -> Error {
        let Some(node) = self.node() else {
            loop {
                std::thread::park();
            }
        };
        loop {
            // SAFETY: `self` is a handle of it.
            let seen = unsafe { waits::announce_sleeper(node) };
            if let Some(error) = seen.err() {
                return error;
            }
            // SAFETY: as above.
            let word = unsafe { Node::at(node) }.state().word();
            crate::sync::futex::wait(word, seen.low_half());
        }
    }

    pub(crate) fn view(&self) -> View<'_> {
        match self.node() {
            // SAFETY: `self` is a handle of it.
            Some(node) => View::Node(unsafe { NodeView::new(node) }),
            None if self.0 == TODO => View::Todo,
            None => View::Background,
        }
    }
}

impl Clone for Handle {
    /// Wait-free: one RMW.
    #[inline]
    fn clone(&self) -> Self {
        if let Some(node) = self.node() {
            // SAFETY: `self` is a handle of it.
            unsafe { Node::at(node) }.state().acquire();
        }
        Self(self.0)
    }
}

impl Drop for Handle {
    #[inline]
    fn drop(&mut self) {
        if let Some(node) = self.node() {
            // SAFETY: the handle is ours.
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
        if self.slot == WakerSlot::Broken {
            return false;
        }
        // SAFETY: HELD is ours.
        let slot = &unsafe { Waiter::at(self.waiter()) }.waker;
        if self.slot == WakerSlot::Filled {
            // First out with the old one: a panic of its drop inside the slot would break that.
            let old = slot.take();
            contain(|| drop(old));
        }
        self.slot = WakerSlot::Filled;
        // A cancel that is just taking the waker leaves it to this call to wake it: that panic is contained too.
        let left = contain(|| slot.register(waker)) || self.err().is_some();
        if !left {
            self.slot = WakerSlot::Broken;
        }
        left
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // SAFETY: HELD is ours, and given up here.
        unsafe { waits::remove(self.waiter(), self.slot == WakerSlot::Filled) };
    }
}

/// Where a context stands, for those who print it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Background,
    Todo,
    Node(NodeView<'a>),
}

/// A node, kept by what the view borrows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeView<'a> {
    node: *mut Node,
    kept: PhantomData<&'a Handle>,
}

impl<'a> NodeView<'a> {
    /// # Safety
    ///
    /// The caller keeps the node for `'a`.
    unsafe fn new(node: *mut Node) -> Self {
        Self {
            node,
            kept: PhantomData,
        }
    }

    fn get(&self) -> &'a Node {
        // SAFETY: kept, for `'a`.
        unsafe { Node::at(self.node) }
    }

    pub(crate) fn place(&self) -> u32 {
        self.get().entry().place()
    }

    pub(crate) fn is_merged(&self) -> bool {
        self.get().entry().kind() == Kind::Merged
    }

    /// What it was derived from; of a merged node, the first of them.
    pub(crate) fn parent(&self) -> View<'a> {
        let parent = self.get().entry().parent();
        match parent.get() {
            ParentRef::Background => View::Background,
            ParentRef::Todo => View::Todo,
            ParentRef::Node(_) | ParentRef::Stripe(_) => {
                // SAFETY: the node's registration keeps its parent, which has a node.
                match unsafe { parent.to_node() } {
                    // SAFETY: as above.
                    Some(node) => View::Node(unsafe { Self::new(node) }),
                    None => View::Background,
                }
            }
        }
    }

    /// What a merged node was merged from, in order.
    pub(crate) fn parents(&self) -> Vec<NodeView<'a>> {
        // SAFETY: kept; and it keeps its parents.
        let mut parents: Vec<_> = unsafe { merge::parents(self.node) }
            // SAFETY: as above.
            .map(|node| unsafe { Self::new(node) })
            .collect();
        if let Some(links) = parents.get_mut(1..) {
            links.reverse();
        }
        parents
    }
}
