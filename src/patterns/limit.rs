//! Time limits that hold though the engine that is to keep them is shut down, which ends what it has armed before its time: the
//! process's engine keeps what is left. Where the thread of that one cannot be started, whoever waits looks at the clock. For
//! what sees others off, an engine among them.

use crate::{CancelGuard, Context, Engine, EngineStopped};
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

/// As long a thread lets pass before it tries once more to have a limit kept.
const RETRIED: Duration = Duration::from_millis(10);

/// A time to let pass that begins when it is made, and is over before if the context is done.
pub(super) struct Limit {
    ctx: Context,
    began: Instant,
    length: Duration,
    end: (Context, CancelGuard),
}

impl Limit {
    pub(super) fn new(ctx: &Context, length: Duration) -> Self {
        let mut limit = Self {
            ctx: ctx.clone(),
            began: ctx.now(),
            length,
            end: ctx.with_timeout(length),
        };
        limit.renew();
        limit
    }

    /// What is done when it is over, or cut short.
    pub(super) fn end(&self) -> &Context {
        &self.end.0
    }

    /// Whether it was cut short; the rest is made anew, where nobody stops it.
    fn renew(&mut self) -> bool {
        let is_stopped = is_stopped(self.end());
        if self.ctx.is_done() || !(is_stopped || is_unkept(self.end())) {
            return false;
        }
        let used = self.ctx.now().saturating_duration_since(self.began);
        self.length = self.length.saturating_sub(used);
        if is_stopped {
            self.ctx = elsewhere(&self.ctx);
        }
        self.began = self.ctx.now();
        self.end = self.ctx.with_timeout(self.length);
        true
    }

    /// Whether its [`end`](Self::end) is to be waited for once more. Blocks for a moment where nobody keeps it.
    pub(super) fn goes_on(&mut self) -> bool {
        let goes_on = self.renew();
        if goes_on && is_unkept(self.end()) {
            self.ctx.wait_timeout(self.length.min(RETRIED));
        }
        goes_on
    }

    /// Blocks until it is over. By the clock too: in the child of a fork nobody ends what is waited for.
    pub(super) fn wait(&mut self) {
        self.end().wait_timeout(self.length);
        while self.goes_on() {
            self.end().wait_timeout(self.length);
        }
    }

    /// As [`wait`](Self::wait), for tasks. Where nobody keeps it the task wakes itself, for there is nobody else.
    pub(super) async fn over(&mut self) {
        self.end().done().await;
        while self.renew() {
            let mut looks = is_unkept(self.end());
            poll_fn(|task| {
                if std::mem::take(&mut looks) {
                    task.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            self.end().done().await;
        }
    }
}

/// What `derive` makes of the parent; where the parent's engine was shut down, by the clock of the process's.
pub(super) fn held(
    parent: &Context,
    derive: impl Fn(&Context) -> (Context, CancelGuard),
) -> (Context, CancelGuard) {
    let derived = derive(parent);
    if is_stopped(&derived.0) && !parent.is_done() {
        return derive(&elsewhere(parent));
    }
    derived
}

/// A child whose deadlines are kept by the process's engine.
pub(super) fn elsewhere(parent: &Context) -> Context {
    // A merged context uses the engine of the first that is not the plain background.
    let (engine, guard) = Engine::global().background().with_cancel();
    guard.disarm();
    let (merged, guard) = Context::merge([&engine, parent]);
    guard.disarm();
    merged
}

/// Whether it ended, or what it was derived from, because an engine was shut down.
fn is_stopped(ctx: &Context) -> bool {
    let cause = ctx.cause();
    cause.is_some_and(|cause| cause.downcast_ref::<EngineStopped>().is_some())
}

/// Whether it ended, or what it was derived from, because the thread that was to keep its time cannot be started.
pub(super) fn is_unkept(ctx: &Context) -> bool {
    let cause = ctx.cause();
    cause.is_some_and(|cause| cause.downcast_ref::<io::Error>().is_some())
}
