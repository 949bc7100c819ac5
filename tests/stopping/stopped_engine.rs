//! Shutdowns whose engine is stopped before they are over.

use ripcord::{Engine, EngineStopped, Shutdown};
use std::future::Future;
use std::pin::pin;
use std::task::{Context as Task, Poll, Waker};
use std::thread;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn manual(grace: Duration, cleanup: Duration) -> (Engine, Shutdown) {
    let (engine, _stands) = Engine::builder().manual_clock().unwrap();
    let shutdown = Shutdown::builder()
        .grace(grace)
        .cleanup(cleanup)
        .build(&engine.background());
    (engine, shutdown)
}

#[test]
fn of_two_tasks_that_wait_both_wait_for_the_rest_of_the_grace() {
    let (engine, shutdown) = manual(MINUTE, Duration::ZERO);
    let (ctx, _work) = shutdown.register("request").unwrap();
    let (mut first, mut second) = (pin!(shutdown.wait_async()), pin!(shutdown.wait_async()));
    let mut task = Task::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut task).is_pending());
    assert!(second.as_mut().poll(&mut task).is_pending());
    shutdown.stop();
    assert!(first.as_mut().poll(&mut task).is_pending());
    assert!(second.as_mut().poll(&mut task).is_pending());
    engine.shutdown();
    let first = first.as_mut().poll(&mut task);
    let second = second.as_mut().poll(&mut task);
    assert!(!ctx.is_done(), "the grace lasts");
    assert!(
        first.is_pending() && second.is_pending(),
        "{first:?} {second:?}"
    );
}

#[test]
fn threads_that_wait_do_not_return_before_the_grace_is_over() {
    let engine = Engine::builder().build().unwrap();
    let grace = Duration::from_millis(100);
    let shutdown = Shutdown::builder()
        .grace(grace)
        .cleanup(Duration::ZERO)
        .build(&engine.background());
    let (_ctx, _work) = shutdown.register("request").unwrap();
    thread::scope(|scope| {
        let waits = [(); 3].map(|()| {
            scope.spawn(|| {
                let report = shutdown.wait();
                (report.took, shutdown.working().is_done())
            })
        });
        shutdown.stop();
        engine.shutdown();
        for wait in waits {
            let (took, hard) = wait.join().unwrap();
            assert!(
                took >= grace && hard,
                "over after {took:?}, hard phase: {hard}"
            );
        }
    });
}

#[test]
fn who_waits_after_the_cleanup_was_over_has_none_of_it_again() {
    let (engine, shutdown) = manual(MINUTE, Duration::from_millis(1));
    let (ctx, _work) = shutdown.register("stuck").unwrap();
    engine.shutdown();
    shutdown.stop_now();
    assert_eq!(shutdown.wait().late.len(), 1);
    let mut again = pin!(shutdown.wait_async());
    let polled = again.as_mut().poll(&mut Task::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(_)), "the cleanup was over");
    let (late, _guard) = shutdown.cleanup(&ctx);
    assert!(late.is_done());
}

#[test]
fn a_cleanup_outlasts_the_thread_of_its_engine() {
    let engine = Engine::builder().build().unwrap();
    let shutdown = Shutdown::builder()
        .cleanup(MINUTE)
        .build(&engine.background());
    let (ctx, _work) = shutdown.register("upload").unwrap();
    shutdown.stop_now();
    let (cleanup, _guard) = shutdown.cleanup(&ctx);
    engine.shutdown();
    assert!(!cleanup.is_done());
    assert!(cleanup.remaining().is_some_and(|left| left <= MINUTE));
}

#[test]
fn a_cleanup_by_a_clock_that_is_stopped_ends_and_another_has_the_rest() {
    let (engine, shutdown) = manual(Duration::ZERO, MINUTE);
    let (ctx, _work) = shutdown.register("upload").unwrap();
    shutdown.stop_now();
    let (cleanup, _guard) = shutdown.cleanup(&ctx);
    engine.shutdown();
    let cause = cleanup.cause().unwrap();
    assert!(cause.downcast_ref::<EngineStopped>().is_some());
    let (again, _guard) = shutdown.cleanup(&ctx);
    assert!(!again.is_done());
}

#[test]
fn a_thread_that_waits_needs_no_turns() {
    let (engine, _driver) = Engine::builder().driven().unwrap();
    let shutdown = Shutdown::builder()
        .grace(Duration::from_millis(1))
        .cleanup(Duration::from_millis(1))
        .build(&engine.background());
    let (ctx, _work) = shutdown.register("stuck").unwrap();
    shutdown.stop();
    assert_eq!(shutdown.wait().late.len(), 1);
    assert!(ctx.is_done());
}
