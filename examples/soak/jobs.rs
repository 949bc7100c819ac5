//! What a thread does: one job after another, picked by its own random numbers.

mod callbacks;
mod engines;
mod faults;
#[cfg(feature = "mio")]
mod notifier;
mod tasks;
mod timers;
mod tree;
mod values;
mod waits;

use super::ledger::{Counted, Ledger, Reason};
use super::phase::Stage;
use super::quiet::PATIENCE;
use crossbeam_channel::RecvTimeoutError;
use ripcord::{CancelGuard, Cause, Context, Error};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, Waker};

/// Contexts that a thread keeps for later, at the most.
const KEPT: usize = 64;

type Job = fn(&mut Worker);

/// Each with how often it is picked among all.
const JOBS: &[(u32, Job)] = &[
    (200, tree::family),
    (20, tree::chain),
    (60, tree::merge),
    (10, tree::wide_merge),
    (30, tree::batch),
    (40, tree::keep),
    (30, tree::born_done),
    (20, tree::light),
    (1, tree::pool),
    (100, values::lookups),
    (20, values::rebound),
    (40, values::without_cancel),
    (60, timers::dropped),
    (8, timers::dropped_late),
    (20, timers::expire),
    (20, timers::expire_with_cause),
    (20, timers::inherited),
    (100, waits::polled),
    (30, waits::wakers_panic),
    (8, waits::blocked),
    (8, waits::timed),
    (20, waits::selected),
    (20, tasks::spawned),
    (10, tasks::in_place),
    (30, callbacks::called),
    (30, callbacks::stopped),
    (10, callbacks::expired),
    (4, engines::threaded),
    (10, engines::driven),
    (10, engines::manual),
    (1, faults::forgotten),
    (4, faults::thread_with_stock),
    #[cfg(feature = "mio")]
    (4, notifier::rung),
];

/// Does one job.
pub(crate) fn one(worker: &mut Worker) {
    let sum: u32 = JOBS.iter().map(|(weight, _)| weight).sum();
    let mut at = worker.rng.u32(..sum);
    for (weight, job) in JOBS {
        match at.checked_sub(*weight) {
            Some(left) => at = left,
            None => return job(worker),
        }
    }
}

/// A thread of a phase.
pub(crate) struct Worker {
    stage: Arc<Stage>,
    rng: fastrand::Rng,
    kept: Vec<(Context, CancelGuard)>,
}

impl Worker {
    pub(crate) fn new(stage: Arc<Stage>, seed: u64) -> Self {
        Self {
            stage,
            rng: fastrand::Rng::with_seed(seed),
            kept: Vec::new(),
        }
    }

    fn ledger(&self) -> &Arc<Ledger> {
        &self.stage.ledger
    }

    fn ensure(&self, holds: bool, message: impl FnOnce() -> String) {
        self.ledger().ensure(holds, message);
    }

    fn counted(&self) -> Counted {
        self.ledger().counted()
    }

    /// One in so many.
    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    /// A live context to derive from: mostly the one all threads do.
    fn base(&mut self) -> Context {
        if self.one_in(8) {
            Context::background()
        } else {
            self.stage.root.clone()
        }
    }

    /// A cause whose drop is counted, and how it is told from others.
    fn reason(&self) -> (Cause, u64) {
        let counted = self.counted();
        let number = counted.number;
        (Reason(counted).into(), number)
    }

    /// All ways of looking agree on how it ended, and on that number as the reason, if one is given.
    fn ended(&self, ctx: &Context, error: Error, reason: Option<u64>) {
        self.ensure(ctx.is_done(), || {
            format!("{ctx} is live and should be done")
        });
        self.ensure(ctx.err() == Some(error), || {
            format!("{ctx} has {:?} and should have {error:?}", ctx.err())
        });
        self.agrees(ctx);
        if let Some(number) = reason {
            let cause = ctx.cause();
            let seen = cause
                .as_ref()
                .and_then(|cause| cause.downcast_ref::<Reason>());
            self.ensure(seen.is_some_and(|seen| seen.0.number == number), || {
                format!("{ctx} has {cause:?} and should have reason {number}")
            });
        }
    }

    /// All ways of looking at a context that may be done agree.
    fn agrees(&self, ctx: &Context) {
        let Some(error) = ctx.err() else { return };
        self.ensure(ctx.is_done() && ctx.check() == Err(error), || {
            format!("{ctx} is done by err() and not by is_done() or check()")
        });
        let told = poll(&mut ctx.done(), Waker::noop());
        self.ensure(told == Poll::Ready(error), || {
            format!("{ctx}: done() gives {told:?}")
        });
        let channel = ctx.done_channel().recv_timeout(PATIENCE);
        self.ensure(channel == Err(RecvTimeoutError::Disconnected), || {
            format!("{ctx}: its channel stays connected")
        });
        let cause = ctx.cause();
        let inline = cause
            .as_ref()
            .and_then(|cause| cause.downcast_ref::<Error>());
        self.ensure(
            cause.is_some() && inline.is_none_or(|inline| *inline == error),
            || format!("{ctx}: {error:?}, and {cause:?}"),
        );
        self.ensure(ctx.err() == Some(error), || {
            format!("{ctx} changed its mind")
        });
        if error.is_timeout() {
            self.ledger().expired.fetch_add(1, Ordering::Relaxed);
            // By the clock of its engine.
            self.ensure(ctx.remaining().is_some_and(|left| left.is_zero()), || {
                format!("{ctx} expired early")
            });
        }
    }

    /// At the end of the phase: what was kept agrees with the root, and is dropped.
    pub(crate) fn finish(mut self) {
        let is_over = self.stage.root.is_done();
        for (ctx, _guard) in &self.kept {
            self.ensure(!is_over || ctx.is_done(), || {
                format!("{ctx} outlived its root")
            });
            self.agrees(ctx);
        }
        self.rng.shuffle(&mut self.kept);
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut TaskContext::from_waker(waker))
}
