use ripcord::{
    Cause, Context, Engine, Error, Key, Shutdown, ShutdownCause, ShutdownReport, Stopping,
};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context as Task, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn of(grace: Duration, cleanup: Duration) -> Shutdown {
    Shutdown::builder()
        .grace(grace)
        .cleanup(cleanup)
        .build(&Context::background())
}

fn late(report: &ShutdownReport) -> Vec<&str> {
    report.late.iter().map(|late| &*late.name).collect()
}

#[test]
fn with_nothing_registered_it_is_over_at_once() {
    let shutdown = of(MINUTE, MINUTE);
    assert!(shutdown.stop());
    let report = shutdown.wait().into_result().unwrap();
    assert_eq!((report.drained, report.canceled), (0, 0));
    assert_eq!(report.cause.to_string(), "shutdown requested");
}

#[test]
fn in_the_soft_phase_nothing_new_is_taken_on_and_what_is_there_goes_on() {
    let shutdown = of(MINUTE, MINUTE);
    let (ctx, work) = shutdown.register("request").unwrap();
    assert!(shutdown.stop_with(Cause::msg("deploy")));
    assert_eq!(shutdown.accepting().err(), Some(Error::Canceled));
    assert_eq!(shutdown.register("another").unwrap_err(), Stopping);
    assert!(!ctx.is_done());
    drop(work);
    let report = shutdown.wait();
    assert_eq!((report.drained, report.canceled), (1, 0));
    assert_eq!(report.cause.to_string(), "deploy");
    assert!(report.late.is_empty() && !shutdown.working().is_done());
}

#[test]
fn when_the_grace_is_over_what_is_left_is_cancelled_whether_anybody_waits_or_not() {
    let (root, clock) = super::stopped_time();
    let shutdown = Shutdown::builder().grace(MINUTE).build(&root);
    let (ctx, _work) = shutdown.register("report").unwrap();
    shutdown.stop();
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert!(!ctx.is_done());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(ctx.wait(), Error::Canceled);
    let cause = ctx.cause().unwrap();
    assert_eq!(
        cause.downcast_ref(),
        Some(&ShutdownCause::GraceOver(MINUTE))
    );
}

#[test]
fn who_is_late_is_reported_by_name_and_age() {
    let (root, clock) = super::stopped_time();
    let shutdown = Shutdown::builder()
        .grace(MINUTE)
        .cleanup(MINUTE)
        .build(&root);
    let (_hung, _never_returns) = shutdown.register("compaction").unwrap();
    clock.advance(MINUTE);
    let (_obeys, obedient) = shutdown.register("upload").unwrap();
    let waiting = thread::spawn({
        let shutdown = shutdown.clone();
        move || shutdown.wait()
    });
    shutdown.stop();
    clock.advance(MINUTE);
    shutdown.working().wait();
    drop(obedient);
    while !waiting.is_finished() {
        clock.advance(MINUTE);
        thread::yield_now();
    }
    let report = waiting.join().unwrap();
    assert_eq!(late(&report), ["compaction"]);
    assert!(report.late[0].age >= 3 * MINUTE);
    assert_eq!((report.drained, report.canceled), (0, 2));
    assert!(
        report.to_string().contains("late: compaction ("),
        "{report}"
    );
    assert!(report.into_result().is_err());
}

#[test]
fn zero_grace_is_the_hard_phase_at_once() {
    let shutdown = of(Duration::ZERO, Duration::ZERO);
    let (ctx, _work) = shutdown.register("job").unwrap();
    shutdown.stop();
    assert!(ctx.is_done(), "when `stop` returns");
    let report = shutdown.wait();
    assert_eq!(late(&report), ["job"]);
    assert_eq!(report.canceled, 1);
}

#[test]
fn a_second_call_changes_nothing_and_a_hard_one_hastens() {
    let shutdown = of(MINUTE, Duration::ZERO);
    let (ctx, _work) = shutdown.register("job").unwrap();
    assert!(shutdown.stop_with(Cause::msg("first")));
    assert!(!shutdown.stop_with(Cause::msg("second")));
    assert!(!ctx.is_done());
    assert!(shutdown.stop_now());
    assert!(!shutdown.stop_now());
    let cause = ctx.cause().unwrap();
    assert_eq!(cause.downcast_ref(), Some(&ShutdownCause::Hastened));
    for _ in 0..2 {
        assert_eq!(shutdown.wait().cause.to_string(), "first");
    }
}

#[test]
fn stop_now_begins_both_phases() {
    let shutdown = of(MINUTE, MINUTE);
    let (ctx, work) = shutdown.register("job").unwrap();
    assert!(shutdown.stop_now());
    assert!(ctx.is_done() && shutdown.accepting().is_done());
    drop(work);
    assert!(shutdown.wait().late.is_empty());
}

#[test]
fn a_panic_in_the_work_ends_it_and_is_reported() {
    let shutdown = of(MINUTE, MINUTE);
    let (ctx, work) = shutdown.register("parser").unwrap();
    shutdown.stop();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _work = (ctx, work);
        panic!("in the work");
    }));
    assert!(panic.is_err());
    let report = shutdown.wait();
    assert_eq!(report.panicked, ["parser".into()]);
    assert!(report.late.is_empty());
}

#[test]
fn the_parents_end_is_a_stop() {
    let (parent, guard) = Context::background().with_cancel();
    let shutdown = Shutdown::builder().cleanup(MINUTE).build(&parent);
    let (ctx, work) = shutdown.register("job").unwrap();
    guard.cancel_with(Cause::msg("the supervisor is gone"));
    assert!(ctx.is_done());
    assert_eq!(shutdown.register("late").unwrap_err(), Stopping);
    drop(work);
    let report = shutdown.wait();
    assert_eq!(report.cause.to_string(), "the supervisor is gone");
    assert!(report.late.is_empty());
}

#[test]
fn what_the_parents_end_cancelled_is_reported_though_nobody_waited_by_then() {
    let (parent, guard) = Context::background().with_cancel();
    let shutdown = Shutdown::builder().cleanup(MINUTE).build(&parent);
    let (_obeys, obedient) = shutdown.register("upload").unwrap();
    let (_panics, panicking) = shutdown.register("parser").unwrap();
    guard.cancel();
    drop(obedient);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _work = panicking;
        panic!("in the work");
    }));
    assert!(panic.is_err());
    let report = shutdown.wait();
    assert_eq!((report.drained, report.canceled), (0, 2));
    assert_eq!(report.panicked, ["parser".into()]);
}

#[test]
fn work_under_a_context_of_its_own_ends_with_either() {
    static USER: Key<&str> = Key::new("user");

    let shutdown = of(Duration::ZERO, Duration::ZERO);
    let (connection, client) = Context::background().with_value(&USER, "ada").with_cancel();
    let (first, _first) = shutdown.register_under(&connection, "1").unwrap();
    client.cancel();
    assert!(first.is_done() && !shutdown.working().is_done());

    let connection = Context::background().with_value(&USER, "grace");
    let (second, _second) = shutdown.register_under(&connection, "2").unwrap();
    shutdown.stop();
    assert!(second.is_done());
    assert_eq!(second.value(&USER), Some(&"grace"));
}

#[test]
fn cleanup_outlives_the_cancel_and_ends_with_its_limit() {
    static ID: Key<u32> = Key::new("id");

    let (root, clock) = super::stopped_time();
    let shutdown = Shutdown::builder()
        .grace(Duration::ZERO)
        .cleanup(MINUTE)
        .build(&root);
    let (ctx, _work) = shutdown.register("upload").unwrap();
    let ctx = ctx.with_value(&ID, 7);
    shutdown.stop();
    clock.advance(MINUTE / 2);
    let (cleanup, _guard) = shutdown.cleanup(&ctx);
    assert!(ctx.is_done() && !cleanup.is_done());
    assert_eq!(cleanup.value(&ID), Some(&7));
    // Of the hard phase's minute half is over.
    assert_eq!(cleanup.remaining(), Some(MINUTE / 2));
    clock.advance(MINUTE / 2);
    assert_eq!(cleanup.err(), Some(Error::DeadlineExceeded));
    let (too_late, _guard) = shutdown.cleanup(&ctx);
    assert!(too_late.is_done());
}

/// A waker that registers and looks, as would one under whose lock it ran dead-lock.
struct Reenters(Shutdown, AtomicBool);

impl Wake for Reenters {
    fn wake(self: Arc<Self>) {
        let refused = self.0.register("from a waker").is_err();
        let seen = !self.0.registered().is_empty();
        self.1.store(refused && seen, Ordering::Relaxed);
    }
}

#[test]
fn wakers_may_use_the_shutdown_that_woke_them() {
    let shutdown = of(MINUTE, MINUTE);
    let (ctx, _work) = shutdown.register("job").unwrap();
    let looks = || Arc::new(Reenters(shutdown.clone(), AtomicBool::new(false)));
    let (soft, hard) = (looks(), looks());
    let (mut accepting, mut working) = (pin!(shutdown.accepting().done()), pin!(ctx.done()));
    let waker = Waker::from(Arc::clone(&soft));
    let pending = accepting.as_mut().poll(&mut Task::from_waker(&waker));
    assert!(pending.is_pending());
    let waker = Waker::from(Arc::clone(&hard));
    let pending = working.as_mut().poll(&mut Task::from_waker(&waker));
    assert!(pending.is_pending());
    shutdown.stop();
    assert!(soft.1.load(Ordering::Relaxed));
    shutdown.stop_now();
    assert!(hard.1.load(Ordering::Relaxed));
}

#[test]
fn threads_and_tasks_wait_for_the_same_end() {
    let shutdown = of(MINUTE, MINUTE);
    let (_ctx, work) = shutdown.register("job").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let task = shutdown.wait_async();
    thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| shutdown.wait().drained));
        let task = scope.spawn(move || runtime.block_on(task).drained);
        shutdown.stop();
        drop(work);
        assert_eq!(threads.map(|thread| thread.join().unwrap()), [1, 1]);
        assert_eq!(task.join().unwrap(), 1);
    });
}

#[test]
fn nothing_that_enters_beside_a_stop_is_lost() {
    for _ in 0..200 {
        let shutdown = of(Duration::ZERO, MINUTE);
        thread::scope(|scope| {
            let workers = [(); 2].map(|()| {
                scope.spawn(|| match shutdown.register("job") {
                    Ok((ctx, _work)) => ctx.wait() == Error::Canceled,
                    Err(Stopping) => true,
                })
            });
            scope.spawn(|| shutdown.stop());
            assert!(shutdown.wait().late.is_empty());
            assert!(workers.into_iter().all(|worker| worker.join().unwrap()));
        });
    }
}

#[test]
fn who_is_let_in_beside_a_stop_is_stopped() {
    let rounds: Vec<_> = (0..5_000)
        .map(|_| of(Duration::ZERO, Duration::ZERO))
        .collect();
    let stopping = AtomicUsize::new(0);
    let entered: Vec<_> = thread::scope(|scope| {
        let enters = scope.spawn(|| {
            let enter = |(round, shutdown): (usize, &Shutdown)| {
                while stopping.load(Ordering::Acquire) < round {
                    std::hint::spin_loop();
                }
                shutdown.register("job").ok()
            };
            rounds.iter().enumerate().map(enter).collect()
        });
        for (round, shutdown) in rounds.iter().enumerate() {
            stopping.store(round, Ordering::Release);
            shutdown.stop();
        }
        enters.join().unwrap()
    });
    for (shutdown, entered) in rounds.iter().zip(&entered) {
        let (report, let_in) = (shutdown.wait(), usize::from(entered.is_some()));
        assert_eq!((report.canceled, report.late.len()), (let_in, let_in));
        assert!(entered.iter().all(|(ctx, _)| ctx.is_done()));
    }
}

#[test]
fn once_all_work_has_ended_the_grace_is_not_waited_for() {
    let (root, clock) = super::stopped_time();
    let shutdown = Shutdown::builder().grace(MINUTE).build(&root);
    let (_ctx, work) = shutdown.register("job").unwrap();
    shutdown.stop();
    drop(work);
    assert!(shutdown.wait().late.is_empty());
    clock.advance(MINUTE);
    assert!(!shutdown.working().is_done(), "its timer is gone");
}

#[test]
fn work_whose_shutdown_is_gone_goes_on_and_ends_with_it() {
    let shutdown = of(MINUTE, MINUTE);
    let accepting = shutdown.accepting().clone();
    let (ctx, work) = shutdown.register("job").unwrap();
    drop(shutdown);
    assert!(!ctx.is_done() && !accepting.is_done());
    drop(work);
    assert!(ctx.is_done() && accepting.is_done());
}

#[test]
fn a_wait_that_is_dropped_changes_nothing() {
    let shutdown = of(MINUTE, MINUTE);
    let (_ctx, work) = shutdown.register("job").unwrap();
    {
        let mut waiting = pin!(shutdown.wait_async());
        let mut task = Task::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut task).is_pending());
        shutdown.stop();
        assert!(waiting.as_mut().poll(&mut task).is_pending());
    }
    assert!(!shutdown.working().is_done());
    drop(work);
    assert_eq!(shutdown.wait().drained, 1);
}

/// Calls it when it is woken first, inside the cancel that wakes it.
struct Calls(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        if let Some(call) = self.0.lock().unwrap().take() {
            call();
        }
    }
}

/// Calls it when `ctx` tells of its end, inside of what ended it.
fn call_at(ctx: &Context, call: impl FnOnce() + Send + 'static) -> ripcord::Done {
    let mut done = ctx.done();
    let calls = Calls(Mutex::new(Some(Box::new(call))));
    let waker = Waker::from(Arc::new(calls));
    let polled = Pin::new(&mut done).poll(&mut Task::from_waker(&waker));
    assert!(polled.is_pending());
    done
}

#[test]
fn who_waits_sees_the_end_of_the_grace_while_the_stop_still_tells_others() {
    let (root, clock) = super::stopped_time();
    let shutdown = Shutdown::builder()
        .grace(MINUTE)
        .cleanup(Duration::ZERO)
        .build(&root);
    let (_ctx, _work) = shutdown.register("stuck").unwrap();
    let (report, reported) = mpsc::channel();
    let mut waiting = Box::pin(shutdown.wait_async());
    let _held_up = call_at(shutdown.accepting(), move || {
        let mut task = Task::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut task).is_pending());
        clock.advance(MINUTE);
        if let Poll::Ready(ready) = waiting.as_mut().poll(&mut task) {
            report.send(ready).unwrap();
        }
    });
    shutdown.stop();
    let report = reported.recv().expect("the grace is over");
    assert_eq!(late(&report), ["stuck"]);
    assert_eq!(report.canceled, 1);
}

/// Whoever of them begins the hard phase: the others do not overtake it.
#[test]
fn who_is_reported_late_has_been_cancelled() {
    for _ in 0..2_000 {
        let (root, clock) = super::stopped_time();
        let shutdown = Shutdown::builder()
            .grace(MINUTE)
            .cleanup(Duration::ZERO)
            .build(&root);
        let (ctx, _work) = shutdown.register("stuck").unwrap();
        shutdown.stop();
        thread::scope(|scope| {
            let wait = || (shutdown.wait().late.len(), ctx.is_done());
            let waits = [(); 4].map(|()| scope.spawn(wait));
            clock.advance(MINUTE);
            for wait in waits {
                assert_eq!(wait.join().unwrap(), (1, true));
            }
        });
    }
}

#[test]
fn the_grace_and_the_cleanup_last_though_the_engine_is_stopped() {
    for (before, hard) in [(true, false), (false, false), (true, true), (false, true)] {
        let (engine, _clock) = Engine::builder().manual_clock().unwrap();
        let shutdown = Shutdown::builder()
            .grace(MINUTE)
            .cleanup(MINUTE)
            .build(&engine.background());
        let (ctx, work) = shutdown.register("request").unwrap();
        if before {
            engine.shutdown();
        }
        if hard {
            shutdown.stop_now();
        } else {
            shutdown.stop();
        }
        let mut waiting = Box::pin(shutdown.wait_async());
        let mut task = Task::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut task).is_pending());
        engine.shutdown();
        assert!(waiting.as_mut().poll(&mut task).is_pending());
        let (cleanup, _guard) = shutdown.cleanup(&ctx);
        assert!(!cleanup.is_done());
        assert_eq!(ctx.is_done(), hard);
        drop(work);
        let report = shutdown.wait();
        let Poll::Ready(same) = waiting.as_mut().poll(&mut task) else {
            unreachable!("all have ended")
        };
        assert_eq!(
            (report.drained, same.drained),
            (usize::from(!hard), usize::from(!hard))
        );
        assert!(late(&report).is_empty() && late(&same).is_empty());
    }
}

#[test]
fn the_end_of_a_grace_is_kept_elsewhere_though_the_engine_is_stopped() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let grace = Duration::from_millis(1);
    let shutdown = Shutdown::builder()
        .grace(grace)
        .cleanup(grace)
        .build(&engine.background());
    let (ctx, _work) = shutdown.register("stuck").unwrap();
    shutdown.stop();
    engine.shutdown();
    ctx.wait();
    let cause = ctx.cause().unwrap();
    assert_eq!(cause.downcast_ref(), Some(&ShutdownCause::GraceOver(grace)));
    assert_eq!(late(&shutdown.wait()), ["stuck"]);
}

/// Whether one that waits is through while a waker of `accepting` holds the stop up.
fn ends_while_the_stop_is_held_up(stop: impl FnOnce(&Shutdown)) -> bool {
    let shutdown = of(Duration::ZERO, Duration::ZERO);
    let (ctx, _work) = shutdown.register("stuck").unwrap();
    let ready = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ready);
    let mut waiting = Box::pin(shutdown.wait_async());
    let _held_up = call_at(shutdown.accepting(), move || {
        let polled = waiting.as_mut().poll(&mut Task::from_waker(Waker::noop()));
        told.store(polled.is_ready() && ctx.is_done(), Ordering::SeqCst);
    });
    stop(&shutdown);
    ready.load(Ordering::SeqCst)
}

#[test]
fn a_grace_of_zero_is_over_while_the_stop_is_held_up_by_whom_it_tells() {
    assert!(ends_while_the_stop_is_held_up(|shutdown| {
        shutdown.stop();
    }));
}

#[test]
fn a_hard_stop_is_hard_while_it_is_held_up_by_whom_it_tells() {
    assert!(ends_while_the_stop_is_held_up(|shutdown| {
        shutdown.stop_now();
    }));
}

#[test]
fn one_that_waits_is_through_while_a_hard_stop_is_held_up_by_the_work_it_tells() {
    let shutdown = of(MINUTE, Duration::ZERO);
    let (ctx, _work) = shutdown.register("stuck").unwrap();
    let (reports, reported) = mpsc::channel();
    let mut waiting = Box::pin(shutdown.wait_async());
    let _held_up = call_at(&ctx, move || {
        let polled = waiting.as_mut().poll(&mut Task::from_waker(Waker::noop()));
        reports.send(polled).unwrap();
    });
    shutdown.stop_now();
    let Poll::Ready(report) = reported.try_recv().unwrap() else {
        panic!("it waits for the stop");
    };
    assert_eq!(report.cause.downcast_ref(), Some(&ShutdownCause::Hastened));
    assert_eq!(report.canceled, 1);
}

#[test]
fn one_that_is_dropped_in_its_grace_lets_go_of_all() {
    static HELD: Key<Arc<()>> = Key::new("held");

    let held = Arc::new(());
    let parent = Context::background().with_value(&HELD, Arc::clone(&held));
    let shutdown = Shutdown::builder().grace(MINUTE).build(&parent);
    let work = shutdown.register("job").unwrap();
    shutdown.stop();
    drop((parent, shutdown, work));
    while Arc::strong_count(&held) > 1 {
        thread::yield_now(); // the callback that was to end the grace
    }
}

#[test]
fn where_the_last_work_ends_in_its_grace_no_hard_phase_begins() {
    for _ in 0..2_000 {
        let (root, clock) = super::stopped_time();
        let shutdown = of_parent(&root);
        let (_ctx, work) = shutdown.register("job").unwrap();
        shutdown.stop();
        let report = thread::scope(|scope| {
            scope.spawn(|| clock.advance(MINUTE));
            scope.spawn(|| drop(work));
            shutdown.wait()
        });
        let hard = shutdown.working().is_done();
        assert_eq!(
            (report.drained, report.canceled),
            if hard { (0, 1) } else { (1, 0) }
        );
    }
}

#[test]
fn one_that_waits_is_through_while_a_hard_stop_without_work_is_held_up() {
    let shutdown = of(MINUTE, MINUTE);
    let (reports, reported) = mpsc::channel();
    let mut waiting = Box::pin(shutdown.wait_async());
    let _held_up = call_at(shutdown.working(), move || {
        let polled = waiting.as_mut().poll(&mut Task::from_waker(Waker::noop()));
        reports.send(polled.is_ready()).unwrap();
    });
    shutdown.stop_now();
    assert_eq!(
        reported.try_recv(),
        Ok(true),
        "there is nothing to wait for"
    );
}

#[test]
fn a_further_hard_stop_tells_those_who_accept_though_the_first_is_held_up() {
    for hard in [true, false] {
        let shutdown = of(Duration::ZERO, MINUTE);
        let (ctx, _work) = shutdown.register("job").unwrap();
        let (tells, told) = mpsc::channel();
        let again = shutdown.clone();
        let _held_up = call_at(&ctx, move || {
            let begun = again.stop_now();
            tells.send((begun, again.accepting().cause())).unwrap();
        });
        if hard {
            shutdown.stop_now_with(Cause::msg("deploy"));
        } else {
            shutdown.stop_with(Cause::msg("deploy"));
        }
        let (begun, cause) = told.try_recv().unwrap();
        assert!(!begun);
        assert_eq!(cause.expect("it was told").to_string(), "deploy");
    }
}

#[test]
fn what_the_parents_end_has_begun_is_begun_by_nobody_else() {
    let (parent, guard) = Context::background().with_cancel();
    let shutdown = of_parent(&parent);
    let (_ctx, _work) = shutdown.register("job").unwrap();
    guard.cancel();
    assert!(!shutdown.stop());
    assert!(!shutdown.stop_now());
}

#[test]
fn a_cleanup_after_the_parents_end_is_the_same_for_all_who_ask() {
    let (root, clock) = super::stopped_time();
    let (parent, guard) = root.with_cancel();
    let shutdown = of_parent(&parent);
    let (ctx, _work) = shutdown.register("upload").unwrap();
    guard.cancel();
    let (first, _guard) = shutdown.cleanup(&ctx);
    assert_eq!(first.remaining(), Some(MINUTE));
    clock.advance(MINUTE / 2);
    let (second, _guard) = shutdown.cleanup(&ctx);
    assert_eq!(second.remaining(), Some(MINUTE / 2));
}

fn of_parent(parent: &Context) -> Shutdown {
    Shutdown::builder().cleanup(MINUTE).build(parent)
}
