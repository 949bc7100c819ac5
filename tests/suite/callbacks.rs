//! What `after_func` registers runs once, on another thread, or is dropped once; and holds nobody up.

use crate::common::{
    Drops, LONG, MS, PATIENCE, Reason, Waiter, assert_canceled, assert_live, eventually, in_time,
    manual, run_all, scaled,
};
use crossbeam_channel::{Receiver, Sender, unbounded};
use ripcord::{AfterFunc, Context, Engine, Error};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

/// A function that counts its runs and its drop, and says on which thread it ran.
struct Probe {
    runs: Arc<AtomicUsize>,
    drops: Drops,
    ran: Sender<ThreadId>,
    has_run: Receiver<ThreadId>,
}

impl Probe {
    fn new() -> Self {
        let (ran, has_run) = unbounded();
        Self {
            runs: Arc::default(),
            drops: Drops::default(),
            ran,
            has_run,
        }
    }

    fn function(&self) -> impl FnOnce() + Send + 'static {
        let (runs, ran, counted) = (self.runs.clone(), self.ran.clone(), self.drops.error());
        move || {
            let _counted = counted;
            runs.fetch_add(1, Ordering::SeqCst);
            let _ = ran.send(thread::current().id());
        }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// It runs, on another thread than this, and is dropped.
    #[track_caller]
    fn assert_runs_once(&self) {
        let on = self.has_run.recv_timeout(PATIENCE).expect("it runs");
        assert_ne!(on, thread::current().id());
        eventually("it is dropped", || self.drops.count() == 1);
        assert_eq!(self.runs(), 1);
    }

    #[track_caller]
    fn assert_dropped_unrun(&self) {
        assert_eq!((self.runs(), self.drops.count()), (0, 1));
    }
}

#[test]
fn a_cancel_runs_it_once_on_another_thread() {
    let (ctx, guard) = Context::background().with_cancel();
    let (child, _child_guard) = ctx.with_cancel();
    let (merged, _merged_guard) = Context::merge([&child, &ctx]);
    let probes: [_; 3] = std::array::from_fn(|_| Probe::new());
    let registrations: Vec<_> = [&ctx, &child, &merged]
        .iter()
        .zip(&probes)
        .map(|(ctx, probe)| ctx.after_func(probe.function()))
        .collect();
    assert!(
        probes
            .iter()
            .all(|probe| probe.runs() == 0 && probe.drops.count() == 0)
    );
    guard.cancel();
    guard.cancel();
    for (probe, registration) in probes.iter().zip(&registrations) {
        probe.assert_runs_once();
        assert!(!registration.stop());
        assert_eq!(probe.runs(), 1);
    }
}

#[test]
fn a_cancel_does_not_wait_for_one_that_blocks() {
    in_time(|| {
        let (ctx, guard) = Context::background().with_cancel();
        let (release, released) = unbounded::<()>();
        let (ran, has_run) = unbounded();
        ctx.after_func(move || {
            // It can only be let go after `cancel` has returned.
            released.recv().expect("the test lets go");
            ran.send(()).expect("the test listens");
        });
        guard.cancel();
        assert_canceled(&ctx, None);
        release.send(()).expect("the function waits");
        has_run.recv_timeout(PATIENCE).expect("it runs");
    });
}

#[test]
fn it_sees_its_context_done_and_its_cause() {
    let (ctx, guard) = Context::background().with_cancel();
    let (child, _child_guard) = ctx.with_cancel();
    let (saw, has_seen) = unbounded();
    ctx.after_func({
        let (ctx, child) = (ctx.clone(), child.clone());
        move || {
            let both = [&ctx, &child].map(|ctx| (ctx.err(), crate::common::reason(ctx)));
            saw.send(both).expect("the test listens");
        }
    });
    guard.cancel_with(Reason(1));
    let expected = (Some(Error::Canceled), Some(Reason(1)));
    assert_eq!(has_seen.recv_timeout(PATIENCE), Ok([expected, expected]));
}

#[test]
fn a_deadline_runs_it_on_every_engine() {
    let own = Engine::builder().build().expect("a thread can be started");
    for root in [Context::background(), own.background()] {
        let (ctx, _guard) = root.with_timeout(MS);
        let probe = Probe::new();
        let registration = ctx.after_func(probe.function());
        probe.assert_runs_once();
        assert!(!registration.stop());
    }
    let (engine, clock) = manual();
    let (ctx, _guard) = engine.background().with_timeout(LONG);
    let probe = Probe::new();
    ctx.after_func(probe.function());
    clock.advance(LONG - MS);
    assert_eq!(probe.runs(), 0);
    clock.advance(MS);
    probe.assert_runs_once();
    let (engine, driver) = Engine::builder().driven().expect("it needs no thread");
    let (ctx, _guard) = engine.background().with_timeout(MS);
    let probe = Probe::new();
    ctx.after_func(probe.function());
    thread::sleep(2 * MS);
    assert_eq!(probe.runs(), 0, "nobody took a turn");
    assert_eq!(driver.turn(), 1);
    probe.assert_runs_once();
}

#[test]
fn a_shutdown_runs_those_of_the_deadlines_it_ends() {
    let (engine, _clock) = manual();
    let (ctx, _guard) = engine.background().with_timeout(LONG);
    let (plain, _plain_guard) = engine.background().with_cancel();
    let (of_timed, of_plain) = (Probe::new(), Probe::new());
    ctx.after_func(of_timed.function());
    let registration = plain.after_func(of_plain.function());
    engine.shutdown();
    of_timed.assert_runs_once();
    assert!(registration.stop());
    of_plain.assert_dropped_unrun();
}

#[test]
fn on_a_done_context_it_starts_at_once() {
    let (canceled, guard) = Context::background().with_cancel();
    guard.cancel();
    let (expired, _guard) = Context::background().with_timeout(std::time::Duration::ZERO);
    let (born, _born_guard) = canceled.with_cancel();
    for ctx in [&canceled, &expired, &born] {
        let probe = Probe::new();
        let registration = ctx.after_func(probe.function());
        probe.assert_runs_once();
        for _ in 0..2 {
            assert!(!registration.stop());
        }
        assert_eq!(ctx.child_count(), 0);
    }
}

#[test]
fn on_a_context_that_can_never_be_done_it_is_dropped_at_once_and_the_first_stop_says_so() {
    let own = Engine::builder().build().expect("a thread can be started");
    let (by_hand, _clock) = manual();
    let (ctx, _guard) = by_hand.background().with_timeout(LONG);
    for ctx in [
        Context::background(),
        Context::todo(),
        Context::default(),
        own.background(),
        by_hand.background(),
        Engine::global().background(),
        ctx.without_cancel(),
    ] {
        let probe = Probe::new();
        let registration = ctx.after_func(probe.function());
        probe.assert_dropped_unrun();
        assert_eq!(ctx.child_count(), 0);
        assert!(registration.stop());
        assert!(!registration.stop());
        probe.assert_dropped_unrun();
    }
}

#[test]
fn a_stop_in_time_keeps_it_from_running_and_has_dropped_it() {
    let (ctx, guard) = Context::background().with_cancel();
    let probe = Probe::new();
    let registration = ctx.after_func(probe.function());
    assert_eq!(ctx.child_count(), 1);
    assert!(registration.stop());
    probe.assert_dropped_unrun();
    assert_eq!(ctx.child_count(), 0);
    assert!(!registration.stop());
    guard.cancel();
    assert!(!registration.stop());
    // One that does run comes after it in the same queue.
    let after = Probe::new();
    ctx.after_func(after.function());
    after.assert_runs_once();
    probe.assert_dropped_unrun();
}

#[test]
fn a_stop_after_the_end_is_too_late_though_it_has_not_begun() {
    in_time(|| {
        for _ in 0..scaled(100) {
            let (ctx, guard) = Context::background().with_cancel();
            let probe = Probe::new();
            let registration = ctx.after_func(probe.function());
            guard.cancel();
            assert!(!registration.stop());
            probe.assert_runs_once();
        }
    });
}

#[test]
fn of_a_stop_and_a_cancel_exactly_one_has_it() {
    in_time(|| {
        for _ in 0..scaled(500) {
            let (ctx, guard) = Context::background().with_cancel();
            let probe = Probe::new();
            let registration = ctx.after_func(probe.function());
            let stopped = run_all(3, |thread| {
                if thread == 0 {
                    guard.cancel();
                    return false;
                }
                registration.stop()
            });
            let stops = stopped.iter().filter(|stopped| **stopped).count();
            assert!(stops <= 1);
            if stops == 1 {
                probe.assert_dropped_unrun();
            } else {
                probe.assert_runs_once();
            }
        }
    });
}

#[test]
fn of_a_registration_and_a_cancel_it_runs_once_whichever_comes_first() {
    in_time(|| {
        for _ in 0..scaled(500) {
            let (ctx, guard) = Context::background().with_cancel();
            let probe = Probe::new();
            run_all(2, |thread| {
                if thread == 0 {
                    guard.cancel();
                } else {
                    drop(ctx.after_func(probe.function()));
                }
            });
            probe.assert_runs_once();
        }
    });
}

#[test]
fn dropping_the_after_func_leaves_the_registration() {
    let (ctx, guard) = Context::background().with_cancel();
    let probe = Probe::new();
    drop(ctx.after_func(probe.function()));
    assert_eq!(ctx.child_count(), 1);
    guard.cancel();
    probe.assert_runs_once();
}

#[test]
fn registrations_are_counted_until_they_are_stopped_or_run() {
    let (parent, parent_guard) = Context::background().with_cancel();
    let (ctx, _guard) = parent.with_cancel();
    let registrations: Vec<_> = (0..5).map(|_| ctx.after_func(|| {})).collect();
    let _wait = Waiter::on(&ctx);
    assert_eq!(ctx.child_count(), 5);
    assert_eq!(parent.child_count(), 1);
    for (stopped, registration) in registrations.iter().enumerate() {
        assert_eq!(ctx.child_count(), 5 - stopped);
        assert!(registration.stop());
    }
    drop(ctx.after_func(|| {}));
    assert_eq!(ctx.child_count(), 1);
    parent_guard.cancel();
    assert_eq!(ctx.child_count(), 0);
}

#[test]
fn it_runs_though_every_handle_is_gone_when_a_parent_or_the_deadline_ends_it() {
    let (engine, clock) = manual();
    let (parent, parent_guard) = engine.background().with_cancel();
    let (by_parent, by_deadline) = (Probe::new(), Probe::new());
    let (ctx, guard) = parent.with_cancel();
    drop(ctx.after_func(by_parent.function()));
    drop((ctx, guard.disarm()));
    let (ctx, guard) = engine.background().with_timeout(LONG);
    let registration = ctx.after_func(by_deadline.function());
    drop((ctx, guard.disarm(), engine));
    assert_eq!(parent.child_count(), 1, "the registration keeps it");
    drop(parent);
    clock.advance(LONG);
    by_deadline.assert_runs_once();
    assert!(!registration.stop());
    assert_eq!(by_parent.runs(), 0);
    parent_guard.cancel();
    by_parent.assert_runs_once();
}

#[test]
fn on_the_machines_clock_too_the_deadline_runs_it_when_every_handle_is_gone() {
    let own = Engine::builder().build().expect("a thread can be started");
    for root in [Context::background(), own.background()] {
        let probe = Probe::new();
        let (ctx, guard) = root.with_timeout(10 * MS);
        drop(ctx.after_func(probe.function()));
        drop((ctx, guard.disarm(), root));
        probe.assert_runs_once();
    }
}

#[test]
fn the_last_registration_stopped_takes_the_context_off_its_parent() {
    let (parent, _parent_guard) = Context::background().with_cancel();
    let (ctx, guard) = parent.with_cancel();
    let probe = Probe::new();
    let registration = ctx.after_func(probe.function());
    drop((ctx, guard.disarm()));
    assert_eq!(parent.child_count(), 1);
    assert!(registration.stop());
    assert_eq!(parent.child_count(), 0);
    probe.assert_dropped_unrun();
}

#[test]
fn a_registration_may_outlive_its_context_and_be_stopped_by_any_thread() {
    let (ctx, guard) = Context::background().with_cancel();
    let probe = Probe::new();
    let registration = ctx.after_func(probe.function());
    drop((ctx, guard.disarm()));
    let stopped = thread::spawn(move || registration.stop()).join();
    assert!(stopped.expect("the other thread"));
    probe.assert_dropped_unrun();
}

#[test]
fn many_registrations_on_many_contexts_each_run_once() {
    in_time(|| {
        let (root, guard) = Context::background().with_cancel();
        let runs = Arc::new(AtomicUsize::new(0));
        let drops = Drops::default();
        let contexts: Vec<_> = (0..100).map(|_| root.with_cancel()).collect();
        for (ctx, _) in &contexts {
            for _ in 0..20 {
                let (runs, counted) = (runs.clone(), drops.error());
                ctx.after_func(move || {
                    let _counted = counted;
                    runs.fetch_add(1, Ordering::SeqCst);
                });
            }
        }
        guard.cancel();
        eventually("all have run and are dropped", || drops.count() == 2_000);
        assert_eq!(runs.load(Ordering::SeqCst), 2_000);
    });
}

#[test]
fn fifty_that_block_hold_up_no_deadline_and_no_other() {
    in_time(|| {
        let (root, guard) = Context::background().with_cancel();
        let (entered, has_entered) = unbounded();
        let (release, released) = unbounded::<()>();
        for _ in 0..50 {
            let (entered, released) = (entered.clone(), released.clone());
            root.after_func(move || {
                let _ = entered.send(());
                // Disconnected when the test lets go.
                let _ = released.recv();
            });
        }
        guard.cancel();
        for _ in 0..50 {
            has_entered
                .recv_timeout(PATIENCE)
                .expect("all fifty run at once");
        }
        let (ctx, _guard) = Context::background().with_timeout(MS);
        assert_eq!(ctx.wait(), Error::DeadlineExceeded);
        let (own, clock) = manual();
        let (timed, _timed_guard) = own.background().with_timeout(MS);
        let (by_deadline, by_cancel) = (Probe::new(), Probe::new());
        timed.after_func(by_deadline.function());
        clock.advance(MS);
        by_deadline.assert_runs_once();
        let (ctx, guard) = Context::background().with_cancel();
        ctx.after_func(by_cancel.function());
        guard.cancel();
        by_cancel.assert_runs_once();
        drop(release);
    });
}

#[test]
fn a_panic_in_it_goes_no_further_and_it_is_dropped_once() {
    let (ctx, guard) = Context::background().with_cancel();
    let drops = Drops::default();
    for _ in 0..10 {
        let counted = drops.error();
        ctx.after_func(move || {
            let _counted = counted;
            panic!("a callback");
        });
    }
    let probe = Probe::new();
    ctx.after_func(probe.function());
    guard.cancel();
    probe.assert_runs_once();
    eventually("each was dropped", || drops.count() == 10);
}

/// Panics when it is dropped.
struct Bomb(Drops);

impl Drop for Bomb {
    fn drop(&mut self) {
        drop(self.0.error());
        panic!("the drop of a closure");
    }
}

#[test]
fn a_panic_in_the_drop_of_a_closure_goes_no_further_whatever_became_of_it() {
    let drops = Drops::default();
    let bomb = || {
        let bomb = Bomb(drops.clone());
        move || {
            let _bomb = &bomb;
        }
    };
    let (ctx, guard) = Context::background().with_cancel();
    let stopped = ctx.after_func(bomb());
    assert!(stopped.stop(), "the answer is there all the same");
    assert!(!stopped.stop());
    assert_eq!(drops.count(), 1);
    assert!(Context::background().after_func(bomb()).stop());
    assert_eq!(drops.count(), 2);
    ctx.after_func(bomb());
    let probe = Probe::new();
    ctx.after_func(probe.function());
    guard.cancel();
    probe.assert_runs_once();
    ctx.after_func(bomb());
    eventually("each was dropped", || drops.count() == 4);
    assert_canceled(&ctx, None);
}

#[test]
fn it_may_cancel_register_stop_and_drop_the_last_handles() {
    in_time(|| {
        let (parent, parent_guard) = Context::background().with_cancel();
        let (ctx, guard) = parent.with_cancel();
        let (ran, has_run) = unbounded();
        let own: Arc<Mutex<Option<AfterFunc>>> = Arc::default();
        let probe = Probe::new();
        let function = probe.function();
        let handle = guard.handle();
        let registration = ctx.after_func({
            let (own, ctx) = (own.clone(), ctx.clone());
            move || {
                let own = own
                    .lock()
                    .expect("nobody panics with it")
                    .take()
                    .expect("put there");
                let stopped = own.stop();
                handle.cancel_with(Reason(2));
                parent_guard.cancel_with(Reason(3));
                let (child, _child_guard) = parent.with_timeout(LONG);
                assert_canceled(&child, Some(Reason(3)));
                child.after_func(function);
                let seen = crate::common::reason(&ctx);
                drop((own, ctx, parent, parent_guard));
                ran.send((stopped, seen)).expect("the test listens");
            }
        });
        *own.lock().expect("nobody panics with it") = Some(registration);
        guard.cancel_with(Reason(1));
        drop((ctx, guard));
        let told = has_run.recv_timeout(PATIENCE);
        assert_eq!(told, Ok((false, Some(Reason(1)))));
        probe.assert_runs_once();
    });
}

#[test]
fn a_closure_that_holds_its_own_context_is_let_go_when_stopped_or_run() {
    for stops in [true, false] {
        let (parent, _parent_guard) = Context::background().with_cancel();
        let (ctx, guard) = parent.with_cancel();
        let drops = Drops::default();
        let counted = drops.error();
        let registration = ctx.after_func({
            let ctx = ctx.clone();
            move || drop((ctx, counted))
        });
        drop(ctx);
        if stops {
            assert!(registration.stop());
            assert_eq!(drops.count(), 1);
            drop(guard.disarm());
        } else {
            drop(guard);
        }
        eventually("the closure is dropped", || drops.count() == 1);
        assert_eq!(parent.child_count(), 0);
    }
}

#[test]
fn a_closure_that_stops_another_as_it_is_dropped_is_no_trouble() {
    struct Stops(AfterFunc, Arc<AtomicUsize>);
    impl Drop for Stops {
        fn drop(&mut self) {
            self.1
                .fetch_add(usize::from(self.0.stop()), Ordering::SeqCst);
        }
    }
    let (ctx, _guard) = Context::background().with_cancel();
    let stopped = Arc::new(AtomicUsize::new(0));
    let mut last = ctx.after_func(|| {});
    for _ in 0..100 {
        let stops = Stops(last, stopped.clone());
        last = ctx.after_func(move || drop(stops));
    }
    assert!(last.stop());
    assert_eq!(stopped.load(Ordering::SeqCst), 100);
    assert_eq!(ctx.child_count(), 0);
    assert_live(&ctx);
}

#[test]
fn registrations_made_and_stopped_by_many_threads_leave_nothing() {
    in_time(|| {
        let (ctx, guard) = Context::background().with_cancel();
        let drops = Drops::default();
        let runs = AtomicUsize::new(0);
        let runs = Arc::new(runs);
        run_all(4, |thread| {
            for round in 0..scaled(500) {
                let (counted, runs) = (drops.error(), runs.clone());
                let registration = ctx.after_func(move || {
                    let _counted = counted;
                    runs.fetch_add(1, Ordering::SeqCst);
                });
                if (round + thread) % 5 != 0 {
                    assert!(registration.stop());
                }
            }
        });
        let left = ctx.child_count();
        assert_eq!(drops.count() + left, 4 * scaled(500));
        guard.cancel();
        eventually("the rest has run", || drops.count() == 4 * scaled(500));
        assert_eq!(runs.load(Ordering::SeqCst), left);
    });
}
