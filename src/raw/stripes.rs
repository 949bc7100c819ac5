//! Stripes of a hot node: hidden branches, about one a core, so that children of one root do not meet on one line.
//!
//! A stripe is a list and a count of its own, padded; it counts once on its node, as the handles do on it, so its
//! zero is not propagated while the node has handles. The array is installed once, by CAS from empty, by an owner of the
//! node's own list: so where that was closed with nobody owning it, none is installed any more. Else CLOSED in the word
//! keeps a node that is done from getting one.
//!
//! Called by `tree`, `walk` and `bury`.

use super::list::Branch;
use super::node::Node;
use crate::sync::{Alive, AtomicUsize, Ordering};
use crate::tuning;
use crossbeam_utils::CachePadded;
use std::ptr;

/// One stripe.
#[derive(Debug)]
pub(crate) struct Stripe {
    pub(crate) branch: Branch,
    node: *mut Node,
    index: usize,
    alive: Alive,
}

impl Stripe {
    /// # Safety
    ///
    /// The stripe's node keeps its bytes for as long as the answer is used.
    #[inline(always)]
    pub(crate) unsafe fn at<'a>(stripe: *mut Self) -> &'a Self {
        // SAFETY: the caller's promise.
        let stripe = unsafe { &*stripe };
        stripe.alive.check();
        stripe
    }

    pub(crate) fn node(&self) -> *mut Node {
        self.node
    }
}

/// The stripes of a node, in order: a power of two of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stripes {
    first: *mut CachePadded<Stripe>,
    shift: u32,
}

impl Stripes {
    pub(crate) const fn count(self) -> usize {
        1 << self.shift
    }

    /// The stripe for an index, whatever its size.
    ///
    /// # Safety
    ///
    /// The node keeps its stripes for as long as the answer is used.
    #[inline(always)]
    pub(crate) unsafe fn get(self, index: usize) -> *mut Stripe {
        // SAFETY: within the array. `CachePadded` begins with what it pads.
        unsafe { self.first.add(index & (self.count() - 1)) }.cast()
    }

    /// # Safety
    ///
    /// As `get`; the stripe is one of these.
    pub(crate) unsafe fn after(self, stripe: *mut Stripe) -> Option<*mut Stripe> {
        // SAFETY: the caller's promise.
        let next = unsafe { Stripe::at(stripe) }.index + 1;
        // SAFETY: the caller's promise.
        (next < self.count()).then(|| unsafe { self.get(next) })
    }

    /// # Safety
    ///
    /// As `get`.
    pub(crate) unsafe fn iter(self) -> impl Iterator<Item = *mut Stripe> {
        // SAFETY: the caller's promise.
        (0..self.count()).map(move |index| unsafe { self.get(index) })
    }

    fn encode(self) -> usize {
        self.first.expose_provenance() | (self.shift as usize) << SHIFT_SHIFT
    }
}

const CLOSED: usize = 1;
const SHIFT_SHIFT: u32 = 1;
const SHIFT: usize = 7 << SHIFT_SHIFT;

const _: () = assert!(tuning::STRIPES_MAX.ilog2() as usize <= SHIFT >> SHIFT_SHIFT);
const _: () = assert!(CLOSED | SHIFT < align_of::<CachePadded<Stripe>>());

/// The word of a node that leads to its stripes: null, or the first of them; CLOSED; and how many there are, for a
/// stripe's own line is not to be read for that.
#[derive(Debug)]
pub(crate) struct StripesWord(AtomicUsize);

impl StripesWord {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// ORDERING: Acquire pairs with `install`: the stripes are made.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<Stripes> {
        Self::decode(self.0.load(Ordering::Acquire))
    }

    #[inline(always)]
    fn decode(word: usize) -> Option<Stripes> {
        let first: *mut CachePadded<Stripe> =
            ptr::with_exposed_provenance_mut(word & !(CLOSED | SHIFT));
        (!first.is_null()).then_some(Stripes {
            first,
            shift: ((word & SHIFT) >> SHIFT_SHIFT) as u32,
        })
    }

    /// Keeps stripes from being installed from now on, and answers with those there are. `settled`: the node's own list was
    /// closed when nobody owned it, and the caller has seen that.
    ///
    /// ORDERING: Acquire as in `get`, which asks for nothing new: who installed them owned the list before it was closed, and had
    /// made them before that, so they are made for who has seen it closed. Where settled, that owner had let go, too.
    #[inline]
    pub(crate) fn close(&self, settled: bool) -> Option<Stripes> {
        let word = self.0.load(Ordering::Acquire);
        if settled || word & CLOSED != 0 {
            return Self::decode(word);
        }
        Self::decode(self.0.fetch_or(CLOSED, Ordering::AcqRel))
    }

    /// `false`: there are some, or the word is closed. By an owner of the node's own list.
    pub(crate) fn install(&self, stripes: Stripes) -> bool {
        tuning::window("inflating");
        // ORDERING: Release publishes the stripes to `get`.
        self.0
            .compare_exchange(0, stripes.encode(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// `count` stripes for `node`, a power of two. Allocates.
pub(crate) fn make(node: *mut Node, count: usize) -> Stripes {
    debug_assert!(count.is_power_of_two() && count <= tuning::STRIPES_MAX);
    let made: Box<[CachePadded<Stripe>]> = (0..count)
        .map(|index| {
            CachePadded::new(Stripe {
                branch: Branch::new(),
                node,
                index,
                alive: Alive::new(),
            })
        })
        .collect();
    Stripes {
        first: Box::into_raw(made).cast(),
        shift: count.ilog2(),
    }
}

/// Frees stripes.
///
/// # Safety
///
/// Nobody uses them, now or later, and their lists have been dissolved.
pub(crate) unsafe fn free(stripes: Stripes) {
    // SAFETY: they are still there.
    for stripe in unsafe { stripes.iter() } {
        // SAFETY: as above.
        let stripe = unsafe { Stripe::at(stripe) };
        stripe.branch.end_of_life();
        stripe.alive.end();
    }
    let array = ptr::slice_from_raw_parts_mut(stripes.first, stripes.count());
    // SAFETY: made from a box of this length in `make`.
    drop(unsafe { Box::from_raw(array) });
}
