//! A future run under a context is polled only while that is live, and gone before the error is there.

use crate::common::{
    Drops, LONG, MS, Wakes, in_time, manual, on_wake, poll_pinned, run_all, scaled,
};
use ripcord::{Context, Engine, Error};
use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};

/// A future that counts its polls and its drop, and is never ready.
struct Counted {
    polls: Arc<AtomicUsize>,
    _drops: ripcord::Cause,
}

impl Counted {
    fn new(drops: &Drops) -> (Self, Arc<AtomicUsize>) {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Self {
            polls: polls.clone(),
            _drops: drops.error().into(),
        };
        (counted, polls)
    }
}

impl Future for Counted {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<u32> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        Poll::Pending
    }
}

#[test]
fn the_output_of_the_future_comes_through() {
    let (engine, clock) = manual();
    let (ctx, _guard) = Context::background().with_cancel();
    let (timed, _timed_guard) = engine.background().with_timeout(LONG);
    for ctx in [Context::background(), engine.background(), ctx, timed] {
        let mut run = ctx.run(ready(7));
        assert_eq!(poll_pinned(&mut run, Waker::noop()), Poll::Ready(Ok(7)));
        let mut polls = 0;
        let mut run = ctx.run(poll_fn(move |_| {
            polls += 1;
            if polls == 3 {
                Poll::Ready(polls)
            } else {
                Poll::Pending
            }
        }));
        assert_eq!(poll_pinned(&mut run, Waker::noop()), Poll::Pending);
        assert_eq!(poll_pinned(&mut run, Waker::noop()), Poll::Pending);
        assert_eq!(poll_pinned(&mut run, Waker::noop()), Poll::Ready(Ok(3)));
    }
    drop(clock);
}

#[test]
fn the_future_of_a_done_context_is_never_polled_and_dropped_before_the_error() {
    let (engine, clock) = manual();
    let (canceled, guard) = Context::background().with_cancel();
    guard.cancel();
    let (expired, _expired_guard) = engine.background().with_timeout(MS);
    clock.advance(MS);
    let (born, _born_guard) = canceled.with_timeout(LONG);
    for (ctx, error) in [
        (&canceled, Error::Canceled),
        (&expired, Error::DeadlineExceeded),
        (&born, Error::Canceled),
    ] {
        let drops = Drops::default();
        let (counted, polls) = Counted::new(&drops);
        let mut run = ctx.run(counted);
        for _ in 0..3 {
            assert_eq!(
                poll_pinned(&mut run, Waker::noop()),
                Poll::Ready(Err(error))
            );
            assert_eq!(drops.count(), 1, "dropped before the error is returned");
        }
        assert_eq!(polls.load(Ordering::SeqCst), 0);
        drop(run);
        assert_eq!(drops.count(), 1);
    }
}

#[test]
fn the_context_is_looked_at_before_every_poll() {
    let (ctx, guard) = Context::background().with_cancel();
    let drops = Drops::default();
    let (counted, polls) = Counted::new(&drops);
    let mut run = ctx.run(counted);
    let wakes = Arc::new(Wakes::default());
    for poll in 1..5 {
        let waker = wakes.clone().into();
        assert_eq!(poll_pinned(&mut run, &waker), Poll::Pending);
        assert_eq!(polls.load(Ordering::SeqCst), poll);
    }
    guard.cancel();
    assert_eq!(wakes.count(), 1);
    assert_eq!(drops.count(), 0, "it is the task's to drop");
    for _ in 0..2 {
        let polled = poll_pinned(&mut run, Waker::noop());
        assert_eq!(polled, Poll::Ready(Err(Error::Canceled)));
        assert_eq!(drops.count(), 1);
    }
    assert_eq!(polls.load(Ordering::SeqCst), 4);
}

#[test]
fn a_future_that_cancels_its_own_context_is_woken_and_not_polled_again() {
    let (ctx, guard) = Context::background().with_cancel();
    let polls = Arc::new(AtomicUsize::new(0));
    let mut run = ctx.run(poll_fn({
        let polls = polls.clone();
        move |_| {
            polls.fetch_add(1, Ordering::SeqCst);
            guard.cancel();
            Poll::<()>::Pending
        }
    }));
    let wakes = Arc::new(Wakes::default());
    assert_eq!(poll_pinned(&mut run, &wakes.clone().into()), Poll::Pending);
    assert_eq!(wakes.count(), 1);
    assert_eq!(
        poll_pinned(&mut run, &wakes.into()),
        Poll::Ready(Err(Error::Canceled))
    );
    assert_eq!(polls.load(Ordering::SeqCst), 1);

    let (ctx, guard) = Context::background().with_cancel();
    let mut run = ctx.run(poll_fn(move |_| {
        guard.cancel();
        Poll::Ready("in time")
    }));
    assert_eq!(
        poll_pinned(&mut run, Waker::noop()),
        Poll::Ready(Ok("in time"))
    );
}

#[test]
fn the_future_sees_its_context_done_when_it_is_dropped() {
    struct Looks(Context, Arc<AtomicUsize>);
    impl Drop for Looks {
        fn drop(&mut self) {
            self.1
                .fetch_add(usize::from(self.0.is_done()), Ordering::SeqCst);
        }
    }
    let seen = Arc::new(AtomicUsize::new(0));
    let (ctx, guard) = Context::background().with_cancel();
    let looks = Looks(ctx.clone(), seen.clone());
    let mut run = std::pin::pin!(ctx.run(async move {
        let _looks = looks;
        pending::<()>().await;
    }));
    let mut task = TaskContext::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut task).is_pending());
    guard.cancel();
    assert_eq!(
        run.as_mut().poll(&mut task),
        Poll::Ready(Err(Error::Canceled))
    );
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert_eq!(
        run.as_mut().poll(&mut task),
        Poll::Ready(Err(Error::Canceled))
    );
}

#[test]
fn a_future_may_borrow_and_need_not_be_send() {
    let (ctx, guard) = Context::background().with_cancel();
    let count = Cell::new(0);
    let mut run = ctx.run(poll_fn(|_| {
        count.set(count.get() + 1);
        Poll::<()>::Pending
    }));
    assert!(poll_pinned(&mut run, Waker::noop()).is_pending());
    guard.cancel();
    assert!(poll_pinned(&mut run, Waker::noop()).is_ready());
    assert_eq!(count.get(), 1);

    fn goes_anywhere<T: Send + 'static>(_: &T) {}
    goes_anywhere(&ctx.run(pending::<()>()));
}

#[test]
fn a_run_keeps_its_context_and_gives_its_waker_back() {
    let (parent, parent_guard) = Context::background().with_cancel();
    let (ctx, guard) = parent.with_cancel();
    let drops = Drops::default();
    let (counted, _polls) = Counted::new(&drops);
    let mut run = ctx.run(counted);
    drop((ctx, guard.disarm()));
    assert_eq!(parent.child_count(), 1);
    let wakes = Arc::new(Wakes::default());
    assert!(poll_pinned(&mut run, &wakes.clone().into()).is_pending());
    drop(run);
    assert_eq!(Arc::strong_count(&wakes), 1);
    assert_eq!(drops.count(), 1);
    assert_eq!(parent.child_count(), 0);
    parent_guard.cancel();
    assert_eq!(wakes.count(), 0);
}

#[test]
fn a_panic_of_the_future_is_its_pollers_and_the_rest_is_let_go() {
    let (ctx, guard) = Context::background().with_cancel();
    let drops = Drops::default();
    let kept = drops.error();
    let mut run = ctx.run(poll_fn(move |_| -> Poll<()> {
        let _kept = &kept;
        panic!("the future panics");
    }));
    let polled = catch_unwind(AssertUnwindSafe(|| poll_pinned(&mut run, Waker::noop())));
    assert!(polled.is_err());
    drop(run);
    assert_eq!(drops.count(), 1);
    guard.cancel();

    let mut run = Context::background().run(ready(1));
    assert_eq!(poll_pinned(&mut run, Waker::noop()), Poll::Ready(Ok(1)));
    let again = catch_unwind(AssertUnwindSafe(|| poll_pinned(&mut run, Waker::noop())));
    assert!(again.is_err(), "it has given its output away");
}

#[test]
fn a_run_ends_with_the_deadline_on_a_manual_clock() {
    let (engine, clock) = manual();
    let (ctx, _guard) = engine.background().with_timeout(LONG);
    let mut run = ctx.run(engine.background().sleep(2 * LONG));
    let mut nested = ctx.run(ctx.run(pending::<()>()));
    let wakes = Arc::new(Wakes::default());
    assert!(poll_pinned(&mut run, &wakes.clone().into()).is_pending());
    assert!(poll_pinned(&mut nested, Waker::noop()).is_pending());
    clock.advance(LONG - MS);
    assert!(poll_pinned(&mut run, &wakes.clone().into()).is_pending());
    clock.advance(MS);
    assert_eq!(wakes.count(), 1);
    let expired = Err(Error::DeadlineExceeded);
    assert_eq!(poll_pinned(&mut run, Waker::noop()), Poll::Ready(expired));
    assert!(matches!(
        poll_pinned(&mut nested, Waker::noop()),
        Poll::Ready(Err(Error::DeadlineExceeded))
    ));
}

#[test]
fn runs_in_a_runtime_of_many_threads_end_with_the_cancel() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be started");
    in_time(move || {
        runtime.block_on(async {
            let engine = Engine::builder().build().expect("a thread");
            for root in [Context::background(), engine.background()] {
                let (ctx, _guard) = root.with_timeout(20 * MS);
                let tasks: Vec<_> = (0..scaled(100))
                    .map(|_| tokio::spawn(ctx.run(pending::<()>())))
                    .collect();
                for task in tasks {
                    assert_eq!(task.await.expect("the task"), Err(Error::DeadlineExceeded));
                }
                let (ctx, guard) = root.with_cancel();
                let tasks: Vec<_> = (0..scaled(100))
                    .map(|_| tokio::spawn(ctx.run(pending::<()>())))
                    .collect();
                guard.cancel();
                for task in tasks {
                    assert_eq!(task.await.expect("the task"), Err(Error::Canceled));
                }
            }
        });
    });
}

#[test]
fn a_poll_against_a_cancel_never_polls_the_future_after_it_returned() {
    in_time(|| {
        for _ in 0..scaled(500) {
            let (ctx, guard) = Context::background().with_cancel();
            let (told, wakes) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
            let waker = on_wake({
                let wakes = wakes.clone();
                move || {
                    std::task::Wake::wake_by_ref(&wakes);
                }
            });
            let run = std::sync::Mutex::new(ctx.run(pending::<()>()));
            let polled = run_all(2, |thread| {
                if thread == 0 {
                    guard.cancel();
                    return Poll::Pending;
                }
                poll_pinned(&mut *run.lock().expect("nobody panics with it"), &waker)
            });
            if polled[1].is_pending() {
                assert_eq!(wakes.count(), 1);
            }
            let mut run = run.into_inner().expect("nobody panics with it");
            let end = poll_pinned(&mut run, &told.into());
            assert_eq!(end, Poll::Ready(Err(Error::Canceled)));
        }
    });
}
