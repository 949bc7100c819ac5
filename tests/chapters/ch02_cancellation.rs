#[path = "../../examples/02_cancellation.rs"]
mod cancellation;

use ripcord::Error;

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
