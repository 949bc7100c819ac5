//! The word of a turn: who may use the wheel. This file owns every bit of it.
//!
//! ```text
//!  63                                       2      1       0
//! | the process, by the forks that led to it  | AGAIN  RUNNING |      0: nobody has it
//! ```
//!
//! It is never waited for: who finds it taken leaves AGAIN, and whoever has it goes round once more before letting go. One
//! that was taken when a fork left its thread behind is free.
//!
//! Called by `core`.

use crate::sync::{self, AtomicUsize, Ordering};

const IDLE: usize = 0;
const RUNNING: usize = 1 << 0;
const AGAIN: usize = 1 << 1;
const PROCESS_SHIFT: u32 = 2;

#[derive(Debug)]
pub(crate) struct TurnWord(AtomicUsize);

/// What came of asking for the turn.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    Ours,
    /// Ours, of a thread of the parent process, which may have been anywhere in it.
    AfterFork,
    /// Another's, who goes round once more.
    Theirs,
}

impl TurnWord {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(IDLE))
    }

    /// Lock-free.
    pub(crate) fn begin(&self) -> Begun {
        let ours = taken();
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let theirs = seen & !AGAIN == ours;
            let next = if theirs { ours | AGAIN } else { ours };
            // ORDERING: Acquire pairs with `end`, for the wheel; Release, for what the caller has changed before, so it is
            // made where AGAIN is set already, too.
            let begun = self
                .0
                .compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed);
            match begun {
                Ok(IDLE) => return Begun::Ours,
                Ok(_) if theirs => return Begun::Theirs,
                Ok(_) => return Begun::AfterFork,
                Err(now) => seen = now,
            }
        }
    }

    /// By whoever has it; `false`: it is still theirs, to go round once more.
    pub(crate) fn end(&self) -> bool {
        let ours = taken();
        let ended = self
            .0
            .compare_exchange(ours, IDLE, Ordering::AcqRel, Ordering::Relaxed);
        if ended.is_err() {
            self.0.swap(ours, Ordering::AcqRel);
        }
        ended.is_ok()
    }
}

/// The word while a thread of this process has it.
fn taken() -> usize {
    RUNNING | sync::forks() << PROCESS_SHIFT
}
