//! A process that cannot start a thread: deadlines say so, and go on once it can. A binary of its own, with one test: the
//! limit is the whole process's, and whether the timer thread runs is too.

#![cfg(target_os = "linux")]

mod limits;

use limits::{let_no_thread_start, set_limit};
use ripcord::{Context, Engine, Error, Shutdown, ShutdownCause};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(10);
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

fn shutdown(grace: Duration, cleanup: Duration) -> Shutdown {
    Shutdown::builder()
        .grace(grace)
        .cleanup(cleanup)
        .build(&Context::background())
}

/// Work on a thread that runs already, for one that begins asks for memory, and is there until the sender goes, for one that ends
/// gives some back. It ends some time after it was told to.
fn working(
    shutdown: &Shutdown,
    work: impl FnOnce(&Shutdown, &Context) + Send + 'static,
) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let shutdown = shutdown.clone();
    let (ctx, registered) = shutdown.register("work").unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (stays, leaves) = mpsc::channel();
    let worker = thread::spawn(move || {
        begun.send(()).expect("the test waits");
        work(&shutdown, &ctx);
        drop(registered);
        let _ = leaves.recv();
    });
    has_begun.recv().expect("it begins");
    (stays, worker)
}

fn drains(shutdown: &Shutdown, ctx: &Context) {
    shutdown.accepting().wait();
    thread::sleep(SHORT);
    assert!(!ctx.is_done(), "the grace lasts");
}

fn cleans_up(shutdown: &Shutdown, ctx: &Context) {
    ctx.wait();
    let cause = ctx.cause().unwrap();
    assert_eq!(cause.downcast_ref(), Some(&ShutdownCause::GraceOver(SHORT)));
    let (cleanup, _guard) = shutdown.cleanup(ctx);
    thread::sleep(SHORT);
    assert!(!cleanup.is_done(), "the cleanup lasts");
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Whoever waits sees to it that the limits end, and wakes itself.
fn a_task_that_waits_sees_limits_end() {
    let shutdown = shutdown(SHORT, SHORT);
    let (ctx, _work) = shutdown.register("stuck").unwrap();
    shutdown.stop();
    assert!(!ctx.is_done(), "nobody has waited");
    let (cleanup, _guard) = shutdown.cleanup(&ctx);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut waiting = pin!(shutdown.wait_async());
    let report = loop {
        assert!(woken.0.swap(false, Ordering::SeqCst), "nobody wakes it");
        let mut task = TaskContext::from_waker(&waker);
        if let Poll::Ready(report) = waiting.as_mut().poll(&mut task) {
            break report;
        }
    };
    assert_eq!((report.canceled, report.late.len()), (1, 1));
    assert!(report.took >= 2 * SHORT, "{report}");
    assert!(cleanup.is_done() && shutdown.cleanup(&ctx).0.is_done());
}

fn an_engine_that_has_its_thread_keeps_a_cleanup(engine: &Engine) {
    let shutdown = Shutdown::builder().build(&engine.background());
    let (cleanup, _guard) = shutdown.cleanup(shutdown.working());
    assert!(!cleanup.is_done() && cleanup.deadline().is_some());
}

#[cfg(feature = "signals")]
fn who_cannot_watch_signals_leaves_them_as_they_were() {
    let handler = || {
        // SAFETY: all zeros is a `sigaction`, which the call then fills.
        let mut there: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the call writes one `sigaction`.
        let asked = unsafe { libc::sigaction(libc::SIGTERM, std::ptr::null(), &raw mut there) };
        assert_eq!(asked, 0);
        there.sa_sigaction
    };
    let before = handler();
    assert!(shutdown(LONG, LONG).on_signals().is_err());
    assert_eq!(handler(), before);
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

    let (drained, cleaned) = (shutdown(LONG, LONG), shutdown(SHORT, LONG));
    let workers = [working(&drained, drains), working(&cleaned, cleans_up)];
    let own = Engine::builder().thread_name("own").build();
    let own = own.expect("there is room");
    let (soon, _soon_guard) = own.background().with_timeout(SHORT);
    soon.wait(); // Its thread has run.
    let before = let_no_thread_start();
    for stopped in [&drained, &cleaned] {
        stopped.stop();
        let report = stopped.wait();
        assert_eq!(report.drained + report.canceled, 1);
        assert!(report.late.is_empty(), "{report}");
    }
    a_task_that_waits_sees_limits_end();
    an_engine_that_has_its_thread_keeps_a_cleanup(&own);
    let alone = shutdown(SHORT, LONG);
    let (ungraced, _work) = alone.register("alone").unwrap();
    alone.stop();
    #[cfg(feature = "signals")]
    who_cannot_watch_signals_leaves_them_as_they_were();
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
    for (stays, worker) in workers {
        drop(stays);
        worker.join().unwrap();
    }

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
    assert_eq!(ungraced.wait_timeout(PATIENCE), Some(Error::Canceled));
    let cause = ungraced.cause().unwrap();
    assert_eq!(cause.downcast_ref(), Some(&ShutdownCause::GraceOver(SHORT)));
}
