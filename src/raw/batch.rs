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

/// The children of a batch that were let go with it and are not given back yet. Dropped, they never are: the batch stays.
#[must_use]
#[derive(Debug)]
pub(crate) struct Untouched(usize);

impl Untouched {
    /// Takes the handles of those children that are untouched, and says whether all are. The others stay where they are.
    #[inline]
    pub(crate) fn take<'a>(children: impl Iterator<Item = &'a mut Handle>) -> (Self, bool) {
        let mut count = 0;
        let mut all = true;
        for child in children {
            if child.is_untouched() {
                // Its registration is given back with those of all, and its HELD goes with the list.
                std::mem::forget(std::mem::replace(child, Handle::BACKGROUND));
                count += 1;
            } else {
                all = false;
            }
        }
        (Self(count), all)
    }
}

impl Handle {
    /// A batch node, with one handle, and so many children, each with one, which `each` is given, in order, before
    /// anybody else sees one. Lock-free; allocates where the pool is empty.
    pub(crate) fn derive_batch(
        &self,
        count: usize,
        values_place: u32,
        each: impl FnMut(Self),
    ) -> Self {
        let plan = Plan::new(Kind::Batch, 1).after(values_place);
        // SAFETY: `self` is a handle of what it is under (R8).
        let batch = unsafe { derive(self.under(), plan, count, each) };
        // SAFETY: made with one handle.
        unsafe { Self::from_node(batch) }
    }

    /// Whether it is the one handle of a node on which nothing was ever installed: what becomes of that nobody can see.
    #[inline]
    fn is_untouched(&self) -> bool {
        self.node()
            // SAFETY: `self` is a handle of it (R8).
            .is_some_and(|node| unsafe { Node::at(node) }.state().load().is_untouched())
    }

    /// Gives up the handle of a batch, and with it those that were taken of its children. Lock-free: one RMW for all of these.
    pub(crate) fn let_go_of_batch(self, children: Untouched) {
        let Some(batch) = self.node() else { return };
        // SAFETY: `self` is a handle of it (R8).
        let this = unsafe { Node::at(batch) };
        debug_assert_eq!(this.entry().kind(), Kind::Batch);
        let Untouched(count) = children;
        if count > 0 {
            if local::is_watched() {
                local::gone(this.core(), count);
            }
            let last = this.branch.unregister(count);
            debug_assert!(!last, "the handles' own is still there");
        }
    }
}

/// A batch node. Born done, with all its children, if what it is under is.
///
/// # Safety
///
/// The caller has a handle of what it is under.
unsafe fn derive(
    under: Under,
    plan: Plan,
    count: usize,
    mut each: impl FnMut(Handle),
) -> *mut Node {
    let mut newest = ptr::null_mut();
    let mut prepare = |batch| newest = fill(batch, count, &mut each);
    let batch = match under {
        Under::Background(background) => {
            let batch = tree::root(background, local::global(), plan);
            prepare(batch);
            return batch;
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
        let mut child = newest;
        while !child.is_null() {
            // SAFETY: new, and seen by nobody else.
            let entry = unsafe { Entry::at(child) };
            entry.state().end_unpublished(end);
            child = entry.next();
        }
    }
    batch
}

/// Makes the children of a batch that nobody else has seen, lists them, and gives each a handle of its own.
fn fill(batch: *mut Node, count: usize, each: &mut impl FnMut(Handle)) -> *mut Entry {
    let at = Parent::node(batch);
    // SAFETY: new, and ours.
    let batch = unsafe { Node::at(batch) };
    let (place, core, deadline) = (batch.entry().place(), batch.core(), batch.deadline());
    let place = place.saturating_add(1);
    let mut newest: *mut Entry = ptr::null_mut();
    for _ in 0..count {
        let state = State::new(1, Pins::LISTED);
        let node = Node::allocate(Kind::Cancel, at, place, state, core, deadline);
        let child: *mut Entry = node.cast();
        // SAFETY: new, and seen by nobody else.
        unsafe { Entry::at(child) }.set_next(newest);
        if !newest.is_null() {
            // SAFETY: as above; and the list is ours.
            unsafe { Entry::at(newest).set_back(child) };
        }
        newest = child;
        // SAFETY: made with one handle, which is handed out here.
        each(unsafe { Handle::from_node(node) });
    }
    let _ = batch.state().announce(Announce::Entries);
    batch.branch.fill(newest, count);
    newest
}
