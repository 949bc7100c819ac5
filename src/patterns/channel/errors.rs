//! Why a value did not go in or come out.

use crate::error::Error;
use crossbeam_channel as crossbeam;
use std::fmt;

/// A value that was not accepted, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The context was done first.
    Done(T, Error),
    /// No receiver is left: nobody will ever take it.
    Disconnected(T),
    /// It was to be sent by a task through a channel without room, where only threads can meet. Give the channel room for one.
    #[cfg(feature = "channel-async")]
    Rendezvous(T),
}

impl<T> SendError<T> {
    /// The value back.
    pub fn into_value(self) -> T {
        match self {
            Self::Done(value, _) | Self::Disconnected(value) => value,
            #[cfg(feature = "channel-async")]
            Self::Rendezvous(value) => value,
        }
    }

    /// How the context ended, where that was why.
    pub const fn ended(&self) -> Option<Error> {
        match self {
            Self::Done(_, error) => Some(*error),
            _ => None,
        }
    }
}

/// A value for which there was no room, or nobody.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// There is no room now. Of a rendezvous: no thread is blocked in a receive.
    Full(T),
    /// No receiver is left.
    Disconnected(T),
}

impl<T> TrySendError<T> {
    /// The value back.
    pub fn into_value(self) -> T {
        match self {
            Self::Full(value) | Self::Disconnected(value) => value,
        }
    }
}

/// Why no value came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// The context was done first. What is in the queue stays there.
    Done(Error),
    /// No sender is left, and no value.
    Disconnected,
    /// A task was to receive from a channel without room, where only threads can meet. Give the channel room for one.
    #[cfg(feature = "channel-async")]
    Rendezvous,
}

/// Why there is no value now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is none now. Of a rendezvous: no thread is blocked in a send.
    Empty,
    /// No sender is left, and no value.
    Disconnected,
}

impl From<Error> for RecvError {
    fn from(error: Error) -> Self {
        Self::Done(error)
    }
}

impl<T> From<crossbeam::TrySendError<T>> for TrySendError<T> {
    fn from(error: crossbeam::TrySendError<T>) -> Self {
        match error {
            crossbeam::TrySendError::Full(value) => Self::Full(value),
            crossbeam::TrySendError::Disconnected(value) => Self::Disconnected(value),
        }
    }
}

impl From<crossbeam::TryRecvError> for TryRecvError {
    fn from(error: crossbeam::TryRecvError) -> Self {
        match error {
            crossbeam::TryRecvError::Empty => Self::Empty,
            crossbeam::TryRecvError::Disconnected => Self::Disconnected,
        }
    }
}

#[cfg(feature = "channel-async")]
const RENDEZVOUS: &str = "tasks cannot meet at a channel without room";

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_, error) => write!(f, "not sent: {error}"),
            Self::Disconnected(_) => f.write_str("not sent: no receiver is left"),
            #[cfg(feature = "channel-async")]
            Self::Rendezvous(_) => write!(f, "not sent: {RENDEZVOUS}"),
        }
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "not sent: there is no room now",
            Self::Disconnected(_) => "not sent: no receiver is left",
        })
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(error) => write!(f, "nothing received: {error}"),
            Self::Disconnected => f.write_str("nothing received: no sender is left"),
            #[cfg(feature = "channel-async")]
            Self::Rendezvous => write!(f, "nothing received: {RENDEZVOUS}"),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "nothing received: there is nothing now",
            Self::Disconnected => "nothing received: no sender is left",
        })
    }
}

// Without the value, which may be a secret, and need not be Debug.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_, error) => f.debug_tuple("Done").field(error).finish_non_exhaustive(),
            Self::Disconnected(_) => f.debug_tuple("Disconnected").finish_non_exhaustive(),
            #[cfg(feature = "channel-async")]
            Self::Rendezvous(_) => f.debug_tuple("Rendezvous").finish_non_exhaustive(),
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> std::error::Error for SendError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Done(_, error) => Some(error),
            _ => None,
        }
    }
}

impl std::error::Error for RecvError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Done(error) => Some(error),
            _ => None,
        }
    }
}

impl<T> std::error::Error for TrySendError<T> {}
impl std::error::Error for TryRecvError {}
