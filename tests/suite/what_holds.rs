//! 'What holds', point by point: what the other modules prove of trees, deadlines, waits and callbacks one at a time is
//! proved here of all of them together, and what they leave out.

use crate::common::{
    DropCounter, Drops, LONG, MS, NS, PATIENCE, Reason, Waiter, Wakes, ahead_of, assert_canceled,
    assert_expired, assert_live, assert_stopped, eventually, in_time, manual, on_small_stack,
    on_wake, poll, poll_pinned, run_all, scaled, timed_and_told, when_told,
};
use crossbeam_channel::TryRecvError;
use ripcord::{CancelGuard, Cause, Context, Engine, Error, ManualClock};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Below a context: a child, a timed child, one whose deadline is the parent's, a merge with another tree, across engines,
/// and a child of that; with their guards.
fn family(top: &Context, other: &Context) -> Vec<(Context, CancelGuard)> {
    let child = top.with_cancel();
    let timed = child.0.with_timeout(LONG);
    let later = timed.0.with_timeout(2 * LONG);
    let merged = Context::merge([other, &later.0]);
    let first_of_merge = Context::merge([&child.0, other]);
    let below = merged.0.with_timeout(LONG / 2);
    vec![child, timed, later, merged, first_of_merge, below]
}

mod point_01 {
    use super::*;

    #[test]
    fn when_cancel_returns_all_that_was_derived_in_whatever_way_is_done() {
        let ((one, _one_clock), (two, _two_clock)) = (manual(), manual());
        let (other, _other_guard) = two.background().with_timeout(3 * LONG);
        for root in [one.background(), Context::background()] {
            let (top, guard) = root.with_timeout(3 * LONG);
            let all = family(&top, &other);
            guard.cancel_with(Reason(1));
            for (ctx, _) in &all {
                assert_canceled(ctx, Some(Reason(1)));
            }
            for (born, _) in &family(&top, &other) {
                assert_canceled(born, Some(Reason(1)));
            }
            assert_live(&other);
            assert_eq!(other.child_count(), 0);
        }
    }

    #[test]
    fn when_advance_returns_all_that_was_derived_from_what_is_due_is_done() {
        let ((one, clock), (two, _two_clock)) = (manual(), manual());
        let (other, _other_guard) = two.background().with_cancel();
        let (top, _guard) = one.background().with_timeout_cause(MS, Reason(1));
        let all = family(&top, &other);
        clock.advance(MS);
        for (ctx, _) in all.iter().chain(&family(&top, &other)) {
            assert_expired(ctx, Some(Reason(1)));
        }
        assert_live(&other);
    }

    #[test]
    fn cancels_deadlines_and_shutdowns_of_overlapping_trees_each_return_with_theirs_done() {
        for _ in 0..scaled(200) {
            in_time(|| {
                let (engine, clock) = manual();
                let (root, root_guard) = engine.background().with_cancel();
                let (timed, _timed_guard) = root.with_timeout(MS);
                let (inner, inner_guard) = timed.with_cancel();
                let leaves = Mutex::new(Vec::new());
                let all: Vec<_> = (0..10).map(|_| inner.with_timeout(MS)).collect();
                let live = run_all(4, |thread| {
                    match thread {
                        0 => root_guard.cancel(),
                        1 => inner_guard.cancel(),
                        2 => clock.advance(MS),
                        _ => {
                            let made: Vec<_> = (0..10).map(|_| inner.with_timeout(LONG)).collect();
                            leaves.lock().expect("nobody panics with it").extend(made);
                            return 0;
                        }
                    }
                    all.iter().filter(|(ctx, _)| !ctx.is_done()).count()
                });
                assert_eq!(live, [0; 4]);
                for (ctx, _) in leaves.lock().expect("nobody panics with it").iter() {
                    assert!(
                        ctx.is_done(),
                        "derived while they ran, it is done when they are over"
                    );
                }
            });
        }
    }
}

mod point_02 {
    use super::*;

    #[test]
    fn everybody_is_told_by_the_thread_that_ended_them_before_its_call_returns() {
        let (engine, clock) = manual();
        let ends: [fn(&Engine, &ManualClock, &CancelGuard); 3] = [
            |_, _, guard| guard.cancel(),
            |_, clock, _| clock.advance(LONG),
            |engine, _, _| engine.shutdown(),
        ];
        for end in ends {
            let (top, guard) = engine.background().with_timeout(LONG);
            let (child, _child_guard) = top.with_cancel();
            let (merged, _merged_guard) = Context::merge([&Context::background(), &child]);
            let on = Arc::new(Mutex::new(Vec::new()));
            let told = |ctx: &Context| {
                let on = on.clone();
                when_told(ctx, move || {
                    on.lock()
                        .expect("nobody panics with it")
                        .push(thread::current().id());
                })
            };
            let _dones = [&top, &child, &merged, &merged].map(told);
            let channel = merged.done_channel();
            let mut sleep = child.sleep(2 * LONG);
            let slept = Arc::new(Wakes::default());
            assert!(poll_pinned(&mut sleep, &slept.clone().into()).is_pending());
            end(&engine, &clock, &guard);
            let on = on.lock().expect("nobody panics with it");
            assert_eq!(*on, [thread::current().id(); 4]);
            assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(slept.count(), 1);
        }
    }

    #[test]
    fn callbacks_are_handed_over_before_cancel_returns() {
        let (ctx, guard) = Context::background().with_cancel();
        let (ran, has_run) = mpsc::channel();
        let registration = ctx.after_func(move || ran.send(()).expect("the test listens"));
        guard.cancel();
        assert!(!registration.stop(), "nobody can stop it any more");
        drop((ctx, guard, registration));
        has_run.recv_timeout(PATIENCE).expect("it runs");
    }

    #[test]
    fn a_task_woken_in_a_tree_with_deadlines_never_sees_a_live_descendant() {
        let (engine, clock) = manual();
        let (other, _other_guard) = manual().0.background().with_cancel();
        for by_cancel in [true, false] {
            let (top, guard) = engine.background().with_timeout(LONG / 4);
            let mut all = family(&top, &other);
            for index in 0..4 {
                all.extend(family(&all[index].0.clone(), &other));
            }
            let seen = Arc::new(Mutex::new(Vec::new()));
            let contexts: Arc<[Context]> = all.iter().map(|(ctx, _)| ctx.clone()).collect();
            let mut sleeps = Vec::new();
            let _dones: Vec<_> = contexts
                .iter()
                .map(|ctx| {
                    let look = {
                        let (seen, contexts) = (seen.clone(), contexts.clone());
                        move || {
                            let live = contexts.iter().filter(|ctx| !ctx.is_done()).count();
                            seen.lock().expect("nobody panics with it").push(live);
                        }
                    };
                    let mut sleep = ctx.sleep(LONG);
                    assert!(poll_pinned(&mut sleep, &on_wake(look.clone())).is_pending());
                    sleeps.push(sleep);
                    when_told(ctx, look)
                })
                .collect();
            if by_cancel {
                guard.cancel();
            } else {
                clock.advance(LONG / 4);
            }
            let seen = seen.lock().expect("nobody panics with it");
            assert_eq!(*seen, vec![0; 2 * contexts.len()]);
        }
    }
}

mod point_03 {
    use super::*;

    /// What cannot be told apart later: how, and why.
    fn end(ctx: &Context) -> (Option<Error>, String) {
        let cause = ctx.cause().map(|cause| cause.to_string());
        (ctx.err(), cause.unwrap_or_default())
    }

    #[test]
    fn the_cause_is_the_one_given_else_the_parents_else_the_error() {
        let (engine, clock) = manual();
        let root = engine.background();
        let (parent, guard) = root.with_timeout_cause(LONG, Reason(1));
        let (child, child_guard) = parent.with_timeout_cause(LONG / 2, Reason(2));
        let (below, _below_guard) = child.with_timeout_cause(LONG / 4, Reason(3));
        let (plain, _plain_guard) = child.with_timeout(LONG / 3);
        let (unused, _unused_guard) = parent.with_timeout_cause(LONG / 2, Reason(4));
        clock.advance(LONG / 4);
        assert_expired(&below, Some(Reason(3)));
        assert_live(&child);
        clock.advance(LONG / 3 - LONG / 4);
        assert_expired(&plain, None);
        child_guard.cancel_with(Reason(5));
        assert_canceled(&child, Some(Reason(5)));
        assert_expired(&below, Some(Reason(3)));
        guard.cancel();
        assert_canceled(&unused, None);
        let born = [
            child.with_timeout_cause(NS, Reason(6)),
            child.with_timeout_cause(Duration::ZERO, Reason(6)),
        ];
        for (born, _) in &born {
            assert_canceled(born, Some(Reason(5)));
        }
        clock.advance(2 * LONG);
        assert_canceled(&parent, None);
        assert_canceled(&child, Some(Reason(5)));
    }

    #[test]
    fn of_many_reasons_at_once_one_is_kept_by_everybody_and_never_changes() {
        in_time(|| {
            for _ in 0..scaled(300) {
                let (engine, clock) = manual();
                let (root, root_guard) = engine.background().with_cancel();
                let (timed, timed_guard) = root.with_timeout_cause(MS, Reason(1));
                let (child, _child_guard) = timed.with_cancel();
                let (merged, _merged_guard) = Context::merge([&child, &root]);
                let saw = run_all(5, |thread| {
                    match thread {
                        0 => clock.advance(MS),
                        1 => timed_guard.cancel_with(Reason(2)),
                        2 => root_guard.cancel_with(Reason(3)),
                        3 => engine.shutdown(),
                        _ => {
                            let mut seen = Vec::new();
                            for _ in 0..200 {
                                let now = [&timed, &child, &merged].map(|ctx| {
                                    // Looked at in this order, for the first may come in between.
                                    let err = ctx.err();
                                    err.map(|err| (Some(err), end(ctx).1))
                                });
                                seen.push(now);
                            }
                            return seen;
                        }
                    }
                    Vec::new()
                });
                let last = [&timed, &child, &merged].map(end);
                assert_eq!(last[0], last[1], "the child has its parent's");
                for seen in saw.into_iter().flatten() {
                    for (seen, last) in seen.into_iter().zip(&last) {
                        if let Some(seen) = seen {
                            assert_eq!(&seen, last);
                        }
                    }
                }
                for (error, why) in &last {
                    let expected = match why.as_str() {
                        "reason 1" => Error::DeadlineExceeded,
                        _ => Error::Canceled,
                    };
                    assert_eq!(*error, Some(expected), "{why}");
                }
            }
        });
    }
}

mod point_04 {
    use super::*;

    #[test]
    fn whatever_ended_it_every_way_of_waiting_is_over() {
        let (engine, clock) = manual();
        let root = engine.background();
        let (parent, parent_guard) = root.with_cancel();
        let (canceled, canceled_guard) = root.with_timeout(LONG);
        let (expired, _expired_guard) = root.with_timeout(MS);
        let (child, _child_guard) = expired.with_timeout(LONG);
        let (below, _below_guard) = parent.with_timeout(LONG);
        let (stopped, _stopped_guard) = root.with_timeout(LONG);
        let (merged, _merged_guard) = Context::merge([&Context::background(), &stopped]);
        let all = [&canceled, &expired, &child, &below, &stopped, &merged];
        let mut waiters = all.map(Waiter::on);
        let channels = all.map(Context::done_channel);
        canceled_guard.cancel();
        clock.advance(MS);
        parent_guard.cancel();
        engine.shutdown();
        let (past, _past_guard) = root.with_timeout(Duration::ZERO);
        let (late, _late_guard) = root.with_timeout(LONG);
        for ctx in all.into_iter().chain([&past, &late]) {
            let error = ctx.err().expect("it is done");
            assert!(ctx.is_done());
            assert_eq!(ctx.check(), Err(error));
            assert_eq!(ctx.wait(), error);
            assert_eq!(ctx.wait_timeout(LONG), Some(error));
            assert_eq!(ctx.blocking_sleep(LONG), Err(error));
            assert_eq!(
                ctx.done_channel().try_recv(),
                Err(TryRecvError::Disconnected)
            );
            let mut done = ctx.done();
            let mut sleep = ctx.sleep(LONG);
            let mut run = ctx.run(std::future::pending::<()>());
            for _ in 0..2 {
                assert_eq!(poll(&mut done, Waker::noop()), Poll::Ready(error));
                assert_eq!(
                    poll_pinned(&mut sleep, Waker::noop()),
                    Poll::Ready(Err(error))
                );
                assert_eq!(
                    poll_pinned(&mut run, Waker::noop()),
                    Poll::Ready(Err(error))
                );
            }
            assert_eq!(ctx.child_count(), 0);
        }
        for ((waiter, channel), ctx) in waiters.iter_mut().zip(channels).zip(all) {
            assert_eq!(waiter.wakes(), 1);
            assert_eq!(waiter.poll(), ctx.err().map_or(Poll::Pending, Poll::Ready));
            assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
        }
    }

    #[test]
    fn a_wait_dropped_before_the_deadline_has_given_its_waker_back() {
        let (engine, clock) = manual();
        let (ctx, _guard) = engine.background().with_timeout(MS);
        let Waiter { done, wakes } = Waiter::on(&ctx);
        drop(done);
        assert_eq!(Arc::strong_count(&wakes), 1);
        clock.advance(MS);
        assert_eq!(wakes.count(), 0);
    }
}

mod point_05 {
    use super::*;

    /// Its own is not earlier than the parent's: that fires for both.
    #[test]
    fn a_zero_timeout_under_a_deadline_that_is_due_ends_with_that() {
        let (engine, driver) = Engine::builder().driven().expect("it needs no thread");
        let (parent, _parent_guard) = engine.background().with_timeout(NS);
        thread::sleep(MS);
        let (child, _guard) = parent.with_timeout(Duration::ZERO);
        assert_live(&child);
        assert_eq!(driver.turn(), 1);
        assert_expired(&child, None);
    }

    #[test]
    fn on_a_driven_engine_nothing_but_a_turn_fires_whatever_else_is_done() {
        let (engine, driver) = Engine::builder().driven().expect("it needs no thread");
        let root = engine.background();
        let (due, _due_guard) = root.with_timeout(NS);
        let (below, _below_guard) = due.with_cancel();
        let waiter = Waiter::on(&below);
        thread::sleep(MS);
        for _ in 0..2_000 {
            // More than fit where deadlines are armed, so that some are moved on by others.
            let (ctx, guard) = root.with_timeout(LONG);
            drop(root.sleep(LONG));
            guard.cancel();
            drop(ctx.without_cancel());
        }
        let kept: Vec<_> = (0..3_000).map(|_| root.with_timeout(LONG)).collect();
        drop(kept);
        assert_eq!(driver.next_timeout(), Some(Duration::ZERO));
        assert_eq!(due.wait_timeout(MS), None);
        let (child, _child_guard) = due.with_timeout(LONG);
        for ctx in [&due, &below, &child] {
            assert_live(ctx);
        }
        assert_eq!(waiter.wakes(), 0);
        assert_eq!(driver.turn(), 1);
        for ctx in [&due, &below, &child] {
            assert_expired(ctx, None);
        }
        assert_eq!(waiter.wakes(), 1);
    }

    #[test]
    fn a_deadline_whose_instant_is_given_twice_fires_on_the_same_nanosecond() {
        let (engine, clock) = manual();
        let root = engine.background();
        for nanos in [1, 65_536, 4_194_304, 1 << 40] {
            let at = clock.now() + Duration::from_nanos(nanos);
            let (first, _first_guard) = root.with_deadline(at);
            clock.advance(Duration::from_nanos(nanos / 2));
            let (second, _second_guard) = root.with_deadline(at);
            assert_eq!(first.deadline(), second.deadline());
            let left = first.remaining().expect("it has a deadline");
            clock.advance(left.saturating_sub(NS));
            assert!(!first.is_done() && !second.is_done());
            clock.advance(NS);
            assert!(first.is_done() && second.is_done());
        }
    }

    #[test]
    fn a_deadline_on_a_manual_engine_is_compared_with_its_clock_and_with_no_other() {
        let (engine, clock) = manual();
        clock.advance(1_000 * LONG);
        let root = engine.background();
        let (past, _past_guard) = root.with_deadline(Instant::now() + LONG);
        assert_expired(&past, None);
        let (on_machines, _guard) = Context::background().with_deadline(clock.now());
        assert_live(&on_machines);
        let (ahead, _ahead_guard) = root.with_deadline(clock.now() + NS);
        assert_live(&ahead);
    }

    #[test]
    fn an_inherited_deadline_is_not_compared_with_the_clock_on_creation() {
        let (engine, driver) = Engine::builder().driven().expect("it needs no thread");
        let (parent, _guard) = engine.background().with_timeout(NS);
        thread::sleep(MS);
        let (child, _child_guard) = parent.with_timeout(LONG);
        let (plain, _plain_guard) = parent.with_cancel();
        let (own, _own_guard) = parent.with_timeout(Duration::ZERO);
        assert_live(&child);
        assert_live(&plain);
        assert!(own.deadline() <= parent.deadline().max(own.deadline()));
        driver.turn();
        for ctx in [&parent, &child, &plain, &own] {
            assert_expired(ctx, None);
        }
    }
}

mod point_06 {
    use super::*;

    /// Where values are, one of them is to be seen dropped while the registration is still there.
    #[test]
    fn a_registration_keeps_its_node_until_it_has_run() {
        let (engine, clock) = manual();
        let (parent, _parent_guard) = engine.background().with_cancel();
        let (ctx, guard) = parent.with_timeout(LONG);
        let (ran, has_run) = mpsc::channel();
        drop(ctx.after_func(move || ran.send(()).expect("the test listens")));
        drop((ctx, guard.disarm()));
        assert_eq!(parent.child_count(), 1);
        clock.advance(LONG);
        assert_eq!(parent.child_count(), 0);
        has_run.recv_timeout(PATIENCE).expect("it runs");
    }

    #[test]
    fn callbacks_that_block_hold_up_neither_a_cancel_nor_a_deadline_of_their_own_tree() {
        in_time(|| {
            let (root, guard) = Context::background().with_cancel();
            let (release, released) = crossbeam_channel::unbounded::<()>();
            for _ in 0..20 {
                let (ctx, ctx_guard) = root.with_timeout(MS);
                let released = released.clone();
                ctx.after_func(move || {
                    let _ = released.recv();
                });
                assert_eq!(ctx.wait(), Error::DeadlineExceeded);
                drop(ctx_guard);
            }
            let (late, _late_guard) = root.with_timeout(MS);
            assert_eq!(late.wait(), Error::DeadlineExceeded);
            guard.cancel();
            assert_canceled(&root, None);
            drop(release);
        });
    }

    #[test]
    fn a_future_run_under_a_context_that_is_done_between_polls_is_not_polled_again() {
        let (engine, clock) = manual();
        let (ctx, _guard) = engine.background().with_timeout(MS);
        let polls = Arc::new(AtomicUsize::new(0));
        let mut run = ctx.run(std::future::poll_fn({
            let polls = polls.clone();
            move |_| {
                polls.fetch_add(1, Ordering::SeqCst);
                Poll::<()>::Pending
            }
        }));
        assert!(poll_pinned(&mut run, Waker::noop()).is_pending());
        clock.advance(MS);
        for _ in 0..2 {
            let polled = poll_pinned(&mut run, Waker::noop());
            assert_eq!(polled, Poll::Ready(Err(Error::DeadlineExceeded)));
        }
        assert_eq!(polls.load(Ordering::SeqCst), 1);
    }
}

mod point_07 {
    use super::*;

    #[test]
    fn each_kind_of_handle_keeps_its_context_and_the_last_to_go_takes_it_off_its_parent() {
        let (engine, clock) = manual();
        let (parent, _parent_guard) = engine.background().with_cancel();
        type Keep = Box<dyn std::any::Any>;
        let kinds: [fn(Context, CancelGuard) -> Keep; 7] = [
            |ctx, _guard| {
                drop(_guard.disarm());
                Box::new(ctx)
            },
            |_, guard| Box::new(guard),
            |_, guard| Box::new(guard.disarm()),
            |ctx, guard| Box::new((ctx.done(), guard.disarm()).0),
            |ctx, guard| Box::new((ctx.sleep(LONG), guard.disarm()).0),
            |ctx, guard| Box::new((ctx.run(std::future::pending::<()>()), guard.disarm()).0),
            |ctx, guard| {
                let registration = ctx.after_func(|| {});
                drop(guard.disarm());
                Box::new(StopsAtLast(registration))
            },
        ];
        for (kind, keep) in kinds.into_iter().enumerate() {
            for derive in [0, 1] {
                let (ctx, guard) = match derive {
                    0 => parent.with_cancel(),
                    _ => parent.with_timeout(2 * LONG),
                };
                let kept = keep(ctx, guard);
                assert_eq!(parent.child_count(), 1, "kind {kind}");
                drop(kept);
                assert_eq!(parent.child_count(), 0, "kind {kind}");
            }
        }
        drop(clock);
    }

    struct StopsAtLast(ripcord::AfterFunc);

    impl Drop for StopsAtLast {
        fn drop(&mut self) {
            assert!(self.0.stop());
        }
    }

    #[test]
    fn a_wait_under_way_keeps_its_context_too() {
        in_time(|| {
            let (engine, clock) = manual();
            let (parent, _parent_guard) = engine.background().with_cancel();
            let (ctx, guard) = parent.with_timeout(LONG);
            drop(guard.disarm());
            let waits = thread::spawn(move || ctx.wait());
            assert_eq!(parent.child_count(), 1);
            clock.advance(LONG);
            assert_eq!(
                waits.join().expect("the waiting thread"),
                Error::DeadlineExceeded
            );
            assert_eq!(parent.child_count(), 0);
        });
    }

    #[test]
    fn what_is_off_its_parent_is_neither_counted_nor_told() {
        let (engine, clock) = manual();
        let (parent, parent_guard) = engine.background().with_cancel();
        let (expired, _expired_guard) = parent.with_timeout(MS);
        let (canceled, canceled_guard) = parent.with_timeout(LONG);
        let (dropped, dropped_guard) = parent.with_timeout(LONG);
        let waiters = [&expired, &canceled].map(Waiter::on);
        assert_eq!(parent.child_count(), 3);
        clock.advance(MS);
        assert_eq!(parent.child_count(), 2);
        canceled_guard.cancel();
        assert_eq!(parent.child_count(), 1);
        drop((dropped, dropped_guard.disarm()));
        assert_eq!(parent.child_count(), 0);
        parent_guard.cancel_with(Reason(1));
        clock.advance(2 * LONG);
        assert_expired(&expired, None);
        assert_canceled(&canceled, None);
        assert!(waiters.iter().all(|waiter| waiter.wakes() == 1));
    }

    #[test]
    fn a_deep_chain_and_a_wide_fan_of_deadlines_fire_and_go_without_recursion() {
        let many = || {
            scaled(if cfg!(debug_assertions) {
                100_000
            } else {
                1_000_000
            })
        };
        for ends in 0..4 {
            on_small_stack(move || {
                let (engine, clock) = manual();
                let (top, top_guard) = engine.background().with_cancel();
                let mut chain = vec![top.with_timeout(LONG)];
                for level in 1..many() {
                    let earlier = LONG - Duration::from_nanos(level as u64);
                    chain.push(chain[level - 1].0.with_timeout(earlier));
                }
                let fan: Vec<_> = (0..many()).map(|_| top.with_timeout(LONG)).collect();
                let leaf = chain.last().expect("it is long").0.clone();
                match ends {
                    0 => clock.advance(LONG),
                    1 => top_guard.cancel(),
                    2 => engine.shutdown(),
                    _ => {
                        // Live, and with handles in the wheel.
                        clock.advance(LONG / 2);
                        let (chain, fan): (Vec<_>, Vec<_>) = chain
                            .into_iter()
                            .zip(fan)
                            .map(|((chain, guard), (fan, fan_guard))| {
                                ((chain, guard.disarm()), (fan, fan_guard.disarm()))
                            })
                            .unzip();
                        drop((chain, fan));
                        assert_live(&leaf);
                        assert_eq!(top.child_count(), 1);
                        drop(leaf);
                        assert_eq!(top.child_count(), 0);
                        return;
                    }
                }
                assert!(leaf.is_done());
                assert!(chain.iter().chain(&fan).all(|(ctx, _)| ctx.is_done()));
                assert_eq!(top.child_count(), 0);
                drop((chain, fan, top));
            });
        }
    }
}

mod point_08 {
    use super::*;

    /// A thread that is held up in a waker until this is dropped.
    struct HeldUp {
        release: Option<mpsc::Sender<()>>,
        thread: Option<thread::JoinHandle<()>>,
    }

    impl HeldUp {
        /// In a waker that `f`'s cancel of this context calls.
        fn in_cancel(ctx: &Context, cancel: impl FnOnce() + Send + 'static) -> Self {
            let (entered, is_entered) = mpsc::channel();
            let (release, released) = mpsc::channel::<()>();
            let released = Mutex::new(released);
            let done = when_told(ctx, move || {
                let _ = entered.send(());
                let _ = released.lock().expect("nobody panics with it").recv();
            });
            let thread = thread::spawn(move || {
                let _done = done;
                cancel();
            });
            is_entered.recv().expect("the waker runs");
            Self {
                release: Some(release),
                thread: Some(thread),
            }
        }
    }

    impl Drop for HeldUp {
        fn drop(&mut self) {
            drop(self.release.take());
            if let Some(thread) = self.thread.take() {
                thread.join().expect("the thread that was held up");
            }
        }
    }

    /// What others can do on a tree, on its engine and anywhere else.
    fn all_goes_on(root: &Context) {
        for at in [root, &Context::background()] {
            let (ctx, guard) = at.with_cancel();
            let (timed, timed_guard) = ctx.with_timeout(LONG);
            let (merged, _merged_guard) = Context::merge([&timed, at]);
            let waiter = Waiter::on(&merged);
            let waits = thread::spawn({
                let merged = merged.clone();
                move || merged.wait()
            });
            drop(at.sleep(LONG));
            assert_eq!(ctx.child_count(), 1);
            guard.cancel();
            assert_canceled(&merged, None);
            assert_eq!(waiter.wakes(), 1);
            assert_eq!(waits.join().expect("the waiting thread"), Error::Canceled);
            drop((timed, timed_guard));
            assert_eq!(at.wait_timeout(NS), None);
        }
        let (timed, _guard) = Context::background().with_timeout(NS);
        assert_eq!(timed.wait(), Error::DeadlineExceeded);
    }

    #[test]
    fn a_thread_held_up_in_the_telling_of_its_cancel_keeps_nobody_from_anything() {
        in_time(|| {
            let (root, root_guard) = Context::background().with_cancel();
            let (top, guard) = root.with_cancel();
            let below: Vec<_> = (0..50).map(|_| top.with_timeout(LONG)).collect();
            let held_up = HeldUp::in_cancel(&top, move || guard.cancel());
            for (ctx, _) in &below {
                assert_canceled(ctx, None);
            }
            all_goes_on(&root);
            drop(below);
            root_guard.cancel();
            assert_canceled(&root, None);
            drop(held_up);
        });
    }

    #[test]
    fn a_thread_held_up_in_its_turn_keeps_nobody_from_anything_but_that_engines_deadlines() {
        in_time(|| {
            let (engine, clock) = manual();
            let (root, root_guard) = engine.background().with_cancel();
            let (timed, _timed_guard) = root.with_timeout(MS);
            let clock = Arc::new(clock);
            let held_up = HeldUp::in_cancel(&timed, {
                let clock = clock.clone();
                move || clock.advance(MS)
            });
            let (ctx, guard) = root.with_timeout(MS);
            clock.advance(MS);
            assert_live(&ctx);
            guard.cancel();
            let (own, own_guard) = root.with_cancel();
            let many: Vec<_> = (0..3_000).map(|_| own.with_timeout(LONG)).collect();
            drop(many);
            own_guard.cancel();
            assert_canceled(&own, None);
            root_guard.cancel();
            assert_canceled(&root, None);
            drop(held_up);
        });
    }

    #[test]
    fn a_timer_thread_held_up_in_a_waker_keeps_nobody_from_cancels_and_waits_of_its_engine() {
        in_time(|| {
            let engine = Engine::builder().build().expect("a thread can be started");
            let root = engine.background();
            let (release, released) = mpsc::channel::<()>();
            let released = Mutex::new(released);
            let (entered, is_entered) = mpsc::channel();
            let _told = timed_and_told(&root, 5 * MS, move || {
                let _ = entered.send(());
                let _ = released.lock().expect("nobody panics with it").recv();
            });
            is_entered.recv().expect("the waker runs");
            all_goes_on(&root);
            let (late, _late_guard) = root.with_timeout(MS);
            assert_eq!(Context::background().wait_timeout(2 * MS), None);
            assert_live(&late);
            drop(release);
            assert_eq!(late.wait(), Error::DeadlineExceeded);
        });
    }

    /// A thread is stopped at whatever instruction a signal finds it, again and again, while it makes, cancels, times,
    /// polls and drops; meanwhile another does all of that on the same tree. With the pool off the first would be
    /// stopped inside the allocator, which is not ours.
    #[cfg(all(target_os = "linux", not(ripcord_no_pool)))]
    #[test]
    fn a_thread_stopped_at_any_instruction_keeps_nobody_from_anything() {
        use std::os::unix::thread::JoinHandleExt;
        use std::sync::atomic::AtomicBool;

        /// After so many rounds all it needs is in the pool.
        const WARM: usize = 2_000;
        static STOPPED: AtomicBool = AtomicBool::new(false);
        static GO_ON: AtomicBool = AtomicBool::new(false);
        static CHURNS: AtomicUsize = AtomicUsize::new(0);

        extern "C" fn stand_still(_: libc::c_int) {
            STOPPED.store(true, Ordering::SeqCst);
            while !GO_ON.load(Ordering::SeqCst) {
                let pause = libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 10_000,
                };
                // SAFETY: the call reads one timespec, and may be made in a signal handler.
                unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
            }
            STOPPED.store(false, Ordering::SeqCst);
        }

        fn churn(root: &Context, wakes: &Waker) {
            let (ctx, guard) = root.with_cancel();
            let (timed, timed_guard) = ctx.with_timeout(LONG);
            let mut done = timed.done();
            let _ = poll(&mut done, wakes);
            let mut sleep = root.sleep(LONG);
            let _ = poll_pinned(&mut sleep, wakes);
            let (near, _near_guard) = root.with_timeout(Duration::from_micros(20));
            drop(timed_guard);
            guard.cancel();
            let _ = poll(&mut done, wakes);
            drop((ctx, done, sleep, near));
        }

        in_time(|| {
            // SAFETY: the handler touches atomics and sleeps, no more.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = stand_still as *const () as usize;
                action.sa_flags = libc::SA_RESTART;
                assert_eq!(
                    libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()),
                    0
                );
            }
            let (root, guard) = Context::background().with_cancel();
            let wakes = Arc::new(Wakes::default());
            let victim = thread::spawn({
                let (root, waker) = (root.clone(), Waker::from(wakes.clone()));
                move || {
                    while !root.is_done() {
                        churn(&root, &waker);
                        CHURNS.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
            eventually("it churns", || CHURNS.load(Ordering::SeqCst) > WARM);
            let waker = Waker::from(wakes);
            for round in 0..scaled(1_000) {
                GO_ON.store(false, Ordering::SeqCst);
                // SAFETY: the thread has not been joined.
                unsafe { libc::pthread_kill(victim.as_pthread_t(), libc::SIGUSR1) };
                while !STOPPED.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                for _ in 0..20 {
                    churn(&root, &waker);
                }
                // Ended from above, whatever the other has left half done.
                let (top, top_guard) = root.with_cancel();
                let below: [_; 3] = std::array::from_fn(|_| top.with_timeout(LONG));
                let mut waiter = Waiter::on(&below[2].0);
                top_guard.cancel();
                assert!(below.iter().all(|(ctx, _)| ctx.is_done()));
                assert_eq!(waiter.wakes(), 1);
                assert!(waiter.poll().is_ready());
                let _ = root.child_count();
                if round % 16 == 0 {
                    let (timed, _timed_guard) = root.with_timeout(NS);
                    assert_eq!(timed.wait(), Error::DeadlineExceeded);
                }
                if round + 1 == scaled(1_000) {
                    // The last time the whole tree ends above its head.
                    guard.cancel();
                    assert_canceled(&root, None);
                }
                GO_ON.store(true, Ordering::SeqCst);
                while STOPPED.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            }
            victim.join().expect("the thread that was stopped");
        });
    }
}

mod point_09 {
    use super::*;

    #[test]
    fn a_timeout_that_has_no_deadline_of_its_own_prints_as_a_cancel() {
        let (engine, _clock) = manual();
        let (plain, _plain_guard) = engine.background().with_timeout(Duration::MAX);
        assert_eq!(plain.to_string(), "context.Background.WithCancel");
        let (parent, _parent_guard) = engine.background().with_timeout(LONG);
        let (child, _child_guard) = parent.with_timeout(2 * LONG);
        assert_eq!(child.to_string(), format!("{parent}.WithCancel"));
    }

    #[test]
    fn after_without_cancel_there_is_a_fresh_background_of_whatever_engine() {
        let (engine, _clock) = manual();
        for root in [engine.background(), Context::background(), Context::todo()] {
            let (ctx, _guard) = root.with_timeout(LONG);
            let (child, _child_guard) = ctx.without_cancel().with_cancel();
            assert_eq!(child.to_string(), "context.Background.WithCancel");
        }
    }

    #[test]
    fn neither_display_nor_debug_of_any_type_gives_a_cause_away() {
        let (engine, clock) = manual();
        let secret = || Cause::msg("hunter2");
        let (ctx, guard) = engine.background().with_timeout_cause(LONG, secret());
        let done = ctx.done();
        let sleep = ctx.sleep(LONG);
        let run = ctx.run(std::future::ready("hunter2"));
        let registration = ctx.after_func(|| {});
        let printed = [
            format!("{ctx} {ctx:?} {guard:?} {:?}", guard.handle()),
            format!("{done:?} {sleep:?} {run:?} {registration:?}"),
            format!("{engine:?} {clock:?} {:?}", Engine::builder()),
        ];
        guard.cancel_with(secret());
        let after = format!("{ctx} {ctx:?} {done:?} {sleep:?}");
        for printed in printed.iter().chain([&after]) {
            assert!(!printed.contains("hunter2"), "{printed}");
        }
    }
}

mod point_10 {
    use super::*;

    /// Panics when it is dropped, as an error and otherwise.
    #[derive(Debug)]
    struct Bomb {
        _counted: DropCounter,
    }

    impl std::fmt::Display for Bomb {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bomb")
        }
    }

    impl std::error::Error for Bomb {}

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the drop of a bomb");
        }
    }

    #[test]
    fn whatever_panics_nothing_is_skipped_and_nothing_is_raised_again() {
        in_time(|| {
            let (engine, clock) = manual();
            let ends: [fn(&Engine, &ManualClock, &CancelGuard); 3] = [
                |_, _, guard| guard.cancel(),
                |_, clock, _| clock.advance(LONG),
                |engine, _, _| engine.shutdown(),
            ];
            for end in ends {
                let drops = Drops::default();
                let bomb = || Bomb {
                    _counted: drops.error(),
                };
                let (top, guard) = engine.background().with_timeout_cause(LONG, bomb());
                let mut kept = Vec::new();
                let waiters: Vec<_> = (0..10)
                    .map(|_| {
                        let (ctx, ctx_guard) = top.with_timeout_cause(LONG / 2, bomb());
                        kept.push(when_told(&ctx, || panic!("a waker")));
                        // Not in one closure: two panics at once end the process.
                        let carried = bomb();
                        ctx.after_func(move || drop(carried));
                        ctx.after_func(|| panic!("a callback"));
                        let mut sleep = ctx.sleep(LONG);
                        let waker = on_wake(|| panic!("a waker of a sleep"));
                        assert!(poll_pinned(&mut sleep, &waker).is_pending());
                        let waiter = Waiter::on(&ctx);
                        (waiter, sleep, ctx, ctx_guard)
                    })
                    .collect();
                end(&engine, &clock, &guard);
                for (waiter, _, ctx, _) in &waiters {
                    assert!(ctx.is_done());
                    assert_eq!(waiter.wakes(), 1);
                }
                drop((waiters, kept, top, guard));
                // One cause for each of the eleven deadlines, and ten closures.
                eventually("each bomb goes off once", || drops.count() == 21);
            }
            assert_eq!(engine.background().child_count(), 0);
        });
    }

    #[test]
    fn a_guard_dropped_while_its_thread_panics_goes_on_too() {
        let (ctx, guard) = Context::background().with_timeout(LONG);
        let (child, _child_guard) = ctx.with_timeout(LONG / 2);
        let _panics = when_told(&child, || panic!("a waker called while its thread panics"));
        let waiter = Waiter::on(&child);
        let panicked = thread::spawn(move || {
            let _guard = guard;
            panic!("the thread that has the guard");
        })
        .join();
        assert!(panicked.is_err());
        assert_eq!(waiter.wakes(), 1);
        assert_canceled(&child, None);
    }
}

mod point_11 {
    use super::*;

    /// The cancel is at work among many others, and has not come to the sleep yet.
    #[test]
    fn a_sleep_of_a_context_that_is_done_is_ready() {
        in_time(|| {
            let (ctx, guard) = Context::background().with_cancel();
            let mut sleep = ctx.sleep(LONG);
            let children: Vec<_> = (0..100_000).map(|_| ctx.with_cancel()).collect();
            let canceller = thread::spawn(move || guard.cancel());
            while !ctx.is_done() {
                thread::yield_now();
            }
            let polled = poll_pinned(&mut sleep, Waker::noop());
            assert_eq!(polled, Poll::Ready(Err(Error::Canceled)));
            canceller.join().expect("it does not panic");
            drop(children);
        });
    }

    #[test]
    fn a_time_is_counted_on_the_clock_of_the_contexts_engine() {
        in_time(|| {
            let ((one, one_clock), (two, two_clock)) = (manual(), manual());
            let (of_one, _one_guard) = one.background().with_cancel();
            let (of_two, _two_guard) = two.background().with_cancel();
            let (merged, _merged_guard) = Context::merge([&of_two, &of_one]);
            let mut sleep = merged.sleep(LONG);
            assert!(poll_pinned(&mut sleep, Waker::noop()).is_pending());
            one_clock.advance(2 * LONG);
            assert!(poll_pinned(&mut sleep, Waker::noop()).is_pending());
            two_clock.advance(LONG);
            assert_eq!(poll_pinned(&mut sleep, Waker::noop()), Poll::Ready(Ok(())));
            for ctx in [merged.without_cancel(), merged] {
                let slept =
                    thread::spawn(move || (ctx.wait_timeout(LONG), ctx.blocking_sleep(LONG)));
                while !slept.is_finished() {
                    two_clock.advance(LONG);
                    thread::sleep(MS);
                }
                assert_eq!(slept.join().expect("the blocked thread"), (None, Ok(())));
            }
        });
    }

    /// In a process of its own, which ends them.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_wait_on_a_context_that_can_never_be_done_lasts() {
        const IN_CHILD: &str = "RIPCORD_WAIT_FOR_EVER";
        if std::env::var_os(IN_CHILD).is_some() {
            let last = waits_on_what_can_never_be_done_last();
            // SAFETY: it ends the process at once, leaving nothing to run that could see it half gone.
            unsafe { libc::_exit(i32::from(!last)) };
        }
        let this = "what_holds::point_11::a_wait_on_a_context_that_can_never_be_done_lasts";
        let child = std::process::Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", this])
            .env(IN_CHILD, "1")
            .output()
            .expect("this program can be started");
        assert!(child.status.success(), "{child:?}");
        let printed = String::from_utf8_lossy(&child.stdout);
        assert!(printed.starts_with("\nrunning 1 test"), "{printed}");
    }

    #[cfg(target_os = "linux")]
    fn waits_on_what_can_never_be_done_last() -> bool {
        let (engine, clock) = manual();
        let waits: Vec<_> = [
            Context::background(),
            Context::todo(),
            engine.background(),
            Engine::global().background(),
        ]
        .into_iter()
        .map(|ctx| thread::spawn(move || ctx.wait()))
        .collect();
        clock.advance(LONG);
        engine.shutdown();
        thread::sleep(20 * MS);
        waits.iter().all(|wait| !wait.is_finished())
    }

    #[test]
    fn zero_and_endless_times_are_times_like_any_other() {
        in_time(|| {
            let (by_hand, _clock) = manual();
            let (by_loop, _driver) = Engine::builder().driven().expect("it needs no thread");
            let own = Engine::builder().build().expect("a thread can be started");
            for root in [
                Context::background(),
                by_hand.background(),
                by_loop.background(),
                own.background(),
            ] {
                let (ctx, guard) = root.with_cancel();
                for ctx in [&root, &ctx] {
                    assert_eq!(ctx.wait_timeout(Duration::ZERO), None);
                    assert_eq!(ctx.blocking_sleep(Duration::ZERO), Ok(()));
                    let mut sleep = ctx.sleep(Duration::ZERO);
                    assert_eq!(poll_pinned(&mut sleep, Waker::noop()), Poll::Ready(Ok(())));
                }
                let waits = thread::spawn({
                    let ctx = ctx.clone();
                    move || {
                        let waited = ctx.wait_timeout(Duration::MAX);
                        (waited, ctx.blocking_sleep(Duration::MAX))
                    }
                });
                guard.cancel();
                let canceled = Error::Canceled;
                assert_eq!(
                    waits.join().expect("the blocked thread"),
                    (Some(canceled), Err(canceled))
                );
            }
        });
    }

    #[test]
    fn blocking_waits_on_a_manual_engine_that_is_stopped_end_as_its_clock_moves_on() {
        in_time(|| {
            let (engine, clock) = manual();
            let (ctx, guard) = engine.background().with_cancel();
            let wait = |d| {
                let ctx = ctx.clone();
                thread::spawn(move || (ctx.wait_timeout(d), ctx.blocking_sleep(d)))
            };
            let before = wait(LONG);
            thread::sleep(20 * MS);
            engine.shutdown();
            let after = wait(2 * LONG);
            let longest = wait(Duration::MAX);
            thread::sleep(20 * MS);
            let waits = [before, after];
            assert!(waits.iter().all(|wait| !wait.is_finished()), "time stands");
            assert_eq!(ctx.wait_timeout(Duration::ZERO), None);
            assert_stopped(&ctx.with_timeout(LONG).0);
            for wait in waits {
                while !wait.is_finished() {
                    clock.advance(LONG);
                    thread::sleep(MS);
                }
                assert_eq!(wait.join().expect("the wait"), (None, Ok(())));
            }
            assert_live(&ctx);
            guard.cancel();
            let ended = longest.join().expect("the wait");
            assert_eq!(ended, (Some(Error::Canceled), Err(Error::Canceled)));
        });
    }

    /// Holds up the thread of an engine until the answer is dropped.
    fn held_up(engine: &Engine) -> impl Sized + use<> {
        let (go, may_go) = mpsc::channel::<()>();
        let may_go = Mutex::new(may_go);
        let told = timed_and_told(&engine.background(), MS, move || {
            let _ = may_go.lock().expect("one thread").recv();
        });
        eventually("the thread is held up", || told.0.is_done());
        (go, told)
    }

    #[test]
    fn of_merged_deadlines_one_that_is_due_ends_a_wait_whichever_is_earlier_or_named_first() {
        in_time(|| {
            let own = Engine::builder().build().expect("a thread can be started");
            let (by_hand, clock) = manual();
            let (by_loop, _driver) = Engine::builder().driven().expect("it needs no thread");
            let _held_up = held_up(&own);
            for earlier in [10 * MS, Duration::ZERO] {
                // Live, the one of the loop stays so: nobody takes a turn.
                let ((due, _due_guard), (looped, _looped_guard)) = ahead_of(20 * MS, |after| {
                    let at = Instant::now() + after;
                    let due = own.background().with_deadline(at);
                    let looped = by_loop.background().with_deadline(at - earlier);
                    (!looped.0.is_done()).then_some((due, looped))
                });
                let (hand, _hand_guard) = by_hand.background().with_deadline(clock.now() + MS);
                for parents in [[&due, &looped], [&looped, &due], [&due, &hand]] {
                    let (merged, _guard) = Context::merge(parents);
                    assert_eq!(merged.wait_timeout(50 * MS), Some(Error::DeadlineExceeded));
                }
                assert_live(&looped);
                assert_live(&hand);
            }
        });
    }

    #[test]
    fn a_wait_by_a_manual_clock_ends_with_another_engines_deadline_that_is_due() {
        in_time(|| {
            let own = Engine::builder().build().expect("a thread can be started");
            let (by_hand, clock) = manual();
            let (hand, _hand_guard) = by_hand.background().with_cancel();
            let _held_up = held_up(&own);
            let (due, _due_guard) = own.background().with_timeout(10 * MS);
            let (merged, _guard) = Context::merge([&hand, &due]);
            let wait = thread::spawn(move || merged.wait_timeout(LONG));
            thread::sleep(20 * MS);
            while !wait.is_finished() {
                clock.advance(LONG);
                thread::sleep(MS);
            }
            assert_eq!(
                wait.join().expect("the wait"),
                Some(Error::DeadlineExceeded)
            );
        });
    }

    #[test]
    fn a_bounded_wait_below_many_merges_of_merges_comes_to_each_once() {
        in_time(|| {
            let (engine, _driver) = Engine::builder().driven().expect("it needs no thread");
            let (mut below, _guard) = engine.background().with_timeout(MS);
            let mut guards = Vec::new();
            for _ in 0..60 {
                let (left, left_guard) = below.with_cancel();
                let (right, right_guard) = below.with_cancel();
                let (both, both_guard) = Context::merge([&left, &right]);
                below = both;
                guards.extend([left_guard, right_guard, both_guard]);
            }
            assert_eq!(below.wait_timeout(5 * MS), None);
        });
    }

    #[test]
    fn a_sleep_that_is_over_says_that_its_context_is_where_another_engines_deadline_is_due() {
        in_time(|| {
            let own = Engine::builder().build().expect("a thread can be started");
            let (by_hand, clock) = manual();
            let (hand, _hand_guard) = by_hand.background().with_cancel();
            let _held_up = held_up(&own);
            let (due, _due_guard) = own.background().with_timeout(10 * MS);
            let (merged, _merged_guard) = Context::merge([&hand, &due]);
            let mut sleep = merged.sleep(MS);
            assert_eq!(poll_pinned(&mut sleep, Waker::noop()), Poll::Pending);
            thread::sleep(20 * MS);
            clock.advance(MS);
            assert_eq!(format!("{sleep:?}"), "Sleep(Some(Ok(())))");
            assert!(!merged.is_done(), "to look fires nothing");
            let ended = Poll::Ready(Err(Error::DeadlineExceeded));
            assert_eq!(poll_pinned(&mut sleep, Waker::noop()), ended);
        });
    }
}
