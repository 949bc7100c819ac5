//! A fork without exec: in the child deadlines do not fire, and all else works. A binary of its own, with one test: what a
//! child has of a process with other threads at work is anybody's guess.

#![cfg(target_os = "linux")]

use ripcord::{CancelGuard, Context, Done, Engine, EngineStopped, Error, Shutdown};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context as TaskContext, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// Of what the parent keeps, the first that is on an engine of its own.
const OWN_AT: usize = 2_000;

fn polls_pending<F: Future + Unpin>(future: &mut F) -> bool {
    let mut task = TaskContext::from_waker(Waker::noop());
    Pin::new(future).poll(&mut task).is_pending()
}

fn is_live(timed: &(Context, CancelGuard)) -> bool {
    timed.0.err().is_none()
}

fn is_stopped(timed: &(Context, CancelGuard)) -> bool {
    let cause = timed.0.cause();
    cause.is_some_and(|cause| cause.downcast_ref::<EngineStopped>().is_some())
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0usize) * 4096
}

/// What the parent had made before.
struct Before {
    root: Context,
    timed: Context,
    sleep: ripcord::Sleep,
    registration: ripcord::AfterFunc,
    guard: CancelGuard,
    kept: Vec<(Context, CancelGuard)>,
    own: Engine,
}

/// Answers with the first step that failed.
fn in_child(before: Before) -> Result<(), u8> {
    let step = |number: u8, holds: bool| if holds { Ok(()) } else { Err(number) };
    let Before {
        root,
        timed,
        mut sleep,
        registration,
        guard,
        mut kept,
        own,
    } = before;
    let armed_before = kept.swap_remove(OWN_AT);
    step(1, !root.is_done() && !timed.is_done())?;
    for at in [Context::background(), root.clone(), own.background()] {
        let (ctx, ctx_guard) = at.with_cancel();
        let (child, child_guard) = ctx.with_timeout(LONG);
        step(2, polls_pending(&mut child.done()))?;
        ctx_guard.cancel();
        step(
            3,
            child.err() == Some(Error::Canceled) && child.wait() == Error::Canceled,
        )?;
        drop((ctx, child, child_guard));
        // A deadline of a millisecond does not fire here, and hangs nobody who asks for a time.
        let (short, _short_guard) = at.with_timeout(MS);
        step(4, short.wait_timeout(5 * MS).is_none())?;
        step(5, short.blocking_sleep(5 * MS).is_ok())?;
        step(
            6,
            short.remaining() == Some(Duration::ZERO) && !short.is_done(),
        )?;
        let (below, _below_guard) = short.with_cancel();
        let (merged, _merged_guard) = Context::merge([&root, &below]);
        step(
            7,
            below.wait_timeout(MS).is_none() && merged.wait_timeout(MS).is_none(),
        )?;
        let mut nap = at.sleep(MS);
        step(8, polls_pending(&mut nap))?;
        drop((at.sleep(LONG), nap));
        let many: Vec<_> = (0..3_000).map(|_| at.with_timeout(LONG)).collect();
        drop(many);
    }
    // Nobody would ever sweep out here what is armed and dropped.
    let churn = |times| (0..times).for_each(|_| drop(Context::background().with_timeout(LONG)));
    churn(1_000);
    let before = resident();
    churn(50_000);
    // A sanitizer keeps what was freed for a while.
    step(15, cfg!(ripcord_no_pool) || resident() < before + (2 << 20))?;
    step(9, polls_pending(&mut sleep))?;
    drop((sleep, kept));
    step(10, registration.stop() && !registration.stop())?;
    root.after_func(|| {});
    guard.cancel();
    step(11, timed.err() == Some(Error::Canceled))?;
    step(12, !root.after_func(|| {}).stop())?;
    let (engine, clock) = Engine::builder().manual_clock().map_err(|_| 13)?;
    let (ctx, _guard) = engine.background().with_timeout(LONG);
    clock.advance(LONG);
    step(14, ctx.err() == Some(Error::DeadlineExceeded))?;
    let armed_here = own.background().with_timeout(LONG);
    step(16, is_live(&armed_here) && is_live(&armed_before))?;
    own.shutdown();
    step(17, is_stopped(&armed_here) && is_stopped(&armed_before))?;
    drop((root, timed, own, engine));
    let shutdown = Shutdown::builder()
        .grace(MS)
        .cleanup(MS)
        .build(&Context::background());
    let (stuck, _work) = shutdown.register("stuck").map_err(|_| 18)?;
    shutdown.stop();
    step(19, shutdown.wait().late.len() == 1 && stuck.is_done())
}

/// Forks; the child ends with the number of the step that failed, if one does.
fn fork_and_try(child: impl FnOnce() -> Result<(), u8>) {
    // SAFETY: the child calls this library and the allocator, which glibc makes usable there, and ends with `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        let code = child().err().unwrap_or(0);
        // SAFETY: nothing of the child's has to be put in order.
        unsafe { libc::_exit(code.into()) };
    }
    let status = wait_for(pid);
    assert!(libc::WIFEXITED(status), "the child crashed: {status}");
    assert_eq!(libc::WEXITSTATUS(status), 0, "the step that failed");
}

fn wait_for(pid: libc::pid_t) -> libc::c_int {
    let began = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: the call writes one integer.
        let ended = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        if ended != 0 {
            return status;
        }
        if began.elapsed() > PATIENCE {
            // SAFETY: the child is ours and was not waited for yet.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            panic!("the child hangs");
        }
        thread::sleep(MS);
    }
}

fn a_child_creates_cancels_drops_and_waits_and_fires_no_deadline() {
    for _ in 0..20 {
        let own = Engine::builder().build().expect("a thread can be started");
        let (root, guard) = Context::background().with_cancel();
        let (ran, has_run) = mpsc::channel();
        let (first, first_guard) = Context::background().with_timeout(MS);
        first.after_func(move || ran.send(()).expect("the test listens"));
        assert_eq!(
            first.wait(),
            Error::DeadlineExceeded,
            "the timer thread runs"
        );
        has_run.recv().expect("the callback thread runs");
        drop(first_guard);
        let (timed, timed_guard) = root.with_timeout(LONG);
        let mut sleep = root.sleep(LONG);
        assert!(polls_pending(&mut sleep));
        let mut kept: Vec<_> = (0..OWN_AT).map(|_| root.with_timeout(LONG)).collect();
        kept.extend((0..100).map(|_| own.background().with_timeout(LONG)));
        kept.push((timed.clone(), timed_guard));
        let registration = root.after_func(|| {});
        let before = Before {
            root,
            timed: timed.clone(),
            sleep,
            registration,
            guard,
            kept,
            own,
        };
        let mut before = Some(before);
        fork_and_try(|| in_child(before.take().expect("made above")));
        // The parent notices nothing of it.
        assert!(!timed.is_done());
        let before = before.expect("it is the child that took it");
        let (later, _later_guard) = before.own.background().with_timeout(MS);
        assert_eq!(later.wait(), Error::DeadlineExceeded);
        drop(before);
        assert_eq!(timed.wait(), Error::Canceled);
    }
}

/// Holds up whoever fires a deadline of `root`, from when it does until the answer is dropped.
fn hold_up(root: &Context) -> (mpsc::Receiver<()>, impl Sized + use<>) {
    struct HoldUp(mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>);

    impl Wake for HoldUp {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
            let _ = self.1.lock().expect("one thread").recv();
        }
    }

    let (held, is_held) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let waker = Waker::from(Arc::new(HoldUp(held, Mutex::new(may_go))));
    (is_held, (go, timed_and_told(root, &waker)))
}

/// A context whose deadline, 50 ms ahead or somewhat further, wakes that. One that fires before it can, on a busy machine,
/// is tried again.
fn timed_and_told(root: &Context, waker: &Waker) -> (Context, CancelGuard, Done) {
    let mut after = 50 * MS;
    loop {
        let (ctx, guard) = root.with_timeout(after);
        let mut done = ctx.done();
        let mut task = TaskContext::from_waker(waker);
        if Pin::new(&mut done).poll(&mut task).is_pending() {
            return (ctx, guard, done);
        }
        after *= 2;
    }
}

fn a_child_of_a_process_in_the_middle_of_turns_takes_them() {
    let own = Engine::builder().build().expect("a thread can be started");
    let (by_loop, driver) = Engine::builder().driven().expect("it needs no thread");
    let timed = own.background().with_timeout(LONG);
    let of_the_loop = by_loop.background().with_timeout(LONG);
    let (own_held, go_own) = hold_up(&own.background());
    let (loop_held, go_loop) = hold_up(&by_loop.background());
    own_held.recv().expect("its thread is in a turn");
    let driver = &driver;
    thread::scope(|scope| {
        let turns = scope.spawn(|| while driver.turn() == 0 {});
        loop_held.recv().expect("the loop is in a turn");
        fork_and_try(|| {
            let step = |number: u8, holds: bool| if holds { Ok(()) } else { Err(number) };
            let late = of_the_loop.0.with_timeout(MS);
            thread::sleep(2 * MS);
            step(1, driver.turn() == 1)?;
            step(2, late.0.err() == Some(Error::DeadlineExceeded))?;
            let armed_here = own.background().with_timeout(LONG);
            own.shutdown();
            step(3, is_stopped(&armed_here) && is_stopped(&timed))?;
            step(4, is_live(&of_the_loop))?;
            by_loop.shutdown();
            step(5, is_stopped(&of_the_loop))
        });
        drop((go_own, go_loop));
        turns.join().expect("the loop");
    });
    assert!(is_live(&timed) && is_live(&of_the_loop));
}

/// Before this process has any thread of the library's.
fn a_child_of_a_process_without_threads_takes_turns_too() {
    let (by_loop, driver) = Engine::builder().driven().expect("it needs no thread");
    let (by_hand, clock) = Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    let (loop_held, go_loop) = hold_up(&by_loop.background());
    let (hand_held, go_hand) = hold_up(&by_hand.background());
    let engines = [&by_loop, &by_hand];
    let ahead = engines.map(|engine| engine.background().with_timeout(LONG));
    let (driver, clock) = (&driver, &clock);
    thread::scope(|scope| {
        scope.spawn(|| while driver.turn() == 0 {});
        scope.spawn(|| clock.advance(50 * MS));
        loop_held.recv().expect("the loop is in a turn");
        hand_held.recv().expect("the clock is being moved");
        fork_and_try(|| {
            let step = |number: u8, holds: bool| if holds { Ok(()) } else { Err(number) };
            let soon = engines.map(|engine| engine.background().with_timeout(MS));
            thread::sleep(2 * MS);
            step(1, driver.turn() == 1)?;
            clock.advance(MS);
            step(2, !soon.iter().any(is_live))?;
            engines.into_iter().for_each(Engine::shutdown);
            step(3, ahead.iter().all(is_stopped))
        });
        drop((go_loop, go_hand));
    });
    assert!(ahead.iter().all(is_live));
}

/// Forks in a waker, then runs what it was given: the thread that fires goes on in the child.
struct ForkInside<F>(mpsc::Sender<libc::pid_t>, F);

impl<F: Fn() + Send + Sync> Wake for ForkInside<F> {
    fn wake(self: Arc<Self>) {
        // SAFETY: as in `fork_and_try`; the child ends in `_exit`, or is killed.
        let pid = unsafe { libc::fork() };
        let _ = self.0.send(pid);
        if pid == 0 {
            (self.1)();
        }
    }
}

fn fork_inside(
    root: &Context,
    in_child: impl Fn() + Send + Sync + 'static,
) -> (mpsc::Receiver<libc::pid_t>, Box<dyn std::any::Any>) {
    let (forked, has_forked) = mpsc::channel();
    let waker = Waker::from(Arc::new(ForkInside(forked, in_child)));
    (has_forked, Box::new(timed_and_told(root, &waker)))
}

fn a_thread_that_forks_inside_its_turn_has_it_in_the_child() {
    static TAKEN_BESIDE_IT: AtomicUsize = AtomicUsize::new(usize::MAX);
    let (by_loop, driver) = Engine::builder().driven().expect("it needs no thread");
    let driver = Arc::new(driver);
    let (soon, _guard) = by_loop.background().with_timeout(60 * MS);
    let (forked, _kept) = fork_inside(&by_loop.background(), {
        let driver = Arc::clone(&driver);
        move || {
            thread::sleep(20 * MS);
            let beside = thread::scope(|scope| scope.spawn(|| driver.turn()).join());
            TAKEN_BESIDE_IT.store(beside.expect("no panic"), Ordering::SeqCst);
        }
    });
    thread::sleep(55 * MS);
    let fired = driver.turn();
    let pid = forked.recv().expect("it has forked");
    if pid == 0 {
        let alone = TAKEN_BESIDE_IT.load(Ordering::SeqCst) == 0 && fired == 2 && soon.is_done();
        let (late, _late_guard) = by_loop.background().with_timeout(MS);
        thread::sleep(2 * MS);
        let goes_on = driver.turn() == 1 && late.is_done();
        // SAFETY: nothing of the child's has to be put in order.
        unsafe { libc::_exit(i32::from(!alone) + 2 * i32::from(!goes_on)) };
    }
    assert_eq!(
        wait_for(pid),
        0,
        "the turn was not its alone, or it was its last"
    );
}

fn a_timer_thread_that_forks_goes_on_in_the_child_and_sleeps() {
    let own = Engine::builder().build().expect("a thread can be started");
    let (forked, _kept) = fork_inside(&own.background(), || {});
    let pid = forked.recv().expect("it has forked");
    thread::sleep(200 * MS);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the child lives");
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks: u64 = [11, 12]
        .map(|at| fields[at].parse::<u64>().expect("a number"))
        .iter()
        .sum();
    // SAFETY: the child is ours and was not waited for yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    wait_for(pid);
    assert!(ticks < 10, "{ticks}0 ms of processor time in 200");
}

#[test]
fn in_a_forked_child_no_deadline_fires_and_all_else_works() {
    a_child_of_a_process_without_threads_takes_turns_too();
    a_thread_that_forks_inside_its_turn_has_it_in_the_child();
    a_timer_thread_that_forks_goes_on_in_the_child_and_sleeps();
    a_child_creates_cancels_drops_and_waits_and_fires_no_deadline();
    a_child_of_a_process_in_the_middle_of_turns_takes_them();
}
