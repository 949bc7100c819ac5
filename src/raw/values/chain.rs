//! The chain count of a node: one word, until the node is hot; then shards beside it.
//!
//! ```text
//!  63     41   40      39    0
//! | heat     | SHARDED | count |
//! ```
//!
//! A count is *direct*, in that word, or *sharded*; who has it keeps a bit that says which ([`Hold`]). Heat is how many
//! were acquired directly: past [`tuning::VALUES_HOT`] the node gets a shard, and every clone from then on is sharded.
//! SHARDED says that there may be sharded counts, and stands for one count: while a direct one is left nobody has to
//! look whether the shards have come to nothing, so two threads that clone and drop write no common line.
//!
//! # The end
//!
//! Who is about to let the last direct count go *orphans* the shards first: each is marked, by an RMW on its releases,
//! and summed up. Who lets a sharded count go and finds the mark takes a direct one in its place, releases, and then sums
//! up too. Who finds as much acquired as was released takes SHARDED away. The last of the direct counts then is the end.
//!
//! *Nobody is missed.* All releases are summed up before any of what was acquired. What was acquired for a release that is
//! in the sum came before it, and is in the other sum. So if the sums are the same, each count acquired that is in
//! the sum was released. Is there one that is not in it? It was cloned from another, which was released after that, and so is
//! in neither sum; and so on back to one that was cloned from a direct count. But those had all gone before the shards were
//! marked, and what was cloned from them is in the sum; direct counts made later, of an orphaned node, are cloned as direct
//! ones. There is none.
//!
//! *Somebody finds it.* A release comes before the mark on its shard, and everybody who sums up has it; or sees
//! the mark. Of those who saw it, of any two one sees the other's release, since each first releases and then
//! reads all by RMWs. So one of them, the last, sees all; and it has a direct count meanwhile, so the node is there.

use super::shards::{Refused, Shard, ShardsWord};
use crate::local;
use crate::sync::{AtomicUsize, Ordering};
use crate::tuning;

const SHARDED: usize = 1 << 40;
const COUNT: usize = SHARDED - 1;
/// Over it the process aborts, as `Arc` does: only leaking handles in a loop gets there.
const COUNT_MAX: usize = COUNT / 2;
const HEAT_SHIFT: u32 = 41;
const HEAT_ONE: usize = 1 << HEAT_SHIFT;

const _: () = assert!(tuning::VALUES_HOT <= usize::MAX >> (HEAT_SHIFT + 1));

/// Where a chain count is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Direct,
    Sharded,
}

/// What came of an attempt to acquire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acquired {
    Yes(Kept),
    /// Directly; and [`Chain::open`] is to be called.
    Hot,
    /// Not: by [`Chain::acquire_shared`].
    No,
}

/// What came of an attempt to release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// By the count alone: the node may be gone.
    Yes,
    /// Not, for nobody else has one.
    Last,
    /// Not: by [`Chain::release_slowly`].
    No,
}

/// The chain count.
#[derive(Debug)]
pub(crate) struct Chain {
    direct: AtomicUsize,
    shards: ShardsWord,
}

impl Chain {
    /// One direct count.
    pub(super) fn new() -> Self {
        Self {
            direct: AtomicUsize::new(1),
            shards: ShardsWord::new(),
        }
    }

    /// So many more, for who has one. Wait-free; no RMW where the calling thread owns its shard. Aborts on overflow. No
    /// call is made that comes back here, or registers would be saved for it.
    #[inline(always)]
    pub(super) fn acquire(&self, more: usize) -> Acquired {
        let shards = self.shards.load();
        if shards.are_open() {
            // SAFETY: the caller has a count (R8).
            let acquired = unsafe { shards.acquire_as_owner(more) };
            return if acquired {
                Acquired::Yes(Kept::Sharded)
            } else {
                Acquired::No
            };
        }
        // A node that is orphaned gets no hotter.
        let heat = if shards.is_none() { HEAT_ONE } else { 0 };
        if self.acquire_direct(more + heat) >> HEAT_SHIFT == tuning::VALUES_HOT && heat != 0 {
            Acquired::Hot
        } else {
            Acquired::Yes(Kept::Direct)
        }
    }

    /// As `acquire`, where there are shards. Wait-free.
    pub(super) fn acquire_shared(&self, more: usize) -> Kept {
        // SAFETY: the caller has a count (R8).
        unsafe { self.shards.load().acquire(more) };
        Kept::Sharded
    }

    /// Answers with the word before.
    ///
    /// ORDERING: Relaxed as in `Arc`: the new one comes from one that keeps the node.
    #[inline(always)]
    fn acquire_direct(&self, more: usize) -> usize {
        let before = self.direct.fetch_add(more, Ordering::Relaxed);
        if before & COUNT > COUNT_MAX {
            std::process::abort();
        }
        before
    }

    /// Gives the node its first shard, once. The caller has a direct count. Allocates where the pool is empty.
    pub(crate) fn open(&self) {
        // Before anybody can have a sharded count.
        self.direct.fetch_or(SHARDED, Ordering::Relaxed);
        self.shards.open();
    }

    /// Gives a node that has one shard one for each core. The caller has a count. Allocates.
    pub(crate) fn widen(&self) {
        self.shards.widen();
    }

    /// So many less, of one kind. Wait-free. Who is seen to have all of it takes no RMW: nobody is left who could make
    /// another. No call comes back here, as in `acquire`.
    ///
    /// ORDERING: Release so that who lets go sees every use of what the count kept, Acquire for that one.
    #[inline(always)]
    pub(super) fn release(&self, kept: Kept, less: usize) -> Released {
        let released = match kept {
            Kept::Sharded => {
                // SAFETY: the caller has a count, of the shards there are (R8).
                unsafe { self.shards.load().of_thread() }
                    .release(less)
                    .is_ok()
            }
            Kept::Direct => {
                let seen = self.direct.load(Ordering::Acquire);
                if seen & (COUNT | SHARDED) == less {
                    return Released::Last;
                }
                seen & COUNT != less
                    && self
                        .direct
                        .compare_exchange(seen, seen - less, Ordering::Release, Ordering::Relaxed)
                        .is_ok()
            }
        };
        if released {
            Released::Yes
        } else {
            Released::No
        }
    }

    /// As `release`, to the end: `true`: they were the last, and are still there. Lock-free; allocates once in the life
    /// of a node that threads fight over.
    pub(super) fn release_slowly(&self, kept: Kept, less: usize) -> bool {
        match kept {
            Kept::Direct => self.release_direct(less),
            Kept::Sharded => self.release_sharded(less),
        }
    }

    fn release_direct(&self, less: usize) -> bool {
        let mut looked = false;
        let mut seen = self.direct.load(Ordering::Acquire);
        loop {
            if seen & COUNT == less {
                if seen & SHARDED == 0 {
                    return true;
                }
                if !looked {
                    looked = true;
                    self.orphan();
                    seen = self.direct.load(Ordering::Acquire);
                    continue;
                }
            }
            let released = self.direct.compare_exchange(
                seen,
                seen - less,
                Ordering::Release,
                Ordering::Acquire,
            );
            match released {
                Ok(_) => return false,
                Err(now) => seen = now,
            }
        }
    }

    fn release_sharded(&self, less: usize) -> bool {
        loop {
            let shards = self.shards.load();
            // SAFETY: the caller has a count (R8).
            let shard = unsafe { shards.of_thread() };
            match shard.release(less) {
                Ok(()) => return false,
                Err(Refused::Orphaned) => {
                    // SHARDED, which is not taken away before this is released, keeps it above 0.
                    self.acquire_direct(1);
                    shard.release_orphaned(less);
                    self.orphan();
                    return self.release_direct(1);
                }
                Err(Refused::RaceLost) => {
                    local::lost_race();
                    if !shards.is_wide() && local::is_contended() {
                        self.widen();
                    }
                }
            }
        }
    }

    /// Marks the shards, and takes SHARDED away if nothing is left in them. The caller has a direct count; it was seen to
    /// be the last, or the shards to be orphaned.
    fn orphan(&self) {
        // SAFETY: the caller has a count (R8).
        let all = unsafe { self.shards.orphan().iter() };
        let released = all.clone().map(Shard::orphan).fold(0, usize::wrapping_add);
        let acquired = all.map(Shard::acquired).fold(0, usize::wrapping_add);
        if released == acquired {
            // ORDERING: Release passes on what the releases were seen with; Acquire for who did the same.
            self.direct.fetch_and(!SHARDED, Ordering::AcqRel);
        }
    }
}
