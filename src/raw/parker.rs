//! Where one thread sleeps, and how it is woken.
//!
//! Both sides change the one word by an RMW, so one of them comes first: either the waker's comes first, and the sleeper
//! sees, after it has announced itself, what the waker had done before; or the waker sees ASLEEP. It then changes the
//! word, so that a thread on its way to sleep does not, and calls the kernel. ASLEEP is cleared by the sleeper alone: a
//! waker that is stopped between the two steps keeps no other from waking (R11).
//!
//! Called by `core` and `callbacks`.

use super::time::Time;
use crate::sync::{AtomicUsize, Ordering, futex};
use crate::tuning;

const ASLEEP: usize = 1;
const ONE_WAKE: usize = 2;

/// The word one thread sleeps on.
#[derive(Debug)]
pub(crate) struct Parker(AtomicUsize);

/// What the word said when the sleeper announced itself.
#[must_use]
#[derive(Debug)]
pub(crate) struct Announced(u32);

impl Parker {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Says that the calling thread, the only one that does, is about to sleep. What it would be woken for it looks at
    /// after this, not before.
    ///
    /// ORDERING: AcqRel on one word, with `wake`.
    pub(crate) fn announce(&self) -> Announced {
        Announced((self.0.fetch_or(ASLEEP, Ordering::AcqRel) | ASLEEP) as u32)
    }

    /// Sleeps until it is woken, until that time has come by the machine's clock, or for no reason. Blocks.
    pub(crate) fn sleep(&self, announced: Announced, until: Time) {
        let timeout = (until < Time::NEVER).then(|| until.since(Time::now()));
        if timeout.is_none_or(|timeout| !timeout.is_zero()) {
            futex::wait(&self.0, announced.0, timeout);
        }
        self.rise();
    }

    /// Takes the announcement back.
    pub(crate) fn rise(&self) {
        self.0.fetch_and(!ASLEEP, Ordering::AcqRel);
    }

    /// Sees to it that the thread looks again at what the caller has changed. One RMW; a system call if it sleeps.
    pub(crate) fn wake(&self) {
        let before = self.0.fetch_add(ONE_WAKE, Ordering::AcqRel);
        if tuning::mutant("R11b") {
            self.rise();
        }
        if before & ASLEEP != 0 {
            futex::wake_all(&self.0);
        }
    }
}
