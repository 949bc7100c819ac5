//! The word of a circuit breaker: what is in it, and how instants are counted there.
//!
//! | tag | payload | means |
//! |---|---|---|
//! | CLOSED | generation, failures in a row | calls go through |
//! | OPEN | until when | none does |
//! | TRIAL | until when it is taken for lost | one is under way |

use std::time::{Duration, Instant};

const CLOSED: usize = 0;
const OPEN: usize = 1;
const TRIAL: usize = 2;

const TAG_BITS: u32 = 2;
const FAILURE_BITS: u32 = 32;
/// The latest moment that a payload can say.
pub(super) const LAST: u64 = u64::MAX >> TAG_BITS;
/// A mask.
pub(super) const GENERATIONS: usize = (LAST >> FAILURE_BITS) as usize;
/// Where a breaker's epoch is among the payloads. In the middle: a clock that is moved by hand may have been made, and stand,
/// before the breaker was.
const EPOCH: u64 = LAST / 2 + 1;

pub(super) enum Word {
    Closed { generation: usize, failures: u32 },
    Open { until: u64 },
    Trial { until: u64 },
}

impl Word {
    pub(super) fn unpack(word: usize) -> Self {
        let payload = word as u64 >> TAG_BITS;
        match word & ((1 << TAG_BITS) - 1) {
            CLOSED => Self::Closed {
                generation: (payload >> FAILURE_BITS) as usize,
                failures: payload as u32,
            },
            OPEN => Self::Open { until: payload },
            _ => Self::Trial { until: payload },
        }
    }

    pub(super) fn pack(&self) -> usize {
        let (tag, payload) = match *self {
            Self::Closed {
                generation,
                failures,
            } => (
                CLOSED,
                (generation as u64) << FAILURE_BITS | u64::from(failures),
            ),
            Self::Open { until } => (OPEN, until),
            Self::Trial { until } => (TRIAL, until),
        };
        (payload << TAG_BITS) as usize | tag
    }
}

/// Instants as payloads, in nanoseconds: 73 years to either side.
pub(super) struct Ticks {
    pub(super) epoch: Instant,
}

impl Ticks {
    pub(super) fn at(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.epoch) {
            Some(after) => Self::after(EPOCH, after),
            None => EPOCH.saturating_sub(nanos(self.epoch.duration_since(instant))),
        }
    }

    pub(super) fn after(ticks: u64, duration: Duration) -> u64 {
        ticks.saturating_add(nanos(duration)).min(LAST)
    }

    pub(super) fn instant(&self, ticks: u64) -> Instant {
        let instant = if ticks >= EPOCH {
            self.epoch.checked_add(Duration::from_nanos(ticks - EPOCH))
        } else {
            self.epoch.checked_sub(Duration::from_nanos(EPOCH - ticks))
        };
        instant.unwrap_or(self.epoch)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
