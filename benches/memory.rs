//! What a context takes: bytes alive, and allocations in a steady state, counted by the allocator.
//!
//! `cargo bench --bench memory`; with `RIPCORD_PERF=write` the figures go into PERF.md.

mod common;
#[path = "../tests/memory/counting.rs"]
mod counting;
mod report;

use common::timeouts::{request_ours, request_pingora, request_tokio, runtime, server};
use common::{LONG, Ripcord, Subject, Token, noop};
use counting::Counting;
use pingora_timeout::fast_timeout::fast_timeout;
use report::{Figures, Target, Unit, sized};
use std::future::Future;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

const TOKIO: &str = "tokio-util";
const PINGORA: &str = "pingora-timeout";

#[global_allocator]
static COUNTING: Counting = Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

fn count(allocations: usize, bytes: isize) {
    LIVE.fetch_add(bytes, Ordering::Relaxed);
    ALLOCATIONS.fetch_add(allocations, Ordering::Relaxed);
}

/// Of one of what `make` makes, in bytes. Half of them come first and empty the pools, so that each of the rest is
/// seen; the handles themselves lie in memory that was there before.
fn bytes<T>(mut make: impl FnMut() -> T) -> f64 {
    let half = sized(100_000, 1_000);
    let mut kept = Vec::with_capacity(2 * half);
    kept.extend((0..half).map(|_| make()));
    let before = LIVE.load(Ordering::Relaxed);
    kept.extend((0..half).map(|_| make()));
    let grown = LIVE.load(Ordering::Relaxed) - before;
    black_box(&kept);
    // Rarely somebody else's, as criterion's: not of a thousandth of them.
    (grown as f64 / half as f64).round()
}

/// Of one `op`, once it has been done often.
fn allocations(mut op: impl FnMut()) -> f64 {
    let times = sized(10_000, 100);
    (0..times).for_each(|_| op());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..times).for_each(|_| op());
    (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / times as f64
}

fn timeout_bytes_ours() -> f64 {
    let root = Ripcord::root();
    bytes(|| root.0.with_timeout(LONG))
}

/// The timer lies in its future, which lies in a task as a rule and in a box here.
fn timeout_bytes_tokio() -> f64 {
    let runtime = runtime();
    let _entered = runtime.enter();
    let root = Token::new();
    bytes(|| {
        let wait = root.child_token().cancelled_owned();
        let mut timeout = Box::pin(tokio::time::timeout(LONG, wait));
        assert!(timeout.as_mut().poll(&mut noop()).is_pending());
        timeout
    })
}

fn timeout_bytes_pingora() -> f64 {
    let root = Token::new();
    bytes(|| {
        let wait = root.child_token().cancelled_owned();
        let mut timeout = Box::pin(fast_timeout(LONG, wait));
        assert!(timeout.as_mut().poll(&mut noop()).is_pending());
        timeout
    })
}

fn request_allocations<R>(make: fn() -> R, request: fn(&R, u64)) -> impl Fn() -> f64 {
    move || {
        let made = make();
        allocations(|| request(&made, 1))
    }
}

fn child_bytes<S: Subject>() -> f64 {
    let root = S::root();
    bytes(|| root.child())
}

fn main() -> ExitCode {
    let mut figures = Figures::new("memory", &[TOKIO, "tokio", PINGORA]);
    figures
        .row("child", "bytes of a live child, beside its handles")
        .ours_found(child_bytes::<Ripcord>)
        .peer_found(TOKIO, child_bytes::<Token>)
        .go()
        .unit(Unit::Bytes)
        .target(Target::AtMost(128.0));
    figures
        .row("timeout", "bytes of a live child with a timeout")
        .ours_found(timeout_bytes_ours)
        .peer_found("tokio", timeout_bytes_tokio)
        .peer_found(PINGORA, timeout_bytes_pingora)
        .go()
        .unit(Unit::Bytes)
        .target(Target::AtMost(192.0));
    figures
        .row(
            "request",
            "allocations of a request: child with a timeout, a pending wait, done",
        )
        .ours_found(request_allocations(Ripcord::root, request_ours))
        .peer_found("tokio", request_allocations(server, request_tokio))
        .peer_found(PINGORA, request_allocations(Token::root, request_pingora))
        .go()
        .unit(Unit::Count)
        .target(Target::AtMost(0.0));
    figures.finish()
}
