//! The entry: what a list holds, whatever stands behind it, and the pointers between entries.
//!
//! Who may touch which field:
//!
//! | field | read by | written by |
//! |---|---|---|
//! | `state` | anybody with a pin | its own methods |
//! | `parent`, `kind`, `place` | anybody with a pin | creation only |
//! | `next` | walkers, the owner of the list | the pusher before its CAS; then owners, while the entry is listed (R3) |
//! | `back` | the owner of the list | the owner of the list |
//! | `limbo` | whoever has the chain it is on; of a callback that ended, who has HELD | the same; no walker ever (R3) |
//! | `won` | who ended the entry | the same |
//! | `site` | anybody with a pin | the creator, before it hands the node out |

use super::head;
use super::node::Node;
use super::site::Site;
use super::state::State;
use super::stripes::Stripe;
use crate::sync::{Alive, AtomicUsize, Ordering, UnsafeCell};
use std::ptr;

/// What stands behind an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A node made by `with_cancel`.
    Cancel,
    /// A node made by `merge`.
    Merged,
    /// A node with a deadline of its own.
    Deadline,
    /// A node that a `Sleep` waits for: it has a deadline, a waker, and no descendants.
    Sleep,
    /// A node that a blocked thread waits for where time stands: as that of a sleep, but it outlasts a shutdown, for the
    /// clock can be moved as before.
    Wait,
    /// The root of an engine of its own: never done.
    Engine,
    /// The node that the contexts of a batch are children of.
    Batch,
    /// A waiter record.
    Waiter,
    /// A callback record.
    Callback,
    /// A link from a further parent of a merged node.
    Link,
}

impl Kind {
    pub(crate) const fn is_node(self) -> bool {
        !matches!(self, Self::Waiter | Self::Callback | Self::Link)
    }

    pub(crate) const fn is_sleep(self) -> bool {
        matches!(self, Self::Sleep | Self::Wait)
    }

    /// Whether it is a node that users have, or had, a context of; of a merged one see [`Entry::is_context`].
    pub(crate) const fn is_context(self) -> bool {
        matches!(self, Self::Cancel | Self::Merged | Self::Deadline)
    }

    /// Whether it is a node with a deadline of its own.
    pub(crate) const fn is_timed(self) -> bool {
        matches!(self, Self::Deadline | Self::Sleep | Self::Wait)
    }
}

/// What an entry is registered with: a node, one stripe of a node, or nothing (a child of a background).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent(usize);

const TODO: usize = 1;
const STRIPE: usize = 2;
const _: () = assert!(TODO < head::ALIGNMENT && STRIPE < head::ALIGNMENT);

/// A [`Parent`] taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ParentRef {
    Background,
    Todo,
    Node(*mut Node),
    Stripe(*mut Stripe),
}

impl Parent {
    pub(crate) const BACKGROUND: Self = Self(0);
    pub(crate) const TODO: Self = Self(TODO);

    pub(crate) fn node(node: *mut Node) -> Self {
        Self(node.expose_provenance())
    }

    pub(crate) fn stripe(stripe: *mut Stripe) -> Self {
        Self(stripe.expose_provenance() | STRIPE)
    }

    #[inline(always)]
    pub(crate) fn get(self) -> ParentRef {
        match self.0 {
            0 => ParentRef::Background,
            TODO => ParentRef::Todo,
            word if word & STRIPE == 0 => ParentRef::Node(ptr::with_exposed_provenance_mut(word)),
            word => ParentRef::Stripe(ptr::with_exposed_provenance_mut(word & !STRIPE)),
        }
    }
}

/// One entry of a list.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entry {
    state: State,
    parent: Parent,
    next: AtomicUsize,
    back: UnsafeCell<*mut Entry>,
    limbo: UnsafeCell<*mut Entry>,
    won: UnsafeCell<*mut Entry>,
    place: u32,
    kind: Kind,
    site: Site,
    alive: Alive,
}

impl Entry {
    pub(crate) fn new(kind: Kind, parent: Parent, place: u32, state: State) -> Self {
        Self {
            state,
            parent,
            next: AtomicUsize::new(0),
            back: UnsafeCell::new(ptr::null_mut()),
            limbo: UnsafeCell::new(ptr::null_mut()),
            won: UnsafeCell::new(ptr::null_mut()),
            place,
            kind,
            site: Site::default(),
            alive: Alive::new(),
        }
    }

    /// # Safety
    ///
    /// The caller has a pin on the bytes, or knows who has, for as long as it uses the answer.
    #[inline(always)]
    pub(crate) unsafe fn at<'a>(entry: *mut Self) -> &'a Self {
        // SAFETY: the caller's promise.
        let entry = unsafe { &*entry };
        entry.alive.check();
        entry
    }

    #[inline(always)]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    #[inline(always)]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is a node that users have, or had, a context of.
    pub(crate) fn is_context(&self) -> bool {
        self.kind.is_context() && !self.state.load().is_part()
    }

    #[inline(always)]
    pub(crate) fn parent(&self) -> Parent {
        self.parent
    }

    /// Where in the source it was made.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// One more than the place of what it was derived from; saturates.
    pub(crate) fn place(&self) -> u32 {
        self.place
    }

    /// The next older entry.
    ///
    /// ORDERING: Acquire pairs with `set_next`; what it leads to is older and was published by its own push, so this
    /// only says that in fewer words.
    #[inline(always)]
    pub(crate) fn next(&self) -> *mut Self {
        ptr::with_exposed_provenance_mut(self.next.load(Ordering::Acquire))
    }

    #[inline(always)]
    pub(crate) fn set_next(&self, next: *mut Self) {
        self.next.store(next.expose_provenance(), Ordering::Release);
    }

    /// # Safety
    ///
    /// The caller owns the list the entry is on.
    pub(crate) unsafe fn back(&self) -> *mut Self {
        // SAFETY: only the owner of the list touches the cell (R5).
        self.back.with(|back| unsafe { *back })
    }

    /// # Safety
    ///
    /// As `back`.
    pub(crate) unsafe fn set_back(&self, entry: *mut Self) {
        // SAFETY: only the owner of the list touches the cell (R5).
        self.back.with_mut(|back| unsafe { *back = entry });
    }

    /// The tripwire of the models: from here on nobody uses these bytes.
    pub(crate) fn end_of_life(&self) {
        self.alive.end();
    }
}

/// Which word of its entries a [`Chain`] goes through.
pub(crate) trait Through {
    fn word(entry: &Entry) -> &UnsafeCell<*mut Entry>;
}

/// The word of what is unlinked, handed over, or to be freed: an entry is only ever one of these.
#[derive(Debug)]
pub(crate) struct Limbo;

impl Through for Limbo {
    fn word(entry: &Entry) -> &UnsafeCell<*mut Entry> {
        &entry.limbo
    }
}

/// The word of what one cancel has ended and is to tell.
#[derive(Debug)]
pub(crate) struct Won;

impl Through for Won {
    fn word(entry: &Entry) -> &UnsafeCell<*mut Entry> {
        &entry.won
    }
}

/// A private stack of entries through one of their words. Whoever has the chain has that word of each.
#[derive(Debug)]
pub(crate) struct Chain<W: Through> {
    top: *mut Entry,
    through: std::marker::PhantomData<W>,
}

impl<W: Through> Chain<W> {
    pub(crate) const fn new() -> Self {
        Self::from_top(ptr::null_mut())
    }

    pub(crate) const fn from_top(top: *mut Entry) -> Self {
        Self {
            top,
            through: std::marker::PhantomData,
        }
    }

    pub(crate) fn top(&self) -> *mut Entry {
        self.top
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.top.is_null()
    }

    /// # Safety
    ///
    /// The entry lives as long as it is on the chain, and its word is the caller's to give.
    pub(crate) unsafe fn push(&mut self, entry: *mut Entry) {
        // SAFETY: the caller's promise.
        let word = W::word(unsafe { Entry::at(entry) });
        // SAFETY: the word is this chain's.
        word.with_mut(|word| unsafe { *word = self.top });
        self.top = entry;
    }

    /// The entry pushed last; its word is the caller's again.
    pub(crate) fn pop(&mut self) -> Option<*mut Entry> {
        let entry = self.top;
        if entry.is_null() {
            return None;
        }
        // SAFETY: by the promise made to `push` it lives.
        let word = W::word(unsafe { Entry::at(entry) });
        // SAFETY: the word is this chain's.
        self.top = word.with(|word| unsafe { *word });
        Some(entry)
    }

    /// Takes over what is on another.
    pub(crate) fn append(&mut self, mut other: Self) {
        while let Some(entry) = other.pop() {
            // SAFETY: by the promise made to `push` it lives, and its word was the other's.
            unsafe { self.push(entry) };
        }
    }

    /// The one whose first is what was pushed first.
    pub(crate) fn reversed(self) -> Self {
        let mut reversed = Self::new();
        reversed.append(self);
        reversed
    }
}

/// A stack anybody pushes on and one thread takes whole: what removers hand to the owner of a list, and what cancels hand to
/// the dispatcher of callbacks.
#[derive(Debug)]
pub(crate) struct Leaving(AtomicUsize);

impl Leaving {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// # Safety
    ///
    /// As [`Chain::push`].
    pub(crate) unsafe fn push(&self, entry: *mut Entry) {
        // SAFETY: the caller's promise.
        let word = Limbo::word(unsafe { Entry::at(entry) });
        let mut top = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: not yet on the stack, the word is the caller's.
            word.with_mut(|word| unsafe { *word = ptr::with_exposed_provenance_mut(top) });
            // ORDERING: Release publishes the word to `take`. No ABA: what is below the top is not looked at.
            match self.0.compare_exchange_weak(
                top,
                entry.expose_provenance(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    pub(crate) fn take(&self) -> Chain<Limbo> {
        // ORDERING: Acquire pairs with `push`.
        Chain::from_top(ptr::with_exposed_provenance_mut(
            self.0.swap(0, Ordering::Acquire),
        ))
    }
}
