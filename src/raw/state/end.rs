//! How an entry ends, as the state word says it.

use super::{CAUSE_SHIFT, DONE, EXPIRED};
use crate::error::Error;

/// Where the cause of an ended entry is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CauseAt {
    /// Nowhere: the cause is the `Error`.
    Plain,
    /// In the node's own slot.
    Slot,
    /// Where the parent's is.
    Inherited,
    /// With the deadline: the cause that was given for it; or, if it was cancelled, that its engine was stopped.
    Own,
}

/// How an entry ends: what its one deciding CAS writes (R12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) error: Error,
    pub(crate) cause_at: CauseAt,
}

impl End {
    pub(crate) const CANCELED: Self = Self {
        error: Error::Canceled,
        cause_at: CauseAt::Plain,
    };

    /// Its own deadline has passed.
    pub(crate) const EXPIRED: Self = Self {
        error: Error::DeadlineExceeded,
        cause_at: CauseAt::Own,
    };

    /// Its own deadline will never fire: the engine was stopped.
    pub(crate) const STOPPED: Self = Self {
        error: Error::Canceled,
        cause_at: CauseAt::Own,
    };

    pub(super) fn bits(self) -> usize {
        let cause = match self.cause_at {
            CauseAt::Plain => 0,
            CauseAt::Slot => 1,
            CauseAt::Inherited => 2,
            CauseAt::Own => 3,
        };
        DONE | (cause << CAUSE_SHIFT) | if self.error.is_timeout() { EXPIRED } else { 0 }
    }
}
