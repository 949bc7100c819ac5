//! Where blocks rest between uses: per-thread magazines, and the depot through which whole magazines pass.
//!
//! ```text
//!  thread: loaded ─► b ─► b ─► b     spare ─► b … b (full, or none)
//!                         │ both full: give one        ▲ both empty: take one
//!                         ▼                            │
//!  depot:  [ magazine | – | magazine | – | … ]   put: CAS from null; get: swap with null
//!         loose: a magazine that is not full       made full by the next of its kind
//! ```
//!
//! Magazines as in Bonwick and Adams, "Magazines and Vmem" (USENIX 2001): with two of them a thread must take or give
//! a whole magazine's worth of blocks before it goes to the depot again. The depot's slots are swapped whole, so there
//! is no ABA and nobody waits; what finds no slot goes to the allocator. Those of threads that ended, and small stocks, are
//! filled up by one another, so that a slot is a magazine's worth of blocks.
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
        // `length` is written where it is of use, in `into_word`.
        // SAFETY: the caller's promise.
        unsafe { (&raw mut (*block).next).write(self.top) };
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

    /// All but so many blocks.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        let mut rest = Self::EMPTY;
        while self.length > at
            && let Some(block) = self.take()
        {
            // SAFETY: it was this magazine's.
            unsafe { rest.put(block) };
        }
        rest
    }

    /// Takes as many blocks from another as there is room for.
    fn fill_from(&mut self, other: &mut Self) {
        while self.length < tuning::MAGAZINE
            && let Some(block) = other.take()
        {
            // SAFETY: it was the other's.
            unsafe { self.put(block) };
        }
    }

    fn into_word(self) -> usize {
        if !self.top.is_null() {
            // SAFETY: as in `take`.
            unsafe { (&raw mut (*self.top).length).write(self.length) };
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
    /// A magazine that is not full, or nothing.
    loose: &'a AtomicUsize,
    /// About how many of them are taken: a hint that spares the search of an empty depot.
    taken: &'a AtomicUsize,
}

impl<'a> Depot<'a> {
    pub(crate) const fn new(
        slots: &'a [AtomicUsize],
        loose: &'a AtomicUsize,
        taken: &'a AtomicUsize,
    ) -> Self {
        Self {
            slots,
            loose,
            taken,
        }
    }

    /// Leaves a magazine, full or not; answers with what there is no room for, in two magazines. Wait-free.
    pub(crate) fn put(&self, magazine: Magazine) -> [Magazine; 2] {
        let mut full = magazine;
        let mut rest = Magazine::EMPTY;
        if full.length < tuning::MAGAZINE {
            rest = take_from(self.loose).unwrap_or(Magazine::EMPTY);
            full.fill_from(&mut rest);
        }
        if full.length < tuning::MAGAZINE {
            std::mem::swap(&mut full, &mut rest);
        }
        [self.put_in_slot(full), self.put_loose(rest)]
            .map(|put| put.err().unwrap_or(Magazine::EMPTY))
    }

    /// Leaves a magazine that is not full. Where another was faster it takes a slot as it is.
    fn put_loose(&self, magazine: Magazine) -> Result<(), Magazine> {
        let word = magazine.into_word();
        // ORDERING: Release publishes the blocks to `take_from`.
        let put = self
            .loose
            .compare_exchange(0, word, Ordering::Release, Ordering::Relaxed);
        if word == 0 || put.is_ok() {
            return Ok(());
        }
        // SAFETY: made above, and seen by nobody.
        self.put_in_slot(unsafe { Magazine::from_word(word) })
    }

    fn put_in_slot(&self, magazine: Magazine) -> Result<(), Magazine> {
        let word = magazine.into_word();
        if word == 0 {
            return Ok(());
        }
        for slot in self.slots {
            // ORDERING: as in `put_loose`.
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
        let in_slots = if self.taken.load(Ordering::Relaxed) == 0 {
            None
        } else {
            self.slots.iter().find_map(take_from)
        };
        if in_slots.is_some() {
            tuning::window("taken from the depot");
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
        in_slots.or_else(|| take_from(self.loose))
    }
}

fn take_from(word: &AtomicUsize) -> Option<Magazine> {
    if word.load(Ordering::Relaxed) == 0 {
        return None;
    }
    // ORDERING: Acquire pairs with `put_loose` and `put_in_slot`.
    let word = word.swap(0, Ordering::Acquire);
    // SAFETY: they made the word, and the swap gave it to us alone.
    (word != 0).then(|| unsafe { Magazine::from_word(word) })
}
