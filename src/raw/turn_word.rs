//! The word of a turn: who may use the wheel. This file owns every bit of it.
//!
//! ```text
//!  63                          34 33               2     1      0
//! | the process, by forks to it  | its thread        | AGAIN  RUNNING |      0: nobody has it
//! ```
//!
//! It is never waited for: who finds it taken, and is to fire, leaves AGAIN, and whoever has it goes round once more before
//! letting go. One whose thread was left behind by a fork is free. The thread that forked is not left behind: it goes on in
//! the child with the turn it had, if it forked inside one, and so does its word.
//!
//! Called by `core`.

use crate::local;
use crate::sync::{self, AtomicUsize, Ordering};

const IDLE: usize = 0;
const RUNNING: usize = 1 << 0;
const AGAIN: usize = 1 << 1;
const THREAD_SHIFT: u32 = 2;
const PROCESS_SHIFT: u32 = 34;
const THREAD: usize = (1 << (PROCESS_SHIFT - THREAD_SHIFT)) - 1;

#[derive(Debug)]
pub(crate) struct TurnWord(AtomicUsize);

/// What came of asking for the turn.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    Ours,
    /// Ours, of a thread of the parent process, which may have been anywhere in it.
    AfterFork,
    /// Another's, who goes round once more if it was told.
    Theirs,
}

impl TurnWord {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(IDLE))
    }

    /// Whoever has it, if anybody has, is told to go round once more; or is not. Lock-free.
    pub(crate) fn begin(&self, tells: bool) -> Begun {
        let ours = RUNNING | (local::index() & THREAD) << THREAD_SHIFT | process() << PROCESS_SHIFT;
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let theirs = seen != IDLE && is_alive(seen);
            if theirs && !tells {
                return Begun::Theirs;
            }
            let next = if theirs { seen | AGAIN } else { ours };
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

    /// Whether nobody of this process has it. Wait-free.
    pub(crate) fn is_free(&self) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        seen == IDLE || !is_alive(seen)
    }

    /// By whoever has it; `false`: it is still theirs, to go round once more.
    pub(crate) fn end(&self) -> bool {
        // But for AGAIN nobody else changes the word: neither here nor, if the caller has forked meanwhile, in the child.
        let ours = self.0.load(Ordering::Relaxed) & !AGAIN;
        let ended = self
            .0
            .compare_exchange(ours, IDLE, Ordering::AcqRel, Ordering::Relaxed);
        if ended.is_err() {
            self.0.swap(ours, Ordering::AcqRel);
        }
        ended.is_ok()
    }
}

fn process() -> usize {
    sync::forks() & (usize::MAX >> PROCESS_SHIFT)
}

/// Whether the thread that has the turn is one of this process.
fn is_alive(word: usize) -> bool {
    word >> PROCESS_SHIFT == process() || sync::is_survivor(word >> THREAD_SHIFT & THREAD)
}
