//! The models' side of `src/local.rs`: blocks that are kept after they are freed, or one that is reused at once; a
//! stripe chosen by the model; and no inflation but the one a model makes.

use crate::raw::callbacks::Queue;
use crate::raw::core::Core;
use crate::raw::drive::Drive;
use crate::raw::pool::{Block, Depot, Magazine};
use crate::raw::turn::upper;
use crate::sync::{AtomicUsize, Channel, Ordering};
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

const CLASSES: usize = tuning::BLOCKS.len();

loom::lazy_static! {
    static ref KEYS: AtomicUsize = AtomicUsize::new(0);
    /// Of each class, one slot, what is loose, and the hint.
    static ref DEPOTS: [[AtomicUsize; 3]; CLASSES] =
        std::array::from_fn(|_| std::array::from_fn(|_| AtomicUsize::new(0)));
    static ref GLOBAL: Core = Core::new(Drive::Thread("models".into()), upper(|_, _, _| ()));
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

/// Starts an execution: nothing of the one before is in use any more.
pub(crate) fn reset(reuse: bool) {
    REUSE.set(reuse);
    for (block, layout) in BLOCKS.take() {
        // SAFETY: allocated below, with this layout; the execution that used it is over.
        unsafe { std::alloc::dealloc(block, layout) };
    }
}

fn depot(class: usize) -> Depot<'static> {
    let depots: &'static [[AtomicUsize; 3]; CLASSES] = &DEPOTS;
    let [slot, loose, hint] = &depots[class];
    Depot::new(std::slice::from_ref(slot), loose, hint)
}

pub(crate) fn allocate(class: usize) -> Block {
    if REUSE.get()
        && let Some(block) = depot(class).take().and_then(|mut magazine| magazine.take())
    {
        return block;
    }
    // SAFETY: the layout is not empty.
    unsafe { allocate_bytes(layout(class)) }
}

pub(crate) unsafe fn free(class: usize, block: Block) {
    tuning::window("block freed");
    if REUSE.get() {
        let mut magazine = Magazine::EMPTY;
        // SAFETY: the caller's promise.
        unsafe { magazine.put(block) };
        let _no_room = depot(class).put(magazine);
    }
}

/// Of the execution, not of the process.
pub(crate) fn global() -> &'static Core {
    &GLOBAL
}

pub(crate) fn callbacks() -> &'static Queue {
    &CALLBACKS
}

pub(crate) fn disconnected() -> &'static Channel {
    &DISCONNECTED
}

/// Chooses the calling thread's stripe.
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

pub(crate) fn is_watched() -> bool {
    false
}

pub(crate) fn gone(_: *const Core, _: usize) {}

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
