//! Waiting: futures, channels, callbacks and blocked threads, beside tokio-util's and stop-token's. What a wait
//! costs that is polled once and dropped is in `tree`.
//!
//! `cargo bench --bench waits`; with `RIPCORD_PERF=write` the figures go into PERF.md.

mod common;
mod report;

use common::tree::wait;
use common::{Ripcord, Subject, Token, shared, timed_by_itself};
use report::{Figures, middle, sized};
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};
use stop_token::StopSource;

const TOKIO: &str = "tokio-util";
const STOP: &str = "stop-token";

/// Tasks that wait on one context.
const TASKS: usize = 1_000;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The whole life of a wait that is ended: made, polled, told, polled.
fn told<F: Future>(made: F, cancel: impl FnOnce(), wakes: &Arc<Wakes>, waker: &Waker) {
    let mut cx = task::Context::from_waker(waker);
    let mut wait = pin!(made);
    let before = wakes.0.load(Ordering::Relaxed);
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    cancel();
    assert_eq!(wakes.0.load(Ordering::Relaxed), before + 1);
    assert!(wait.poll(&mut cx).is_ready());
}

type Woken = (Arc<Wakes>, Waker);

fn woken() -> Woken {
    let wakes = Arc::new(Wakes::default());
    (wakes.clone(), Waker::from(wakes))
}

fn told_ours((wakes, waker): &Woken, n: u64) {
    for _ in 0..n {
        let (ctx, guard) = Ripcord::root();
        told(ctx.done(), || guard.cancel(), wakes, waker);
    }
}

fn told_tokio((wakes, waker): &Woken, n: u64) {
    for _ in 0..n {
        let token = Token::new();
        told(token.cancelled(), || token.cancel(), wakes, waker);
    }
}

fn told_stop((wakes, waker): &Woken, n: u64) {
    for _ in 0..n {
        let source = StopSource::new();
        told(source.token(), move || drop(source), wakes, waker);
    }
}

/// Only the cancel is timed.
fn tell_all<F: Future>(waits: Vec<F>, cancel: impl FnOnce()) -> Duration {
    let (wakes, waker) = woken();
    let mut cx = task::Context::from_waker(&waker);
    let mut waits: Vec<_> = waits.into_iter().map(Box::pin).collect();
    let mut poll = |wait: &mut Pin<Box<F>>| wait.as_mut().poll(&mut cx);
    assert!(waits.iter_mut().all(|wait| poll(wait).is_pending()));
    let start = Instant::now();
    cancel();
    let took = start.elapsed();
    assert_eq!(wakes.0.load(Ordering::Relaxed), waits.len());
    assert!(waits.iter_mut().all(|wait| poll(wait).is_ready()));
    took
}

fn tell_ours() -> Duration {
    let (ctx, guard) = Ripcord::root();
    tell_all((0..TASKS).map(|_| ctx.done()).collect(), || guard.cancel())
}

fn tell_tokio() -> Duration {
    let token = Token::new();
    let waits = (0..TASKS).map(|_| token.cancelled()).collect();
    tell_all(waits, || token.cancel())
}

fn tell_stop() -> Duration {
    let source = StopSource::new();
    let waits = (0..TASKS).map(|_| source.token()).collect();
    tell_all(waits, move || drop(source))
}

fn channel(_: &(), n: u64) {
    for _ in 0..n {
        let (ctx, _guard) = Ripcord::root();
        black_box(&ctx.done_channel());
    }
}

fn channel_again(root: &Ripcord, n: u64) {
    for _ in 0..n {
        black_box(&black_box(root).0.done_channel());
    }
}

fn after_func(root: &Ripcord, n: u64) {
    for _ in 0..n {
        assert!(black_box(root).0.after_func(|| ()).stop());
    }
}

/// From the cancel to the return of a thread's wait, in nanoseconds: the median of 200. The thread has time to fall asleep.
fn wake_thread<S: Subject>(wait: fn(&S)) -> f64 {
    let once = || {
        let root = S::root();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                wait(&root);
                Instant::now()
            });
            thread::sleep(Duration::from_micros(500));
            let cancelled = Instant::now();
            root.cancel();
            let returned = waiter.join().expect("it only waits");
            returned.saturating_duration_since(cancelled).as_nanos() as f64
        })
    };
    middle((0..sized(200, 3)).map(|_| once()))
}

fn wait_tokio(token: &Token) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers");
    runtime.block_on(token.cancelled());
}

fn main() -> ExitCode {
    let mut figures = Figures::new("waits", &[TOKIO, STOP]);
    figures
        .row(
            "wake",
            "root made, wait polled, cancelled, woken, polled again",
        )
        .ours(shared(1, woken, told_ours))
        .peer(TOKIO, shared(1, woken, told_tokio))
        .peer(STOP, shared(1, woken, told_stop));
    figures
        .row("wake-1000", "`cancel` with 1,000 tasks waiting, a task")
        .ours(timed_by_itself(tell_ours))
        .peer(TOKIO, timed_by_itself(tell_tokio))
        .peer(STOP, timed_by_itself(tell_stop))
        .per(TASKS);
    figures
        .row(
            "wake-thread",
            "from `cancel` to the return of a blocked thread's wait, median",
        )
        .ours_found(|| {
            wake_thread::<Ripcord>(|root| {
                root.0.wait();
            })
        })
        .peer_found(TOKIO, || wake_thread::<Token>(wait_tokio));
    figures
        .row("channel", "root made, its first `done_channel`, dropped")
        .ours(shared(1, || (), channel));
    figures
        .row("channel-again", "`done_channel` of a context that has one")
        .ours(shared(1, Ripcord::root, channel_again));
    figures
        .row("after-func", "`after_func` registered and stopped")
        .ours(shared(1, Ripcord::root, after_func))
        .peer(TOKIO, shared(1, Token::root, wait));
    figures.finish()
}
