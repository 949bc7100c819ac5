//! The tree of contexts beside tokio-util's `CancellationToken` and, where it has the case, `stop-token`.
//!
//! `cargo bench --bench tree`; with `RIPCORD_PERF=write` the figures go into PERF.md.

#[allow(dead_code, reason = "each bench uses a part")]
mod common;
#[allow(dead_code, unused_imports, reason = "each bench uses a part")]
mod report;

use common::{Ripcord, Subject, Token, check_tree, each, noop, shared, timed_by_itself};
use criterion::Bencher;
use report::{Figures, Target, middle, sized};
use ripcord::{Context, Key};
use std::collections::VecDeque;
use std::hint::black_box;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use stop_token::{StopSource, StopToken};

const TOKIO: &str = "tokio-util";
const STOP: &str = "stop-token";
const FETCH_ADD: &str = "`fetch_add`";

/// Siblings that live beside the child.
const CROWD: usize = 10_000;

/// Contexts between the oldest and the newest of a queue.
const IN_FLIGHT: usize = 64;

const LEVELS: usize = 1_000;

fn check_ripcord() {
    let root = Ripcord::root();
    let child = root.child();
    assert_eq!(root.0.child_count(), 1);
    drop(child);
    assert_eq!(root.0.child_count(), 0);
    guard_first(&root, 1);
    assert_eq!(root.0.child_count(), 0);
    assert_eq!(
        eight_values().0.with_cancel().0.value(&EIGHT[7]),
        Some(&7_u64)
    );

    let other = Ripcord::root();
    let merged = Context::merge([&root.0, &other.0]);
    assert!(!merged.0.is_done());
    other.cancel();
    assert!(merged.0.is_done() && !root.is_done());
}

fn look<S: Subject>(live: &S, n: u64) {
    for _ in 0..n {
        black_box(black_box(live).is_done());
    }
}

/// Seen by reference: moved through `black_box`, a handle is copied in one piece just after it was written in two, and the
/// processor waits for that.
fn child<S: Subject>(root: &S, n: u64) {
    for _ in 0..n {
        black_box(&root.child());
    }
}

/// The order of `let (ctx, guard) = …` at the end of its scope.
fn guard_first(root: &Ripcord, n: u64) {
    for _ in 0..n {
        let (ctx, guard) = root.child();
        black_box((&ctx, &guard));
        drop(guard);
        drop(ctx);
    }
}

fn cancelled_child<S: Subject>(root: &S, n: u64) {
    for _ in 0..n {
        black_box(&root.child()).cancel();
    }
}

/// A root and children that outlive the measurement.
type Crowded<S> = (S, Vec<S>);

fn crowded<S: Subject>() -> Crowded<S> {
    let root = S::root();
    let crowd = (0..CROWD).map(|_| root.child()).collect();
    (root, crowd)
}

fn queue<S: Subject>(root: &S, n: u64) {
    let mut queue: VecDeque<S> = (0..IN_FLIGHT).map(|_| root.child()).collect();
    for _ in 0..n {
        drop(queue.pop_front());
        queue.push_back(root.child());
    }
}

fn wait<S: Subject>(root: &S, n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        assert!(black_box(root).wait_once(&mut cx).is_pending());
    }
}

fn child_and_wait<S: Subject>(root: &S, n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        assert!(black_box(&root.child()).wait_once(&mut cx).is_pending());
    }
}

/// A token of theirs is a future itself, and is cloned for a wait.
fn wait_stop(source: &(StopSource, StopToken), n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        let token = pin!(black_box(&source.1).clone());
        assert!(token.poll(&mut cx).is_pending());
    }
}

fn stop_source() -> (StopSource, StopToken) {
    let source = StopSource::new();
    let token = source.token();
    (source, token)
}

static EIGHT: [Key<u64>; 8] = [const { Key::new("key") }; 8];

fn eight_values() -> Ripcord {
    let keys = EIGHT.iter().zip(0..);
    let ctx = keys.fold(Context::background(), |ctx, (key, value)| {
        ctx.with_value(key, value)
    });
    ctx.with_cancel()
}

/// Only `cancel` is timed; every child's handles are alive while it runs.
fn cancel_fan<S: Subject>(children: usize) -> Duration {
    let root = S::root();
    let kept: Vec<S> = (0..children).map(|_| root.child()).collect();
    let start = Instant::now();
    root.cancel();
    let took = start.elapsed();
    assert!(kept.iter().all(S::is_done));
    took
}

/// As large as a node, and apart from the others as a node is.
#[repr(align(128))]
struct Cell {
    state: AtomicU64,
    next: Option<Box<Cell>>,
}

/// The least that a cancel can do: one read-modify-write on each of as many boxed nodes, found one by the other in the order
/// in which they were allocated.
fn one_pass(cells: usize) -> Duration {
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

fn chain<S: Subject>() {
    let root = S::root();
    let mut levels = Vec::with_capacity(LEVELS);
    levels.push(root.child());
    for above in 0..LEVELS - 1 {
        let level = S::child(&levels[above]);
        levels.push(level);
    }
    root.cancel();
    assert!(levels[LEVELS - 1].is_done());
}

/// Drops the 1,000 oldest of a million, each timed by itself, and keeps what `pick` takes of the sorted times, in
/// nanoseconds. The oldest lie deepest in the list, and none of it has been walked yet.
fn first_drops<S: Subject>(pick: fn(&[Duration]) -> Duration) -> f64 {
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

fn million() -> usize {
    sized(1_000_000, 2_000)
}

fn merge_two() -> impl FnMut(&mut Bencher<'_>) {
    let (one, other) = (Ripcord::root(), Ripcord::root());
    move |b| b.iter(|| Context::merge([&one.0, &other.0]))
}

fn load() -> impl FnMut(&mut Bencher<'_>) {
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

fn locked_add() -> impl FnMut(&mut Bencher<'_>) {
    let word = AtomicU64::new(0);
    move |b| b.iter(|| black_box(&word).fetch_add(1, Ordering::Relaxed))
}

/// On a word of all threads.
fn shared_add(word: &AtomicU64, n: u64) {
    for _ in 0..n {
        black_box(word.fetch_add(1, Ordering::Relaxed));
    }
}

fn main() -> ExitCode {
    check_tree::<Ripcord>();
    check_tree::<Token>();
    check_ripcord();
    let mut figures = Figures::new("tree", &[TOKIO, STOP]);
    scale(&mut figures);
    churns(&mut figures);
    waits(&mut figures);
    ends(&mut figures);
    figures.finish()
}

fn scale(figures: &mut Figures) {
    figures
        .row("fetch-add", "`fetch_add`, uncontended")
        .scale(locked_add);
    figures
        .row("malloc-128", "malloc and free of 128 bytes")
        .scale(each(Box::<[u8; 128]>::new_uninit));
    figures
        .row("clock", "`Instant::now`")
        .scale(each(Instant::now));
}

fn churns(figures: &mut Figures) {
    for (threads, id, label, most) in [
        (
            1,
            "is-done-1-thread",
            "`is_done` of a live context, 1 thread",
            0.8,
        ),
        (
            2,
            "is-done-2-threads",
            "`is_done` of a live context, 2 threads, each",
            0.9,
        ),
    ] {
        figures
            .row(id, label)
            .ours(shared(threads, Ripcord::root, look))
            .peer(TOKIO, shared(threads, Token::root, look))
            .go()
            .floor("a load", load)
            .target(Target::AtMost(most));
    }
    for (threads, id, label, most) in [
        (
            1,
            "child-1-thread",
            "child of one root, made and dropped, 1 thread",
            20.0,
        ),
        (
            2,
            "child-2-threads",
            "child of one root, made and dropped, 2 threads, each",
            22.0,
        ),
    ] {
        figures
            .row(id, label)
            .ours(shared(threads, Ripcord::root, child))
            .peer(TOKIO, shared(threads, Token::root, child))
            .go()
            .floor(FETCH_ADD, shared(threads, AtomicU64::default, shared_add))
            .target(Target::AtMost(most));
    }
    for (threads, id, label, plain) in [
        (
            1,
            "crowded-1-thread",
            "child beside 10,000 live siblings, 1 thread",
            "child-1-thread",
        ),
        (
            2,
            "crowded-2-threads",
            "child beside 10,000 live siblings, 2 threads, each",
            "child-2-threads",
        ),
    ] {
        figures
            .row(id, label)
            .ours(shared(threads, crowded::<Ripcord>, |c, n| child(&c.0, n)))
            .peer(
                TOKIO,
                shared(threads, crowded::<Token>, |c, n| child(&c.0, n)),
            )
            .go()
            .target(Target::TimesRow(1.2, plain));
    }
    for (threads, id, label, plain) in [
        (
            1,
            "cancelled-1-thread",
            "child made, cancelled and dropped, 1 thread",
            "child-1-thread",
        ),
        (
            2,
            "cancelled-2-threads",
            "child made, cancelled and dropped, 2 threads, each",
            "child-2-threads",
        ),
    ] {
        figures
            .row(id, label)
            .ours(shared(threads, Ripcord::root, cancelled_child))
            .peer(TOKIO, shared(threads, Token::root, cancelled_child))
            .target(Target::TimesRow(1.2, plain));
    }
    for (threads, id, label, plain) in [
        (
            1,
            "values-1-thread",
            "child of a root that carries 8 values, 1 thread",
            "child-1-thread",
        ),
        (
            2,
            "values-2-threads",
            "child of a root that carries 8 values, 2 threads, each",
            "child-1-thread",
        ),
    ] {
        figures
            .row(id, label)
            .ours(shared(threads, eight_values, child))
            .go()
            .target(Target::TimesRow(1.2, plain));
    }
    for (threads, id, label, most) in [
        (
            1,
            "queue-1-thread",
            "first in, first out, 64 in flight, 1 thread",
            28.0,
        ),
        (
            2,
            "queue-2-threads",
            "first in, first out, 64 in flight, 2 threads, each",
            30.0,
        ),
    ] {
        figures
            .row(id, label)
            .ours(shared(threads, Ripcord::root, queue))
            .peer(TOKIO, shared(threads, Token::root, queue))
            .go()
            .target(Target::AtMost(most));
    }
    figures
        .row("guard-first", "child, the guard dropped before the context")
        .ours(shared(1, Ripcord::root, guard_first));
    figures
        .row("merge-2", "`merge` of two, made and dropped")
        .ours(merge_two);
}

fn waits(figures: &mut Figures) {
    for (threads, id, label) in [
        (
            1,
            "wait-1-thread",
            "first wait on a hot root: made, polled once, dropped, 1 thread",
        ),
        (
            2,
            "wait-2-threads",
            "first wait on a hot root, 2 threads, each",
        ),
    ] {
        figures
            .row(id, label)
            .ours(shared(threads, Ripcord::root, wait))
            .peer(TOKIO, shared(threads, Token::root, wait))
            .peer(STOP, shared(threads, stop_source, wait_stop))
            .target(Target::TimesRow(1.2, "child-1-thread"));
    }
    for (threads, id, label) in [
        (
            1,
            "child-wait-1-thread",
            "child of a hot root and a first wait on it, 1 thread",
        ),
        (
            2,
            "child-wait-2-threads",
            "child of a hot root and a first wait on it, 2 threads, each",
        ),
    ] {
        figures
            .row(id, label)
            .ours(shared(threads, Ripcord::root, child_and_wait))
            .peer(TOKIO, shared(threads, Token::root, child_and_wait))
            .go();
    }
}

fn ends(figures: &mut Figures) {
    figures
        .row("cancel-1000", "`cancel` of 1,000 children, a child")
        .ours(timed_by_itself(|| cancel_fan::<Ripcord>(1_000)))
        .peer(TOKIO, timed_by_itself(|| cancel_fan::<Token>(1_000)))
        .go()
        .floor("one pass", timed_by_itself(|| one_pass(1_000)))
        .per(1_000)
        .target(Target::AtMostOrTimesFloor(6.0, 1.3));
    figures
        .row("cancel-1000000", "`cancel` of 1,000,000 children, a child")
        .ours(timed_by_itself(|| cancel_fan::<Ripcord>(million())))
        .peer(TOKIO, timed_by_itself(|| cancel_fan::<Token>(million())))
        .go()
        .floor("one pass", timed_by_itself(|| one_pass(million())))
        .per(million())
        .slow()
        .target(Target::AtMostOrTimesFloor(8.0, 1.3));
    figures
        .row(
            "chain-1000",
            "chain of 1,000 made, cancelled at its root and dropped, a level",
        )
        .ours(each(chain::<Ripcord>))
        .peer(TOKIO, each(chain::<Token>))
        .go()
        .per(LEVELS)
        .target(Target::AtMost(40.0));
    figures
        .row(
            "first-drops-max",
            "slowest of the first 1,000 drops after 1,000,000 pushes",
        )
        .ours_found(|| first_drops::<Ripcord>(|sorted| sorted[sorted.len() - 1]))
        .peer_found(TOKIO, || {
            first_drops::<Token>(|sorted| sorted[sorted.len() - 1])
        })
        .target(Target::AtMost(100_000.0));
    figures
        .row(
            "first-drops-median",
            "median of the same drops, with one reading of the clock",
        )
        .ours_found(|| first_drops::<Ripcord>(|sorted| sorted[sorted.len() / 2]))
        .peer_found(TOKIO, || {
            first_drops::<Token>(|sorted| sorted[sorted.len() / 2])
        });
}
