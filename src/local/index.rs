//! Indices of threads: each the least that no living thread has, so that threads which come and go share the same few.
//! Who has the index of one that ended comes after all that was done under it.
//!
//! Called by `local`.

use crate::sync::{AtomicUsize, Ordering};

const BITS: usize = usize::BITS as usize;
/// Threads that live at a time, by 64, up to which indices are used again.
const WORDS: usize = 64;

/// A bit for each index that is taken.
static TAKEN: [AtomicUsize; WORDS] = [const { AtomicUsize::new(0) }; WORDS];
/// Those that nobody gives back, from the end of the bits on.
static KEPT: AtomicUsize = AtomicUsize::new(WORDS * BITS);

/// The least that is free. Lock-free.
pub(super) fn take() -> usize {
    for (at, word) in TAKEN.iter().enumerate() {
        let mut taken = word.load(Ordering::Relaxed);
        while taken != usize::MAX {
            let free = taken.trailing_ones() as usize;
            // ORDERING: Acquire pairs with `give`.
            taken = word.fetch_or(1 << free, Ordering::Acquire);
            if taken & (1 << free) == 0 {
                return at * BITS + free;
            }
        }
    }
    take_for_good()
}

/// One that is never given back. Wait-free.
pub(super) fn take_for_good() -> usize {
    KEPT.fetch_add(1, Ordering::Relaxed)
}

/// Leaves an index to the next who takes one.
///
/// ORDERING: Release, for what was done under it.
pub(super) fn give(index: usize) {
    if let Some(word) = TAKEN.get(index / BITS) {
        word.fetch_and(!(1 << (index % BITS)), Ordering::Release);
    }
}
