#[path = "../../examples/03_timeout.rs"]
mod timeout;

use ripcord::{Engine, Error};
use std::time::Duration;

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
