//! Engines of one's own: their roots, and who drives their timers.
//!
//! ```text
//!  Arc<Core> ◄── root node (the last stops the timers when it ends) ◄── every context of the engine
//!            ◄── the thread that serves │ driver │ clock
//! ```
//!
//! Called by `handle` and the facade.

use super::bury;
use super::core::{Core, Wake};
use super::entry::{Kind, Parent};
use super::node::Node;
use super::time::Time;
use super::timers::serve;
use super::tree::{self, Plan};
use super::turn::turn;
use crate::sync::{self, Arc};
use std::io;
use std::mem::ManuallyDrop;
use std::time::Duration;

/// One count of an engine's timers.
#[derive(Debug)]
pub(crate) struct Timers(Option<Arc<Core>>);

/// A root for new timers, with one handle; it ends them when it ends.
fn root(core: &Arc<Core>) -> *mut Node {
    let count = Arc::into_raw(Arc::clone(core));
    let root = tree::root(Parent::BACKGROUND, count, Plan::new(Kind::Engine, 1));
    core.add_root();
    // SAFETY: the handle is ours.
    unsafe { tree::inflate(root) };
    root
}

/// A further root, with one handle, for timers that have one without handles: of that one none are made (R8).
///
/// # Safety
///
/// The caller keeps a node below such a root, whose timers these are.
#[cold]
pub(crate) unsafe fn another_root(core: *const Core) -> *mut Node {
    // SAFETY: the root below which that node is has a count, which stays its own.
    let core = ManuallyDrop::new(unsafe { Arc::from_raw(core) });
    root(&core)
}

/// Timers with a thread of their own. The root's one handle is the caller's.
///
/// # Errors
///
/// The thread cannot be started.
pub(crate) fn threaded(name: &str, report: fn(usize)) -> io::Result<*mut Node> {
    let core = Arc::new(Core::threaded(name, report));
    let timers = Timers(Some(Arc::clone(&core)));
    core.set_started();
    sync::spawn(name, move || serve(timers.core()))?;
    Ok(root(&core))
}

/// Timers that a loop of the program's drives.
pub(crate) fn driven(wake: Option<Wake>, report: fn(usize)) -> (*mut Node, Timers) {
    let core = Arc::new(Core::driven(wake, report));
    (root(&core), Timers(Some(core)))
}

/// Timers that stand still until they are moved.
pub(crate) fn manual(report: fn(usize)) -> (*mut Node, Timers) {
    let core = Arc::new(Core::manual(Time::now(), report));
    (root(&core), Timers(Some(core)))
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

    /// How long it is until something is due; `None`: nothing is. Lock-free.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let core = self.core();
        let next = core.publish_next_wake();
        if core.is_stopped() {
            turn(core);
            return None;
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
