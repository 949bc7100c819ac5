//! Attempts at what may fail for a while, under the time that the caller has. Feature `retry`.
//!
//! A [`Policy`] says how many attempts, how long each may take, and how long to wait between them: exponential delays with
//! jitter, as the `backon` crate makes them. Each attempt has a context of its own under the caller's. One for which there would
//! be no time left after its delay is not waited for: the error says so at once, and keeps the last attempt's.
//!
//! ```
//! use ripcord::{Context, retry};
//! use std::io;
//! use std::time::Duration;
//!
//! let policy = retry::Policy::new(3)
//!     .backoff(Duration::from_millis(1), Duration::from_millis(10))
//!     .attempt_timeout(Duration::from_secs(1));
//! let mut attempts = 0;
//! let answer = policy.blocking(&Context::background(), |ctx| {
//!     ctx.check()?;
//!     attempts += 1;
//!     if attempts < 3 { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) } else { Ok("answer") }
//! });
//! assert_eq!(answer.unwrap(), "answer");
//!
//! // With ten seconds left, nobody waits a minute for the next attempt.
//! let (request, _guard) = Context::background().with_timeout(Duration::from_secs(10));
//! let minutes = retry::Policy::new(3).backoff(Duration::from_secs(60), Duration::from_secs(60));
//! let refused = minutes.blocking(&request, |_| Err::<(), _>(io::Error::other("busy"))).unwrap_err();
//! assert!(matches!(refused, retry::RetryError::Backoff { attempts: 1, .. }));
//! assert_eq!(refused.last().unwrap().to_string(), "busy");
//! ```

mod errors;

pub use errors::{AttemptError, PolicyError, RetryError};

use crate::context::Context;
use crate::error::Error;
use crate::patterns::limit::{Limit, held};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

/// A delay is no longer than that, whatever was asked for; with jitter, than twice that.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How often, how long, and with what delays something is attempted. What cannot be meant is an error of the call that uses it,
/// before the first attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    attempts: u32,
    attempt_timeout: Option<Duration>,
    first: Duration,
    longest: Duration,
    factor: f32,
    jitter: bool,
}

impl Policy {
    /// So many attempts, the first one counted. If not said otherwise, an attempt may take as long as the caller's context lasts,
    /// and delays are 100 ms, 200 ms and so on up to 10 s, with jitter.
    #[must_use]
    pub const fn new(attempts: u32) -> Self {
        Self {
            attempts,
            attempt_timeout: None,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            factor: 2.0,
            jitter: true,
        }
    }

    /// How long each attempt may take, by the engine of the caller's context. Zero is a [`PolicyError`].
    ///
    /// Where that engine is shut down in the middle of an attempt, it ends the attempt's context, which cannot go to another: with
    /// [`EngineStopped`](crate::EngineStopped) as cause. The next one has its whole time, by the process's engine.
    #[must_use]
    pub const fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// The delay before the second attempt, and the longest there is before jitter. A delay of more than a year is one of a year.
    /// A first that is longer than the longest is a [`PolicyError`].
    #[must_use]
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest;
        self
    }

    /// By how much each delay is longer than the one before; 1: not at all. Less than 1, negative, infinite or no number is a
    /// [`PolicyError`].
    #[must_use]
    pub const fn factor(mut self, factor: f32) -> Self {
        self.factor = factor;
        self
    }

    /// Whether a random time, of up to the delay itself, is added to each, so that many callers who failed together do not try again
    /// together. The longest delay may be twice as long by it.
    #[must_use]
    pub const fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// Attempts `work` until it succeeds. Each time it is given a context with the attempt's timeout, under the caller's, to look at
    /// or to pass on; it is ended when the attempt has. Delays count on the clock of the context's engine.
    ///
    /// Blocks as `work` does, and for the delays, which end with the context. Allocates for a context an attempt, where the pool
    /// of nodes is empty. A panic of `work` is the caller's.
    ///
    /// # Errors
    ///
    /// [`RetryError`], with what the last attempt failed with.
    pub fn blocking<T, E>(
        &self,
        ctx: &Context,
        work: impl FnMut(&Context) -> Result<T, E>,
    ) -> Result<T, RetryError<E>> {
        self.blocking_if(ctx, work, |_| true)
    }

    /// As [`blocking`](Self::blocking), of errors after which it makes sense to try again; any other is the last.
    ///
    /// # Errors
    ///
    /// [`RetryError`]; [`RetryError::Permanent`] for an error after which it does not.
    ///
    /// ```
    /// use ripcord::{Context, retry};
    /// use std::io;
    ///
    /// let missing = retry::Policy::new(3).blocking_if(
    ///     &Context::background(),
    ///     |_| std::fs::read("/no/such/file"),
    ///     |error| error.kind() == io::ErrorKind::WouldBlock,
    /// );
    /// assert!(matches!(missing, Err(retry::RetryError::Permanent { attempts: 1, .. })));
    /// ```
    pub fn blocking_if<T, E>(
        &self,
        ctx: &Context,
        mut work: impl FnMut(&Context) -> Result<T, E>,
        mut again: impl FnMut(&E) -> bool,
    ) -> Result<T, RetryError<E>> {
        let mut attempts = Attempts::of(self, ctx)?;
        loop {
            let error = {
                let (attempt, _guard) = attempts.begin()?;
                match work(&attempt) {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                }
            };
            let permanent = !again(&error);
            let delay = attempts.failed(AttemptError::Failed(error), permanent)?;
            // Where it ends early, `begin` says so.
            let _ = ctx.blocking_sleep(delay);
        }
    }

    /// As [`blocking`](Self::blocking), of futures, on any runtime. An attempt that has not ended in its time is dropped, as by
    /// [`Context::run`], and is [`AttemptError::TimedOut`]. One whose time nobody keeps any more, after a shutdown
    /// of the engine, is dropped too, and is [`AttemptError::Canceled`].
    ///
    /// Dropped before it is ready, it drops the attempt. It owns a handle, so it is `'static` where `work` and its futures are.
    ///
    /// # Errors
    ///
    /// [`RetryError`], with what the last attempt failed with.
    ///
    /// ```
    /// use ripcord::{Context, retry};
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let policy = retry::Policy::new(2)
    ///     .attempt_timeout(Duration::from_millis(1))
    ///     .backoff(Duration::ZERO, Duration::ZERO);
    /// let hangs = policy.run(&Context::background(), |_ctx| std::future::pending::<std::io::Result<()>>());
    /// let error = hangs.await.unwrap_err();
    /// assert!(matches!(error, retry::RetryError::Exhausted { attempts: 2, .. }));
    /// assert!(matches!(error.last(), Some(retry::AttemptError::TimedOut)));
    /// # });
    /// ```
    pub fn run<T, E, F, W>(
        &self,
        ctx: &Context,
        work: W,
    ) -> impl Future<Output = Result<T, RetryError<E>>> + use<T, E, F, W>
    where
        F: Future<Output = Result<T, E>>,
        W: FnMut(Context) -> F,
    {
        self.run_if(ctx, work, |_: &E| true)
    }

    /// As [`run`](Self::run), of errors after which it makes sense to try again; any other is the last. An attempt that timed out
    /// is tried again.
    ///
    /// # Errors
    ///
    /// [`RetryError`]; [`RetryError::Permanent`] for an error after which it does not.
    pub fn run_if<T, E, F, W, A>(
        &self,
        ctx: &Context,
        mut work: W,
        mut again: A,
    ) -> impl Future<Output = Result<T, RetryError<E>>> + use<T, E, F, W, A>
    where
        F: Future<Output = Result<T, E>>,
        W: FnMut(Context) -> F,
        A: FnMut(&E) -> bool,
    {
        let (policy, ctx) = (*self, ctx.clone());
        async move {
            let mut attempts = Attempts::of(&policy, &ctx)?;
            loop {
                let error = {
                    let (attempt, _guard) = attempts.begin()?;
                    match attempt.run(work(attempt.clone())).await {
                        Ok(Ok(value)) => return Ok(value),
                        Ok(Err(error)) => AttemptError::Failed(error),
                        Err(_) => attempts.ended(&attempt),
                    }
                };
                let permanent = matches!(&error, AttemptError::Failed(error) if !again(error));
                let delay = attempts.failed(error, permanent)?;
                // Where it ends early, `begin` says so.
                Limit::new(&ctx, delay).over().await;
            }
        }
    }

    fn check(&self) -> Result<(), PolicyError> {
        if self.attempts == 0 {
            return Err(PolicyError::NoAttempts);
        }
        if self
            .attempt_timeout
            .is_some_and(|timeout| timeout.is_zero())
        {
            return Err(PolicyError::NoTime);
        }
        if !(self.factor.is_finite() && self.factor >= 1.0) {
            return Err(PolicyError::Factor);
        }
        if self.first > self.longest {
            return Err(PolicyError::Backoff);
        }
        Ok(())
    }

    fn delays(&self) -> impl Iterator<Item = Duration> + use<> {
        let delays = ExponentialBuilder::new()
            .with_min_delay(self.first.min(LONGEST))
            .with_max_delay(self.longest.min(LONGEST))
            .with_factor(self.factor)
            .without_max_times();
        let delays = if self.jitter {
            delays.with_jitter()
        } else {
            delays
        };
        delays.build()
    }
}

/// What is common to both forms: what has been attempted, and whether there is to be one more.
struct Attempts<'a, E, D> {
    ctx: &'a Context,
    policy: &'a Policy,
    delays: D,
    begun: u32,
    last: Option<AttemptError<E>>,
}

impl<'a, E> Attempts<'a, E, ()> {
    fn of(
        policy: &'a Policy,
        ctx: &'a Context,
    ) -> Result<Attempts<'a, E, impl Iterator<Item = Duration> + use<E>>, RetryError<E>> {
        policy.check().map_err(RetryError::Policy)?;
        Ok(Attempts {
            ctx,
            policy,
            delays: policy.delays(),
            begun: 0,
            last: None,
        })
    }
}

impl<E, D: Iterator<Item = Duration>> Attempts<'_, E, D> {
    /// The context of the next attempt, and what ends it.
    fn begin(&mut self) -> Result<(Context, crate::CancelGuard), RetryError<E>> {
        if let Some(error) = self.ctx.err() {
            return Err(RetryError::Done {
                attempts: self.begun,
                error,
                last: self.last.take(),
            });
        }
        self.begun += 1;
        let timeout = self.policy.attempt_timeout.unwrap_or(Duration::MAX);
        Ok(held(self.ctx, |ctx| ctx.with_timeout(timeout)))
    }

    /// How one failed whose context was done first.
    fn ended(&self, attempt: &Context) -> AttemptError<E> {
        match (attempt.err(), attempt.cause()) {
            (Some(Error::Canceled), Some(cause)) if !self.ctx.is_done() => {
                AttemptError::Canceled(cause)
            }
            _ => AttemptError::TimedOut,
        }
    }

    /// How long to wait for the next attempt, if there is to be one.
    fn failed(
        &mut self,
        last: AttemptError<E>,
        permanent: bool,
    ) -> Result<Duration, RetryError<E>> {
        let attempts = self.begun;
        if let Some(error) = self.ctx.err() {
            let last = Some(last);
            return Err(RetryError::Done {
                attempts,
                error,
                last,
            });
        }
        if permanent {
            return Err(RetryError::Permanent { attempts, last });
        }
        let backoff = match self.delays.next() {
            Some(delay) if attempts < self.policy.attempts => delay,
            _ => return Err(RetryError::Exhausted { attempts, last }),
        };
        // What is over just when the time is leaves none for the attempt.
        match self.ctx.budget().left() {
            Some(left) if left <= backoff => Err(RetryError::Backoff {
                attempts,
                backoff,
                left,
                last,
            }),
            _ => {
                self.last = Some(last);
                Ok(backoff)
            }
        }
    }
}
