//! This root's side of `src/tuning.rs`: the same constants, and windows in which a thread is stopped.

#[path = "../../src/tuning.rs"]
mod shipped;

pub(crate) use shipped::*;

/// A node is given stripes where a test asks for it, and not because threads meet on its list: here they are to meet.
pub(crate) const CONTENTION_LIMIT: u32 = u32::MAX - 1;

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};

thread_local! {
    static NEXT: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// Stops the thread that comes to a window with it, once.
#[derive(Debug)]
pub(crate) struct Stop {
    at: &'static str,
    reached: Sender<()>,
    go: Receiver<()>,
}

/// The other end of a [`Stop`]. Dropped, it lets the thread go on.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) reached: Receiver<()>,
    pub(crate) go: Sender<()>,
}

impl Stop {
    pub(crate) fn at(window: &'static str) -> (Self, Stopped) {
        let (reached, is_reached) = channel();
        let (go, may_go) = channel();
        let stop = Self {
            at: window,
            reached,
            go: may_go,
        };
        let stopped = Stopped {
            reached: is_reached,
            go,
        };
        (stop, stopped)
    }

    /// The calling thread is stopped the next time it comes to that window.
    pub(crate) fn arm(self) {
        NEXT.set(Some(self));
    }
}

/// Where the shipped one is nothing.
pub(crate) fn window(name: &str) {
    // A thread may come here after its locals have gone.
    let stop = NEXT.try_with(|next| next.borrow_mut().take_if(|stop| stop.at == name));
    if let Ok(Some(stop)) = stop {
        let _ = stop.reached.send(());
        let _ = stop.go.recv();
    }
}
