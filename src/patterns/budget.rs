//! What is left of a context's time, and how it is shared out.

use crate::context::Context;
use std::fmt;
use std::time::Duration;

/// The time a context had left at one moment, for who has to decide what may still be begun. From [`Context::budget`].
///
/// A plain value: it does not run down. Ask the context again for each decision. Shares of it are budgets too, and
/// [`timeout`](Self::timeout) makes of one what [`with_timeout`](Context::with_timeout) takes. No method blocks, allocates or
/// wakes.
///
/// ```
/// use ripcord::Context;
/// use std::time::Duration;
///
/// let (request, _guard) = Context::background().with_timeout(Duration::from_secs(10));
///
/// // A second is kept for the rollback; of the rest each of three attempts may have a third.
/// let attempt = request.budget().reserve(Duration::from_secs(1))?.split(3)?;
/// assert!(attempt.fits(Duration::from_millis(2_900)));
/// assert!(!attempt.fits(Duration::from_secs(3)));
/// let (first, _first_guard) = request.with_timeout(attempt.timeout());
/// assert!(first.deadline() < request.deadline());
/// # Ok::<_, ripcord::BudgetError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    left: Option<Duration>,
}

impl Context {
    /// What is left of its time now, by the clock of its engine: without a limit where there is no deadline, zero where that
    /// has passed or the context is done. Wait-free; reads the clock.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let left = if self.is_done() {
            Some(Duration::ZERO)
        } else {
            self.remaining()
        };
        Budget { left }
    }
}

impl Budget {
    /// The time that is left; `None`: there is no limit.
    #[must_use]
    pub const fn left(self) -> Option<Duration> {
        self.left
    }

    /// What to give to [`with_timeout`](Context::with_timeout): the time that is left, or [`Duration::MAX`], which is no
    /// timeout there.
    #[must_use]
    pub const fn timeout(self) -> Duration {
        match self.left {
            Some(left) => left,
            None => Duration::MAX,
        }
    }

    /// Whether what takes `d` would be over by then. All fits where there is no limit; zero always.
    #[must_use]
    pub fn fits(self, d: Duration) -> bool {
        self.left.is_none_or(|left| d <= left)
    }

    /// That share of it: 0.25 is a fourth. Of no limit, no limit.
    ///
    /// # Errors
    ///
    /// [`BudgetError::Fraction`] where it is not from 0 to 1, or no number.
    ///
    /// ```
    /// use ripcord::{BudgetError, Context};
    /// use std::time::Duration;
    ///
    /// let (request, _guard) = Context::background().with_timeout(Duration::from_secs(4));
    /// assert!(request.budget().fraction(0.25)?.timeout() <= Duration::from_secs(1));
    /// assert_eq!(request.budget().fraction(2.0), Err(BudgetError::Fraction));
    /// # Ok::<_, BudgetError>(())
    /// ```
    pub fn fraction(self, share: f64) -> Result<Self, BudgetError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(BudgetError::Fraction);
        }
        // A product that cannot be told from the whole in floating point is the whole.
        let of = |left: Duration| {
            let share = Duration::try_from_secs_f64(left.as_secs_f64() * share);
            share.map_or(left, |share| share.min(left))
        };
        Ok(Self {
            left: self.left.map(of),
        })
    }

    /// An equal share for each of so many attempts, one after the other, rounded down to the nanosecond.
    ///
    /// An attempt that took less leaves more to the next, if that asks the context again and splits by the attempts that are
    /// left.
    ///
    /// # Errors
    ///
    /// [`BudgetError::NoAttempts`] for zero.
    pub fn split(self, attempts: u32) -> Result<Self, BudgetError> {
        if attempts == 0 {
            return Err(BudgetError::NoAttempts);
        }
        Ok(Self {
            left: self.left.map(|left| left / attempts),
        })
    }

    /// What is left when so much is kept for what must run at the end.
    ///
    /// What runs at the end takes a context that is not ended by this one's deadline:
    /// [`without_cancel`](Context::without_cancel) and a timeout of `cleanup`.
    ///
    /// # Errors
    ///
    /// [`BudgetError::Exceeded`] where there is not so much.
    pub fn reserve(self, cleanup: Duration) -> Result<Self, BudgetError> {
        let Some(left) = self.left else {
            return Ok(self);
        };
        match left.checked_sub(cleanup) {
            Some(rest) => Ok(Self { left: Some(rest) }),
            None => Err(BudgetError::Exceeded {
                asked: cleanup,
                left,
            }),
        }
    }
}

/// What cannot be had of a [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetError {
    /// A fraction that is negative, more than 1, or no number. Ask for one from 0 to 1.
    Fraction,
    /// A share for each of zero attempts. Split by one at least.
    NoAttempts,
    /// More was to be kept than is left. Begin with nothing that needs the cleanup, or keep less.
    Exceeded {
        /// What was to be kept.
        asked: Duration,
        /// What there was.
        left: Duration,
    },
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fraction => f.write_str("a share of the time is from 0 to 1"),
            Self::NoAttempts => f.write_str("time cannot be split over zero attempts"),
            Self::Exceeded { asked, left } => {
                write!(f, "{asked:?} cannot be kept of the {left:?} that are left")
            }
        }
    }
}

impl std::error::Error for BudgetError {}
