//! The schedules' side of `src/sync.rs`: the same names, on shuttle's types.
//!
//! All threads of a schedule run on one thread of the machine's, one at a time, and are changed at each access of one of
//! shuttle's types: so what is here between two of those is one step.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::Ordering;

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const SEQ_CST: Ordering = Ordering::SeqCst;

thread_local! {
    /// Words that were made and not dropped yet.
    static WORDS: Cell<usize> = const { Cell::new(0) };
}

/// How many words of the engine's there are: as many as before, when all that was made is freed.
pub(crate) fn words() -> usize {
    WORDS.get()
}

pub(crate) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Stands still: the engine of a schedule has a clock of its own.
pub(crate) fn now() -> Instant {
    epoch()
}

pub(crate) fn model_fence() {}

/// Starts nothing: callbacks are dispatched by those who take part.
pub(crate) fn spawn(_: &str, _: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Ok(())
}

pub(crate) fn count_forks() {}

pub(crate) fn is_survivor(_: usize) -> bool {
    false
}

pub(crate) fn forks() -> usize {
    0
}

pub(crate) fn sleep_exactly() {}

pub(crate) fn give_way() {}

pub(crate) fn owned(word: &mut AtomicUsize) -> usize {
    *word.word.get_mut()
}

/// Runs it here, for which thread it is does not matter to the engine.
#[derive(Debug)]
pub(crate) struct Threads<T>(fn(T));

impl<T> Threads<T> {
    pub(crate) fn new(_: &str, run: fn(T)) -> Self {
        Self(run)
    }

    pub(crate) fn run(&self, work: T) {
        (self.0)(work);
    }
}

/// Shuttle's, sequentially consistent; it reports an access after it was freed.
#[derive(Debug)]
pub(crate) struct AtomicUsize {
    word: shuttle::sync::atomic::AtomicUsize,
    alive: Alive,
}

impl AtomicUsize {
    pub(crate) fn new(value: usize) -> Self {
        WORDS.set(WORDS.get() + 1);
        Self {
            word: shuttle::sync::atomic::AtomicUsize::new(value),
            alive: Alive::new(),
        }
    }

    fn word(&self) -> &shuttle::sync::atomic::AtomicUsize {
        self.alive.check();
        &self.word
    }

    pub(crate) fn load(&self, _: Ordering) -> usize {
        self.word().load(SEQ_CST)
    }

    pub(crate) fn store(&self, value: usize, _: Ordering) {
        self.word().store(value, SEQ_CST);
    }

    pub(crate) fn swap(&self, value: usize, _: Ordering) -> usize {
        self.word().swap(value, SEQ_CST)
    }

    pub(crate) fn compare_exchange(
        &self,
        from: usize,
        to: usize,
        _: Ordering,
        _: Ordering,
    ) -> Result<usize, usize> {
        self.word().compare_exchange(from, to, SEQ_CST, SEQ_CST)
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        from: usize,
        to: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.compare_exchange(from, to, success, failure)
    }

    pub(crate) fn fetch_add(&self, value: usize, _: Ordering) -> usize {
        self.word().fetch_add(value, SEQ_CST)
    }

    pub(crate) fn fetch_sub(&self, value: usize, _: Ordering) -> usize {
        self.word().fetch_sub(value, SEQ_CST)
    }

    pub(crate) fn fetch_or(&self, value: usize, _: Ordering) -> usize {
        self.word().fetch_or(value, SEQ_CST)
    }

    pub(crate) fn fetch_and(&self, value: usize, _: Ordering) -> usize {
        self.word().fetch_and(value, SEQ_CST)
    }
}

impl Drop for AtomicUsize {
    fn drop(&mut self) {
        self.alive.end();
        WORDS.set(WORDS.get() - 1);
    }
}

/// `std`'s pointer-taking closures; nobody else runs during one that touches none of shuttle's types.
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

const LIVE: u32 = 0x11fe_11fe;
const DEAD: u32 = 0xdead_dead;

/// Reports a use after the free, and a second free, as long as the bytes are nobody else's: `local` keeps them in every other
/// schedule.
#[derive(Debug)]
pub(crate) struct Alive(Cell<u32>);

// SAFETY: all threads of a schedule are one of the machine's.
unsafe impl Sync for Alive {}

impl Alive {
    pub(crate) fn new() -> Self {
        Self(Cell::new(LIVE))
    }

    pub(crate) fn check(&self) {
        // After a panic what is freed may be in any order.
        assert!(
            self.0.get() == LIVE || std::thread::panicking(),
            "used after it was freed"
        );
    }

    pub(crate) fn end(&self) {
        self.check();
        self.0.set(DEAD);
    }
}

/// In place of crossbeam's channel: a word that is written once.
#[derive(Debug)]
pub(crate) struct Channel(AtomicUsize);

impl Channel {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) unsafe fn disconnect(&self) {
        assert_eq!(self.0.swap(1, SEQ_CST), 0, "disconnected twice");
    }

    pub(crate) fn is_disconnected(&self) -> bool {
        self.0.load(SEQ_CST) == 1
    }
}

/// A schedule must see the panics of what it runs.
pub(crate) fn contain(f: impl FnOnce()) -> bool {
    f();
    true
}

/// The kernel's part in a futex, by a lock and a condition: the check of the word and the sleep are one step.
pub(crate) mod futex {
    use super::{AtomicUsize, Duration, SEQ_CST};
    use shuttle::sync::{Condvar, Mutex};

    shuttle::lazy_static! {
        static ref KERNEL: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    }

    /// A timeout has always passed: nothing here waits for a time of the machine's.
    pub(crate) fn wait(word: &AtomicUsize, expected: u32, timeout: Option<Duration>) {
        let kernel = KERNEL.0.lock().unwrap();
        if word.load(SEQ_CST) as u32 == expected && timeout.is_none() {
            drop(KERNEL.1.wait(kernel).unwrap());
        }
    }

    pub(crate) fn wake_all(_: &AtomicUsize) {
        drop(KERNEL.0.lock().unwrap());
        KERNEL.1.notify_all();
    }
}
