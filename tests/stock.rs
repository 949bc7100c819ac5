//! What the pool of nodes keeps, and does not keep. One test: the stock is the process's, and others would be seen in it.

#[path = "memory/counting.rs"]
mod counting;

use counting::Counting;
use ripcord::{Context, Engine, Pool};
use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count(allocations: usize, _bytes: isize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + allocations);
}

const HOUR: Duration = Duration::from_secs(3_600);
const MANY: usize = 100_000;
/// More deadlines of one thread than a nursery has slots for.
const CROWD: usize = 140_000;

#[test]
#[cfg_attr(ripcord_no_pool, ignore = "there is no stock")]
fn the_stock_of_nodes_is_bounded_and_of_use() {
    small_steps_fill_a_stock_as_one_large_step_does();
    threads_that_come_and_go_take_their_nodes_from_the_stock();
    churn_between_two_turns_of_a_driven_engine_does_not_grow();
    what_is_dropped_on_a_standing_clock_is_given_back();
    a_few_that_are_dropped_out_of_the_wheel_are_given_back_by_the_next_turn();
}

fn small_steps_fill_a_stock_as_one_large_step_does() {
    for contexts in 1..=80 {
        let _ = Pool::fill(contexts);
    }
    assert!(Pool::fill(1_000).contexts >= 1_000);
    Pool::trim();
}

fn threads_that_come_and_go_take_their_nodes_from_the_stock() {
    const THREADS: usize = 96;
    let (root, _guard) = Context::background().with_cancel();
    // How many of them had to ask the allocator for a node.
    let wave = || {
        let all_have_one = Barrier::new(THREADS);
        let asked = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let before = ALLOCATIONS.get();
                    let child = root.with_cancel();
                    asked.fetch_add(ALLOCATIONS.get() - before, Ordering::Relaxed);
                    all_have_one.wait();
                    drop(child);
                });
            }
        });
        asked.into_inner()
    };
    for _ in 0..40 {
        wave();
    }
    let asked: usize = (0..20).map(|_| wave()).sum();
    assert!(asked < THREADS, "{asked} nodes were allocated");
}

fn churn_between_two_turns_of_a_driven_engine_does_not_grow() {
    let (engine, driver) = Engine::builder().driven().expect("no thread is started");
    let root = engine.background();
    // What comes later goes to the wheel.
    let crowd = || -> Vec<_> { (0..CROWD).map(|_| root.with_timeout(HOUR)).collect() };
    let _kept = crowd();
    driver.turn();
    let _too = crowd();
    let before = Pool::stats().allocated_bytes;
    (0..MANY).for_each(|_| drop(root.with_timeout(HOUR)));
    let grown = Pool::stats().allocated_bytes - before;
    assert!(grown < 2 << 20, "grew by {grown} bytes");
}

fn what_is_dropped_on_a_standing_clock_is_given_back() {
    Pool::trim();
    let before = Pool::stats().allocated_bytes;
    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("no thread is started");
    let root = engine.background();
    drop(
        (0..CROWD + MANY)
            .map(|_| root.with_timeout(HOUR))
            .collect::<Vec<_>>(),
    );
    Pool::trim();
    let kept = Pool::stats().allocated_bytes - before;
    assert!(kept < 2 << 20, "{kept} bytes are kept for nothing");
    drop(clock);
}

fn a_few_that_are_dropped_out_of_the_wheel_are_given_back_by_the_next_turn() {
    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("no thread is started");
    let root = engine.background();
    Pool::trim();
    let before = Pool::stats().allocated_bytes;
    let near: Vec<_> = (0..500)
        .map(|_| root.with_timeout(Duration::from_millis(5)))
        .collect();
    clock.advance(Duration::from_millis(1));
    drop(near);
    clock.advance(Duration::from_millis(1));
    Pool::trim();
    let kept = Pool::stats().allocated_bytes - before;
    assert!(kept < 16 << 10, "{kept} bytes are kept for nothing");
}
