//! Stripes of a hot node: hidden branches, about one a core, so that children of one root do not meet on one line.
//!
//! A stripe is a list and a count of its own, padded; it counts once on its node, as the handles do on it, so its
//! zero is not propagated while the node has handles. The array is installed once, by CAS from empty, and CLOSED in
//! its word keeps a node that is done from getting one.
//!
//! Called by `tree`, `walk` and `bury`.

use super::list::Branch;
use super::node::Node;
use crate::sync::{Alive, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;
use std::ptr;

/// One stripe.
#[derive(Debug)]
pub(crate) struct Stripe {
    pub(crate) branch: Branch,
    node: *mut Node,
    index: u32,
    count: u32,
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

/// The stripes of a node, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stripes {
    first: *mut CachePadded<Stripe>,
}

impl Stripes {
    /// # Safety
    ///
    /// The node keeps its stripes for as long as the answer is used.
    pub(crate) unsafe fn count(self) -> usize {
        // SAFETY: the caller's promise.
        unsafe { Stripe::at(self.get(0)) }.count as usize
    }

    /// # Safety
    ///
    /// As `count`, and `index` is below it.
    #[inline(always)]
    pub(crate) unsafe fn get(self, index: usize) -> *mut Stripe {
        // SAFETY: within the array, by the caller's promise. `CachePadded` is transparent but for its padding, and the
        // stripe is at its start.
        unsafe { self.first.add(index) }.cast()
    }

    /// # Safety
    ///
    /// As `count`; the stripe is one of these.
    pub(crate) unsafe fn after(self, stripe: *mut Stripe) -> Option<*mut Stripe> {
        // SAFETY: the caller's promise.
        let stripe = unsafe { Stripe::at(stripe) };
        let next = stripe.index + 1;
        // SAFETY: below the count.
        (next < stripe.count).then(|| unsafe { self.get(next as usize) })
    }

    /// # Safety
    ///
    /// As `count`.
    pub(crate) unsafe fn iter(self) -> impl Iterator<Item = *mut Stripe> {
        // SAFETY: the caller's promise, and below the count.
        (0..unsafe { self.count() }).map(move |index| unsafe { self.get(index) })
    }
}

const CLOSED: usize = 1;

/// The word of a node that leads to its stripes: null, or the first of them; and CLOSED.
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

    fn decode(word: usize) -> Option<Stripes> {
        let first: *mut CachePadded<Stripe> = ptr::with_exposed_provenance_mut(word & !CLOSED);
        (!first.is_null()).then_some(Stripes { first })
    }

    /// Keeps stripes from being installed from now on, and answers with those there are.
    ///
    /// ORDERING: Acquire as in `get`.
    pub(crate) fn close(&self) -> Option<Stripes> {
        let word = self.0.load(Ordering::Acquire);
        if word & CLOSED != 0 {
            return Self::decode(word);
        }
        Self::decode(self.0.fetch_or(CLOSED, Ordering::AcqRel))
    }

    /// Makes `count` stripes for `node` and installs them, unless there are some or the word is closed. Allocates.
    /// `register` is told before they can be seen, `unregister` if they are not installed.
    pub(crate) fn install(
        &self,
        node: *mut Node,
        count: usize,
        register: impl FnOnce(usize),
        unregister: impl FnOnce(usize),
    ) {
        if self.0.load(Ordering::Relaxed) != 0 {
            return;
        }
        let made: Box<[CachePadded<Stripe>]> = (0..count)
            .map(|index| {
                CachePadded::new(Stripe {
                    branch: Branch::new(),
                    node,
                    index: index as u32,
                    count: count as u32,
                    alive: Alive::new(),
                })
            })
            .collect();
        register(count);
        let first: *mut CachePadded<Stripe> = Box::into_raw(made).cast();
        // ORDERING: Release publishes the stripes to `get`.
        if self
            .0
            .compare_exchange(
                0,
                first.expose_provenance(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_err()
        {
            unregister(count);
            // SAFETY: made above and seen by nobody.
            unsafe { free(Stripes { first }) };
        }
    }
}

/// Frees stripes.
///
/// # Safety
///
/// Nobody uses them, now or later, and their lists have been dissolved.
pub(crate) unsafe fn free(stripes: Stripes) {
    // SAFETY: they are still there.
    let count = unsafe { stripes.count() };
    // SAFETY: as above.
    for stripe in unsafe { stripes.iter() } {
        // SAFETY: as above.
        let stripe = unsafe { Stripe::at(stripe) };
        stripe.branch.end_of_life();
        stripe.alive.end();
    }
    // SAFETY: made from a box of this length in `install`.
    drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(stripes.first, count)) });
}
