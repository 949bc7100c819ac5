//! Engines of one's own: their roots, and who drives their timers.
//!
//! ```text
//!  Arc<Core> ◄── root node (stops the timers when it ends)    ◄── every context of the engine
//!            ◄── the thread that serves │ driver │ clock
//! ```
//!
//! Called by `handle` and the facade.

use super::bury;
use super::core::Core;
use super::drive::{Drive, Report, Wake};
use super::entry::{Kind, Parent};
use super::node::Node;
use super::time::Time;
use super::timers::serve;
use super::tree::{self, Plan};
use super::turn::{turn, upper};
use crate::local;
use crate::sync::{self, Arc};
use std::io;
use std::ptr;
use std::time::Duration;

/// One count of an engine's timers.
#[derive(Debug)]
pub(crate) struct Timers(Option<Arc<Core>>);

/// The root of a tree that uses these timers, with one handle. The last to end stops them.
fn root(core: Arc<Core>) -> *mut Node {
    core.add_root();
    let plan = Plan::new(Kind::Engine, 1);
    tree::root(Parent::BACKGROUND, Arc::into_raw(core), plan)
}

/// The root that the whole of a program hangs its contexts on.
fn first_root(core: Arc<Core>) -> *mut Node {
    let root = root(core);
    // SAFETY: the handle is ours (R8).
    unsafe { tree::inflate(root) };
    root
}

/// A root beside that of a node; `None`: the node uses the timers of the whole process. A new one, for the other may have
/// lost its last handle, and a count never goes from 0 to 1 (R8).
///
/// # Safety
///
/// The caller has a handle of the node.
pub(crate) unsafe fn root_beside(node: *mut Node) -> Option<*mut Node> {
    // SAFETY: the caller's promise.
    let core = unsafe { Node::at(node) }.core();
    if ptr::eq(core, local::global()) {
        return None;
    }
    // SAFETY: the root of its tree has a count of it, which came from an `Arc` (R8).
    let core = unsafe {
        Arc::increment_strong_count(core);
        Arc::from_raw(core)
    };
    Some(root(core))
}

/// Timers with a thread of their own. The root's one handle is the caller's.
///
/// # Errors
///
/// The thread cannot be started.
pub(crate) fn threaded(name: &str, report: Report) -> io::Result<*mut Node> {
    let core = Arc::new(Core::new(Drive::Thread(name.into()), upper(report)));
    let timers = Timers(Some(Arc::clone(&core)));
    core.set_start();
    core.set_started();
    sync::spawn(name, move || serve(timers.core()))?;
    Ok(first_root(core))
}

/// Timers that a loop of the program's drives.
pub(crate) fn driven(wake: Option<Wake>, report: Report) -> (*mut Node, Timers) {
    let core = Arc::new(Core::new(Drive::Loop(wake), upper(report)));
    (first_root(Arc::clone(&core)), Timers(Some(core)))
}

/// Timers that stand still until they are moved.
pub(crate) fn manual(report: Report) -> (*mut Node, Timers) {
    let core = Arc::new(Core::new(Drive::clock(), upper(report)));
    (first_root(Arc::clone(&core)), Timers(Some(core)))
}

/// Ends everything that is armed, now and from now on. Waits for nobody.
pub(crate) fn shut_down(core: &Core) {
    core.stop();
    turn(core);
}

impl Timers {
    fn core(&self) -> &Core {
        self.0.as_ref().expect("taken by its drop only")
    }

    pub(crate) fn now(&self) -> Time {
        self.core().now()
    }

    /// See [`turn`].
    pub(crate) fn turn(&self) -> usize {
        turn(self.core())
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.core().move_clock(by);
        turn(self.core());
    }

    /// How long it is until something is due, or to be swept out; `None`: nothing is. Lock-free.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let core = self.core();
        let next = core.publish_next_wake();
        if core.is_stopped() {
            turn(core);
            return None;
        }
        // Whoever has the turn sweeps, and would be kept at it by a loop that asks for one again and again.
        if core.is_littered() && core.turn.is_free() {
            return Some(Duration::ZERO);
        }
        (next < Time::NEVER).then(|| next.since(core.now()))
    }

    pub(crate) fn shut_down(&self) {
        shut_down(self.core());
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        if let Some(core) = self.0.take() {
            bury::release_core(core);
        }
    }
}
