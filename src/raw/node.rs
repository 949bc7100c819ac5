//! The records behind entries (node, waiter, callback, link): their layout, and the blocks they live in.
//!
//! ```text
//!  node     | state parent next back limbo won place kind | cause slot |     line 0: read by who looks
//!           | head leaving stash registered | stripes | core | channel | deadline |   line 1: by who derives and drops
//!  timed    | node | cause of the deadline | nursery slot | next | wheel | waker |
//!  merged   | node | links |
//!  waiter   | state parent next back limbo won place kind | waker |
//!  callback | state parent next back limbo won place kind | function |
//!  link     | state parent next back limbo won place kind | target | sibling |
//! ```
//!
//! Every record begins with its [`Entry`], and a timed or merged one with its [`Node`]: a pointer to one is one to the
//! other. All come from blocks of two sizes.

use super::core::Core;
use super::dropped::InWheel;
use super::entry::{Entry, Kind, Parent, ParentRef};
use super::list::Branch;
use super::nursery::SlotAt;
use super::slot::{CauseSlot, ChannelSlot};
use super::state::{Pins, State};
use super::stripes::{self, Stripe, StripesWord};
use super::time::Time;
use super::waker::WakerCell;
use crate::local;
use crate::sync::{AtomicUsize, Ordering, UnsafeCell};
use std::ptr;

/// A position in the tree.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Node {
    entry: Entry,
    pub(crate) cause: CauseSlot,
    pub(crate) branch: Branch,
    pub(crate) stripes: StripesWord,
    /// The timers its tree belongs to, kept by the root of the tree; of an engine's root, one count of them.
    core: *const Core,
    pub(crate) channel: ChannelSlot,
    /// The earliest of its own and its parents'.
    deadline: AtomicUsize,
}

/// A node with a deadline of its own.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Timed {
    node: Node,
    /// The cause given for the deadline.
    pub(crate) cause: CauseSlot,
    /// Its creator's; then its undertaker's, who may leave there what is below it on the pile of what was dropped.
    slot: UnsafeCell<SlotAt>,
    /// The next on the inbox, in the wheel, or of those that are due: goes with the ARMED pin.
    next: UnsafeCell<*mut Self>,
    pub(crate) in_wheel: InWheel,
    /// Of a `Sleep`.
    pub(crate) waker: WakerCell,
}

/// A node with several parents.
#[derive(Debug)]
#[repr(C, align(64))]
struct Merged {
    node: Node,
    /// Its links, chained through `Link::sibling`, the newest first. Written by its creator only.
    links: UnsafeCell<*mut Link>,
}

/// A `Done`, seen from its node.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Waiter {
    entry: Entry,
    pub(crate) waker: WakerCell,
}

/// What a callback runs.
pub(crate) type Function = Box<dyn FnOnce() + Send>;

/// A registration of `after_func`. Its HELD goes to whoever ends it: the stop, or the cancel and then the dispatcher.
#[repr(C, align(64))]
pub(crate) struct Callback {
    entry: Entry,
    function: UnsafeCell<Option<Function>>,
}

/// A merged node, seen from one of its further parents.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Link {
    entry: Entry,
    pub(crate) target: *mut Node,
    pub(crate) sibling: *mut Link,
}

const _: () = assert!(size_of::<Node>() <= crate::tuning::BLOCKS[0]);
const _: () = assert!(size_of::<Timed>() <= crate::tuning::BLOCKS[1]);
const _: () = assert!(size_of::<Merged>() <= crate::tuning::BLOCKS[1]);
const _: () = assert!(align_of::<Node>() == super::head::ALIGNMENT);

impl Node {
    /// A node in a block of its own, held, that is to be a child of `parent`.
    #[inline(always)]
    pub(crate) fn allocate(
        kind: Kind,
        parent: Parent,
        place: u32,
        state: State,
        core: *const Core,
        deadline: Time,
    ) -> *mut Self {
        debug_assert!(kind.is_node());
        let node = Self {
            entry: Entry::new(kind, parent, place, state),
            cause: CauseSlot::new(),
            branch: Branch::new(),
            stripes: StripesWord::new(),
            core,
            channel: ChannelSlot::new(),
            deadline: AtomicUsize::new(deadline.word()),
        };
        if kind == Kind::Merged {
            allocate(Merged {
                node,
                links: UnsafeCell::new(ptr::null_mut()),
            })
            .cast()
        } else if kind.is_timed() {
            allocate(Timed {
                node,
                cause: CauseSlot::new(),
                slot: UnsafeCell::new(SlotAt::NOWHERE),
                next: UnsafeCell::new(ptr::null_mut()),
                in_wheel: InWheel::new(),
                waker: WakerCell::new(),
            })
            .cast()
        } else {
            allocate(node)
        }
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

    #[inline(always)]
    pub(crate) fn core(&self) -> *const Core {
        self.core
    }

    /// ORDERING: Relaxed; written by its creator only, before it handed the node out.
    #[inline(always)]
    pub(crate) fn deadline(&self) -> Time {
        Time::from_word(self.deadline.load(Ordering::Relaxed))
    }

    /// The caller is the creator, and has not handed the node out.
    pub(crate) fn set_deadline(&self, deadline: Time) {
        self.deadline.store(deadline.word(), Ordering::Relaxed);
    }
}

/// The links of a node: null, where it is no merged one.
///
/// # Safety
///
/// The caller got the node from its creator, or is the creator; and keeps it.
pub(crate) unsafe fn links(node: *mut Node) -> *mut Link {
    // SAFETY: the caller's promise.
    if unsafe { Node::at(node) }.entry().kind() != Kind::Merged {
        return ptr::null_mut();
    }
    // SAFETY: the caller's promise, and what its kind says.
    let merged = unsafe { &*node.cast::<Merged>() };
    // SAFETY: written only by the creator, before it handed the node out.
    merged.links.with(|links| unsafe { *links })
}

/// # Safety
///
/// The caller is the creator of the node, which is a merged one, and has not handed it out.
pub(crate) unsafe fn set_links(node: *mut Node, link: *mut Link) {
    // SAFETY: the caller's promise.
    let merged = unsafe { &*node.cast::<Merged>() };
    // SAFETY: the caller's promise; nobody else touches the cell.
    merged.links.with_mut(|links| unsafe { *links = link });
}

impl Timed {
    /// # Safety
    ///
    /// As [`Entry::at`]; its kind is a timed one.
    #[inline(always)]
    pub(crate) unsafe fn at<'a>(timed: *mut Self) -> &'a Self {
        // SAFETY: the caller's promise; the node is its first field.
        let node = unsafe { Node::at(timed.cast()) };
        debug_assert!(node.entry().kind().is_timed());
        // SAFETY: the caller's promise.
        unsafe { &*timed }
    }

    #[inline(always)]
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// # Safety
    ///
    /// The caller is the creator, and has not handed the node out; or the undertaker.
    pub(crate) unsafe fn set_slot(&self, at: SlotAt) {
        // SAFETY: the caller's promise; nobody else writes the cell, and only the undertaker reads it.
        self.slot.with_mut(|slot| unsafe { *slot = at });
    }

    /// # Safety
    ///
    /// The caller is the undertaker; or has taken the pile on which that one left the node.
    pub(crate) unsafe fn slot(&self) -> SlotAt {
        // SAFETY: written by the creator, before it handed the node out, and by the undertaker, before it left it.
        self.slot.with(|slot| unsafe { *slot })
    }

    /// # Safety
    ///
    /// The caller has the ARMED pin, for as long as it uses the answer.
    pub(crate) unsafe fn next(&self) -> *mut Self {
        // SAFETY: the word goes with the pin (R10).
        self.next.with(|next| unsafe { *next })
    }

    /// # Safety
    ///
    /// The caller has the ARMED pin.
    pub(crate) unsafe fn set_next(&self, timed: *mut Self) {
        // SAFETY: the word goes with the pin (R10).
        self.next.with_mut(|next| unsafe { *next = timed });
    }
}

impl Waiter {
    /// A waiter in a block of its own, held, that is to be listed at `parent`.
    pub(crate) fn allocate(parent: Parent) -> *mut Self {
        allocate(Self {
            entry: Entry::new(Kind::Waiter, parent, 0, State::new(0, Pins::LISTED)),
            waker: WakerCell::new(),
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

impl Callback {
    /// A callback in a block of its own, held, that is to be registered at `parent`, with `pins` more.
    pub(crate) fn allocate(parent: Parent, pins: Pins, function: Function) -> *mut Self {
        allocate(Self {
            entry: Entry::new(Kind::Callback, parent, 0, State::new(0, pins)),
            function: UnsafeCell::new(Some(function)),
        })
    }

    /// # Safety
    ///
    /// As [`Entry::at`].
    pub(crate) unsafe fn at<'a>(callback: *mut Self) -> &'a Self {
        // SAFETY: the caller's promise; the entry is the callback's first field.
        let _ = unsafe { Entry::at(callback.cast()) };
        // SAFETY: the caller's promise.
        unsafe { &*callback }
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// # Safety
    ///
    /// The caller has HELD.
    pub(crate) unsafe fn take(&self) -> Option<Function> {
        // SAFETY: the cell goes with HELD (R10).
        self.function
            .with_mut(|function| unsafe { (*function).take() })
    }
}

impl Link {
    /// A link in a block of its own, held, from `parent` to `target`, before `sibling` in the target's chain.
    pub(crate) fn allocate(
        parent: Parent,
        target: *mut Node,
        sibling: *mut Self,
        pins: Pins,
    ) -> *mut Self {
        allocate(Self {
            entry: Entry::new(Kind::Link, parent, 0, State::new(0, pins)),
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

const fn class_of<T>() -> usize {
    (size_of::<T>() > crate::tuning::BLOCKS[0]) as usize
}

#[inline(always)]
fn allocate<T>(record: T) -> *mut T {
    const { assert!(size_of::<T>() <= crate::tuning::BLOCKS[1] && align_of::<T>() <= 64) };
    let block = local::allocate(const { class_of::<T>() }).cast::<T>();
    // SAFETY: a block of its class has room for the record, is aligned to 64 and nobody else's.
    unsafe { block.write(record) };
    block
}

/// Frees a record, and its block, without stripes. In line, so that of a kind that is known nothing else is asked.
///
/// # Safety
///
/// The last pin on it is the caller's (R10), its kind is that, and nothing is on its lists.
#[inline(always)]
pub(crate) unsafe fn free_leaf(entry: *mut Entry, kind: Kind) {
    // SAFETY: the caller's promise; what is behind the entry is what its kind says.
    unsafe {
        if kind.is_node() {
            let node = &mut *entry.cast::<Node>();
            node.channel.free();
            node.branch.end_of_life();
        }
        match kind {
            Kind::Cancel | Kind::Engine | Kind::Batch => free_record(entry.cast::<Node>()),
            Kind::Deadline | Kind::Sleep | Kind::Wait => free_record(entry.cast::<Timed>()),
            Kind::Merged => free_record(entry.cast::<Merged>()),
            Kind::Waiter => free_record(entry.cast::<Waiter>()),
            Kind::Callback => free_record(entry.cast::<Callback>()),
            Kind::Link => free_record(entry.cast::<Link>()),
        }
    }
}

/// Frees a record and its block.
///
/// # Safety
///
/// The last pin on it is the caller's (R10), and a node's lists have been dissolved.
pub(crate) unsafe fn free(entry: *mut Entry) {
    // SAFETY: the caller's promise.
    let kind = unsafe { Entry::at(entry) }.kind();
    // SAFETY: the caller's promise.
    unsafe {
        if kind.is_node()
            && let Some(stripes) = Node::at(entry.cast()).stripes.get()
        {
            stripes::free(stripes);
        }
        free_leaf(entry, kind);
    }
}

/// # Safety
///
/// As [`free`]; the record begins with an entry.
#[inline(always)]
unsafe fn free_record<T>(record: *mut T) {
    // SAFETY: the caller's promise.
    unsafe {
        (*record.cast::<Entry>()).end_of_life();
        ptr::drop_in_place(record);
        local::free(const { class_of::<T>() }, record.cast());
    }
}
