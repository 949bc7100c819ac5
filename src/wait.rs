//! How a context is waited for: by tasks, by threads, in crossbeam's `select!`, and by functions to be run.

use crate::after_func::AfterFunc;
use crate::context::Context;
use crate::done::Done;
use crate::error::Error;
use crate::run::Run;
use crate::sleep::Sleep;
use crossbeam_channel::Receiver;
use std::convert::Infallible;
use std::time::Duration;

impl Context {
    /// A future that is ready, with the error, when the context is done. It keeps the context; it needs no runtime.
    ///
    /// Lock-free; allocates where [`with_cancel`](Self::with_cancel) does. See [`Done`].
    ///
    /// ```
    /// use ripcord::{Context, Error};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (ctx, guard) = Context::background().with_cancel();
    /// let task = tokio::spawn(ctx.done());
    /// guard.cancel();
    /// assert_eq!(task.await.unwrap(), Error::Canceled);
    /// # });
    /// ```
    pub fn done(&self) -> Done {
        Done::new(self.node())
    }

    /// Blocks the thread until the context is done. On one that can never be done it blocks for ever. Allocates nothing.
    ///
    /// On an engine that is driven or manual, somebody else has to turn it or move it. Where a thread is to go on after a
    /// time whatever happens, see [`wait_timeout`](Self::wait_timeout).
    ///
    /// ```
    /// use ripcord::{Context, Error};
    /// use std::time::Duration;
    ///
    /// let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(1));
    /// assert_eq!(ctx.wait(), Error::DeadlineExceeded);
    /// ```
    pub fn wait(&self) -> Error {
        self.node().wait()
    }

    /// A channel that never carries anything and is disconnected when the context is done: for crossbeam's `select!`.
    /// Of a context that can never be done, a channel that never is.
    ///
    /// The receiver keeps no context: where the last handle of it goes, the channel goes with the node, and is
    /// disconnected too. One a context, made on the first call, which allocates; a clone after, which does not. Both are
    /// lock-free. Telling it is what crossbeam's channel does on disconnection, and may block inside that crate.
    ///
    /// ```
    /// use crossbeam_channel::{select, unbounded};
    /// use ripcord::Context;
    ///
    /// let (ctx, guard) = Context::background().with_cancel();
    /// let (_jobs, queue) = unbounded::<u32>();
    /// guard.cancel();
    /// select! {
    ///     recv(ctx.done_channel()) -> _ => {}
    ///     recv(queue) -> _ => unreachable!("no job was sent"),
    /// }
    /// ```
    #[must_use]
    pub fn done_channel(&self) -> Receiver<Infallible> {
        match self.node().channel() {
            Some(channel) => channel.receiver().clone(),
            None => crossbeam_channel::never(),
        }
    }

    /// Runs a future under the context: ready with its output, or, when the context is done first, with the error. The
    /// future is dropped before the error is returned.
    ///
    /// The context is looked at before every poll of the future: under one that is done it is never polled. It owns a
    /// handle, so it is `'static` where `F` is. Lock-free; allocates where [`with_cancel`](Self::with_cancel) does.
    ///
    /// ```
    /// use ripcord::{Context, Error};
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(5));
    /// assert_eq!(ctx.run(async { 7 }).await, Ok(7));
    /// let never = std::future::pending::<()>();
    /// assert_eq!(ctx.run(never).await, Err(Error::DeadlineExceeded));
    /// # });
    /// ```
    pub fn run<F: Future>(&self, future: F) -> Run<F> {
        Run::new(self.done(), future)
    }

    /// A future that is ready when `d` has passed, counted from this call on the clock of the context's engine; or, with
    /// the error, when the context is done. It needs no runtime.
    ///
    /// The context's own end comes first where both are due: as in [`wait_timeout`](Self::wait_timeout), a poll may have
    /// to fire it. When its engine is shut down, or was, it is ready at once, with [`Error::Canceled`]. Lock-free, but
    /// for the start of the timer thread by the first; allocates where the pool of nodes is empty.
    ///
    /// ```
    /// use ripcord::{Context, Engine};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let (engine, clock) = Engine::builder().manual_clock()?;
    /// let nap = tokio::spawn(engine.background().sleep(Duration::from_secs(60)));
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(nap.await?, Ok(()));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn sleep(&self, d: Duration) -> Sleep {
        Sleep::new(self.node(), d)
    }

    /// Blocks the thread until the context is done, or until `d` has passed: then `None`, unless it is done just then.
    /// Counted from the call on the clock of the context's engine: a driven one need not be turned for it, a manual one is
    /// to be moved, also after its shutdown.
    ///
    /// Where a deadline of the context's is due by then and its timer thread has not come to it, this call fires it: it
    /// runs the wakers of what ends with it, their panics contained. Allocates in that case where
    /// contexts were merged, for the search; and by a manual clock where the pool of nodes is empty. Else nothing.
    ///
    /// ```
    /// use ripcord::{Context, Error};
    /// use std::time::Duration;
    ///
    /// let (ctx, guard) = Context::background().with_cancel();
    /// assert_eq!(ctx.wait_timeout(Duration::from_millis(1)), None);
    /// guard.cancel();
    /// assert_eq!(ctx.wait_timeout(Duration::MAX), Some(Error::Canceled));
    /// ```
    pub fn wait_timeout(&self, d: Duration) -> Option<Error> {
        self.node().wait_for(d)
    }

    /// Blocks the thread for `d`, or until the context is done. Counted as in [`wait_timeout`](Self::wait_timeout), and
    /// allocates and wakes as that does.
    ///
    /// # Errors
    ///
    /// How the context ended, where it did.
    pub fn blocking_sleep(&self, d: Duration) -> Result<(), Error> {
        self.wait_timeout(d).map_or(Ok(()), Err)
    }

    /// Has `f` run once when the context is done, on another thread; it is never run inside `cancel`, which hands it over
    /// without waiting. On a context that is done it is handed over at once; on one that can never be done it is dropped
    /// at once.
    ///
    /// The registration keeps its node until `f` has run or was stopped, and its values not; dropping the [`AfterFunc`]
    /// leaves it. A panic in `f` is contained.
    ///
    /// `f` may block: up to 500 do at a time before others wait. A thread is started for it where none is free, and ends
    /// when it has had nothing to run for 2 s; where none can be started it waits until one can. A child after `fork`
    /// without `exec` lacks these threads, and runs none.
    ///
    /// Lock-free, but for the start of a thread by the first; allocates for `f`, when it is handed over, and where the
    /// pool of nodes is empty. If that thread cannot be started, what is handed over waits for the next `after_func`,
    /// which tries again.
    ///
    /// ```
    /// use ripcord::Context;
    /// use std::sync::mpsc;
    ///
    /// let (ctx, guard) = Context::background().with_cancel();
    /// let (sender, receiver) = mpsc::channel();
    /// let rollback = ctx.after_func(move || sender.send("rolled back").unwrap());
    /// guard.cancel();
    /// assert_eq!(receiver.recv(), Ok("rolled back"));
    /// assert!(!rollback.stop());
    /// ```
    pub fn after_func(&self, f: impl FnOnce() + Send + 'static) -> AfterFunc {
        AfterFunc::new(self.node(), Box::new(f))
    }
}
