//! What the tests share: errors to cancel with, wakers that count, threads that start together and end in time.

use ripcord::{CancelGuard, Context, Done, Engine, EngineStopped, Error, ManualClock};
use std::fmt;
use std::future::Future;
use std::hint::spin_loop;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier, LazyLock, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// An error that tells one cancellation from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason(pub(crate) u64);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reason {}", self.0)
    }
}

impl std::error::Error for Reason {}

/// The reason a context was cancelled for; `None` also where the cause is another error.
pub(crate) fn reason(ctx: &Context) -> Option<Reason> {
    ctx.cause()?.downcast_ref::<Reason>().copied()
}

/// Counts the drops of the [`DropCounter`]s it makes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drops(Arc<AtomicUsize>);

impl Drops {
    pub(crate) fn error(&self) -> DropCounter {
        DropCounter(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// An error that counts its drop.
#[derive(Debug)]
pub(crate) struct DropCounter(Drops);

impl fmt::Display for DropCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counted")
    }
}

impl std::error::Error for DropCounter {}

impl Drop for DropCounter {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Every way of looking says that it is live.
#[track_caller]
pub(crate) fn assert_live(ctx: &Context) {
    assert!(!ctx.is_done(), "{ctx} is done");
    assert_eq!(ctx.err(), None);
    assert_eq!(ctx.check(), Ok(()));
    assert!(ctx.cause().is_none(), "a live context has a cause");
    assert_eq!(poll(&mut ctx.done(), Waker::noop()), Poll::Pending);
}

/// Every way of looking says that it was cancelled, for that reason; `None`: for no reason given.
#[track_caller]
pub(crate) fn assert_canceled(ctx: &Context, why: Option<Reason>) {
    assert!(ctx.is_done(), "{ctx} is live");
    assert_eq!(ctx.err(), Some(Error::Canceled));
    assert_eq!(ctx.check(), Err(Error::Canceled));
    assert_eq!(ctx.wait(), Error::Canceled);
    assert_eq!(ctx.child_count(), 0, "a done context counts nothing");
    assert_eq!(
        poll(&mut ctx.done(), Waker::noop()),
        Poll::Ready(Error::Canceled)
    );
    let cause = ctx.cause().expect("a done context has a cause");
    match why {
        Some(why) => assert_eq!(cause.downcast_ref(), Some(&why)),
        None => assert_eq!(cause.downcast_ref(), Some(&Error::Canceled)),
    }
}

/// Every way of looking says that its time has come, for that reason; `None`: for no reason given.
#[track_caller]
pub(crate) fn assert_expired(ctx: &Context, why: Option<Reason>) {
    assert!(ctx.is_done(), "{ctx} is live");
    assert_eq!(ctx.err(), Some(Error::DeadlineExceeded));
    assert_eq!(ctx.check(), Err(Error::DeadlineExceeded));
    assert_eq!(ctx.wait(), Error::DeadlineExceeded);
    assert_eq!(ctx.child_count(), 0, "a done context counts nothing");
    assert_eq!(
        poll(&mut ctx.done(), Waker::noop()),
        Poll::Ready(Error::DeadlineExceeded)
    );
    let cause = ctx.cause().expect("a done context has a cause");
    match why {
        Some(why) => assert_eq!(cause.downcast_ref(), Some(&why)),
        None => assert_eq!(cause.downcast_ref(), Some(&Error::DeadlineExceeded)),
    }
}

/// Every way of looking says that its engine was shut down before its time had come.
#[track_caller]
pub(crate) fn assert_stopped(ctx: &Context) {
    assert_eq!(ctx.err(), Some(Error::Canceled));
    assert_eq!(ctx.wait(), Error::Canceled);
    let cause = ctx.cause().expect("a done context has a cause");
    assert_eq!(cause.downcast_ref(), Some(&EngineStopped));
}

/// An engine whose time stands still.
pub(crate) fn manual() -> (Engine, ManualClock) {
    Engine::builder()
        .manual_clock()
        .expect("it needs no thread")
}

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const NS: Duration = Duration::from_nanos(1);

/// Looks until it is so, for thirty seconds at the most: what comes by itself comes late on a busy machine.
#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "still not: {what}");
        thread::sleep(MS);
    }
}

/// How long something that is certain to come may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Polls any future once, with that waker.
pub(crate) fn poll_pinned<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut TaskContext::from_waker(waker))
}

/// Polls once, with that waker.
pub(crate) fn poll(done: &mut Done, waker: &Waker) -> Poll<Error> {
    Pin::new(done).poll(&mut TaskContext::from_waker(waker))
}

/// A waker that counts its wakes.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A `Done` and the waker it was polled with.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) done: Done,
    pub(crate) wakes: Arc<Wakes>,
}

impl Waiter {
    /// Polled once; on a live context it waits from here on.
    pub(crate) fn on(ctx: &Context) -> Self {
        let mut waiter = Self {
            done: ctx.done(),
            wakes: Arc::default(),
        };
        let _ = waiter.poll();
        waiter
    }

    pub(crate) fn poll(&mut self) -> Poll<Error> {
        poll(&mut self.done, &self.wakes.clone().into())
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.count()
    }
}

/// A waker that runs `f` at each wake.
pub(crate) fn on_wake(f: impl Fn() + Send + Sync + 'static) -> Waker {
    struct OnWake<F>(F);

    impl<F: Fn() + Send + Sync + 'static> Wake for OnWake<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    Arc::new(OnWake(f)).into()
}

/// A `Done` of that context that runs `f` when it is told; keep it, or nobody is.
pub(crate) fn when_told(ctx: &Context, f: impl Fn() + Send + Sync + 'static) -> Done {
    let mut done = ctx.done();
    let _ = poll(&mut done, &on_wake(f));
    done
}

/// A context whose deadline, that far ahead or somewhat further, calls `f` when it fires; keep the `Done`, or nobody is
/// called. One that fires before `f` is in place, on a busy machine, is tried again.
pub(crate) fn timed_and_told(
    root: &Context,
    after: Duration,
    f: impl Fn() + Send + Sync + 'static,
) -> (Context, CancelGuard, Done) {
    let waker = on_wake(f);
    ahead_of(after, |after| {
        let (ctx, guard) = root.with_timeout(after);
        let mut done = ctx.done();
        let waits = poll(&mut done, &waker).is_pending();
        waits.then_some((ctx, guard, done))
    })
}

/// What `make` makes ahead of a deadline, that far away or somewhat further. Where it came too late, on a busy machine, it
/// answers `None` and is tried again.
pub(crate) fn ahead_of<T>(mut after: Duration, mut make: impl FnMut(Duration) -> Option<T>) -> T {
    loop {
        if let Some(made) = make(after) {
            return made;
        }
        after *= 2;
    }
}

const LIMIT: Duration = Duration::from_secs(60);

/// Runs `f` on a thread of its own and fails, instead of hanging, if that takes a minute.
#[track_caller]
pub(crate) fn in_time<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    run_on(thread::Builder::new(), f)
}

/// As [`in_time`], with 256 KiB of stack: what recurses once a level overflows it at a few thousand.
#[track_caller]
pub(crate) fn on_small_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    run_on(thread::Builder::new().stack_size(256 * 1024), f)
}

#[track_caller]
fn run_on<T: Send + 'static>(
    builder: thread::Builder,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, result) = mpsc::channel();
    let thread = builder
        .spawn(move || {
            let _ = sender.send(f());
        })
        .expect("a thread can be started");
    match result.recv_timeout(LIMIT) {
        Ok(value) => {
            thread.join().expect("what the thread drops last panics");
            value
        }
        Err(RecvTimeoutError::Timeout) => panic!("still running after {LIMIT:?}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => unreachable!("the thread ended without an answer"),
        },
    }
}

/// Runs `f` on that many threads, all let go at the same moment, and joins them. Inside [`in_time`] it cannot hang.
pub(crate) fn run_all<T: Send>(threads: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    let (f, start) = (&f, &start);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| {
                scope.spawn(move || {
                    start.wait();
                    f(index)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

/// Has two threads meet in `left` and `right`, as close together as two threads can be brought, again and again: what
/// `make` makes is for the one, for the other, and for `check` when both are through. Inside [`in_time`] it cannot hang.
pub(crate) fn race<A, B: Send, C, L, R: Send>(
    rounds: usize,
    make: impl Fn(usize) -> (A, B, C),
    left: impl Fn(A) -> L,
    right: impl Fn(B) -> R + Sync,
    check: impl Fn(C, L, R),
) {
    // Two races at once would each wait for a core more than for the other thread.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let meeting = Meeting::default();
    let to_right = Mutex::new(None);
    let from_right = Mutex::new(None);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _over = Over(&meeting);
            let mut jitter = Rng::new(2);
            for round in 0..rounds {
                if !meeting.meet(2 * round) {
                    return;
                }
                let mine = to_right.lock().expect("nobody panics with it").take();
                let mine = mine.expect("it was put there before the meeting");
                jitter.delay();
                let made = right(mine);
                *from_right.lock().expect("nobody panics with it") = Some(made);
                if !meeting.meet(2 * round + 1) {
                    return;
                }
            }
        });
        let _over = Over(&meeting);
        let mut jitter = Rng::new(1);
        for round in 0..rounds {
            let (for_left, for_right, for_check) = make(round);
            *to_right.lock().expect("nobody panics with it") = Some(for_right);
            assert!(meeting.meet(2 * round), "the other thread panicked");
            jitter.delay();
            let made = left(for_left);
            assert!(meeting.meet(2 * round + 1), "the other thread panicked");
            let others = from_right.lock().expect("nobody panics with it").take();
            check(for_check, made, others.expect("it was put there before"));
        }
    });
}

/// Where two threads wait for each other without sleeping.
#[derive(Default)]
struct Meeting {
    arrived: AtomicUsize,
    is_over: AtomicBool,
}

impl Meeting {
    /// Returns when both are there; `false`: the other will not come.
    fn meet(&self, meeting: usize) -> bool {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let mut spins = 0;
        while self.arrived.load(Ordering::SeqCst) < 2 * (meeting + 1) {
            if self.is_over.load(Ordering::SeqCst) {
                // The other may have come, and gone, in between.
                return self.arrived.load(Ordering::SeqCst) >= 2 * (meeting + 1);
            }
            spins += 1;
            if spins < 200 {
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
        true
    }
}

/// Calls the meetings off, also when its thread panics.
struct Over<'a>(&'a Meeting);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// `n`, divided by `RIPCORD_TEST_SCALE`: sanitizers make everything ten times as slow.
pub(crate) fn scaled(n: usize) -> usize {
    static DIVISOR: LazyLock<usize> = LazyLock::new(|| {
        let scale = std::env::var("RIPCORD_TEST_SCALE");
        scale.map_or(1, |scale| {
            scale
                .parse()
                .expect("RIPCORD_TEST_SCALE is a whole number to divide by")
        })
    });
    (n / (*DIVISOR).max(1)).max(1)
}

/// A small generator of numbers that look random and are the same each time.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    /// Up to some hundred nanoseconds.
    fn delay(&mut self) {
        for _ in 0..self.below(40) {
            spin_loop();
        }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
