//! What the benches measure with, each loop written once for all subjects.

#![allow(dead_code, reason = "each bench uses a part")]

pub(crate) mod timeouts;
pub(crate) mod tree;

use criterion::Bencher;
use crossbeam_utils::CachePadded;
use ripcord::{CancelGuard, Context};
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Longer than any run: what is armed is disarmed, as in a server that answers in time.
pub(crate) const LONG: Duration = Duration::from_secs(600);

pub(crate) type Token = CancellationToken;

/// Fields drop in order: the context goes first, then the guard as the last handle.
pub(crate) type Ripcord = (Context, CancelGuard);

/// What the trees have in common. A root and its children are of one type, and a value of it owns all that a caller
/// keeps alive for a context.
pub(crate) trait Subject: Sized + Send + Sync + 'static {
    fn root() -> Self;
    fn child(&self) -> Self;
    fn is_done(&self) -> bool;
    fn cancel(&self);
    /// Creates a wait, polls it once and drops it.
    fn wait_once(&self, cx: &mut task::Context<'_>) -> Poll<()>;
}

impl Subject for Ripcord {
    fn root() -> Self {
        Context::background().with_cancel()
    }

    fn child(&self) -> Self {
        self.0.with_cancel()
    }

    fn is_done(&self) -> bool {
        self.0.is_done()
    }

    fn cancel(&self) {
        self.1.cancel();
    }

    fn wait_once(&self, cx: &mut task::Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0.done()).poll(cx).map(|_| ())
    }
}

impl Subject for Token {
    fn root() -> Self {
        CancellationToken::new()
    }

    fn child(&self) -> Self {
        self.child_token()
    }

    fn is_done(&self) -> bool {
        self.is_cancelled()
    }

    fn cancel(&self) {
        self.cancel();
    }

    fn wait_once(&self, cx: &mut task::Context<'_>) -> Poll<()> {
        pin!(self.cancelled()).poll(cx)
    }
}

/// A subject that does not do its work would be the fastest of all.
pub(crate) fn check_tree<S: Subject>() {
    let mut cx = noop();
    let root = S::root();
    let (first, second) = (root.child(), root.child());
    let grandchild = first.child();
    assert!(!root.is_done() && !first.is_done() && !grandchild.is_done());
    assert!(root.wait_once(&mut cx).is_pending());

    first.cancel();
    assert!(first.is_done() && grandchild.is_done());
    assert!(!root.is_done() && !second.is_done());

    root.cancel();
    assert!(root.is_done() && second.is_done());
    assert!(second.wait_once(&mut cx).is_ready());
    assert!(root.child().is_done());
}

pub(crate) fn noop() -> task::Context<'static> {
    task::Context::from_waker(Waker::noop())
}

/// From the first thread's start to the last one's stop.
pub(crate) fn time_threads(threads: usize, work: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(threads);
    let timed = || {
        barrier.wait();
        let start = Instant::now();
        work();
        (start, Instant::now())
    };
    let (starts, stops): (Vec<_>, Vec<_>) = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(timed)).collect();
        running.into_iter().map(|t| t.join().unwrap()).unzip()
    });
    *stops.iter().max().unwrap() - *starts.iter().min().unwrap()
}

/// What one operation costs each of `threads` threads that share what `make` makes; `run` does so many.
pub(crate) fn shared<R: Sync + 'static>(
    threads: usize,
    make: fn() -> R,
    run: fn(&R, u64),
) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    move || {
        let shared = make();
        Box::new(move |b| {
            b.iter_custom(|iters| time_threads(threads, || run(&shared, iters)));
        })
    }
}

/// The least that an operation of `LOCKED` locked instructions takes, of which each is on a line that no other thread uses:
/// how many a row has is counted with callgrind (`--dump-instr=yes`), see PERF.md.
pub(crate) fn locked<const LOCKED: usize>(
    threads: usize,
) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    shared(
        threads,
        || (),
        |&(), n| {
            let lines: [CachePadded<AtomicU64>; LOCKED] =
                std::array::from_fn(|_| CachePadded::default());
            for _ in 0..n {
                for line in &lines {
                    black_box(line.fetch_add(1, Ordering::AcqRel));
                }
            }
        },
    )
}

/// As [`locked`], and a reading of the clock.
pub(crate) fn locked_and_clock<const LOCKED: usize>(
    threads: usize,
) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    shared(
        threads,
        || (),
        |&(), n| {
            let lines: [CachePadded<AtomicU64>; LOCKED] =
                std::array::from_fn(|_| CachePadded::default());
            for _ in 0..n {
                black_box(Instant::now());
                for line in &lines {
                    black_box(line.fetch_add(1, Ordering::AcqRel));
                }
            }
        },
    )
}

/// Times only what `once` says it timed.
pub(crate) fn timed_by_itself(
    once: impl Fn() -> Duration + Copy + 'static,
) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    move || Box::new(move |b| b.iter_custom(|iters| (0..iters).map(|_| once()).sum()))
}

/// The cost of `op` on one thread.
pub(crate) fn each<O>(
    op: impl FnMut() -> O + Copy + 'static,
) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    move || Box::new(move |b| b.iter(op))
}
