//! Time limits that hold though the engine that is to keep them is shut down, which ends what it has armed before its time: the
//! process's engine keeps what is left. For what sees others off, an engine among them.
//!
//! Of such a limit [`is_cut_short`] is asked when it is over, and one for the rest is made in its place.

use crate::{CancelGuard, Cause, Context, Engine, EngineStopped};

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
