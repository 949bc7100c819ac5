#[path = "../../examples/04_deadline.rs"]
mod deadline;

use ripcord::{Context, Engine};
use std::time::{Duration, Instant};

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
