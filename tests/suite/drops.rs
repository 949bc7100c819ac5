//! What a context was given goes when the last who could ask for it goes: each cause is dropped, once.

use crate::common::{Drops, Reason, Waiter, in_time, run_all, scaled};
use ripcord::{CancelGuard, Cause, Context};
use std::sync::Mutex;

#[test]
fn a_cause_that_loses_is_dropped_before_cancel_returns() {
    let drops = Drops::default();
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    for lost in 1..=3 {
        guard.cancel_with(drops.error());
        assert_eq!(drops.count(), lost);
    }
    let (_child, child_guard) = ctx.with_cancel();
    child_guard.cancel_with(drops.error());
    assert_eq!(drops.count(), 4, "a child born done needs none");
}

#[test]
fn a_cause_that_wins_is_dropped_once_with_the_last_handle_of_whatever_kind() {
    type Last = fn(Context, CancelGuard, Drops);
    let lasts: [Last; 5] = [
        |ctx, guard, drops| {
            drop(guard);
            assert_eq!(drops.count(), 0);
            drop(ctx);
        },
        |ctx, guard, drops| {
            drop(ctx);
            assert_eq!(drops.count(), 0);
            drop(guard);
        },
        |ctx, guard, drops| {
            let handle = guard.disarm();
            drop(ctx);
            assert_eq!(drops.count(), 0);
            drop(handle);
        },
        |ctx, guard, drops| {
            let clone = ctx.clone();
            drop((ctx, guard));
            assert_eq!(drops.count(), 0);
            drop(clone);
        },
        |ctx, guard, drops| {
            let cause = ctx.cause();
            drop((ctx, guard));
            assert_eq!(drops.count(), 0, "a `Cause` keeps what it shares");
            drop(cause);
        },
    ];
    for last in lasts {
        let drops = Drops::default();
        let (ctx, guard) = Context::background().with_cancel();
        guard.cancel_with(drops.error());
        last(ctx, guard, drops.clone());
        assert_eq!(drops.count(), 1);
    }
}

#[test]
fn a_cause_is_kept_for_every_descendant_that_inherited_it() {
    let drops = Drops::default();
    let (root, guard) = Context::background().with_cancel();
    let (child, child_guard) = root.with_cancel();
    let (grandchild, grandchild_guard) = child.with_cancel();
    let (other, _other_guard) = Context::background().with_cancel();
    let (merged, merged_guard) = Context::merge([&other, &grandchild]);
    guard.cancel_with(drops.error());
    drop((
        root,
        guard,
        child,
        child_guard,
        grandchild,
        grandchild_guard,
    ));
    assert_eq!(drops.count(), 0);
    assert!(merged.cause().is_some());
    drop((merged, merged_guard));
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_cause_is_kept_for_a_context_born_done() {
    let drops = Drops::default();
    let (parent, guard) = Context::background().with_cancel();
    guard.cancel_with(drops.error());
    let (child, child_guard) = parent.with_cancel();
    let (merged, merged_guard) = Context::merge([&parent]);
    drop((parent, guard, child_guard, merged_guard));
    drop(child);
    assert_eq!(drops.count(), 0);
    drop(merged);
    assert_eq!(drops.count(), 1);
}

#[test]
fn clones_of_a_cause_share_what_they_were_made_from() {
    let drops = Drops::default();
    let cause = Cause::from(drops.error());
    let trees: Vec<_> = (0..10)
        .map(|_| {
            let (ctx, guard) = Context::background().with_cancel();
            guard.cancel_with(cause.clone());
            (ctx, guard)
        })
        .collect();
    drop(cause);
    assert_eq!(drops.count(), 0);
    drop(trees);
    assert_eq!(drops.count(), 1);
}

#[test]
fn of_the_causes_of_racing_cancels_one_wins_and_the_others_are_dropped() {
    const THREADS: usize = 4;
    for _ in 0..scaled(300) {
        in_time(|| {
            let drops = Drops::default();
            let (parent, parent_guard) = Context::background().with_cancel();
            let (ctx, guard) = parent.with_cancel();
            run_all(THREADS, |thread| match thread {
                0 => parent_guard.cancel_with(drops.error()),
                _ => guard.cancel_with(drops.error()),
            });
            let kept = THREADS - drops.count();
            assert!((1..=2).contains(&kept), "the parent's and at most its own");
            drop((ctx, guard));
            assert_eq!(drops.count(), THREADS - 1, "the parent's is left");
            drop((parent, parent_guard));
            assert_eq!(drops.count(), THREADS);
        });
    }
}

#[test]
fn every_cause_given_to_a_tree_is_dropped_once_when_the_tree_goes() {
    let drops = Drops::default();
    let (root, guard) = Context::background().with_cancel();
    let mut family = vec![(root, guard)];
    for index in 1..1_000 {
        let near = &family[index / 2].0;
        let far = &family[index / 3].0;
        let next = match index % 3 {
            0 => Context::merge([near, far]),
            _ => near.with_cancel(),
        };
        family.push(next);
    }
    for (_, guard) in family.iter().rev() {
        guard.cancel_with(drops.error());
    }
    assert_eq!(drops.count(), 0, "leaf first, each keeps its own");
    for (_, guard) in &family {
        guard.cancel_with(drops.error());
    }
    assert_eq!(drops.count(), 1_000, "each has one already");
    drop(family);
    assert_eq!(drops.count(), 2_000);
}

#[test]
fn a_wait_keeps_the_cause_until_it_is_dropped_or_ready() {
    for poll_first in [true, false] {
        let drops = Drops::default();
        let (ctx, guard) = Context::background().with_cancel();
        let mut waiter = Waiter::on(&ctx);
        guard.cancel_with(drops.error());
        drop((ctx, guard));
        if poll_first {
            assert!(waiter.poll().is_ready());
        }
        drop(waiter);
        assert_eq!(drops.count(), 1);
    }
}

#[test]
fn the_last_handles_dropped_by_many_threads_at_once_drop_the_cause_once() {
    for _ in 0..scaled(300) {
        in_time(|| {
            let drops = Drops::default();
            let (ctx, guard) = Context::background().with_cancel();
            let (child, child_guard) = ctx.with_cancel();
            guard.cancel_with(drops.error());
            let slots = [(); 4].map(|()| {
                let handles = (guard.handle(), child.clone(), ctx.done(), ctx.clone());
                Mutex::new(Some(handles))
            });
            drop((ctx, guard, child, child_guard));
            run_all(slots.len(), |thread| {
                drop(slots[thread].lock().expect("nobody panics").take());
            });
            assert_eq!(drops.count(), 1);
        });
    }
}

#[test]
fn a_reason_without_a_drop_is_nobodys_concern() {
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel_with(Reason(1));
    drop(guard);
    assert_eq!(
        ctx.cause().map(|cause| cause.to_string()).as_deref(),
        Some("reason 1")
    );
}
