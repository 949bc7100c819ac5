//! Attempts under the time that the caller has.

use crate::{MS, SECOND, block_on, holds, manual, spawnable};
use ripcord::retry::{AttemptError, Policy, PolicyError, RetryError};
use ripcord::{Context, Engine, Error};
use std::cell::RefCell;
use std::future::{Future, pending};
use std::io;
use std::pin::pin;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

fn at_once(attempts: u32) -> Policy {
    Policy::new(attempts).backoff(Duration::ZERO, Duration::ZERO)
}

fn busy() -> io::Error {
    io::Error::other("busy")
}

#[test]
fn its_errors_go_anywhere() {
    holds::<Policy>();
    holds::<RetryError<Error>>();
    let work = |_| async { Ok::<_, Error>(()) };
    spawnable(Policy::new(1).run(&Context::background(), work));
}

#[test]
fn it_is_attempted_until_it_succeeds() {
    let mut attempts = 0;
    let answer = at_once(5).blocking(&Context::background(), |_| {
        attempts += 1;
        if attempts < 3 {
            Err(busy())
        } else {
            Ok(attempts)
        }
    });
    assert_eq!(answer.unwrap(), 3);
}

#[test]
fn when_all_attempts_have_failed_the_last_error_is_kept() {
    let mut attempts = 0;
    let error = at_once(3)
        .blocking(&Context::background(), |_| {
            attempts += 1;
            Err::<(), _>(io::Error::other(format!("attempt {attempts}")))
        })
        .unwrap_err();
    assert!(matches!(error, RetryError::Exhausted { attempts: 3, .. }));
    assert_eq!(
        error.to_string(),
        "given up after 3 attempts; the last: attempt 3"
    );
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "attempt 3");
}

#[test]
fn a_delay_that_does_not_fit_what_is_left_is_not_waited_for() {
    let (engine, _clock) = manual(); // time stands still: a wait would never end
    let (ctx, _guard) = engine.background().with_timeout(SECOND);
    let policy = Policy::new(9).backoff(SECOND, SECOND).jitter(false);
    let error = policy.blocking(&ctx, |_| Err::<(), _>(busy())).unwrap_err();
    let RetryError::Backoff {
        attempts,
        backoff,
        left,
        last,
    } = error
    else {
        unreachable!("the second attempt would be due at the deadline itself")
    };
    assert_eq!((attempts, backoff, left), (1, SECOND, SECOND));
    assert_eq!(last.to_string(), "busy");
    let error = block_on(policy.run(&ctx, |_| async { Err::<(), _>(busy()) })).unwrap_err();
    let text = "given up after 1 attempt: the next is due in 1s, and 1s are left; the last: busy";
    assert_eq!(error.to_string(), text);
}

#[test]
fn each_attempt_has_its_own_time_under_the_callers() {
    let (engine, clock) = manual();
    let (ctx, _guard) = engine.background().with_timeout(10 * SECOND);
    let mut seen = Vec::new();
    let policy = at_once(3).attempt_timeout(4 * SECOND);
    let error = policy
        .blocking(&ctx, |attempt| {
            seen.push(attempt.remaining());
            clock.advance(4 * SECOND);
            Err::<(), _>(attempt.err())
        })
        .map_err(|error| match error {
            RetryError::Done {
                attempts, error, ..
            } => (attempts, error),
            _ => unreachable!("the caller's time is over in the third"),
        });
    assert_eq!(seen, [4, 4, 2].map(|seconds| Some(seconds * SECOND)));
    assert_eq!(error, Err((3, Error::DeadlineExceeded)));
}

#[test]
fn a_future_that_takes_too_long_is_dropped_and_tried_again() {
    let (engine, clock) = manual();
    let clock = &clock;
    let mut attempts = 0;
    let policy = at_once(3).attempt_timeout(MS);
    let answer = block_on(policy.run(&engine.background(), |_| {
        attempts += 1;
        let quick = attempts == 2;
        async move {
            if !quick {
                clock.advance(MS);
                pending::<()>().await;
            }
            Ok::<_, Error>("quick")
        }
    }));
    assert_eq!((answer.unwrap(), attempts), ("quick", 2));
}

#[test]
fn a_cancel_ends_the_delay_and_the_attempt() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut guard = Some(guard);
    let slow = Policy::new(3).backoff(3_600 * SECOND, 3_600 * SECOND);
    let error = slow.blocking(&ctx, |_| {
        let guard = guard.take();
        std::thread::spawn(move || drop(guard));
        Err::<(), _>(busy())
    });
    let Err(RetryError::Done {
        attempts: 1,
        error,
        last: Some(last),
    }) = error
    else {
        unreachable!("it was cancelled")
    };
    assert_eq!(
        (error, last.to_string().as_str()),
        (Error::Canceled, "busy")
    );

    let (ctx, guard) = Context::background().with_cancel();
    let attempt = at_once(3).run(&ctx, |_| {
        guard.cancel();
        pending::<io::Result<()>>()
    });
    let error = block_on(attempt).unwrap_err();
    assert!(matches!(error.last(), Some(AttemptError::TimedOut)));
    assert!(matches!(
        error,
        RetryError::Done {
            attempts: 1,
            error: Error::Canceled,
            ..
        }
    ));

    let none = at_once(3).blocking(&ctx, |_| Ok::<_, Error>(()));
    assert!(matches!(
        none,
        Err(RetryError::Done {
            attempts: 0,
            last: None,
            ..
        })
    ));
}

#[test]
fn an_error_that_no_attempt_can_mend_is_the_last() {
    let permanent = |error: &io::Error| error.kind() != io::ErrorKind::PermissionDenied;
    let denied = || Err::<(), io::Error>(io::ErrorKind::PermissionDenied.into());
    let error = at_once(9).blocking_if(&Context::background(), |_| denied(), permanent);
    assert!(matches!(
        error,
        Err(RetryError::Permanent { attempts: 1, .. })
    ));
    let error = at_once(9).run_if(&Context::background(), |_| async { denied() }, permanent);
    assert!(matches!(
        block_on(error),
        Err(RetryError::Permanent { attempts: 1, .. })
    ));
}

#[test]
fn a_policy_that_cannot_be_meant_is_an_error_before_the_first_attempt() {
    let cases = [
        (Policy::new(0), PolicyError::NoAttempts),
        (
            Policy::new(1).attempt_timeout(Duration::ZERO),
            PolicyError::NoTime,
        ),
        (Policy::new(1).factor(-2.0), PolicyError::Factor),
        (Policy::new(1).factor(0.5), PolicyError::Factor),
        (Policy::new(1).factor(f32::NAN), PolicyError::Factor),
        (Policy::new(1).factor(f32::INFINITY), PolicyError::Factor),
        (Policy::new(1).backoff(2 * MS, MS), PolicyError::Backoff),
    ];
    for (policy, wrong) in cases {
        let never = |_: &Context| -> Result<(), Error> { unreachable!("nothing is attempted") };
        let Err(RetryError::Policy(error)) = policy.blocking(&Context::background(), never) else {
            unreachable!("{wrong}")
        };
        assert_eq!(error, wrong);
    }
}

#[test]
fn absurd_delays_are_long_and_no_panic() {
    let (ctx, _guard) = Context::background().with_timeout(3_600 * SECOND);
    let absurd = Policy::new(3)
        .backoff(Duration::MAX, Duration::MAX)
        .factor(f32::MAX);
    let error = absurd.blocking(&ctx, |_| Err::<(), _>(busy())).unwrap_err();
    let RetryError::Backoff { backoff, .. } = error else {
        unreachable!("an hour is left")
    };
    let year = 365 * 24 * 3_600 * SECOND;
    assert!((year..=2 * year).contains(&backoff));
}

#[test]
fn delays_grow_by_the_factor_up_to_the_longest_on_the_clock_of_the_engine() {
    let (engine, clock) = manual();
    let start = clock.now();
    let ctx = engine.background();
    let policy = Policy::new(5)
        .backoff(SECOND, 3 * SECOND)
        .factor(2.0)
        .jitter(false);
    let begun = RefCell::new(Vec::new());
    let mut attempts = std::pin::pin!(policy.run(&ctx, |_| {
        begun.borrow_mut().push(clock.now() - start);
        async { Err::<(), _>(busy()) }
    }));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while attempts.as_mut().poll(&mut cx).is_pending() {
        clock.advance(SECOND);
    }
    assert_eq!(
        begun.take(),
        [0, 1, 3, 6, 9].map(|seconds| seconds * SECOND)
    );
}

#[test]
fn the_delay_between_attempts_lasts_on_an_engine_that_is_shut_down() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let ctx = engine.background();
    let mut attempts = 0;
    {
        let policy = Policy::new(4).backoff(60 * SECOND, 60 * SECOND);
        let mut running = pin!(policy.run(&ctx, |_| {
            attempts += 1;
            std::future::ready(Err::<(), _>(busy()))
        }));
        let mut task = TaskContext::from_waker(Waker::noop());
        assert!(running.as_mut().poll(&mut task).is_pending());
        // In the middle of one: what is left of it still passes.
        engine.shutdown();
        assert!(running.as_mut().poll(&mut task).is_pending());
    }
    assert_eq!(attempts, 1);
    let mut running = pin!(Policy::new(2).run(&ctx, |_| {
        attempts += 1;
        std::future::ready(Err::<(), _>(busy()))
    }));
    let mut task = TaskContext::from_waker(Waker::noop());
    assert!(running.as_mut().poll(&mut task).is_pending());
}

#[test]
fn an_attempt_has_its_time_on_an_engine_that_is_shut_down() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    engine.shutdown();
    let policy = at_once(1).attempt_timeout(60 * SECOND);
    let answer = block_on(policy.run(&engine.background(), |_| async { Ok::<_, io::Error>(7) }));
    assert_eq!(answer.unwrap(), 7);
}

#[test]
fn an_attempt_that_a_shutdown_of_its_engine_ends_did_not_take_too_long() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let ctx = engine.background();
    let policy = at_once(1).attempt_timeout(60 * SECOND);
    let error = block_on(policy.run(&ctx, |_| {
        engine.shutdown();
        pending::<io::Result<()>>()
    }));
    let error = error.unwrap_err();
    assert_eq!(
        error.last().unwrap().to_string(),
        ripcord::EngineStopped.to_string()
    );
}

#[test]
fn threads_wait_for_the_delay_on_an_engine_that_is_shut_down() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let ctx = engine.background();
    engine.shutdown();
    let began = ctx.now();
    let policy = Policy::new(2).backoff(60 * SECOND, 60 * SECOND);
    let attempts = std::thread::spawn({
        let ctx = ctx.clone();
        move || {
            let mut begun = Vec::new();
            let error = policy.blocking(&ctx, |ctx| {
                begun.push(ctx.now() - began);
                Err::<(), _>(busy())
            });
            assert!(matches!(error, Err(RetryError::Exhausted { .. })));
            begun
        }
    });
    while !attempts.is_finished() {
        clock.advance(SECOND);
        std::thread::yield_now();
    }
    let begun = attempts.join().unwrap();
    assert!(begun[1] - begun[0] >= 60 * SECOND, "{begun:?}");
}
