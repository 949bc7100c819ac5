//! Why something was given up.

use crate::cause::Cause;
use crate::error::Error;
use std::fmt;
use std::time::Duration;

/// Why there was no success, and no further attempt. `attempts` is how many there were.
#[derive(Debug)]
#[non_exhaustive]
pub enum RetryError<E> {
    /// The policy cannot be meant. Nothing was attempted.
    Policy(PolicyError),
    /// As many attempts as there may be have failed.
    Exhausted {
        /// So many.
        attempts: u32,
        /// How the last of them failed.
        last: AttemptError<E>,
    },
    /// The next attempt was due later than the caller's time lasts, so nobody waits for it.
    Backoff {
        /// So many had been made.
        attempts: u32,
        /// The delay before the next.
        backoff: Duration,
        /// What was left of the caller's time.
        left: Duration,
        /// How the last attempt failed.
        last: AttemptError<E>,
    },
    /// An attempt failed with an error after which it makes no sense to try again.
    Permanent {
        /// So many had been made.
        attempts: u32,
        /// That error.
        last: AttemptError<E>,
    },
    /// The caller's context was done.
    Done {
        /// So many had been begun.
        attempts: u32,
        /// How it ended.
        error: Error,
        /// How the last attempt failed; `None`: there was none.
        last: Option<AttemptError<E>>,
    },
}

/// How one attempt failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttemptError<E> {
    /// It gave back this error.
    Failed(E),
    /// It had not ended when its time was over, or its caller's, and was dropped.
    TimedOut,
    /// Its time was not kept to its end: the engine was shut down, or the timer thread cannot be started, as the cause says. It
    /// was dropped. It counts as an attempt, for nobody knows how far it had come.
    Canceled(Cause),
}

/// What a [`Policy`](super::Policy) cannot mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// Zero attempts. Allow one at least.
    NoAttempts,
    /// An attempt with a timeout of zero, which would fail before it begins. Give it some time, or none of its own.
    NoTime,
    /// A factor that is less than 1, infinite, or no number. 1 keeps the delay as it is.
    Factor,
    /// A first delay that is longer than the longest.
    Backoff,
}

impl<E> RetryError<E> {
    /// How the last attempt failed, if there was one.
    pub const fn last(&self) -> Option<&AttemptError<E>> {
        match self {
            Self::Policy(_) => None,
            Self::Exhausted { last, .. }
            | Self::Backoff { last, .. }
            | Self::Permanent { last, .. } => Some(last),
            Self::Done { last, .. } => last.as_ref(),
        }
    }

    /// How many attempts were begun.
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::Policy(_) => 0,
            Self::Exhausted { attempts, .. }
            | Self::Backoff { attempts, .. }
            | Self::Permanent { attempts, .. }
            | Self::Done { attempts, .. } => *attempts,
        }
    }
}

impl<E: fmt::Display> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => return fmt::Display::fmt(error, f),
            Self::Exhausted { attempts, .. } => {
                write!(f, "given up after {}", Attempts(*attempts))?
            }
            Self::Backoff {
                attempts,
                backoff,
                left,
                ..
            } => write!(
                f,
                "given up after {}: the next is due in {backoff:?}, and {left:?} are left",
                Attempts(*attempts)
            )?,
            Self::Permanent { attempts, .. } => {
                write!(f, "given up at attempt {attempts}, which failed for good")?
            }
            Self::Done {
                attempts, error, ..
            } => write!(f, "given up after {}: {error}", Attempts(*attempts))?,
        }
        match self.last() {
            None => Ok(()),
            Some(last) => write!(f, "; the last: {last}"),
        }
    }
}

struct Attempts(u32);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} attempt{}",
            self.0,
            if self.0 == 1 { "" } else { "s" }
        )
    }
}

impl<E: fmt::Display> fmt::Display for AttemptError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => fmt::Display::fmt(error, f),
            Self::TimedOut => f.write_str("it took too long"),
            Self::Canceled(cause) => fmt::Display::fmt(cause, f),
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAttempts => "zero attempts cannot succeed: allow one at least",
            Self::NoTime => "an attempt of no time cannot succeed: give it some",
            Self::Factor => "delays grow by a factor of 1 at least, and a finite one",
            Self::Backoff => "the first delay is longer than the longest",
        })
    }
}

impl<E: std::error::Error + 'static> std::error::Error for RetryError<E> {
    /// The last attempt's error; where there is none, why there was no attempt.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match (self, self.last()) {
            (_, Some(AttemptError::Failed(error))) => Some(error),
            (Self::Policy(error), _) => Some(error),
            (Self::Done { error, .. }, _) => Some(error),
            _ => None,
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for AttemptError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::TimedOut => None,
            Self::Canceled(cause) => Some(&**cause),
        }
    }
}

impl std::error::Error for PolicyError {}
