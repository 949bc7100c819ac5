//! The examples do what their pages say.

#[path = "../../examples/01_basic.rs"]
mod basic;
#[path = "../../examples/02_cancellation.rs"]
mod cancellation;
#[path = "../../examples/06_hierarchy.rs"]
mod hierarchy;

use ripcord::{Context, Error};

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
