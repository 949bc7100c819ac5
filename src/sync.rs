//! The primitives the engine stands on, in one place.
//!
//! `raw` names nothing outside itself but this module, [`tuning`](crate::tuning), [`local`](crate::local) and the
//! plain types `Error` and `Cause`. The models of `loom-tests/` are a second crate root that brings its own modules
//! of these names, so the code they check is the code that ships, and no `cfg` in `src/` knows of them.

pub(crate) use atomic_waker::AtomicWaker;
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A cell whose every access is a closure, so that a model can watch it.
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A tripwire in every block of the tree: in the models it reports a use that does not happen before the free.
/// Here it is nothing.
#[derive(Debug, Default)]
pub(crate) struct Alive;

impl Alive {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn check(&self) {}

    #[inline(always)]
    pub(crate) fn end(&self) {}
}

/// The channel behind `done_channel`: nothing is ever sent, it disconnects when its sender goes.
#[derive(Debug)]
pub(crate) struct Channel {
    sender: UnsafeCell<Option<Sender<Infallible>>>,
    receiver: Receiver<Infallible>,
}

impl Channel {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = bounded(0);
        Self {
            sender: UnsafeCell::new(Some(sender)),
            receiver,
        }
    }

    pub(crate) fn receiver(&self) -> &Receiver<Infallible> {
        &self.receiver
    }

    /// Disconnects every receiver.
    ///
    /// # Safety
    ///
    /// At most one call for each channel.
    pub(crate) unsafe fn disconnect(&self) {
        self.sender.with_mut(|sender| {
            // SAFETY: only this method touches the cell, and the caller makes it once.
            drop(unsafe { (*sender).take() });
        });
    }
}

/// Runs code that is not ours; a panic in it is left to the panic hook and goes no further. `false`: there was one.
pub(crate) fn contain(f: impl FnOnce()) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        return true;
    };
    // The payload is the user's too, and its drop may panic in its turn; that payload is forgotten, for there could be
    // no end to it.
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(second);
    }
    false
}

/// Puts blocked threads to sleep on the low half of a word, and wakes them.
#[cfg(target_os = "linux")]
pub(crate) mod futex {
    use super::AtomicUsize;

    fn low_half(word: &AtomicUsize) -> *const u32 {
        const { assert!(cfg!(target_endian = "little") && usize::BITS == 64) };
        word.as_ptr().cast_const().cast()
    }

    /// Sleeps while the low half of `word` is `expected`; returns at a wake, at a change before the sleep, or for no
    /// reason. Blocks.
    pub(crate) fn wait(word: &AtomicUsize, expected: u32) {
        // SAFETY: the address is that of a live, aligned word; the call reads it and takes no other pointer.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                low_half(word),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                expected,
                std::ptr::null::<libc::timespec>(),
            );
        }
    }

    /// Wakes every thread that sleeps on `word`. One system call.
    pub(crate) fn wake_all(word: &AtomicUsize) {
        // SAFETY: the kernel takes the address as a key and reads nothing through it.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                low_half(word),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                i32::MAX,
            );
        }
    }
}

/// Elsewhere blocked threads wait on a `Done` and are unparked by its waker: nobody sleeps on a word.
#[cfg(not(target_os = "linux"))]
pub(crate) mod futex {
    use super::AtomicUsize;

    pub(crate) fn wake_all(_: &AtomicUsize) {}
}
