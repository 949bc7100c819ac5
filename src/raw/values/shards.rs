//! The shards of a hot node's chain count, and the word that leads to them.
//!
//! A shard counts up only: what was acquired in it and what was released in it, each by itself. Its owner, one thread
//! for good, acquires by a store, for nobody else writes that word; who is not the owner, and every release, takes an
//! RMW. A count is released in the shard of the thread that lets it go, wherever it was acquired: only the sums say
//! something.
//!
//! ```text
//!  63                     5 4     2  1    0
//! | pointer to the array   | shift | OWN ORPHANED |      OWN clear: one shard a core, more or less
//! | index of the owner             | OWN ORPHANED |      OWN set: the one in the node, and who owns it
//! ```
//!
//! 0: none. The word is changed by CAS, from 0 to OWN and from OWN to an array, until ORPHANED is set, which keeps an
//! array from being installed.
//!
//! Called by `chain`.

use crate::local;
use crate::sync::{Alive, AtomicUsize, Ordering};
use crate::tuning;
use crossbeam_utils::CachePadded;
use std::ptr;

/// In a word of releases: from now on who lets go has to look whether it is the last. Of the same word as the count, so
/// that a release comes either before it, and is counted by who sets it, or after it, and sees it.
const ORPHANED_RELEASES: usize = 1 << 63;

/// One shard's counts.
#[derive(Debug)]
pub(super) struct Shard {
    /// Written by the owner alone.
    owned: AtomicUsize,
    shared: AtomicUsize,
    /// And ORPHANED.
    released: AtomicUsize,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            owned: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
        }
    }

    /// The calling thread is the owner.
    ///
    /// ORDERING: Relaxed, as in `acquire`: whoever released what this was acquired from did so after this.
    #[inline(always)]
    pub(super) fn acquire_as_owner(&self, more: usize) {
        let owned = self.owned.load(Ordering::Relaxed);
        self.owned.store(owned + more, Ordering::Relaxed);
    }

    /// ORDERING: Relaxed as in `acquire_as_owner`.
    pub(super) fn acquire(&self, more: usize) {
        self.shared.fetch_add(more, Ordering::Relaxed);
    }

    /// `Ok`: released, and by the counts alone: the node may be gone. `Err(true)`: nothing was done, for the shards are
    /// orphaned; `Err(false)`: for a race was lost.
    ///
    /// ORDERING: Release pairs with `orphan`.
    #[inline(always)]
    pub(super) fn release(&self, less: usize) -> Result<(), bool> {
        let seen = self.released.load(Ordering::Relaxed);
        if seen & ORPHANED_RELEASES != 0 {
            return Err(true);
        }
        self.released
            .compare_exchange(seen, seen + less, Ordering::Release, Ordering::Relaxed)
            .map(drop)
            .map_err(|_| false)
    }

    /// Releases in a shard that is orphaned.
    ///
    /// ORDERING: AcqRel on both sides, here and in `orphan`: of two who release in two shards and then look at both, one
    /// finds the other's. Acquire also so that what was acquired before the shards were orphaned is seen.
    pub(super) fn release_orphaned(&self, less: usize) {
        self.released.fetch_add(less, Ordering::AcqRel);
    }

    /// Marks it, and says how much was released in it. An RMW, for that reads the latest.
    pub(super) fn orphan(&self) -> usize {
        self.released.fetch_or(ORPHANED_RELEASES, Ordering::AcqRel) & !ORPHANED_RELEASES
    }

    /// How much was acquired in it: no less than what belongs to the releases that the calling thread has seen.
    pub(super) fn acquired(&self) -> usize {
        let owned = self.owned.load(Ordering::Relaxed);
        owned.wrapping_add(self.shared.load(Ordering::Relaxed))
    }
}

/// One of an array: a shard and whose it is.
#[derive(Debug)]
struct Padded {
    /// One more than the owner's index; 0: nobody's yet.
    owner: AtomicUsize,
    shard: Shard,
    alive: Alive,
}

/// An array of shards: a power of two of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array {
    first: *mut CachePadded<Padded>,
    shift: u32,
}

impl Array {
    fn allocate(count: usize) -> Self {
        debug_assert!(count.is_power_of_two() && count <= tuning::STRIPES_MAX);
        let made: Box<[CachePadded<Padded>]> = (0..count)
            .map(|_| {
                CachePadded::new(Padded {
                    owner: AtomicUsize::new(0),
                    shard: Shard::new(),
                    alive: Alive::new(),
                })
            })
            .collect();
        Self {
            first: Box::into_raw(made).cast(),
            shift: count.ilog2(),
        }
    }

    const fn count(self) -> usize {
        1 << self.shift
    }

    /// # Safety
    ///
    /// The node keeps its shards for as long as the answer is used.
    #[inline(always)]
    unsafe fn get<'a>(self, index: usize) -> &'a Padded {
        // SAFETY: within the array, which the caller keeps.
        let padded = unsafe { &*self.first.add(index & (self.count() - 1)) };
        padded.alive.check();
        padded
    }

    /// The shard that the calling thread releases in.
    ///
    /// # Safety
    ///
    /// As `get`.
    #[inline(always)]
    pub(super) unsafe fn of_thread<'a>(self) -> &'a Shard {
        // SAFETY: the caller's promise.
        &unsafe { self.get(local::index()) }.shard
    }

    /// Acquires in the thread's shard, which is its own from now on if it is nobody's.
    ///
    /// # Safety
    ///
    /// As `get`.
    #[inline(always)]
    pub(super) unsafe fn acquire(self, more: usize) {
        let index = local::index();
        // SAFETY: the caller's promise.
        let padded = unsafe { self.get(index) };
        // ORDERING: Relaxed: a thread finds itself there only if it was the one who wrote that.
        let owner = padded.owner.load(Ordering::Relaxed);
        if owner == index + 1 || owner == 0 && padded.claim(index) {
            padded.shard.acquire_as_owner(more);
        } else {
            padded.shard.acquire(more);
        }
    }

    /// # Safety
    ///
    /// As `get`.
    pub(super) unsafe fn iter<'a>(self) -> impl Iterator<Item = &'a Shard> + Clone {
        // SAFETY: the caller's promise.
        (0..self.count()).map(move |index| &unsafe { self.get(index) }.shard)
    }

    /// # Safety
    ///
    /// Nobody uses it, now or later.
    unsafe fn free(self) {
        for index in 0..self.count() {
            // SAFETY: it is still there.
            unsafe { self.get(index) }.alive.end();
        }
        let array = ptr::slice_from_raw_parts_mut(self.first, self.count());
        // SAFETY: made from a box of this length in `allocate`.
        drop(unsafe { Box::from_raw(array) });
    }

    fn encode(self) -> usize {
        self.first.expose_provenance() | (self.shift as usize) << SHIFT_SHIFT
    }
}

impl Padded {
    #[cold]
    fn claim(&self, index: usize) -> bool {
        self.owner
            .compare_exchange(0, index + 1, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

const ORPHANED: usize = 1 << 0;
const OWN: usize = 1 << 1;
const INDEX_SHIFT: u32 = 2;
const SHIFT_SHIFT: u32 = 2;
const SHIFT: usize = 7 << SHIFT_SHIFT;

const _: () = assert!(tuning::STRIPES_MAX.ilog2() as usize <= SHIFT >> SHIFT_SHIFT);
const _: () = assert!(ORPHANED | OWN | SHIFT < align_of::<CachePadded<Padded>>());

/// Where a node's shards are.
#[derive(Debug)]
pub(super) struct ShardsWord(AtomicUsize);

/// The word as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shards(usize);

impl Shards {
    #[inline(always)]
    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether the node's own is the one there is, and the calling thread's.
    #[inline(always)]
    pub(super) fn is_of_thread(self) -> bool {
        self.0 == own(local::index())
    }

    pub(super) const fn is_orphaned(self) -> bool {
        self.0 & ORPHANED != 0
    }

    /// `None`: the node's own is the one there is.
    #[inline(always)]
    pub(super) fn array(self) -> Option<Array> {
        let word = self.0 & !ORPHANED;
        (word != 0 && word & OWN == 0).then(|| Array {
            first: ptr::with_exposed_provenance_mut(word & !SHIFT),
            shift: ((word & SHIFT) >> SHIFT_SHIFT) as u32,
        })
    }
}

#[inline(always)]
const fn own(index: usize) -> usize {
    index << INDEX_SHIFT | OWN
}

impl ShardsWord {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// ORDERING: Acquire pairs with `open` and `widen`: the shards are made, and stand for a direct count.
    #[inline(always)]
    pub(super) fn load(&self) -> Shards {
        Shards(self.0.load(Ordering::Acquire))
    }

    /// Makes the node's own a shard, of the calling thread; unless there are shards.
    pub(super) fn open(&self) {
        let own = own(local::index());
        // Else there are some, and any will do.
        // ORDERING: Release publishes the direct count that they stand for.
        let _ = self
            .0
            .compare_exchange(0, own, Ordering::Release, Ordering::Relaxed);
    }

    /// Installs an array beside the node's own, unless there is one or they are orphaned. Allocates.
    #[cold]
    pub(super) fn widen(&self) {
        let seen = self.load();
        if seen.is_none() || seen.is_orphaned() || seen.array().is_some() {
            return;
        }
        let array = Array::allocate(local::stripes());
        // ORDERING: Release publishes the array.
        let installed =
            self.0
                .compare_exchange(seen.0, array.encode(), Ordering::Release, Ordering::Relaxed);
        if installed.is_err() {
            // SAFETY: made above and seen by nobody.
            unsafe { array.free() };
        }
    }

    /// From now on none is installed, and who clones counts directly. Answers with what there is.
    pub(super) fn orphan(&self) -> Shards {
        Shards(self.0.fetch_or(ORPHANED, Ordering::AcqRel))
    }
}

impl Drop for ShardsWord {
    fn drop(&mut self) {
        if let Some(array) = Shards(self.0.load(Ordering::Relaxed)).array() {
            // SAFETY: the node is being freed.
            unsafe { array.free() };
        }
    }
}
