//! A deadline and a flag, without a tree.

use crate::context::Context;
use crate::error::Error;
use crate::raw::time::Time;
use crate::sync::{AtomicUsize, Ordering};
use std::fmt;
use std::time::{Duration, Instant};

const LIVE: usize = 0;
const CANCELED: usize = 1;
const EXPIRED: usize = 2;

/// A deadline and a flag for code that polls: two words, no heap, no timer, nobody told.
///
/// For the innermost loop of one thread or a few, where a [`Context`] a step would be too many: a parser's step limit, a
/// search's time slice. It is shared by reference, has no children and no values, and nobody can wait on it. Its
/// deadline has passed when somebody *looks* and it has: unlike a context's, each look at one with a deadline reads the
/// clock of the machine, until the first that finds it passed. What came first stays.
///
/// All methods are wait-free, and none allocates.
///
/// ```
/// use ripcord::{Error, Light};
/// use std::time::Duration;
///
/// let slice = Light::with_timeout(Duration::from_millis(2));
/// let mut steps = 0_u64;
/// let ended = loop {
///     if let Err(error) = slice.check() {
///         break error;
///     }
///     steps += 1;
/// };
/// assert_eq!(ended, Error::DeadlineExceeded);
/// assert!(steps > 0);
/// ```
pub struct Light {
    end: AtomicUsize,
    deadline: Time,
}

const _: () = assert!(size_of::<Light>() == 16);

impl Light {
    /// One without a deadline. Wait-free.
    ///
    /// ```
    /// static STOP: ripcord::Light = ripcord::Light::new();
    /// STOP.cancel();
    /// assert!(STOP.is_done());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self::at(Time::NEVER)
    }

    /// One that is done at an instant; at once, if that has passed. More than 292 years ahead is never. Wait-free.
    #[must_use]
    pub fn with_deadline(at: Instant) -> Self {
        Self::at(Time::at(at))
    }

    /// One that is done after a time, from now on. [`Duration::MAX`] is never. Wait-free; reads the clock.
    #[must_use]
    pub fn with_timeout(after: Duration) -> Self {
        Self::at(Time::now().after(after))
    }

    /// One that is done after a time, and not later than the context's deadline; done already if the context is. It does
    /// not follow the context from there on: look at that now and then, too. Both times are by the clock of the machine,
    /// whatever the context's engine. Wait-free; reads the clock.
    ///
    /// ```
    /// use ripcord::{Context, Light};
    /// use std::time::Duration;
    ///
    /// let (request, _guard) = Context::background().with_timeout(Duration::from_secs(1));
    /// let slice = Light::under(&request, Duration::from_secs(60));
    /// assert_eq!(slice.deadline(), request.deadline());
    /// ```
    #[must_use]
    pub fn under(ctx: &Context, after: Duration) -> Self {
        let deadline = ctx.deadline().map_or(Time::NEVER, Time::at);
        let end = match ctx.err() {
            None => LIVE,
            Some(Error::DeadlineExceeded) => EXPIRED,
            Some(Error::Canceled) => CANCELED,
        };
        Self {
            end: AtomicUsize::new(end),
            deadline: Time::now().after(after).min(deadline),
        }
    }

    const fn at(deadline: Time) -> Self {
        Self {
            end: AtomicUsize::new(LIVE),
            deadline,
        }
    }

    /// Ends it, if it has not been. What was written before is seen by whoever sees it done by this. Wait-free; wakes nobody.
    pub fn cancel(&self) {
        let _ = self.end(CANCELED);
    }

    /// Whether it is done: it was cancelled, or its deadline has passed. Wait-free, as [`err`](Self::err).
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.err().is_some()
    }

    /// How it ended; `None` while it has not. Once said, it does not change. Wait-free: one load, and, of one that has a
    /// deadline and is live, a reading of the clock.
    #[inline]
    #[must_use]
    pub fn err(&self) -> Option<Error> {
        // ORDERING: Acquire pairs with `end`.
        let mut end = self.end.load(Ordering::Acquire);
        if end == LIVE && self.deadline != Time::NEVER && self.deadline <= Time::now() {
            end = self.end(EXPIRED);
        }
        match end {
            LIVE => None,
            EXPIRED => Some(Error::DeadlineExceeded),
            _ => Some(Error::Canceled),
        }
    }

    /// For `?` in loops. Wait-free, as [`err`](Self::err).
    ///
    /// # Errors
    ///
    /// How it ended, if it has.
    #[inline]
    pub fn check(&self) -> Result<(), Error> {
        self.err().map_or(Ok(()), Err)
    }

    /// The instant it was given, to the nanosecond. Wait-free.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.instant()
    }

    /// How long it is until the deadline; zero: it has passed. `None`: there is none. Wait-free; reads the clock.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        (self.deadline != Time::NEVER).then(|| self.deadline.since(Time::now()))
    }

    /// The first end there was: this, or the one before it.
    fn end(&self, end: usize) -> usize {
        let ended = self
            .end
            .compare_exchange(LIVE, end, Ordering::AcqRel, Ordering::Acquire);
        ended.map_or_else(|first| first, |_| end)
    }
}

impl Default for Light {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Light {
    /// Looks, as [`err`](Light::err) does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Light")
            .field("err", &self.err())
            .field("remaining", &self.remaining())
            .finish()
    }
}
