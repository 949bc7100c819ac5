//! The schedules' side of `src/local.rs`: blocks that are reused at once, or kept after they were freed; a stripe for each
//! thread; and stripes where threads meet, as in the library.

use crate::raw::callbacks::Queue;
use crate::raw::core::Core;
use crate::raw::drive::Drive;
use crate::raw::pool::Block;
use crate::raw::turn::upper;
use crate::sync::Channel;
use crate::tuning;
use std::alloc::Layout;
use std::cell::{Cell, RefCell};

const CLASSES: usize = tuning::BLOCKS.len();

std::thread_local! {
    /// All bytes of this schedule. Of the machine's thread, which runs all threads of a schedule.
    static BLOCKS: RefCell<Vec<(Block, Layout)>> = const { RefCell::new(Vec::new()) };
    static FREE: RefCell<[Vec<Block>; CLASSES]> = const { RefCell::new([const { Vec::new() }; CLASSES]) };
    static REUSE: Cell<bool> = const { Cell::new(false) };
    static KEYS: Cell<usize> = const { Cell::new(0) };
}

shuttle::thread_local! {
    static INDEX: Cell<usize> = Cell::new(0);
    static LOST_RACES: Cell<u32> = Cell::new(0);
}

shuttle::lazy_static! {
    static ref GLOBAL: Core = Core::new(Drive::Thread("schedules".into()), upper(|_, _, _| ()));
    static ref CALLBACKS: Queue = Queue::new();
    static ref DISCONNECTED: Channel = {
        let channel = Channel::new();
        // SAFETY: the one call for it.
        unsafe { channel.disconnect() };
        channel
    };
}

const fn layout(class: usize) -> Layout {
    match Layout::from_size_align(tuning::BLOCKS[class], 64) {
        Ok(layout) => layout,
        Err(_) => panic!(),
    }
}

/// Starts a schedule: nothing of the one before is in use any more. What is of the process is made before anything is counted.
pub(crate) fn reset(reuse: bool) {
    REUSE.set(reuse);
    KEYS.set(0);
    FREE.take();
    for (block, layout) in BLOCKS.take() {
        // SAFETY: allocated below, with this layout; the schedule that used it is over.
        unsafe { std::alloc::dealloc(block, layout) };
    }
    global();
    callbacks();
    disconnected();
}

pub(crate) fn allocate(class: usize) -> Block {
    match FREE.with_borrow_mut(|free| free[class].pop()) {
        Some(block) => block,
        // SAFETY: the layout is not empty.
        None => unsafe { allocate_bytes(layout(class)) },
    }
}

/// # Safety
///
/// As the library's.
pub(crate) unsafe fn free(class: usize, block: Block) {
    if REUSE.get() {
        FREE.with_borrow_mut(|free| free[class].push(block));
    }
}

/// Of the schedule, not of the process.
pub(crate) fn global() -> &'static Core {
    &GLOBAL
}

pub(crate) fn callbacks() -> &'static Queue {
    &CALLBACKS
}

pub(crate) fn disconnected() -> &'static Channel {
    &DISCONNECTED
}

/// Gives the calling thread its index.
pub(crate) fn set_index(index: usize) {
    INDEX.with(|cell| cell.set(index));
}

pub(crate) fn index() -> usize {
    INDEX.with(Cell::get)
}

pub(crate) fn known_index() -> usize {
    index() + 1
}

pub(crate) fn stripes() -> usize {
    tuning::STRIPES_MAX
}

pub(crate) fn lost_race() {
    LOST_RACES.with(|races| races.set(races.get() + 1));
}

pub(crate) fn is_contended() -> bool {
    LOST_RACES.with(|races| {
        let contended = races.get() >= tuning::CONTENTION_LIMIT;
        if contended {
            races.set(0);
        }
        contended
    })
}

pub(crate) fn next_key() -> usize {
    KEYS.set(KEYS.get() + 1);
    KEYS.get()
}

/// # Safety
///
/// As the library's.
pub(crate) unsafe fn allocate_bytes(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::alloc::alloc(layout) };
    assert!(!bytes.is_null());
    BLOCKS.with_borrow_mut(|blocks| blocks.push((bytes, layout)));
    bytes
}

/// # Safety
///
/// As the library's.
pub(crate) unsafe fn free_bytes(_: *mut u8, _: Layout) {}

pub(crate) fn is_watched() -> bool {
    false
}

pub(crate) fn gone(_: *const Core, _: usize) {}
