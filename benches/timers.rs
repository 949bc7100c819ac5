//! Deadlines and sleeps beside tokio's timers and pingora's.
//!
//! `cargo bench --bench timers`; with `RIPCORD_PERF=write` the figures go into PERF.md.

mod common;
mod report;

use common::timeouts::{
    crowd_ours, crowd_tokio, request_ours, request_pingora, request_tokio, runtime, server,
    timeout_ours, timeout_tokio,
};
use common::{
    LONG, Ripcord, Subject, Token, each, locked_and_clock, noop, shared, timed_by_itself,
};
use pingora_timeout::fast_timeout::{FastOrTokioTimeout, fast_timeout};
use report::{Figures, Target, Unit, sized};
use ripcord::{Engine, Error};
use std::future::{Future, Pending, pending};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const TOKIO: &str = "tokio";
const PINGORA: &str = "pingora-timeout";
const CLOCK: &str = "`Instant::now`";

fn armed() -> usize {
    sized(400_000, 400)
}

fn timeout_pingora(_: &(), n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        let timeout = pin!(fast_timeout(LONG, pending::<()>()));
        assert!(black_box(timeout).poll(&mut cx).is_pending());
    }
}

type PingoraTimeout = pingora_timeout::Timeout<Pending<()>, FastOrTokioTimeout>;

fn crowd_pingora() -> Vec<Pin<Box<PingoraTimeout>>> {
    let arm = |_| {
        let mut timeout = Box::pin(fast_timeout(LONG, pending()));
        assert!(timeout.as_mut().poll(&mut noop()).is_pending());
        timeout
    };
    (0..armed()).map(arm).collect()
}

fn sleep_ours(root: &Ripcord, n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        assert!(Pin::new(&mut root.0.sleep(LONG)).poll(&mut cx).is_pending());
    }
}

fn sleep_tokio(runtime: &Runtime, n: u64) {
    let _entered = runtime.enter();
    let mut cx = noop();
    for _ in 0..n {
        let sleep = pin!(tokio::time::sleep(LONG));
        assert!(black_box(sleep).poll(&mut cx).is_pending());
    }
}

/// How late the `percent` th of 200 is, in nanoseconds, that `wait` for a deadline of 0.2 to 1.2 ms.
fn lateness(percent: usize, wait: impl Fn(Instant)) -> f64 {
    let waits = sized(200, 5);
    let mut late: Vec<Duration> = (0..waits)
        .map(|i| {
            let at = Instant::now() + Duration::from_micros(200 + i * 5);
            wait(at);
            let late = Instant::now().checked_duration_since(at);
            late.expect("no deadline fires early")
        })
        .collect();
    late.sort_unstable();
    late[late.len() * percent / 100].as_nanos() as f64
}

fn many() -> usize {
    sized(1_000_000, 1_000)
}

fn late_ours(percent: usize) -> f64 {
    let (root, _crowd) = crowd_ours(many());
    lateness(percent, |at| {
        let (ctx, _guard) = root.0.with_deadline(at);
        assert_eq!(ctx.wait(), Error::DeadlineExceeded);
    })
}

fn late_tokio(percent: usize) -> f64 {
    let (_crowd, runtime) = crowd_tokio(many());
    lateness(percent, |at| {
        runtime.block_on(async { tokio::time::sleep_until(at.into()).await });
    })
}

/// The kernel's own, at the slack of ripcord's timer thread.
fn late_kernel(percent: usize) -> f64 {
    let sleeper = thread::spawn(move || {
        #[cfg(target_os = "linux")]
        // SAFETY: the call takes an integer and is of this thread.
        unsafe {
            libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize);
        }
        lateness(percent, |at| {
            while let Some(left) = at.checked_duration_since(Instant::now())
                && !left.is_zero()
            {
                thread::sleep(left);
            }
        })
    });
    sleeper.join().expect("it only sleeps")
}

/// Only the turn is timed.
fn fire() -> Duration {
    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    let root = engine.background();
    let kept: Vec<_> = (0..FIRED as u64)
        .map(|i| root.with_timeout(Duration::from_micros(1 + i % 1_000)))
        .collect();
    let start = Instant::now();
    clock.advance(Duration::from_millis(1));
    let took = start.elapsed();
    assert!(kept.iter().all(|(ctx, _)| ctx.is_done()));
    took
}

const FIRED: usize = 10_000;

/// Of the timer thread of an engine, a second, while the deadlines there are lie an hour ahead.
#[cfg(target_os = "linux")]
fn wakes_ours() -> f64 {
    let engine = Engine::builder().thread_name("wakes").build();
    let root = engine.expect("one thread more").background();
    let hour = Duration::from_secs(3_600);
    let ahead = sized(1_000_000, 1_000);
    let kept: Vec<_> = (0..ahead).map(|_| root.with_timeout(hour)).collect();
    let watched = Duration::from_secs(sized(5, 1));
    thread::sleep(watched); // What arming them has woken it for is over then.
    let before = switches("wakes");
    thread::sleep(watched);
    let woken = switches("wakes") - before;
    drop(black_box(kept));
    woken as f64 / watched.as_secs_f64()
}

/// How often threads of that name have given a processor up.
#[cfg(target_os = "linux")]
fn switches(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it");
    let found = tasks.filter_map(|task| {
        let task = task.ok()?.path();
        let is_it = std::fs::read_to_string(task.join("comm")).ok()?.trim() == name;
        let status = std::fs::read_to_string(task.join("status")).ok()?;
        let count = |line: &str| {
            line.split_once("ctxt_switches:")?
                .1
                .trim()
                .parse::<u64>()
                .ok()
        };
        is_it.then(|| status.lines().filter_map(count).sum::<u64>())
    });
    found
        .reduce(|sum, count| sum + count)
        .expect("a thread of that name")
}

fn main() -> ExitCode {
    let mut figures = Figures::new("timers", &[TOKIO, PINGORA]);
    figures.row("clock", CLOCK).scale(each(Instant::now));
    timeouts(&mut figures);
    requests(&mut figures);
    firing(&mut figures);
    #[cfg(target_os = "linux")]
    figures
        .row(
            "wakes",
            "wake-ups a second of the timer thread, 1,000,000 deadlines an hour away",
        )
        .ours_found(wakes_ours)
        .unit(Unit::Count)
        .target(Target::AtMost(1.0));
    figures.finish()
}

fn timeouts(figures: &mut Figures) {
    for (threads, most) in [(1, 50.0), (2, 55.0)] {
        figures
            .row_on(threads, "timeout", "timeout armed and disarmed")
            .ours(shared(threads, Ripcord::root, timeout_ours))
            .peer(TOKIO, shared(threads, runtime, timeout_tokio))
            .peer(PINGORA, shared(threads, || (), timeout_pingora))
            .go()
            .floor(
                "5 locked instructions and the clock",
                locked_and_clock::<5>(threads),
            )
            .target(Target::AtMost(most));
    }
    for (threads, plain) in [(1, "timeout-1-thread"), (2, "timeout-2-threads")] {
        figures
            .row_on(
                threads,
                "crowded-timeout",
                "timeout armed and disarmed beside 400,000 armed",
            )
            .ours(shared(
                threads,
                || crowd_ours(armed()),
                |c, n| timeout_ours(&c.0, n),
            ))
            .peer(
                TOKIO,
                shared(
                    threads,
                    || crowd_tokio(armed()),
                    |c, n| timeout_tokio(&c.1, n),
                ),
            )
            .peer(
                PINGORA,
                shared(threads, crowd_pingora, |_, n| timeout_pingora(&(), n)),
            )
            .go()
            .target(Target::TimesRow(1.3, plain));
    }
}

fn requests(figures: &mut Figures) {
    for (threads, most) in [(1, 72.0), (2, 80.0)] {
        figures
            .row_on(
                threads,
                "request",
                "request: child with a timeout, a pending wait, done",
            )
            .ours(shared(threads, Ripcord::root, request_ours))
            .peer(TOKIO, shared(threads, server, request_tokio))
            .peer(PINGORA, shared(threads, Token::root, request_pingora))
            .go()
            .floor(
                "12 locked instructions and the clock",
                locked_and_clock::<12>(threads),
            )
            .target(Target::AtMost(most));
    }
    figures
        .row("sleep", "sleep made, polled once and dropped")
        .ours(shared(1, Ripcord::root, sleep_ours))
        .peer(TOKIO, shared(1, runtime, sleep_tokio));
}

fn firing(figures: &mut Figures) {
    for (percent, id, label, most) in [
        (
            50,
            "late-50",
            "lateness at the return of `wait`, 1,000,000 armed, median",
            110_000.0,
        ),
        (
            95,
            "late-95",
            "lateness at the return of `wait`, 1,000,000 armed, 95th of 100",
            250_000.0,
        ),
    ] {
        figures
            .row(id, label)
            .ours_found(move || late_ours(percent))
            .peer_found(TOKIO, move || late_tokio(percent))
            .go()
            .floor_found("`thread::sleep`", move || late_kernel(percent))
            .target(Target::AtMost(most));
    }
    figures
        .row(
            "fire-10000",
            "`advance` over 10,000 deadlines, 1,000 of them apart, a deadline",
        )
        .ours(timed_by_itself(fire))
        .per(FIRED)
        .slow();
}
