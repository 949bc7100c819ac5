//! Deadlines: those that fire, and those that are dropped before.

use super::Worker;
use ripcord::Error;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(3600);

/// Armed and disarmed, as most are.
pub(super) fn dropped(worker: &mut Worker) {
    let base = worker.base();
    let mut armed: Vec<_> = (0..worker.rng.usize(1..40))
        .map(|_| base.with_timeout(LONG - Duration::from_millis(worker.rng.u64(..1_000_000))))
        .collect();
    worker.rng.shuffle(&mut armed);
    let live = armed.iter().all(|(ctx, _)| !ctx.is_done());
    worker.ensure(live, || "a deadline an hour ahead has fired".to_owned());
}

/// Near enough to be in the wheel when it is dropped, or just fired.
pub(super) fn dropped_late(worker: &mut Worker) {
    let base = worker.base();
    let armed: Vec<_> = (0..worker.rng.usize(1..60))
        .map(|_| base.with_timeout(Duration::from_micros(worker.rng.u64(..4_000))))
        .collect();
    std::thread::sleep(Duration::from_micros(worker.rng.u64(..3_000)));
    for (ctx, _guard) in armed {
        worker.agrees(&ctx);
    }
}

pub(super) fn expire(worker: &mut Worker) {
    let base = worker.base();
    let at = Instant::now() + Duration::from_micros(worker.rng.u64(..2_000));
    let (ctx, _guard) = base.with_deadline(at);
    let (below, _below_guard) = ctx.with_timeout(LONG);
    worker.ensure(ctx.wait() == Error::DeadlineExceeded, || {
        format!("{ctx} ended otherwise")
    });
    worker.ensure(Instant::now() >= at, || format!("{ctx} was early"));
    // The wait above may have been no more than a look, in the middle of it.
    below.wait();
    worker.ensure(below.deadline() == Some(at), || {
        format!("{below} has {:?} and should have {at:?}", below.deadline())
    });
    worker.ended(&below, Error::DeadlineExceeded, None);
}

/// The cause given is used if the deadline was first, and dropped in any case.
pub(super) fn expire_with_cause(worker: &mut Worker) {
    let base = worker.base();
    let (late, late_number) = worker.reason();
    let (ctx, guard) =
        base.with_timeout_cause(Duration::from_micros(worker.rng.u64(..1_000)), late);
    if worker.rng.bool() {
        ctx.wait();
    }
    let (reason, number) = worker.reason();
    guard.cancel_with(reason);
    match ctx.err() {
        Some(error @ Error::DeadlineExceeded) => worker.ended(&ctx, error, Some(late_number)),
        _ => worker.ended(&ctx, Error::Canceled, Some(number)),
    }
}

/// Not earlier than the parent's: that one fires for both.
pub(super) fn inherited(worker: &mut Worker) {
    let base = worker.base();
    let (parent, guard) = base.with_timeout(Duration::from_micros(worker.rng.u64(100..2_000)));
    let children: Vec<_> = (1..5)
        .map(|hours| parent.with_timeout(hours * LONG))
        .collect();
    let same = children
        .iter()
        .all(|(child, _)| child.deadline() == parent.deadline());
    worker.ensure(same, || format!("a child of {parent} has another deadline"));
    if worker.rng.bool() {
        drop(guard);
    }
    let error = parent.wait();
    for (child, _guard) in &children {
        child.wait();
        worker.ended(child, error, None);
    }
}
