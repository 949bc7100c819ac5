//! A chain and a fan of a million contexts are made, cancelled and dropped in any order without recursion, and no
//! single step of it walks the others.

use crate::common::{
    Drops, Reason, Rng, Waiter, assert_canceled, assert_live, on_small_stack, reason, scaled,
};
use ripcord::{CancelGuard, CancelHandle, Context, Error};
use std::task::Poll;

fn million() -> usize {
    scaled(1_000_000)
}

/// For what is done once in each order: an unoptimised build has no time for three millions.
fn many() -> usize {
    million() / if cfg!(debug_assertions) { 4 } else { 1 }
}

/// The last of a chain of a million below `top`, its handle the only one on any of them.
fn bare_chain(top: &Context) -> Context {
    let mut leaf = top.clone();
    for _ in 0..million() {
        let (next, guard) = leaf.with_cancel();
        drop(guard.disarm());
        leaf = next;
    }
    leaf
}

/// A chain of `count` below `top`, every handle kept.
fn chain(top: &Context, count: usize) -> Vec<(Context, CancelGuard)> {
    let mut all: Vec<(Context, CancelGuard)> = Vec::with_capacity(count);
    for index in 0..count {
        let at = index.checked_sub(1).map_or(top, |above| &all[above].0);
        let next = at.with_cancel();
        all.push(next);
    }
    all
}

fn fan(root: &Context, count: usize) -> Vec<(Context, CancelGuard)> {
    (0..count).map(|_| root.with_cancel()).collect()
}

fn drop_in_order<T>(mut items: Vec<T>, order: Order) {
    match order {
        Order::FirstToLast => items.reverse(),
        Order::LastToFirst => {}
        Order::Shuffled => Rng::new(1).shuffle(&mut items),
    }
    while items.pop().is_some() {}
}

#[derive(Clone, Copy, Debug)]
enum Order {
    FirstToLast,
    LastToFirst,
    Shuffled,
}

const ORDERS: [Order; 3] = [Order::FirstToLast, Order::LastToFirst, Order::Shuffled];

fn disarmed(all: Vec<(Context, CancelGuard)>) -> Vec<(Context, CancelHandle)> {
    all.into_iter()
        .map(|(ctx, guard)| (ctx, guard.disarm()))
        .collect()
}

#[test]
fn a_chain_held_by_its_leaf_alone_is_cancelled_from_the_root_and_dropped() {
    on_small_stack(|| {
        let (root, guard) = Context::background().with_cancel();
        let leaf = bare_chain(&root);
        assert_eq!(root.child_count(), 1);
        assert_live(&leaf);
        guard.cancel_with(Reason(1));
        assert_canceled(&leaf, Some(Reason(1)));
        drop(leaf);
        assert_canceled(&root, Some(Reason(1)));
    });
}

#[test]
fn a_live_chain_goes_with_its_leaf_and_leaves_the_root_alone() {
    on_small_stack(|| {
        let (root, _guard) = Context::background().with_cancel();
        let leaf = bare_chain(&root);
        drop(leaf);
        assert_eq!(root.child_count(), 0);
        assert_live(&root);
    });
}

#[test]
fn a_chain_outlives_the_handles_of_its_root() {
    on_small_stack(|| {
        let drops = Drops::default();
        let (root, guard) = Context::background().with_cancel();
        let leaf = bare_chain(&root);
        guard.cancel_with(drops.error());
        drop((root, guard));
        assert_eq!(leaf.err(), Some(Error::Canceled));
        assert_eq!(drops.count(), 0);
        drop(leaf);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_wait_at_the_bottom_is_told_from_the_top_and_holds_the_chain_alone() {
    on_small_stack(|| {
        for cancelled in [true, false] {
            let (root, guard) = Context::background().with_cancel();
            let leaf = bare_chain(&root);
            let mut waiter = Waiter::on(&leaf);
            drop(leaf);
            assert_eq!(root.child_count(), 1);
            if cancelled {
                guard.cancel();
                assert_eq!(waiter.wakes(), 1);
                assert_eq!(waiter.poll(), Poll::Ready(Error::Canceled));
            }
            drop(waiter);
            assert_eq!(root.child_count(), 0);
        }
    });
}

#[test]
fn a_chain_whose_guards_are_dropped_in_any_order_is_done() {
    for order in ORDERS {
        on_small_stack(move || {
            let (root, _guard) = Context::background().with_cancel();
            let (contexts, guards): (Vec<_>, Vec<_>) = chain(&root, many()).into_iter().unzip();
            drop_in_order(guards, order);
            assert!(contexts.iter().all(Context::is_done), "{order:?}");
            assert_live(&root);
            drop_in_order(contexts, order);
            assert_eq!(root.child_count(), 0);
        });
    }
}

#[test]
fn a_live_chain_is_dropped_in_any_order() {
    for order in ORDERS {
        on_small_stack(move || {
            let (root, _guard) = Context::background().with_cancel();
            let all = disarmed(chain(&root, many()));
            drop_in_order(all, order);
            assert_eq!(root.child_count(), 0);
            assert_live(&root);
        });
    }
}

#[test]
fn a_chain_cancelled_in_the_middle_is_done_below_and_live_above() {
    on_small_stack(|| {
        let (root, guard) = Context::background().with_cancel();
        let all = chain(&root, million());
        let middle = all.len() / 2;
        all[middle].1.cancel_with(Reason(1));
        assert!(all[..middle].iter().all(|(ctx, _)| !ctx.is_done()));
        assert!(all[middle..].iter().all(|(ctx, _)| ctx.is_done()));
        let (leaf, _) = &all[all.len() - 1];
        assert_eq!(reason(leaf), Some(Reason(1)));
        guard.cancel_with(Reason(2));
        assert!(all.iter().all(|(ctx, _)| ctx.is_done()));
        assert_eq!(reason(leaf), Some(Reason(1)));
        assert_eq!(reason(&root), Some(Reason(2)));
        drop_in_order(all, Order::FirstToLast);
    });
}

#[test]
fn a_chain_cancelled_leaf_first_keeps_a_cause_a_level_and_drops_each_once() {
    on_small_stack(|| {
        let drops = Drops::default();
        let all = chain(&Context::background(), million());
        for (_, guard) in all.iter().rev() {
            guard.cancel_with(drops.error());
        }
        assert_eq!(drops.count(), 0);
        let count = all.len();
        drop_in_order(all, Order::FirstToLast);
        assert_eq!(drops.count(), count);
    });
}

#[test]
fn a_chain_of_merges_with_one_hub_is_cancelled_from_either_and_dropped() {
    on_small_stack(|| {
        for from_hub in [true, false] {
            let (root, root_guard) = Context::background().with_cancel();
            let (hub, hub_guard) = Context::background().with_cancel();
            let mut leaf = root.clone();
            for _ in 0..million() / 4 {
                let (next, guard) = Context::merge([&leaf, &hub]);
                drop(guard.disarm());
                leaf = next;
            }
            assert_eq!(root.child_count(), 1);
            let waiter = Waiter::on(&leaf);
            let guard = if from_hub { &hub_guard } else { &root_guard };
            guard.cancel_with(Reason(1));
            assert_canceled(&leaf, Some(Reason(1)));
            assert_eq!(waiter.wakes(), 1);
            drop((waiter, leaf));
            assert_eq!((root.child_count(), hub.child_count()), (0, 0));
        }
    });
}

#[test]
fn a_live_chain_of_merges_goes_with_its_leaf() {
    on_small_stack(|| {
        let (root, _root_guard) = Context::background().with_cancel();
        let (hub, _hub_guard) = Context::background().with_cancel();
        let mut leaf = root.clone();
        for level in 0..million() / 4 {
            let (next, guard) = match level % 2 {
                0 => Context::merge([&leaf, &hub]),
                _ => Context::merge([&hub, &leaf]),
            };
            drop(guard.disarm());
            leaf = next;
        }
        drop(leaf);
        assert_eq!((root.child_count(), hub.child_count()), (0, 0));
        assert_live(&root);
        assert_live(&hub);
    });
}

#[test]
fn a_million_deep_chain_prints_short() {
    on_small_stack(|| {
        let leaf = bare_chain(&Context::background());
        for text in [leaf.to_string(), format!("{leaf:?}")] {
            assert!(text.contains("context.Background.WithCancel"), "{text}");
            assert!(text.len() < 4 * 1024, "{} bytes", text.len());
        }
    });
}

#[test]
fn a_fan_is_cancelled_at_once_and_dropped_in_any_order() {
    for order in ORDERS {
        on_small_stack(move || {
            let (root, guard) = Context::background().with_cancel();
            let all = fan(&root, many());
            assert_eq!(root.child_count(), all.len());
            guard.cancel_with(Reason(1));
            assert!(all.iter().all(|(ctx, _)| ctx.is_done()), "{order:?}");
            assert_eq!(reason(&all[all.len() - 1].0), Some(Reason(1)));
            drop_in_order(all, order);
            assert_canceled(&root, Some(Reason(1)));
        });
    }
}

#[test]
fn a_fan_whose_children_end_one_by_one_in_any_order_leaves_the_root_live() {
    for order in ORDERS {
        on_small_stack(move || {
            let (root, _guard) = Context::background().with_cancel();
            drop_in_order(fan(&root, many()), order);
            assert_eq!(root.child_count(), 0, "{order:?}");
            assert_live(&root);
        });
    }
}

#[test]
fn a_live_fan_is_dropped_in_any_order() {
    for order in ORDERS {
        on_small_stack(move || {
            let (root, _guard) = Context::background().with_cancel();
            drop_in_order(disarmed(fan(&root, many())), order);
            assert_eq!(root.child_count(), 0, "{order:?}");
            assert_live(&root);
        });
    }
}

#[test]
fn a_fan_outlives_the_handles_of_its_root_and_the_last_child_frees_it() {
    on_small_stack(|| {
        let drops = Drops::default();
        let (top, _top_guard) = Context::background().with_cancel();
        let (root, guard) = top.with_cancel();
        let all = disarmed(fan(&root, million()));
        let handle = guard.disarm();
        drop(root);
        assert_eq!(top.child_count(), 1);
        handle.cancel_with(drops.error());
        drop(handle);
        assert_eq!(top.child_count(), 0);
        drop_in_order(all, Order::Shuffled);
        assert_eq!(drops.count(), 1);
        assert_live(&top);
    });
}

#[test]
fn the_waits_of_a_fan_are_each_told_once() {
    on_small_stack(|| {
        let (root, guard) = Context::background().with_cancel();
        let waiters: Vec<_> = (0..million() / 10)
            .map(|_| {
                let (child, child_guard) = root.with_cancel();
                drop(child_guard.disarm());
                Waiter::on(&child)
            })
            .collect();
        assert_eq!(root.child_count(), waiters.len());
        guard.cancel();
        assert!(waiters.iter().all(|waiter| waiter.wakes() == 1));
        drop_in_order(waiters, Order::Shuffled);
    });
}

#[test]
fn a_crowd_of_links_on_one_parent_come_off_in_any_order() {
    for order in ORDERS {
        on_small_stack(move || {
            let (hub, _hub_guard) = Context::background().with_cancel();
            let (other, _other_guard) = Context::background().with_cancel();
            let all: Vec<_> = (0..many())
                .map(|_| Context::merge([&other, &hub]))
                .collect();
            assert_eq!(hub.child_count(), all.len());
            drop_in_order(all, order);
            assert_eq!((hub.child_count(), other.child_count()), (0, 0));
        });
    }
}

#[test]
fn a_fan_of_chains_goes_either_way() {
    on_small_stack(|| {
        for cancelled in [true, false] {
            let (root, guard) = Context::background().with_cancel();
            let leaves: Vec<_> = (0..1_000)
                .map(|_| {
                    let mut leaf = root.clone();
                    for _ in 0..million() / 4_000 {
                        let (next, guard) = leaf.with_cancel();
                        drop(guard.disarm());
                        leaf = next;
                    }
                    leaf
                })
                .collect();
            if cancelled {
                guard.cancel_with(Reason(1));
                assert!(leaves.iter().all(Context::is_done));
            } else if million() >= 4_000 {
                assert_eq!(root.child_count(), 1_000);
            }
            drop_in_order(leaves, Order::Shuffled);
            assert_eq!(root.child_count(), 0);
        }
    });
}

#[test]
fn a_merge_of_more_than_a_million_parents_ends_with_any_of_them_and_lets_all_go() {
    // One more than 2^20 is past every count a node could pack into a word beside others.
    const PARENTS: usize = (1 << 20) + 1;
    on_small_stack(|| {
        let (parents, guards): (Vec<_>, Vec<_>) = (0..PARENTS)
            .map(|_| Context::background().with_cancel())
            .unzip();
        let (merged, guard) = Context::merge(&parents);
        assert_live(&merged);
        let text = merged.to_string();
        assert!(text.len() < 64 * 1024, "{} bytes", text.len());
        guards[PARENTS - 1].cancel_with(Reason(1));
        assert_canceled(&merged, Some(Reason(1)));
        drop((merged, guard));
        assert!(parents.iter().all(|parent| parent.child_count() == 0));
    });
}
