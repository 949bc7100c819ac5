//! How often deadlines were moved to the wheel: so that who looks for the earliest knows whether it overlooked one.
//!
//! While they are moved, what is on its way is seen neither in the nursery nor in the wheel, and what stays in the nursery
//! may not be seen. A seqlock whose reader does not wait: what it read under a move is worth nothing, and it says so.
//! Boehm, "Can seqlocks get along with programming language memory models?" (2012).
//!
//! Called by `core`: begun and ended by whoever has the turn.

use crate::sync::{AtomicUsize, Ordering};

/// Odd while deadlines are moved.
#[derive(Debug)]
pub(crate) struct Moves(AtomicUsize);

impl Moves {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// ORDERING: an RMW, so that a child of a fork in the middle of a move sees this before any change of the wheel.
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// A move is under way; or, to whoever has the turn, was torn by a fork.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.0.load(Ordering::SeqCst).is_multiple_of(2)
    }

    /// What `read` gives; `None`: there was a move meanwhile. `read` loads with Acquire.
    ///
    /// ORDERING: who read anything that a move has written since the first look sees, by that, this move begun at the second.
    pub(crate) fn unmoved<R>(&self, read: impl FnOnce() -> R) -> Option<R> {
        let before = self.0.load(Ordering::SeqCst);
        let answer = read();
        (before.is_multiple_of(2) && before == self.0.load(Ordering::SeqCst)).then_some(answer)
    }
}
