//! The tree of contexts beside tokio-util's `CancellationToken` and, where it has the case, `stop-token`.
//!
//! `cargo bench --bench tree`; with `RIPCORD_PERF=write` the figures go into PERF.md.

#[path = "../common/mod.rs"]
mod common;
#[path = "../report/mod.rs"]
mod report;
mod work;

use common::tree::{cancel_fan, chain, child, crowded, stop_source, wait, wait_stop};
use common::{Ripcord, Subject, Token, check_tree, each, locked, shared, timed_by_itself};
use report::{Figures, Target};
use ripcord::Context;
use std::process::ExitCode;
use std::time::Instant;
use work::{
    BATCH, CROWD, EIGHT, LEVELS, batch, cancelled_child, child_and_wait, eight_values, first_drops,
    guard_first, load, locked_add, locked_pass, look, merge_two, million, one_pass, queue,
};

const TOKIO: &str = "tokio-util";
const STOP: &str = "stop-token";

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
    for (threads, most) in [(1, 0.8), (2, 0.9)] {
        figures
            .row_on(threads, "is-done", "`is_done` of a live context")
            .ours(shared(threads, Ripcord::root, look))
            .peer(TOKIO, shared(threads, Token::root, look))
            .go()
            .floor("a load", load)
            .target(Target::AtMost(most));
    }
    for (threads, most) in [(1, 20.0), (2, 22.0)] {
        figures
            .row_on(threads, "child", "child of one root, made and dropped")
            .ours(shared(threads, Ripcord::root, child))
            .peer(TOKIO, shared(threads, Token::root, child))
            .go()
            .floor("3 locked instructions", locked::<3>(threads))
            .target(Target::AtMost(most));
    }
    for (threads, plain) in [(1, "child-1-thread"), (2, "child-2-threads")] {
        figures
            .row_on(threads, "crowded", "child beside 10,000 live siblings")
            .ours(shared(
                threads,
                || crowded::<Ripcord>(CROWD),
                |c, n| child(&c.0, n),
            ))
            .floor("4 locked instructions", locked::<4>(threads))
            .peer(
                TOKIO,
                shared(threads, || crowded::<Token>(CROWD), |c, n| child(&c.0, n)),
            )
            .go()
            .target(Target::TimesRow(1.2, plain));
    }
    for (threads, plain) in [(1, "child-1-thread"), (2, "child-2-threads")] {
        figures
            .row_on(threads, "cancelled", "child made, cancelled and dropped")
            .ours(shared(threads, Ripcord::root, cancelled_child))
            .floor("4 locked instructions", locked::<4>(threads))
            .peer(TOKIO, shared(threads, Token::root, cancelled_child))
            .target(Target::TimesRow(1.2, plain));
    }
    for (threads, plain) in [(1, "child-1-thread"), (2, "child-1-thread")] {
        figures
            .row_on(threads, "values", "child of a root that carries 8 values")
            .ours(shared(threads, eight_values, child))
            .floor("4 locked instructions", locked::<4>(threads))
            .go()
            .target(Target::TimesRow(1.2, plain));
    }
    for (threads, most) in [(1, 28.0), (2, 30.0)] {
        figures
            .row_on(threads, "queue", "first in, first out, 64 in flight")
            .ours(shared(threads, Ripcord::root, queue))
            .floor("4 locked instructions", locked::<4>(threads))
            .peer(TOKIO, shared(threads, Token::root, queue))
            .go()
            .target(Target::AtMost(most));
    }
    figures
        .row("batch-100", "a batch of 100 made and dropped, a child")
        .ours(shared(1, Ripcord::root, batch))
        .per(BATCH)
        .target(Target::AtMost(8.0));
    figures
        .row("guard-first", "child, the guard dropped before the context")
        .ours(shared(1, Ripcord::root, guard_first));
    figures
        .row("merge-2", "`merge` of two, made and dropped")
        .ours(merge_two);
}

fn waits(figures: &mut Figures) {
    for threads in [1, 2] {
        figures
            .row_on(
                threads,
                "wait",
                "first wait on a hot root: made, polled once, dropped",
            )
            .ours(shared(threads, Ripcord::root, wait))
            .floor("3 locked instructions", locked::<3>(threads))
            .peer(TOKIO, shared(threads, Token::root, wait))
            .peer(STOP, shared(threads, stop_source, wait_stop))
            .target(Target::TimesRow(1.2, "child-1-thread"));
    }
    for threads in [1, 2] {
        figures
            .row_on(
                threads,
                "child-wait",
                "child of a hot root and a first wait on it",
            )
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
        .ours(each(|| chain::<Ripcord>(LEVELS)))
        .floor("9 locked instructions", each(|| locked_pass(9 * LEVELS)))
        .peer(TOKIO, each(|| chain::<Token>(LEVELS)))
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
