//! The primitives the engine stands on, in one place.
//!
//! `raw` names nothing outside itself but this module, [`tuning`](crate::tuning), [`local`](crate::local) and the
//! plain types `Error` and `Cause`. The models of `loom-tests/` are a second crate root that brings its own modules
//! of these names, so the code they check is the code that ships, and no `cfg` in `src/` knows of them.

// Named, for a test that has this file by its path, and the directory not beside it.
#[path = "sync/threads.rs"]
mod threads;

pub(crate) use self::threads::Threads;
pub(crate) use std::sync::Arc;
#[cfg(feature = "origin")]
pub(crate) use std::sync::atomic::AtomicU16;
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicPtr;
use std::time::Instant;

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

// SAFETY: the cell is touched by `disconnect` only, of which there is one call.
unsafe impl Sync for Channel {}

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

/// The instant that times are counted from: the first that anybody asked for. Lock-free; allocates once.
#[inline]
pub(crate) fn epoch() -> Instant {
    static EPOCH: AtomicPtr<Instant> = AtomicPtr::new(std::ptr::null_mut());

    // ORDERING: Acquire pairs with the Release of the exchange below.
    let mut epoch = EPOCH.load(Ordering::Acquire);
    if epoch.is_null() {
        let made = Box::into_raw(Box::new(Instant::now()));
        epoch = match EPOCH.compare_exchange(epoch, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(first) => {
                // SAFETY: made above and seen by nobody.
                drop(unsafe { Box::from_raw(made) });
                first
            }
        };
    }
    // SAFETY: what was stored there is never freed nor written again.
    unsafe { *epoch }
}

/// Room for a reference to what is never freed; filled once.
#[cfg(feature = "origin")]
#[derive(Debug)]
pub(crate) struct Lasting<T: 'static>(AtomicPtr<T>);

#[cfg(feature = "origin")]
impl<T: Sync> Lasting<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Wait-free.
    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // ORDERING: Acquire pairs with the Release in `get_or_fill`.
        let there = self.0.load(Ordering::Acquire);
        // SAFETY: null, or made of a reference that lasts as long as the program.
        unsafe { there.as_ref() }
    }

    /// What is in it, which is `with` where it was empty. Wait-free.
    pub(crate) fn get_or_fill(&self, with: &'static T) -> &'static T {
        let (empty, new) = (std::ptr::null_mut(), std::ptr::from_ref(with).cast_mut());
        let filled = self
            .0
            .compare_exchange(empty, new, Ordering::AcqRel, Ordering::Acquire);
        // SAFETY: as in `get`, and not null.
        filled.map_or_else(|first| unsafe { &*first }, |_| with)
    }
}

/// The clock of all but manual engines. Wait-free; no system call where the clock is in the vDSO.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// In the models a SeqCst access is no more than AcqRel, and this is a fence. Here it is nothing: both sides of each
/// store-buffer pair are SeqCst accesses, and ThreadSanitizer knows no fences.
#[inline(always)]
pub(crate) fn model_fence() {}

/// Starts a detached thread. Blocks as the system does, for a system call.
///
/// # Errors
///
/// The system has no more threads or memory for one.
pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let named = std::thread::Builder::new().name(name.replace('\0', ""));
    named.spawn(f).map(drop)
}

/// In how many processes in a row, each a fork of the one before, threads of ours have been left behind. A load.
#[inline(always)]
pub(crate) fn forks() -> usize {
    FORKS.load(Ordering::Relaxed)
}

static FORKS: AtomicUsize = AtomicUsize::new(0);
/// The index of the thread that made the last fork on the way to this process: the one that is left of those before it.
static SURVIVOR: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Whether the thread of that index, of a process before the last fork, is one of this process.
pub(crate) fn is_survivor(index: usize) -> bool {
    SURVIVOR.load(Ordering::Relaxed) == index
}

/// Has forks counted from here on, where the system tells of them. Handlers of a child that were registered before run
/// before it is.
pub(crate) fn count_forks() {
    #[cfg(target_os = "linux")]
    {
        static COUNTED: AtomicUsize = AtomicUsize::new(0);

        extern "C" fn in_child() {
            SURVIVOR.store(crate::local::index(), Ordering::Relaxed);
            FORKS.fetch_add(1, Ordering::Relaxed);
        }

        if COUNTED.load(Ordering::Relaxed) == 0 {
            // Before others rely on it. By two threads at once it is done twice: any change of the count tells of a fork.
            // SAFETY: the handler changes atomics and reads what is the thread's own, as a child may.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            COUNTED.store(1, Ordering::Relaxed);
        }
    }
}

/// Has the calling thread woken at the instant it asks for, not up to 50 µs later as by default. Linux only.
pub(crate) fn sleep_exactly() {
    #[cfg(target_os = "linux")]
    // SAFETY: the option takes one integer and touches no memory of ours.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong);
    }
}

/// What a word holds, to its only owner.
pub(crate) fn owned(word: &mut AtomicUsize) -> usize {
    *word.get_mut()
}

/// Lets another thread have the core, if one waits for it. Waits for nobody.
#[cold]
pub(crate) fn give_way() {
    std::thread::yield_now();
}

/// Puts blocked threads to sleep on the low half of a word, and wakes them.
#[cfg(target_os = "linux")]
pub(crate) mod futex {
    use super::AtomicUsize;
    use std::ptr;
    use std::time::Duration;

    fn low_half(word: &AtomicUsize) -> *const u32 {
        const { assert!(cfg!(target_endian = "little") && usize::BITS == 64) };
        word.as_ptr().cast_const().cast()
    }

    /// Sleeps while the low half of `word` is `expected`, for `timeout` at the most; returns at a wake, at a change
    /// before the sleep, or for no reason. Blocks.
    pub(crate) fn wait(word: &AtomicUsize, expected: u32, timeout: Option<Duration>) {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        // SAFETY: the addresses are those of a live, aligned word and of a timespec on this frame, or null; the call
        // reads them and takes no other pointer.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                low_half(word),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                expected,
                timeout.as_ref().map_or(ptr::null(), ptr::from_ref),
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

/// Elsewhere a thread that waits on a word looks at it every so often.
#[cfg(not(target_os = "linux"))]
pub(crate) mod futex {
    use super::AtomicUsize;
    use std::time::Duration;

    const LOOK_EVERY: Duration = Duration::from_millis(1);

    pub(crate) fn wait(word: &AtomicUsize, expected: u32, timeout: Option<Duration>) {
        if word.load(super::Ordering::Acquire) as u32 == expected {
            std::thread::park_timeout(
                timeout.map_or(LOOK_EVERY, |timeout| timeout.min(LOOK_EVERY)),
            );
        }
    }

    pub(crate) fn wake_all(_: &AtomicUsize) {}
}
