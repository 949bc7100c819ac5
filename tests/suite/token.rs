//! What tokio-util's `CancellationToken` does for its users, a context does too, under tokio's own runtimes.

use crate::common::{Reason, Waiter, assert_canceled, assert_live, in_time, poll, scaled};
use ripcord::{Context, Error};
use std::future::Future;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

const READY: Poll<Error> = Poll::Ready(Error::Canceled);

#[test]
fn a_wait_begun_before_the_cancel_is_woken_and_one_begun_after_is_ready_at_once() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut before = Waiter::on(&ctx);
    let mut unpolled = ctx.done();
    assert_eq!(before.poll(), Poll::Pending);
    assert_eq!(before.wakes(), 0);

    guard.cancel();
    assert_eq!(before.wakes(), 1);
    assert_eq!(before.poll(), READY);
    assert_eq!(poll(&mut unpolled, Waker::noop()), READY);
    let mut after = Waiter::on(&ctx);
    assert_eq!(after.poll(), READY);
    assert_eq!(after.wakes(), 0);
}

#[test]
fn waits_on_a_child_and_on_its_parent_are_both_woken_by_the_parents_cancel() {
    let (parent, guard) = Context::background().with_cancel();
    let (child, _child_guard) = parent.with_cancel();
    let mut waiters = [Waiter::on(&child), Waiter::on(&parent)];
    guard.cancel();
    for waiter in &mut waiters {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.poll(), READY);
    }
}

#[test]
fn a_root_reaches_its_grandchild_when_every_handle_on_the_one_between_is_dropped() {
    let (root, guard) = Context::background().with_cancel();
    let (between, between_guard) = root.with_cancel();
    let (grandchild, _grandchild_guard) = between.with_cancel();
    drop((between, between_guard.disarm()));
    assert_live(&grandchild);
    let mut waiter = Waiter::on(&grandchild);

    guard.cancel_with(Reason(1));
    assert_eq!(waiter.wakes(), 1);
    assert_eq!(waiter.poll(), READY);
    assert_canceled(&grandchild, Some(Reason(1)));
}

#[test]
fn a_chain_whose_middle_is_dropped_piece_by_piece_still_carries_the_cancel() {
    const LEVELS: usize = 30;
    let (root, guard) = Context::background().with_cancel();
    let mut chain = vec![root.clone()];
    for level in 0..LEVELS {
        let (next, guard) = chain[level].with_cancel();
        drop(guard.disarm());
        chain.push(next);
    }
    let leaf = chain[LEVELS].clone();
    for level in (0..LEVELS).step_by(2).chain((1..=LEVELS).step_by(2)) {
        chain[level] = Context::background();
        assert_live(&leaf);
    }
    assert_eq!(root.child_count(), 1);
    guard.cancel_with(Reason(1));
    assert_canceled(&leaf, Some(Reason(1)));
}

#[test]
fn a_child_cancelled_alone_leaves_parent_and_later_siblings_waiting() {
    let (parent, guard) = Context::background().with_cancel();
    let (first, first_guard) = parent.with_cancel();
    let mut on_first = Waiter::on(&first);
    let mut on_parent = Waiter::on(&parent);

    first_guard.cancel();
    assert_eq!((on_first.wakes(), on_parent.wakes()), (1, 0));
    assert_eq!(on_first.poll(), READY);
    assert_eq!(on_parent.poll(), Poll::Pending);

    let (second, _second_guard) = parent.with_cancel();
    let mut on_second = Waiter::on(&second);
    assert_eq!(on_second.poll(), Poll::Pending);
    guard.cancel();
    let wakes = [&on_first, &on_second, &on_parent].map(Waiter::wakes);
    assert_eq!(wakes, [1, 1, 1]);
    assert_eq!(on_second.poll(), READY);
    assert_eq!(on_parent.poll(), READY);
}

#[test]
fn a_child_born_done_and_its_parent_go_in_either_order() {
    for child_first in [true, false] {
        let (parent, guard) = Context::background().with_cancel();
        guard.cancel_with(Reason(1));
        let (child, child_guard) = parent.with_cancel();
        let mut waiters = [Waiter::on(&child), Waiter::on(&parent)];
        for waiter in &mut waiters {
            assert_eq!(waiter.poll(), READY);
            assert_eq!(waiter.wakes(), 0);
        }
        if child_first {
            drop((child, child_guard));
            assert_canceled(&parent, Some(Reason(1)));
        } else {
            drop((parent, guard));
            assert_canceled(&child, Some(Reason(1)));
        }
    }
}

#[test]
fn children_dropped_in_any_order_never_end_their_parent() {
    let orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]];
    for order in orders {
        let (parent, _guard) = Context::background().with_cancel();
        let mut children = [(); 3].map(|()| Some(parent.with_cancel()));
        for (dropped, index) in order.into_iter().enumerate() {
            children[index] = None;
            assert_eq!(parent.child_count(), 2 - dropped);
            assert_live(&parent);
        }
    }
}

#[test]
fn a_cancel_wakes_all_descendants_and_nobody_else() {
    let (grandparent, _grandparent_guard) = Context::background().with_cancel();
    let (target, guard) = grandparent.with_cancel();
    let (sibling, _sibling_guard) = grandparent.with_cancel();
    let mut family = vec![target.clone()];
    let mut guards = Vec::new();
    for parent in [0, 0, 1, 1, 3] {
        let (ctx, guard) = family[parent].with_cancel();
        family.push(ctx);
        guards.push(guard);
    }
    let mut inside: Vec<_> = family.iter().map(Waiter::on).collect();
    let mut outside = [Waiter::on(&grandparent), Waiter::on(&sibling)];

    guard.cancel();
    for waiter in &mut inside {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.poll(), READY);
        assert_eq!(waiter.wakes(), 1);
    }
    for waiter in &mut outside {
        assert_eq!(waiter.wakes(), 0);
        assert_eq!(waiter.poll(), Poll::Pending);
    }
}

#[test]
fn a_parent_dropped_before_its_children_does_not_cancel_them() {
    let (parent, guard) = Context::background().with_cancel();
    let children = [parent.with_cancel(), parent.with_cancel()];
    let handle = guard.disarm();
    drop(parent);
    for (child, _) in &children {
        assert_live(child);
    }
    drop(handle);
    for (child, _) in &children {
        assert_live(child);
    }
}

#[test]
fn a_parents_guard_dropped_first_cancels_the_children() {
    let (parent, guard) = Context::background().with_cancel();
    let (child, _child_guard) = parent.with_cancel();
    drop(parent);
    drop(guard);
    assert_canceled(&child, None);
}

#[test]
fn a_guard_cancels_when_it_is_dropped_unless_it_was_disarmed() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut waiter = Waiter::on(&ctx);
    drop(guard);
    assert_canceled(&ctx, None);
    assert_eq!(waiter.wakes(), 1);
    assert_eq!(waiter.poll(), READY);

    let (ctx, guard) = Context::background().with_cancel();
    let waiter = Waiter::on(&ctx);
    let handle = guard.disarm();
    drop(handle.clone());
    assert_live(&ctx);
    assert_eq!(waiter.wakes(), 0);
    handle.cancel_with(Reason(1));
    assert_canceled(&ctx, Some(Reason(1)));
}

#[test]
fn a_guard_dropped_by_a_panic_cancels() {
    let (ctx, guard) = Context::background().with_cancel();
    let worker = std::thread::spawn(move || {
        let _guard = guard;
        panic!("the worker fails");
    });
    assert!(worker.join().is_err());
    assert_canceled(&ctx, None);
}

#[test]
fn a_handle_cancels_when_told_and_not_when_dropped() {
    let (ctx, guard) = Context::background().with_cancel();
    let handles = [guard.handle(), guard.handle().clone()];
    drop(guard.handle());
    assert_live(&ctx);
    for (index, handle) in handles.iter().enumerate() {
        handle.cancel_with(Reason(index as u64));
        assert_canceled(&ctx, Some(Reason(0)));
    }
}

#[test]
fn ten_thousand_children_are_each_woken_once() {
    let (parent, guard) = Context::background().with_cancel();
    let family: Vec<_> = (0..scaled(10_000))
        .map(|_| {
            let (child, child_guard) = parent.with_cancel();
            (Waiter::on(&child), child, child_guard)
        })
        .collect();
    assert_eq!(parent.child_count(), family.len());
    guard.cancel();
    for (waiter, child, _) in &family {
        assert!(child.is_done());
        assert_eq!(waiter.wakes(), 1);
    }
}

#[test]
fn ten_thousand_waits_on_one_context_are_each_woken_once() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut waiters: Vec<_> = (0..scaled(10_000)).map(|_| Waiter::on(&ctx)).collect();
    assert_eq!(ctx.child_count(), 0);
    guard.cancel();
    guard.cancel();
    for waiter in &mut waiters {
        assert_eq!(waiter.wakes(), 1);
        assert_eq!(waiter.poll(), READY);
    }
}

fn current_thread() -> Runtime {
    Builder::new_current_thread()
        .build()
        .expect("a runtime can be built")
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime can be built")
}

fn on_both_runtimes<F: Future<Output = ()>>(f: impl Fn() -> F + Copy + Send + 'static) {
    for runtime in [current_thread, multi_thread] {
        in_time(move || runtime().block_on(f()));
    }
}

#[test]
fn a_spawned_task_owns_its_wait() {
    on_both_runtimes(|| async {
        let (ctx, guard) = Context::background().with_cancel();
        let waiting = tokio::spawn(ctx.done());
        drop(ctx);
        tokio::task::yield_now().await;
        guard.cancel();
        assert_eq!(waiting.await.expect("the task"), Error::Canceled);
    });
}

#[test]
fn tasks_that_wait_on_children_all_end_with_the_roots_cancel() {
    on_both_runtimes(|| async {
        let (root, guard) = Context::background().with_cancel();
        let mut tasks = JoinSet::new();
        for _ in 0..100 {
            let (child, child_guard) = root.with_cancel();
            tasks.spawn(async move {
                let error = child.done().await;
                drop(child_guard);
                (error, child)
            });
        }
        tokio::task::yield_now().await;
        guard.cancel_with(Reason(1));
        while let Some(ended) = tasks.join_next().await {
            let (error, child) = ended.expect("a task");
            assert_eq!(error, Error::Canceled);
            assert_canceled(&child, Some(Reason(1)));
        }
    });
}

#[test]
fn a_select_takes_the_end_before_work_that_is_always_ready() {
    on_both_runtimes(|| async {
        let (ctx, guard) = Context::background().with_cancel();
        let mut done = ctx.done();
        let mut rounds = 0;
        let error = loop {
            tokio::select! {
                biased;
                error = &mut done => break error,
                () = async {} => rounds += 1,
            }
            if rounds == 10 {
                guard.cancel();
            }
            assert!(rounds <= 10, "the end was not looked at first");
        };
        assert_eq!(error, Error::Canceled);
    });
}

#[test]
fn a_wait_given_up_in_a_select_leaves_the_context_live_and_costs_the_next_nothing() {
    on_both_runtimes(|| async {
        let (ctx, guard) = Context::background().with_cancel();
        for _ in 0..100 {
            let (sender, receiver) = oneshot::channel();
            let work = tokio::spawn(async move {
                let _ = sender.send(1);
            });
            tokio::select! {
                error = ctx.done() => panic!("nobody cancelled, yet {error}"),
                answer = receiver => assert_eq!(answer, Ok(1)),
            }
            work.await.expect("the work");
        }
        guard.cancel();
        assert_eq!(ctx.done().await, Error::Canceled);
    });
}

#[test]
fn an_aborted_task_takes_its_wait_with_it() {
    on_both_runtimes(|| async {
        let (ctx, guard) = Context::background().with_cancel();
        let task = tokio::spawn({
            let ctx = ctx.clone();
            async move { ctx.done().await }
        });
        tokio::task::yield_now().await;
        task.abort();
        assert!(task.await.expect_err("it was aborted").is_cancelled());
        assert_live(&ctx);
        guard.cancel();
        assert_canceled(&ctx, None);
    });
}

#[test]
fn a_blocking_task_waits_without_the_runtime() {
    on_both_runtimes(|| async {
        let (ctx, guard) = Context::background().with_cancel();
        let blocked = tokio::task::spawn_blocking(move || ctx.wait());
        guard.cancel();
        assert_eq!(blocked.await.expect("the task"), Error::Canceled);
    });
}

#[test]
fn a_task_is_woken_by_a_thread_that_knows_no_runtime() {
    on_both_runtimes(|| async {
        let (ctx, guard) = Context::background().with_cancel();
        let (polled, is_polled) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            is_polled.recv().expect("the task polls");
            guard.cancel_with(Reason(1));
        });
        let mut done = ctx.done();
        let error = std::future::poll_fn(move |task| {
            let answer = std::pin::Pin::new(&mut done).poll(task);
            let _ = polled.send(());
            answer
        })
        .await;
        assert_eq!(error, Error::Canceled);
        assert_canceled(&ctx, Some(Reason(1)));
        thread.join().expect("the cancelling thread");
    });
}

#[test]
fn a_done_is_static_and_send_whatever_the_context_was_borrowed_from() {
    fn of_a_borrow(ctx: &Context) -> impl Future<Output = Error> + Send + Sync + Unpin + 'static {
        ctx.done()
    }
    let (ctx, guard) = Context::background().with_cancel();
    let done = of_a_borrow(&ctx);
    drop(ctx);
    guard.cancel();
    assert_eq!(current_thread().block_on(done), Error::Canceled);
}
