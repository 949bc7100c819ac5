//! What the rows time.

use super::common::{Ripcord, Subject, noop};
use super::report::{middle, sized};
use criterion::Bencher;
use ripcord::{Context, Key};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Siblings that live beside the child.
pub(super) const CROWD: usize = 10_000;

/// Contexts between the oldest and the newest of a queue.
pub(super) const IN_FLIGHT: usize = 64;

pub(super) const LEVELS: usize = 1_000;

pub(super) fn look<S: Subject>(live: &S, n: u64) {
    for _ in 0..n {
        black_box(black_box(live).is_done());
    }
}

/// The order of `let (ctx, guard) = …` at the end of its scope.
pub(super) fn guard_first(root: &Ripcord, n: u64) {
    for _ in 0..n {
        let (ctx, guard) = root.child();
        black_box((&ctx, &guard));
        drop(guard);
        drop(ctx);
    }
}

pub(super) fn cancelled_child<S: Subject>(root: &S, n: u64) {
    for _ in 0..n {
        black_box(&root.child()).cancel();
    }
}

pub(super) fn queue<S: Subject>(root: &S, n: u64) {
    let mut queue: VecDeque<S> = (0..IN_FLIGHT).map(|_| root.child()).collect();
    for _ in 0..n {
        drop(queue.pop_front());
        queue.push_back(root.child());
    }
}

pub(super) fn child_and_wait<S: Subject>(root: &S, n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        assert!(black_box(&root.child()).wait_once(&mut cx).is_pending());
    }
}

pub(super) static EIGHT: [Key<u64>; 8] = [const { Key::new("key") }; 8];

pub(super) fn eight_values() -> Ripcord {
    let keys = EIGHT.iter().zip(0..);
    let ctx = keys.fold(Context::background(), |ctx, (key, value)| {
        ctx.with_value(key, value)
    });
    ctx.with_cancel()
}

/// As large as a node, and apart from the others as a node is.
#[repr(align(128))]
struct Cell {
    state: AtomicU64,
    next: Option<Box<Cell>>,
}

/// The least that a cancel can do: one read-modify-write on each of as many boxed nodes, found one by the other in the order
/// in which they were allocated.
pub(super) fn one_pass(cells: usize) -> Duration {
    let mut first = None;
    let mut last = &mut first;
    for _ in 0..cells {
        let cell = Cell {
            state: AtomicU64::new(0),
            next: None,
        };
        last = &mut last.insert(Box::new(cell)).next;
    }
    let start = Instant::now();
    let mut at = &first;
    while let Some(cell) = at {
        cell.state.fetch_or(1, Ordering::AcqRel);
        at = &cell.next;
    }
    let took = start.elapsed();
    // Not by recursion.
    while let Some(mut cell) = first {
        assert_eq!(*cell.state.get_mut(), 1);
        first = cell.next.take();
    }
    took
}

/// Drops the 1,000 oldest of a million, each timed by itself, and keeps what `pick` takes of the sorted times, in
/// nanoseconds. The oldest lie deepest in the list, and none of it has been walked yet.
pub(super) fn first_drops<S: Subject>(pick: fn(&[Duration]) -> Duration) -> f64 {
    let once = || {
        let root = S::root();
        let mut kept: Vec<S> = (0..million()).map(|_| root.child()).collect();
        let time_drop = |child| {
            let start = Instant::now();
            drop(child);
            start.elapsed()
        };
        let mut times: Vec<Duration> = kept.drain(..1_000).map(time_drop).collect();
        times.sort_unstable();
        pick(&times).as_nanos() as f64
    };
    middle((0..sized(5, 1)).map(|_| once()))
}

pub(super) fn million() -> usize {
    sized(1_000_000, 2_000)
}

pub(super) fn merge_two() -> impl FnMut(&mut Bencher<'_>) {
    let (one, other) = (Ripcord::root(), Ripcord::root());
    move |b| b.iter(|| Context::merge([&one.0, &other.0]))
}

pub(super) fn load() -> impl FnMut(&mut Bencher<'_>) {
    let word = AtomicU64::new(0);
    move |b| {
        b.iter_custom(|n| {
            let start = Instant::now();
            for _ in 0..n {
                black_box(black_box(&word).load(Ordering::Acquire));
            }
            start.elapsed()
        });
    }
}

pub(super) fn locked_add() -> impl FnMut(&mut Bencher<'_>) {
    let word = AtomicU64::new(0);
    move |b| b.iter(|| black_box(&word).fetch_add(1, Ordering::Relaxed))
}

/// So many locked instructions on lines of this thread.
pub(super) fn locked_pass(instructions: usize) {
    let words: [AtomicU64; 9] = Default::default();
    for word in words.iter().cycle().take(instructions) {
        black_box(word.fetch_add(1, Ordering::AcqRel));
    }
}

pub(super) const BATCH: usize = 100;

pub(super) fn batch(root: &Ripcord, n: u64) {
    for _ in 0..n {
        black_box(&root.0.batch(BATCH));
    }
}
