//! Where blocks rest between uses: per-thread magazines, and the depot through which whole magazines pass.
//!
//! ```text
//!  thread: loaded ─► b ─► b ─► b     spare ─► b … b (full, or none)
//!                         │ both full: give one        ▲ both empty: take one
//!                         ▼                            │
//!  depot:  [ magazine | – | magazine | – | … ]   put: CAS from null; get: swap with null
//! ```
//!
//! Magazines as in Bonwick and Adams, "Magazines and Vmem" (USENIX 2001): with two of them a thread must take or give
//! a whole magazine's worth of blocks before it goes to the depot again. The depot's slots are swapped whole, so there
//! is no ABA and nobody waits; what finds no slot goes to the allocator.
//!
//! Called by `local`, which holds the magazines and the depot of each class of blocks; models hold smaller ones.

use crate::sync::{AtomicUsize, Ordering};
use crate::tuning;
use std::ptr;

/// A free block: the first words of its bytes.
#[derive(Debug)]
struct Free {
    next: *mut Free,
    /// Blocks from here on, in the block a depot slot points at.
    length: usize,
}

/// A block's bytes, in nobody's use.
pub(crate) type Block = *mut u8;

/// A private stack of free blocks.
#[derive(Debug)]
pub(crate) struct Magazine {
    top: *mut Free,
    length: usize,
}

impl Magazine {
    pub(crate) const EMPTY: Self = Self {
        top: ptr::null_mut(),
        length: 0,
    };

    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// # Safety
    ///
    /// The block is the caller's, aligned for two words and as long.
    #[inline(always)]
    pub(crate) unsafe fn put(&mut self, block: Block) {
        let block = block.cast::<Free>();
        let free = Free {
            next: self.top,
            length: 0,
        };
        // SAFETY: the caller's promise.
        unsafe { block.write(free) };
        self.top = block;
        self.length += 1;
    }

    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Block> {
        if self.top.is_null() {
            return None;
        }
        let block = self.top;
        // SAFETY: blocks on the stack were written by `put` and are this magazine's.
        self.top = unsafe { (*block).next };
        self.length -= 1;
        Some(block.cast())
    }

    fn into_word(self) -> usize {
        if !self.top.is_null() {
            // SAFETY: as in `take`.
            unsafe { (*self.top).length = self.length };
        }
        self.top.expose_provenance()
    }

    /// # Safety
    ///
    /// The word came from `into_word`, once.
    unsafe fn from_word(word: usize) -> Self {
        let top: *mut Free = ptr::with_exposed_provenance_mut(word);
        if top.is_null() {
            return Self::EMPTY;
        }
        // SAFETY: as promised, a block that `into_word` wrote.
        let length = unsafe { (*top).length };
        Self { top, length }
    }
}

/// The slots magazines pass through.
#[derive(Debug)]
pub(crate) struct Depot<'a> {
    slots: &'a [AtomicUsize],
    /// About how many of them are taken: a hint that spares the search of an empty depot.
    taken: &'a AtomicUsize,
}

impl<'a> Depot<'a> {
    pub(crate) const fn new(slots: &'a [AtomicUsize], taken: &'a AtomicUsize) -> Self {
        Self { slots, taken }
    }

    /// Leaves a magazine; `Err` gives it back, for there is no room. Wait-free.
    pub(crate) fn put(&self, magazine: Magazine) -> Result<(), Magazine> {
        let word = magazine.into_word();
        if word == 0 {
            return Ok(());
        }
        for slot in self.slots {
            // ORDERING: Release publishes the blocks to `take`.
            if slot.load(Ordering::Relaxed) == 0
                && slot
                    .compare_exchange(0, word, Ordering::Release, Ordering::Relaxed)
                    .is_ok()
            {
                tuning::window("left to the depot");
                self.taken.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        // SAFETY: made above, and in no slot.
        Err(unsafe { Magazine::from_word(word) })
    }

    /// A magazine that is not empty, if one is seen. Wait-free.
    pub(crate) fn take(&self) -> Option<Magazine> {
        if self.taken.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.slots.iter().find_map(|slot| {
            if slot.load(Ordering::Relaxed) == 0 {
                return None;
            }
            // ORDERING: Acquire pairs with `put`.
            let word = slot.swap(0, Ordering::Acquire);
            if word == 0 {
                return None;
            }
            tuning::window("taken from the depot");
            self.taken.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: `put` made the word, and the swap gave it to us alone.
            Some(unsafe { Magazine::from_word(word) })
        })
    }
}
