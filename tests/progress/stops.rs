//! A thread is stopped for 30 ms at random instructions; another that does the same has no operation in which it slept or
//! burnt the processor for long.

use crate::alone;
use crate::context::Context;
use crate::observe::{Seen, install, observe};
use crate::rest::{LONG, Wakes, poll};
use std::sync::{Arc, Mutex, PoisonError};

const STOPS: usize = 100;
/// Operations before the first stop.
const WARM_UP: usize = 10_000;

fn describe(seen: &Seen) -> String {
    format!(
        "of {} operations beside {STOPS} stops {} slept and {} burnt the processor for over 15 ms; {} were preempted; the slowest took {} ms",
        seen.times.len(),
        seen.slept,
        seen.burnt,
        seen.preempted,
        seen.times.max() / 1_000_000,
    )
}

/// Creates, arms, waits, cancels and drops, older ones beside younger ones.
fn operation(root: &Context) {
    let (older, older_guard) = root.with_timeout(LONG);
    let (child, guard) = older.with_timeout(LONG / 2);
    let (younger, younger_guard) = root.with_cancel();
    let wakes = Arc::<Wakes>::default();
    let mut done = child.done();
    assert!(poll(&mut done, &wakes).is_pending());
    // Not the newest of its list: that has to be owned.
    drop((older, older_guard));
    assert!(poll(&mut done, &wakes).is_ready());
    drop((younger, younger_guard, child, guard));
}

#[test]
fn a_thread_stopped_at_random_instructions_stalls_nobody() {
    let _alone = alone();
    install();
    let (root, _guard) = Context::background().with_cancel();
    let (striped, _striped_guard) = Context::background().with_cancel();
    striped.inflate();
    let seen = observe(STOPS, WARM_UP, || {
        operation(&root);
        operation(&striped);
    });
    println!("{}", describe(&seen));
    assert_eq!(seen.stalls(), 0, "{}", describe(&seen));
    assert_eq!(root.child_count() + striped.child_count(), 0);
}

/// The same eyes see a lock.
#[test]
fn a_lock_held_by_a_stopped_thread_would_be_seen() {
    let _alone = alone();
    install();
    let lock = Mutex::new(Context::background().with_cancel());
    let seen = observe(STOPS / 4, 100, || {
        let locked = lock.lock().unwrap_or_else(PoisonError::into_inner);
        operation(&locked.0);
    });
    assert!(seen.slept > 0, "{}", describe(&seen));
}
