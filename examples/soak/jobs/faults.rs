//! What a program may do to itself.

use super::{Worker, poll};
use ripcord::Context;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::thread;
use std::time::Duration;

/// Bytes of a node, a waiter among them; and of one with a deadline, or a sleep.
const NODE: usize = 128;
const TIMED: usize = 192;

/// A future that is never dropped keeps its entry and its node, on the books, and costs nobody else anything.
// By its name the leak checker knows it.
#[inline(never)]
pub(super) fn forgotten(worker: &mut Worker) {
    let (ctx, guard) = Context::background().with_cancel();
    let kept = if worker.rng.bool() {
        let mut done = ctx.done();
        let _ = poll(&mut done, Waker::noop());
        std::mem::forget(done);
        NODE + NODE
    } else {
        let mut sleep = ctx.sleep(Duration::from_micros(worker.rng.u64(..1_000)));
        let _ = poll(&mut sleep, Waker::noop());
        std::mem::forget(sleep);
        NODE + TIMED
    };
    let ledger = worker.ledger();
    ledger.forgotten.fetch_add(1, Ordering::SeqCst);
    ledger.forgotten_bytes.fetch_add(kept, Ordering::SeqCst);
    if worker.rng.bool() {
        drop(guard.disarm());
    }
}

/// A thread that ends with magazines it has filled with what others made.
pub(super) fn thread_with_stock(worker: &mut Worker) {
    let base = worker.base();
    let contexts: Vec<_> = (0..worker.rng.usize(..400))
        .map(|_| base.with_cancel())
        .collect();
    let stage = Arc::clone(&worker.stage);
    let thread = thread::spawn(move || {
        let live = contexts.iter().all(|(ctx, _)| !ctx.is_done());
        stage
            .ledger
            .ensure(live, || "what was moved to a thread is done".to_owned());
        drop(contexts);
    });
    if worker.rng.bool() {
        let ended = thread.join().is_ok();
        worker.ensure(ended, || "a thread panicked".to_owned());
    }
}
