//! What the tests of Go's `context` prove of cancellation holds here; each says which of Go's it stands for.

use crate::common::{
    Reason, Rng, Waiter, assert_canceled, assert_live, in_time, reason, run_all, scaled, when_told,
};
use crossbeam_channel::TryRecvError;
use ripcord::{CancelGuard, Context, Error};
use std::hint::spin_loop;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;

/// TestBackground.
#[test]
fn a_background_is_never_done_and_says_its_name() {
    let ctx = Context::background();
    assert_live(&ctx);
    assert_eq!(ctx.child_count(), 0);
    assert_eq!(ctx.to_string(), "context.Background");
    assert_eq!(Context::default().to_string(), ctx.to_string());
}

/// TestTODO.
#[test]
fn a_todo_is_never_done_and_says_another_name() {
    let ctx = Context::todo();
    assert_live(&ctx);
    assert_eq!(ctx.child_count(), 0);
    assert_eq!(ctx.to_string(), "context.TODO");
}

/// TestWithCancel.
#[test]
fn a_context_its_clones_and_its_descendants_are_done_when_cancel_returns() {
    let (ctx, guard) = Context::background().with_cancel();
    assert_eq!(ctx.to_string(), "context.Background.WithCancel");
    let clone = ctx.clone();
    let (child, _child_guard) = clone.with_cancel();
    let (grandchild, _grandchild_guard) = child.with_cancel();
    let all = [ctx, clone, child, grandchild];
    all.iter().for_each(assert_live);

    guard.cancel();
    for ctx in &all {
        assert_canceled(ctx, None);
    }
}

/// TestParentFinishesChild.
#[test]
fn the_end_of_a_parent_ends_all_below_it_and_it_counts_nobody_any_more() {
    let (parent, guard) = Context::background().with_cancel();
    let (first, _first_guard) = parent.with_cancel();
    let (second, _second_guard) = parent.with_cancel();
    let (below, _below_guard) = second.with_cancel();
    let mut waiters: Vec<_> = [&first, &second, &below].map(Waiter::on).into();
    let channel = below.done_channel();
    assert_eq!(parent.child_count(), 2, "waits are not children");
    assert_eq!(second.child_count(), 1);

    guard.cancel();
    for ctx in [&parent, &first, &second, &below] {
        assert_canceled(ctx, None);
        assert_eq!(ctx.child_count(), 0);
    }
    for waiter in &mut waiters {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.poll(), Poll::Ready(Error::Canceled));
    }
    assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
    let (late, _late_guard) = parent.with_cancel();
    assert_canceled(&late, None);
    assert_eq!(parent.child_count(), 0);
}

/// TestChildFinishesFirst.
#[test]
fn a_child_that_ends_first_leaves_its_parent_live() {
    let background = Context::background();
    let (cancellable, _guard) = Context::background().with_cancel();
    for parent in [&background, &cancellable] {
        let (child, child_guard) = parent.with_cancel();
        let (sibling, _sibling_guard) = parent.with_cancel();
        child_guard.cancel();
        assert_canceled(&child, None);
        assert_live(parent);
        assert_live(&sibling);
    }
}

/// TestCancelRemoves.
#[test]
fn a_child_is_not_counted_once_it_is_cancelled_or_dropped() {
    let (parent, _guard) = Context::background().with_cancel();
    let ends: [fn(Context, CancelGuard); 5] = [
        |_, guard| guard.cancel(),
        |_, guard| guard.cancel_with(Reason(1)),
        |_, guard| drop(guard),
        |_, guard| guard.disarm().cancel(),
        |ctx, guard| drop((ctx, guard.disarm())),
    ];
    for end in ends {
        let (child, child_guard) = parent.with_cancel();
        assert_eq!(parent.child_count(), 1);
        end(child, child_guard);
        assert_eq!(parent.child_count(), 0);
    }
    let (child, child_guard) = parent.with_cancel();
    child_guard.cancel();
    assert_eq!(parent.child_count(), 0, "done, though handles are left");
    drop(child);
    assert_live(&parent);
}

/// TestSimultaneousCancels, and that each call returns only when all below is done.
#[test]
fn cancels_of_a_whole_tree_at_once_all_return_and_end_everything_below_them() {
    const THREADS: usize = 8;
    for round in 0..scaled(20) {
        in_time(move || {
            let (root, root_guard) = Context::background().with_cancel();
            let mut tree = vec![(root, root_guard, None)];
            for index in 1..341 {
                let parent = (index - 1) / 4;
                let (ctx, guard) = tree[parent].0.with_cancel();
                tree.push((ctx, guard, Some(parent)));
            }
            let channels: Vec<_> = tree.iter().map(|(ctx, ..)| ctx.done_channel()).collect();
            let mut order: Vec<usize> = (0..tree.len()).collect();
            Rng::new(round as u64).shuffle(&mut order);

            run_all(THREADS, |thread| {
                for &index in order.iter().skip(thread).step_by(THREADS) {
                    tree[index].1.cancel();
                    for (ctx, ..) in tree_below(&tree, index) {
                        assert_eq!(ctx.err(), Some(Error::Canceled));
                    }
                }
            });
            for ((ctx, ..), channel) in tree.iter().zip(&channels) {
                assert_canceled(ctx, None);
                assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
            }
        });
    }
}

type Family = (Context, CancelGuard, Option<usize>);

fn tree_below(tree: &[Family], top: usize) -> impl Iterator<Item = &Family> {
    let is_below = move |mut index: usize| {
        while index > top {
            match tree[index].2 {
                Some(parent) => index = parent,
                None => return false,
            }
        }
        index == top
    };
    tree.iter()
        .enumerate()
        .filter(move |(index, _)| is_below(*index))
        .map(|(_, member)| member)
}

/// TestInterlockedCancels.
#[test]
fn whoever_waits_for_a_parent_may_cancel_its_child_while_the_parents_cancel_runs() {
    for _ in 0..scaled(200) {
        in_time(|| {
            let (parent, parent_guard) = Context::background().with_cancel();
            let (child, child_guard) = parent.with_cancel();
            let waiting = thread::spawn(move || {
                parent.wait();
                child_guard.cancel();
            });
            parent_guard.cancel();
            assert_canceled(&child, None);
            waiting.join().expect("the waiting thread");
        });
    }
}

/// TestLayersCancel.
#[test]
fn the_cancel_of_any_layer_of_a_random_stack_ends_exactly_that_and_what_is_above() {
    for seed in 0..scaled(200) {
        let mut rng = Rng::new(seed as u64);
        let (bystander, _bystander_guard) = Context::background().with_cancel();
        let mut layers: Vec<(Context, CancelGuard)> = vec![Context::background().with_cancel()];
        for _ in 0..30 + rng.below(10) {
            let (top, _) = layers.last().expect("there is a first layer");
            layers.push(match rng.below(4) {
                0 => Context::merge([top, &bystander]),
                1 => Context::merge([&bystander, top]),
                2 => Context::merge([top]),
                _ => top.with_cancel(),
            });
        }
        let at = rng.below(layers.len());
        layers[at].1.cancel_with(Reason(seed as u64));
        for (ctx, _) in &layers[..at] {
            assert_live(ctx);
        }
        for (ctx, _) in &layers[at..] {
            assert_canceled(ctx, Some(Reason(seed as u64)));
        }
        assert_live(&bystander);
    }
}

/// TestWithCancelCanceledParent.
#[test]
fn a_child_of_a_done_parent_is_born_done_with_its_cause() {
    let (parent, guard) = Context::background().with_cancel();
    guard.cancel_with(Reason(7));
    let (child, child_guard) = parent.with_cancel();
    let mut waiter = Waiter::on(&child);
    assert_canceled(&child, Some(Reason(7)));
    assert_eq!(waiter.poll(), Poll::Ready(Error::Canceled));
    assert_eq!(waiter.wakes(), 0, "it never waited");
    child_guard.cancel_with(Reason(8));
    assert_canceled(&child, Some(Reason(7)));
    let (grandchild, _grandchild_guard) = child.with_cancel();
    drop((parent, child));
    assert_canceled(&grandchild, Some(Reason(7)));
}

/// TestWithCancelSimultaneouslyCanceledParent.
#[test]
fn a_child_made_while_its_parent_is_cancelled_is_done_with_the_parents_cause() {
    for round in 0..scaled(100).max(100) {
        in_time(move || {
            let (parent, guard) = Context::background().with_cancel();
            let why = Reason(round as u64);
            let children = run_all(2, |thread| {
                if thread == 0 {
                    guard.cancel_with(why);
                    return None;
                }
                Some(parent.with_cancel())
            });
            for (child, _child_guard) in children.into_iter().flatten() {
                assert_canceled(&child, Some(why));
            }
        });
    }
}

/// The rows of TestCause that need no deadline and no foreign context.
#[test]
fn the_cause_is_the_first_that_reached_the_context() {
    const PARENT: Reason = Reason(1);
    const CHILD: Reason = Reason(2);
    struct Row {
        name: &'static str,
        act: fn(&CancelGuard, &CancelGuard),
        parent: Option<Option<Reason>>,
        child: Option<Option<Reason>>,
    }
    let rows = [
        Row {
            name: "nobody cancels",
            act: |_, _| {},
            parent: None,
            child: None,
        },
        Row {
            name: "plain parent",
            act: |parent, _| parent.cancel(),
            parent: Some(None),
            child: Some(None),
        },
        Row {
            name: "parent with cause",
            act: |parent, _| parent.cancel_with(PARENT),
            parent: Some(Some(PARENT)),
            child: Some(Some(PARENT)),
        },
        Row {
            name: "the Error as cause",
            act: |parent, _| parent.cancel_with(Error::Canceled),
            parent: Some(None),
            child: Some(None),
        },
        Row {
            name: "child with cause",
            act: |_, child| child.cancel_with(CHILD),
            parent: None,
            child: Some(Some(CHILD)),
        },
        Row {
            name: "parent with cause, then child with cause",
            act: |parent, child| {
                parent.cancel_with(PARENT);
                child.cancel_with(CHILD);
            },
            parent: Some(Some(PARENT)),
            child: Some(Some(PARENT)),
        },
        Row {
            name: "child with cause, then parent with cause",
            act: |parent, child| {
                child.cancel_with(CHILD);
                parent.cancel_with(PARENT);
            },
            parent: Some(Some(PARENT)),
            child: Some(Some(CHILD)),
        },
        Row {
            name: "parent with cause, then plain child",
            act: |parent, child| {
                parent.cancel_with(PARENT);
                child.cancel();
            },
            parent: Some(Some(PARENT)),
            child: Some(Some(PARENT)),
        },
        Row {
            name: "plain child, then parent with cause",
            act: |parent, child| {
                child.cancel();
                parent.cancel_with(PARENT);
            },
            parent: Some(Some(PARENT)),
            child: Some(None),
        },
        Row {
            name: "plain parent, then child with cause",
            act: |parent, child| {
                parent.cancel();
                child.cancel_with(CHILD);
            },
            parent: Some(None),
            child: Some(None),
        },
        Row {
            name: "child with cause, then plain parent",
            act: |parent, child| {
                child.cancel_with(CHILD);
                parent.cancel();
            },
            parent: Some(None),
            child: Some(Some(CHILD)),
        },
        Row {
            name: "parent with two causes",
            act: |parent, _| {
                parent.cancel_with(PARENT);
                parent.cancel_with(CHILD);
            },
            parent: Some(Some(PARENT)),
            child: Some(Some(PARENT)),
        },
    ];
    for Row {
        name,
        act,
        parent: expected_parent,
        child: expected_child,
    } in rows
    {
        println!("{name}");
        let (parent, parent_guard) = Context::background().with_cancel();
        let (child, child_guard) = parent.with_cancel();
        act(&parent_guard, &child_guard);
        for (ctx, expected) in [(&parent, expected_parent), (&child, expected_child)] {
            match expected {
                None => assert_live(ctx),
                Some(why) => assert_canceled(ctx, why),
            }
        }
    }
}

/// TestCauseRace: a cause is there whole or not at all.
#[test]
fn who_polls_the_cause_sees_none_and_then_one_of_those_given_for_ever() {
    for _ in 0..scaled(200) {
        in_time(|| {
            let (parent, guard) = Context::background().with_cancel();
            let (child, child_guard) = parent.with_cancel();
            let start = Barrier::new(3);
            thread::scope(|scope| {
                for (guard, why) in [(&guard, Reason(1)), (&child_guard, Reason(2))] {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        guard.cancel_with(why);
                    });
                }
                start.wait();
                let seen = loop {
                    if let Some(cause) = child.cause() {
                        break cause;
                    }
                    assert_ne!(child.err(), Some(Error::DeadlineExceeded));
                    thread::yield_now();
                };
                let seen = seen.downcast_ref::<Reason>().copied();
                assert!([Some(Reason(1)), Some(Reason(2))].contains(&seen));
                assert_eq!(child.err(), Some(Error::Canceled));
                assert_eq!(reason(&child), seen);
            });
            assert_eq!(reason(&parent), Some(Reason(1)));
        });
    }
}

/// TestWithoutCancel.
#[test]
fn what_is_left_without_cancel_outlives_a_parent_cancelled_before_or_after() {
    let (before, before_guard) = Context::background().with_cancel();
    before_guard.cancel_with(Reason(1));
    let (after, after_guard) = Context::background().with_cancel();
    let free = [before.without_cancel(), after.without_cancel()];
    after_guard.cancel_with(Reason(2));
    assert_eq!(after.child_count(), 0);
    for ctx in free {
        assert_live(&ctx);
        assert_eq!(ctx.to_string(), "context.Background");
        let (fresh, fresh_guard) = ctx.with_cancel();
        assert_live(&fresh);
        fresh_guard.cancel();
        assert_canceled(&fresh, None);
        assert_live(&ctx);
    }
    assert_live(&Context::todo().without_cancel());
}

/// TestContextErrDoneRace (go#75533).
#[test]
fn once_err_says_so_every_wait_made_before_ends_without_a_further_call() {
    for _ in 0..scaled(200) {
        in_time(|| {
            let (parent, guard) = Context::background().with_cancel();
            let (child, _child_guard) = parent.with_cancel();
            let mut waiter = Waiter::on(&child);
            let channel = child.done_channel();
            run_all(2, |thread| {
                if thread == 0 {
                    guard.cancel();
                    return;
                }
                while child.err().is_none() {
                    spin_loop();
                }
                assert!(child.is_done());
                assert!(child.cause().is_some());
                assert_eq!(
                    Waiter::on(&child).poll(),
                    Poll::Ready(Error::Canceled),
                    "a wait made after"
                );
                assert!(channel.recv().is_err());
                assert_eq!(child.wait(), Error::Canceled);
            });
            assert_eq!(waiter.wakes(), 1);
            assert_eq!(waiter.poll(), Poll::Ready(Error::Canceled));
        });
    }
}

/// The same race seen from the thread that watches: a `Done` that waits already is ready the moment `err` says so.
#[test]
fn a_done_that_waits_is_ready_the_moment_err_says_so() {
    for _ in 0..scaled(200) {
        in_time(|| {
            let (ctx, guard) = Context::background().with_cancel();
            let watching = {
                let mut waiter = Waiter::on(&ctx);
                thread::spawn(move || {
                    while ctx.err().is_none() {
                        spin_loop();
                    }
                    waiter.poll()
                })
            };
            guard.cancel();
            let polled = watching.join().expect("the watching thread");
            assert_eq!(polled, Poll::Ready(Error::Canceled));
        });
    }
}

/// The promise Go keeps by its lock: nobody's cancel returns early because somebody else's is at work.
#[test]
fn the_second_of_two_cancels_does_not_return_before_the_subtree_is_done() {
    const DEPTH: usize = 20;
    const WIDTH: usize = 20;
    for round in 0..scaled(100) {
        in_time(move || {
            let (root, root_guard) = Context::background().with_cancel();
            let (middle, middle_guard) = root.with_cancel();
            let mut below = Vec::new();
            let mut at = middle.clone();
            for _ in 0..DEPTH {
                let (next, guard) = at.with_cancel();
                below.extend((0..WIDTH).map(|_| at.with_cancel()));
                below.push((next.clone(), guard));
                at = next;
            }
            let guards = [&root_guard, &middle_guard, &root_guard, &middle_guard];
            run_all(2 + round % 3, |thread| {
                guards[thread].cancel();
                for (ctx, _) in &below {
                    assert_eq!(ctx.err(), Some(Error::Canceled));
                }
            });
            assert_canceled(&root, None);
        });
    }
}

/// A parent is marked before its children, so that what a child blames is always there to be seen.
#[test]
fn whoever_sees_a_child_ended_by_its_parent_sees_the_parent_done() {
    for _ in 0..scaled(200) {
        in_time(|| {
            let (parent, guard) = Context::background().with_cancel();
            let (child, _child_guard) = parent.with_cancel();
            let (grandchild, _grandchild_guard) = child.with_cancel();
            run_all(2, |thread| {
                if thread == 0 {
                    guard.cancel_with(Reason(3));
                    return;
                }
                while !grandchild.is_done() {
                    spin_loop();
                }
                assert!(child.is_done() && parent.is_done());
                assert_eq!(reason(&grandchild), Some(Reason(3)));
                assert_eq!(reason(&parent), Some(Reason(3)));
            });
        });
    }
}

/// G12's other half: what is told is told after all states are set, so it may act on the whole tree.
#[test]
fn whoever_is_told_may_cancel_anything_in_the_same_tree() {
    in_time(|| {
        let (root, root_guard) = Context::background().with_cancel();
        let (left, left_guard) = root.with_cancel();
        let (right, right_guard) = root.with_cancel();
        let told = std::sync::Arc::new(AtomicBool::new(false));
        let _waiting = when_told(&left, {
            let (root, told) = (root_guard.handle(), told.clone());
            move || {
                root.cancel_with(Reason(2));
                right_guard.cancel_with(Reason(3));
                told.store(true, Ordering::SeqCst);
            }
        });
        left_guard.cancel_with(Reason(1));
        assert!(told.load(Ordering::SeqCst));
        assert_canceled(&left, Some(Reason(1)));
        assert_canceled(&root, Some(Reason(2)));
        assert_canceled(&right, Some(Reason(2)));
    });
}

/// The engine's first tree may have no handle left by then.
#[test]
fn without_cancel_keeps_the_engine_when_only_a_descendant_is_left() {
    let (engine, clock) = ripcord::Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    let (request, guard) = engine.background().with_cancel();
    drop(engine);
    let detached: Vec<_> = (0..3).map(|_| request.without_cancel()).collect();
    guard.cancel();
    drop((request, guard));
    let (ctx, _guard) = detached[0].with_timeout(std::time::Duration::from_secs(1));
    drop(detached);
    assert!(!ctx.is_done());
    clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(ctx.err(), Some(ripcord::Error::DeadlineExceeded));
    drop((ctx, _guard));
}
