//! What a circuit breaker says: its state, its refusals, and how a call through it went. Plain data.

use crate::Error;
use std::fmt;
use std::time::{Duration, Instant};

/// In which state a [`CircuitBreaker`](crate::CircuitBreaker) is, for a context's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CircuitState {
    /// Calls go through; so many in a row have failed.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// Calls are refused.
    Open(CircuitOpen),
    /// The next call is the trial, or one is under way.
    HalfOpen {
        /// Whether one is under way, so that others are refused.
        on_trial: bool,
    },
}

/// A call that a [`CircuitBreaker`](crate::CircuitBreaker) refused, and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitOpen {
    /// How long it is until a call may go through, by the clock of the context that was given; where a trial is under way,
    /// at the most.
    pub retry_after: Duration,
    /// When that is.
    pub retry_at: Instant,
}

/// Why a call through a [`CircuitBreaker`](crate::CircuitBreaker) has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerError<E> {
    /// Refused: the operation was not begun.
    Open(CircuitOpen),
    /// The caller's context was done before the operation began, or, in [`run`](crate::CircuitBreaker::run), before it ended.
    Ended(Error),
    /// The operation failed.
    Failed(E),
}

/// A [`CircuitBreaker`](crate::CircuitBreaker) cannot be made like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerConfigError {
    /// A threshold of zero failures: it would be open before the first call. Give 1 or more.
    ZeroThreshold,
    /// A cool-down of zero: it would never refuse anything. Give more.
    ZeroCoolDown,
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "circuit breaker open: try again in {:?}",
            self.retry_after
        )
    }
}

impl<E: fmt::Display> fmt::Display for BreakerError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(open) => open.fmt(f),
            Self::Ended(error) => error.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for BreakerConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroThreshold => "a circuit breaker needs a threshold of 1 failure or more",
            Self::ZeroCoolDown => "a circuit breaker needs a cool-down of more than zero",
        })
    }
}

impl std::error::Error for CircuitOpen {}

impl std::error::Error for BreakerConfigError {}

impl<E: std::error::Error + 'static> std::error::Error for BreakerError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(open) => Some(open),
            Self::Ended(error) => Some(error),
            Self::Failed(error) => Some(error),
        }
    }
}
