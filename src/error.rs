//! How a context ended.

use std::fmt;
use std::io;

/// How a context ended: what `err`, `check`, `done` and `wait` answer.
///
/// For the reason behind it, see [`Cause`](crate::Cause). There may be more ways to end one day (`#[non_exhaustive]`): a
/// `match` outside this crate needs an arm for the rest. `is_timeout` asks the usual question without one.
///
/// ```
/// use ripcord::{Context, Error};
///
/// fn work(ctx: &Context) -> std::io::Result<()> {
///     ctx.check()?; // an `Error` becomes an `io::Error`
///     Ok(())
/// }
///
/// let (ctx, guard) = Context::background().with_cancel();
/// assert!(work(&ctx).is_ok());
/// guard.cancel();
/// let error = work(&ctx).unwrap_err();
/// let found = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
/// assert_eq!(found, Some(&Error::Canceled));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// It, or a context it was derived from, was cancelled.
    Canceled,
    /// Its deadline, or that of a context it was derived from, has passed.
    DeadlineExceeded,
}

impl Error {
    /// Whether a deadline ended the context. Wait-free; allocates nothing.
    #[must_use]
    pub const fn is_timeout(self) -> bool {
        matches!(self, Self::DeadlineExceeded)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Canceled => "context canceled",
            Self::DeadlineExceeded => "context deadline exceeded",
        })
    }
}

impl std::error::Error for Error {}

/// Of kind `TimedOut` for a deadline and `Other` for a cancel; never `Interrupted` or `WouldBlock`, which the loops of
/// std would try again. Allocates.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = if error.is_timeout() {
            io::ErrorKind::TimedOut
        } else {
            io::ErrorKind::Other
        };
        Self::new(kind, error)
    }
}

/// The cause of a context whose deadline will not fire any more: its [`Engine`](crate::Engine) was shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EngineStopped;

impl fmt::Display for EngineStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the engine of the deadline was shut down; use one that runs")
    }
}

impl std::error::Error for EngineStopped {}
