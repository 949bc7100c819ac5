//! The models' side of `src/sync.rs`: the same names, on loom's types.

pub(crate) use loom::sync::atomic::Ordering;
// Written before a node is handed out, and no protocol's: not modelled.
#[cfg(feature = "origin")]
pub(crate) use std::sync::atomic::AtomicU16;

use loom::cell::UnsafeCell as LoomUnsafeCell;
use loom::sync::atomic::AtomicUsize as LoomAtomicUsize;
use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Deref;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

type Thread = Box<dyn FnOnce() + Send>;

std::thread_local! {
    static EVERY_ORDER: Cell<bool> = const { Cell::new(false) };
    /// Nanoseconds from the epoch. A std thread-local, as those below: loom runs all threads of a model on one.
    static CLOCK: Cell<u64> = const { Cell::new(0) };
    static LAST: Cell<u64> = const { Cell::new(0) };
    static SPAWNED: RefCell<Vec<Thread>> = const { RefCell::new(Vec::new()) };
}

/// Starts an execution.
pub(crate) fn reset() {
    CLOCK.set(0);
    LAST.set(0);
    SPAWNED.take();
}

/// Lets time come to `last` and no further, by threads that sleep until then or before. Who sleeps longer sleeps for
/// ever, so that loom reports a deadlock where a wake was lost and the next timeout would only have come late.
pub(crate) fn let_time_pass(last: Duration) {
    LAST.set(nanos(last));
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

pub(crate) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// The model's clock: it moves while a thread sleeps, and not otherwise.
pub(crate) fn now() -> Instant {
    epoch() + Duration::from_nanos(CLOCK.get())
}

/// In place of the order of SeqCst accesses, which are AcqRel ones here.
pub(crate) fn model_fence() {
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// Starts nothing: the model takes what was to be started, by [`spawned`], and runs it in a thread of its own.
pub(crate) fn spawn(_: &str, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    SPAWNED.with_borrow_mut(|spawned| spawned.push(Box::new(f)));
    Ok(())
}

pub(crate) fn count_forks() {}

pub(crate) fn is_survivor(_: usize) -> bool {
    false
}

pub(crate) fn forks() -> usize {
    0
}

/// What was to be started and was not yet taken, the latest first.
pub(crate) fn spawned() -> Option<Thread> {
    SPAWNED.with_borrow_mut(Vec::pop)
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

pub(crate) fn sleep_exactly() {}

pub(crate) fn give_way() {}

/// Nothing after a panic, when there is no execution to ask.
pub(crate) fn owned(word: &mut AtomicUsize) -> usize {
    if std::thread::panicking() {
        return 0;
    }
    word.word.with_mut(|value| *value)
}

/// `std`'s, as far as the engine uses it, on a count that loom watches; and it reports a leak.
#[derive(Debug)]
pub(crate) struct Arc<T>(*const Counted<T>);

#[derive(Debug)]
#[repr(C)]
struct Counted<T> {
    value: T,
    counts: LoomAtomicUsize,
    _leaks: loom::alloc::Track<()>,
}

// SAFETY: as std's.
unsafe impl<T: Send + Sync> Send for Arc<T> {}
// SAFETY: as std's.
unsafe impl<T: Send + Sync> Sync for Arc<T> {}

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Box::into_raw(Box::new(Counted {
            value,
            counts: LoomAtomicUsize::new(1),
            _leaks: loom::alloc::Track::new(()),
        })))
    }

    pub(crate) fn into_raw(this: Self) -> *const T {
        std::mem::ManuallyDrop::new(this).0.cast()
    }

    /// # Safety
    ///
    /// From `into_raw`, once.
    pub(crate) unsafe fn from_raw(value: *const T) -> Self {
        Self(value.cast())
    }

    /// # Safety
    ///
    /// From `into_raw`, and a count of it is the caller's.
    pub(crate) unsafe fn increment_strong_count(value: *const T) {
        // SAFETY: the caller's promise.
        let counted = unsafe { &*value.cast::<Counted<T>>() };
        counted.counts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn into_inner(this: Self) -> Option<T> {
        std::mem::ManuallyDrop::new(this).release()
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: a count of it is ours.
        unsafe { &*self.0 }
    }

    fn release(&self) -> Option<T> {
        let last = self.counted().counts.fetch_sub(1, Ordering::AcqRel) == 1;
        // SAFETY: the last count was ours.
        last.then(|| unsafe { Box::from_raw(self.0.cast_mut()) }.value)
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        self.counted().counts.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(self.release());
        }
    }
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

fn both(order: Ordering) -> Ordering {
    match order {
        Ordering::SeqCst => Ordering::AcqRel,
        order => order,
    }
}

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

    // Loom has a SeqCst load return the latest SeqCst store, which hides what a missing fence would show: here there
    // are none.
    pub(crate) fn load(&self, order: Ordering) -> usize {
        let word = self.word();
        if EVERY_ORDER.get() {
            self.loads.fetch_or(0, Ordering::Relaxed);
        }
        word.load(match order {
            Ordering::SeqCst => Ordering::Acquire,
            order => order,
        })
    }

    pub(crate) fn store(&self, value: usize, order: Ordering) {
        let order = match order {
            Ordering::SeqCst => Ordering::Release,
            order => order,
        };
        self.word().store(value, order);
    }

    pub(crate) fn swap(&self, value: usize, order: Ordering) -> usize {
        self.word().swap(value, both(order))
    }

    pub(crate) fn compare_exchange(
        &self,
        from: usize,
        to: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.word()
            .compare_exchange(from, to, both(success), failure)
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        from: usize,
        to: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.word()
            .compare_exchange_weak(from, to, both(success), failure)
    }

    pub(crate) fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        self.word().fetch_add(value, both(order))
    }

    pub(crate) fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
        self.word().fetch_sub(value, both(order))
    }

    pub(crate) fn fetch_or(&self, value: usize, order: Ordering) -> usize {
        self.word().fetch_or(value, both(order))
    }

    pub(crate) fn fetch_and(&self, value: usize, order: Ordering) -> usize {
        self.word().fetch_and(value, both(order))
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
    use super::{AtomicUsize, CLOCK, Cell, Duration, LAST, Ordering, nanos};
    use loom::sync::{Condvar, Mutex};

    loom::lazy_static! {
        static ref KERNEL: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    }

    /// With a timeout that time may come to, it comes: that nobody wakes the thread before is always possible.
    pub(crate) fn wait(word: &AtomicUsize, expected: u32, timeout: Option<Duration>) {
        let kernel = KERNEL.0.lock().unwrap();
        if word.load(Ordering::Relaxed) as u32 != expected {
            return;
        }
        let until = timeout.map(|timeout| CLOCK.get().saturating_add(nanos(timeout)));
        match until.filter(|until| *until <= LAST.get()) {
            Some(until) => CLOCK.set(CLOCK.get().max(until)),
            None => drop(KERNEL.1.wait(kernel).unwrap()),
        }
    }

    loom::thread_local! {
        static IS_STOPPED: Cell<bool> = Cell::new(false);
    }

    /// The calling thread is stopped before its next system call, as far as others can tell: no wake comes of it.
    pub(crate) fn stop_before_the_kernel() {
        IS_STOPPED.with(|is_stopped| is_stopped.set(true));
    }

    pub(crate) fn wake_all(_: &AtomicUsize) {
        if IS_STOPPED.with(Cell::get) {
            return;
        }
        drop(KERNEL.0.lock().unwrap());
        KERNEL.1.notify_all();
    }
}
