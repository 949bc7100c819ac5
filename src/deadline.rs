//! Contexts with a deadline: derived, and asked for it.

use crate::cancel::CancelGuard;
use crate::cause::Cause;
use crate::context::Context;
use crate::monitor;
use crate::origin;
use crate::raw::handle::Handle;
use crate::raw::time::Time;
use crate::raw::timers::Due;
use crate::sync::contain;
use std::time::{Duration, Instant};

impl Context {
    /// A child that is done at `at` at the latest, with [`Error::DeadlineExceeded`](crate::Error); and the guard that
    /// cancels it when it is dropped.
    ///
    /// | `at` | gives |
    /// |---|---|
    /// | past (more than 292 years back too), or now | a context that is done already |
    /// | not earlier than the parent's deadline | one that the parent's deadline ends, with the parent's cause, also where both have passed and that is yet to fire |
    /// | more than 292 years ahead | one without a deadline of its own |
    ///
    /// A guard bound to `_` is dropped, and cancels, at once: bind it to `_guard`.
    ///
    /// The deadline never fires early, and needs nobody to look; on an engine of one's own that is driven or manual it
    /// fires in `turn` or `advance`. Under a merged context with an earlier deadline that another engine keeps,
    /// that engine's clock fires for both. A child after `fork` without `exec` lacks the timer thread, and
    /// nothing fires there.
    ///
    /// If the timer thread cannot be started, the context is done already, [`Canceled`](crate::Error::Canceled) with the
    /// `std::io::Error` as cause, and the next deadline tries again; on an engine that was shut down, with
    /// [`EngineStopped`](crate::EngineStopped) as cause.
    ///
    /// Reads the clock. Lock-free, but for that start by the first; allocates where [`with_cancel`](Self::with_cancel)
    /// does, and 8 KiB now and then where a core has more deadlines ahead than ever before, half a MiB in all. On a manual engine whose clock another
    /// thread has moved past `at` meanwhile, this call itself fires what is due, wakers included.
    ///
    /// ```
    /// use ripcord::{Context, Error};
    /// use std::time::{Duration, Instant};
    ///
    /// let at = Instant::now() + Duration::from_millis(5);
    /// let (request, _guard) = Context::background().with_deadline(at);
    /// let (query, _query_guard) = request.with_timeout(Duration::from_secs(60));
    /// assert_eq!(query.deadline(), Some(at));
    /// assert_eq!(query.wait(), Error::DeadlineExceeded);
    /// assert!(Instant::now() >= at);
    /// ```
    #[cfg_attr(feature = "origin", track_caller)]
    pub fn with_deadline(&self, at: Instant) -> (Self, CancelGuard) {
        self.with_due(Due::At(Time::at(at)))
    }

    /// As [`with_deadline`](Self::with_deadline), so much after now by the clock of the context's engine. Zero gives a
    /// context that is done already; `Duration::MAX` one without a deadline of its own. Under a merged context with an
    /// earlier deadline that another engine keeps, that engine's clock fires for both.
    ///
    /// A guard bound to `_` is dropped, and cancels, at once: bind it to `_guard`.
    ///
    /// ```
    /// use ripcord::{Context, Error};
    /// use std::time::Duration;
    ///
    /// let (ctx, _guard) = Context::background().with_timeout(Duration::ZERO);
    /// assert_eq!(ctx.err(), Some(Error::DeadlineExceeded));
    /// ```
    #[cfg_attr(feature = "origin", track_caller)]
    pub fn with_timeout(&self, after: Duration) -> (Self, CancelGuard) {
        self.with_due(Due::After(after))
    }

    /// As [`with_deadline`](Self::with_deadline), and says why, for when that deadline fires and only then.
    ///
    /// The cause is made whether the deadline fires or not, and making one allocates (see [`Cause`]). Where many contexts
    /// are given the same, build it once and pass a clone.
    ///
    /// ```
    /// use ripcord::{Cause, Context};
    /// use std::time::{Duration, Instant};
    ///
    /// let closing = Cause::msg("the shop closes"); // once
    /// let at = Instant::now() + Duration::from_millis(1);
    /// for _ in 0..3 {
    ///     let (customer, _guard) = Context::background().with_deadline_cause(at, closing.clone());
    ///     customer.wait();
    ///     assert_eq!(customer.cause().unwrap().to_string(), "the shop closes");
    /// }
    /// ```
    #[cfg_attr(feature = "origin", track_caller)]
    pub fn with_deadline_cause(&self, at: Instant, cause: impl Into<Cause>) -> (Self, CancelGuard) {
        self.with_due_cause(Due::At(Time::at(at)), cause.into())
    }

    /// As [`with_timeout`](Self::with_timeout), and says why, for when that deadline fires and only then. What the cause
    /// costs: see [`with_deadline_cause`](Self::with_deadline_cause).
    ///
    /// ```
    /// use ripcord::{Cause, Context};
    /// use std::time::Duration;
    ///
    /// let slow = Cause::msg("the index did not answer");
    /// let (ctx, guard) = Context::background().with_timeout_cause(Duration::from_millis(1), slow);
    /// ctx.wait();
    /// guard.cancel(); // too late
    /// assert_eq!(ctx.cause().unwrap().to_string(), "the index did not answer");
    /// ```
    #[cfg_attr(feature = "origin", track_caller)]
    pub fn with_timeout_cause(
        &self,
        after: Duration,
        cause: impl Into<Cause>,
    ) -> (Self, CancelGuard) {
        self.with_due_cause(Due::After(after), cause.into())
    }

    #[inline]
    #[cfg_attr(feature = "origin", track_caller)]
    fn with_due(&self, due: Due) -> (Self, CancelGuard) {
        let (node, guard) = self.node().derive_timed(due, self.values().place());
        origin::mark(&node);
        monitor::created(&node);
        (self.with_node(node), CancelGuard::new(guard))
    }

    #[cfg_attr(feature = "origin", track_caller)]
    fn with_due_cause(&self, due: Due, cause: Cause) -> (Self, CancelGuard) {
        let place = self.values().place();
        let (node, guard, unused) = self.node().derive_timed_cause(due, cause, place);
        origin::mark(&node);
        monitor::created(&node);
        contain(|| drop(unused));
        (self.with_node(node), CancelGuard::new(guard))
    }

    /// When it will be done at the latest: the earlier of its own deadline and its parent's, as it was asked for, to the
    /// nanosecond. `None`: there is none. Wait-free.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.node().deadline().instant()
    }

    /// How long it is until the deadline: zero once it has passed, `None` where there is none. Wait-free; reads the clock
    /// of the context's engine.
    ///
    /// It says nothing of whether the context is done: one that was cancelled still has time left, and one with none
    /// left may be about to be done.
    ///
    /// ```
    /// use ripcord::Context;
    /// use std::time::Duration;
    ///
    /// let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(1));
    /// // A call made under it may have half of what is left.
    /// let budget = ctx.remaining().map_or(Duration::MAX, |left| left / 2);
    /// let (call, _call_guard) = ctx.with_timeout(budget);
    /// assert!(call.deadline() < ctx.deadline());
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let deadline = self.node().deadline();
        (deadline < Time::NEVER).then(|| deadline.since(self.node().core().now()))
    }

    /// The present by the clock of the context's engine: what code that measures reads in place of `Instant::now()`, so that a
    /// test which moves that clock by hand moves what is measured too. Wait-free; reads the clock.
    ///
    /// ```
    /// use ripcord::Engine;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (engine, clock) = Engine::builder().manual_clock()?;
    /// let ctx = engine.background();
    /// let began = ctx.now();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(ctx.now() - began, Duration::from_secs(60));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn now(&self) -> Instant {
        let now = self.node().core().now().instant();
        now.expect("a clock stands at a moment")
    }

    /// Whether a thread keeps its deadlines that is not the process's. Wait-free.
    pub(crate) fn has_own_timer_thread(&self) -> bool {
        let core = self.node().core();
        core.is_served() && !std::ptr::eq(core, Handle::BACKGROUND.core())
    }
}
