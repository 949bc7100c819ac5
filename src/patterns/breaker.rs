//! A circuit breaker: calls to what keeps failing are refused, until one trial went well.
//!
//! After M. Nygard, *Release It!* (2007), and M. Fowler, *CircuitBreaker* (2014). One word says all (`word`), and is changed by
//! exchanges only; a healthy call loads it twice and writes nothing.
//!
//! A verdict counts only in the state that its call was let through in: in the same generation of closed, or for the very
//! trial. A trial whose caller forgot it holds its place for one cool-down and no longer.

use crate::Context;
use crate::sync::{AtomicUsize, Ordering};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

mod outcome;
mod word;
pub use outcome::{BreakerConfigError, BreakerError, CircuitOpen, CircuitState};
use word::{GENERATIONS, Ticks, Word};

/// Refuses calls to what has failed too often in a row, for a cool-down; lets one call try it then, and closes again when
/// that goes well.
///
/// | state | a call | leads to |
/// |---|---|---|
/// | closed | goes through | open, after `threshold` failures in a row |
/// | open | is refused, at once | half-open, when the cool-down has passed |
/// | half-open | the first is the trial; while it is under way all others are refused | closed, or open for another cool-down |
///
/// A call that the caller's own cancel or deadline ended says nothing about what was called, and counts for nothing; one that
/// ended by a deadline of the operation's own, shorter than the caller's, is a failure. A panic is a failure. A trial that
/// ends without a verdict leaves its place to the next call at once, one that never ends after another cool-down.
///
/// Time is that of the engine of each call's context: one whose clock is moved by hand moves the cool-down too.
///
/// ```
/// use ripcord::{BreakerError, CircuitBreaker, Engine};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (engine, clock) = Engine::builder().manual_clock()?;
/// let ctx = engine.background();
/// let payments = CircuitBreaker::new(2, Duration::from_secs(30))?;
///
/// for _ in 0..2 {
///     payments.call(&ctx, |_| Err::<(), _>("unreachable")).unwrap_err();
/// }
/// match payments.call(&ctx, |_| Ok::<_, &str>("paid")) {
///     Err(BreakerError::Open(open)) => assert_eq!(open.retry_after, Duration::from_secs(30)),
///     other => unreachable!("{other:?}"),
/// }
///
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(payments.call(&ctx, |_| Ok::<_, &str>("paid")), Ok("paid"));
/// # Ok(())
/// # }
/// ```
pub struct CircuitBreaker {
    /// All accesses are Relaxed: it guards nothing but itself.
    word: AtomicUsize,
    generation: AtomicUsize,
    ticks: Ticks,
    threshold: u32,
    cool_down: Duration,
}

/// A call that was let through: tell it how the call went. From [`CircuitBreaker::acquire`].
///
/// Dropped without a verdict it counts for nothing, but in a panic as a failure.
#[must_use = "tell it how the call went"]
pub struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    ctx: &'a Context,
    admitted: Admitted,
    settled: bool,
    /// Whether it is dropped by a panic of the call's own; where nobody says so, by any.
    panicked: Option<bool>,
}

#[derive(Clone, Copy)]
enum Admitted {
    Closed { generation: usize },
    Trial { word: usize },
}

impl CircuitBreaker {
    /// A closed one, which opens after `threshold` failures in a row, for `cool_down`; more than 73 years are 73.
    /// Reads the machine's clock; allocates nothing.
    ///
    /// # Errors
    ///
    /// A zero threshold, or a zero cool-down.
    ///
    /// ```
    /// use ripcord::{BreakerConfigError, CircuitBreaker};
    /// use std::time::Duration;
    ///
    /// let error = CircuitBreaker::new(0, Duration::from_secs(1)).unwrap_err();
    /// assert_eq!(error, BreakerConfigError::ZeroThreshold);
    /// ```
    pub fn new(threshold: u32, cool_down: Duration) -> Result<Self, BreakerConfigError> {
        if threshold == 0 {
            return Err(BreakerConfigError::ZeroThreshold);
        }
        if cool_down.is_zero() {
            return Err(BreakerConfigError::ZeroCoolDown);
        }
        let closed = Word::Closed {
            generation: 0,
            failures: 0,
        };
        Ok(Self {
            word: AtomicUsize::new(closed.pack()),
            generation: AtomicUsize::new(0),
            ticks: Ticks {
                epoch: Instant::now(),
            },
            threshold,
            cool_down,
        })
    }

    /// Calls `operation` with the caller's context, if it may be called. Blocks as long as that does; lock-free but for it,
    /// allocates nothing and wakes nobody.
    ///
    /// # Errors
    ///
    /// [`Open`](BreakerError::Open) and [`Ended`](BreakerError::Ended) where it was not called,
    /// [`Failed`](BreakerError::Failed) with its error.
    ///
    /// # Panics
    ///
    /// Where `operation` does; it counts as a failure.
    pub fn call<T, E>(
        &self,
        ctx: &Context,
        operation: impl FnOnce(&Context) -> Result<T, E>,
    ) -> Result<T, BreakerError<E>> {
        ctx.check().map_err(BreakerError::Ended)?;
        let permit = self.acquire(ctx).map_err(BreakerError::Open)?;
        permit.judge(operation(ctx))
    }

    /// Runs a future under the caller's context, if it may be run; it is dropped when the context is done first. On any
    /// runtime. Lock-free but for the future; allocates where [`Context::with_cancel`] does.
    ///
    /// Dropped before it is ready it counts for nothing.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Panics
    ///
    /// Where the future does; it counts as a failure.
    ///
    /// ```
    /// use ripcord::{BreakerError, CircuitBreaker, Context, Error};
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let search = CircuitBreaker::new(1, Duration::from_secs(30)).unwrap();
    /// let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(1));
    /// let never = std::future::pending::<Result<(), &str>>();
    /// let ended = search.run(&ctx, never).await;
    /// assert_eq!(ended, Err(BreakerError::Ended(Error::DeadlineExceeded)));
    ///
    /// // That was the caller's own limit, and no failure of the search.
    /// let found = search.run(&Context::background(), async { Ok::<_, &str>(3) }).await;
    /// assert_eq!(found, Ok(3));
    /// # });
    /// ```
    pub async fn run<T, E>(
        &self,
        ctx: &Context,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, BreakerError<E>> {
        ctx.check().map_err(BreakerError::Ended)?;
        let mut permit = self.acquire(ctx).map_err(BreakerError::Open)?;
        let ended = {
            let mut operation = pin!(operation);
            permit.panicked = Some(false);
            let polled = poll_fn(|task| {
                permit.panicked = Some(true);
                let polled = operation.as_mut().poll(task);
                // The drop of one that is ready is the call's own, too.
                permit.panicked = Some(polled.is_ready());
                polled
            });
            ctx.run(polled).await
        };
        match ended {
            Ok(result) => permit.judge(result),
            Err(error) => {
                permit.release();
                Err(BreakerError::Ended(error))
            }
        }
    }

    /// Leave for one call, for code that makes the call, and judges it, in its own way. Lock-free; allocates nothing.
    ///
    /// # Errors
    ///
    /// When to try again, where the breaker is open or a trial is under way.
    ///
    /// ```
    /// use ripcord::{CircuitBreaker, Context};
    /// use std::time::Duration;
    ///
    /// let breaker = CircuitBreaker::new(1, Duration::from_secs(30)).unwrap();
    /// let ctx = Context::background();
    /// let permit = breaker.acquire(&ctx)?;
    /// let status = 503; // of the answer
    /// if status < 500 { permit.success() } else { permit.failure() }
    /// assert!(breaker.acquire(&ctx).is_err());
    /// # Ok::<(), ripcord::CircuitOpen>(())
    /// ```
    pub fn acquire<'a>(&'a self, ctx: &'a Context) -> Result<Permit<'a>, CircuitOpen> {
        let mut word = self.word.load(Ordering::Relaxed);
        let admitted = loop {
            let until = match Word::unpack(word) {
                Word::Closed { generation, .. } => break Admitted::Closed { generation },
                Word::Open { until } | Word::Trial { until } => until,
            };
            let now = self.ticks.at(ctx.now());
            if now < until {
                return Err(self.refusal(now, until));
            }
            let until = Ticks::after(now, self.cool_down);
            let trial = Word::Trial { until }.pack();
            match self.exchange(word, trial) {
                Ok(()) => break Admitted::Trial { word: trial },
                Err(found) => word = found,
            }
        };
        Ok(Permit {
            breaker: self,
            ctx,
            admitted,
            settled: false,
            panicked: None,
        })
    }

    /// The state, by the clock of the context's engine. Wait-free; allocates nothing.
    #[must_use]
    pub fn state(&self, ctx: &Context) -> CircuitState {
        let word = self.word.load(Ordering::Relaxed);
        let now = self.ticks.at(ctx.now());
        match Word::unpack(word) {
            Word::Closed { failures, .. } => CircuitState::Closed { failures },
            Word::Open { until } if now < until => CircuitState::Open(self.refusal(now, until)),
            Word::Trial { until } if now < until => CircuitState::HalfOpen { on_trial: true },
            Word::Open { .. } | Word::Trial { .. } => CircuitState::HalfOpen { on_trial: false },
        }
    }

    fn refusal(&self, now: u64, until: u64) -> CircuitOpen {
        CircuitOpen {
            retry_after: Duration::from_nanos(until - now),
            retry_at: self.ticks.instant(until),
        }
    }

    fn exchange(&self, word: usize, new: usize) -> Result<(), usize> {
        let order = Ordering::Relaxed;
        let exchanged = self.word.compare_exchange(word, new, order, order);
        exchanged.map(drop)
    }

    /// Changes the word as long as it is what the call was let through in.
    fn settle(&self, admitted: Admitted, next: impl Fn(u32) -> Word) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let failures = match (admitted, Word::unpack(word)) {
                (
                    Admitted::Closed { generation },
                    Word::Closed {
                        generation: now,
                        failures,
                    },
                ) if generation == now => failures,
                (Admitted::Trial { word: trial }, _) if trial == word => 0,
                _ => return,
            };
            let next = next(failures).pack();
            if next == word {
                return;
            }
            match self.exchange(word, next) {
                Ok(()) => return,
                Err(found) => word = found,
            }
        }
    }

    fn succeeded(&self, admitted: Admitted) {
        let generation = match admitted {
            Admitted::Closed { generation } => generation,
            Admitted::Trial { .. } => {
                let last = self.generation.fetch_add(1, Ordering::Relaxed);
                last.wrapping_add(1) & GENERATIONS
            }
        };
        self.settle(admitted, |_| Word::Closed {
            generation,
            failures: 0,
        });
    }

    fn failed(&self, admitted: Admitted, ctx: &Context) {
        let until = Ticks::after(self.ticks.at(ctx.now()), self.cool_down);
        self.settle(admitted, |failures| match admitted {
            Admitted::Closed { generation } if failures + 1 < self.threshold => Word::Closed {
                generation,
                failures: failures + 1,
            },
            _ => Word::Open { until },
        });
    }

    fn left(&self, admitted: Admitted, ctx: &Context) {
        if matches!(admitted, Admitted::Trial { .. }) {
            let until = self.ticks.at(ctx.now());
            self.settle(admitted, |_| Word::Open { until });
        }
    }
}

impl Permit<'_> {
    /// The call went well. Lock-free; allocates nothing.
    pub fn success(mut self) {
        self.settled = true;
        self.breaker.succeeded(self.admitted);
    }

    /// The call failed. Lock-free; allocates nothing.
    pub fn failure(mut self) {
        self.settled = true;
        self.breaker.failed(self.admitted, self.ctx);
    }

    /// The call says nothing about what was called. Lock-free; allocates nothing.
    pub fn release(mut self) {
        self.settled = true;
        self.breaker.left(self.admitted, self.ctx);
    }

    /// Whether the call is the one trial of a half-open breaker. Wait-free.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        matches!(self.admitted, Admitted::Trial { .. })
    }

    fn judge<T, E>(self, result: Result<T, E>) -> Result<T, BreakerError<E>> {
        // A deadline that is due may not have fired yet.
        let callers = self.ctx.is_done() || self.ctx.remaining() == Some(Duration::ZERO);
        match &result {
            Ok(_) => self.success(),
            Err(_) if callers => self.release(),
            Err(_) => self.failure(),
        }
        result.map_err(BreakerError::Failed)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if self.panicked.unwrap_or_else(std::thread::panicking) {
            self.breaker.failed(self.admitted, self.ctx);
        } else {
            self.breaker.left(self.admitted, self.ctx);
        }
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("threshold", &self.threshold)
            .field("cool_down", &self.cool_down)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("is_trial", &self.is_trial())
            .finish_non_exhaustive()
    }
}
