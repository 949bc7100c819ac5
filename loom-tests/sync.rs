//! The models' side of `src/sync.rs`: the same names, on loom's types.

pub(crate) use loom::sync::atomic::Ordering;

use loom::cell::UnsafeCell as LoomUnsafeCell;
use loom::sync::atomic::AtomicUsize as LoomAtomicUsize;
use std::cell::Cell;
use std::task::Waker;

std::thread_local! {
    static EVERY_ORDER: Cell<bool> = const { Cell::new(false) };
}

/// Has models that start on this thread explore every order of two loads too.
///
/// Loom orders a write with the last read before it and no other (tokio-rs/loom#166, #392). So who reads before it
/// writes, as every CAS here does, hides the reads of others: it is never explored that it came before them.
pub(crate) fn explore_every_order(on: bool) {
    EVERY_ORDER.set(on);
}

/// Loom's, which also reports an access that does not happen before the free of the record it is in.
#[derive(Debug)]
pub(crate) struct AtomicUsize {
    word: LoomAtomicUsize,
    /// Written beside each load, to give it an order with the others.
    loads: LoomAtomicUsize,
    alive: LoomUnsafeCell<bool>,
}

// SAFETY: loom watches the cell.
unsafe impl Sync for AtomicUsize {}

impl AtomicUsize {
    pub(crate) fn new(value: usize) -> Self {
        Self {
            word: LoomAtomicUsize::new(value),
            loads: LoomAtomicUsize::new(0),
            alive: LoomUnsafeCell::new(true),
        }
    }

    /// Looks before the access, for that may be the last of this thread, and release the record to who frees it.
    fn word(&self) -> &LoomAtomicUsize {
        // SAFETY: loom reports a write that is concurrent with this read.
        self.alive
            .with(|alive| assert!(unsafe { *alive }, "used after it was freed"));
        &self.word
    }

    pub(crate) fn load(&self, order: Ordering) -> usize {
        let word = self.word();
        if EVERY_ORDER.get() {
            self.loads.fetch_or(0, Ordering::Relaxed);
        }
        word.load(order)
    }

    pub(crate) fn store(&self, value: usize, order: Ordering) {
        self.word().store(value, order);
    }

    pub(crate) fn swap(&self, value: usize, order: Ordering) -> usize {
        self.word().swap(value, order)
    }

    pub(crate) fn compare_exchange(
        &self,
        from: usize,
        to: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.word().compare_exchange(from, to, success, failure)
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        from: usize,
        to: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.word()
            .compare_exchange_weak(from, to, success, failure)
    }

    pub(crate) fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        self.word().fetch_add(value, order)
    }

    pub(crate) fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
        self.word().fetch_sub(value, order)
    }

    pub(crate) fn fetch_or(&self, value: usize, order: Ordering) -> usize {
        self.word().fetch_or(value, order)
    }

    pub(crate) fn fetch_and(&self, value: usize, order: Ordering) -> usize {
        self.word().fetch_and(value, order)
    }
}

impl Drop for AtomicUsize {
    fn drop(&mut self) {
        // After a panic there is no execution to ask.
        if !std::thread::panicking() {
            // SAFETY: loom reports any access that is concurrent with this write.
            self.alive.with_mut(|alive| unsafe { *alive = false });
        }
    }
}

/// `std`'s pointer-taking closures over loom's tracked cell.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(LoomUnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(LoomUnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.0.with(f)
    }

    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }
}

/// Reports every use of a block that does not happen before its free, and blocks that are never freed.
///
/// `local` keeps freed blocks until the next execution, so that a late use finds this and not somebody else's bytes.
#[derive(Debug)]
pub(crate) struct Alive {
    dead: LoomUnsafeCell<bool>,
    _leaks: loom::alloc::Track<()>,
}

impl Alive {
    pub(crate) fn new() -> Self {
        Self {
            dead: LoomUnsafeCell::new(false),
            _leaks: loom::alloc::Track::new(()),
        }
    }

    pub(crate) fn check(&self) {
        // SAFETY: loom reports a write that is concurrent with this read.
        self.dead
            .with(|dead| assert!(!unsafe { *dead }, "used after it was freed"));
    }

    pub(crate) fn end(&self) {
        self.dead.with_mut(|dead| {
            // SAFETY: loom reports any access that is concurrent with this write.
            let dead = unsafe { &mut *dead };
            assert!(!*dead, "freed twice");
            *dead = true;
        });
    }
}

/// In place of the crate's: one slot, each access one step. What it leaves out is the crate's own protocol.
#[derive(Debug)]
pub(crate) struct AtomicWaker(loom::sync::Mutex<Option<Waker>>);

impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Mutex::new(None))
    }

    pub(crate) fn register(&self, waker: &Waker) {
        *self.0.lock().unwrap() = Some(waker.clone());
    }

    pub(crate) fn take(&self) -> Option<Waker> {
        self.0.lock().unwrap().take()
    }
}

/// In place of crossbeam's channel: a cell that is written once.
#[derive(Debug)]
pub(crate) struct Channel {
    disconnected: UnsafeCell<bool>,
    _leaks: loom::alloc::Track<()>,
}

impl Channel {
    pub(crate) fn new() -> Self {
        Self {
            disconnected: UnsafeCell::new(false),
            _leaks: loom::alloc::Track::new(()),
        }
    }

    pub(crate) unsafe fn disconnect(&self) {
        self.disconnected.with_mut(|disconnected| {
            // SAFETY: loom reports an access that is concurrent.
            let disconnected = unsafe { &mut *disconnected };
            assert!(!*disconnected, "disconnected twice");
            *disconnected = true;
        });
    }

    pub(crate) fn is_disconnected(&self) -> bool {
        // SAFETY: loom reports an access that is concurrent.
        self.disconnected
            .with(|disconnected| unsafe { *disconnected })
    }
}

/// A model must see the panics of what it runs.
pub(crate) fn contain(f: impl FnOnce()) -> bool {
    f();
    true
}

/// The kernel's part in a futex, by a lock and a condition: the check of the word and the sleep are one step, which is
/// all that the protocol relies on.
pub(crate) mod futex {
    use super::{AtomicUsize, Ordering};
    use loom::sync::{Condvar, Mutex};

    loom::lazy_static! {
        static ref KERNEL: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    }

    pub(crate) fn wait(word: &AtomicUsize, expected: u32) {
        let kernel = KERNEL.0.lock().unwrap();
        if word.load(Ordering::Relaxed) as u32 == expected {
            drop(KERNEL.1.wait(kernel).unwrap());
        }
    }

    pub(crate) fn wake_all(_: &AtomicUsize) {
        drop(KERNEL.0.lock().unwrap());
        KERNEL.1.notify_all();
    }
}
