//! The shards of a hot node's chain count, and the word that leads to them.
//!
//! A shard counts up only: what was acquired in it and what was released in it, each by itself. Its owner, one thread,
//! acquires by a store, for nobody else writes that word; who is not the owner, and every release, takes an
//! RMW. A count is released in the shard of the thread that lets it go, wherever it was acquired: only the sums say
//! something.
//!
//! ```text
//!  63                             4 3     1 0
//! | pointer to the newest array    | shift | ORPHANED |      of 2 to the shift shards; 0: there are none
//! ```
//!
//! The first array is one shard, of the thread that found the node hot, in a block of the pool. Where threads fight
//! over it, one with a shard for each core, more or less, is installed before it. Arrays are kept until the node goes,
//! and those that are not the newest count on what they have. ORPHANED keeps an array from being installed.
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

/// One shard's counts, and whose it is.
#[derive(Debug)]
pub(super) struct Shard {
    /// One more than the owner's index; 0: nobody's yet.
    owner: AtomicUsize,
    /// Written by the owner alone.
    owned: AtomicUsize,
    shared: AtomicUsize,
    /// And ORPHANED.
    released: AtomicUsize,
    /// Of the first shard of an array: the array before.
    before: Shards,
    alive: Alive,
}

/// The block of a first shard.
const CLASS: usize = 0;
const BLOCK_ALIGN: usize = 64;
const _: () = assert!(size_of::<Shard>() <= tuning::BLOCKS[CLASS]);
const _: () = assert!(align_of::<Shard>() <= BLOCK_ALIGN);

impl Shard {
    fn new(owner: usize, before: Shards) -> Self {
        Self {
            owner: AtomicUsize::new(owner),
            owned: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
            before,
            alive: Alive::new(),
        }
    }

    /// By a store, where the calling thread is the owner; `false`: it is not.
    ///
    /// ORDERING: Relaxed, here and in `acquire`: whoever releases what this was acquired from does so after this. A thread
    /// finds itself the owner only where it wrote that; or has the index of one that has ended, which it took over with
    /// all that was done under it.
    #[inline(always)]
    fn acquire_as_owner(&self, thread: usize, more: usize) -> bool {
        let ours = self.owner.load(Ordering::Relaxed) == thread;
        if ours {
            let owned = self.owned.load(Ordering::Relaxed);
            self.owned
                .store(owned.wrapping_add(more), Ordering::Relaxed);
        }
        ours
    }

    /// By an RMW, or as the owner, which the calling thread is from now on if nobody was.
    fn acquire(&self, thread: usize, more: usize) {
        // The thread that finds itself there wrote it.
        let _ = self
            .owner
            .compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed);
        if !self.acquire_as_owner(thread, more) {
            self.shared.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// `Ok`: released, and by the counts alone: the node may be gone. `Err(Orphaned)`: nothing was done.
    ///
    /// ORDERING: Release pairs with `orphan`.
    #[inline(always)]
    pub(super) fn release(&self, less: usize) -> Result<(), Refused> {
        let seen = self.released.load(Ordering::Relaxed);
        if seen & ORPHANED_RELEASES != 0 {
            return Err(Refused::Orphaned);
        }
        self.released
            .compare_exchange(seen, seen + less, Ordering::Release, Ordering::Relaxed)
            .map_or(Err(Refused::RaceLost), |_| Ok(()))
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

/// Why a shard did not release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Orphaned,
    RaceLost,
}

/// Some shards: a power of two of them.
#[derive(Clone, Copy, Debug)]
struct Array {
    first: *mut Shard,
    shift: u32,
}

impl Array {
    /// One shard, of the calling thread.
    fn one() -> Self {
        let first = local::allocate(CLASS).cast::<Shard>();
        // SAFETY: a block is large enough, aligned, and nobody's.
        unsafe { first.write(Shard::new(local::index() + 1, Shards::NONE)) };
        Self { first, shift: 0 }
    }

    /// One for each core, nobody's yet.
    fn many(before: Shards) -> Self {
        let count = local::stripes();
        debug_assert!(count.is_power_of_two() && (2..=tuning::STRIPES_MAX).contains(&count));
        let made: Box<[CachePadded<Shard>]> = (0..count)
            .map(|_| CachePadded::new(Shard::new(0, before)))
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
    unsafe fn get<'a>(self, index: usize) -> &'a Shard {
        let padded = self.first.cast::<CachePadded<Shard>>();
        // SAFETY: within the array, which the caller keeps. `CachePadded` begins with what it pads.
        let shard = unsafe { &*padded.add(index & (self.count() - 1)).cast::<Shard>() };
        shard.alive.check();
        shard
    }

    /// # Safety
    ///
    /// Nobody uses it, now or later.
    unsafe fn free(self) {
        for index in 0..self.count() {
            // SAFETY: it is still there.
            unsafe { self.get(index) }.alive.end();
        }
        if self.shift == 0 {
            // SAFETY: made by `one`, and given up by the caller.
            unsafe {
                ptr::drop_in_place(self.first);
                local::free(CLASS, self.first.cast());
            }
        } else {
            let padded = self.first.cast::<CachePadded<Shard>>();
            let array = ptr::slice_from_raw_parts_mut(padded, self.count());
            // SAFETY: made from a box of this length in `many`.
            drop(unsafe { Box::from_raw(array) });
        }
    }

    fn encode(self) -> usize {
        self.first.expose_provenance() | (self.shift as usize) << SHIFT_SHIFT
    }
}

const ORPHANED: usize = 1 << 0;
const SHIFT_SHIFT: u32 = 1;
const SHIFT: usize = 7 << SHIFT_SHIFT;
const FLAGS: usize = ORPHANED | SHIFT;

const _: () = assert!(tuning::STRIPES_MAX.ilog2() as usize <= SHIFT >> SHIFT_SHIFT);
const _: () = assert!(FLAGS < BLOCK_ALIGN && BLOCK_ALIGN <= align_of::<CachePadded<Shard>>());

/// Where a node's shards are: the word as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shards(usize);

impl Shards {
    const NONE: Self = Self(0);

    #[inline(always)]
    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// There are some, and they are not orphaned.
    #[inline(always)]
    pub(super) const fn are_open(self) -> bool {
        self.0 != 0 && !self.is_orphaned()
    }

    #[inline(always)]
    pub(super) const fn is_orphaned(self) -> bool {
        self.0 & ORPHANED != 0
    }

    /// Whether there is one for each core.
    pub(super) const fn is_wide(self) -> bool {
        self.0 & SHIFT != 0
    }

    /// The newest array. There is one.
    #[inline(always)]
    fn array(self) -> Array {
        Array {
            first: ptr::with_exposed_provenance_mut(self.0 & !FLAGS),
            shift: ((self.0 & SHIFT) >> SHIFT_SHIFT) as u32,
        }
    }

    /// The shard of a thread. There are some.
    ///
    /// # Safety
    ///
    /// The node keeps its shards for as long as the answer is used.
    #[inline(always)]
    unsafe fn of<'a>(self, thread: usize) -> &'a Shard {
        if self.0 & FLAGS == 0 {
            // One, where the word points: the straight way.
            // SAFETY: the caller's promise.
            let shard = unsafe { &*ptr::with_exposed_provenance::<Shard>(self.0) };
            shard.alive.check();
            shard
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.array().get(thread) }
        }
    }

    /// Acquires in the calling thread's shard, if it is the owner. There are some.
    ///
    /// # Safety
    ///
    /// The node keeps its shards meanwhile.
    #[inline(always)]
    pub(super) unsafe fn acquire_as_owner(self, more: usize) -> bool {
        let thread = local::known_index();
        // SAFETY: the caller's promise.
        let shard = unsafe { self.of(thread) };
        // 0 is nobody, and takes nothing.
        thread != 0 && shard.acquire_as_owner(thread, more)
    }

    /// As `acquire_as_owner`, or not as the owner.
    ///
    /// # Safety
    ///
    /// As `acquire_as_owner`.
    pub(super) unsafe fn acquire(self, more: usize) {
        let thread = local::index() + 1;
        // SAFETY: the caller's promise.
        unsafe { self.of(thread) }.acquire(thread, more);
    }

    /// The shard that the calling thread releases in. There are some.
    ///
    /// # Safety
    ///
    /// The node keeps its shards for as long as the answer is used.
    #[inline(always)]
    pub(super) unsafe fn of_thread<'a>(self) -> &'a Shard {
        // SAFETY: the caller's promise. Any will do for a thread that has no index yet.
        unsafe { self.of(local::known_index()) }
    }

    /// The arrays, the newest first.
    ///
    /// # Safety
    ///
    /// The node keeps its shards for as long as the answer is used.
    unsafe fn arrays(self) -> impl Iterator<Item = Array> + Clone {
        let some = |shards: Self| (!shards.is_none()).then_some(shards);
        std::iter::successors(some(self), move |shards| {
            // SAFETY: the caller's promise.
            some(unsafe { shards.array().get(0) }.before)
        })
        .map(Self::array)
    }

    /// All of them, of all arrays.
    ///
    /// # Safety
    ///
    /// As `arrays`.
    pub(super) unsafe fn iter<'a>(self) -> impl Iterator<Item = &'a Shard> + Clone {
        // SAFETY: the caller's promise.
        unsafe { self.arrays() }.flat_map(|array| {
            // SAFETY: as above.
            (0..array.count()).map(move |index| unsafe { array.get(index) })
        })
    }

    /// # Safety
    ///
    /// Nobody uses them, now or later.
    #[cold]
    unsafe fn free(self) {
        // SAFETY: they are still there; each is asked for the one before it goes.
        for array in unsafe { self.arrays() } {
            // SAFETY: `successors` has asked it already.
            unsafe { array.free() };
        }
    }
}

/// The word.
#[derive(Debug)]
pub(super) struct ShardsWord(AtomicUsize);

impl ShardsWord {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// ORDERING: Acquire pairs with `install`: the shards are made, and stand for a direct count.
    #[inline(always)]
    pub(super) fn load(&self) -> Shards {
        Shards(self.0.load(Ordering::Acquire))
    }

    /// Installs the first shard, the calling thread's; unless there is one.
    pub(super) fn open(&self) {
        if self.load().is_none() {
            self.install(Shards::NONE, Array::one());
        }
    }

    /// Installs one for each core, unless there are; or none yet, or they are orphaned. Allocates.
    pub(super) fn widen(&self) {
        let seen = self.load();
        if seen.are_open() && !seen.is_wide() {
            self.install(seen, Array::many(seen));
        }
    }

    /// ORDERING: Release publishes the array, and the direct count that shards stand for.
    fn install(&self, seen: Shards, array: Array) {
        let installed =
            self.0
                .compare_exchange(seen.0, array.encode(), Ordering::Release, Ordering::Relaxed);
        if installed.is_err() {
            // SAFETY: new, and seen by nobody.
            unsafe { array.free() };
        }
    }

    /// From now on none is installed, and who clones counts directly. Answers with what there is.
    pub(super) fn orphan(&self) -> Shards {
        Shards(self.0.fetch_or(ORPHANED, Ordering::AcqRel))
    }
}

impl Drop for ShardsWord {
    #[inline]
    fn drop(&mut self) {
        let shards = Shards(self.0.load(Ordering::Relaxed));
        if !shards.is_none() {
            // SAFETY: the node is being freed (R10).
            unsafe { shards.free() };
        }
    }
}
