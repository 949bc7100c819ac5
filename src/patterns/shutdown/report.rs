//! What a shutdown says: why it began, and how it went. Plain data.

use crate::Cause;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How a [`Shutdown`](crate::Shutdown) went. From [`wait`](crate::Shutdown::wait); printed, it is a line for a log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Why it began: what [`accepting`](crate::Shutdown::accepting) was ended with.
    pub cause: Cause,
    /// How much work ended by itself, in the soft phase.
    pub drained: usize,
    /// How much was left when the hard phase began, and was cancelled.
    pub canceled: usize,
    /// Work that panicked while it was being stopped.
    pub panicked: Vec<Arc<str>>,
    /// Work that had not ended when the limits were over, the oldest first.
    pub late: Vec<Late>,
    /// How long it took, from the beginning of the soft phase to this report.
    pub took: Duration,
}

/// Work that is registered, or still is when it should not be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Late {
    /// What it was registered as.
    pub name: Arc<str>,
    /// How long ago it was registered.
    pub age: Duration,
}

/// Work was not registered: stopping has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping;

/// The causes that a [`Shutdown`](crate::Shutdown) gives to what it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShutdownCause {
    /// [`stop`](crate::Shutdown::stop) was called.
    Requested,
    /// [`stop_now`](crate::Shutdown::stop_now) was called.
    Hastened,
    /// Work was still there when the grace was over, which was so long.
    GraceOver(Duration),
    /// A signal came, of this number.
    Signal(i32),
}

impl ShutdownReport {
    /// The report, where all work has ended and none panicked.
    ///
    /// # Errors
    ///
    /// The report, where some is late or panicked: for `?` in `main`. Wait-free.
    ///
    /// ```
    /// use ripcord::{Context, Shutdown};
    /// use std::time::Duration;
    ///
    /// let shutdown = Shutdown::builder()
    ///     .grace(Duration::ZERO)
    ///     .cleanup(Duration::ZERO)
    ///     .build(&Context::background());
    /// let (_ctx, _work) = shutdown.register("compaction").unwrap();
    /// shutdown.stop();
    /// let report = shutdown.wait().into_result().unwrap_err();
    /// assert_eq!(&*report.late[0].name, "compaction");
    /// ```
    pub fn into_result(self) -> Result<Self, Self> {
        if self.late.is_empty() && self.panicked.is_empty() {
            Ok(self)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} drained, {} canceled in {:.1?}",
            self.cause, self.drained, self.canceled, self.took
        )?;
        list(f, "panicked", self.panicked.iter())?;
        list(f, "late", self.late.iter())
    }
}

fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    names: impl Iterator<Item = T>,
) -> fmt::Result {
    for (index, name) in names.enumerate() {
        match index {
            0 => write!(f, "; {what}: {name}")?,
            _ => write!(f, ", {name}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.1?})", self.name, self.age)
    }
}

impl fmt::Display for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopping has begun: no work is taken on any more")
    }
}

impl fmt::Display for ShutdownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("shutdown requested"),
            Self::Hastened => f.write_str("shutdown hastened"),
            Self::GraceOver(grace) => write!(f, "the grace of {grace:?} was over"),
            Self::Signal(2) => f.write_str("SIGINT"),
            Self::Signal(15) => f.write_str("SIGTERM"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl std::error::Error for ShutdownReport {}
impl std::error::Error for Stopping {}
impl std::error::Error for ShutdownCause {}
