//! Sleeps and waits with a time: they count from the call, on their engine's clock, and a context's end comes first.

use crate::common::{
    LONG, MS, NS, PATIENCE, Reason, Wakes, eventually, in_time, manual, on_wake, poll_pinned,
    run_all, scaled,
};
use ripcord::{Context, Driver, Engine, EngineStopped, Error, Sleep};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context as TaskContext, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

const CANCELED: Poll<Result<(), Error>> = Poll::Ready(Err(Error::Canceled));
const EXPIRED: Poll<Result<(), Error>> = Poll::Ready(Err(Error::DeadlineExceeded));
const SLEPT: Poll<Result<(), Error>> = Poll::Ready(Ok(()));

/// A sleep polled once, and its waker.
struct Sleeper {
    sleep: Sleep,
    wakes: Arc<Wakes>,
}

impl Sleeper {
    fn on(ctx: &Context, d: Duration) -> Self {
        let mut sleeper = Self {
            sleep: ctx.sleep(d),
            wakes: Arc::default(),
        };
        let _ = sleeper.poll();
        sleeper
    }

    fn poll(&mut self) -> Poll<Result<(), Error>> {
        poll_pinned(&mut self.sleep, &self.wakes.clone().into())
    }

    fn wakes(&self) -> usize {
        self.wakes.count()
    }
}

/// Runs a future to its end on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let (woken, is_woken) = mpsc::channel();
    let waker = on_wake(move || {
        let _ = woken.send(());
    });
    loop {
        let polled = future.as_mut().poll(&mut TaskContext::from_waker(&waker));
        if let Poll::Ready(output) = polled {
            return output;
        }
        is_woken.recv_timeout(PATIENCE).expect("it is woken");
    }
}

fn driven() -> (Engine, Driver) {
    Engine::builder().driven().expect("it needs no thread")
}

/// Contexts that can never be done, of engines whose time passes by itself.
fn on_the_machines_clock() -> [Context; 2] {
    let own = Engine::builder().build().expect("a thread can be started");
    [Context::background(), own.background()]
}

#[test]
fn a_sleep_is_over_at_its_nanosecond_and_not_before() {
    for power in 0..60 {
        let (engine, clock) = manual();
        let d = Duration::from_nanos(1 << power);
        let mut sleepers = [
            Sleeper::on(&engine.background(), d),
            Sleeper::on(&engine.background().with_cancel().0.without_cancel(), d),
        ];
        clock.advance(d - NS);
        for sleeper in &mut sleepers {
            assert_eq!(sleeper.poll(), Poll::Pending, "2^{power} ns came early");
        }
        clock.advance(NS);
        for sleeper in &mut sleepers {
            assert_eq!(sleeper.wakes(), 1);
            assert_eq!(sleeper.poll(), SLEPT);
            assert_eq!(sleeper.poll(), SLEPT);
            assert_eq!(sleeper.wakes(), 1);
        }
    }
}

#[test]
fn a_sleep_counts_from_the_call_and_not_from_the_first_poll() {
    let (engine, clock) = manual();
    let mut sleep = engine.background().sleep(LONG);
    clock.advance(LONG / 2);
    assert_eq!(poll_pinned(&mut sleep, Waker::noop()), Poll::Pending);
    clock.advance(LONG / 2);
    assert_eq!(poll_pinned(&mut sleep, Waker::noop()), SLEPT);
    let mut unpolled = engine.background().sleep(LONG);
    clock.advance(LONG);
    assert_eq!(poll_pinned(&mut unpolled, Waker::noop()), SLEPT);
}

#[test]
fn a_sleep_of_nothing_is_over_at_once_and_one_without_end_lasts_as_long_as_its_context() {
    let (engine, clock) = manual();
    for root in [Context::background(), engine.background()] {
        let (ctx, guard) = root.with_cancel();
        assert_eq!(Sleeper::on(&root, Duration::ZERO).poll(), SLEPT);
        assert_eq!(Sleeper::on(&ctx, Duration::ZERO).poll(), SLEPT);
        let mut endless = [
            Sleeper::on(&ctx, Duration::MAX),
            Sleeper::on(&ctx, Duration::from_nanos(u64::MAX)),
            Sleeper::on(&ctx, Duration::from_secs(300 * 366 * 86_400)),
        ];
        let mut never = Sleeper::on(&root, Duration::MAX);
        clock.advance(LONG * 24 * 366);
        for sleeper in &mut endless {
            assert_eq!(sleeper.poll(), Poll::Pending);
        }
        guard.cancel();
        for sleeper in &mut endless {
            assert_eq!(sleeper.wakes(), 1);
            assert_eq!(sleeper.poll(), CANCELED);
        }
        assert_eq!(never.poll(), Poll::Pending);
    }
}

#[test]
fn a_sleep_ends_with_its_context_by_a_cancel_or_by_a_deadline() {
    let (engine, clock) = manual();
    let (ctx, guard) = engine.background().with_cancel();
    let (child, _child_guard) = ctx.with_cancel();
    let mut sleepers = [Sleeper::on(&ctx, LONG), Sleeper::on(&child, LONG)];
    guard.cancel();
    for sleeper in &mut sleepers {
        assert_eq!(sleeper.wakes(), 1);
        assert_eq!(sleeper.poll(), CANCELED);
        assert_eq!(sleeper.poll(), CANCELED);
    }
    let (ctx, _guard) = engine.background().with_timeout(LONG / 2);
    let mut sleeper = Sleeper::on(&ctx, LONG);
    clock.advance(LONG / 2);
    assert_eq!(sleeper.wakes(), 1);
    assert_eq!(sleeper.poll(), EXPIRED);
}

#[test]
fn a_sleep_on_a_done_context_says_how_that_ended() {
    let (engine, clock) = manual();
    let (canceled, guard) = engine.background().with_cancel();
    guard.cancel();
    let (expired, _guard) = engine.background().with_timeout(NS);
    clock.advance(NS);
    for d in [Duration::ZERO, LONG, Duration::MAX] {
        assert_eq!(Sleeper::on(&canceled, d).poll(), CANCELED);
        assert_eq!(Sleeper::on(&expired, d).poll(), EXPIRED);
        assert_eq!(canceled.blocking_sleep(d), Err(Error::Canceled));
        assert_eq!(expired.blocking_sleep(d), Err(Error::DeadlineExceeded));
        assert_eq!(canceled.wait_timeout(d), Some(Error::Canceled));
        assert_eq!(expired.wait_timeout(d), Some(Error::DeadlineExceeded));
    }
}

#[test]
fn where_both_are_due_the_contexts_own_end_comes_first() {
    for (sleeps, lives) in [(1, 1), (1, 2), (2, 1)] {
        let (engine, clock) = manual();
        let (ctx, _guard) = engine.background().with_timeout(lives * LONG);
        let (child, _child_guard) = ctx.with_cancel();
        let mut sleepers = [
            Sleeper::on(&ctx, sleeps * LONG),
            Sleeper::on(&child, sleeps * LONG),
        ];
        clock.advance(2 * LONG);
        for sleeper in &mut sleepers {
            assert_eq!(sleeper.wakes(), 1, "{sleeps}, {lives}");
            assert_eq!(sleeper.poll(), EXPIRED, "{sleeps}, {lives}");
        }
    }
    let (engine, clock) = manual();
    let (ctx, guard) = engine.background().with_cancel();
    let mut sleeper = Sleeper::on(&ctx, LONG);
    let mut polled = Sleeper::on(&ctx, LONG);
    clock.advance(LONG);
    assert_eq!(polled.poll(), SLEPT);
    guard.cancel();
    assert_eq!(polled.poll(), SLEPT, "what it said once it says again");
    assert_eq!(sleeper.poll(), CANCELED);
    assert_eq!((sleeper.wakes(), polled.wakes()), (1, 1));
}

#[test]
fn a_dropped_sleep_gives_its_waker_back_and_is_told_nothing() {
    let (engine, clock) = manual();
    let (ctx, guard) = engine.background().with_cancel();
    for end_first in [true, false] {
        let Sleeper { sleep, wakes } = Sleeper::on(&ctx, LONG);
        assert!(Arc::strong_count(&wakes) > 1, "it waits with the waker");
        if end_first {
            clock.advance(LONG);
        }
        drop(sleep);
        assert_eq!(Arc::strong_count(&wakes), 1);
        clock.advance(LONG);
        assert_eq!(wakes.count(), usize::from(end_first));
    }
    guard.cancel();
}

#[test]
fn a_sleep_is_no_child_but_it_is_a_handle() {
    let (engine, clock) = manual();
    let (parent, _parent_guard) = engine.background().with_cancel();
    let (ctx, guard) = parent.with_cancel();
    let mut sleeper = Sleeper::on(&ctx, LONG);
    assert_eq!(ctx.child_count(), 0);
    assert_eq!(parent.child_count(), 1);
    drop((ctx, guard.disarm()));
    assert_eq!(parent.child_count(), 1, "the sleep keeps it");
    clock.advance(LONG);
    assert_eq!(sleeper.poll(), SLEPT);
    drop(sleeper);
    assert_eq!(parent.child_count(), 0);
}

#[test]
fn the_waker_of_the_last_poll_of_a_sleep_is_woken_and_those_before_are_let_go() {
    let (engine, clock) = manual();
    let mut sleep = engine.background().sleep(LONG);
    let mut wakers: Vec<_> = (0..5).map(|_| Arc::new(Wakes::default())).collect();
    for wakes in &wakers {
        assert!(poll_pinned(&mut sleep, &wakes.clone().into()).is_pending());
        assert!(poll_pinned(&mut sleep, &wakes.clone().into()).is_pending());
    }
    let last = wakers.pop().expect("five were made");
    for old in &wakers {
        assert_eq!(Arc::strong_count(old), 1, "an old waker is still held");
    }
    clock.advance(LONG);
    assert_eq!(last.count(), 1);
    assert!(wakers.iter().all(|old| old.count() == 0));
    assert_eq!(poll_pinned(&mut sleep, Waker::noop()), SLEPT);
    assert_eq!(Arc::strong_count(&last), 1);
}

#[test]
fn a_sleep_on_an_engine_that_is_stopped_ends_canceled() {
    let (by_loop, _driver) = driven();
    let (by_hand, _clock) = manual();
    let own = Engine::builder().build().expect("a thread can be started");
    for engine in [by_loop, by_hand, own] {
        let (ctx, _guard) = engine.background().with_cancel();
        let mut sleeper = Sleeper::on(&ctx, LONG);
        engine.shutdown();
        eventually("it is told", || sleeper.wakes() == 1);
        assert_eq!(sleeper.poll(), CANCELED);
        assert_eq!(ctx.err(), None);
        assert_eq!(Sleeper::on(&ctx, LONG).poll(), CANCELED);
        assert_eq!(Sleeper::on(&ctx, Duration::ZERO).poll(), SLEPT);
        let stopped = ctx.with_timeout(LONG).0.cause().expect("it is done");
        assert_eq!(stopped.downcast_ref(), Some(&EngineStopped));
    }
}

#[test]
fn a_sleep_on_a_driven_engine_needs_a_turn_and_blocking_does_not() {
    in_time(|| {
        let (engine, driver) = driven();
        let (ctx, _guard) = engine.background().with_cancel();
        for ctx in [engine.background(), ctx] {
            let mut sleeper = Sleeper::on(&ctx, MS);
            let asked = Instant::now();
            assert_eq!(ctx.wait_timeout(3 * MS), None);
            assert_eq!(ctx.blocking_sleep(3 * MS), Ok(()));
            assert!(asked.elapsed() >= 6 * MS);
            assert_eq!(sleeper.poll(), Poll::Pending, "nobody took a turn");
            assert_eq!(driver.turn(), 1);
            assert_eq!(sleeper.wakes(), 1);
            assert_eq!(sleeper.poll(), SLEPT);
        }
        // A deadline that is due but was not fired keeps nobody blocked.
        let (timed, _timed_guard) = engine.background().with_timeout(MS);
        assert_eq!(timed.wait_timeout(3 * MS), None);
        assert_eq!(timed.blocking_sleep(MS), Ok(()));
        driver.turn();
        assert_eq!(timed.wait_timeout(LONG), Some(Error::DeadlineExceeded));
    });
}

#[test]
fn a_sleep_on_the_machines_clock_comes_by_itself_and_never_early() {
    in_time(|| {
        for root in on_the_machines_clock() {
            let (ctx, _guard) = root.with_cancel();
            for d in [NS, Duration::from_micros(70), MS, 20 * MS] {
                for ctx in [&root, &ctx] {
                    let asked = Instant::now();
                    assert_eq!(block_on(ctx.sleep(d)), Ok(()));
                    assert!(asked.elapsed() >= d, "early");
                }
            }
        }
    });
}

#[test]
fn blocking_on_the_machines_clock_comes_by_itself_and_never_early() {
    in_time(|| {
        for root in on_the_machines_clock() {
            let (ctx, _guard) = root.with_cancel();
            for d in [Duration::ZERO, NS, Duration::from_micros(70), MS, 20 * MS] {
                for ctx in [&root, &ctx] {
                    let asked = Instant::now();
                    assert_eq!(ctx.wait_timeout(d), None);
                    assert!(asked.elapsed() >= d, "early");
                    let asked = Instant::now();
                    assert_eq!(ctx.blocking_sleep(d), Ok(()));
                    assert!(asked.elapsed() >= d, "early");
                }
            }
        }
    });
}

#[test]
fn blocked_threads_are_let_go_by_a_cancel_on_every_engine() {
    in_time(|| {
        let (by_loop, _driver) = driven();
        let (by_hand, _clock) = manual();
        let [global, own] = on_the_machines_clock();
        for root in [global, own, by_loop.background(), by_hand.background()] {
            let (ctx, guard) = root.with_cancel();
            let answers = run_all(7, |thread| match thread {
                0 => {
                    thread::sleep(2 * MS);
                    guard.cancel();
                    Error::Canceled
                }
                1 | 2 => ctx.wait_timeout(LONG).expect("it is done before"),
                3 => ctx.wait_timeout(Duration::MAX).expect("it is done before"),
                4 => ctx
                    .blocking_sleep(Duration::MAX)
                    .expect_err("it is done before"),
                _ => ctx.blocking_sleep(LONG).expect_err("it is done before"),
            });
            assert_eq!(answers, [Error::Canceled; 7]);
        }
    });
}

#[test]
fn blocked_threads_on_a_manual_clock_are_let_go_by_its_advance_and_by_nothing_else() {
    in_time(|| {
        let (engine, clock) = manual();
        let (ctx, _guard) = engine.background().with_cancel();
        let start = clock.now();
        let begun = Arc::new(Mutex::new(0));
        let blocked: Vec<_> = [engine.background(), ctx]
            .into_iter()
            .flat_map(|ctx| [(ctx.clone(), true), (ctx, false)])
            .map(|(ctx, waits)| {
                let begun = begun.clone();
                thread::spawn(move || {
                    *begun.lock().expect("nobody panics with it") += 1;
                    if waits {
                        assert_eq!(ctx.wait_timeout(LONG), None);
                    } else {
                        assert_eq!(ctx.blocking_sleep(LONG), Ok(()));
                    }
                })
            })
            .collect();
        eventually("all have begun", || {
            *begun.lock().expect("nobody panics with it") == 4
        });
        // They count from their calls, which come at some time between these steps.
        while !blocked.iter().all(thread::JoinHandle::is_finished) {
            clock.advance(LONG / 4);
            thread::sleep(MS);
        }
        assert!(
            clock.now() >= start + LONG,
            "by a clock that stands, an hour"
        );
        for thread in blocked {
            thread.join().expect("the blocked thread");
        }
    });
}

#[test]
fn a_blocked_thread_on_a_manual_clock_is_told_of_its_contexts_deadline() {
    in_time(|| {
        for own_end_first in [true, false] {
            let (engine, clock) = manual();
            let (ctx, _guard) = engine.background().with_timeout(LONG);
            let d = if own_end_first { LONG } else { 2 * LONG };
            let waits = thread::spawn({
                let ctx = ctx.clone();
                move || (ctx.wait_timeout(d), ctx.blocking_sleep(d))
            });
            clock.advance(LONG);
            let answers = waits.join().expect("the blocked thread");
            let expired = Error::DeadlineExceeded;
            assert_eq!(answers, (Some(expired), Err(expired)));
        }
    });
}

#[test]
fn a_deadline_no_later_than_the_wait_is_what_the_wait_answers() {
    in_time(|| {
        for root in on_the_machines_clock() {
            for _ in 0..scaled(200) {
                let at = Instant::now() + Duration::from_micros(300);
                let (ctx, _guard) = root.with_deadline(at);
                let (child, _child_guard) = ctx.with_cancel();
                let left = at.saturating_duration_since(Instant::now());
                assert_eq!(child.wait_timeout(left), Some(Error::DeadlineExceeded));
                assert_eq!(ctx.blocking_sleep(left), Err(Error::DeadlineExceeded));
            }
        }
    });
}

#[test]
fn a_merged_parents_deadline_no_later_than_the_wait_is_what_the_wait_answers() {
    in_time(|| {
        let (plain, _plain_guard) = Context::background().with_cancel();
        for root in on_the_machines_clock() {
            for _ in 0..scaled(200) {
                let at = Instant::now() + Duration::from_micros(300);
                let (timed, _guard) = root.with_deadline(at);
                let (merged, _merged_guard) = Context::merge([&plain, &timed]);
                let left = at.saturating_duration_since(Instant::now());
                assert_eq!(merged.wait_timeout(left), Some(Error::DeadlineExceeded));
            }
        }
    });
}

#[test]
fn a_wait_that_outlasts_the_deadline_gets_it() {
    in_time(|| {
        for root in on_the_machines_clock() {
            let (ctx, _guard) = root.with_timeout_cause(5 * MS, Reason(1));
            let at = ctx.deadline().expect("it has one");
            assert_eq!(ctx.wait_timeout(LONG), Some(Error::DeadlineExceeded));
            assert!(Instant::now() >= at);
            let (ctx, _guard) = root.with_timeout(LONG);
            let asked = Instant::now();
            assert_eq!(ctx.wait_timeout(5 * MS), None);
            assert!(asked.elapsed() >= 5 * MS);
            assert_eq!(ctx.blocking_sleep(MS), Ok(()));
        }
    });
}

#[test]
fn sleeps_in_a_runtime_of_many_threads_all_come() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("threads can be started");
    in_time(move || {
        runtime.block_on(async {
            let (ctx, guard) = Context::background().with_cancel();
            let naps: Vec<_> = (0..scaled(500) as u64)
                .map(|micros| {
                    let ctx = ctx.clone();
                    tokio::spawn(async move {
                        let asked = Instant::now();
                        let d = Duration::from_micros(micros * 10);
                        let slept = ctx.sleep(d).await;
                        (slept, asked.elapsed() >= d)
                    })
                })
                .collect();
            for nap in naps {
                assert_eq!(nap.await.expect("the task"), (Ok(()), true));
            }
            let long: Vec<_> = (0..100).map(|_| tokio::spawn(ctx.sleep(LONG))).collect();
            guard.cancel();
            for nap in long {
                assert_eq!(nap.await.expect("the task"), Err(Error::Canceled));
            }
        });
    });
}

#[test]
fn a_sleep_raced_by_its_contexts_cancel_is_woken_once() {
    in_time(|| {
        let (engine, clock) = manual();
        for _ in 0..scaled(500) {
            let (ctx, guard) = engine.background().with_cancel();
            let mut sleeper = Sleeper::on(&ctx, MS);
            run_all(2, |thread| match thread {
                0 => clock.advance(MS),
                _ => guard.cancel(),
            });
            assert_eq!(sleeper.wakes(), 1);
            assert_eq!(
                sleeper.poll(),
                CANCELED,
                "the context's own end comes first"
            );
        }
    });
}

#[test]
fn a_sleep_polled_and_dropped_while_it_ends_keeps_no_waker() {
    in_time(|| {
        let (engine, clock) = manual();
        for round in 0..scaled(500) {
            let sleep = Mutex::new(Some(engine.background().sleep(MS)));
            let wakes = Arc::new(Wakes::default());
            run_all(2, |thread| {
                if thread == 0 {
                    clock.advance(MS);
                } else {
                    let mut sleep = sleep.lock().expect("nobody panics with it");
                    if let Some(sleep) = sleep.as_mut() {
                        let _ = poll_pinned(sleep, &wakes.clone().into());
                    }
                    if round % 2 == 0 {
                        drop(sleep.take());
                    }
                }
            });
            if let Some(mut sleep) = sleep.lock().expect("nobody panics with it").take() {
                assert_eq!(poll_pinned(&mut sleep, Waker::noop()), SLEPT);
            }
            assert!(wakes.count() <= 1);
            assert_eq!(Arc::strong_count(&wakes), 1);
        }
    });
}

#[test]
fn a_waker_of_a_sleep_may_poll_it_sleep_again_and_panic() {
    in_time(|| {
        let (engine, clock) = manual();
        let root = engine.background();
        let sleep = Arc::new(Mutex::new(root.sleep(MS)));
        let next = Arc::new(Mutex::new(None));
        let waker = on_wake({
            let (sleep, next, root) = (sleep.clone(), next.clone(), root.clone());
            move || {
                let polled = poll_pinned(&mut *sleep.lock().expect("once"), Waker::noop());
                let sleeper = Sleeper::on(&root, MS);
                *next.lock().expect("nobody panics with it") = Some((polled, sleeper));
                panic!("a waker of a sleep");
            }
        });
        let bystander = Sleeper::on(&root, MS);
        assert!(
            Pin::new(&mut *sleep.lock().expect("once"))
                .poll(&mut TaskContext::from_waker(&waker))
                .is_pending()
        );
        let after = Sleeper::on(&root, MS);
        clock.advance(MS);
        assert_eq!((bystander.wakes(), after.wakes()), (1, 1));
        let (polled, mut again) = next
            .lock()
            .expect("nobody panics with it")
            .take()
            .expect("it ran");
        assert_eq!(polled, SLEPT);
        assert_eq!(again.poll(), Poll::Pending);
        clock.advance(MS);
        assert_eq!(again.poll(), SLEPT);
    });
}
