//! The examples do what their pages say.

#[path = "../../examples/01_basic.rs"]
mod basic;
#[path = "../../examples/02_cancellation.rs"]
mod cancellation;
#[path = "../../examples/04_deadline.rs"]
mod deadline;
#[path = "../../examples/06_hierarchy.rs"]
mod hierarchy;
#[path = "../../examples/16_testing.rs"]
mod testing;
#[path = "../../examples/03_timeout.rs"]
mod timeout;
#[path = "../../examples/05_values.rs"]
mod values;

use ripcord::{Context, Engine, Error};
use std::time::{Duration, Instant};

#[test]
fn neither_root_is_ever_done_and_work_runs_under_both() {
    basic::main();
    for ctx in [Context::background(), Context::todo()] {
        assert_eq!(basic::count_words(&ctx, "a b c"), Ok(3));
        assert!(!ctx.is_done());
    }
}

#[test]
fn one_cancel_stops_three_threads_and_three_tasks() {
    cancellation::main();
    assert_eq!(cancellation::stop_three_threads(), [Error::Canceled; 3]);
}

#[test]
fn of_many_causes_one_is_kept() {
    let cause = cancellation::cancel_many_times(8).to_string();
    assert!(cause.starts_with("thread "), "{cause}");
}

#[test]
fn a_cancel_in_the_middle_ends_what_is_below_and_nothing_else() {
    hierarchy::main();
    let mut service = hierarchy::Service::start();
    assert_eq!(service.ended(), []);
    service.lose_database("gone");
    let gone = |name| (name, "gone".to_owned());
    assert_eq!(service.ended(), [gone("database"), gone("query")]);
}

#[test]
fn of_three_jobs_under_one_budget_the_one_that_is_not_through_ends_with_it() {
    timeout::main();
    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    let budget = Duration::from_secs(1);
    let mut jobs = timeout::run_jobs(&engine.background(), budget);
    let mut next = |passed: Duration| {
        clock.advance(passed);
        jobs.next().map(|outcome| (outcome.primes, outcome.left))
    };
    assert_eq!(next(Duration::ZERO), Some((Ok(168), budget)));
    assert_eq!(next(budget / 4), Some((Ok(3_245), budget * 3 / 4)));
    let ended = (Err(Error::DeadlineExceeded), Duration::ZERO);
    assert_eq!(next(budget), Some(ended));
    assert_eq!(next(budget), None);
}

#[test]
fn a_child_that_asks_for_more_than_its_parent_has_is_given_that() {
    assert!(timeout::ask_for_more() <= Duration::from_secs(1));
}

#[test]
fn two_operations_before_one_instant_end_when_they_are_through_or_at_it_and_not_before() {
    deadline::main();
    let wall = Instant::now() + Duration::from_millis(20);
    let [_, endless] = deadline::run_both(&Context::background(), wall);
    assert!(Instant::now() >= wall);
    assert_eq!(endless.stopped.as_deref(), Some("the shop closes"));

    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    let wall = clock.now() + Duration::from_secs(60);
    let (ctx, _guard) = engine.background().with_deadline(wall);
    let through = deadline::Progress {
        rounds: 5,
        stopped: None,
    };
    assert_eq!(deadline::operate(&ctx, 5), through);
    clock.advance(Duration::from_secs(60));
    let stopped = deadline::operate(&ctx, 5);
    assert_eq!(stopped.rounds, 0);
    assert!(stopped.stopped.is_some());
}

#[test]
fn of_two_deadlines_the_earlier_is_in_force_however_they_are_nested() {
    let now = Instant::now();
    let (sooner, later) = (now + Duration::from_secs(1), now + Duration::from_secs(60));
    assert_eq!(deadline::in_force(sooner, later), sooner);
    assert_eq!(deadline::in_force(later, sooner), sooner);
}

#[test]
fn values_go_through_the_layers_and_are_missed_and_shadowed() {
    values::main();
    let request = values::accept(&Context::background(), 7, "s-1");
    assert_eq!(
        request.to_string(),
        "context.Background.WithValue(request_id).WithValue(session)"
    );
    let anonymous = values::authenticate(&request, "nonsense");
    assert_eq!(anonymous.value(&values::USER), None);
    let nobody = "request 7, session s-1: nobody is logged in";
    assert_eq!(values::update_profile(&anonymous), nobody);

    let known = values::authenticate(&request, "ada's token");
    let support = values::act_as(&known, "grace");
    for (ctx, line) in [
        (
            &known,
            "request 7, session s-1: ada has updated the profile",
        ),
        (&support, "request 7, session s-1: grace may only read"),
    ] {
        assert_eq!(values::update_profile(ctx), line);
    }
    let without = values::log(&Context::background(), "started");
    assert_eq!(without, "request -, session -: started");
}

/// Its page has the tests of the service.
#[test]
fn the_service_that_is_tested_runs() {
    testing::main();
}
