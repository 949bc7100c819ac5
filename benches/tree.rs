//! The tree of contexts beside tokio-util's `CancellationToken`, every loop written once for both.
//!
//! `cargo bench --bench tree`; with `RIPCORD_PERF=write` the figures go into PERF.md.

mod report;

use criterion::Bencher;
use report::Figures;
use ripcord::{CancelGuard, Context, Key};
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What the peers have in common. A root and its children are of one type, and a value of it owns all that a caller
/// keeps alive for a context.
trait Subject: Sized + Send + Sync {
    fn root() -> Self;
    fn child(&self) -> Self;
    fn is_done(&self) -> bool;
    fn cancel(&self);
    /// Creates a wait, polls it once and drops it.
    fn wait_once(&self, cx: &mut task::Context<'_>) -> Poll<()>;
}

/// Fields drop in order: the context goes first, then the guard as the last handle.
type Ripcord = (Context, CancelGuard);

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

impl Subject for CancellationToken {
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
fn check<S: Subject>() {
    let mut cx = task::Context::from_waker(Waker::noop());
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

fn check_ripcord() {
    let root = Ripcord::root();
    let child = root.child();
    assert_eq!(root.0.child_count(), 1);
    drop(child);
    assert_eq!(root.0.child_count(), 0);
    drop_guard_first(&root);
    assert_eq!(root.0.child_count(), 0);

    let other = Ripcord::root();
    let merged = Context::merge([&root.0, &other.0]);
    assert!(!merged.0.is_done());
    other.cancel();
    assert!(merged.0.is_done() && !root.is_done());
}

fn is_done<S: Subject>(b: &mut Bencher<'_>) {
    let live = S::root();
    b.iter(|| black_box(&live).is_done());
}

fn drop_in_order<S: Subject>(root: &S) {
    drop(black_box(root.child()));
}

/// The order of `let (ctx, guard) = …` at the end of its scope.
fn drop_guard_first(root: &Ripcord) {
    let (ctx, guard) = black_box(root.child());
    drop(guard);
    drop(ctx);
}

/// The cost of one `op` to each of `threads` threads that share a root.
fn churn<S: Subject>(b: &mut Bencher<'_>, threads: usize, op: fn(&S)) {
    let root = S::root();
    b.iter_custom(|iters| {
        time_threads(threads, || {
            for _ in 0..iters {
                op(&root);
            }
        })
    });
}

/// From the first thread's start to the last one's stop.
fn time_threads(threads: usize, work: impl Fn() + Sync) -> Duration {
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

/// Only `cancel` is timed; every child's handles are alive while it runs.
fn cancel<S: Subject>(b: &mut Bencher<'_>, children: usize) {
    let once = || {
        let root = S::root();
        let kept: Vec<S> = (0..children).map(|_| root.child()).collect();
        let start = Instant::now();
        root.cancel();
        let took = start.elapsed();
        assert!(kept.iter().all(S::is_done));
        took
    };
    b.iter_custom(|iters| (0..iters).map(|_| once()).sum());
}

fn wait_once<S: Subject>(b: &mut Bencher<'_>) {
    let mut cx = task::Context::from_waker(Waker::noop());
    let live = S::root();
    b.iter(|| black_box(&live).wait_once(&mut cx));
}

fn merge_two(b: &mut Bencher<'_>) {
    let (one, other) = (Ripcord::root(), Ripcord::root());
    b.iter(|| Context::merge([&one.0, &other.0]));
}

/// Drops the 1,000 oldest of `children`, each timed by itself, and keeps what `pick` takes of the sorted times. The
/// oldest lie deepest in the list, and none of it has been walked yet.
fn first_drops(b: &mut Bencher<'_>, children: usize, pick: fn(&[Duration]) -> Duration) {
    let once = || {
        let root = Ripcord::root();
        let mut kept: Vec<Ripcord> = (0..children).map(|_| root.child()).collect();
        let time_drop = |child| {
            let start = Instant::now();
            drop(child);
            start.elapsed()
        };
        let mut times: Vec<Duration> = kept.drain(..1_000).map(time_drop).collect();
        times.sort_unstable();
        pick(&times)
    };
    b.iter_custom(|iters| (0..iters).map(|_| once()).sum());
}

static TENANT: Key<u64> = Key::new("tenant");
static ATTEMPT: Key<usize> = Key::new("attempt");

/// The value is `depth` sets of another key away.
fn value(b: &mut Bencher<'_>, depth: usize) {
    let far = Context::background().with_value(&TENANT, 7);
    let ctx = (0..depth).fold(far, |ctx, attempt| ctx.with_value(&ATTEMPT, attempt));
    assert_eq!(ctx.value(&TENANT), Some(&7));
    b.iter(|| black_box(&ctx).value(&TENANT));
}

fn set_value(b: &mut Bencher<'_>) {
    let ctx = Context::background().with_value(&TENANT, 7);
    b.iter(|| black_box(&ctx).with_value(&ATTEMPT, 1));
}

fn locked_add(b: &mut Bencher<'_>) {
    let word = AtomicUsize::new(0);
    b.iter(|| black_box(&word).fetch_add(1, Ordering::Relaxed));
}

fn malloc_free(b: &mut Bencher<'_>) {
    b.iter(Box::<[u8; 128]>::new_uninit);
}

fn clock(b: &mut Bencher<'_>) {
    b.iter(Instant::now);
}

/// Criterion's test mode, which runs everything once, should not wait for trees of this size.
fn million() -> usize {
    if report::test_mode() {
        2_000
    } else {
        1_000_000
    }
}

fn main() -> ExitCode {
    check::<Ripcord>();
    check::<CancellationToken>();
    check_ripcord();

    type Token = CancellationToken;
    let mut figures = Figures::new("tree", "tokio-util");

    figures.scale("fetch-add", "`fetch_add`, uncontended", locked_add);
    figures.scale("malloc-128", "malloc and free of 128 bytes", malloc_free);
    figures.scale("clock", "`Instant::now`", clock);

    figures.pair(
        "is-done",
        "`is_done` of a live context",
        is_done::<Ripcord>,
        is_done::<Token>,
    );
    figures.pair(
        "child-1-thread",
        "child create and drop, one root, 1 thread",
        |b| churn::<Ripcord>(b, 1, drop_in_order),
        |b| churn::<Token>(b, 1, drop_in_order),
    );
    figures.pair(
        "child-2-threads",
        "child create and drop, one root, 2 threads, each",
        |b| churn::<Ripcord>(b, 2, drop_in_order),
        |b| churn::<Token>(b, 2, drop_in_order),
    );
    figures.ours(
        "child-guard-first",
        "child create and drop, the guard before the context, 1 thread",
        |b| churn(b, 1, drop_guard_first),
    );
    figures.pair(
        "wait",
        "`done()` create, poll once and drop",
        wait_once::<Ripcord>,
        wait_once::<Token>,
    );
    figures.ours("merge-2", "`merge` of two, create and drop", merge_two);
    figures.pair(
        "cancel-1000",
        "`cancel` of a root with 1,000 children",
        |b| cancel::<Ripcord>(b, 1_000),
        |b| cancel::<Token>(b, 1_000),
    );

    figures.ours("value", "`value`, set by the parent", |b| value(b, 0));
    figures.ours("value-deep", "`value`, 100,000 sets away", |b| {
        value(b, 100_000)
    });
    figures.ours(
        "with-value",
        "`with_value` of a second key, and drop",
        set_value,
    );

    figures.few_samples();
    figures.pair(
        "cancel-1000000",
        "`cancel` of a root with 1,000,000 children",
        |b| cancel::<Ripcord>(b, million()),
        |b| cancel::<Token>(b, million()),
    );
    figures.ours(
        "first-drops-max",
        "slowest of the first 1,000 drops after 1,000,000 pushes",
        |b| first_drops(b, million(), |sorted| sorted[sorted.len() - 1]),
    );
    figures.ours(
        "first-drops-median",
        "median of the same drops, with one reading of the clock",
        |b| first_drops(b, million(), |sorted| sorted[sorted.len() / 2]),
    );
    figures.finish()
}
