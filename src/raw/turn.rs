//! The turn: fires what is due.
//!
//! All that is due is marked first, then all who wait on any of it are told, then the ARMED pins are given up; so what a
//! waker sees is as if all of it had ended at once. Wakers run inside the turn, and may take one: it goes round once more.
//!
//! Called by `timers`, `engine` and `waiting`.

use super::bury;
use super::core::Core;
use super::drive::{Report, Upper};
use super::node::Node;
use super::state::End;
use super::waits;
use super::walk::{self, Ended};
use super::wheel::Armed;
use crate::tuning;

/// Fires what is due; answers with how many deadlines and sleeps. Where somebody else has the turn that one does it
/// before letting go, and this call returns 0. Runs wakers, their panics contained.
pub(crate) fn turn(core: &Core) -> usize {
    if !core.begin_turn(true) {
        return 0;
    }
    tuning::window("turn taken");
    let mut fired = 0;
    loop {
        // SAFETY: begun above.
        fired += unsafe { pass(core) };
        // SAFETY: begun above.
        if unsafe { core.end_turn() } {
            return fired;
        }
    }
}

/// What a core is made with: what its undertakers call here.
pub(crate) const fn upper(report: Report) -> Upper {
    Upper { report, tidy }
}

/// Fires one deadline, which is due, without a turn. Runs wakers, their panics contained.
///
/// # Safety
///
/// The caller has a handle of the node, whose deadline it is, or of one below it.
pub(crate) unsafe fn fire(node: *mut Node) {
    // SAFETY: the caller's promise.
    let (core, ended) = unsafe { (&*Node::at(node).core(), walk::expire_one(node)) };
    report(core, &ended, End::EXPIRED);
    waits::tell(ended);
}

fn report(core: &Core, ended: &Ended<'_>, end: End) {
    if ended.contexts > 0 {
        (core.upper.report)(core, ended.contexts, end.error);
    }
}

/// Sweeps out what was dropped while it was in the wheel, if nobody else has the turn; fires nothing, unless somebody who moves
/// a clock or shuts down asks for that meanwhile. What another sweep has just missed goes with the next: undertakers come here again
/// and again.
pub(crate) fn tidy(core: &Core) {
    // Who has it would fire, where this one is not to.
    if !core.begin_turn(false) {
        return;
    }
    // SAFETY: begun above.
    bury::reclaim_timed(unsafe { core.sweep().into_pins() });
    // SAFETY: begun above.
    while !unsafe { core.end_turn() } {
        // A loop asks again by itself, as long as something is due; were it served here, it could keep a drop at it.
        if core.is_stopped() || !core.is_looped() {
            // SAFETY: begun above.
            unsafe { pass(core) };
        }
    }
}

/// # Safety
///
/// The caller has the turn.
unsafe fn pass(core: &Core) -> usize {
    let mut fired = 0;
    // Looked at once: were they stopped between two looks, all that is armed would end as due.
    let stopped = core.is_stopped();
    if stopped {
        // SAFETY: the caller's promise.
        fired += end(core, unsafe { core.take_stopped() }, End::STOPPED);
    }
    let passes = if stopped {
        core.is_manual()
    } else {
        !core.is_orphaned()
    };
    if passes {
        // SAFETY: the caller's promise.
        fired += end(core, unsafe { core.take_due() }, End::EXPIRED);
    }
    // SAFETY: the caller's promise.
    bury::reclaim_timed(unsafe { core.sweep().into_pins() });
    fired
}

/// Ends what was taken, tells, and gives up the ARMED pins; answers with how many this call has ended.
fn end(core: &Core, taken: Armed, end: End) -> usize {
    // SAFETY: `taken` outlives the telling.
    let (ended, fired) = unsafe { walk::expire(&taken, end) };
    report(core, &ended, end);
    waits::tell(ended);
    bury::reclaim_timed(taken.into_pins());
    fired
}
