//! Whatever many threads do to one tree at once, what the calls promised holds when they return, and nothing is left.

use crate::common::{
    Drops, Reason, Rng, Waiter, Wakes, assert_canceled, assert_live, in_time, poll, reason,
    run_all, scaled,
};
use ripcord::{CancelGuard, CancelHandle, Context, Done, Error};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

const THREADS: usize = 4;

#[test]
fn everything_derived_while_the_root_is_cancelled_is_done() {
    for round in 0..scaled(100) {
        in_time(move || {
            let (root, guard) = Context::background().with_cancel();
            let why = Reason(round as u64);
            let families = run_all(THREADS, |thread| {
                let mut made = vec![(root.clone(), guard.handle())];
                let mut rng = Rng::new((round * THREADS + thread) as u64);
                while !root.is_done() && made.len() < 2_000 {
                    if thread == 0 && made.len() == 1 + round % 50 {
                        guard.cancel_with(why);
                        assert!(made.iter().all(|(ctx, _)| ctx.is_done()));
                    }
                    let (ctx, guard) = made[rng.below(made.len())].0.with_cancel();
                    made.push((ctx, guard.disarm()));
                }
                made
            });
            for (ctx, _) in families.iter().flatten() {
                assert_canceled(ctx, Some(why));
            }
        });
    }
}

#[test]
fn children_of_one_root_dropped_by_many_threads_leave_it_empty_and_live() {
    for round in 0..scaled(50) {
        in_time(move || {
            let (root, guard) = Context::background().with_cancel();
            let (keeper, _keeper_guard) = root.with_cancel();
            let mut children: Vec<_> = (0..THREADS * 100)
                .map(|_| {
                    let (child, guard) = root.with_cancel();
                    Some((child, guard.disarm()))
                })
                .collect();
            Rng::new(round as u64).shuffle(&mut children);
            let shares: Vec<_> = children.chunks_mut(100).map(Mutex::new).collect();
            run_all(THREADS, |thread| {
                for child in shares[thread].lock().expect("nobody panics").iter_mut() {
                    drop(child.take());
                }
            });
            assert_eq!(root.child_count(), 1);
            assert_live(&root);
            guard.cancel();
            assert_canceled(&keeper, None);
        });
    }
}

#[test]
fn threads_that_churn_on_one_root_leave_nothing_on_it() {
    for threads in [2, 4, 16] {
        in_time(move || {
            let (root, guard) = Context::background().with_cancel();
            run_all(threads, |thread| {
                let mut rng = Rng::new(thread as u64);
                let mut kept = Vec::new();
                for _ in 0..scaled(20_000) / threads {
                    kept.push((root.with_cancel(), Waiter::on(&root)));
                    if kept.len() > rng.below(32) {
                        let which = rng.below(kept.len());
                        let ((child, child_guard), waiter) = kept.swap_remove(which);
                        assert!(!child.is_done());
                        if rng.below(2) == 0 {
                            child_guard.cancel();
                            assert!(child.is_done());
                        } else {
                            drop(child_guard.disarm());
                        }
                        assert_eq!(waiter.wakes(), 0);
                    }
                }
            });
            assert_eq!(root.child_count(), 0);
            assert_live(&root);
            let last = Waiter::on(&root);
            guard.cancel();
            assert_eq!(last.wakes(), 1);
        });
    }
}

#[test]
fn threads_that_churn_while_the_root_is_cancelled_end_with_everything_done() {
    for round in 0..scaled(100) {
        in_time(move || {
            let (root, guard) = Context::background().with_cancel();
            let waiters = run_all(THREADS, |thread| {
                let mut rng = Rng::new((round * THREADS + thread) as u64);
                let mut kept = Vec::new();
                let mut told = Vec::new();
                for step in 0..200 {
                    if thread == 0 && step == round % 200 {
                        guard.cancel_with(Reason(1));
                    }
                    let (child, child_guard) = root.with_cancel();
                    let mut waiter = Waiter::on(&child);
                    if waiter.poll().is_pending() {
                        told.push(waiter);
                    } else {
                        assert_canceled(&child, Some(Reason(1)));
                    }
                    kept.push((child, child_guard.disarm()));
                    if rng.below(3) > 0 {
                        let which = rng.below(kept.len());
                        kept.swap_remove(which);
                    }
                }
                told
            });
            assert_canceled(&root, Some(Reason(1)));
            for mut waiter in waiters.into_iter().flatten() {
                assert_eq!(waiter.wakes(), 1);
                assert_eq!(waiter.poll(), Poll::Ready(Error::Canceled));
            }
        });
    }
}

#[test]
fn children_dropped_while_the_root_is_cancelled_drop_each_cause_once() {
    for round in 0..scaled(200) {
        in_time(move || {
            let drops = Drops::default();
            let (root, guard) = Context::background().with_cancel();
            let shares = [(); THREADS].map(|()| {
                let children = (0..20).map(|_| root.with_cancel()).collect::<Vec<_>>();
                Mutex::new(children)
            });
            run_all(THREADS, |thread| {
                if thread == round % THREADS {
                    guard.cancel_with(drops.error());
                }
                let children = mem::take(&mut *shares[thread].lock().expect("nobody panics"));
                for (child, child_guard) in children {
                    child_guard.cancel_with(drops.error());
                    assert!(child.is_done());
                }
            });
            assert_eq!(drops.count(), THREADS * 20, "the root's is left");
            assert_canceled_by_counter(&root);
            drop((root, guard));
            assert_eq!(drops.count(), THREADS * 20 + 1);
        });
    }
}

fn assert_canceled_by_counter(ctx: &Context) {
    assert_eq!(ctx.err(), Some(Error::Canceled));
    assert_eq!(
        ctx.cause().map(|cause| cause.to_string()).as_deref(),
        Some("counted")
    );
}

#[test]
fn waits_begun_changed_and_given_up_on_many_threads_are_each_told_once_or_not_at_all() {
    for round in 0..scaled(200) {
        in_time(move || {
            let (root, guard) = Context::background().with_cancel();
            let (ctx, _ctx_guard) = root.with_cancel();
            run_all(THREADS, |thread| {
                if thread == 0 {
                    guard.cancel();
                    return;
                }
                let mut rng = Rng::new((round * THREADS + thread) as u64);
                let mut released = Vec::new();
                loop {
                    let mut done = ctx.done();
                    let wakers = [(); 2].map(|()| Arc::new(Wakes::default()));
                    let mut answer = Poll::Pending;
                    for _ in 0..rng.below(4) {
                        let waker = wakers[rng.below(2)].clone().into();
                        answer = poll(&mut done, &waker);
                    }
                    drop(done);
                    let is_over = answer.is_ready();
                    released.push(wakers);
                    if is_over {
                        break;
                    }
                }
                let wakers = released.iter().flatten();
                assert!(wakers.clone().all(|waker| waker.count() <= 1));
                // A cancel that was just taking one may hold it a moment longer.
                while wakers.clone().any(|waker| Arc::strong_count(waker) > 1) {
                    std::thread::yield_now();
                }
            });
        });
    }
}

#[test]
fn handles_cloned_and_dropped_by_many_threads_free_the_context_once() {
    for _ in 0..scaled(50) {
        in_time(|| {
            let drops = Drops::default();
            let (root, _root_guard) = Context::background().with_cancel();
            let (ctx, guard) = root.with_cancel();
            guard.cancel_with(drops.error());
            let pool = Mutex::new(vec![ctx, root.clone()]);
            let handle = guard.disarm();
            let handles = [(); THREADS].map(|()| Mutex::new(Some(handle.clone())));
            drop(handle);
            run_all(THREADS, |thread| {
                let mut rng = Rng::new(thread as u64);
                for _ in 0..200 {
                    let mut pool = pool.lock().expect("nobody panics");
                    let which = rng.below(pool.len());
                    let clone = pool[which].clone();
                    if rng.below(2) == 0 {
                        pool.push(clone);
                    } else {
                        pool[which] = clone;
                    }
                }
                drop(handles[thread].lock().expect("nobody panics").take());
            });
            assert_eq!(drops.count(), 0);
            let clones = pool.into_inner().expect("nobody panics");
            let shares: Vec<_> = clones
                .chunks(clones.len().div_ceil(THREADS))
                .map(|share| Mutex::new(share.to_vec()))
                .collect();
            drop(clones);
            run_all(shares.len(), |thread| {
                shares[thread].lock().expect("nobody panics").clear();
            });
            assert_eq!(drops.count(), 1);
            assert_live(&root);
        });
    }
}

#[test]
fn merged_contexts_made_and_dropped_while_parents_come_and_go_leave_nothing() {
    for round in 0..scaled(30) {
        in_time(move || {
            let hubs: Vec<_> = (0..4)
                .map(|_| Context::background().with_cancel())
                .collect();
            let ended = AtomicUsize::new(0);
            run_all(THREADS, |thread| {
                let mut rng = Rng::new((round * THREADS + thread) as u64);
                let mut kept: Vec<(Context, CancelGuard)> = Vec::new();
                for step in 0..300 {
                    let first = &hubs[rng.below(4)].0;
                    let second = &hubs[rng.below(4)].0;
                    let (child, child_guard) = second.with_cancel();
                    kept.push(match kept.last() {
                        Some((last, _)) if rng.below(3) == 0 => Context::merge([&child, last]),
                        _ => Context::merge([first, &child]),
                    });
                    kept.push((child, child_guard));
                    if rng.below(8) == 0 {
                        drop(kept.swap_remove(rng.below(kept.len())));
                    }
                    if kept.len() > 40 {
                        kept.drain(..rng.below(40));
                    }
                    if thread < 2 && step == 200 {
                        hubs[thread].1.cancel_with(Reason(thread as u64));
                        ended.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(reason(&hubs[thread].0), Some(Reason(thread as u64)));
                    }
                }
            });
            assert_eq!(ended.into_inner(), 2);
            for (index, (hub, _)) in hubs.iter().enumerate() {
                assert_eq!(hub.is_done(), index < 2);
                assert_eq!(hub.child_count(), 0);
            }
        });
    }
}

/// Each thread acts on a tree all share, and checks after each of its own cancels what it derived itself.
#[test]
fn a_cancel_ends_all_that_was_derived_before_it_whatever_the_others_do() {
    for round in 0..scaled(50) {
        in_time(move || {
            let (root, _root_guard) = Context::background().with_cancel();
            let shared: Vec<_> = (0..8).map(|_| root.with_cancel()).collect();
            let shared = Mutex::new(shared);
            run_all(THREADS, |thread| {
                let mut rng = Rng::new((round * THREADS + thread) as u64);
                for _ in 0..40 {
                    let (base, handle, other) = {
                        let mut shared = shared.lock().expect("nobody panics");
                        let which = rng.below(shared.len());
                        let other = shared[rng.below(shared.len())].0.clone();
                        if shared[which].0.is_done() {
                            shared[which] = root.with_cancel();
                        }
                        let (base, guard) = &shared[which];
                        (base.clone(), guard.handle(), other)
                    };
                    let mut mine = vec![(base.clone(), handle.clone())];
                    for _ in 0..20 {
                        let at = &mine[rng.below(mine.len())].0;
                        let (ctx, guard) = match rng.below(4) {
                            0 => Context::merge([at, &other]),
                            1 => Context::merge([&other, at]),
                            _ => at.with_cancel(),
                        };
                        mine.push((ctx, guard.disarm()));
                    }
                    if rng.below(2) == 0 {
                        handle.cancel_with(Reason(thread as u64));
                        assert!(mine.iter().all(|(ctx, _)| ctx.is_done()));
                        assert!(reason(&base).is_some());
                        for (ctx, _) in &mine {
                            assert_eq!(ctx.err(), Some(Error::Canceled));
                            assert_eq!(reason(ctx), reason(ctx));
                        }
                    }
                }
            });
            drop(shared);
            assert_eq!(root.child_count(), 0);
            assert_live(&root);
        });
    }
}

#[test]
fn what_others_read_while_the_tree_changes_is_whole() {
    in_time(|| {
        const CHILDREN: usize = 64;
        let (root, _guard) = Context::background().with_cancel();
        let slots: Vec<_> = (0..CHILDREN)
            .map(|_| Mutex::new(root.with_cancel()))
            .collect();
        let over = AtomicBool::new(false);
        run_all(THREADS, |thread| {
            let mut rng = Rng::new(thread as u64);
            if thread < 2 {
                for round in 0..scaled(5_000) {
                    let mut slot = slots[rng.below(CHILDREN)].lock().expect("nobody panics");
                    slot.1.cancel_with(Reason(round as u64));
                    *slot = root.with_cancel();
                }
                over.store(true, Ordering::SeqCst);
                return;
            }
            while !over.load(Ordering::SeqCst) {
                let (ctx, _guard) = {
                    let slot = slots[rng.below(CHILDREN)].lock().expect("nobody panics");
                    (slot.0.clone(), slot.1.handle())
                };
                let first = (ctx.err(), reason(&ctx));
                assert_eq!(ctx.to_string(), "context.Background.WithCancel.WithCancel");
                if first.0.is_some() {
                    assert!(first.1.is_some());
                    assert_eq!((ctx.err(), reason(&ctx)), first);
                }
                assert_eq!(root.err(), None);
                // Not exact while others are at work: only that it is not wild.
                assert!(root.child_count() <= 10 * CHILDREN);
            }
        });
        assert_eq!(root.child_count(), CHILDREN);
    });
}

#[test]
fn chains_that_grow_while_their_root_is_cancelled_are_done_to_the_tip() {
    for round in 0..scaled(50) {
        in_time(move || {
            let (root, guard) = Context::background().with_cancel();
            let tips = run_all(THREADS, |thread| {
                if thread == 0 {
                    let (bystander, _bystander_guard) = root.with_cancel();
                    guard.cancel_with(Reason(round as u64));
                    assert!(bystander.is_done());
                    return bystander;
                }
                let mut tip = root.clone();
                for _ in 0..300 {
                    let (next, guard) = tip.with_cancel();
                    drop(guard.disarm());
                    tip = next;
                }
                tip
            });
            for tip in &tips {
                assert_canceled(tip, Some(Reason(round as u64)));
            }
        });
    }
}

#[test]
fn threads_blocked_on_every_level_are_let_go_by_one_cancel() {
    for _ in 0..scaled(30) {
        in_time(|| {
            let (root, guard) = Context::background().with_cancel();
            let mut levels = vec![(root, guard)];
            for level in 0..7 {
                let next = levels[level].0.with_cancel();
                levels.push(next);
            }
            let answers = run_all(16, |thread| match thread {
                15 => {
                    levels[0].1.cancel();
                    Error::Canceled
                }
                _ => levels[thread / 2].0.wait(),
            });
            assert_eq!(answers, [Error::Canceled; 16]);
        });
    }
}

#[test]
fn a_parent_whose_last_handle_goes_while_children_are_made_and_dropped_is_gone_after() {
    for _ in 0..scaled(200) {
        in_time(|| {
            let (top, _top_guard) = Context::background().with_cancel();
            let (parent, guard) = top.with_cancel();
            drop(guard.disarm());
            let clones = [(); THREADS].map(|()| Mutex::new(Some(parent.clone())));
            drop(parent);
            let left = run_all(THREADS, |thread| {
                let mine = clones[thread].lock().expect("nobody panics").take();
                let mine = mine.expect("each thread has a clone");
                let mut kept: Vec<(Context, CancelHandle, Done)> = Vec::new();
                for _ in 0..20 {
                    let (child, guard) = mine.with_cancel();
                    let mut done = child.done();
                    assert_eq!(poll(&mut done, Waker::noop()), Poll::Pending);
                    kept.push((child, guard.disarm(), done));
                    if kept.len() > 3 {
                        drop(kept.remove(0));
                    }
                }
                drop(mine);
                kept.pop().map(|(child, ..)| child)
            });
            assert_eq!(top.child_count(), 1, "the children keep their parent");
            drop(left);
            assert_eq!(top.child_count(), 0);
        });
    }
}

#[test]
fn a_tree_is_handed_from_thread_to_thread_and_freed_far_from_home() {
    for _ in 0..scaled(50) {
        in_time(|| {
            let drops = Drops::default();
            let mut family = vec![Context::background().with_cancel()];
            for stage in 0..THREADS {
                let drops = drops.clone();
                let stage = std::thread::spawn(move || {
                    for index in 0..50 {
                        let parent = &family[(index * 7) % family.len()].0;
                        let next = parent.with_cancel();
                        family.push(next);
                    }
                    if stage == 2 {
                        family[0].1.cancel_with(drops.error());
                    }
                    family.drain(1..20);
                    family
                });
                family = stage.join().expect("a stage");
            }
            assert!(family.iter().all(|(ctx, _)| ctx.is_done()));
            let home = std::thread::spawn(move || drop(family));
            home.join().expect("the last thread");
            assert_eq!(drops.count(), 1);
        });
    }
}

/// A root that many threads were at war over: however the engine spreads such a one, it is to behave as before.
fn hot_root(top: &Context) -> (Context, CancelGuard) {
    let (root, guard) = top.with_cancel();
    run_all(THREADS, |_| {
        for _ in 0..scaled(20_000) {
            drop((root.with_cancel(), root.done()));
        }
    });
    assert_eq!(root.child_count(), 0);
    (root, guard)
}

/// Children, merged contexts and waits of it, made by as many threads.
fn populate(root: &Context, other: &Context) -> Vec<(Context, CancelGuard, Waiter)> {
    let made = run_all(THREADS, |thread| {
        let made = (0..30).map(|index| {
            let (ctx, guard) = match (thread + index) % 3 {
                0 => Context::merge([root, other]),
                1 => Context::merge([other, root]),
                _ => root.with_cancel(),
            };
            let waiter = Waiter::on(&ctx);
            (ctx, guard, waiter)
        });
        made.collect::<Vec<_>>()
    });
    made.into_iter().flatten().collect()
}

#[test]
fn a_hot_root_ends_all_that_was_derived_from_it_on_any_thread() {
    in_time(|| {
        for from_above in [false, true] {
            let (top, top_guard) = Context::background().with_cancel();
            let (other, _other_guard) = Context::background().with_cancel();
            let (root, guard) = hot_root(&top);
            let mut family = populate(&root, &other);
            assert_eq!(root.child_count(), family.len());
            let waiters = run_all(THREADS, |_| Waiter::on(&root));
            let channel = root.done_channel();
            let dropped = family.split_off(family.len() / 2);
            drop(dropped);
            assert_eq!(root.child_count(), family.len());

            let guard = if from_above { top_guard } else { guard };
            guard.cancel_with(Reason(1));
            for (ctx, _, waiter) in &mut family {
                assert_canceled(ctx, Some(Reason(1)));
                assert_eq!(waiter.wakes(), 1);
                assert!(waiter.poll().is_ready());
            }
            assert!(waiters.iter().all(|waiter| waiter.wakes() == 1));
            assert!(channel.recv().is_err());
            assert_live(&other);
            assert_eq!(other.child_count(), 0);
            let (late, _late_guard) = root.with_cancel();
            assert_canceled(&late, Some(Reason(1)));
        }
    });
}

#[test]
fn a_hot_root_goes_with_the_last_handle_below_it_whatever_goes_first() {
    in_time(|| {
        for root_first in [false, true] {
            let drops = Drops::default();
            let (top, _top_guard) = Context::background().with_cancel();
            let (other, _other_guard) = Context::background().with_cancel();
            let (root, guard) = hot_root(&top);
            let family = populate(&root, &other);
            guard.handle().cancel_with(drops.error());
            let shares: Vec<_> = family
                .into_iter()
                .map(|one| Mutex::new(Some(one)))
                .collect();
            let handles = (root, guard);
            let mut kept = Some(handles);
            if root_first {
                drop(kept.take());
            }
            run_all(THREADS, |thread| {
                for share in shares.iter().skip(thread).step_by(THREADS) {
                    drop(share.lock().expect("nobody panics").take());
                }
            });
            drop(kept);
            assert_eq!(drops.count(), 1);
            assert_eq!((top.child_count(), other.child_count()), (0, 0));
        }
    });
}

#[test]
fn a_live_hot_root_goes_from_its_parent_when_children_and_handles_go_together() {
    for _ in 0..scaled(4) {
        in_time(|| {
            let (top, _top_guard) = Context::background().with_cancel();
            let (root, guard) = hot_root(&top);
            drop(guard.disarm());
            let clones: Vec<_> = (0..THREADS)
                .map(|_| Mutex::new(Some(root.clone())))
                .collect();
            drop(root);
            run_all(THREADS, |thread| {
                let mine = clones[thread].lock().expect("nobody panics").take();
                let mine = mine.expect("each thread has a clone");
                let children: Vec<_> = (0..20).map(|_| mine.with_cancel()).collect();
                drop(mine);
                for (child, child_guard) in children {
                    drop((child, child_guard.disarm()));
                }
            });
            assert_eq!(top.child_count(), 0);
        });
    }
}

/// Not one that is done is counted, but where the thread that drops was stopped in the middle of it.
#[test]
fn a_count_beside_drops_counts_nothing_that_is_done() {
    in_time(|| {
        let (mut counts, mut wrong) = (0, 0);
        for _ in 0..scaled(20) {
            let (root, _guard) = Context::background().with_cancel();
            let mut ended: Vec<_> = (0..3_000).map(|_| root.with_cancel()).collect();
            ended.iter().for_each(|(_, guard)| guard.cancel());
            Rng::new(counts).shuffle(&mut ended);
            let dropper = std::thread::spawn(move || drop(ended));
            while !dropper.is_finished() {
                counts += 1;
                wrong += usize::from(root.child_count() > 0);
            }
            assert_eq!(root.child_count(), 0);
        }
        assert!(wrong <= 2 + counts as usize / 20, "{wrong} of {counts}");
    });
}
