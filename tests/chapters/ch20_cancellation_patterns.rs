#[path = "../../examples/20_cancellation_patterns.rs"]
mod patterns;

use ripcord::ShutdownCause;
use std::time::Duration;

#[test]
fn what_is_cancelled_by_group_leaves_and_the_others_stay() {
    patterns::main();
    assert_eq!(patterns::cancel_by_group().unwrap(), ["grace-1"]);
}

#[test]
fn a_server_that_stops_answers_who_is_connected() {
    let (answers, report) = patterns::serve_and_stop(3).unwrap();
    assert_eq!(answers, 3);
    let report = report.into_result().unwrap();
    assert_eq!((report.drained, report.canceled), (3, 0));
    let requested = Some(&ShutdownCause::Requested);
    assert_eq!(report.cause.downcast_ref(), requested);
}

#[test]
fn who_hangs_is_named_and_who_cleans_up_may() {
    let report = patterns::stop_with_one_that_hangs();
    assert_eq!(report.late.len(), 1);
    assert_eq!(&*report.late[0].name, "compaction");
    assert_eq!(report.canceled, 2);
}

#[test]
fn storage_is_stopped_whatever_became_of_the_stages_before() {
    assert_eq!(
        patterns::stop_in_stages().to_string(),
        "listener: ended; workers: failed: 2 jobs were given back; \
         metrics: panicked: not connected, on purpose; replica: given up; storage: ended"
    );
    assert_eq!(
        patterns::order_in_stages().to_string(),
        "reserve: ended; charge: failed: context deadline exceeded; ship: skipped"
    );
}

#[test]
fn what_is_down_is_asked_three_times() {
    let (asked, refused) = patterns::ask_what_is_down(8);
    assert_eq!(asked, 3);
    assert_eq!(refused.retry_after, Duration::from_secs(60));
}
