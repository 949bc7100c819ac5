//! Deadlines and sleeps beside tokio's timers.
//!
//! `cargo bench --bench timers`; with `RIPCORD_PERF=write` the figures go into PERF.md.

mod report;

use criterion::Bencher;
use report::Figures;
use ripcord::{CancelGuard, Context, Engine, Error};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Barrier;
use std::task::{self, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Longer than any round: what is armed is disarmed, as in a server that answers in time.
const LONG: Duration = Duration::from_secs(30);

fn root() -> (Context, CancelGuard) {
    Context::background().with_cancel()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O")
}

fn timeout_ours(b: &mut Bencher<'_>, threads: usize) {
    let (root, _guard) = root();
    b.iter_custom(|iters| {
        time_threads(threads, || {
            for _ in 0..iters {
                drop(black_box(root.with_timeout(LONG)));
            }
        })
    });
}

/// Tokio's timer is in its wheel from the first poll on.
fn timeout_tokio(b: &mut Bencher<'_>, threads: usize) {
    let runtime = runtime();
    b.iter_custom(|iters| {
        time_threads(threads, || {
            let _entered = runtime.enter();
            let mut cx = task::Context::from_waker(Waker::noop());
            for _ in 0..iters {
                let sleep = pin!(tokio::time::sleep(LONG));
                assert!(black_box(sleep).poll(&mut cx).is_pending());
            }
        })
    });
}

fn sleep_ours(b: &mut Bencher<'_>) {
    let (root, _guard) = root();
    let mut cx = task::Context::from_waker(Waker::noop());
    b.iter(|| Pin::new(&mut root.sleep(LONG)).poll(&mut cx).is_pending());
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

/// How late a task is that waits for a deadline of 0.2 to 1.2 ms: what `pick` takes of a hundred, sorted.
fn lateness(b: &mut Bencher<'_>, wait: impl Fn(Instant), pick: fn(&[Duration]) -> Duration) {
    let once = || {
        let mut late: Vec<Duration> = (0..100)
            .map(|i| {
                let at = Instant::now() + Duration::from_micros(200 + i * 10);
                wait(at);
                at.elapsed()
            })
            .collect();
        late.sort_unstable();
        pick(&late)
    };
    b.iter_custom(|iters| (0..iters).map(|_| once()).sum());
}

fn lateness_ours(b: &mut Bencher<'_>, pick: fn(&[Duration]) -> Duration) {
    let runtime = runtime();
    let (root, _guard) = root();
    let wait = |at| {
        let (ctx, _guard) = root.with_deadline(at);
        assert_eq!(runtime.block_on(ctx.done()), Error::DeadlineExceeded);
    };
    lateness(b, wait, pick);
}

fn lateness_tokio(b: &mut Bencher<'_>, pick: fn(&[Duration]) -> Duration) {
    let runtime = runtime();
    let wait = |at: Instant| runtime.block_on(async { tokio::time::sleep_until(at.into()).await });
    lateness(b, wait, pick);
}

fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

fn ninety_nine(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

/// Only the turn is timed.
fn fire(b: &mut Bencher<'_>) {
    let contexts = if report::test_mode() { 1_000 } else { 10_000 };
    let once = || {
        let (engine, clock) = Engine::builder()
            .manual_clock()
            .expect("it needs no thread");
        let root = engine.background();
        let kept: Vec<_> = (0..contexts)
            .map(|i| root.with_timeout(Duration::from_micros(1 + i % 1_000)))
            .collect();
        let start = Instant::now();
        clock.advance(Duration::from_millis(1));
        let took = start.elapsed();
        assert!(kept.iter().all(|(ctx, _)| ctx.is_done()));
        took
    };
    b.iter_custom(|iters| (0..iters).map(|_| once()).sum());
}

fn main() -> ExitCode {
    let mut figures = Figures::new("timers", "tokio");
    figures.scale("clock", "`Instant::now`", |b| b.iter(Instant::now));

    figures.pair(
        "timeout-1-thread",
        "a timeout of 30 s armed and disarmed, 1 thread",
        |b| timeout_ours(b, 1),
        |b| timeout_tokio(b, 1),
    );
    figures.pair(
        "timeout-2-threads",
        "a timeout of 30 s armed and disarmed, 2 threads, each",
        |b| timeout_ours(b, 2),
        |b| timeout_tokio(b, 2),
    );
    figures.pair(
        "sleep",
        "a sleep of 30 s, created, polled once and dropped",
        sleep_ours,
        |b| timeout_tokio(b, 1),
    );

    figures.few_samples();
    figures.pair(
        "late-median",
        "lateness of a task that waits for a deadline, median",
        |b| lateness_ours(b, median),
        |b| lateness_tokio(b, median),
    );
    figures.pair(
        "late-99",
        "the same, 99th of 100",
        |b| lateness_ours(b, ninety_nine),
        |b| lateness_tokio(b, ninety_nine),
    );
    figures.ours(
        "fire-10000",
        "`advance` over 10,000 deadlines, 1,000 of them apart",
        fire,
    );
    figures.finish()
}
