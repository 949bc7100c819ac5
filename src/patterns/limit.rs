//! Time limits that hold though the engine that is to keep them is shut down, which ends what it has armed before its time: the
//! process's engine keeps what is left. For what sees others off, an engine among them.
//!
//! Of such a limit [`is_cut_short`] is asked when it is over, and one for the rest is made in its place.

use crate::{CancelGuard, Cause, Context, Engine, EngineStopped};
use std::time::{Duration, Instant};

/// A time to let pass that begins when it is made, and is over before if the parent is done.
pub(super) struct Pause<'a> {
    parent: &'a Context,
    began: Instant,
    length: Duration,
    end: (Context, CancelGuard),
}

impl<'a> Pause<'a> {
    pub(super) fn new(parent: &'a Context, length: Duration) -> Self {
        Self {
            parent,
            began: parent.now(),
            length,
            end: held(parent, |parent| parent.with_timeout(length)),
        }
    }

    /// What is done when it is over, or is to be [renewed](Self::renew).
    pub(super) fn end(&self) -> &Context {
        &self.end.0
    }

    /// Whether it was cut short; the rest is kept elsewhere from now on.
    pub(super) fn renew(&mut self) -> bool {
        let cut_short = is_cut_short(self.end(), self.parent);
        if cut_short {
            let used = self.parent.now().saturating_duration_since(self.began);
            let left = self.length.saturating_sub(used);
            self.end = held(self.parent, |parent| parent.with_timeout(left));
        }
        cut_short
    }

    pub(super) async fn over(mut self) {
        loop {
            self.end().done().await;
            if !self.renew() {
                return;
            }
        }
    }
}

/// What `derive` makes of the parent; where the parent's engine was shut down, by the clock of the process's.
pub(super) fn held(
    parent: &Context,
    derive: impl Fn(&Context) -> (Context, CancelGuard),
) -> (Context, CancelGuard) {
    let derived = derive(parent);
    if !is_cut_short(&derived.0, parent) {
        return derived;
    }
    // A merged context uses the engine of the first that is not the plain background.
    let (elsewhere, guard) = Engine::global().background().with_cancel();
    guard.disarm();
    let (merged, guard) = Context::merge([&elsewhere, parent]);
    guard.disarm();
    derive(&merged)
}

/// Whether the context ended because its engine was shut down, and its parent goes on.
pub(super) fn is_cut_short(ctx: &Context, parent: &Context) -> bool {
    let stopped = |cause: Cause| cause.downcast_ref::<EngineStopped>().is_some();
    ctx.cause().is_some_and(stopped) && !parent.is_done()
}
