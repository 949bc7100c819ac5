use ripcord::{
    BreakerConfigError, BreakerError, CircuitBreaker, CircuitState, Context, Error, ManualClock,
};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll, Waker};
use std::thread;
use std::time::Duration;

const COOL_DOWN: Duration = Duration::from_secs(30);

type Failed = BreakerError<&'static str>;

fn broken(threshold: u32) -> (CircuitBreaker, Context, ManualClock) {
    let (ctx, clock) = super::stopped_time();
    let breaker = CircuitBreaker::new(threshold, COOL_DOWN).unwrap();
    for _ in 0..threshold {
        assert_eq!(fail(&breaker, &ctx), Err(BreakerError::Failed("broken")));
    }
    (breaker, ctx, clock)
}

fn fail(breaker: &CircuitBreaker, ctx: &Context) -> Result<(), Failed> {
    breaker.call(ctx, |_| Err("broken"))
}

fn succeed(breaker: &CircuitBreaker, ctx: &Context) -> Result<u32, Failed> {
    breaker.call(ctx, |_| Ok(7))
}

fn is_open<T>(result: Result<T, Failed>) -> bool {
    matches!(result, Err(BreakerError::Open(_)))
}

#[test]
fn zero_is_a_typed_error() {
    let zero = CircuitBreaker::new(0, COOL_DOWN).unwrap_err();
    assert_eq!(zero, BreakerConfigError::ZeroThreshold);
    let zero = CircuitBreaker::new(1, Duration::ZERO).unwrap_err();
    assert_eq!(zero, BreakerConfigError::ZeroCoolDown);
}

#[test]
fn it_opens_after_so_many_failures_in_a_row_and_says_when_to_try_again() {
    let (ctx, clock) = super::stopped_time();
    let breaker = CircuitBreaker::new(3, COOL_DOWN).unwrap();
    for _ in 0..2 {
        fail(&breaker, &ctx).unwrap_err();
    }
    assert_eq!(succeed(&breaker, &ctx), Ok(7));
    for failures in 0..3 {
        assert_eq!(breaker.state(&ctx), CircuitState::Closed { failures });
        fail(&breaker, &ctx).unwrap_err();
    }
    clock.advance(Duration::from_secs(10));
    let Err(BreakerError::Open(open)) = succeed(&breaker, &ctx) else {
        panic!("it is open");
    };
    assert_eq!(open.retry_after, Duration::from_secs(20));
    assert_eq!(open.retry_at, clock.now() + open.retry_after);
    assert_eq!(breaker.state(&ctx), CircuitState::Open(open));
}

#[test]
fn it_is_half_open_at_the_nanosecond_and_closes_when_the_trial_goes_well() {
    let (breaker, ctx, clock) = broken(2);
    clock.advance(COOL_DOWN - Duration::from_nanos(1));
    assert!(is_open(succeed(&breaker, &ctx)));
    clock.advance(Duration::from_nanos(1));
    let half_open = CircuitState::HalfOpen { on_trial: false };
    assert_eq!(breaker.state(&ctx), half_open);
    assert_eq!(succeed(&breaker, &ctx), Ok(7));
    assert_eq!(breaker.state(&ctx), CircuitState::Closed { failures: 0 });
}

#[test]
fn a_trial_that_fails_opens_it_again_for_a_whole_cool_down() {
    let (breaker, ctx, clock) = broken(2);
    clock.advance(COOL_DOWN);
    fail(&breaker, &ctx).unwrap_err();
    clock.advance(COOL_DOWN - Duration::from_nanos(1));
    assert!(is_open(succeed(&breaker, &ctx)));
}

#[test]
fn one_of_many_threads_has_the_trial() {
    const THREADS: usize = 4;

    let rounds: Vec<_> = (0..1_000)
        .map(|_| {
            let (breaker, ctx, clock) = broken(1);
            clock.advance(COOL_DOWN);
            (breaker, ctx, AtomicUsize::new(0))
        })
        .collect();
    let at_once = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                at_once.wait();
                for (breaker, ctx, trials) in &rounds {
                    if let Ok(permit) = breaker.acquire(ctx) {
                        trials.fetch_add(1, Ordering::Relaxed);
                        std::mem::forget(permit); // it is not over
                    }
                }
            });
        }
    });
    assert!(
        rounds
            .into_iter()
            .all(|(_, _, trials)| trials.into_inner() == 1)
    );
}

#[test]
fn no_failure_of_many_threads_is_lost() {
    const THREADS: u32 = 4;
    const EACH: u32 = 50_000;

    let ctx = Context::background();
    let breaker = CircuitBreaker::new(THREADS * EACH + 1, COOL_DOWN).unwrap();
    let at_once = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                at_once.wait();
                for _ in 0..EACH {
                    fail(&breaker, &ctx).unwrap_err();
                }
            });
        }
    });
    let failures = THREADS * EACH;
    assert_eq!(breaker.state(&ctx), CircuitState::Closed { failures });
    fail(&breaker, &ctx).unwrap_err();
    assert!(is_open(succeed(&breaker, &ctx)));
}

#[test]
fn while_a_trial_is_under_way_others_are_refused() {
    let (breaker, ctx, clock) = broken(1);
    clock.advance(COOL_DOWN);
    let trial = breaker.acquire(&ctx).unwrap();
    assert!(trial.is_trial());
    let on_trial = CircuitState::HalfOpen { on_trial: true };
    assert_eq!(breaker.state(&ctx), on_trial);
    assert!(is_open(succeed(&breaker, &ctx)));
    trial.success();
    assert_eq!(succeed(&breaker, &ctx), Ok(7));
}

#[test]
fn the_callers_own_cancel_or_deadline_is_no_failure() {
    let (root, clock) = super::stopped_time();
    let breaker = CircuitBreaker::new(1, COOL_DOWN).unwrap();

    let (ctx, guard) = root.with_cancel();
    let canceled = breaker.call(&ctx, |ctx| {
        guard.cancel();
        ctx.check()
    });
    assert_eq!(canceled, Err(BreakerError::Failed(Error::Canceled)));
    let before = breaker.call(&ctx, |_| -> Result<(), Error> {
        unreachable!("it is done")
    });
    assert_eq!(before, Err(BreakerError::Ended(Error::Canceled)));

    let (ctx, _guard) = root.with_timeout(Duration::from_secs(1));
    let expired = breaker.call(&ctx, |ctx| {
        clock.advance(Duration::from_secs(1));
        ctx.check()
    });
    let exceeded = Error::DeadlineExceeded;
    assert_eq!(expired, Err(BreakerError::Failed(exceeded)));
    assert_eq!(breaker.state(&root), CircuitState::Closed { failures: 0 });

    // A shorter one of the operation's own is.
    let slow = breaker.call(&root, |ctx| {
        let (call, _guard) = ctx.with_timeout(Duration::ZERO);
        call.check()
    });
    assert_eq!(slow, Err(BreakerError::Failed(exceeded)));
    assert!(is_open(succeed(&breaker, &root)));
}

#[test]
fn a_trial_that_its_caller_cancels_leaves_its_place_at_once() {
    let (breaker, root, clock) = broken(1);
    clock.advance(COOL_DOWN);
    let (ctx, guard) = root.with_cancel();
    let canceled = breaker.call(&ctx, |ctx| {
        guard.cancel();
        ctx.check()
    });
    assert_eq!(canceled, Err(BreakerError::Failed(Error::Canceled)));
    assert_eq!(succeed(&breaker, &root), Ok(7));
}

#[test]
fn a_panic_is_a_failure() {
    let (breaker, ctx, clock) = broken(1);
    clock.advance(COOL_DOWN);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _ = breaker.call(&ctx, |_| -> Result<(), &str> { panic!("in the trial") });
    }));
    assert!(panic.is_err());
    assert!(is_open(succeed(&breaker, &ctx)));
    clock.advance(COOL_DOWN);
    assert_eq!(succeed(&breaker, &ctx), Ok(7));
}

#[test]
fn a_trial_that_is_forgotten_holds_it_for_one_cool_down_and_its_late_verdict_is_void() {
    let (breaker, ctx, clock) = broken(1);
    clock.advance(COOL_DOWN);
    std::mem::forget(breaker.acquire(&ctx).unwrap());
    assert!(is_open(succeed(&breaker, &ctx)));
    clock.advance(COOL_DOWN);
    let slow = breaker.acquire(&ctx).unwrap();
    clock.advance(COOL_DOWN);
    assert_eq!(succeed(&breaker, &ctx), Ok(7));
    slow.failure();
    assert_eq!(breaker.state(&ctx), CircuitState::Closed { failures: 0 });
}

#[test]
fn a_failure_of_before_it_opened_does_not_count_after() {
    let (ctx, clock) = super::stopped_time();
    let breaker = CircuitBreaker::new(1, COOL_DOWN).unwrap();
    let early = breaker.acquire(&ctx).unwrap();
    fail(&breaker, &ctx).unwrap_err();
    clock.advance(COOL_DOWN);
    assert_eq!(succeed(&breaker, &ctx), Ok(7));
    early.failure();
    assert_eq!(breaker.state(&ctx), CircuitState::Closed { failures: 0 });
}

#[test]
fn an_absurd_cool_down_is_only_long() {
    let (ctx, clock) = super::stopped_time();
    let breaker = CircuitBreaker::new(1, Duration::MAX).unwrap();
    fail(&breaker, &ctx).unwrap_err();
    clock.advance(Duration::from_secs(60 * 60 * 24 * 365 * 50));
    assert!(is_open(succeed(&breaker, &ctx)));
}

#[tokio::test]
async fn a_future_that_is_dropped_counts_for_nothing() {
    let (breaker, ctx, clock) = broken(1);
    clock.advance(COOL_DOWN);
    let never = std::future::pending::<Result<(), &str>>();
    {
        let mut call = Box::pin(breaker.run(&ctx, never));
        let polled = std::future::poll_fn(|task| {
            std::task::Poll::Ready(call.as_mut().poll(task).is_pending())
        });
        assert!(polled.await);
        assert!(is_open(succeed(&breaker, &ctx)));
    }
    assert_eq!(breaker.run(&ctx, async { Ok::<_, &str>(1) }).await, Ok(1));
}

#[test]
fn a_panic_beside_a_call_is_not_the_calls() {
    let ctx = Context::background();
    let breaker = CircuitBreaker::new(1, COOL_DOWN).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let mut call = pin!(breaker.run(&ctx, pending::<Result<(), &str>>()));
        let mut task = Task::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut task).is_pending());
        panic!("in who awaits it");
    }));
    assert!(panic.is_err());
    assert_eq!(breaker.state(&ctx), CircuitState::Closed { failures: 0 });

    let panic = catch_unwind(AssertUnwindSafe(|| {
        let work = poll_fn(|_| -> Poll<Result<(), &str>> { panic!("in the call") });
        let mut call = pin!(breaker.run(&ctx, work));
        let mut task = Task::from_waker(Waker::noop());
        let _ = call.as_mut().poll(&mut task);
    }));
    assert!(panic.is_err());
    assert!(matches!(breaker.state(&ctx), CircuitState::Open(_)));
}

#[test]
fn a_call_that_panics_as_it_is_dropped_has_failed() {
    struct Panics;

    impl Future for Panics {
        type Output = Result<(), &'static str>;

        fn poll(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Self::Output> {
            Poll::Ready(Err("refused"))
        }
    }

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in the drop");
        }
    }

    let ctx = Context::background();
    let breaker = CircuitBreaker::new(1, COOL_DOWN).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let mut call = pin!(breaker.run(&ctx, Panics));
        let _ = call.as_mut().poll(&mut Task::from_waker(Waker::noop()));
    }));
    assert!(panic.is_err());
    assert!(matches!(breaker.state(&ctx), CircuitState::Open(_)));
}
