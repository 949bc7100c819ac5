//! Waits of every kind, but for those of a runtime.

use super::super::ledger::{Counted, panic_on_purpose};
use super::super::quiet::PATIENCE;
use super::{Worker, poll};
use crossbeam_channel::{after, select};
use ripcord::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Wakes {
    count: AtomicUsize,
    panics: bool,
    _dropped: Option<Counted>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.panics {
            panic_on_purpose();
        }
    }
}

/// Polled by hand, and told once.
pub(super) fn polled(worker: &mut Worker) {
    let (ctx, guard) = worker.base().with_cancel();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut waits: Vec<_> = (0..worker.rng.usize(1..6)).map(|_| ctx.done()).collect();
    let pending = waits.iter_mut().all(|done| poll(done, &waker).is_pending());
    worker.ensure(pending, || {
        format!("{ctx}: a wait is ready and should not be")
    });
    let dropped = worker.rng.usize(..waits.len());
    waits.truncate(waits.len() - dropped);
    guard.cancel();
    let told = wakes.count.load(Ordering::SeqCst);
    worker.ensure(told == waits.len(), || {
        format!("{} waits were told {told} times", waits.len())
    });
    let ready = waits.iter_mut().all(|done| poll(done, &waker).is_ready());
    worker.ensure(ready, || {
        format!("{ctx}: a wait is pending and should not be")
    });
    worker.ended(&ctx, Error::Canceled, None);
}

/// One that panics, when it is woken or when it goes, keeps nobody else from being told.
pub(super) fn wakers_panic(worker: &mut Worker) {
    let (ctx, guard) = worker.base().with_cancel();
    let wakes = |panics, dropped| {
        Arc::new(Wakes {
            panics,
            _dropped: dropped,
            ..Wakes::default()
        })
    };
    let (panics, told) = (wakes(true, None), wakes(false, None));
    let leave = |waker: &Waker| {
        let mut done = ctx.done();
        let pending = poll(&mut done, waker).is_pending();
        worker.ensure(pending, || {
            format!("{ctx}: a wait is ready and should not be")
        });
        done
    };
    let mut waits = [&panics, &told, &panics].map(|wakes| leave(&Arc::clone(wakes).into()));
    // From here on the library has the last of it.
    let going = leave(&wakes(false, Some(worker.counted().panicking())).into());
    let mut going = worker.rng.bool().then_some(going);
    guard.cancel();
    let counts = [&panics, &told].map(|wakes| wakes.count.load(Ordering::SeqCst));
    worker.ensure(counts == [2, 1], || {
        format!("the wakers were called {counts:?} times")
    });
    let ready = waits
        .iter_mut()
        .chain(&mut going)
        .all(|done| poll(done, Waker::noop()).is_ready());
    worker.ensure(ready, || {
        format!("{ctx}: a wait whose waker panicked is pending")
    });
}

/// Threads that sleep on a context, and end with what they have at hand.
pub(super) fn blocked(worker: &mut Worker) {
    let (ctx, guard) = worker.base().with_cancel();
    let waiting: Vec<_> = (0..worker.rng.usize(1..4))
        .map(|_| {
            let ctx = ctx.clone();
            thread::spawn(move || ctx.wait_timeout(PATIENCE))
        })
        .collect();
    thread::sleep(Duration::from_micros(worker.rng.u64(..300)));
    guard.cancel();
    for thread in waiting {
        let woken = thread.join().ok().flatten();
        worker.ensure(woken == Some(Error::Canceled), || {
            format!("a thread woke with {woken:?}")
        });
    }
}

/// Until a time, which comes, or not before the end of the context.
pub(super) fn timed(worker: &mut Worker) {
    let base = worker.base();
    let time = Duration::from_micros(worker.rng.u64(..1_500));
    let began = Instant::now();
    let (ctx, _guard) = base.with_cancel();
    match worker.rng.u32(..3) {
        0 => {
            let seen = ctx.wait_timeout(time);
            worker.ensure(seen.is_none(), || format!("{ctx} ended with {seen:?}"));
        }
        1 => {
            let slept = ctx.blocking_sleep(time);
            worker.ensure(slept.is_ok(), || format!("{ctx} ended with {slept:?}"));
        }
        _ => {
            let (due, _guard) = ctx.with_timeout(time);
            let slept = due.blocking_sleep(PATIENCE);
            worker.ensure(slept == Err(Error::DeadlineExceeded), || {
                format!("a sleep under {due} gave {slept:?}")
            });
        }
    }
    worker.ensure(began.elapsed() >= time, || {
        format!("a wait of {time:?} was short")
    });
}

pub(super) fn selected(worker: &mut Worker) {
    let base = worker.base();
    let (ctx, guard) = base.with_timeout(Duration::from_micros(worker.rng.u64(..1_000)));
    let (other, _other_guard) = base.with_cancel();
    if worker.rng.bool() {
        guard.cancel();
    }
    let (channel, never) = (ctx.done_channel(), other.done_channel());
    let first = select! {
        recv(channel) -> _ => 0,
        recv(never) -> _ => 1,
        recv(after(PATIENCE)) -> _ => 2,
    };
    worker.ensure(first == 0, || format!("{ctx}: select! took arm {first}"));
    worker.agrees(&ctx);
}
