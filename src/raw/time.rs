//! Instants as one word: nanoseconds from the process's epoch, in an order that unsigned comparison keeps.
//!
//! Called by everybody who compares deadlines.

use crate::sync;
use std::time::{Duration, Instant};

/// A moment within 292 years of the epoch; or [`NEVER`](Self::NEVER), later than all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(u64);

const EPOCH: u64 = 1 << 63;

impl Time {
    pub(crate) const NEVER: Self = Self(u64::MAX);
    /// The latest there is.
    pub(crate) const LAST: Self = Self(u64::MAX - 1);
    /// Before all others.
    pub(crate) const PAST: Self = Self(0);

    /// The present, by the clock of the machine. Wait-free.
    #[inline]
    pub(crate) fn now() -> Self {
        Self::at(sync::now())
    }

    /// What is too far ahead is never; what is too far back is the past.
    #[inline(always)]
    pub(crate) fn at(instant: Instant) -> Self {
        let epoch = sync::epoch();
        match instant.checked_duration_since(epoch) {
            Some(after) => Self(EPOCH).after(after),
            None => Self::before(epoch.duration_since(instant)),
        }
    }

    #[cold]
    fn before(epoch: Duration) -> Self {
        Self(EPOCH.saturating_sub(nanos(epoch)))
    }

    /// `None`: never.
    pub(crate) fn instant(self) -> Option<Instant> {
        if self == Self::NEVER {
            return None;
        }
        let epoch = sync::epoch();
        let instant = if self.0 >= EPOCH {
            epoch.checked_add(Duration::from_nanos(self.0 - EPOCH))
        } else {
            epoch.checked_sub(Duration::from_nanos(EPOCH - self.0))
        };
        Some(instant.unwrap_or(epoch))
    }

    #[inline]
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// How long after `earlier` it is; zero, if it is not.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) const fn from_word(word: usize) -> Self {
        Self(word as u64)
    }

    #[inline(always)]
    pub(crate) const fn word(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
}

#[inline(always)]
fn nanos(duration: Duration) -> u64 {
    // Without the 128 bits of `as_nanos`, which most do not need.
    let nanos = duration.as_secs().checked_mul(1_000_000_000);
    let nanos = nanos.and_then(|nanos| nanos.checked_add(duration.subsec_nanos().into()));
    nanos.unwrap_or(u64::MAX)
}
