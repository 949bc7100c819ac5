//! The models' side of `src/sync.rs`: the same names, on loom's types.

pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};

use loom::cell::UnsafeCell as LoomUnsafeCell;
use std::task::Waker;

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
