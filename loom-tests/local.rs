//! The models' side of `src/local.rs`: blocks that are kept after they are freed, or one that is reused at once; a
//! stripe chosen by the model; and no inflation but the one a model makes.

use crate::raw::pool::{Block, Depot, Magazine};
use crate::sync::{AtomicUsize, Ordering};
use crate::tuning;
use std::alloc::Layout;
use std::cell::{Cell, RefCell};

std::thread_local! {
    /// Every block of this execution. A std thread-local: loom runs all threads of a model on one.
    static BLOCKS: RefCell<Vec<(Block, Layout)>> = const { RefCell::new(Vec::new()) };
    static REUSE: Cell<bool> = const { Cell::new(false) };
}

loom::thread_local! {
    static INDEX: Cell<usize> = Cell::new(0);
}

loom::lazy_static! {
    static ref WORDS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    static ref KEYS: AtomicUsize = AtomicUsize::new(0);
}

const LAYOUT: Layout = match Layout::from_size_align(tuning::BLOCK, 64) {
    Ok(layout) => layout,
    Err(_) => panic!(),
};

/// Starts an execution: nothing of the one before is in use any more.
pub(crate) fn reset(reuse: bool) {
    REUSE.set(reuse);
    for (block, layout) in BLOCKS.take() {
        // SAFETY: allocated below, with this layout; the execution that used it is over.
        unsafe { std::alloc::dealloc(block, layout) };
    }
}

/// One slot and the hint.
fn depot() -> Depot<'static> {
    let words: &'static [AtomicUsize; 2] = &WORDS;
    Depot::new(&words[..1], &words[1])
}

pub(crate) fn allocate() -> Block {
    if REUSE.get()
        && let Some(block) = depot().take().and_then(|mut magazine| magazine.take())
    {
        return block;
    }
    // SAFETY: the layout is not empty.
    unsafe { allocate_bytes(LAYOUT) }
}

pub(crate) unsafe fn free(block: Block) {
    if REUSE.get() {
        let mut magazine = Magazine::EMPTY;
        // SAFETY: the caller's promise.
        unsafe { magazine.put(block) };
        drop(depot().put(magazine));
    }
}

/// Chooses the calling thread's stripe.
pub(crate) fn set_index(index: usize) {
    INDEX.with(|cell| cell.set(index));
}

pub(crate) fn index() -> usize {
    INDEX.with(Cell::get)
}

pub(crate) fn stripes() -> usize {
    tuning::STRIPES_MAX
}

pub(crate) fn lost_race() {}

pub(crate) fn is_contended() -> bool {
    false
}

pub(crate) fn next_key() -> usize {
    KEYS.fetch_add(1, Ordering::Relaxed) + 1
}

pub(crate) unsafe fn allocate_bytes(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::alloc::alloc(layout) };
    assert!(!bytes.is_null());
    BLOCKS.with_borrow_mut(|blocks| blocks.push((bytes, layout)));
    bytes
}

pub(crate) unsafe fn free_bytes(_: *mut u8, _: Layout) {}
