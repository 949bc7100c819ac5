//! A function that is to be run when a context is done.

use crate::raw::handle::{Handle, Registered};
use crate::raw::node::Function;
use crate::sync::{AtomicUsize, Ordering};
use std::fmt;

/// Keeps a function from running, if it is told to in time. From [`Context::after_func`](crate::Context::after_func).
///
/// Dropping it leaves the registration.
pub struct AfterFunc {
    state: State,
}

enum State {
    Registered(Registered),
    /// The context was done.
    HandedOver,
    /// The context can never be done. 1 once it was stopped.
    Dropped(AtomicUsize),
}

impl AfterFunc {
    pub(crate) fn new(node: &Handle, function: Function) -> Self {
        let state = match node.register(function) {
            Ok(registered) => State::Registered(registered),
            Err(true) => State::HandedOver,
            Err(false) => State::Dropped(AtomicUsize::new(0)),
        };
        Self { state }
    }

    /// `true`: this call kept the function from running, and it has been dropped, a panic contained. `false`: the context
    /// was done before, or it was stopped before. Lock-free; allocates nothing and wakes nobody.
    pub fn stop(&self) -> bool {
        match &self.state {
            State::Registered(registered) => registered.stop(),
            State::HandedOver => false,
            State::Dropped(stopped) => stopped.swap(1, Ordering::Relaxed) == 0,
        }
    }
}

impl fmt::Debug for AfterFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc").finish_non_exhaustive()
    }
}
