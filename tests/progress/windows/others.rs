//! Windows of timers, of the pool and of callbacks.

use crate::alone;
use crate::context::Context;
use crate::engine::Engine;
use crate::error::Error;
use crate::pool::Pool;
use crate::rest::{LONG, SHORT, goes_on, goes_on_without_deadlines};
use crate::tuning::Stop;
use crate::victim::{HANG, Victim, returns};
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Wake};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn with_a_slot_claimed_and_its_earliest_not_lowered_the_rest_expires() {
    let _alone = alone();
    let (root, _guard) = Context::background().with_cancel();
    let parent = root.clone();
    let victim = Victim::stopped_at("not lowered", move || parent.with_timeout(SHORT));

    goes_on(&[&root]);
    let (ctx, _guard) = victim.resume();
    assert_eq!(
        returns(move || ctx.wait()),
        Error::DeadlineExceeded,
        "late, and not lost"
    );
}

#[test]
fn with_the_turn_of_a_manual_clock_taken_the_rest_goes_on() {
    let _alone = alone();
    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("nothing is started");
    let clock = Arc::new(clock);
    let background = engine.background();
    let [first, second] = [SECOND, 2 * SECOND].map(|after| background.with_timeout(after));
    let advancing = Arc::clone(&clock);
    let victim = Victim::stopped_at("turn taken", move || advancing.advance(SECOND));

    // Another's comes back at once, and leaves it to the one that is stopped.
    let advancing = Arc::clone(&clock);
    returns(move || advancing.advance(SECOND));
    assert!(!first.0.is_done() && !second.0.is_done());
    goes_on(&[&Context::background().with_cancel().0]);
    goes_on_without_deadlines(&[&background]);

    victim.resume();
    for (ctx, _guard) in [first, second] {
        assert_eq!(ctx.err(), Some(Error::DeadlineExceeded));
    }
}

#[test]
fn with_the_turn_of_a_driver_taken_the_rest_goes_on() {
    let _alone = alone();
    let (engine, driver) = Engine::builder().driven().expect("nothing is started");
    let driver = Arc::new(driver);
    let background = engine.background();
    let (ahead, _guard) = background.with_timeout(LONG);
    let turning = Arc::clone(&driver);
    let victim = Victim::stopped_at("turn taken", move || turning.turn());

    let turning = Arc::clone(&driver);
    assert_eq!(returns(move || turning.turn()), 0);
    goes_on(&[&Context::background().with_cancel().0]);
    goes_on_without_deadlines(&[&background]);
    // Its shutdown too is left to the one that is stopped.
    returns(move || engine.shutdown());
    assert!(!ahead.is_done());

    victim.resume();
    assert_eq!(ahead.err(), Some(Error::Canceled));
}

/// Has the thread that calls it stopped in its next turn.
struct StopNextTurn(Mutex<Option<Stop>>);

impl Wake for StopNextTurn {
    fn wake(self: Arc<Self>) {
        self.0
            .lock()
            .expect("used once")
            .take()
            .expect("woken once")
            .arm();
    }
}

#[test]
fn with_the_thread_of_an_engine_stopped_in_its_turn_the_rest_goes_on() {
    let _alone = alone();
    let engine = Engine::builder().build().expect("a thread can be started");
    let background = engine.background();
    let (stop, stopped) = Stop::at("turn taken");
    let waker = Arc::new(StopNextTurn(Mutex::new(Some(stop)))).into();
    // Again, should the thread be faster than the poll.
    let _waiting = loop {
        let (ctx, guard) = background.with_timeout(20 * SHORT);
        let mut done = ctx.done();
        if Pin::new(&mut done)
            .poll(&mut TaskContext::from_waker(&waker))
            .is_pending()
        {
            break (guard, done);
        }
    };
    let began = Instant::now();
    while stopped.reached.recv_timeout(SHORT).is_err() {
        assert!(
            began.elapsed() < HANG,
            "the thread never came to its window"
        );
        // Earlier than the thread sleeps until, so it is woken.
        drop(background.with_timeout(SHORT));
    }

    goes_on(&[&Context::background().with_cancel().0]);
    goes_on_without_deadlines(&[&background]);
    // Who waits for a time sees to a deadline that is due by then.
    let (due, _guard) = background.with_timeout(SHORT);
    let waiting = due.clone();
    let seen = returns(move || waiting.wait_timeout(20 * SHORT));
    assert_eq!(seen, Some(Error::DeadlineExceeded));
    assert!(due.is_done());
    let (ahead, _guard) = background.with_timeout(LONG);
    returns(move || engine.shutdown());

    stopped.go.send(()).expect("it is stopped");
    assert_eq!(returns(move || ahead.wait()), Error::Canceled);
}

#[cfg_attr(ripcord_no_pool, ignore = "there is no pool")]
#[test]
fn with_a_magazine_just_left_to_the_depot_the_rest_goes_on() {
    let _alone = alone();
    let (root, _guard) = Context::background().with_cancel();
    Pool::trim();
    let parent = root.clone();
    let victim = Victim::stopped_at("left to the depot", move || {
        let many: Vec<_> = (0..1_000).map(|_| parent.with_cancel()).collect();
        drop(many);
    });
    goes_on(&[&root]);
    victim.resume();
}

#[cfg_attr(ripcord_no_pool, ignore = "there is no pool")]
#[test]
fn with_a_magazine_just_taken_from_the_depot_the_rest_goes_on() {
    let _alone = alone();
    let (root, _guard) = Context::background().with_cancel();
    Pool::fill(1_000);
    let parent = root.clone();
    let victim = Victim::stopped_at("taken from the depot", move || parent.with_cancel());
    goes_on(&[&root]);
    let (ctx, guard) = victim.resume();
    guard.cancel();
    assert!(ctx.is_done());
}

#[test]
fn with_a_callback_pushed_and_its_dispatcher_not_woken_all_callbacks_run() {
    let _alone = alone();
    let (root, _guard) = Context::background().with_cancel();
    let (ctx, guard) = root.with_cancel();
    let (called, is_called) = channel();
    let registration = ctx.after_func(move || called.send(()).expect("it is waited for"));
    let victim = Victim::stopped_at("dispatcher not woken", move || guard.cancel());

    // Callbacks of the rest among it, and whoever wakes the dispatcher for one wakes it for all.
    goes_on(&[&root]);
    is_called.recv_timeout(HANG).expect("it is called");
    assert!(!registration.stop());
    victim.resume();
}
