//! A process that cannot start a thread: deadlines say so, and go on once it can. A binary of its own, with one test: the
//! limit is the whole process's, and whether the timer thread runs is too.

#![cfg(target_os = "linux")]

mod limits;

use limits::{let_no_thread_start, set_limit};
use ripcord::{Context, Engine, Error};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(30);

fn runs(name: &str) -> bool {
    let mut tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    tasks.any(|task| {
        let comm = task.expect("a task").path().join("comm");
        std::fs::read_to_string(comm).is_ok_and(|comm| comm.trim() == name)
    })
}

fn assert_not_started(ctx: &Context) {
    assert_eq!(ctx.err(), Some(Error::Canceled));
    assert_eq!(ctx.wait(), Error::Canceled);
    let cause = ctx.cause().expect("it is done");
    let error = cause.downcast_ref::<io::Error>();
    assert!(error.is_some(), "{cause:?}");
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut TaskContext::from_waker(Waker::noop()))
}

#[test]
fn without_a_thread_deadlines_are_canceled_with_the_io_error_and_the_next_tries_again() {
    let (plain, plain_guard) = Context::background().with_cancel();
    // Waits, cancels, what is done on creation and what never fires need no timer thread.
    assert_eq!(plain.wait_timeout(Duration::from_millis(1)), None);
    let (past, _past_guard) = plain.with_timeout(Duration::ZERO);
    assert_eq!(past.err(), Some(Error::DeadlineExceeded));
    let (never, _never_guard) = plain.with_timeout(Duration::MAX);
    assert_eq!(never.err(), None);
    drop(plain.sleep(Duration::MAX));
    assert!(!runs("ripcord-timers"), "nobody has asked for a deadline");

    let before = let_no_thread_start();
    for root in [Context::background(), plain.clone()] {
        let (ctx, guard) = root.with_timeout(LONG);
        assert_not_started(&ctx);
        guard.cancel();
        assert_not_started(&ctx);
        let (caused, _caused_guard) = root.with_timeout_cause(LONG, std::fmt::Error);
        assert_not_started(&caused);
        let (at, _at_guard) = root.with_deadline(Instant::now() + LONG);
        assert_not_started(&at);
        let (child, _child_guard) = ctx.with_timeout(LONG);
        assert_not_started(&child);

        let (past, _past_guard) = root.with_timeout_cause(Duration::ZERO, std::fmt::Error);
        assert_eq!(past.err(), Some(Error::DeadlineExceeded));
        let (never, _never_guard) = root.with_timeout(Duration::MAX);
        assert!(!never.is_done());
        let mut sleep = root.sleep(LONG);
        assert_eq!(poll(&mut sleep), Poll::Ready(Err(Error::Canceled)));
        assert_eq!(root.wait_timeout(Duration::from_millis(1)), None);
        assert_eq!(root.blocking_sleep(Duration::from_millis(1)), Ok(()));
    }
    assert_eq!(plain.child_count(), 1, "the one without end");
    let (ran, has_run) = mpsc::channel();
    let (ended, ended_guard) = plain.with_cancel();
    for run in 0..2 {
        let ran = ran.clone();
        ended.after_func(move || ran.send(run).expect("the test listens"));
    }
    ended_guard.cancel();
    let built = Engine::builder().thread_name("none").build();
    let error = built.expect_err("there is no room for a thread");
    assert_ne!(error.kind(), io::ErrorKind::Interrupted);
    let (engine, driver) = Engine::builder().driven().expect("it needs no thread");
    let (driven, _driven_guard) = engine.background().with_timeout(Duration::from_nanos(1));
    assert_eq!(driver.turn(), 1);
    assert!(driven.is_done());
    set_limit(before);

    assert!(!runs("ripcord-timers"));
    let (ctx, _guard) = plain.with_timeout(Duration::from_millis(5));
    assert_ne!(ctx.err(), Some(Error::Canceled), "the next tries again");
    assert_eq!(ctx.wait(), Error::DeadlineExceeded);
    assert!(runs("ripcord-timers"));
    let engine = Engine::builder().build().expect("now there is room");
    let (ctx, _guard) = engine.background().with_timeout(Duration::from_millis(5));
    assert_eq!(ctx.wait(), Error::DeadlineExceeded);
    // What was handed over meanwhile has waited for this.
    plain.after_func(move || ran.send(2).expect("the test listens"));
    plain_guard.cancel();
    let mut runs: Vec<_> = (0..3)
        .map(|_| has_run.recv_timeout(PATIENCE).expect("callbacks run"))
        .collect();
    runs.sort_unstable();
    assert_eq!(runs, [0, 1, 2]);
}
