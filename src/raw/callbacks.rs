//! Callbacks: what `after_func` registers, and the thread that hands it to those who run it.
//!
//! ```text
//!  stop ───────── ends the record: takes it off, drops the function
//!  cancel, fire ─ end the record: tell ─► pending (a stack) ─► dispatcher ─► callback threads: run, take it off
//! ```
//!
//! One CAS on the record's state word says whether it is stopped or run; its winner has HELD. `tell` pushes and wakes,
//! both lock-free; no thread is started and no lock taken on that way. The dispatcher, which is started by who
//! registers, takes all that is pending at once, in the order it came, and gives it to threads that come and go.
//!
//! Called by `waits` and `handle`.

use super::bury;
use super::entry::{Entry, Leaving, Parent};
use super::node::{Callback, Function, Node};
use super::parker::Parker;
use super::state::{Announce, End, Pins};
use super::time::Time;
use super::tree;
use crate::local;
use crate::sync::{self, AtomicUsize, Ordering, Threads, contain};
use crate::tuning;

/// What callback threads are to run, and the thread that hands it to them.
#[derive(Debug)]
pub(crate) struct Queue {
    pending: Leaving,
    parker: Parker,
    status: AtomicUsize,
}

const STARTED: usize = 1 << 0;
const SERVED: usize = 1 << 1;

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            pending: Leaving::new(),
            parker: Parker::new(),
            status: AtomicUsize::new(0),
        }
    }

    /// Starts the dispatcher, if it has not been. Whoever cannot leaves it to the next that registers: until then what is
    /// handed over waits.
    fn start(&'static self) {
        // ORDERING: Relaxed; a thread too many goes away by itself.
        if self.status.load(Ordering::Relaxed) & STARTED == 0
            && sync::spawn("ripcord-callbacks", || self.serve()).is_ok()
        {
            self.status.fetch_or(STARTED, Ordering::AcqRel);
        }
    }

    fn serve(&self) {
        if self.status.fetch_or(SERVED, Ordering::AcqRel) & SERVED != 0 {
            return;
        }
        let threads = Threads::new("ripcord-callback", Ours::run);
        loop {
            self.dispatch(|callback| {
                contain(|| threads.run(callback));
            });
            self.sleep();
        }
    }

    /// As the dispatcher: sleeps until something is pending. Blocks.
    pub(crate) fn sleep(&self) {
        let announced = self.parker.announce();
        if self.pending.is_empty() {
            self.parker.sleep(announced, Time::NEVER);
        } else {
            self.parker.rise();
        }
    }

    /// Gives everything that is pending to callback threads, what came first before what came later.
    pub(crate) fn dispatch(&self, mut give: impl FnMut(Ours)) {
        let mut pending = self.pending.take().reversed();
        while let Some(entry) = pending.pop() {
            give(Ours(entry.cast()));
        }
    }
}

/// A callback whose HELD is ours, on its way to be run.
#[derive(Debug)]
pub(crate) struct Ours(*mut Callback);

// SAFETY: whoever has HELD has the function, which is Send (R10); the record may be used from any thread.
unsafe impl Send for Ours {}

impl Ours {
    pub(crate) fn run(self) {
        // SAFETY: HELD is ours (R10).
        if let Some(function) = unsafe { Callback::at(self.0).take() } {
            contain(function);
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // SAFETY: HELD is ours (R10).
        let function = unsafe { Callback::at(self.0).take() };
        contain(|| drop(function));
        // SAFETY: it was ended, and this is its one burial (R10).
        unsafe { bury::bury(self.0.cast()) };
    }
}

/// Leaves a callback that has ended to be run. Lock-free; a system call where the dispatcher sleeps.
///
/// # Safety
///
/// HELD is the caller's, and passes.
pub(crate) unsafe fn hand_over(callback: *mut Callback) {
    let queue = local::callbacks();
    // SAFETY: its `limbo` word goes with HELD, for who ended it does not take it off its list before it has run (R10).
    unsafe { queue.pending.push(callback.cast()) };
    tuning::window("dispatcher not woken");
    queue.parker.wake();
}

/// Registers a callback on a node, with a pin of the caller's on its bytes; if the node is done, hands it over and answers
/// with nothing.
///
/// # Safety
///
/// The caller has a handle.
pub(crate) unsafe fn register(node: *mut Node, function: Function) -> Option<*mut Callback> {
    local::callbacks().start();
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(node) };
    let function = if this.state().announce(Announce::Entries).is_done() {
        function
    } else {
        // SAFETY: the caller's promise.
        let at = unsafe { tree::place(node) };
        let pins = Pins::LISTED.and(Pins::LINK);
        let callback = Callback::allocate(at, pins, function);
        // SAFETY: the callback is new, LISTED, and made for that place.
        if unsafe { tree::list(node, at, callback.cast()) }.is_ok() {
            return Some(callback);
        }
        // SAFETY: on no list, and all its pins are ours (R10).
        let function = unsafe { Callback::at(callback).take() };
        // SAFETY: as above; it registered nowhere.
        unsafe { super::node::free(callback.cast()) };
        function?
    };
    let late = Callback::allocate(Parent::BACKGROUND, Pins::NONE, function);
    // SAFETY: its HELD is ours (R10).
    unsafe { hand_over(late) };
    None
}

/// Keeps a callback from running, if its context is not done; drops the function then, a panic contained. On one that is
/// done, and whose walk has not come to the callback yet, this call hands it over.
///
/// # Safety
///
/// The caller has a pin.
pub(crate) unsafe fn stop(callback: *mut Callback) -> bool {
    // SAFETY: the caller's promise.
    let entry = unsafe { Callback::at(callback) }.entry();
    if entry.state().end(End::CANCELED).is_err() {
        return false;
    }
    // Who ended it has HELD, and with it the registration, which keeps the node.
    // SAFETY: as above.
    let is_done = unsafe { entry.parent().to_node().and_then(|node| tree::err(node)) }.is_some();
    if is_done {
        // SAFETY: HELD is ours (R10).
        unsafe { hand_over(callback) };
    } else {
        // Lets go of the function, then of the registration.
        drop(Ours(callback));
    }
    !is_done
}

/// Gives up the pin that `register` gave the caller.
///
/// # Safety
///
/// The pin is the caller's.
pub(crate) unsafe fn unpin(callback: *mut Callback) {
    let entry: *mut Entry = callback.cast();
    // SAFETY: the caller's promise.
    if unsafe { Entry::at(entry) }.state().unpin(Pins::LINK) {
        // SAFETY: the last pin was ours (R10).
        unsafe { bury::reclaim(entry) };
    }
}
