//! A stack of timed nodes on which many push and which one empties whole, and which counts what it holds.
//!
//! ```text
//!  63     48 47          6  5..0
//! | count   | newest node |  -  |      0: empty
//! ```
//!
//! The count stands in the word, so it costs a pusher nothing. Past 65,535 it goes on from 32,768: whoever is to see to it is told
//! at each multiple of some power of two, and not by the one who passes a mark; and never says again that there are few.
//! No ABA: what is below the newest is not looked at.
//!
//! Called by `nursery`.

use super::head;
use super::node::Timed;
use crate::sync::{AtomicUsize, Ordering};
use std::ptr;

const ONE: usize = 1 << head::ADDRESS_BITS;
/// The count after the largest.
const HALF: usize = 1 << (usize::BITS - 1);

#[derive(Debug)]
pub(crate) struct Pile(AtomicUsize);

impl Pile {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Answers with how many there are, this one among them, as far as the count goes. `link` is given what comes below it, before it
    /// is seen. Lock-free.
    pub(crate) fn push(&self, timed: *mut Timed, link: impl Fn(*mut Timed)) -> usize {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            link(ptr::with_exposed_provenance_mut(seen & head::POINTER));
            let count = (seen & !head::POINTER).checked_add(ONE).unwrap_or(HALF);
            let word = count | timed.expose_provenance();
            // ORDERING: SeqCst, as the publication of a slot (`nursery`); its Release pairs with `take`.
            match self
                .0
                .compare_exchange(seen, word, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return count >> head::ADDRESS_BITS,
                Err(now) => seen = now,
            }
        }
    }

    /// All of it: the newest, or null. Wait-free.
    pub(crate) fn take(&self) -> *mut Timed {
        // ORDERING: SeqCst, as the look at a slot; its Acquire pairs with `push`.
        let word = self.0.swap(0, Ordering::SeqCst);
        ptr::with_exposed_provenance_mut(word & head::POINTER)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// How many there are, about.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed) >> head::ADDRESS_BITS
    }
}
