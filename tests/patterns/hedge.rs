//! The first success of several attempts.

use crate::{MS, SECOND, block_on, manual, spawnable};
use ripcord::hedge::{self, AttemptError, HedgeError};
use ripcord::{Context, Engine, Error};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

#[test]
fn the_first_success_cancels_the_others() {
    let (ended, told) = mpsc::channel();
    let answer = hedge::blocking(
        &Context::background(),
        3,
        Duration::ZERO,
        move |index, ctx| {
            if index == 2 {
                return Ok(index);
            }
            let error = ctx.wait();
            ended.send(error).unwrap();
            Err(error)
        },
    );
    assert_eq!(answer.unwrap(), 2);
    assert_eq!(told.iter().collect::<Vec<_>>(), [Error::Canceled; 2]);
}

#[test]
fn one_that_never_ends_is_not_waited_for() {
    let (release, never) = mpsc::channel::<()>();
    let never = Mutex::new(never);
    let answer = hedge::blocking(&Context::background(), 2, MS, move |index, _| {
        if index == 0 {
            let _ = never.lock().unwrap().recv();
        }
        Ok::<_, Error>(index)
    });
    assert_eq!(answer.unwrap(), 1);
    drop(release);
    let work = |index, _| async move { Ok::<_, Error>(index) };
    spawnable(hedge::run(&Context::background(), 2, MS, work));
}

#[test]
fn while_the_first_is_quick_no_other_begins() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let answer = hedge::blocking(&Context::background(), 9, Duration::MAX, move |index, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Error>(index)
    });
    assert_eq!((answer.unwrap(), begun.load(Ordering::SeqCst)), (0, 1));
}

#[test]
fn a_failure_begins_the_next_at_once_and_all_failures_are_kept() {
    let failed = hedge::blocking(&Context::background(), 3, Duration::MAX, |index, _| {
        assert!(index != 1, "no such replica");
        Err::<(), _>(io::Error::other(format!("replica {index}")))
    })
    .unwrap_err();
    let text = "all 3 attempts failed: replica 0; the work panicked: no such replica; replica 2";
    assert_eq!(failed.to_string(), text);
    let HedgeError::Failed(errors) = failed else {
        unreachable!("all have failed")
    };
    assert!(matches!(errors[1], AttemptError::Panicked(_)));
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a drop panics");
    }
}

#[test]
fn an_attempt_whose_panics_payload_panics_in_its_drop_has_failed() {
    for attempts in [1, 2] {
        let failed = hedge::blocking(
            &Context::background(),
            attempts,
            Duration::MAX,
            |_, _| -> Result<(), Error> { panic_any(Bomb) },
        )
        .unwrap_err();
        let HedgeError::Failed(errors) = failed else {
            unreachable!("all have failed")
        };
        assert_eq!(errors.len(), attempts);
        assert!(
            errors
                .iter()
                .all(|error| matches!(error, AttemptError::Panicked(_)))
        );
    }
}

#[test]
fn zero_attempts_are_an_error() {
    let none = hedge::blocking(&Context::background(), 0, MS, |_, _| Ok::<_, Error>(()));
    assert!(matches!(none, Err(HedgeError::NoAttempts)));
    let none = hedge::run(&Context::background(), 0, MS, |_, _| async {
        Ok::<_, Error>(())
    });
    assert!(matches!(block_on(none), Err(HedgeError::NoAttempts)));
}

#[test]
fn the_end_of_the_callers_context_ends_it_with_what_had_failed() {
    let (ctx, guard) = Context::background().with_timeout(SECOND);
    let guard = Mutex::new(Some(guard));
    let ended = hedge::blocking(&ctx, 2, Duration::MAX, move |index, ctx| {
        if index == 1 {
            drop(guard.lock().unwrap().take());
            ctx.wait();
        }
        Err::<(), _>(Error::DeadlineExceeded)
    });
    let Err(HedgeError::Done { error, failed }) = ended else {
        unreachable!("the context was cancelled")
    };
    assert_eq!(error, Error::Canceled);
    assert!(matches!(
        failed[0],
        AttemptError::Failed(Error::DeadlineExceeded)
    ));

    let never = hedge::run(&ctx, 2, MS, |_, _| pending::<Result<(), Error>>());
    assert!(matches!(
        block_on(never),
        Err(HedgeError::Done {
            error: Error::Canceled,
            ..
        })
    ));
}

#[test]
fn futures_are_hedged_on_the_clock_of_their_engine_and_the_losers_are_dropped() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (engine, clock) = manual();
    let drops = Arc::new(AtomicUsize::new(0));
    let begun = AtomicUsize::new(0);
    let ctx = engine.background();
    let mut hedged = pin!(hedge::run(&ctx, 4, SECOND, |index, _ctx| {
        begun.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(Arc::clone(&drops));
        async move {
            let _counted = counted;
            match index {
                2 => Ok(index),
                _ => pending::<Result<usize, Error>>().await,
            }
        }
    }));
    let mut cx = TaskContext::from_waker(Waker::noop());
    for attempts in 1..=2 {
        assert!(hedged.as_mut().poll(&mut cx).is_pending());
        clock.advance(SECOND - Duration::from_nanos(1));
        assert!(hedged.as_mut().poll(&mut cx).is_pending());
        assert_eq!(begun.load(Ordering::SeqCst), attempts);
        clock.advance(Duration::from_nanos(1));
    }
    assert!(matches!(hedged.poll(&mut cx), Poll::Ready(Ok(2))));
    assert_eq!(drops.load(Ordering::SeqCst), 3);
}

#[test]
fn a_future_that_panics_has_failed() {
    let ctx = Context::background();
    let answer = hedge::run(&ctx, 3, Duration::MAX, |index, _| {
        assert!(index != 0, "not even begun");
        async move {
            assert!(index != 1, "in the middle");
            Ok::<_, Error>(index)
        }
    });
    assert_eq!(block_on(answer).unwrap(), 2);
}

#[test]
fn no_attempt_begins_once_the_context_is_done() {
    let (engine, _clock) = manual();
    let (ctx, guard) = engine.background().with_cancel();
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let looks = ctx.clone();
    let mut guard = Some(guard);
    let mut racing = Box::pin(hedge::run(&ctx, 5, 60 * SECOND, move |index, _| {
        if looks.is_done() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let mut guard = if index == 0 { guard.take() } else { None };
        let mut polled = 0;
        poll_fn(move |_| {
            polled += 1;
            // Another thread's cancel, which comes while this is polled.
            if polled == 2
                && let Some(guard) = guard.take()
            {
                guard.cancel();
            }
            Poll::<Result<(), std::io::Error>>::Pending
        })
    }));
    let mut task = TaskContext::from_waker(Waker::noop());
    assert!(racing.as_mut().poll(&mut task).is_pending());
    let _ = racing.as_mut().poll(&mut task);
    let _ = racing.as_mut().poll(&mut task);
    assert_eq!(
        done.load(Ordering::SeqCst),
        0,
        "attempts begun under a context that is done"
    );
}

struct PanicsInDrop(bool);

impl Future for PanicsInDrop {
    type Output = Result<u32, std::io::Error>;

    fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(7))
        }
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        assert!(!self.0 || std::thread::panicking(), "a loser's drop");
    }
}

#[test]
fn a_loser_that_panics_in_its_drop_does_not_take_the_answer_away() {
    let ctx = Context::background();
    let answer = catch_unwind(AssertUnwindSafe(|| {
        block_on(hedge::run(&ctx, 2, MS, |index, _| PanicsInDrop(index == 0)))
    }));
    assert!(matches!(answer, Ok(Ok(7))), "it panicked");
}

#[test]
fn a_failure_that_panics_in_its_drop_does_not_take_the_answer_away() {
    let ctx = Context::background();
    let answer = |index| if index == 0 { Err(Bomb) } else { Ok(7) };
    let awaited = catch_unwind(AssertUnwindSafe(|| {
        let work = |index, _| async move { answer(index) };
        matches!(block_on(hedge::run(&ctx, 2, SECOND, work)), Ok(7))
    }));
    assert!(awaited.is_ok_and(|answered| answered), "awaited");
    let blocked = catch_unwind(AssertUnwindSafe(|| {
        matches!(
            hedge::blocking(&ctx, 2, Duration::MAX, move |index, _| answer(index)),
            Ok(7)
        )
    }));
    assert!(blocked.is_ok_and(|answered| answered), "blocked");
}

/// The losers have answered too by the time that the first answer is looked at.
#[test]
fn a_loser_whose_answer_panics_in_its_drop_does_not_take_the_first_away() {
    let answered = catch_unwind(|| {
        let answer = hedge::blocking(&Context::background(), 64, Duration::ZERO, |_, _| {
            Ok::<_, Error>(Bomb)
        });
        std::mem::forget(answer);
    });
    assert!(answered.is_ok());
}

#[test]
fn futures_wait_for_their_delay_on_an_engine_that_is_shut_down() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let ctx = engine.background();
    let mut begun = 0;
    {
        let mut racing = pin!(hedge::run(&ctx, 3, 60 * SECOND, |_, _| {
            begun += 1;
            pending::<Result<(), io::Error>>()
        }));
        let mut task = TaskContext::from_waker(Waker::noop());
        assert!(racing.as_mut().poll(&mut task).is_pending());
        engine.shutdown();
        assert!(racing.as_mut().poll(&mut task).is_pending());
    }
    assert_eq!(begun, 1);
}

#[test]
fn threads_wait_for_their_delay_on_an_engine_that_is_shut_down() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let ctx = engine.background();
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let answer = hedge::blocking(&ctx, 3, 60 * SECOND, move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        engine.shutdown();
        std::thread::sleep(10 * MS);
        Ok::<_, Error>(7)
    });
    assert_eq!(answer.unwrap(), 7);
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}
