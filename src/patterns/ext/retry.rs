//! How often a request may still try again: one budget for all its layers.

use crate::sync::{AtomicUsize, Ordering};
use crate::{Context, Error, Key};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

static RETRY: Key<Retry> = Key::new("retry");

/// How many more times whatever runs under a context may try again, over all of it: where three layers may retry three times
/// each, one request makes 64 calls; with one budget of three, four.
///
/// Which error is worth another try, and what is called, is for the caller to say; `ripcord::retry` makes the attempts of one call.
/// A clone draws on the same budget. All methods are lock-free.
///
/// ```
/// use ripcord::{Context, ext::{Retry, RetryRefused}};
/// use std::time::Duration;
///
/// let request = Retry::new(2).backoff(Duration::from_millis(10), Duration::from_secs(1));
/// let request = request.attach(&Context::background());
/// let (call, _guard) = request.with_cancel(); // some layers down
///
/// let budget = Retry::of(&call).unwrap();
/// assert_eq!(budget.next(&call), Ok(Duration::from_millis(10))); // wait so long, and try
/// assert_eq!(Retry::of(&request).unwrap().next(&request), Ok(Duration::from_millis(20)));
/// assert_eq!(budget.next(&call), Err(RetryRefused::Exhausted { budget: 2 }));
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    budget: u32,
    first: Duration,
    longest: Duration,
    used: Arc<AtomicUsize>,
}

/// Why there is no other try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryRefused {
    /// The budget is used up.
    Exhausted {
        /// How many retries it had.
        budget: u32,
    },
    /// The time to wait before the next try is not shorter than what the context has left. Nothing was taken of the budget.
    NoTime {
        /// How long to wait it would be.
        delay: Duration,
        /// How much time is left.
        left: Duration,
    },
    /// The context is done. Nothing was taken of the budget.
    Ended(Error),
}

impl Retry {
    /// So many retries, after the first attempts; 100 ms before the first of them, twice as much before each next, 10 s at the
    /// most. Allocates.
    #[must_use]
    pub fn new(budget: u32) -> Self {
        Self {
            budget,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            used: Arc::default(),
        }
    }

    /// The same with other delays: `first` before the first retry, twice as much before each next, `longest` at the most, also
    /// before the first.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest);
        self
    }

    /// A context like `ctx`, with this budget for it and for what is derived from it. Allocates as [`Context::with_value`]
    /// does.
    #[must_use = "it derives a context, and changes none"]
    pub fn attach(self, ctx: &Context) -> Context {
        ctx.with_value(&RETRY, self)
    }

    /// The budget that was last attached on the way to `ctx`. Wait-free.
    #[must_use]
    pub fn of(ctx: &Context) -> Option<&Self> {
        ctx.value(&RETRY)
    }

    /// How many retries are left. Wait-free.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.budget.saturating_sub(self.used())
    }

    fn used(&self) -> u32 {
        u32::try_from(self.used.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// Takes one retry of the budget; answers with how long to wait before it. Lock-free; reads the clock; allocates nothing.
    ///
    /// # Errors
    ///
    /// There is none left, no time for it, or `ctx` is done.
    pub fn next(&self, ctx: &Context) -> Result<Duration, RetryRefused> {
        ctx.check().map_err(RetryRefused::Ended)?;
        let left = ctx.remaining();
        let mut used = self.used();
        loop {
            if used >= self.budget {
                return Err(RetryRefused::Exhausted {
                    budget: self.budget,
                });
            }
            let delay = self.delay(used);
            if let Some(left) = left
                && delay >= left
            {
                return Err(RetryRefused::NoTime { delay, left });
            }
            // Relaxed: a count, which guards nothing.
            let (now, next, order) = (used as usize, used as usize + 1, Ordering::Relaxed);
            match self.used.compare_exchange(now, next, order, order) {
                Ok(_) => return Ok(delay),
                Err(_) => used = self.used(),
            }
        }
    }

    fn delay(&self, used: u32) -> Duration {
        let factor = 1_u32.checked_shl(used).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

impl fmt::Display for RetryRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted { budget } => write!(f, "the budget of {budget} retries is used up"),
            Self::NoTime { delay, left } => write!(
                f,
                "the next try would be in {delay:?}, and {left:?} are left: give it more time"
            ),
            Self::Ended(error) => write!(f, "no other try: {error}"),
        }
    }
}

impl std::error::Error for RetryRefused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ended(error) => Some(error),
            _ => None,
        }
    }
}
