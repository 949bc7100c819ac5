//! A merged context ends with the first of its parents, for that parent's reason, and leaves no trace on the others.

use crate::common::{
    Reason, Rng, Waiter, assert_canceled, assert_live, in_time, poll, reason, run_all, scaled,
    when_told,
};
use ripcord::{CancelGuard, Context, Error};
use std::collections::VecDeque;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::thread;

fn roots(count: usize) -> (Vec<Context>, Vec<CancelGuard>) {
    (0..count)
        .map(|_| Context::background().with_cancel())
        .unzip()
}

fn child_counts(parents: &[Context]) -> Vec<usize> {
    parents.iter().map(Context::child_count).collect()
}

#[test]
fn each_parent_alone_ends_it_with_its_cause_and_the_others_stay_live() {
    for ends in 0..4 {
        let (parents, guards) = roots(4);
        let (merged, _guard) = Context::merge(&parents);
        let (child, _child_guard) = merged.with_cancel();
        let mut waiters = [Waiter::on(&merged), Waiter::on(&child)];
        assert_live(&merged);

        guards[ends].cancel_with(Reason(ends as u64));
        for ctx in [&merged, &child] {
            assert_canceled(ctx, Some(Reason(ends as u64)));
        }
        for waiter in &mut waiters {
            assert_eq!(waiter.wakes(), 1);
            assert_eq!(waiter.poll(), Poll::Ready(Error::Canceled));
        }
        for (index, parent) in parents.iter().enumerate() {
            assert_eq!(parent.is_done(), index == ends);
            assert_eq!(parent.child_count(), 0, "its merged child is done");
        }
    }
}

#[test]
fn a_parents_plain_cancel_gives_it_the_plain_cause() {
    for ends in 0..2 {
        let (parents, guards) = roots(2);
        let (merged, _guard) = Context::merge(&parents);
        guards[ends].cancel();
        assert_canceled(&merged, None);
    }
}

#[test]
fn the_second_parent_to_end_changes_nothing() {
    for (first, second) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        let (parents, guards) = roots(3);
        let (merged, guard) = Context::merge(&parents);
        let waiter = Waiter::on(&merged);
        guards[first].cancel_with(Reason(1));
        guards[second].cancel_with(Reason(2));
        guard.cancel_with(Reason(3));
        assert_canceled(&merged, Some(Reason(1)));
        assert_eq!(waiter.wakes(), 1);
    }
}

#[test]
fn an_end_that_comes_to_a_parent_from_above_carries_its_cause() {
    for ends in 0..2 {
        let (parents, guards) = roots(2);
        let below: Vec<_> = parents.iter().map(Context::with_cancel).collect();
        let (merged, _guard) = Context::merge(below.iter().map(|(ctx, _)| ctx));
        guards[ends].cancel_with(Reason(ends as u64));
        assert_canceled(&merged, Some(Reason(ends as u64)));
        assert_live(&below[1 - ends].0);
    }
}

#[test]
fn its_own_guard_ends_it_and_leaves_its_parents_live() {
    let (parents, _guards) = roots(3);
    let (merged, guard) = Context::merge(&parents);
    guard.cancel_with(Reason(9));
    assert_canceled(&merged, Some(Reason(9)));
    parents.iter().for_each(assert_live);
    assert_eq!(child_counts(&parents), [0; 3]);

    let (merged, guard) = Context::merge(&parents);
    drop(guard);
    assert_canceled(&merged, None);
    parents.iter().for_each(assert_live);
}

#[test]
fn every_parent_counts_it_once_however_often_it_is_named() {
    let (parents, guards) = roots(2);
    let [a, b] = [&parents[0], &parents[1]];
    let again = a.clone();
    let merges = [
        Context::merge([a, a]),
        Context::merge([a, b, a, b, &again, b]),
        Context::merge([b, &again, a]),
        Context::merge(iter::repeat_n(a, 1_000)),
    ];
    assert_eq!(child_counts(&parents), [4, 2]);
    let waiter = Waiter::on(&merges[1].0);
    guards[0].cancel_with(Reason(1));
    for (merged, _) in &merges {
        assert_canceled(merged, Some(Reason(1)));
    }
    assert_eq!(waiter.wakes(), 1);
    assert_eq!(child_counts(&parents), [0, 0]);
}

#[test]
fn with_one_parent_it_ends_with_that_and_alone() {
    let (parent, guard) = Context::background().with_cancel();
    let (alone, alone_guard) = Context::merge([&parent]);
    let (merged, _merged_guard) = Context::merge([&parent]);
    assert_eq!(parent.child_count(), 2);
    alone_guard.cancel();
    assert_canceled(&alone, None);
    assert_live(&merged);
    guard.cancel_with(Reason(1));
    assert_canceled(&merged, Some(Reason(1)));
}

#[test]
fn without_a_parent_that_can_be_done_it_is_a_cancellable_child_of_background() {
    let (done, done_guard) = Context::background().with_cancel();
    done_guard.cancel();
    let never = [
        Context::background(),
        Context::todo(),
        done.without_cancel(),
        Context::default(),
    ];
    for parents in [&never[..0], &never[..1], &never[1..2], &never] {
        let (merged, guard) = Context::merge(parents);
        assert_live(&merged);
        assert_eq!(merged.to_string(), "context.Background.WithCancel");
        let (child, _child_guard) = merged.with_cancel();
        guard.cancel_with(Reason(1));
        assert_canceled(&merged, Some(Reason(1)));
        assert_canceled(&child, Some(Reason(1)));
    }
}

#[test]
fn parents_that_can_never_be_done_do_not_matter() {
    let background = Context::background();
    let todo = Context::todo();
    for ends in 0..2 {
        let (parents, guards) = roots(2);
        let named = [&background, &parents[0], &todo, &parents[1], &background];
        let (merged, _guard) = Context::merge(named);
        assert_live(&merged);
        assert_eq!(child_counts(&parents), [1, 1]);
        guards[ends].cancel_with(Reason(1));
        assert_canceled(&merged, Some(Reason(1)));
    }
}

#[test]
fn with_a_done_parent_it_is_born_done_with_that_parents_cause() {
    for done in 0..3 {
        let (parents, guards) = roots(3);
        guards[done].cancel_with(Reason(done as u64));
        let (merged, guard) = Context::merge(&parents);
        let mut waiter = Waiter::on(&merged);
        assert_canceled(&merged, Some(Reason(done as u64)));
        assert_eq!(waiter.poll(), Poll::Ready(Error::Canceled));
        assert_eq!(waiter.wakes(), 0);
        assert_eq!(child_counts(&parents), [0; 3]);

        guard.cancel_with(Reason(9));
        guards.iter().for_each(CancelGuard::cancel);
        assert_canceled(&merged, Some(Reason(done as u64)));
    }
}

#[test]
fn with_several_done_parents_it_takes_error_and_cause_of_one_of_them() {
    let (parents, guards) = roots(4);
    guards[1].cancel_with(Reason(1));
    guards[3].cancel_with(Reason(3));
    let (merged, _guard) = Context::merge(&parents);
    let seen = reason(&merged);
    assert!([Some(Reason(1)), Some(Reason(3))].contains(&seen));
    guards[0].cancel_with(Reason(0));
    assert_canceled(&merged, seen);
}

#[test]
fn a_merge_of_merged_contexts_ends_with_any_of_the_first_parents() {
    for ends in 0..4 {
        let (parents, guards) = roots(4);
        let (left, _left_guard) = Context::merge(&parents[..2]);
        let (right, _right_guard) = Context::merge(&parents[2..]);
        let (top, _top_guard) = Context::merge([&left, &right]);
        let waiter = Waiter::on(&top);
        guards[ends].cancel_with(Reason(ends as u64));
        assert_canceled(&top, Some(Reason(ends as u64)));
        assert_eq!(left.is_done(), ends < 2);
        assert_eq!(right.is_done(), ends >= 2);
        assert_eq!(waiter.wakes(), 1);
    }
}

#[test]
fn a_diamond_is_ended_once_by_its_common_root() {
    let (root, guard) = Context::background().with_cancel();
    let (left, _left_guard) = root.with_cancel();
    let (right, _right_guard) = root.with_cancel();
    let (bottom, _bottom_guard) = Context::merge([&left, &right, &root]);
    let (below, _below_guard) = bottom.with_cancel();
    assert_eq!(
        root.child_count(),
        3,
        "two children and the link of a merge"
    );
    let mut waiters = [Waiter::on(&bottom), Waiter::on(&below)];
    guard.cancel_with(Reason(1));
    for ctx in [&root, &left, &right, &bottom, &below] {
        assert_canceled(ctx, Some(Reason(1)));
    }
    for waiter in &mut waiters {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.poll(), Poll::Ready(Error::Canceled));
    }
}

#[test]
fn a_merge_of_a_context_with_its_own_ancestor_or_descendant_ends_with_either() {
    for (ends, order) in [(0, [0, 1]), (0, [1, 0]), (1, [0, 1]), (1, [1, 0])] {
        let (top, top_guard) = Context::background().with_cancel();
        let (below, below_guard) = top.with_cancel();
        let family = [&top, &below];
        let (merged, _guard) = Context::merge(order.map(|index| family[index]));
        assert_eq!((top.child_count(), below.child_count()), (2, 1));
        [&top_guard, &below_guard][ends].cancel_with(Reason(1));
        assert_canceled(&merged, Some(Reason(1)));
        assert_eq!(top.is_done(), ends == 0);
    }
}

#[test]
fn a_context_derived_from_a_merged_one_ends_with_every_parent() {
    for ends in 0..3 {
        let (parents, guards) = roots(3);
        let (merged, merged_guard) = Context::merge(&parents);
        let (child, child_guard) = merged.with_cancel();
        let (grandchild, _grandchild_guard) = child.with_cancel();
        drop((merged, merged_guard.disarm(), child, child_guard.disarm()));
        assert_live(&grandchild);
        assert_eq!(child_counts(&parents), [1; 3]);
        guards[ends].cancel_with(Reason(ends as u64));
        assert_canceled(&grandchild, Some(Reason(ends as u64)));
    }
}

#[test]
fn a_parent_without_handles_still_carries_the_end_that_comes_from_above() {
    for ends in 0..2 {
        let (grandparents, guards) = roots(2);
        let parents: Vec<_> = grandparents
            .iter()
            .map(|ctx| {
                let (ctx, guard) = ctx.with_cancel();
                drop(guard.disarm());
                ctx
            })
            .collect();
        let (merged, guard) = Context::merge(&parents);
        drop(parents);
        assert_eq!(child_counts(&grandparents), [1, 1], "the merge keeps them");
        assert_live(&merged);
        guards[ends].cancel_with(Reason(1));
        assert_canceled(&merged, Some(Reason(1)));

        drop((merged, guard));
        assert_eq!(child_counts(&grandparents), [0, 0]);
    }
}

#[test]
fn a_merged_context_dropped_takes_its_links_off_every_parent() {
    let (parents, guards) = roots(5);
    let (merged, guard) = Context::merge(&parents);
    assert_eq!(child_counts(&parents), [1; 5]);
    let handle = guard.disarm();
    drop(merged);
    assert_eq!(child_counts(&parents), [1; 5], "a handle is left");
    drop(handle);
    assert_eq!(child_counts(&parents), [0; 5]);
    parents.iter().for_each(assert_live);
    guards[3].cancel();
    assert_live(&parents[0]);
}

#[test]
fn merged_contexts_made_and_dropped_in_a_loop_leave_nothing_on_their_parents() {
    let (parents, _guards) = roots(3);
    let mut rng = Rng::new(1);
    let mut kept = VecDeque::new();
    for _ in 0..scaled(10_000) {
        kept.push_back(Context::merge(&parents));
        if kept.len() > 16 {
            let index = rng.below(kept.len());
            kept.swap_remove_back(index);
        }
    }
    assert_eq!(child_counts(&parents), [kept.len(); 3]);
    kept.clear();
    assert_eq!(child_counts(&parents), [0; 3]);
    parents.iter().for_each(assert_live);
}

#[test]
fn a_done_merged_context_may_outlive_all_its_parents() {
    let (parents, guards) = roots(3);
    let (merged, guard) = Context::merge(&parents);
    guards[2].cancel_with(Reason(2));
    drop((parents, guards));
    assert_canceled(&merged, Some(Reason(2)));
    let (child, _child_guard) = merged.with_cancel();
    drop((merged, guard));
    assert_canceled(&child, Some(Reason(2)));
}

#[test]
fn any_iterator_of_references_will_do() {
    let (parents, guards) = roots(3);
    let clones: VecDeque<Context> = parents.iter().cloned().collect();
    let maybe = Some(parents[0].clone());
    let merges = [
        Context::merge(&parents),
        Context::merge(parents.iter().rev()),
        Context::merge(&clones),
        Context::merge(clones.iter().filter(|ctx| !ctx.is_done())),
        Context::merge(parents[..1].iter().chain(&clones)),
        Context::merge(&maybe),
        Context::merge(guards.iter().zip(&parents).map(|(_, ctx)| ctx)),
        Context::merge([&parents[0].clone()]),
    ];
    drop((clones, maybe));
    guards[0].cancel_with(Reason(1));
    for (merged, _) in &merges {
        assert_canceled(merged, Some(Reason(1)));
    }
}

#[test]
fn each_of_a_thousand_parents_ends_it_and_none_keeps_a_link() {
    const PARENTS: usize = 1_000;
    for ends in [0, 1, 31, 32, 33, 500, 998, 999] {
        let (parents, guards) = roots(PARENTS);
        let (dropped, dropped_guard) = Context::merge(&parents);
        let (merged, _guard) = Context::merge(parents.iter().chain(&parents));
        assert!(parents.iter().all(|parent| parent.child_count() == 2));
        drop((dropped, dropped_guard));
        assert!(parents.iter().all(|parent| parent.child_count() == 1));
        guards[ends].cancel_with(Reason(ends as u64));
        assert_canceled(&merged, Some(Reason(ends as u64)));
        assert!(parents.iter().all(|parent| parent.child_count() == 0));
        assert_eq!(parents.iter().filter(|parent| parent.is_done()).count(), 1);
    }
}

#[test]
fn one_parent_ends_a_thousand_merged_contexts() {
    let (hub, guard) = Context::background().with_cancel();
    let (others, _guards) = roots(1_000);
    let merges: Vec<_> = others
        .iter()
        .enumerate()
        .map(|(index, other)| match index % 2 {
            0 => Context::merge([&hub, other]),
            _ => Context::merge([other, &hub]),
        })
        .collect();
    assert_eq!(hub.child_count(), 1_000);
    let told = Arc::new(AtomicUsize::new(0));
    let _waiting: Vec<_> = merges
        .iter()
        .map(|(merged, _)| {
            let told = told.clone();
            when_told(merged, move || {
                told.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    guard.cancel_with(Reason(1));
    assert_eq!(told.load(Ordering::SeqCst), 1_000);
    for (merged, _) in &merges {
        assert_canceled(merged, Some(Reason(1)));
    }
    others.iter().for_each(assert_live);
}

/// Each level merges the two above it: as many paths to the bottom as a Fibonacci number says.
struct Ladder {
    tops: [CancelGuard; 2],
    rungs: Vec<(Context, CancelGuard)>,
}

impl Ladder {
    fn new(levels: usize) -> Self {
        let (first, first_guard) = Context::background().with_cancel();
        let (second, second_guard) = Context::background().with_cancel();
        let mut above = [first, second];
        let mut rungs = Vec::new();
        for level in 0..levels {
            let [a, b] = &above;
            let (rung, guard) = match level % 2 {
                0 => Context::merge([a, b]),
                _ => Context::merge([b, a]),
            };
            above = [b.clone(), rung.clone()];
            rungs.push((rung, guard));
        }
        Self {
            tops: [first_guard, second_guard],
            rungs,
        }
    }

    fn bottom(&self) -> &Context {
        &self.rungs.last().expect("it has rungs").0
    }
}

#[test]
fn a_ladder_of_diamonds_is_walked_once_a_rung_and_not_once_a_path() {
    in_time(|| {
        for top in 0..2 {
            let ladder = Ladder::new(60);
            let waiter = Waiter::on(ladder.bottom());
            ladder.tops[top].cancel_with(Reason(1));
            assert_eq!(waiter.wakes(), 1);
            for (rung, _) in &ladder.rungs {
                assert_canceled(rung, Some(Reason(1)));
            }
        }
        let ladder = Ladder::new(60);
        let (rung, guard) = &ladder.rungs[30];
        guard.cancel_with(Reason(2));
        assert_canceled(rung, Some(Reason(2)));
        assert_canceled(ladder.bottom(), Some(Reason(2)));
        assert_live(&ladder.rungs[29].0);
    });
}

#[test]
fn a_ladder_of_diamonds_is_dropped_from_either_end() {
    in_time(|| {
        for top_first in [true, false] {
            let mut ladder = Ladder::new(60);
            if top_first {
                ladder.rungs.reverse();
            }
            while ladder.rungs.pop().is_some() {}
        }
    });
}

#[test]
fn a_ladder_of_diamonds_cancelled_from_both_tops_at_once_is_all_done_for_each() {
    for _ in 0..scaled(50) {
        in_time(|| {
            let ladder = Ladder::new(60);
            run_all(2, |thread| {
                ladder.tops[thread].cancel_with(Reason(thread as u64));
                assert!(ladder.rungs.iter().all(|(rung, _)| rung.is_done()));
            });
            for (rung, _) in &ladder.rungs {
                assert_canceled(rung, reason(rung));
                assert!(reason(rung).is_some());
            }
        });
    }
}

#[test]
fn two_parents_cancelled_at_once_leave_one_answer_that_never_changes() {
    for _ in 0..scaled(300) {
        in_time(|| {
            let (parents, guards) = roots(2);
            let (merged, _guard) = Context::merge(&parents);
            let (child, _child_guard) = merged.with_cancel();
            let waiters = [Waiter::on(&merged), Waiter::on(&child)];
            let seen = run_all(3, |thread| {
                if thread < 2 {
                    guards[thread].cancel_with(Reason(thread as u64));
                } else {
                    while !child.is_done() {
                        thread::yield_now();
                    }
                }
                assert_eq!(merged.err(), Some(Error::Canceled));
                assert_eq!(child.err(), Some(Error::Canceled));
                (reason(&merged), reason(&child))
            });
            let last = reason(&merged);
            assert!([Some(Reason(0)), Some(Reason(1))].contains(&last));
            assert_eq!(seen, [(last, last); 3]);
            for waiter in &waiters {
                assert_eq!(waiter.wakes(), 1);
            }
        });
    }
}

#[test]
fn a_parents_cancel_and_its_own_at_once_leave_one_answer_that_never_changes() {
    for round in 0..scaled(300) {
        in_time(move || {
            let (parents, guards) = roots(2);
            let (merged, guard) = Context::merge(&parents);
            let seen = run_all(3, |thread| {
                match thread {
                    0 => guards[round % 2].cancel_with(Reason(0)),
                    1 => guard.cancel_with(Reason(1)),
                    _ => guard.cancel(),
                }
                (merged.err(), reason(&merged))
            });
            let last = (Some(Error::Canceled), reason(&merged));
            assert_eq!(seen, [last; 3]);
            assert_live(&parents[1 - round % 2]);
        });
    }
}

#[test]
fn a_merge_made_while_its_parents_are_cancelled_is_done_with_one_of_their_causes() {
    for round in 0..scaled(300) {
        in_time(move || {
            let (parents, guards) = roots(3);
            let mut merges = run_all(3, |thread| {
                if thread < 2 {
                    guards[(thread + round) % 3].cancel_with(Reason(thread as u64));
                    return None;
                }
                Some(Context::merge(&parents))
            });
            let (merged, _guard) = merges[2].take().expect("the third thread merges");
            let seen = reason(&merged);
            assert!([Some(Reason(0)), Some(Reason(1))].contains(&seen));
            assert_canceled(&merged, seen);
            assert_eq!(child_counts(&parents), [0; 3]);
        });
    }
}

#[test]
fn a_merged_context_dropped_while_its_parents_are_cancelled_is_gone_without_a_trace() {
    for _ in 0..scaled(300) {
        in_time(|| {
            let (parents, guards) = roots(4);
            let merges: [_; 2] = [(); 2].map(|()| Context::merge(&parents));
            let slots = merges.map(|merge| std::sync::Mutex::new(Some(merge)));
            run_all(4, |thread| match thread {
                0 | 1 => guards[thread].cancel_with(Reason(1)),
                _ => drop(slots[thread - 2].lock().expect("nobody panics").take()),
            });
            assert_eq!(child_counts(&parents), [0; 4]);
            assert_live(&parents[2]);
            guards[2].cancel();
            assert_canceled(&parents[2], None);
        });
    }
}

/// Go's AfterFunc_merge recipe, without the callback.
#[test]
fn a_call_ends_with_its_caller_or_its_server_and_says_with_which() {
    let (caller, caller_guard) = Context::background().with_cancel();
    let (server, server_guard) = Context::background().with_cancel();
    let (first, _first_guard) = Context::merge([&caller, &server]);
    caller_guard.cancel_with(Reason(1));
    let (second, _second_guard) = Context::merge([&Context::background(), &server]);
    server_guard.cancel_with(Reason(2));
    assert_canceled(&first, Some(Reason(1)));
    assert_canceled(&second, Some(Reason(2)));
    assert_eq!(
        poll(&mut second.done(), Waker::noop()),
        Poll::Ready(Error::Canceled)
    );
}
