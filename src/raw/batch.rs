//! Batches: many children made at once, and let go at once.
//!
//! ```text
//!  parent ─► … ─► batch ─► …        one registration, one push
//!                   └ list: 0 ─► 1 ─► … ─► n-1      linked before anybody sees it, registered by one RMW
//! ```
//!
//! The children are nodes like any other; the batch is a node that nobody has a context of. A child that was only ever
//! looked at is *untouched*: its one handle is the batch's. Let go with the batch it costs no RMW of its own: it stays
//! HELD and on the list, and the registrations of all of them are given back in one. Their bytes go with the batch's
//! own, as do those of a closed list (R5); that HELD is set by then tells them from those that were buried. Walkers that are
//! under way keep the batch by its LISTED pin.
//!
//! Called by the facade; `bury` frees the bytes.

use super::entry::{Entry, Kind, Parent};
use super::handle::Handle;
use super::node::Node;
use super::state::{Announce, Pins, State};
use super::timers::Under;
use super::tree::{self, Plan};
use crate::local;
use std::ptr;

/// The children of a new batch, the first one first.
#[derive(Debug)]
pub(crate) struct Children {
    next: *mut Entry,
    left: usize,
}

impl Handle {
    /// A batch node, with one handle, and so many children, each with one. Lock-free; allocates where the pool is empty.
    pub(crate) fn derive_batch(&self, count: usize, values_place: u32) -> (Self, Children) {
        let plan = Plan::new(Kind::Batch, 1).after(values_place);
        // SAFETY: `self` is a handle of what it is under (R8).
        let (batch, first) = unsafe { derive(self.under(), plan, count) };
        let children = Children {
            next: first,
            left: count,
        };
        // SAFETY: made with one handle.
        (unsafe { Self::from_node(batch) }, children)
    }

    /// Whether it is the one handle of a node on which nothing was ever installed: what becomes of that nobody can see.
    pub(crate) fn is_untouched(&self) -> bool {
        self.node()
            // SAFETY: `self` is a handle of it (R8).
            .is_some_and(|node| unsafe { Node::at(node) }.state().load().is_untouched())
    }

    /// Gives up the handle of a batch and those of its children. Lock-free: one RMW for all that are untouched.
    pub(crate) fn let_go_of_batch(self, children: impl Iterator<Item = Self>) {
        let Some(batch) = self.node() else { return };
        // SAFETY: `self` is a handle of it (R8).
        let this = unsafe { Node::at(batch) };
        debug_assert_eq!(this.entry().kind(), Kind::Batch);
        let mut untouched = 0;
        for child in children {
            if child.is_untouched() {
                untouched += 1;
                // Its registration is given back below, and its HELD goes with the list.
                std::mem::forget(child);
            }
        }
        if untouched > 0 {
            if local::is_watched() {
                local::gone(this.core(), untouched);
            }
            let last = this.branch.unregister(untouched);
            debug_assert!(!last, "the handles' own is still there");
        }
    }
}

impl Iterator for Children {
    type Item = Handle;

    fn next(&mut self) -> Option<Handle> {
        self.left = self.left.checked_sub(1)?;
        let child = self.next;
        // Before it is handed out: it may be off the list then.
        // SAFETY: its handle is ours (R8).
        self.next = unsafe { Entry::at(child) }.next();
        // SAFETY: it was made with one handle, and is handed out once.
        Some(unsafe { Handle::from_node(child.cast()) })
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// A batch node and its first child. Born done, all of them, if what they are under is.
///
/// # Safety
///
/// The caller has a handle of what it is under.
unsafe fn derive(under: Under, plan: Plan, count: usize) -> (*mut Node, *mut Entry) {
    let mut first = ptr::null_mut();
    let mut prepare = |batch| first = fill(batch, count);
    let batch = match under {
        Under::Background(background) => {
            let batch = tree::root(background, local::global(), plan);
            prepare(batch);
            return (batch, first);
        }
        // SAFETY: the caller's promise.
        Under::Node(parent) => unsafe { tree::derive_with(parent, plan, prepare) },
    };
    // SAFETY: the handle is ours (R8).
    let this = unsafe { Node::at(batch) };
    let state = this.state().load();
    if let Some(end) = state.inherited().filter(|_| !state.is_listed()) {
        // It was refused, and is still ours alone.
        this.branch.clear();
        let mut child = first;
        while !child.is_null() {
            // SAFETY: new, and seen by nobody else.
            let entry = unsafe { Entry::at(child) };
            entry.state().end_unpublished(end);
            child = entry.next();
        }
    }
    (batch, first)
}

/// Makes the children of a batch that nobody else has seen, and lists them.
fn fill(batch: *mut Node, count: usize) -> *mut Entry {
    let at = Parent::node(batch);
    // SAFETY: new, and ours.
    let batch = unsafe { Node::at(batch) };
    let (place, core, deadline) = (batch.entry().place(), batch.core(), batch.deadline());
    let mut newest: *mut Entry = ptr::null_mut();
    for _ in 0..count {
        let state = State::new(1, Pins::LISTED);
        let after = place.saturating_add(1);
        let child: *mut Entry =
            Node::allocate(Kind::Cancel, at, after, state, core, deadline).cast();
        // SAFETY: new, and seen by nobody else.
        unsafe { Entry::at(child) }.set_next(newest);
        if !newest.is_null() {
            // SAFETY: as above; and the list is ours.
            unsafe { Entry::at(newest).set_back(child) };
        }
        newest = child;
    }
    let _ = batch.state().announce(Announce::Entries);
    batch.branch.fill(newest, count);
    newest
}
