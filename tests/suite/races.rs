//! Two threads meet in two operations on one tree, tens of thousands of times each: whichever comes first, what both
//! promise holds when both have returned.

use crate::common::{Drops, Reason, Waiter, Wakes, in_time, poll, race, reason, scaled};
use crossbeam_channel::TryRecvError;
use ripcord::{CancelGuard, Context, Error};
use std::sync::Arc;
use std::task::{Poll, Waker};

const READY: Poll<Error> = Poll::Ready(Error::Canceled);

fn rounds() -> usize {
    scaled(20_000)
}

/// As [`alone`], below a root whose guard it is; its own is for the check.
fn below_a_root() -> (CancelGuard, Context, CancelGuard) {
    let (root, root_guard) = Context::background().with_cancel();
    let (ctx, guard) = root.with_cancel();
    (root_guard, ctx, guard)
}

/// A context whose guard goes to one thread, as it goes to the other.
fn alone() -> (CancelGuard, Context, ()) {
    let (ctx, guard) = Context::background().with_cancel();
    (guard, ctx, ())
}

#[test]
fn a_cancel_against_a_first_poll_wakes_it_or_makes_it_ready() {
    in_time(|| {
        race(
            rounds(),
            |_| {
                let (root_guard, ctx, guard) = below_a_root();
                (root_guard, ctx.done(), guard)
            },
            |guard| guard.cancel(),
            |mut done| {
                let wakes = Arc::new(Wakes::default());
                let answer = poll(&mut done, &wakes.clone().into());
                (Waiter { done, wakes }, answer)
            },
            |_guard, (), (mut waiter, answer)| {
                match answer {
                    Poll::Pending => assert_eq!(waiter.wakes(), 1, "it waits for ever"),
                    Poll::Ready(_) => assert!(waiter.wakes() <= 1),
                }
                assert_eq!(waiter.poll(), READY);
            },
        );
    });
}

#[test]
fn a_cancel_against_a_wait_made_polled_and_dropped_keeps_no_waker() {
    in_time(|| {
        race(
            rounds(),
            |_| alone(),
            |guard| guard.cancel(),
            |ctx| {
                let Waiter { done, wakes } = Waiter::on(&ctx);
                drop(done);
                wakes
            },
            |(), (), wakes| {
                assert_eq!(Arc::strong_count(&wakes), 1);
                assert!(wakes.count() <= 1);
            },
        );
    });
}

#[test]
fn a_cancel_against_a_changed_waker_wakes_the_new_one_or_makes_it_ready() {
    in_time(|| {
        race(
            rounds(),
            |_| {
                let (ctx, guard) = Context::background().with_cancel();
                let waiter = Waiter::on(&ctx);
                (guard, waiter.done, waiter.wakes)
            },
            |guard| guard.cancel(),
            |mut done| {
                let wakes = Arc::new(Wakes::default());
                let answer = poll(&mut done, &wakes.clone().into());
                (Waiter { done, wakes }, answer)
            },
            |first, (), (mut second, answer)| {
                if answer.is_pending() {
                    assert_eq!(second.wakes(), 1, "the waker of the last poll");
                }
                assert!(first.count() <= 1 && second.wakes() <= 1);
                assert_eq!(second.poll(), READY);
                drop(second.done);
                assert_eq!(Arc::strong_count(&first), 1);
                assert_eq!(Arc::strong_count(&second.wakes), 1);
            },
        );
    });
}

#[test]
fn a_cancel_against_a_dropped_wait_keeps_no_waker() {
    in_time(|| {
        race(
            rounds(),
            |_| {
                let (root_guard, ctx, guard) = below_a_root();
                let waiter = Waiter::on(&ctx);
                (root_guard, waiter.done, (waiter.wakes, guard))
            },
            |guard| guard.cancel(),
            drop,
            |(wakes, _guard), (), ()| {
                assert_eq!(Arc::strong_count(&wakes), 1);
                assert!(wakes.count() <= 1);
            },
        );
    });
}

#[test]
fn a_cancel_against_a_thread_about_to_sleep_lets_it_go() {
    in_time(|| {
        race(
            rounds(),
            |_| below_a_root(),
            |guard| guard.cancel(),
            |ctx| ctx.wait(),
            |_guard, (), answer| assert_eq!(answer, Error::Canceled),
        );
    });
}

#[test]
fn a_guards_drop_against_a_thread_about_to_sleep_lets_it_go() {
    in_time(|| {
        race(
            rounds(),
            |_| alone(),
            drop,
            |ctx| ctx.wait(),
            |(), (), answer| assert_eq!(answer, Error::Canceled),
        );
    });
}

#[test]
fn a_guards_drop_against_a_first_poll_wakes_it_or_makes_it_ready() {
    in_time(|| {
        race(
            rounds(),
            |_| alone(),
            drop,
            |ctx| {
                let mut waiter = Waiter::on(&ctx);
                let answer = waiter.poll();
                (waiter, answer)
            },
            |(), (), (mut waiter, answer)| {
                if answer.is_pending() {
                    assert_eq!(waiter.wakes(), 1, "it waits for ever");
                }
                assert_eq!(waiter.poll(), READY);
            },
        );
    });
}

#[test]
fn an_end_against_the_making_of_the_channel_disconnects_it() {
    let ends: [fn(CancelGuard); 2] = [|guard| guard.cancel(), drop];
    for end in ends {
        in_time(move || {
            race(
                rounds() / 2,
                |_| {
                    let (ctx, guard) = Context::background().with_cancel();
                    (guard, ctx.clone(), ctx)
                },
                end,
                |ctx| ctx.done_channel(),
                |ctx, (), channel| {
                    assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
                    assert!(channel.same_channel(&ctx.done_channel()));
                },
            );
        });
    }
}

#[test]
fn an_end_against_a_derivation_ends_the_child_with_the_parents_cause() {
    let ends: [fn(CancelGuard); 2] = [|guard| guard.cancel_with(Reason(1)), drop];
    for (index, end) in ends.into_iter().enumerate() {
        in_time(move || {
            race(
                rounds() / 2,
                |_| {
                    let (ctx, guard) = Context::background().with_cancel();
                    (guard, ctx.clone(), ctx)
                },
                end,
                |ctx| ctx.with_cancel(),
                |ctx, (), (child, _child_guard)| {
                    assert_eq!(child.err(), Some(Error::Canceled));
                    assert_eq!(reason(&child), (index == 0).then_some(Reason(1)));
                    assert_eq!(ctx.child_count(), 0);
                },
            );
        });
    }
}

#[test]
fn a_roots_cancel_against_a_chain_that_grows_ends_its_tip() {
    in_time(|| {
        race(
            rounds() / 2,
            |_| below_a_root(),
            |guard| guard.cancel_with(Reason(1)),
            |ctx| {
                let mut tip = ctx;
                for _ in 0..3 {
                    let (next, guard) = tip.with_cancel();
                    drop(guard.disarm());
                    tip = next;
                }
                tip
            },
            |_guard, (), tip| assert_eq!(reason(&tip), Some(Reason(1))),
        );
    });
}

#[test]
fn of_two_cancels_of_one_context_the_same_one_wins_for_everybody() {
    in_time(|| {
        race(
            rounds(),
            |_| {
                let (ctx, guard) = Context::background().with_cancel();
                let (child, child_guard) = ctx.with_cancel();
                let waiter = Waiter::on(&child);
                let drops = Drops::default();
                let handle = guard.handle();
                let other = (handle, ctx.clone(), drops.clone());
                ((guard, ctx, drops), other, (child, child_guard, waiter))
            },
            |(guard, ctx, drops)| {
                guard.cancel_with(Reason(1));
                (reason(&ctx), drops)
            },
            |(handle, ctx, drops)| {
                handle.cancel_with(drops.error());
                reason(&ctx)
            },
            |(child, child_guard, waiter), (left, drops), right| {
                assert_eq!(left, right);
                assert_eq!(reason(&child), left);
                assert_eq!(waiter.wakes(), 1);
                assert_eq!(drops.count(), usize::from(left.is_some()));
                drop((child, child_guard, waiter));
                assert_eq!(drops.count(), 1);
            },
        );
    });
}

#[test]
fn a_parents_cancel_against_its_childs_leaves_the_child_one_answer() {
    in_time(|| {
        race(
            rounds(),
            |_| {
                let (root_guard, ctx, guard) = below_a_root();
                ((root_guard, ctx.clone()), (guard, ctx.clone()), ctx)
            },
            |(guard, ctx)| {
                guard.cancel_with(Reason(1));
                (guard, ctx.err(), reason(&ctx))
            },
            |(guard, ctx)| {
                guard.cancel_with(Reason(2));
                (guard, ctx.err(), reason(&ctx))
            },
            |ctx, (_root_guard, err, left), (_guard, _, right)| {
                assert_eq!(err, Some(Error::Canceled));
                assert_eq!((left, right), (reason(&ctx), reason(&ctx)));
                assert!(left.is_some());
            },
        );
    });
}

#[test]
fn two_overlapping_cancels_each_return_with_the_whole_subtree_done() {
    in_time(|| {
        race(
            rounds() / 4,
            |_| {
                let (root_guard, ctx, guard) = below_a_root();
                let mut below = vec![(ctx, guard)];
                for index in 0..12 {
                    let next = below[index / 2].0.with_cancel();
                    below.push(next);
                }
                let leaves: Vec<_> = below.iter().map(|(ctx, _)| ctx.clone()).collect();
                let handle = below[0].1.handle();
                ((root_guard, leaves.clone()), (handle, leaves), below)
            },
            |(guard, leaves)| {
                guard.cancel();
                leaves.iter().filter(|leaf| !leaf.is_done()).count()
            },
            |(handle, leaves)| {
                handle.cancel();
                leaves.iter().filter(|leaf| !leaf.is_done()).count()
            },
            |_, left, right| assert_eq!((left, right), (0, 0), "live on return"),
        );
    });
}

#[test]
fn two_children_dropped_at_once_are_both_gone() {
    in_time(|| {
        for siblings in [2, 3, 5] {
            let (root, _guard) = Context::background().with_cancel();
            race(
                rounds() / 3,
                |round| {
                    let mut all: Vec<_> = (0..siblings).map(|_| root.with_cancel()).collect();
                    let first = all.swap_remove(round % siblings);
                    let second = all.swap_remove(round / 7 % (siblings - 1));
                    (first, second, all)
                },
                drop,
                |(child, guard)| drop((child, guard.disarm())),
                |rest, (), ()| {
                    assert_eq!(root.child_count(), rest.len());
                    drop(rest);
                    assert_eq!(root.child_count(), 0);
                },
            );
        }
    });
}

#[test]
fn a_child_dropped_while_another_is_made_leaves_exactly_that() {
    in_time(|| {
        let (root, _guard) = Context::background().with_cancel();
        race(
            rounds(),
            |_| (root.with_cancel(), root.clone(), ()),
            |(child, guard)| drop((child, guard.disarm())),
            |root| root.with_cancel(),
            |(), (), made| {
                assert_eq!(root.child_count(), 1);
                drop(made);
                assert_eq!(root.child_count(), 0);
            },
        );
    });
}

#[test]
fn a_parents_cancel_against_the_drop_of_a_child_leaves_one_cause_dropped_once() {
    in_time(|| {
        race(
            rounds(),
            |_| {
                let (root, root_guard) = Context::background().with_cancel();
                let drops = Drops::default();
                let child = root.with_cancel();
                let grandchild = child.0.with_cancel();
                let sibling = root.with_cancel();
                let given = drops.clone();
                (
                    (root_guard, drops),
                    (child, grandchild, given),
                    (root, sibling),
                )
            },
            |(guard, drops)| {
                guard.cancel_with(drops.error());
                drops
            },
            |(child, (grandchild, grandchild_guard), drops)| {
                grandchild_guard.cancel_with(drops.error());
                drop((child, grandchild, grandchild_guard));
            },
            |(root, (sibling, sibling_guard)), drops, ()| {
                assert!(root.is_done() && sibling.is_done());
                assert_eq!(drops.count(), 1, "the grandchild's, won or lost");
                drop((root, sibling_guard));
                assert_eq!(drops.count(), 1, "the sibling asks for the root's");
                drop(sibling);
                assert_eq!(drops.count(), 2);
            },
        );
    });
}

#[test]
fn the_last_two_handles_dropped_at_once_end_the_context_once() {
    in_time(|| {
        let (top, _top_guard) = Context::background().with_cancel();
        race(
            rounds(),
            |round| {
                let (ctx, guard) = top.with_cancel();
                let drops = Drops::default();
                guard.cancel_with(drops.error());
                let child = (round % 2 == 0).then(|| ctx.with_cancel());
                ((ctx, child), guard, drops)
            },
            drop,
            drop,
            |drops, (), ()| {
                assert_eq!(drops.count(), 1);
                assert_eq!(top.child_count(), 0);
            },
        );
    });
}

#[test]
fn the_last_handle_of_a_parent_against_that_of_its_child_ends_both() {
    in_time(|| {
        let (top, _top_guard) = Context::background().with_cancel();
        race(
            rounds(),
            |_| {
                let (parent, parent_guard) = top.with_cancel();
                let (child, child_guard) = parent.with_cancel();
                let (parent_handle, child_handle) = (parent_guard.disarm(), child_guard.disarm());
                ((parent, parent_handle), (child, child_handle), ())
            },
            drop,
            drop,
            |(), (), ()| assert_eq!(top.child_count(), 0),
        );
    });
}

#[test]
fn two_parents_cancelled_at_once_leave_a_merged_context_one_answer() {
    in_time(|| {
        race(
            rounds(),
            |_| {
                let (a, a_guard) = Context::background().with_cancel();
                let (b, b_guard) = Context::background().with_cancel();
                let (merged, merged_guard) = Context::merge([&a, &b]);
                let (child, child_guard) = merged.with_cancel();
                let waiter = Waiter::on(&child);
                let kept = (child.clone(), merged_guard, child_guard, waiter, a, b);
                ((a_guard, merged.clone()), (b_guard, child), kept)
            },
            |(guard, merged)| {
                guard.cancel_with(Reason(1));
                (guard, reason(&merged))
            },
            |(guard, child)| {
                guard.cancel_with(Reason(2));
                (guard, reason(&child))
            },
            |(child, _merged_guard, _child_guard, waiter, a, b), (_, left), (_, right)| {
                assert!(left.is_some());
                assert_eq!((left, right), (reason(&child), reason(&child)));
                assert_eq!(waiter.wakes(), 1);
                assert_eq!(reason(&a), Some(Reason(1)));
                assert_eq!(reason(&b), Some(Reason(2)));
            },
        );
    });
}

#[test]
fn a_parents_cancel_against_a_merged_contexts_own_leaves_one_answer() {
    in_time(|| {
        race(
            rounds(),
            |round| {
                let (a, a_guard) = Context::background().with_cancel();
                let (b, b_guard) = Context::background().with_cancel();
                let (merged, guard) = Context::merge([&a, &b]);
                let (ends, keeps) = match round % 2 {
                    0 => (a_guard, b_guard),
                    _ => (b_guard, a_guard),
                };
                (
                    (ends, merged.clone()),
                    (guard, merged.clone()),
                    (merged, keeps),
                )
            },
            |(guard, merged)| {
                guard.cancel_with(Reason(1));
                (guard, reason(&merged))
            },
            |(guard, merged)| {
                guard.cancel_with(Reason(2));
                (guard, reason(&merged))
            },
            |(merged, _keeps), (_, left), (_, right)| {
                assert!(left.is_some());
                assert_eq!((left, right), (reason(&merged), reason(&merged)));
            },
        );
    });
}

#[test]
fn a_merge_against_the_cancel_of_a_parent_is_done_with_its_cause() {
    in_time(|| {
        race(
            rounds(),
            |round| {
                let (a, a_guard) = Context::background().with_cancel();
                let (b, b_guard) = Context::background().with_cancel();
                let (ends, keeps) = match round % 2 {
                    0 => (a_guard, b_guard),
                    _ => (b_guard, a_guard),
                };
                let parents = [a, b];
                (ends, parents.clone(), (keeps, parents))
            },
            |guard| {
                guard.cancel_with(Reason(1));
                guard
            },
            |parents| Context::merge(&parents),
            |(_keeps, parents), _guard, (merged, _merged_guard)| {
                assert_eq!(reason(&merged), Some(Reason(1)));
                assert!(parents.iter().all(|parent| parent.child_count() == 0));
            },
        );
    });
}

#[test]
fn a_merged_contexts_drop_against_the_cancel_of_a_parent_leaves_the_other_clean() {
    in_time(|| {
        race(
            rounds(),
            |round| {
                let (a, a_guard) = Context::background().with_cancel();
                let (b, b_guard) = Context::background().with_cancel();
                let merged = Context::merge([&a, &b]);
                let (ends, keeps, other) = match round % 2 {
                    0 => (a_guard, b_guard, b),
                    _ => (b_guard, a_guard, a),
                };
                (ends, merged, (keeps, other))
            },
            drop,
            drop,
            |(_keeps, other), (), ()| {
                assert!(!other.is_done());
                assert_eq!(other.child_count(), 0);
            },
        );
    });
}

#[test]
fn a_merged_contexts_drop_against_that_of_a_parent_leaves_nothing_above() {
    in_time(|| {
        let (top, _top_guard) = Context::background().with_cancel();
        race(
            rounds(),
            |_| {
                let (a, a_guard) = top.with_cancel();
                let (b, b_guard) = top.with_cancel();
                let (merged, guard) = Context::merge([&a, &b]);
                let parents = (a, b, a_guard.disarm(), b_guard.disarm());
                (parents, (merged, guard.disarm()), ())
            },
            drop,
            drop,
            |(), (), ()| assert_eq!(top.child_count(), 0),
        );
    });
}

#[test]
fn a_wait_polled_while_another_on_the_same_context_is_dropped_is_told() {
    in_time(|| {
        race(
            rounds(),
            |_| {
                let (ctx, guard) = Context::background().with_cancel();
                let kept = Waiter::on(&ctx);
                (Waiter::on(&ctx), ctx, (guard, kept))
            },
            drop,
            |ctx| Waiter::on(&ctx),
            |(guard, kept), (), fresh| {
                guard.cancel();
                assert_eq!((kept.wakes(), fresh.wakes()), (1, 1));
            },
        );
    });
}

#[test]
fn a_cancel_against_one_that_counts_and_prints_disturbs_neither() {
    in_time(|| {
        race(
            rounds() / 2,
            |_| {
                let (root, root_guard) = Context::background().with_cancel();
                let children = [(); 3].map(|()| root.with_cancel());
                (root_guard, root, children)
            },
            |guard| guard.cancel(),
            |root| (root.child_count(), root.to_string(), root),
            |_children, (), (count, text, root)| {
                assert!(count <= 3);
                assert_eq!(text, "context.Background.WithCancel");
                assert_eq!(root.child_count(), 0);
                assert_eq!(poll(&mut root.done(), Waker::noop()), READY);
            },
        );
    });
}
