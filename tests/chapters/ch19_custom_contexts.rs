#[path = "../../examples/19_custom_contexts.rs"]
mod custom;

use ripcord::ext::{Metrics, Priority, Retry, RetryRefused};
use ripcord::{Context, Engine, Error};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

#[test]
fn what_was_done_layers_down_counts_for_the_request() {
    custom::main();
    let seen = custom::count_what_was_done().operations;
    let counts = |name| (seen[name].count, seen[name].errors);
    assert_eq!(counts("parse"), (3, 1));
    assert_eq!(counts("factor"), (2, 0));
}

#[test]
fn the_most_urgent_comes_first() {
    let order = custom::most_urgent_first();
    assert_eq!(order, ["checkout", "search", "backup"]);
}

#[test]
fn two_layers_draw_on_one_budget() {
    let (calls, refused) = custom::retry_in_two_layers(Duration::from_secs(60));
    assert_eq!(calls, 4);
    assert_eq!(refused, RetryRefused::Exhausted { budget: 3 });

    // Of the 2, 4 and 8 ms between them not all fit.
    let (calls, refused) = custom::retry_in_two_layers(Duration::from_millis(5));
    assert!(calls < 4, "{calls}");
    let out_of_time = matches!(
        refused,
        RetryRefused::NoTime { .. } | RetryRefused::Ended(Error::DeadlineExceeded)
    );
    assert!(out_of_time, "{refused}");
}

#[test]
fn a_merged_context_has_the_first_reason_and_all_values() {
    let (cause, source) = custom::first_of_three_parents();
    assert_eq!(cause.to_string(), "client hung up");
    assert_eq!(source, "the nightly job");
}

#[test]
fn a_derived_child_has_all_of_them() {
    assert_eq!(
        custom::all_at_once(),
        "priority 8, 1 retry left, 2 connects of which 1 failed (connected, deploy)"
    );
    let root = Priority::LOW.attach(&Context::background());
    let root = Metrics::attach(&Retry::new(2).attach(&root));
    let (other, _guard) = Context::background().with_cancel();
    let (merged, _guard) = Context::merge([&other, &root]);
    let (timed, _guard) = root.with_timeout(Duration::from_secs(1));
    for child in [merged, timed, root.without_cancel()] {
        assert_eq!(Priority::of(&child), Priority::LOW);
        assert_eq!(Retry::of(&child).unwrap().left(), 2);
        assert!(Metrics::of(&child).is_some());
    }
}

#[test]
fn a_retry_that_does_not_fit_is_refused_and_takes_nothing() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let second = Duration::from_secs(1);
    let retry = Retry::new(9).backoff(second, 60 * second);
    let (ctx, _guard) = retry.attach(&engine.background()).with_timeout(4 * second);
    let retry = Retry::of(&ctx).unwrap();
    assert_eq!(retry.next(&ctx), Ok(second));
    assert_eq!(retry.next(&ctx), Ok(2 * second));
    let (delay, left) = (4 * second, 4 * second);
    assert_eq!(retry.next(&ctx), Err(RetryRefused::NoTime { delay, left }));
    assert_eq!(retry.left(), 7);
    clock.advance(4 * second);
    let ended = RetryRefused::Ended(Error::DeadlineExceeded);
    assert_eq!(retry.next(&ctx), Err(ended));
    assert_eq!(retry.left(), 7);
}

#[test]
fn absurd_budgets_and_backoffs_are_only_large() {
    let ctx = Context::background();
    let none = Retry::new(0);
    assert_eq!(none.next(&ctx), Err(RetryRefused::Exhausted { budget: 0 }));
    let endless = Retry::new(u32::MAX).backoff(Duration::MAX, Duration::MAX);
    for _ in 0..100 {
        assert_eq!(endless.next(&ctx), Ok(Duration::MAX));
    }
    let zero = Retry::new(1).backoff(Duration::ZERO, Duration::ZERO);
    assert_eq!(zero.next(&ctx), Ok(Duration::ZERO));
}

#[test]
fn threads_share_a_budget_exactly() {
    let request = Retry::new(100_000).attach(&Context::background());
    let taken: usize = thread::scope(|scope| {
        let threads = [(); 4].map(|()| {
            let request = &request;
            scope.spawn(move || {
                let retry = Retry::of(request).unwrap();
                std::iter::repeat_with(|| retry.next(request))
                    .take_while(Result::is_ok)
                    .count()
            })
        });
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(taken, 100_000);
}

#[test]
fn a_panic_is_counted_as_an_error_with_its_time() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let ctx = Metrics::attach(&engine.background());
    let minute = Duration::from_secs(60);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _ = Metrics::observe(&ctx, "job", || -> Result<(), Error> {
            clock.advance(minute);
            panic!("in the job")
        });
    }));
    assert!(panic.is_err());
    let job = Metrics::of(&ctx).unwrap().snapshot().operations["job"];
    assert_eq!((job.count, job.errors, job.time), (1, 1, minute));
}

#[test]
fn where_nothing_counts_the_work_is_done_all_the_same() {
    let done = Metrics::observe(&Context::background(), "job", || Ok::<_, Error>(7));
    assert_eq!(done, Ok(7));
}
