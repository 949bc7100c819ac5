//! Memory, counted by the allocator itself: nothing is left of what is gone, and a steady state allocates nothing.

mod counting;
#[cfg(feature = "tokio")]
mod tokens;

use counting::Counting;
use ripcord::{CancelGuard, Context, Engine, Error, Key, Pool};
use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static COUNTING: Counting = Counting;

// Counted for the threads that ask for it: what the test harness does on its own is not ours.
thread_local! {
    /// Whether this thread's allocations are counted.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
    /// How many it has made.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that counted threads have allocated, less those they freed.
static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The same of all threads: a timer thread frees what others have made.
static LIVE_ANYWHERE: AtomicIsize = AtomicIsize::new(0);

fn count(allocations: usize, bytes: isize) {
    LIVE_ANYWHERE.fetch_add(bytes, Ordering::Relaxed);
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        LIVE.fetch_add(bytes, Ordering::Relaxed);
        ALLOCATIONS.with(|made| made.set(made.get() + allocations));
    }
}

/// Runs a test on a counted thread, alone: the bytes of all counted threads are one number.
fn counted(f: impl FnOnce() + Send) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            COUNTED.set(true);
            f();
            COUNTED.set(false);
        });
        if let Err(panic) = run.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn live() -> isize {
    LIVE.load(Ordering::Relaxed)
}

/// How many allocations `f` makes on this thread.
fn allocations(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    f();
    ALLOCATIONS.get() - before
}

/// Until they have ended, and not their bodies only, for which a scope waits: magazines are given back after those, and the next test
/// counts what is in the pool.
fn join<const N: usize>(threads: [thread::ScopedJoinHandle<'_, ()>; N]) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// `n`, divided by `RIPCORD_TEST_SCALE`, and in an unoptimised build by 4.
fn scaled(n: usize) -> usize {
    let scale = std::env::var("RIPCORD_TEST_SCALE").map_or(1, |scale| {
        scale.parse().expect("RIPCORD_TEST_SCALE is a whole number")
    });
    let scale = usize::max(scale, 1) * if cfg!(debug_assertions) { 4 } else { 1 };
    (n / scale).max(1)
}

/// More than the pool keeps for reuse, far less than what a million contexts take.
const STOCK: isize = 2 << 20;

/// What may be in flight from one moment to the next.
const SLACK: isize = 64 << 10;

const WARM_UP: usize = 10_000;

#[track_caller]
fn assert_within(bound: isize, before: isize) {
    let grown = live() - before;
    assert!(grown <= bound, "{grown} bytes more than before");
}

/// As [`assert_within`], of all threads; what others free comes when it comes.
#[track_caller]
fn assert_within_anywhere(bound: isize, before: isize) {
    let began = Instant::now();
    loop {
        let grown = LIVE_ANYWHERE.load(Ordering::Relaxed) - before;
        if grown <= bound {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{grown} bytes more than before");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Nothing hangs on it, once those threads that are just taking something off it are through.
#[track_caller]
fn assert_nothing_hangs_on(ctx: &Context) {
    let began = Instant::now();
    while ctx.child_count() > 0 {
        assert!(began.elapsed() < PATIENCE, "{} are left", ctx.child_count());
        thread::sleep(Duration::from_millis(1));
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

const HOUR: Duration = Duration::from_secs(3600);

fn poll_once(ctx: &Context) -> Poll<Error> {
    let mut done = ctx.done();
    Pin::new(&mut done).poll(&mut TaskContext::from_waker(Waker::noop()))
}

#[test]
fn a_million_children_made_and_dropped_one_by_one_leave_nothing() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        let request = || {
            let (ctx, guard) = root.with_cancel();
            let (query, query_guard) = ctx.with_cancel();
            assert_eq!(poll_once(&query), Poll::Pending);
            guard.cancel();
            drop((query, query_guard, ctx, guard));
        };
        (0..WARM_UP).for_each(|_| request());
        let before = live();
        (0..scaled(1_000_000)).for_each(|_| request());
        assert_within(SLACK, before);
        assert_eq!(root.child_count(), 0);
    });
}

#[test]
fn a_million_trees_made_and_dropped_one_by_one_leave_nothing() {
    counted(|| {
        let tree = |round: usize| {
            let (root, guard) = Context::background().with_cancel();
            let (child, child_guard) = root.with_cancel();
            let (merged, merged_guard) = Context::merge([&child, &root]);
            if round.is_multiple_of(2) {
                guard.cancel_with(std::fmt::Error);
                assert!(merged.is_done());
            }
            drop((root, child, guard.disarm(), child_guard));
            drop((merged, merged_guard));
        };
        (0..WARM_UP).for_each(tree);
        let before = live();
        (0..scaled(1_000_000)).for_each(tree);
        assert_within(SLACK, before);
    });
}

#[test]
fn a_fan_of_a_million_cancelled_and_dropped_is_gone_but_for_the_pools_stock() {
    counted(|| {
        let before = live();
        for cancelled in [true, false] {
            let (root, guard) = Context::background().with_cancel();
            let fan: Vec<_> = (0..scaled(1_000_000)).map(|_| root.with_cancel()).collect();
            if cancelled {
                guard.cancel();
            }
            drop(fan);
            // Children that ended before their parent's end may wait for it with their bytes.
            drop((root, guard));
            assert_within(STOCK, before);
        }
    });
}

#[test]
fn a_live_fan_dropped_child_by_child_is_gone_though_the_root_stays() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        let before = live();
        let fan: Vec<_> = (0..scaled(1_000_000)).map(|_| root.with_cancel()).collect();
        drop(fan);
        assert_within(STOCK, before);
        assert_eq!(root.child_count(), 0);
    });
}

#[test]
fn a_chain_of_a_million_is_gone_with_its_leaf() {
    counted(|| {
        let before = live();
        for cancelled in [true, false] {
            let (root, guard) = Context::background().with_cancel();
            let mut leaf = root.clone();
            for _ in 0..scaled(1_000_000) {
                let (next, guard) = leaf.with_cancel();
                drop(guard.disarm());
                leaf = next;
            }
            if cancelled {
                guard.cancel();
            }
            drop((root, guard, leaf));
            assert_within(STOCK, before);
        }
    });
}

#[test]
fn a_merged_contexts_links_are_gone_with_it_though_its_parents_stay() {
    counted(|| {
        let parents: Vec<_> = (0..100)
            .map(|_| Context::background().with_cancel())
            .collect();
        let merge = || Context::merge(parents.iter().map(|(ctx, _)| ctx));
        (0..100).for_each(|_| drop(merge()));
        let before = live();
        (0..scaled(10_000)).for_each(|_| drop(merge()));
        assert_within(SLACK, before);
        assert!(parents.iter().all(|(ctx, _)| ctx.child_count() == 0));
    });
}

#[test]
fn waits_and_channels_are_gone_with_their_context() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        let wait = |round: usize| {
            let (ctx, guard) = root.with_cancel();
            let channel = ctx.done_channel();
            let waits: [_; 8] = std::array::from_fn(|_| ctx.done());
            if round.is_multiple_of(2) {
                guard.cancel();
                assert_eq!(ctx.wait(), Error::Canceled);
            }
            drop((guard.disarm(), waits, ctx, channel));
        };
        (0..WARM_UP).for_each(wait);
        let before = live();
        (0..scaled(200_000)).for_each(wait);
        assert_within(SLACK, before);
    });
}

#[test]
fn waits_given_up_on_a_context_that_stays_leave_nothing() {
    counted(|| {
        let (ctx, _guard) = Context::background().with_cancel();
        (0..WARM_UP).for_each(|_| assert!(poll_once(&ctx).is_pending()));
        let before = live();
        (0..scaled(1_000_000)).for_each(|_| assert!(poll_once(&ctx).is_pending()));
        assert_within(SLACK, before);
    });
}

#[test]
fn threads_that_come_and_go_leave_nothing_but_the_pools_stock() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        let rounds = |count: usize| {
            for _ in 0..count {
                thread::scope(|scope| {
                    let work = || {
                        COUNTED.set(true);
                        let kept: Vec<_> = (0..500).map(|_| root.with_cancel()).collect();
                        drop(kept);
                    };
                    join([(); 4].map(|()| scope.spawn(work)));
                });
            }
        };
        let before = live();
        rounds(scaled(20));
        assert_within(STOCK, before);
        rounds(scaled(200));
        assert_within(STOCK, before);
        assert_eq!(root.child_count(), 0);
    });
}

#[test]
fn contexts_made_by_one_thread_and_dropped_by_another_do_not_pile_up() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        let before = live();
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<(Context, CancelGuard)>>(4);
        thread::scope(|scope| {
            let dropping = scope.spawn(move || {
                COUNTED.set(true);
                receiver.into_iter().for_each(drop);
            });
            for _ in 0..scaled(2_000) {
                let batch = (0..100).map(|_| root.with_cancel()).collect();
                sender.send(batch).expect("the other thread lives");
            }
            drop(sender);
            join([dropping]);
        });
        assert_within(STOCK, before);
        assert_eq!(root.child_count(), 0);
    });
}

/// Runs `f` until all that is kept for reuse is there, then counts.
fn steady(f: impl Fn()) -> usize {
    (0..WARM_UP).for_each(|_| f());
    allocations(|| (0..1_000).for_each(|_| f()))
}

#[test]
fn a_background_allocates_nothing() {
    counted(|| {
        let made = allocations(|| {
            let (ctx, todo) = (Context::background(), Context::todo());
            assert!(!ctx.is_done() && todo.err().is_none() && todo.cause().is_none());
            assert!(ctx.check().is_ok() && ctx.child_count() == 0);
            assert!(poll_once(&ctx).is_pending());
            black_box((ctx.clone(), todo.without_cancel(), Context::default()));
        });
        assert_eq!(made, 0);
    });
}

#[test]
fn looking_allocates_nothing() {
    counted(|| {
        let (root, guard) = Context::background().with_cancel();
        let (live, _live_guard) = Context::background().with_cancel();
        let (child, _child_guard) = root.with_cancel();
        guard.cancel_with(std::fmt::Error);
        let made = allocations(|| {
            for ctx in [&root, &live, &child] {
                black_box((ctx.is_done(), ctx.err(), ctx.cause()));
                let _ = black_box(ctx.check());
                black_box((ctx.clone(), ctx.child_count()));
            }
            assert_eq!(child.wait(), Error::Canceled);
            assert!(poll_once(&child).is_ready());
        });
        assert_eq!(made, 0);
    });
}

#[test]
#[cfg_attr(
    ripcord_no_pool,
    ignore = "with the pool off every node is an allocation"
)]
fn a_child_its_wait_and_its_end_allocate_nothing_in_a_steady_state() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        let made = steady(|| {
            let (ctx, guard) = root.with_cancel();
            assert!(poll_once(&ctx).is_pending());
            let mut done = ctx.done();
            let mut task = TaskContext::from_waker(Waker::noop());
            assert!(Pin::new(&mut done).poll(&mut task).is_pending());
            guard.cancel_with(Error::Canceled);
            assert!(Pin::new(&mut done).poll(&mut task).is_ready());
            assert_eq!(ctx.wait(), Error::Canceled);
        });
        assert_eq!(made, 0);
    });
}

#[test]
#[cfg_attr(
    ripcord_no_pool,
    ignore = "with the pool off every node is an allocation"
)]
fn a_tree_and_its_cancel_allocate_nothing_in_a_steady_state() {
    counted(|| {
        let made = steady(|| {
            let (root, guard) = Context::background().with_cancel();
            let children: [_; 8] = std::array::from_fn(|_| root.with_cancel());
            let waits = [&children[0].0, &children[7].0].map(Context::done);
            let (deeper, deeper_guard) = children[3].0.with_cancel();
            guard.cancel();
            drop((children, waits, deeper, deeper_guard));
        });
        assert_eq!(made, 0);
    });
}

#[test]
#[cfg_attr(
    ripcord_no_pool,
    ignore = "with the pool off every node is an allocation"
)]
fn a_merged_context_and_its_end_allocate_nothing_in_a_steady_state() {
    counted(|| {
        let parents: [_; 3] = std::array::from_fn(|_| Context::background().with_cancel());
        let made = steady(|| {
            let (merged, guard) = Context::merge(parents.each_ref().map(|(ctx, _)| ctx));
            assert!(poll_once(&merged).is_pending());
            guard.cancel();
            assert!(merged.is_done());
        });
        assert_eq!(made, 0);
    });
}

#[test]
#[cfg_attr(
    ripcord_no_pool,
    ignore = "with the pool off every node is an allocation"
)]
fn a_cause_is_allocated_by_whoever_makes_it_and_never_again() {
    counted(|| {
        let cause = ripcord::Cause::msg("one for all");
        let made = steady(|| {
            let (ctx, guard) = Context::background().with_cancel();
            guard.cancel_with(cause.clone());
            let (child, _child_guard) = ctx.with_cancel();
            assert_eq!(
                child.cause().is_some(),
                child.is_done(),
                "inherited without a copy"
            );
        });
        assert_eq!(made, 0);
    });
}

/// The roots of the global engine, of one with a thread and of one that stands still; with what keeps that one.
fn roots() -> (Vec<Context>, impl Sized) {
    let own = Engine::builder().build().expect("a thread can be started");
    let (manual, clock) = Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    let roots = vec![Context::background(), own.background(), manual.background()];
    (roots, (own, manual, clock))
}

#[test]
fn ten_million_timeouts_of_an_hour_armed_and_disarmed_leave_memory_flat() {
    counted(|| {
        let (roots, _engines) = roots();
        for root in &roots {
            let request = || drop(root.with_timeout(HOUR));
            (0..WARM_UP).for_each(|_| request());
            let (before, before_anywhere) = (live(), LIVE_ANYWHERE.load(Ordering::Relaxed));
            // A quarter of them in a debug build.
            (0..scaled(10_000_000)).for_each(|_| request());
            assert_within(SLACK, before);
            assert_within_anywhere(SLACK, before_anywhere);
            assert_eq!(root.child_count(), 0);
        }
    });
}

/// More than the nursery holds: most of what comes later gets into the wheel.
fn crowd(root: &Context) -> Vec<(Context, CancelGuard)> {
    (0..140_000).map(|_| root.with_timeout(HOUR)).collect()
}

#[test]
fn timeouts_of_an_hour_by_the_thousands_at_a_time_leave_memory_flat() {
    counted(|| {
        let (roots, _engines) = roots();
        for root in &roots {
            let _crowd = crowd(root);
            let batch = || {
                let all: Vec<_> = (0..5_000).map(|_| root.with_timeout(HOUR)).collect();
                let mut kept = all.into_iter();
                // First those in the middle of the lists they are in.
                drop(kept.by_ref().skip(2_000).step_by(2).collect::<Vec<_>>());
                drop(kept);
            };
            (0..4).for_each(|_| batch());
            let before = LIVE_ANYWHERE.load(Ordering::Relaxed);
            (0..scaled(400)).for_each(|_| batch());
            assert_within_anywhere(STOCK, before);
        }
    });
}

/// What was dropped does not wait for the more of it the more is armed.
#[test]
fn timeouts_dropped_beside_many_that_stay_armed_leave_memory_flat() {
    counted(|| {
        let (roots, _engines) = roots();
        for root in &roots {
            let _armed: Vec<_> = (0..scaled(400_000))
                .map(|_| root.with_timeout(HOUR))
                .collect();
            let mut in_flight: VecDeque<_> = crowd(root).into();
            let mut request = || {
                drop(in_flight.pop_front());
                in_flight.push_back(root.with_timeout(HOUR));
            };
            (0..WARM_UP).for_each(|_| request());
            let before = LIVE_ANYWHERE.load(Ordering::Relaxed);
            (0..WARM_UP * 10).for_each(|_| request());
            assert_within_anywhere(STOCK, before);
        }
    });
}

/// As tasks go from a worker to another.
#[test]
fn timeouts_that_another_thread_drops_leave_memory_flat() {
    counted(|| {
        let (roots, _engines) = roots();
        for root in &roots {
            let (armed, to_drop) = sync_channel(0);
            thread::scope(|scope| {
                scope.spawn(move || {
                    let mut in_flight = VecDeque::with_capacity(2_001);
                    for timeout in to_drop {
                        in_flight.push_back(timeout);
                        if in_flight.len() > 2_000 {
                            drop(in_flight.pop_front());
                        }
                    }
                });
                let request = || armed.send(root.with_timeout(HOUR)).expect("it receives");
                (0..WARM_UP).for_each(|_| request());
                let before = LIVE_ANYWHERE.load(Ordering::Relaxed);
                (0..WARM_UP * 5).for_each(|_| request());
                assert_within_anywhere(SLACK, before);
                drop(armed);
            });
        }
    });
}

/// Of more threads than there are cores, so that whoever sweeps has none to itself.
#[test]
fn timeouts_of_many_threads_are_freed_as_fast_as_they_are_dropped() {
    const THREADS: usize = 8;
    // A nursery for two cores has not room for them all.
    const IN_FLIGHT: usize = 50_000;
    // Well over those in flight and what may wait on the piles: what is seen without it is a gigabyte.
    const BOUND: isize = 256 << 20;
    // Where they have a core each, so has whoever sweeps, and nobody gives way to it.
    if thread::available_parallelism().is_ok_and(|cores| cores.get() >= THREADS) {
        return;
    }
    counted(|| {
        let root = Context::background();
        let before = LIVE_ANYWHERE.load(Ordering::Relaxed);
        let most = AtomicIsize::new(0);
        let work = || {
            let mut in_flight = VecDeque::with_capacity(IN_FLIGHT + 1);
            for request in 0..scaled(1_000_000) {
                in_flight.push_back(root.with_timeout(HOUR));
                if in_flight.len() > IN_FLIGHT {
                    drop(in_flight.pop_front());
                }
                if request % 1_024 == 0 {
                    let grown = LIVE_ANYWHERE.load(Ordering::Relaxed) - before;
                    most.fetch_max(grown, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| join([(); THREADS].map(|()| scope.spawn(work))));
        let most = most.into_inner();
        assert!(most <= BOUND, "{most} bytes more than before");
    });
}

/// A few more than the pile that they wait on can count.
#[test]
fn timeouts_dropped_by_the_ten_thousands_in_a_turn_are_freed_after_it() {
    counted(|| {
        let (engine, clock) = Engine::builder()
            .manual_clock()
            .expect("it needs no thread");
        let root = engine.background();
        let _crowd = crowd(&root);
        let before = LIVE_ANYWHERE.load(Ordering::Relaxed);
        let in_wheel = (0..(1 << 16) + 500).map(|_| root.with_timeout(HOUR));
        let in_wheel = Mutex::new(in_wheel.collect::<Vec<_>>());
        clock.advance(Duration::from_nanos(1));
        let (due, _guard) = root.with_timeout(Duration::from_nanos(1));
        let mut done = due.done();
        let waker = Waker::from(Arc::new(Dropper(in_wheel)));
        let mut task = TaskContext::from_waker(&waker);
        assert!(Pin::new(&mut done).poll(&mut task).is_pending());
        clock.advance(Duration::from_nanos(1));
        assert!(due.is_done());
        assert_within_anywhere(STOCK, before);
    });
}

/// Drops what it has when it is woken.
struct Dropper(Mutex<Vec<(Context, CancelGuard)>>);

impl Wake for Dropper {
    fn wake(self: Arc<Self>) {
        let dropped = std::mem::take(&mut *self.0.lock().expect("no panic"));
        drop(dropped);
    }
}

#[test]
fn an_engine_that_goes_takes_its_memory_along() {
    counted(|| {
        let engine = |kind: usize| {
            let (root, _keeps): (Context, Box<dyn std::any::Any>) = match kind {
                0 => {
                    let engine = Engine::builder().build().expect("a thread can be started");
                    (engine.background(), Box::new(engine))
                }
                1 => {
                    let made = Engine::builder().driven().expect("it needs no thread");
                    (made.0.background(), Box::new(made))
                }
                _ => {
                    let made = Engine::builder()
                        .manual_clock()
                        .expect("it needs no thread");
                    (made.0.background(), Box::new(made))
                }
            };
            let armed: Vec<_> = (0..1_500).map(|_| root.with_timeout(HOUR)).collect();
            drop(armed);
            let (_ctx, guard) = root.with_timeout(HOUR);
            drop(guard.disarm());
        };
        for kind in 0..3 {
            (0..5).for_each(|_| engine(kind));
            let before = LIVE_ANYWHERE.load(Ordering::Relaxed);
            (0..scaled(200)).for_each(|_| engine(kind));
            assert_within_anywhere(STOCK, before);
        }
    });
}

#[test]
#[cfg_attr(
    ripcord_no_pool,
    ignore = "with the pool off every node is an allocation"
)]
fn a_timeout_its_wait_and_its_drop_allocate_nothing_in_a_steady_state() {
    counted(|| {
        let (roots, _engines) = roots();
        for root in &roots {
            let made = steady(|| {
                let (ctx, guard) = root.with_timeout(HOUR);
                let mut done = ctx.done();
                let mut task = TaskContext::from_waker(Waker::noop());
                assert!(Pin::new(&mut done).poll(&mut task).is_pending());
                assert!(ctx.remaining().is_some() && ctx.deadline().is_some());
                drop((done, ctx, guard));
                let (ctx, guard) = root.with_timeout_cause(HOUR, Error::Canceled);
                let (child, child_guard) = ctx.with_timeout(2 * HOUR);
                guard.cancel();
                assert_eq!(child.wait_timeout(HOUR), Some(Error::Canceled));
                drop((ctx, child, child_guard));
                drop(root.with_timeout(Duration::ZERO));
            });
            assert_eq!(made, 0);
        }
    });
}

#[test]
#[cfg_attr(
    ripcord_no_pool,
    ignore = "with the pool off every node is an allocation"
)]
fn a_sleep_allocates_nothing_in_a_steady_state() {
    counted(|| {
        let (roots, _engines) = roots();
        for root in &roots {
            let (ctx, _guard) = root.with_cancel();
            let made = steady(|| {
                for at in [root, &ctx] {
                    let mut sleep = at.sleep(HOUR);
                    let mut task = TaskContext::from_waker(Waker::noop());
                    assert!(Pin::new(&mut sleep).poll(&mut task).is_pending());
                    assert!(Pin::new(&mut sleep).poll(&mut task).is_pending());
                }
            });
            assert_eq!(made, 0);
        }
    });
}

#[test]
#[cfg_attr(
    ripcord_no_pool,
    ignore = "with the pool off every node is an allocation"
)]
fn deadlines_and_sleeps_that_fire_allocate_nothing_in_a_steady_state() {
    counted(|| {
        let (engine, clock) = Engine::builder()
            .manual_clock()
            .expect("it needs no thread");
        let root = engine.background();
        let made = steady(|| {
            let (ctx, _guard) = root.with_timeout(HOUR);
            let (child, _child_guard) = ctx.with_cancel();
            let mut sleep = child.sleep(HOUR / 2);
            let mut done = child.done();
            let mut task = TaskContext::from_waker(Waker::noop());
            assert!(Pin::new(&mut sleep).poll(&mut task).is_pending());
            assert!(Pin::new(&mut done).poll(&mut task).is_pending());
            clock.advance(HOUR / 2);
            assert!(Pin::new(&mut sleep).poll(&mut task).is_ready());
            clock.advance(HOUR / 2);
            assert!(Pin::new(&mut done).poll(&mut task).is_ready());
        });
        assert_eq!(made, 0);
    });
}

#[test]
fn blocking_with_a_time_allocates_nothing_in_a_steady_state() {
    counted(|| {
        let (ctx, _guard) = Context::background().with_cancel();
        let made = steady(|| {
            assert_eq!(ctx.wait_timeout(Duration::from_nanos(1)), None);
            assert_eq!(ctx.blocking_sleep(Duration::from_nanos(1)), Ok(()));
        });
        assert_eq!(made, 0);
        // A deadline that is due, and that no thread fires.
        let (engine, _driver) = Engine::builder().driven().expect("it needs no thread");
        let (due, _due_guard) = engine.background().with_timeout(Duration::from_micros(1));
        let (below, _below_guard) = due.with_cancel();
        thread::sleep(Duration::from_millis(1));
        let made = steady(|| assert_eq!(below.wait_timeout(Duration::ZERO), None));
        assert_eq!(made, 0);
    });
}

#[test]
fn sleeps_fired_dropped_and_forgotten_about_on_a_clock_leave_nothing() {
    counted(|| {
        let (engine, clock) = Engine::builder()
            .manual_clock()
            .expect("it needs no thread");
        let root = engine.background();
        let round = |round: usize| {
            let naps: Vec<_> = (0..50)
                .map(|nap| {
                    let mut nap = root.sleep(Duration::from_millis(nap));
                    let mut task = TaskContext::from_waker(Waker::noop());
                    let _ = Pin::new(&mut nap).poll(&mut task);
                    nap
                })
                .collect();
            clock.advance(Duration::from_millis(round as u64 % 60));
            drop(naps);
        };
        (0..1_000).for_each(round);
        let before = live();
        (0..scaled(20_000)).for_each(round);
        assert_within(SLACK, before);
    });
}

#[test]
fn callbacks_stopped_or_run_leave_nothing() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        let round = |_: usize| {
            let (ctx, guard) = root.with_cancel();
            let stopped = ctx.after_func(|| {});
            assert!(stopped.stop());
            let bytes = vec![0_u8; 1_000];
            drop(ctx.after_func(move || drop(black_box(bytes))));
            drop(guard);
        };
        (0..1_000).for_each(round);
        let before = LIVE_ANYWHERE.load(Ordering::Relaxed);
        (0..scaled(50_000)).for_each(round);
        assert_within_anywhere(STOCK, before);
        assert_nothing_hangs_on(&root);
    });
}

static NUMBER: Key<u64> = Key::new("number");
static TEXT: Key<&str> = Key::new("text");

/// Of a set that finds no block in the pool.
const UNPOOLED: usize = cfg!(ripcord_no_pool) as usize;

#[test]
fn a_set_is_one_block_at_any_depth_and_of_a_warm_pool_no_allocation() {
    counted(|| {
        let set = |most: usize| {
            let mut ctx = Context::background();
            for round in 0..1_000 {
                assert!(allocations(|| ctx = ctx.with_value(&NUMBER, round)) <= most);
                assert!(allocations(|| ctx = ctx.with_value(&TEXT, "x")) <= most);
            }
            ctx
        };
        drop(set(1));
        let before = live();
        let ctx = set(UNPOOLED);
        let free = allocations(|| {
            assert_eq!(ctx.value(&NUMBER), Some(&999));
            black_box((ctx.clone(), ctx.without_cancel()));
        });
        assert_eq!(free, 0);
        drop(ctx);
        assert_within(0, before);
    });
}

/// Sets a value of such a type: how many allocations that takes in a steady state.
fn allocations_of<T: Copy + PartialEq + Send + Sync + 'static>(
    key: &'static Key<T>,
    value: T,
) -> usize {
    let before = live();
    let made = steady(|| {
        let ctx = Context::background().with_value(key, value);
        let found = ctx.value(key).expect("it was set");
        assert!(*found == value, "not what was set");
        assert!(ptr::from_ref(found).is_aligned());
    });
    assert_within(SLACK, before);
    made / 1_000
}

#[derive(Clone, Copy, PartialEq)]
#[repr(align(128))]
struct Aligned(u8);

#[test]
fn a_large_value_is_one_allocation_and_goes_back_to_the_allocator() {
    static NOTHING: Key<()> = Key::new("nothing");
    static SMALL: Key<[u8; 40]> = Key::new("small");
    static LARGER: Key<[u8; 104]> = Key::new("larger");
    static TOO_LARGE: Key<[u8; 105]> = Key::new("too large");
    static HUGE: Key<[u8; 100_000]> = Key::new("huge");
    static ALIGNED: Key<Aligned> = Key::new("aligned");
    counted(|| {
        assert_eq!(allocations_of(&NOTHING, ()), UNPOOLED);
        assert_eq!(allocations_of(&SMALL, [1; 40]), UNPOOLED);
        assert_eq!(allocations_of(&LARGER, [2; 104]), UNPOOLED);
        assert_eq!(allocations_of(&TOO_LARGE, [3; 105]), 1);
        assert_eq!(allocations_of(&HUGE, [4; 100_000]), 1);
        assert_eq!(allocations_of(&ALIGNED, Aligned(5)), 1);
    });
}

#[test]
#[cfg_attr(
    ripcord_no_pool,
    ignore = "with the pool off every node is an allocation"
)]
fn values_that_are_only_handed_on_allocate_nothing() {
    counted(|| {
        let root = Context::background().with_value(&NUMBER, 1);
        let (root, _guard) = root.with_value(&TEXT, "x").with_cancel();
        let made = steady(|| {
            let (ctx, _guard) = root.with_cancel();
            let (merged, _merged_guard) = Context::merge([&ctx, &root, &Context::background()]);
            assert_eq!(merged.value(&NUMBER), Some(&1));
        });
        assert_eq!(made, 0);
    });
}

#[test]
fn a_value_that_is_cloned_often_and_goes_is_no_more() {
    counted(|| {
        let made = steady(|| {
            let ctx = Context::background().with_value(&NUMBER, 1);
            for _ in 0..100 {
                black_box(ctx.clone());
            }
            let last = ctx.clone();
            drop(ctx);
            assert_eq!(last.value(&NUMBER), Some(&1));
        });
        // The value's node, and the shard that counts its clones.
        assert_eq!(made, 2 * 1_000 * UNPOOLED);
    });
}

#[test]
fn values_that_threads_clone_and_drop_at_once_leave_nothing() {
    counted(|| {
        let round = |_| {
            let root = Context::background().with_value(&NUMBER, 1);
            thread::scope(|scope| {
                join([(); 4].map(|()| {
                    let own = root.clone();
                    let root = &root;
                    scope.spawn(move || {
                        COUNTED.set(true);
                        for _ in 0..1_000 {
                            black_box(own.with_value(&TEXT, "x"));
                            black_box(root.clone());
                        }
                        drop(own);
                        COUNTED.set(false);
                    })
                }));
            });
            root
        };
        (0..10).map(round).for_each(drop);
        let before = live();
        let all: Vec<_> = (0..scaled(100)).map(round).collect();
        drop(all);
        assert_within(STOCK, before);
    });
}

#[test]
fn values_set_shadowed_and_merged_in_a_loop_leave_nothing() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        let other = Context::background().with_value(&TEXT, "x");
        let before = live();
        let mut ctx = root.clone();
        for round in 0..scaled(1_000_000) as u64 {
            ctx = ctx.with_value(&NUMBER, round);
            if round % 8 == 0 {
                let (merged, guard) = Context::merge([&ctx, &other]);
                drop(guard.disarm());
                ctx = merged.without_cancel();
            }
        }
        assert_within(SLACK, before);
        drop(ctx);
        assert_within(STOCK, before);
    });
}

#[test]
#[cfg_attr(ripcord_no_pool, ignore = "there is no pool")]
fn contexts_made_of_a_filled_pool_allocate_nothing_and_a_trimmed_one_is_empty() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        drop(root.with_timeout(HOUR));
        Pool::trim();
        assert_eq!(Pool::stats().bytes, 0);
        let before = live();
        let filled = Pool::fill(1_000);
        assert_eq!((filled.contexts, filled.timed), (1_000, 1_000));
        assert_eq!(filled.bytes, 1_000 * (128 + 192));
        assert_eq!(live() - before, filled.bytes.cast_signed());
        assert_eq!(Pool::fill(10), filled, "there is more than that");

        let mut kept = Vec::with_capacity(2_000);
        let made = allocations(|| {
            kept.extend((0..1_000).map(|_| root.with_cancel()));
            kept.extend((0..1_000).map(|_| root.with_timeout(HOUR)));
        });
        assert_eq!(made, 0);
        let used = Pool::stats();
        assert_eq!((used.contexts, used.timed, used.bytes), (0, 0, 0));
        assert_eq!(used.allocated_bytes, filled.allocated_bytes);
        drop(kept);
        assert_eq!(Pool::stats().contexts, 1_000);
        assert!(Pool::trim() >= 1_000 * 128);
        assert_eq!(Pool::stats().bytes, 0);
        assert_eq!(Pool::trim(), 0);
    });
}

#[test]
#[cfg_attr(ripcord_no_pool, ignore = "there is no pool")]
fn a_pool_asked_for_more_than_it_has_room_for_has_what_it_has_room_for() {
    counted(|| {
        Pool::trim();
        let before = live();
        let filled = Pool::fill(usize::MAX);
        assert_eq!((filled.contexts, filled.timed), (4_096, 4_096));
        assert_eq!(Pool::fill(usize::MAX), filled);
        assert_eq!(Pool::trim(), filled.bytes);
        assert_eq!(live(), before);
        assert_eq!(Pool::fill(0).bytes, 0);
    });
}

#[test]
#[cfg_attr(ripcord_no_pool, ignore = "there is no pool")]
fn pools_filled_and_trimmed_by_threads_that_make_contexts_lose_and_invent_nothing() {
    counted(|| {
        Pool::trim();
        let before = Pool::stats().allocated_bytes;
        thread::scope(|scope| {
            let running = [0, 1, 2].map(|thread| {
                scope.spawn(move || {
                    for round in 0..scaled(2_000) {
                        let kept: Vec<_> = (0..round % 200)
                            .map(|_| Context::background().with_cancel())
                            .collect();
                        match thread {
                            0 => drop(Pool::fill(300)),
                            1 => assert!(Pool::trim().is_multiple_of(64)),
                            _ => {}
                        }
                        drop(kept);
                    }
                })
            });
            join(running);
        });
        Pool::trim();
        let after = Pool::stats();
        assert_eq!((after.bytes, after.allocated_bytes), (0, before));
    });
}
