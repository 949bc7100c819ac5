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

use super::shards::{Shard, Shards, ShardsWord};
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

/// The chain count.
#[derive(Debug)]
pub(super) struct Chain {
    direct: AtomicUsize,
    shards: ShardsWord,
    own: Shard,
}

impl Chain {
    /// One direct count.
    pub(super) fn new() -> Self {
        Self {
            direct: AtomicUsize::new(1),
            shards: ShardsWord::new(),
            own: Shard::new(),
        }
    }

    /// So many more, for who has one. Wait-free: no RMW where the calling thread owns its shard; allocates once in the
    /// life of a node that threads fight over. Aborts on overflow.
    #[inline(always)]
    pub(super) fn acquire(&self, more: usize) -> Kept {
        let shards = self.shards.load();
        if shards.is_none() {
            if self.acquire_direct(more + HEAT_ONE) >> HEAT_SHIFT >= tuning::VALUES_HOT {
                self.open();
            }
            return Kept::Direct;
        }
        if shards.is_of_thread() {
            self.own.acquire_as_owner(more);
            return Kept::Sharded;
        }
        self.acquire_of(shards, more)
    }

    #[inline(never)]
    fn acquire_of(&self, shards: Shards, more: usize) -> Kept {
        if shards.is_orphaned() {
            self.acquire_direct(more);
            return Kept::Direct;
        }
        match shards.array() {
            // SAFETY: the caller has a count.
            Some(array) => unsafe { array.acquire(more) },
            None => self.own.acquire(more),
        }
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

    /// Gives the node its shard, once. The caller has a direct count.
    #[cold]
    pub(super) fn open(&self) {
        // Before anybody can have a sharded count.
        self.direct.fetch_or(SHARDED, Ordering::Relaxed);
        self.shards.open();
    }

    /// Gives a node that has one shard one for each core. The caller has a count.
    pub(super) fn widen(&self) {
        self.shards.widen();
    }

    /// So many less, of one kind; `true`: they were the last. Else by the count alone: the node may be gone before this
    /// returns. Lock-free. Who is seen to have all of it takes no RMW: nobody is left who could make another.
    #[inline(always)]
    pub(super) fn release(&self, kept: Kept, less: usize) -> bool {
        match kept {
            Kept::Direct => self.release_direct(less),
            Kept::Sharded => self.release_sharded(less),
        }
    }

    /// ORDERING: Release so that who lets go sees every use of what the count kept, Acquire for that one.
    #[inline(always)]
    fn release_direct(&self, less: usize) -> bool {
        let seen = self.direct.load(Ordering::Acquire);
        if seen & (COUNT | SHARDED) == less {
            return true;
        }
        let shared = seen & COUNT != less
            && self
                .direct
                .compare_exchange(seen, seen - less, Ordering::Release, Ordering::Relaxed)
                .is_ok();
        !shared && self.release_last_direct(less)
    }

    /// As `release_direct`, where it may be the last, or lost a race.
    #[cold]
    fn release_last_direct(&self, less: usize) -> bool {
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

    #[inline(always)]
    fn release_sharded(&self, less: usize) -> bool {
        let shard = self.shard_of_thread(self.shards.load());
        shard.release(less).is_err() && self.release_sharded_slowly(less)
    }

    /// As `release_sharded`, where the shard is orphaned or a race was lost.
    #[cold]
    fn release_sharded_slowly(&self, less: usize) -> bool {
        loop {
            let shards = self.shards.load();
            let shard = self.shard_of_thread(shards);
            match shard.release(less) {
                Ok(()) => return false,
                Err(true) => {
                    // SHARDED, which is not taken away while this is not released, keeps it above 0.
                    self.acquire_direct(1);
                    shard.release_orphaned(less);
                    self.orphan();
                    return self.release_direct(1);
                }
                Err(false) => {
                    local::lost_race();
                    if shards.array().is_none() && local::is_contended() {
                        self.widen();
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn shard_of_thread(&self, shards: Shards) -> &Shard {
        match shards.array() {
            // SAFETY: the caller has a count.
            Some(array) => unsafe { array.of_thread() },
            None => &self.own,
        }
    }

    /// Marks the shards, and takes SHARDED away if nothing is left in them. The caller has a direct count, and no other
    /// is cloned from in a way that is not seen here: it was the last, or found them marked.
    #[cold]
    fn orphan(&self) {
        let array = self.shards.orphan().array();
        // SAFETY: the caller has a count.
        let array = array.into_iter().flat_map(|array| unsafe { array.iter() });
        let all = std::iter::once(&self.own).chain(array);
        let released = all.clone().map(Shard::orphan).fold(0, usize::wrapping_add);
        let acquired = all.map(Shard::acquired).fold(0, usize::wrapping_add);
        if released == acquired {
            // ORDERING: Release passes on what the releases were seen with; Acquire for who did the same.
            self.direct.fetch_and(!SHARDED, Ordering::AcqRel);
        }
    }
}
