//! Every kind of use from several threads at once, for ThreadSanitizer: `stress SECONDS`. `stress canary` makes a race, which
//! is to be reported.
//!
//! A program and no test, for libtest's channel gives false reports: std is not instrumented, so what its locks and its
//! parking put in order is not seen. For the same reason the threads here share nothing but contexts and atomics, and are
//! joined by their handles, which the sanitizer does see.

use ripcord::{CancelGuard, Context, Engine, Error, Key, Pool};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

static VALUE: Key<Vec<usize>> = Key::new("value");

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_micros(300);
const THREADS: usize = 4;

/// Plain data that a thread writes before it cancels, and others read once they have seen that: what an edge in the
/// library that is missing would make a race of.
struct Written(std::cell::UnsafeCell<usize>);

// SAFETY: written by one thread, before others that read it see a context done.
unsafe impl Sync for Written {}
// SAFETY: plain data.
unsafe impl Send for Written {}

impl Written {
    fn write(&self, value: usize) {
        // SAFETY: nobody reads it yet.
        unsafe { *self.0.get() = value };
    }

    fn read(&self) -> usize {
        // SAFETY: whoever wrote it has come to its end.
        unsafe { *self.0.get() }
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut TaskContext::from_waker(waker))
}

/// Contexts that all threads are at: one that stays, and one that each round cancels.
struct Round {
    root: Context,
    ended: Context,
    guard: CancelGuard,
    written: Written,
}

fn derive_and_drop(ctx: &Context, n: usize) {
    let one = ctx.with_value(&VALUE, vec![n]).with_cancel();
    let two = one.0.with_timeout(LONG);
    let three = ctx.with_timeout(LONG - SHORT * n as u32);
    assert_eq!(two.0.value(&VALUE), Some(&vec![n]));
    drop(one);
    drop((two, three));
}

fn merge(round: &Round) {
    let other = round.root.with_cancel();
    let (merged, _guard) = Context::merge([&round.ended, &other.0]);
    other.1.cancel();
    assert!(merged.is_done());
}

fn wait_by_polling(ctx: &Context) {
    let waker = Arc::<Wakes>::default().into();
    let mut done = ctx.done();
    let mut sleep = ctx.sleep(SHORT);
    let _ = (poll(&mut done, &waker), poll(&mut sleep, &waker));
}

fn expire(ctx: &Context) {
    let (child, _guard) = ctx.with_timeout(SHORT);
    let error = child.wait();
    assert!(ctx.is_done() || error == Error::DeadlineExceeded);
    let _ = ctx.wait_timeout(SHORT);
}

fn call_back(ctx: &Context, runs: &Arc<AtomicUsize>) {
    let (child, guard) = ctx.with_cancel();
    let [first, second] = [0, 1].map(|_| {
        let runs = Arc::clone(runs);
        child.after_func(move || {
            runs.fetch_add(1, Ordering::Relaxed);
        })
    });
    first.stop();
    guard.cancel();
    assert!(!second.stop() || ctx.is_done());
}

fn own_engine(n: usize) {
    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("nothing is started");
    let (ctx, _guard) = engine.background().with_timeout(SHORT);
    clock.advance(SHORT);
    assert!(ctx.is_done());
    if n.is_multiple_of(8) {
        let engine = Engine::builder().build().expect("a thread can be started");
        let (ctx, _guard) = engine.background().with_timeout(SHORT);
        let (ahead, _ahead_guard) = engine.background().with_timeout(LONG);
        ctx.wait();
        engine.shutdown();
        ahead.wait();
    }
}

/// What one thread does in a round. One of them ends it.
fn work(round: &Round, thread: usize, number: usize, runs: &Arc<AtomicUsize>) {
    for n in 0..8 {
        for ctx in [&round.root, &round.ended] {
            derive_and_drop(ctx, n);
            wait_by_polling(ctx);
        }
        merge(round);
        if thread == 0 && n == 4 {
            round.written.write(number);
            round.guard.cancel_with(Error::Canceled);
        }
        if round.ended.is_done() {
            assert_eq!(round.written.read(), number);
            assert!(round.ended.cause().is_some());
        }
    }
    let batch = round.root.batch(8);
    drop(batch[3].with_cancel());
    drop(batch);
    expire(&round.root);
    call_back(&round.root, runs);
    match thread {
        1 => own_engine(number),
        2 => drop(round.ended.done_channel().recv()),
        3 => drop((
            Pool::trim(),
            round.root.child_count(),
            round.root.to_string(),
        )),
        _ => {}
    }
    assert_eq!(round.ended.wait(), Error::Canceled);
    assert_eq!(round.written.read(), number);
}

/// A read that nothing has put after its write: the thread that reads looks at another context than the one cancelled.
fn race() {
    let [ended, watched] = [0, 1].map(|_| Context::background().with_cancel());
    let written = Arc::new(Written(std::cell::UnsafeCell::new(0)));
    let write = Arc::clone(&written);
    let writer = thread::spawn(move || {
        write.write(1);
        ended.1.cancel();
    });
    let reader = thread::spawn(move || (watched.0.is_done(), written.read()));
    assert!(writer.join().is_ok() && reader.join().is_ok());
}

fn main() {
    let seconds = match std::env::args().nth(1).as_deref() {
        Some("canary") => return race(),
        Some(seconds) => seconds.parse().expect("a whole number of seconds"),
        None => 10,
    };
    let began = Instant::now();
    let runs = Arc::<AtomicUsize>::default();
    let mut rounds = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let (root, root_guard) = Context::background()
            .with_value(&VALUE, vec![])
            .with_cancel();
        let (ended, guard) = root.with_cancel();
        let round = Arc::new(Round {
            root,
            ended,
            guard,
            written: Written(std::cell::UnsafeCell::new(0)),
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (round, runs) = (Arc::clone(&round), Arc::clone(&runs));
                thread::spawn(move || work(&round, thread, rounds, &runs))
            })
            .collect();
        for thread in threads {
            thread.join().expect("every answer is right");
        }
        drop((round, root_guard));
        rounds += 1;
    }
    println!(
        "{rounds} rounds of {THREADS} threads, {} functions ran",
        runs.load(Ordering::Relaxed)
    );
}
