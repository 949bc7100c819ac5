//! Every way of waiting ends with the context, once, and leaves nothing behind when it is given up.

use crate::common::{
    Reason, Waiter, Wakes, assert_canceled, assert_live, in_time, on_wake, poll, run_all, scaled,
    when_told,
};
use crossbeam_channel::{TryRecvError, bounded, select};
use ripcord::{Context, Error};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;

const READY: Poll<Error> = Poll::Ready(Error::Canceled);

#[test]
fn a_done_polled_after_it_was_ready_is_ready_again() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut waited = Waiter::on(&ctx);
    let mut unpolled = ctx.done();
    guard.cancel();
    let mut born = ctx.done();
    drop((ctx, guard));
    for _ in 0..3 {
        assert_eq!(waited.poll(), READY);
        assert_eq!(poll(&mut unpolled, Waker::noop()), READY);
        assert_eq!(poll(&mut born, Waker::noop()), READY);
    }
    assert_eq!(waited.wakes(), 1);
}

#[test]
fn a_done_polled_twice_with_one_waker_is_woken_once() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut waiter = Waiter::on(&ctx);
    for _ in 0..10 {
        assert_eq!(waiter.poll(), Poll::Pending);
    }
    guard.cancel();
    assert_eq!(waiter.wakes(), 1);
}

#[test]
fn polls_with_one_waker_do_not_pile_up_clones_of_it() {
    let (ctx, _guard) = Context::background().with_cancel();
    let mut done = ctx.done();
    let wakes = Arc::new(Wakes::default());
    let waker = wakes.clone().into();
    assert_eq!(poll(&mut done, &waker), Poll::Pending);
    let once = Arc::strong_count(&wakes);
    for _ in 0..10 {
        assert_eq!(poll(&mut done, &waker), Poll::Pending);
        assert_eq!(Arc::strong_count(&wakes), once);
    }
}

#[test]
fn the_waker_of_the_last_poll_is_woken_and_those_before_are_let_go() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut done = ctx.done();
    let mut wakers: Vec<_> = (0..5).map(|_| Arc::new(Wakes::default())).collect();
    for wakes in &wakers {
        assert_eq!(poll(&mut done, &wakes.clone().into()), Poll::Pending);
    }
    let last = wakers.pop().expect("five were made");
    for old in &wakers {
        assert_eq!(Arc::strong_count(old), 1, "an old waker is still held");
    }
    guard.cancel();
    assert_eq!(last.count(), 1);
    assert!(wakers.iter().all(|old| old.count() == 0));
    assert_eq!(poll(&mut done, Waker::noop()), READY);
}

#[test]
fn a_waker_may_come_back_after_another_was_registered() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut done = ctx.done();
    let [first, second] = [(); 2].map(|()| Arc::new(Wakes::default()));
    for wakes in [&first, &second, &first] {
        assert_eq!(poll(&mut done, &wakes.clone().into()), Poll::Pending);
    }
    guard.cancel();
    assert_eq!((first.count(), second.count()), (1, 0));
}

#[test]
fn each_done_is_woken_exactly_once_however_often_and_from_wherever_it_is_cancelled() {
    let (root, root_guard) = Context::background().with_cancel();
    let (middle, middle_guard) = root.with_cancel();
    let (leaf, leaf_guard) = middle.with_cancel();
    let mut waiters: Vec<_> = [&root, &middle, &leaf, &leaf].map(Waiter::on).into();
    for guard in [&leaf_guard, &middle_guard, &leaf_guard, &root_guard] {
        guard.cancel();
        guard.cancel();
    }
    drop((leaf_guard, middle_guard, root_guard));
    for waiter in &mut waiters {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.poll(), READY);
        assert_eq!(waiter.wakes(), 1);
    }
}

#[test]
fn a_done_never_polled_wakes_nobody_and_is_ready_when_polled_at_last() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut done = ctx.done();
    guard.cancel();
    let wakes = Arc::new(Wakes::default());
    assert_eq!(poll(&mut done, &wakes.clone().into()), READY);
    assert_eq!(wakes.count(), 0);
}

#[test]
fn a_dropped_done_has_given_its_waker_back_when_drop_returns() {
    let (ctx, guard) = Context::background().with_cancel();
    let Waiter { done, wakes } = Waiter::on(&ctx);
    assert!(Arc::strong_count(&wakes) > 1, "it waits with the waker");
    drop(done);
    assert_eq!(Arc::strong_count(&wakes), 1);
    guard.cancel();
    assert_eq!(wakes.count(), 0, "nobody waited any more");
}

#[test]
fn a_done_that_was_told_gives_its_waker_back_with_the_poll_or_the_drop_that_follows() {
    for poll_first in [true, false] {
        let (ctx, guard) = Context::background().with_cancel();
        let mut waiter = Waiter::on(&ctx);
        guard.cancel();
        if poll_first {
            assert_eq!(waiter.poll(), READY);
        }
        let Waiter { done, wakes } = waiter;
        drop(done);
        assert_eq!(Arc::strong_count(&wakes), 1);
        assert_eq!(wakes.count(), 1);
    }
}

#[test]
fn dones_dropped_in_any_order_leave_the_others_waiting() {
    let (ctx, guard) = Context::background().with_cancel();
    let (child, _child_guard) = ctx.with_cancel();
    let mut waiters: Vec<_> = (0..9).map(|_| Some(Waiter::on(&ctx))).collect();
    for dropped in [8, 0, 4, 5, 3] {
        waiters[dropped] = None;
    }
    assert_eq!(ctx.child_count(), 1, "waits are not counted");
    guard.cancel();
    for waiter in waiters.into_iter().flatten() {
        assert_eq!(waiter.wakes(), 1);
    }
    assert_canceled(&child, None);
}

#[test]
fn a_done_that_outlives_every_handle_is_still_told_by_the_parents_cancel() {
    let (parent, parent_guard) = Context::background().with_cancel();
    let (ctx, guard) = parent.with_cancel();
    let mut waiter = Waiter::on(&ctx);
    let mut unpolled = ctx.done();
    drop((ctx, guard.disarm()));
    assert_eq!(parent.child_count(), 1, "a wait is a handle");
    assert_eq!(waiter.poll(), Poll::Pending);

    drop(parent);
    parent_guard.cancel();
    assert_eq!(waiter.wakes(), 1);
    assert_eq!(waiter.poll(), READY);
    assert_eq!(poll(&mut unpolled, Waker::noop()), READY);
}

#[test]
fn a_done_is_told_by_its_own_guard_when_the_context_is_gone() {
    let (ctx, guard) = Context::background().with_cancel();
    let waiter = Waiter::on(&ctx);
    drop(ctx);
    drop(guard);
    assert_eq!(waiter.wakes(), 1);
}

#[test]
fn the_last_done_to_go_takes_the_context_off_its_parent() {
    let (parent, _guard) = Context::background().with_cancel();
    let (ctx, guard) = parent.with_cancel();
    let dones = [ctx.done(), ctx.done()];
    let waiter = Waiter::on(&ctx);
    drop((ctx, guard.disarm()));
    drop(dones);
    assert_eq!(parent.child_count(), 1);
    drop(waiter);
    assert_eq!(parent.child_count(), 0);
}

#[test]
fn a_wait_on_what_can_never_be_done_is_pending_for_ever() {
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    for never in [
        Context::background(),
        Context::todo(),
        ctx.without_cancel(),
        Context::default(),
    ] {
        let mut waiter = Waiter::on(&never);
        assert_eq!(waiter.poll(), Poll::Pending);
        assert_eq!(waiter.wakes(), 0);
    }
}

#[test]
fn a_done_moves_to_another_thread_and_is_told_there() {
    in_time(|| {
        let (ctx, guard) = Context::background().with_cancel();
        let mut waiter = Waiter::on(&ctx);
        let (polled, is_polled) = mpsc::channel();
        let thread = thread::spawn(move || {
            let (woken, is_woken) = mpsc::channel();
            let waker = on_wake(move || woken.send(()).expect("the thread listens"));
            assert_eq!(poll(&mut waiter.done, &waker), Poll::Pending);
            polled.send(()).expect("the test listens");
            is_woken.recv().expect("it is woken");
            assert_eq!(waiter.wakes(), 0, "its first waker was replaced");
            poll(&mut waiter.done, &waker)
        });
        is_polled.recv().expect("the thread polls");
        guard.cancel();
        assert_eq!(thread.join().expect("the waiting thread"), READY);
    });
}

#[test]
fn every_blocked_thread_is_let_go() {
    in_time(|| {
        let (parent, guard) = Context::background().with_cancel();
        let (child, _child_guard) = parent.with_cancel();
        let errors = run_all(9, |thread| match thread {
            0 => {
                guard.cancel();
                Error::Canceled
            }
            _ if thread % 2 == 0 => parent.wait(),
            _ => child.wait(),
        });
        assert_eq!(errors, [Error::Canceled; 9]);
    });
}

#[test]
fn a_thread_that_certainly_sleeps_is_let_go() {
    in_time(|| {
        let (ctx, guard) = Context::background().with_cancel();
        let (about_to, is_about_to) = mpsc::channel();
        let thread = thread::spawn(move || {
            about_to.send(()).expect("the test listens");
            ctx.wait()
        });
        is_about_to.recv().expect("the thread runs");
        // Time for the other thread to fall asleep; the test is right without.
        for _ in 0..1_000 {
            thread::yield_now();
        }
        guard.cancel();
        assert_eq!(thread.join().expect("the thread"), Error::Canceled);
    });
}

#[test]
fn a_blocked_thread_does_not_mind_what_else_happens_on_its_context() {
    in_time(|| {
        let (ctx, guard) = Context::background().with_cancel();
        let waiting = {
            let ctx = ctx.clone();
            thread::spawn(move || ctx.wait())
        };
        for _ in 0..scaled(1_000) {
            let (child, child_guard) = ctx.with_cancel();
            drop(Waiter::on(&child));
            drop(Waiter::on(&ctx));
            drop((child, child_guard, ctx.clone(), guard.handle()));
        }
        assert_live(&ctx);
        drop(ctx.done_channel());
        guard.cancel();
        assert_eq!(waiting.join().expect("the thread"), Error::Canceled);
    });
}

#[test]
fn a_wait_keeps_its_context_when_nobody_else_does() {
    in_time(|| {
        let (parent, parent_guard) = Context::background().with_cancel();
        let (ctx, guard) = parent.with_cancel();
        drop(guard.disarm());
        let (about_to, is_about_to) = mpsc::channel();
        let thread = thread::spawn(move || {
            about_to.send(()).expect("the test listens");
            ctx.wait()
        });
        is_about_to.recv().expect("the thread runs");
        drop(parent);
        parent_guard.cancel();
        assert_eq!(thread.join().expect("the thread"), Error::Canceled);
    });
}

#[test]
fn a_wait_on_a_done_context_returns_at_once() {
    in_time(|| {
        let (ctx, guard) = Context::background().with_cancel();
        guard.cancel();
        let (born_done, _guard) = ctx.with_cancel();
        for ctx in [ctx, born_done] {
            assert_eq!(ctx.wait(), Error::Canceled);
            assert_eq!(ctx.wait(), Error::Canceled);
        }
    });
}

#[test]
fn a_select_over_the_done_channel_ends_with_the_cancel() {
    in_time(|| {
        let (ctx, guard) = Context::background().with_cancel();
        let (work, to_do) = bounded::<u32>(0);
        let worker = thread::spawn(move || {
            let end = ctx.done_channel();
            let mut taken = 0;
            loop {
                select! {
                    recv(end) -> told => return (taken, told.is_err(), ctx.err()),
                    recv(to_do) -> job => taken += job.expect("the sender lives"),
                }
            }
        });
        for _ in 0..10 {
            work.send(1).expect("the worker lives");
        }
        guard.cancel();
        let ended = worker.join().expect("the worker");
        assert_eq!(ended, (10, true, Some(Error::Canceled)));
        drop(work);
    });
}

#[test]
fn a_done_channel_is_empty_while_the_context_is_live_and_disconnected_after() {
    let (ctx, guard) = Context::background().with_cancel();
    let before = ctx.done_channel();
    assert_eq!(before.try_recv(), Err(TryRecvError::Empty));
    guard.cancel();
    let after = ctx.done_channel();
    for channel in [&before, &before.clone(), &after] {
        assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
        assert!(channel.iter().next().is_none());
    }
}

#[test]
fn a_dropped_guard_disconnects_the_channel_though_nobody_else_waits_or_holds_a_handle() {
    for with_context in [true, false] {
        let (ctx, guard) = Context::background().with_cancel();
        let channel = ctx.done_channel();
        let kept = with_context.then_some(ctx);
        assert_eq!(channel.try_recv(), Err(TryRecvError::Empty));
        drop(guard);
        assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
        assert!(kept.is_none_or(|ctx| ctx.is_done()));
    }
}

#[test]
fn a_dropped_guard_lets_a_blocked_thread_go_though_nobody_else_waits() {
    in_time(|| {
        let (ctx, guard) = Context::background().with_cancel();
        let (about_to, is_about_to) = mpsc::channel();
        let thread = thread::spawn(move || {
            about_to.send(()).expect("the test listens");
            ctx.wait()
        });
        is_about_to.recv().expect("the thread runs");
        for _ in 0..1_000 {
            thread::yield_now();
        }
        drop(guard);
        assert_eq!(thread.join().expect("the thread"), Error::Canceled);
    });
}

#[test]
fn a_context_has_one_channel_which_all_its_handles_share() {
    let (ctx, guard) = Context::background().with_cancel();
    let channel = ctx.done_channel();
    assert!(channel.same_channel(&ctx.done_channel()));
    assert!(channel.same_channel(&ctx.clone().done_channel()));
    let (child, _child_guard) = ctx.with_cancel();
    assert!(!channel.same_channel(&child.done_channel()));
    guard.cancel();
    assert!(channel.same_channel(&ctx.done_channel()));
}

#[test]
fn threads_that_ask_for_the_first_channel_during_the_cancel_get_one_that_is_disconnected() {
    for _ in 0..scaled(100) {
        in_time(|| {
            let (ctx, guard) = Context::background().with_cancel();
            let channels = run_all(4, |thread| {
                if thread == 0 {
                    guard.cancel();
                }
                ctx.done_channel()
            });
            for channel in &channels {
                assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
            }
        });
    }
}

#[test]
fn the_channel_of_a_parent_a_child_and_a_merged_context_all_disconnect_with_one_cancel() {
    let (parent, guard) = Context::background().with_cancel();
    let (other, _other_guard) = Context::background().with_cancel();
    let (child, _child_guard) = parent.with_cancel();
    let (merged, _merged_guard) = Context::merge([&other, &child]);
    let channels = [&parent, &child, &merged].map(Context::done_channel);
    let outside = other.done_channel();
    guard.cancel();
    for channel in channels {
        assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
    }
    assert_eq!(outside.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn the_channel_of_what_can_never_be_done_never_disconnects() {
    for ctx in [Context::background(), Context::todo()] {
        let channel = ctx.done_channel();
        drop(ctx);
        assert_eq!(channel.try_recv(), Err(TryRecvError::Empty));
        select! {
            recv(channel) -> _ => unreachable!("it can never be done"),
            default => {}
        }
    }
}

#[test]
fn a_woken_task_never_sees_a_live_descendant() {
    let (root, guard) = Context::background().with_cancel();
    let (bystander, _bystander_guard) = Context::background().with_cancel();
    let mut family = vec![root];
    let mut guards = Vec::new();
    for index in 1..60 {
        let parent = &family[index / 3];
        let (ctx, guard) = match index % 4 {
            0 => Context::merge([&bystander, parent]),
            1 => Context::merge([parent, &family[index / 2]]),
            _ => parent.with_cancel(),
        };
        family.push(ctx);
        guards.push(guard);
    }
    let told = Arc::new(AtomicUsize::new(0));
    let everybody = Arc::new(family);
    let waiting: Vec<_> = everybody
        .iter()
        .map(|ctx| {
            let (told, everybody) = (told.clone(), everybody.clone());
            when_told(ctx, move || {
                let live = everybody.iter().filter(|ctx| !ctx.is_done()).count();
                assert_eq!(live, 0);
                told.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    guard.cancel_with(Reason(1));
    assert_eq!(told.load(Ordering::SeqCst), waiting.len());
}

#[test]
fn a_woken_task_never_sees_a_live_descendant_whichever_of_two_cancels_tells_it() {
    for _ in 0..scaled(100) {
        in_time(|| {
            let (root, root_guard) = Context::background().with_cancel();
            let (middle, middle_guard) = root.with_cancel();
            let leaves: Vec<_> = (0..20).map(|_| middle.with_cancel()).collect();
            let seen = Arc::new(Mutex::new(Vec::new()));
            let watch = |top: &Context| {
                let below: Vec<_> = leaves.iter().map(|(ctx, _)| ctx.clone()).collect();
                let seen = seen.clone();
                when_told(top, move || {
                    let live = below.iter().filter(|ctx| !ctx.is_done()).count();
                    seen.lock().expect("no test panics in here").push(live);
                })
            };
            let _waiting = [watch(&root), watch(&middle)];
            run_all(2, |thread| match thread {
                0 => root_guard.cancel(),
                _ => middle_guard.cancel(),
            });
            assert_eq!(*seen.lock().expect("no test panics in here"), [0, 0]);
        });
    }
}

#[test]
fn a_done_polled_while_the_cancel_runs_is_ready_or_woken() {
    for _ in 0..scaled(1_000) {
        in_time(|| {
            let (parent, guard) = Context::background().with_cancel();
            let (ctx, _ctx_guard) = parent.with_cancel();
            let mut waiters = run_all(3, |thread| {
                if thread == 0 {
                    guard.cancel();
                    return None;
                }
                let mut waiter = Waiter::on(&ctx);
                let answer = waiter.poll();
                Some((waiter, answer))
            });
            for (waiter, answer) in waiters.iter_mut().flatten() {
                match answer {
                    Poll::Pending => assert_eq!(waiter.wakes(), 1, "told once"),
                    Poll::Ready(_) => assert!(waiter.wakes() <= 1),
                }
                assert_eq!(waiter.poll(), READY);
            }
        });
    }
}

#[test]
fn the_waker_changed_while_the_cancel_runs_is_the_one_that_is_woken() {
    for _ in 0..scaled(1_000) {
        in_time(|| {
            let (ctx, guard) = Context::background().with_cancel();
            let first = Arc::new(Wakes::default());
            let second = Arc::new(Wakes::default());
            let done = Mutex::new(ctx.done());
            let poll_with = |wakes: &Arc<Wakes>| {
                let mut done = done.lock().expect("nobody panics with it");
                poll(&mut done, &wakes.clone().into())
            };
            assert_eq!(poll_with(&first), Poll::Pending);
            let answers = run_all(2, |thread| {
                if thread == 0 {
                    guard.cancel();
                    return READY;
                }
                poll_with(&second)
            });
            if answers[1].is_pending() {
                assert_eq!(second.count(), 1, "the waker of the last poll");
            }
            assert!(first.count() <= 1 && second.count() <= 1);
            assert_eq!(poll_with(&second), READY);
        });
    }
}

#[test]
fn a_done_dropped_while_the_cancel_runs_keeps_no_waker() {
    for _ in 0..scaled(1_000) {
        in_time(|| {
            let (ctx, guard) = Context::background().with_cancel();
            let Waiter { done, wakes } = Waiter::on(&ctx);
            let done = Mutex::new(Some(done));
            run_all(2, |thread| {
                if thread == 0 {
                    guard.cancel();
                } else {
                    drop(done.lock().expect("nobody panics with it").take());
                }
            });
            assert_eq!(Arc::strong_count(&wakes), 1);
            assert!(wakes.count() <= 1);
        });
    }
}
