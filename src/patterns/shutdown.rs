//! Stopping in two phases: first nothing new is taken on and what is under way may finish, then what is left is cancelled.

use crate::{CancelGuard, Cause, Context};
use phases::Inner;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

mod phases;
mod report;
#[cfg(feature = "signals")]
mod signals;
pub use report::{Late, ShutdownCause, ShutdownReport, Stopping};
#[cfg(feature = "signals")]
pub use signals::SignalWatch;

/// Stops a program, or a part of one, in two phases.
///
/// | phase | begins with | what happens |
/// |---|---|---|
/// | running | | work [registers](Self::register) by name |
/// | soft | [`stop`](Self::stop), the first signal, or the parent's end | [`accepting`](Self::accepting) is done, and nothing more is registered; what is, may finish |
/// | hard | the end of the grace, [`stop_now`](Self::stop_now), or the second signal | the context of all work that is left is cancelled, with a [`ShutdownCause`] |
///
/// Cancelled work has a last time limit, the cleanup's, to put things in order, under a [`cleanup`](Self::cleanup) context,
/// which has the work's values and nobody's cancel. [`wait`](Self::wait) returns when all work has ended, and otherwise at the
/// end of that limit, and says who is late: so a stop takes no longer than grace and cleanup together, whatever the work does.
///
/// All limits are by the clock of the parent's engine; where that is shut down, what is left of them is kept by the process's. Where
/// the timer thread cannot be started, whoever waits keeps them; if nobody does, the grace ends when there is a callback thread.
///
/// A clone is another handle on the same; when the last goes, and with it the last of the work, its contexts are cancelled, as by
/// any guard. Registering, and the end of what is registered, may block: a short lock. No waker runs under it, and no cancel
/// takes it.
///
/// ```
/// use ripcord::{Context, Shutdown};
/// use std::time::Duration;
///
/// let shutdown = Shutdown::builder()
///     .grace(Duration::from_secs(10))
///     .cleanup(Duration::from_secs(2))
///     .build(&Context::background());
///
/// let (ctx, work) = shutdown.register("indexer").unwrap();
/// let accepting = shutdown.accepting().clone();
/// let indexer = std::thread::spawn(move || {
///     let _work = work; // registered until the thread ends
///     while !accepting.is_done() {
///         if ctx.check().is_err() {
///             return; // the hard phase
///         }
///         std::thread::yield_now(); // in place of a document
///     }
/// });
///
/// shutdown.stop(); // or a signal
/// let report = shutdown.wait();
/// assert!(report.late.is_empty(), "{report}");
/// assert_eq!(report.drained, 1);
/// indexer.join().unwrap();
/// ```
#[derive(Clone)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

/// Makes a [`Shutdown`]. From [`Shutdown::builder`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct ShutdownBuilder {
    grace: Duration,
    cleanup: Duration,
}

/// Registered work. Dropping it cancels the work's context, as a [`CancelGuard`] does, and says that the work has ended. From
/// [`Shutdown::register`].
#[must_use = "dropping it says that the work has ended; keep it as long as that lasts"]
pub struct Work {
    guard: CancelGuard,
    inner: Arc<Inner>,
    name: Arc<str>,
    serial: u64,
}

impl ShutdownBuilder {
    /// How long work may go on by itself once stopping has begun; 30 s by default. Zero: the hard phase begins with the soft
    /// one, if there is work. More than 292 years: it begins when it is asked for.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long cancelled work has to put things in order, and how long [`wait`](Shutdown::wait) waits for it; 5 s by default.
    pub fn cleanup(mut self, cleanup: Duration) -> Self {
        self.cleanup = cleanup;
        self
    }

    /// A shutdown of what hangs below `parent`, whose values and engine it has; the parent's end stops it, both phases at
    /// once. Allocates.
    #[must_use]
    pub fn build(self, parent: &Context) -> Shutdown {
        Shutdown {
            inner: Arc::new(Inner::new(parent, self)),
        }
    }
}

impl Shutdown {
    /// What makes one: 30 s of grace, 5 s of cleanup, unless it is told otherwise.
    pub const fn builder() -> ShutdownBuilder {
        ShutdownBuilder {
            grace: Duration::from_secs(30),
            cleanup: Duration::from_secs(5),
        }
    }

    /// Done when the soft phase begins, with the cause of the stop: for loops that accept connections or take jobs. Wait-free.
    #[must_use]
    pub fn accepting(&self) -> &Context {
        &self.inner.accepting
    }

    /// Done when the hard phase begins. Work that is registered has a child of it; this is for what nobody waits for, and where all
    /// work has ended in the soft phase, or there was none, that goes on until [`stop_now`](Self::stop_now) or the drop of
    /// the shutdown: no hard phase begins by itself. Wait-free.
    #[must_use]
    pub fn working(&self) -> &Context {
        &self.inner.working
    }

    /// Registers work by a name for people, which need not be the only one: a child of [`working`](Self::working) for it, and
    /// what says, when it is dropped, that it has ended.
    ///
    /// May block: a short lock. Allocates the entry; wakes nobody.
    ///
    /// # Errors
    ///
    /// Stopping has begun.
    pub fn register(&self, name: impl Into<Arc<str>>) -> Result<(Context, Work), Stopping> {
        self.add(name.into(), || self.inner.working.with_cancel())
    }

    /// As [`register`](Self::register), for work that has a context: a request on a connection, say. What it is given is done with
    /// that, or with the hard phase, whichever is first, and has that one's values.
    ///
    /// # Errors
    ///
    /// Stopping has begun.
    ///
    /// ```
    /// use ripcord::{Context, Key, Shutdown};
    ///
    /// static USER: Key<&str> = Key::new("user");
    ///
    /// let shutdown = Shutdown::builder().build(&Context::background());
    /// let (connection, client) = Context::background().with_value(&USER, "ada").with_cancel();
    /// let (request, _work) = shutdown.register_under(&connection, "GET /").unwrap();
    /// assert_eq!(request.value(&USER), Some(&"ada"));
    /// drop(client); // it hung up
    /// assert!(request.is_done() && !shutdown.working().is_done());
    /// ```
    pub fn register_under(
        &self,
        ctx: &Context,
        name: impl Into<Arc<str>>,
    ) -> Result<(Context, Work), Stopping> {
        self.add(name.into(), || Context::merge([ctx, &self.inner.working]))
    }

    fn add(
        &self,
        name: Arc<str>,
        derive: impl FnOnce() -> (Context, CancelGuard),
    ) -> Result<(Context, Work), Stopping> {
        let inner = &self.inner;
        let serial = inner.enter(&name)?;
        // Derived after, so that whoever sees it sees it registered; and a stop between the two finds the entry.
        let (ctx, guard) = derive();
        let work = Work {
            guard,
            inner: Arc::clone(inner),
            name,
            serial,
        };
        Ok((ctx, work))
    }

    /// A context for what must still be done, with the values of `ctx` and nobody's cancel: its own time limit is the cleanup's,
    /// from now on, and in the hard phase what is left of that. Allocates where [`Context::with_timeout`] does; may block: a
    /// short lock, and the start of the process's timer thread.
    ///
    /// | the engine of `ctx` | who keeps the limit |
    /// |---|---|
    /// | is the process's, or has a thread of its own | the process's engine, so that a shutdown of the other does not end the cleanup |
    /// | is driven, or manual | it: its shutdown ends the cleanup too, with [`EngineStopped`](crate::EngineStopped) as cause. A further call gives one that has the rest, by the process's engine |
    /// | any, where the timer thread cannot be started | nobody: the context has no deadline, and is done when one that [waits](Self::wait) has seen the limit's end |
    ///
    /// ```
    /// use ripcord::{Context, Shutdown};
    /// use std::time::Duration;
    ///
    /// let shutdown = Shutdown::builder()
    ///     .cleanup(Duration::from_secs(60))
    ///     .build(&Context::background());
    /// let (ctx, _work) = shutdown.register("upload").unwrap();
    /// shutdown.stop_now();
    /// assert!(ctx.is_done());
    ///
    /// let (rollback, _guard) = shutdown.cleanup(&ctx);
    /// assert!(!rollback.is_done());
    /// assert!(rollback.remaining().unwrap() <= Duration::from_secs(60));
    /// ```
    pub fn cleanup(&self, ctx: &Context) -> (Context, CancelGuard) {
        self.inner.cleanup(ctx)
    }

    /// Begins the soft phase, and returns when all who accept have been told; the cause is [`ShutdownCause::Requested`].
    /// `false`: it had begun.
    ///
    /// May block: a short lock. Wakers run in this call, under no lock. Starts the process's timer thread and a callback
    /// thread if they are not there, for the end of the grace; with a zero grace it begins the hard phase itself.
    pub fn stop(&self) -> bool {
        self.stop_with(ShutdownCause::Requested)
    }

    /// As [`stop`](Self::stop), and says why.
    pub fn stop_with(&self, cause: impl Into<Cause>) -> bool {
        self.inner.begin_soft(cause.into())
    }

    /// Begins the hard phase, and the soft one if that has not begun; returns when all work that is left has been told to
    /// end, and after it those who accept; the cause is [`ShutdownCause::Hastened`]. `false`: the hard phase had begun. May
    /// block, and wakes, as [`stop`](Self::stop).
    pub fn stop_now(&self) -> bool {
        self.stop_now_with(ShutdownCause::Hastened)
    }

    /// As [`stop_now`](Self::stop_now), and says why.
    pub fn stop_now_with(&self, cause: impl Into<Cause>) -> bool {
        self.inner.stop_now(cause.into())
    }

    /// The work that is registered, the oldest first. May block: a short lock, a step for each. Allocates the list.
    #[must_use]
    pub fn registered(&self) -> Vec<Late> {
        self.inner.registered()
    }

    /// Blocks until stopping has begun, and then until all work has ended, or the limits are over; says how it went. Any
    /// number of threads may wait, before or after.
    ///
    /// Begins the hard phase at the end of the grace, and wakes then as [`stop`](Self::stop). Allocates the report. A manual clock
    /// somebody else has to move; an engine that is driven need not be turned. In the child of a fork it keeps the limits.
    pub fn wait(&self) -> ShutdownReport {
        self.inner.stops().wait();
        self.inner.soft_ends().wait();
        self.inner.hard_ends().wait();
        self.inner.report()
    }

    /// As [`wait`](Self::wait), for tasks: on any runtime; the limits need the engine's timer thread, or turns. The future is
    /// `'static`; dropping it stops waiting and nothing else. Where
    /// the timer thread cannot be started, it wakes itself to look at the clock, again and again: a thread of its executor is busy
    /// with it, and runs its other tasks in between.
    ///
    /// ```
    /// use ripcord::{Context, Shutdown};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let shutdown = Shutdown::builder().build(&Context::background());
    /// let waiting = tokio::spawn(shutdown.wait_async());
    /// let (_ctx, work) = shutdown.register("request").unwrap();
    /// shutdown.stop();
    /// drop(work);
    /// assert!(waiting.await.unwrap().late.is_empty());
    /// # });
    /// ```
    pub fn wait_async(&self) -> impl Future<Output = ShutdownReport> + Send + use<> {
        let inner = Arc::clone(&self.inner);
        async move {
            inner.stops().done().await;
            inner.soft_ends().over().await;
            inner.hard_ends().over().await;
            inner.report()
        }
    }
}

impl Work {
    /// What it is registered as. Wait-free; allocates nothing.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.guard.cancel();
        self.inner.leave(self.serial, &self.name);
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("accepting", &!self.inner.accepting.is_done())
            .field("working", &!self.inner.working.is_done())
            .field("registered", &self.registered())
            .finish()
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Work").field(&self.name).finish()
    }
}
