//! A deadline and a flag that is polled.

use crate::common::{LONG, MS, scaled};
use ripcord::{Context, Error, Light};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn it_is_two_words_and_goes_to_any_thread_and_through_any_panic() {
    fn holds<T: Send + Sync + UnwindSafe + RefUnwindSafe + Default + 'static>() {}
    holds::<Light>();
    assert_eq!(size_of::<Light>(), 16);
}

#[test]
fn without_a_deadline_it_is_done_when_it_is_cancelled_and_stays_so() {
    static STOP: Light = Light::new();
    assert_eq!(
        (STOP.err(), STOP.is_done(), STOP.check()),
        (None, false, Ok(()))
    );
    assert_eq!((STOP.deadline(), STOP.remaining()), (None, None));
    STOP.cancel();
    STOP.cancel();
    assert_eq!(STOP.err(), Some(Error::Canceled));
    assert_eq!(STOP.check(), Err(Error::Canceled));
}

#[test]
fn its_deadline_is_kept_to_the_nanosecond_and_never_early() {
    let at = Instant::now() + 5 * MS;
    let light = Light::with_deadline(at);
    assert_eq!(light.deadline(), Some(at));
    while !light.is_done() {
        thread::yield_now();
    }
    assert!(Instant::now() >= at);
    assert_eq!(light.err(), Some(Error::DeadlineExceeded));
    assert_eq!(light.remaining(), Some(Duration::ZERO));
    light.cancel();
    assert_eq!(
        light.err(),
        Some(Error::DeadlineExceeded),
        "the first stays"
    );
}

#[test]
fn cancelled_before_its_deadline_it_is_cancelled_after_it_too() {
    let light = Light::with_timeout(MS);
    light.cancel();
    thread::sleep(2 * MS);
    assert_eq!(light.err(), Some(Error::Canceled));
}

#[test]
fn zero_past_and_endless_times_are_times_like_any_other() {
    let expired = Some(Error::DeadlineExceeded);
    assert_eq!(Light::with_timeout(Duration::ZERO).err(), expired);
    assert_eq!(Light::with_deadline(Instant::now()).err(), expired);
    let past = Instant::now().checked_sub(LONG);
    assert_eq!(
        past.and_then(|past| Light::with_deadline(past).err()),
        past.and(expired)
    );
    for never in [Light::with_timeout(Duration::MAX), Light::default()] {
        assert_eq!((never.err(), never.deadline()), (None, None));
    }
}

#[test]
fn under_a_context_it_has_the_earlier_deadline_and_its_end() {
    let (timed, _guard) = Context::background().with_timeout(LONG);
    assert_eq!(Light::under(&timed, 2 * LONG).deadline(), timed.deadline());
    let sooner = Light::under(&timed, LONG / 2);
    assert!(sooner.deadline() < timed.deadline() && sooner.err().is_none());
    let (canceled, guard) = Context::background().with_cancel();
    let before = Light::under(&canceled, Duration::MAX);
    guard.cancel();
    assert_eq!(Light::under(&canceled, LONG).err(), Some(Error::Canceled));
    assert_eq!(before.err(), None, "it does not follow");
    let (late, _late_guard) = Context::background().with_timeout(Duration::ZERO);
    assert_eq!(
        Light::under(&late, LONG).err(),
        Some(Error::DeadlineExceeded)
    );
}

#[test]
fn a_cancel_against_the_deadline_ends_it_for_one_reason_for_all() {
    for _ in 0..scaled(500) {
        let light = Light::with_timeout(Duration::from_micros(20));
        let start = Barrier::new(3);
        let look = || {
            start.wait();
            loop {
                if let Some(error) = light.err() {
                    return error;
                }
            }
        };
        let cancel = || {
            start.wait();
            light.cancel();
            light.err().expect("it is done")
        };
        let (one, other, by) = thread::scope(|scope| {
            let looks = [scope.spawn(look), scope.spawn(look)];
            let by = scope.spawn(cancel);
            let [one, other] = looks.map(|look| look.join().expect("no panic"));
            (one, other, by.join().expect("no panic"))
        });
        assert!(one == other && other == by && Some(by) == light.err());
    }
}
