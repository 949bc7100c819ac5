//! The records behind entries (node, waiter, link): their layout, and the blocks they live in.
//!
//! ```text
//!  node    | state parent next back limbo won place kind | cause slot |     line 0: read by who looks
//!          | head leaving stash registered | stripes | links | channel | -  line 1: written by who derives and drops
//!  waiter  | state parent next back limbo won place kind | waker |
//!  link    | state parent next back limbo won place kind | target | sibling |
//! ```
//!
//! Every record begins with its [`Entry`], so a pointer to one is a pointer to the other, and all come from blocks of
//! one size.

use super::entry::{Entry, Kind, Parent, ParentRef};
use super::list::Branch;
use super::slot::{CauseSlot, ChannelSlot};
use super::state::State;
use super::stripes::{self, Stripe, StripesWord};
use crate::local;
use crate::sync::{AtomicWaker, UnsafeCell};
use std::ptr;

/// A position in the tree.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Node {
    entry: Entry,
    pub(crate) cause: CauseSlot,
    pub(crate) branch: Branch,
    pub(crate) stripes: StripesWord,
    /// The links of a merged node, chained through `Link::sibling`, the newest first. Written by its creator only.
    links: UnsafeCell<*mut Link>,
    pub(crate) channel: ChannelSlot,
}

/// A `Done`, seen from its node.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Waiter {
    entry: Entry,
    pub(crate) waker: AtomicWaker,
}

/// A merged node, seen from one of its further parents.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Link {
    entry: Entry,
    pub(crate) target: *mut Node,
    pub(crate) sibling: *mut Link,
}

const _: () = assert!(size_of::<Node>() <= crate::tuning::BLOCK);
const _: () = assert!(align_of::<Node>() == super::head::ALIGNMENT);

impl Node {
    /// A node in a block of its own, held, that is to be a child of `parent`.
    pub(crate) fn allocate(kind: Kind, parent: Parent, place: u32, state: State) -> *mut Self {
        debug_assert!(kind.is_node());
        allocate(Self {
            entry: Entry::new(kind, parent, place, state),
            cause: CauseSlot::new(),
            branch: Branch::new(),
            stripes: StripesWord::new(),
            links: UnsafeCell::new(ptr::null_mut()),
            channel: ChannelSlot::new(),
        })
    }

    /// # Safety
    ///
    /// As [`Entry::at`].
    #[inline(always)]
    pub(crate) unsafe fn at<'a>(node: *mut Self) -> &'a Self {
        // SAFETY: the caller's promise; the entry is the node's first field.
        let _ = unsafe { Entry::at(node.cast()) };
        // SAFETY: the caller's promise.
        unsafe { &*node }
    }

    #[inline(always)]
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    #[inline(always)]
    pub(crate) fn state(&self) -> &State {
        self.entry.state()
    }

    /// The caller got the node from its creator, or is the creator.
    pub(crate) fn links(&self) -> *mut Link {
        // SAFETY: written only by the creator, before it handed the node out.
        self.links.with(|links| unsafe { *links })
    }

    /// # Safety
    ///
    /// The caller is the creator, and has not handed the node out.
    pub(crate) unsafe fn set_links(&self, link: *mut Link) {
        // SAFETY: the caller's promise; nobody else touches the cell.
        self.links.with_mut(|links| unsafe { *links = link });
    }
}

impl Waiter {
    /// A waiter in a block of its own, held, that is to be listed at `parent`.
    pub(crate) fn allocate(parent: Parent) -> *mut Self {
        allocate(Self {
            entry: Entry::new(Kind::Waiter, parent, 0, State::new(0, true)),
            waker: AtomicWaker::new(),
        })
    }

    /// # Safety
    ///
    /// As [`Entry::at`].
    pub(crate) unsafe fn at<'a>(waiter: *mut Self) -> &'a Self {
        // SAFETY: the caller's promise; the entry is the waiter's first field.
        let _ = unsafe { Entry::at(waiter.cast()) };
        // SAFETY: the caller's promise.
        unsafe { &*waiter }
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl Link {
    /// A link in a block of its own, held, from `parent` to `target`, before `sibling` in the target's chain.
    pub(crate) fn allocate(
        parent: Parent,
        target: *mut Node,
        sibling: *mut Self,
        listed: bool,
    ) -> *mut Self {
        allocate(Self {
            entry: Entry::new(Kind::Link, parent, 0, State::new(0, listed)),
            target,
            sibling,
        })
    }

    /// # Safety
    ///
    /// As [`Entry::at`].
    pub(crate) unsafe fn at<'a>(link: *mut Self) -> &'a Self {
        // SAFETY: the caller's promise; the entry is the link's first field.
        let _ = unsafe { Entry::at(link.cast()) };
        // SAFETY: the caller's promise.
        unsafe { &*link }
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl Parent {
    /// The node registered with; `None` for a background.
    ///
    /// # Safety
    ///
    /// The caller's registration keeps it for as long as the answer is used.
    pub(crate) unsafe fn to_node(self) -> Option<*mut Node> {
        match self.get() {
            ParentRef::Background | ParentRef::Todo => None,
            ParentRef::Node(node) => Some(node),
            // SAFETY: the caller's promise.
            ParentRef::Stripe(stripe) => Some(unsafe { Stripe::at(stripe) }.node()),
        }
    }

    /// The list registered with; `None` for a background.
    ///
    /// # Safety
    ///
    /// As `to_node`.
    pub(crate) unsafe fn branch<'a>(self) -> Option<&'a Branch> {
        match self.get() {
            ParentRef::Background | ParentRef::Todo => None,
            // SAFETY: the caller's promise.
            ParentRef::Node(node) => Some(&unsafe { Node::at(node) }.branch),
            // SAFETY: the caller's promise.
            ParentRef::Stripe(stripe) => Some(&unsafe { Stripe::at(stripe) }.branch),
        }
    }
}

fn allocate<T>(record: T) -> *mut T {
    let block = local::allocate().cast::<T>();
    // SAFETY: a block has room for the largest record, is aligned to 64 and nobody else's.
    unsafe { block.write(record) };
    block
}

/// Frees a record and its block.
///
/// # Safety
///
/// The last pin on it is the caller's (R10), and a node's lists have been dissolved.
pub(crate) unsafe fn free(entry: *mut Entry) {
    // SAFETY: the caller's promise.
    let kind = unsafe { Entry::at(entry) }.kind();
    match kind {
        Kind::Cancel | Kind::Merged => {
            let node = entry.cast::<Node>();
            // SAFETY: the caller's promise.
            let this = unsafe { &mut *node };
            if let Some(stripes) = this.stripes.get() {
                // SAFETY: the caller's promise.
                unsafe { stripes::free(stripes) };
            }
            this.channel.free();
            this.branch.end_of_life();
            this.entry.end_of_life();
            // SAFETY: the caller's promise.
            unsafe { ptr::drop_in_place(node) };
        }
        Kind::Waiter => {
            let waiter = entry.cast::<Waiter>();
            // SAFETY: the caller's promise.
            unsafe { (*waiter).entry.end_of_life() };
            // SAFETY: the caller's promise.
            unsafe { ptr::drop_in_place(waiter) };
        }
        Kind::Link => {
            let link = entry.cast::<Link>();
            // SAFETY: the caller's promise.
            unsafe { (*link).entry.end_of_life() };
            // SAFETY: the caller's promise.
            unsafe { ptr::drop_in_place(link) };
        }
    }
    // SAFETY: the block came from `allocate`, and the record in it is gone.
    unsafe { local::free(entry.cast()) };
}
