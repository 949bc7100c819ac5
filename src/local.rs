//! What a thread keeps to itself: its magazines of blocks, its stripe, and how often it lost a race of late; and what the
//! whole process shares.
//!
//! The cell has no destructor, so reaching it is one load from the thread pointer; a guard beside it, registered the
//! first time the thread goes to the depot, gives the magazines back when the thread ends. A block freed after that
//! goes to the allocator.
//!
//! With `--cfg ripcord_no_pool` every block comes from the allocator and goes back there, for sanitizers.

// Named, for a test that has this file by its path, and the directory not beside it.
#[path = "local/index.rs"]
mod index;
#[path = "local/stock.rs"]
mod stock;

pub(crate) use stock::{blocks, stock, trim};

use crate::monitor;
use crate::raw::callbacks::Queue;
use crate::raw::core::Core;
use crate::raw::drive::Drive;
use crate::raw::head::ADDRESS_BITS;
use crate::raw::pool::{Block, Depot, Magazine};
use crate::raw::turn::upper;
use crate::sync::{AtomicUsize, Channel, Ordering};
use crate::tuning;
use std::alloc::{Layout, handle_alloc_error};
use std::cell::UnsafeCell;
use std::ptr;

const CLASSES: usize = tuning::BLOCKS.len();

static SLOTS: [[AtomicUsize; tuning::DEPOT]; CLASSES] =
    [const { [const { AtomicUsize::new(0) }; tuning::DEPOT] }; CLASSES];
static LOOSE: [AtomicUsize; CLASSES] = [const { AtomicUsize::new(0) }; CLASSES];
static MAGAZINES: [AtomicUsize; CLASSES] = [const { AtomicUsize::new(0) }; CLASSES];
/// Blocks in the depot.
static STOCKED: [AtomicUsize; CLASSES] = [const { AtomicUsize::new(0) }; CLASSES];
/// Blocks that came from the allocator and did not go back.
static ALLOCATED: [AtomicUsize; CLASSES] = [const { AtomicUsize::new(0) }; CLASSES];
static STRIPES: AtomicUsize = AtomicUsize::new(0);
static KEYS: AtomicUsize = AtomicUsize::new(0);

fn depot(class: usize) -> Depot<'static> {
    Depot::new(&SLOTS[class], &LOOSE[class], &MAGAZINES[class])
}

const LAYOUTS: [Layout; CLASSES] = [layout(tuning::BLOCKS[0]), layout(tuning::BLOCKS[1])];

const fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, 64) {
        Ok(layout) if size.is_multiple_of(64) => layout,
        _ => panic!("a block is a whole number of cache lines"),
    }
}

struct Pair {
    loaded: Magazine,
    spare: Magazine,
}

struct Local {
    blocks: [Pair; CLASSES],
    /// One more than the thread's index; 0: it has none yet.
    index: usize,
    lost_races: u32,
    /// Magazines are kept: the thread is registered to give them back, and not at its end.
    pooled: bool,
}

thread_local! {
    static LOCAL: UnsafeCell<Local> = const {
        UnsafeCell::new(Local {
            blocks: [const {
                Pair {
                    loaded: Magazine::EMPTY,
                    spare: Magazine::EMPTY,
                }
            }; CLASSES],
            index: 0,
            lost_races: 0,
            pooled: false,
        })
    };
    static GIVE_BACK: GiveBack = const { GiveBack };
    static GIVE_INDEX: GiveIndex = const { GiveIndex };
}

struct GiveIndex;

impl Drop for GiveIndex {
    fn drop(&mut self) {
        let index = with(|local| std::mem::take(&mut local.index));
        index::give(index - 1);
    }
}

struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        for class in 0..CLASSES {
            let (loaded, spare) = with(|local| {
                local.pooled = false;
                let pair = &mut local.blocks[class];
                let take = |magazine| std::mem::replace(magazine, Magazine::EMPTY);
                (take(&mut pair.loaded), take(&mut pair.spare))
            });
            give(class, loaded);
            give(class, spare);
        }
    }
}

/// `f` calls nothing that is not ours: an allocator may come back here.
#[inline(always)]
fn with<R>(f: impl FnOnce(&mut Local) -> R) -> R {
    // SAFETY: the cell is this thread's and has no destructor to be behind; as `f` does not come back here, this is
    // the one borrow.
    LOCAL.with(|local| f(unsafe { &mut *local.get() }))
}

/// The bytes of a block of a class, aligned to 64, in nobody's use. From the thread's magazine; else from the depot; else
/// from the allocator.
#[inline]
pub(crate) fn allocate(class: usize) -> Block {
    with(|local| local.blocks[class].loaded.take()).unwrap_or_else(|| refill(class))
}

/// Gives a block's bytes back.
///
/// # Safety
///
/// The block came from [`allocate`], of this class, and nobody uses it.
#[inline]
pub(crate) unsafe fn free(class: usize, block: Block) {
    // SAFETY: the caller's promise.
    if !with(|local| unsafe { local.put(class, block) }) {
        // SAFETY: the caller's promise.
        unsafe { free_to_depot(class, block) };
    }
}

impl Local {
    /// # Safety
    ///
    /// The block is the caller's, and passes to the magazine where the answer is yes.
    #[inline(always)]
    unsafe fn put(&mut self, class: usize, block: Block) -> bool {
        let loaded = &mut self.blocks[class].loaded;
        let room = self.pooled && loaded.len() < tuning::MAGAZINE;
        if room {
            // SAFETY: the caller's promise.
            unsafe { loaded.put(block) };
        }
        room
    }
}

#[cold]
fn refill(class: usize) -> Block {
    let spare = with(|local| {
        let Pair { loaded, spare } = &mut local.blocks[class];
        std::mem::swap(loaded, spare);
        loaded.take()
    });
    if let Some(block) = spare {
        return block;
    }
    let is_first = with(|local| !local.pooled);
    if register()
        && let Some(mut magazine) = take(class)
    {
        if is_first {
            give(class, magazine.split_off(tuning::FIRST_BLOCKS));
        }
        let kept = with(|local| std::mem::replace(&mut local.blocks[class].loaded, magazine));
        give(class, kept);
        if let Some(block) = with(|local| local.blocks[class].loaded.take()) {
            return block;
        }
    }
    allocate_one(class)
}

/// # Safety
///
/// As [`free`].
#[cold]
unsafe fn free_to_depot(class: usize, block: Block) {
    if !register() {
        // SAFETY: the caller gives it up.
        unsafe { free_one(class, block) };
        return;
    }
    let full = with(|local| {
        let Pair { loaded, spare } = &mut local.blocks[class];
        let mut full = Magazine::EMPTY;
        if loaded.len() == tuning::MAGAZINE {
            std::mem::swap(loaded, spare);
            if loaded.len() == tuning::MAGAZINE {
                full = std::mem::replace(loaded, Magazine::EMPTY);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { loaded.put(block) };
        full
    });
    give(class, full);
}

/// Sees to it that the thread has an index and keeps magazines, to be given back at its end; `false`: it is past that, or
/// none does.
fn register() -> bool {
    let _ = index();
    let pooled = !cfg!(ripcord_no_pool)
        && (with(|local| local.pooled) || GIVE_BACK.try_with(|_| ()).is_ok());
    with(|local| local.pooled = pooled);
    pooled
}

fn allocate_one(class: usize) -> Block {
    let layout = LAYOUTS[class];
    // SAFETY: the layout is not empty.
    let block = unsafe { std::alloc::alloc(layout) };
    if block.is_null() {
        handle_alloc_error(layout);
    }
    // More the head word of a list and a slot of a nursery have no room for.
    assert!(
        block.addr() >> ADDRESS_BITS == 0,
        "an allocation outside the 48-bit address space"
    );
    ALLOCATED[class].fetch_add(1, Ordering::Relaxed);
    block
}

fn allocate_many(class: usize, blocks: usize) -> Magazine {
    let mut magazine = Magazine::EMPTY;
    for _ in 0..blocks {
        // SAFETY: fresh from the allocator.
        unsafe { magazine.put(allocate_one(class)) };
    }
    magazine
}

/// # Safety
///
/// The block came from [`allocate_one`], of this class, and nobody uses it.
unsafe fn free_one(class: usize, block: Block) {
    ALLOCATED[class].fetch_sub(1, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe { std::alloc::dealloc(block, LAYOUTS[class]) };
}

/// Leaves a magazine to the depot, or its blocks to the allocator.
fn give(class: usize, magazine: Magazine) {
    // Before they can be taken from there.
    STOCKED[class].fetch_add(magazine.len(), Ordering::Relaxed);
    for magazine in depot(class).put(magazine) {
        STOCKED[class].fetch_sub(magazine.len(), Ordering::Relaxed);
        free_all(class, magazine);
    }
}

/// A magazine of the depot's.
fn take(class: usize) -> Option<Magazine> {
    let magazine = depot(class).take()?;
    STOCKED[class].fetch_sub(magazine.len(), Ordering::Relaxed);
    Some(magazine)
}

fn free_all(class: usize, mut magazine: Magazine) {
    while let Some(block) = magazine.take() {
        // SAFETY: every block came from `allocate_one`, and those of a magazine are in nobody's use.
        unsafe { free_one(class, block) };
    }
}

/// The timers that serve the whole process, made by whoever first asks. Lock-free; allocates then.
#[inline]
pub(crate) fn global() -> &'static Core {
    static GLOBAL: AtomicUsize = AtomicUsize::new(0);
    leaked(&GLOBAL, || {
        Core::new(
            Drive::Thread("ripcord-timers".into()),
            upper(monitor::ended),
        )
    })
}

/// What is to be run by callback threads, made by whoever first asks. Lock-free; allocates then.
pub(crate) fn callbacks() -> &'static Queue {
    static CALLBACKS: AtomicUsize = AtomicUsize::new(0);
    leaked(&CALLBACKS, Queue::new)
}

/// A channel that is disconnected, made by whoever first asks. Lock-free; allocates then.
pub(crate) fn disconnected() -> &'static Channel {
    static DISCONNECTED: AtomicUsize = AtomicUsize::new(0);
    leaked(&DISCONNECTED, || {
        let channel = Channel::new();
        // SAFETY: the one call for it.
        unsafe { channel.disconnect() };
        channel
    })
}

/// What `word` points at, put there by the first call and never freed. One `T` a word.
#[inline]
fn leaked<T: Sync>(word: &'static AtomicUsize, make: impl FnOnce() -> T) -> &'static T {
    // ORDERING: Acquire pairs with the Release in `leak`.
    let there = match word.load(Ordering::Acquire) {
        0 => leak(word, make),
        there => there,
    };
    // SAFETY: it was leaked there, as a `T`.
    unsafe { &*ptr::with_exposed_provenance(there) }
}

#[cold]
fn leak<T: Sync>(word: &'static AtomicUsize, make: impl FnOnce() -> T) -> usize {
    let made = Box::into_raw(Box::new(make()));
    let there = made.expose_provenance();
    match word.compare_exchange(0, there, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => there,
        Err(first) => {
            // SAFETY: made above and seen by nobody.
            drop(unsafe { Box::from_raw(made) });
            first
        }
    }
}

/// The thread's index. No two threads have the same at a time; who has one of a thread that has ended comes after all
/// which that did.
pub(crate) fn index() -> usize {
    match known_index() {
        0 => take_index(),
        known => known - 1,
    }
}

/// One more than the thread's index, by which it picks its stripe of a node; 0: it has none yet, and never had a block.
#[inline(always)]
pub(crate) fn known_index() -> usize {
    with(|local| local.index)
}

#[cold]
fn take_index() -> usize {
    // At the thread's end nobody would give it back.
    let index = if GIVE_INDEX.try_with(|_| ()).is_ok() {
        index::take()
    } else {
        index::take_for_good()
    };
    with(|local| local.index = index + 1);
    index
}

/// How many stripes a node gets: the cores of this machine, up to a bound.
pub(crate) fn stripes() -> usize {
    match STRIPES.load(Ordering::Relaxed) {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let stripes = cores.next_power_of_two().clamp(2, tuning::STRIPES_MAX);
            STRIPES.store(stripes, Ordering::Relaxed);
            stripes
        }
        stripes => stripes,
    }
}

/// Whether somebody watches what goes: one load of a line that is only read.
#[inline(always)]
pub(crate) fn is_watched() -> bool {
    !monitor::is_off()
}

/// Tells who watches that contexts of these timers have gone. Runs hooks, a panic contained.
#[cold]
pub(crate) fn gone(core: *const Core, contexts: usize) {
    monitor::gone(core, contexts);
}

/// Notes a lost race on a list.
#[cold]
pub(crate) fn lost_race() {
    with(|local| local.lost_races = local.lost_races.saturating_add(1));
}

/// Whether this thread has lost so many races that the node it is at is worth stripes. Asked once, it starts anew.
#[cold]
pub(crate) fn is_contended() -> bool {
    with(|local| {
        let contended = local.lost_races >= tuning::CONTENTION_LIMIT;
        if contended {
            local.lost_races = 0;
        }
        contended
    })
}

/// A number that no key has yet, from 1.
pub(crate) fn next_key() -> usize {
    KEYS.fetch_add(1, Ordering::Relaxed) + 1
}

/// The class of the smallest blocks that such bytes fit in. `None`: they are the allocator's, as all are where a sanitizer is to
/// see where they end.
#[inline(always)]
fn class_for(bytes: Layout) -> Option<usize> {
    let fits = |block: &Layout| bytes.size() <= block.size() && bytes.align() <= block.align();
    (!cfg!(ripcord_no_pool)).then(|| LAYOUTS.iter().position(fits))?
}

/// Bytes that are no record's: a block, where they fit in one.
///
/// # Safety
///
/// The layout is not empty.
#[inline]
pub(crate) unsafe fn allocate_bytes(layout: Layout) -> *mut u8 {
    if let Some(class) = class_for(layout) {
        return allocate(class);
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::alloc::alloc(layout) };
    if bytes.is_null() {
        handle_alloc_error(layout);
    }
    bytes
}

/// Gives them back.
///
/// # Safety
///
/// They came from [`allocate_bytes`] with this layout, and nobody uses them.
#[inline]
pub(crate) unsafe fn free_bytes(bytes: *mut u8, layout: Layout) {
    // SAFETY: the caller's promise; a layout is of one class.
    unsafe {
        match class_for(layout) {
            Some(class) => free(class, bytes),
            None => std::alloc::dealloc(bytes, layout),
        }
    }
}
