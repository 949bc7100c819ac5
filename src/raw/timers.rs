//! Nodes with a deadline of their own: made, armed, and served by a thread.
//!
//! Called by `handle` and `engine`.

use super::core::{Core, Late};
use super::entry::{Kind, Parent};
use super::node::{Node, Timed};
use super::state::{CauseAt, End};
use super::time::Time;
use super::tree::{self, Plan};
use super::turn::turn;
use crate::cause::Cause;
use crate::error::Error;
use crate::{local, sync};
use std::io;

/// What a timed node hangs on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Under {
    Background(Parent),
    Node(*mut Node),
}

/// When a timed node is due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    At(Time),
    After(std::time::Duration),
}

impl Under {
    /// # Safety
    ///
    /// The caller has a handle of the node, here and below.
    #[inline(always)]
    pub(crate) unsafe fn core<'a>(self) -> &'a Core {
        match self {
            Self::Background(_) => local::global(),
            // SAFETY: the caller's promise; the root of its tree keeps the core.
            Self::Node(node) => unsafe { &*Node::at(node).core() },
        }
    }

    #[inline(always)]
    unsafe fn deadline(self) -> Time {
        match self {
            Self::Background(_) => Time::NEVER,
            // SAFETY: the caller's promise.
            Self::Node(node) => unsafe { Node::at(node) }.deadline(),
        }
    }

    #[inline(always)]
    unsafe fn is_done(self) -> bool {
        match self {
            Self::Background(_) => false,
            // SAFETY: the caller's promise.
            Self::Node(node) => unsafe { tree::err(node) }.is_some(),
        }
    }

    /// # Safety
    ///
    /// The caller has a handle of the node.
    #[inline(always)]
    pub(crate) unsafe fn derive(self, plan: Plan) -> *mut Node {
        match self {
            Self::Background(background) => tree::root(background, local::global(), plan),
            // SAFETY: the caller's promise.
            Self::Node(node) => unsafe { tree::derive(node, plan) },
        }
    }
}

/// A child with a deadline of its own, armed; or born done, where the deadline has passed or cannot be kept. One whose
/// deadline is not earlier than its parent's is a plain child. Lock-free, but for the start of the thread by the first.
/// Gives the cause back where it is of no use.
///
/// # Safety
///
/// The caller has a handle of what it is under.
#[inline(always)]
pub(crate) unsafe fn derive(
    under: Under,
    due: Due,
    plan: Plan,
    cause: Option<Cause>,
) -> (*mut Node, Option<Cause>) {
    // SAFETY: the caller's promise, here and below.
    let (core, inherited) = unsafe { (under.core(), under.deadline()) };
    let now = core.now();
    let deadline = due.from(now);
    if deadline >= inherited {
        // Though it may have passed: then so has the parent's, which fires for both.
        // SAFETY: as above.
        let node = unsafe { under.derive(plan) };
        return (node, cause);
    }
    let plan = Plan {
        kind: Kind::Deadline,
        deadline,
        ..plan
    };
    // SAFETY: as above.
    unsafe { timed(under, core, plan, now, cause) }
}

/// A node, for a sleep or a wait, that is done when the time has come, or when what it is under is; a sleep's, also when
/// its engine is stopped.
///
/// # Safety
///
/// As [`derive()`].
pub(crate) unsafe fn sleep(under: Under, due: Due, kind: Kind) -> *mut Node {
    // SAFETY: the caller's promise, here and below.
    let core = unsafe { under.core() };
    let now = core.now();
    let plan = Plan {
        deadline: due.from(now),
        ..Plan::new(kind, 1)
    };
    // SAFETY: as above.
    unsafe { timed(under, core, plan, now, None) }.0
}

impl Due {
    #[inline(always)]
    fn from(self, now: Time) -> Time {
        match self {
            Self::At(deadline) => deadline,
            Self::After(duration) => now.after(duration),
        }
    }
}

/// # Safety
///
/// As [`derive()`]; `core` is that of what it is under.
#[inline(always)]
unsafe fn timed(
    under: Under,
    core: &Core,
    plan: Plan,
    now: Time,
    cause: Option<Cause>,
) -> (*mut Node, Option<Cause>) {
    let is_ahead = now < plan.deadline && plan.deadline < Time::NEVER;
    // SAFETY: the caller's promise, here and below.
    if is_ahead && core.is_ready() && !unsafe { under.is_done() } {
        let plan = Plan {
            armed: true,
            ..plan
        };
        // SAFETY: as above.
        unsafe { make(under, core, plan, now, cause) }
    } else {
        // SAFETY: as above.
        unsafe { timed_otherwise(under, core, plan, now, cause) }
    }
}

/// The first of the thread that is to be started for it; or one that is not armed.
///
/// # Safety
///
/// As [`timed`].
#[cold]
unsafe fn timed_otherwise(
    under: Under,
    core: &Core,
    mut plan: Plan,
    now: Time,
    cause: Option<Cause>,
) -> (*mut Node, Option<Cause>) {
    let mut failed = None;
    // SAFETY: the caller's promise, here and below.
    if plan.deadline == Time::NEVER || unsafe { under.is_done() } {
        // Nothing to arm.
    } else if plan.deadline <= now {
        plan.end = Some(End::EXPIRED);
    } else if let Err(error) = start(core) {
        failed = Some(Cause::from(error));
        plan.end = Some(End {
            error: Error::Canceled,
            cause_at: CauseAt::Slot,
        });
    } else if core.is_stopped() && plan.kind != Kind::Wait {
        plan.end = Some(End::STOPPED);
    } else {
        plan.armed = true;
    }
    // SAFETY: as above.
    let (node, unused) = unsafe { make(under, core, plan, now, cause) };
    // SAFETY: the handles are ours (R8); what it gives way to nobody has asked for yet.
    let failed = failed.and_then(|failed| unsafe { Node::at(node) }.cause.give(failed).err());
    (node, unused.or(failed))
}

/// # Safety
///
/// As [`timed`].
#[inline(always)]
unsafe fn make(
    under: Under,
    core: &Core,
    plan: Plan,
    now: Time,
    cause: Option<Cause>,
) -> (*mut Node, Option<Cause>) {
    // SAFETY: the caller's promise.
    let node = unsafe { under.derive(plan) };
    let timed: *mut Timed = node.cast();
    // SAFETY: the handles are ours (R8).
    let this = unsafe { Timed::at(timed) };
    // Before it is armed nobody asks for it.
    let unused = cause.and_then(|cause| this.cause.give(cause).err());
    if this.node().state().load().is_armed() {
        // SAFETY: new, ARMED, and we have a handle.
        match unsafe { core.arm(timed, now) } {
            None => {}
            Some(Late::Stopped) => {
                // Nobody waits on a node that is in the making, and nothing is below it: there is nobody to tell.
                let _ = this.node().state().end(End::STOPPED);
            }
            Some(Late::Due) => {
                turn(core);
            }
        }
    }
    (node, unused)
}

/// Starts the thread of the whole process, if it has not been.
fn start(core: &Core) -> io::Result<()> {
    match core.to_be_started() {
        None => Ok(()),
        Some(name) => start_global(name),
    }
}

/// Only the timers of the whole process are ever found not started: those of an engine are when it is built.
#[cold]
fn start_global(name: &str) -> io::Result<()> {
    let core = local::global();
    core.set_start();
    sync::spawn(name, || serve(core))?;
    core.set_started();
    Ok(())
}

/// Fires what is due until the timers are stopped: the life of the thread that serves them.
pub(crate) fn serve(core: &Core) {
    if !core.serve() {
        return;
    }
    sync::sleep_exactly();
    let mut process = sync::forks();
    loop {
        // A waker of its own that forks brings it into the child: there it goes on.
        if process != sync::forks() {
            process = sync::forks();
            core.set_start();
        }
        let stopped = core.is_stopped();
        turn(core);
        if stopped {
            return;
        }
        core.sleep();
    }
}
