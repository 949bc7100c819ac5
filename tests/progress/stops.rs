//! A thread is stopped for 30 ms at random instructions; another that does the same has no operation in which it slept or
//! burnt the processor for long.

use crate::alone;
use crate::context::Context;
use crate::counting::Counting;
use crate::done::Done;
use crate::error::Error;
use crate::observe::{Seen, install, observe};
use crate::rest::LONG;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static ALLOCATOR_CALLS: Cell<usize> = const { Cell::new(0) };
}

/// By [`Counting`]: of this thread.
pub(crate) fn count(_: usize, _: isize) {
    ALLOCATOR_CALLS.with(|calls| calls.set(calls.get() + 1));
}

fn allocator_calls() -> usize {
    ALLOCATOR_CALLS.get()
}

const STOPS: usize = 100;
/// Operations before the first stop.
const WARM_UP: usize = 10_000;

fn describe(seen: &Seen) -> String {
    format!(
        "of {} operations beside {STOPS} stops {} slept and {} burnt the processor for over 15 ms; {} were preempted and {} at the allocator; the slowest took {} ms",
        seen.times.len(),
        seen.slept,
        seen.burnt,
        seen.preempted,
        seen.at_allocator,
        seen.times.max() / 1_000_000,
    )
}

fn poll(done: &mut Done) -> Poll<Error> {
    Pin::new(done).poll(&mut TaskContext::from_waker(Waker::noop()))
}

/// Creates, arms, waits, cancels and drops, older ones beside younger ones. What it needs is in pools, but for what is handed to a
/// stopped owner of a list and piles up: then it calls the allocator, which has locks.
fn operation(root: &Context) {
    let (older, older_guard) = root.with_timeout(LONG);
    let (child, guard) = older.with_timeout(LONG / 2);
    let (younger, younger_guard) = root.with_cancel();
    let mut done = child.done();
    assert!(poll(&mut done).is_pending());
    // Not the newest of its list: that has to be owned.
    drop((older, older_guard));
    assert!(poll(&mut done).is_ready());
    drop((younger, younger_guard, child, guard));
}

// Without the pool every operation is at the allocator, which has locks.
#[cfg_attr(ripcord_no_pool, ignore = "there is no pool")]
#[test]
fn a_thread_stopped_at_random_instructions_stalls_nobody() {
    let _alone = alone();
    install();
    let (root, _guard) = Context::background().with_cancel();
    let (striped, _striped_guard) = Context::background().with_cancel();
    striped.inflate();
    let seen = observe(STOPS, WARM_UP, allocator_calls, || {
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
    // Told apart from the allocator's it need not be; without the pool every operation calls that.
    let seen = observe(
        STOPS / 4,
        100,
        || 0,
        || {
            let locked = lock.lock().unwrap_or_else(PoisonError::into_inner);
            operation(&locked.0);
        },
    );
    assert!(seen.slept > 0, "{}", describe(&seen));
}
