#[path = "../../examples/22_debugging.rs"]
mod debugging;

/// What it finds is in `tests/monitoring.rs`: the monitor is the whole process's, and here its log has the other chapters' events.
#[test]
fn the_example_runs() {
    debugging::main().expect("it needs no thread");
}

#[test]
fn a_query_says_whose_end_was_its_own() {
    let (deadline, cancel) = debugging::who_ended_it();
    assert!(
        deadline.starts_with("deadline of WithDeadline 2 levels up"),
        "{deadline}"
    );
    assert!(
        cancel.starts_with("cancel of WithCancel 2 levels up"),
        "{cancel}"
    );
}
