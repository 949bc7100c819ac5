//! How a group failed, and why work was not begun.

use crate::cause::Cause;
use crate::error::Error;
use crate::patterns::panicked::Panicked;
use std::fmt;
use std::io;

/// How a [`Group`](super::Group) failed: the first failure.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GroupError {
    /// Work gave back this error. Where that only said that the group's context was done, this is the cause of that: the parent's
    /// end, say.
    Failed(Cause),
    /// Work panicked.
    Panicked(Panicked),
    /// A future was dropped before it had ended: it was never spawned, or its runtime has shut down.
    Dropped,
    /// Work was still running when the limit of [`Group::join_until`](super::Group::join_until) was over.
    Late {
        /// How much, by number: threads, and futures.
        running: usize,
    },
}

impl GroupError {
    /// What the rest was cancelled with. Allocates, unless work failed by itself.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Failed(cause) => cause.clone(),
            Self::Panicked(panicked) => panicked.clone().into(),
            Self::Dropped | Self::Late { .. } => Cause::msg(self),
        }
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(cause) => fmt::Display::fmt(cause, f),
            Self::Panicked(panicked) => fmt::Display::fmt(panicked, f),
            Self::Dropped => f.write_str("a future of the group was dropped before it had ended"),
            Self::Late { running } => write!(f, "{running} of the group did not end in time"),
        }
    }
}

impl std::error::Error for GroupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(cause) => Some(&**cause),
            Self::Panicked(panicked) => Some(panicked),
            Self::Dropped | Self::Late { .. } => None,
        }
    }
}

/// Why a [`Group`](super::Group) did not begin with work.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnError {
    /// A limit of zero threads. Allow one at least.
    NoThreads,
    /// The group's context is done.
    Done(Error),
    /// The system has no more threads, or no memory for one. Try again later, or with a limit.
    Thread(io::Error),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoThreads => f.write_str("a group of zero threads runs nothing"),
            Self::Done(error) => write!(f, "not begun: {error}"),
            Self::Thread(error) => write!(f, "no thread could be started: {error}"),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoThreads => None,
            Self::Done(error) => Some(error),
            Self::Thread(error) => Some(error),
        }
    }
}
