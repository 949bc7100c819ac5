//! Work that succeeds or fails as a whole.
//!
//! Owns nothing that waits: what is running holds a share of a guard, whose last drop ends a context of the group's own, and to
//! join is to wait for that.

mod errors;

pub use errors::{GroupError, SpawnError};

use crate::cancel::{CancelGuard, CancelHandle};
use crate::cause::Cause;
use crate::context::Context;
use crate::error::Error;
use crate::patterns::channel::{self, Receiver, Sender};
use crate::patterns::panicked::{Panicked, catch};
use crate::run::Run;
use crate::sync::contain;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::thread;

/// Fallible work under one context, on threads and as futures: the first that fails cancels the rest, with its error as cause, and
/// [`join`](Self::join) says which it was when all have ended.
///
/// A panic is a failure. So is a future that was given to the group and dropped before it had ended, as a runtime does that shuts
/// down. Dropping the group cancels what is running and waits for nobody.
///
/// As Go's `errgroup` (golang.org/x/sync), with the error as the cause of the cancel.
///
/// ```
/// use ripcord::{Context, Group, GroupError};
/// use std::io;
///
/// let group = Group::new(&Context::background());
/// let work = group.context().clone();
/// group.spawn(|ctx| Err::<(), _>(ctx.wait()))?; // until it is told to stop
/// group.spawn(|_| Err(io::Error::other("disk full")))?;
///
/// let Err(GroupError::Failed(cause)) = group.join() else { unreachable!("one fails") };
/// assert_eq!(cause.to_string(), "disk full");
/// assert_eq!(work.cause().unwrap().to_string(), "disk full");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the group cancels its work"]
pub struct Group {
    ctx: Context,
    _guard: CancelGuard,
    outcome: Arc<Outcome>,
    /// Shared by all that runs, and by the group while more may come.
    running: Arc<CancelGuard>,
    /// Done when the last share of `running` is gone.
    ended: Context,
    slots: Option<(Sender<()>, Receiver<()>)>,
}

/// Of a whole system: `PID_MAX_LIMIT` of Linux. Places for more would never be taken.
const MOST_THREADS: usize = 1 << 22;

struct Outcome {
    first: OnceLock<GroupError>,
    ctx: Context,
    cancel: CancelHandle,
}

impl Group {
    /// A group under a context, for any number of threads at a time. Lock-free; allocates.
    pub fn new(parent: &Context) -> Self {
        Self::with_slots(parent, None)
    }

    /// A group that runs at most so many threads at a time; the next [`spawn`](Self::spawn) waits for one to end. Futures are not
    /// counted. Allocates a place for each; more than 2^22, the most that Linux has, are no limit.
    ///
    /// # Errors
    ///
    /// [`SpawnError::NoThreads`] for zero, which would never run anything.
    ///
    /// ```
    /// use ripcord::{Context, Group, SpawnError};
    ///
    /// assert!(matches!(Group::with_limit(&Context::background(), 0), Err(SpawnError::NoThreads)));
    /// ```
    pub fn with_limit(parent: &Context, threads: usize) -> Result<Self, SpawnError> {
        if threads == 0 {
            return Err(SpawnError::NoThreads);
        }
        let slots = (threads <= MOST_THREADS).then(|| channel::bounded(threads));
        Ok(Self::with_slots(parent, slots))
    }

    fn with_slots(parent: &Context, slots: Option<(Sender<()>, Receiver<()>)>) -> Self {
        let (ctx, guard) = parent.with_cancel();
        let (ended, running) = Context::background().with_cancel();
        let outcome = Outcome {
            first: OnceLock::new(),
            ctx: ctx.clone(),
            cancel: guard.handle(),
        };
        Self {
            ctx,
            _guard: guard,
            outcome: Arc::new(outcome),
            running: Arc::new(running),
            ended,
            slots,
        }
    }

    /// What the work runs under: done with the parent, with the first failure, or with the group.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.ctx
    }

    /// Cancels the work. What is then given back as [`Error`] is the group's failure, with that cause.
    pub fn cancel_with(&self, cause: impl Into<Cause>) {
        self.outcome.cancel.cancel_with(cause);
    }

    /// Runs `work` on a thread of its own, and gives it the group's context to look at. A panic in it is a failure.
    ///
    /// Starts a thread; allocates. In a group with a limit it may block, until a thread of the group has ended or the context is
    /// done.
    ///
    /// # Errors
    ///
    /// And `work` is dropped, and is no failure of the group: [`SpawnError::Done`] where the group's context is done;
    /// [`SpawnError::Thread`] where no thread can be started.
    pub fn spawn<E: Into<Cause>>(
        &self,
        work: impl FnOnce(&Context) -> Result<(), E> + Send + 'static,
    ) -> Result<(), SpawnError> {
        let slot = match &self.slots {
            None => None,
            Some((taken, free)) => {
                if let Err(refused) = taken.send(&self.ctx, ()) {
                    let error = refused.ended().unwrap_or(Error::Canceled);
                    return Err(SpawnError::Done(error));
                }
                Some(Slot(free.clone()))
            }
        };
        // After the wait: the place may have come free because the context is done.
        self.ctx.check().map_err(SpawnError::Done)?;
        let mut member = self.member(slot);
        let started = thread::Builder::new().name("ripcord-group".to_owned());
        let started = started.spawn(move || {
            member.unfinished = true;
            let result = catch(|| work(&member.outcome.ctx).map_err(Into::into));
            member.end(result);
        });
        started.map(drop).map_err(SpawnError::Thread)
    }

    /// Makes a future part of the group: what it gives back is to be spawned, or awaited, by any runtime, and is ready when the
    /// future has ended. A panic in it is a failure.
    ///
    /// When the group's context is done, the future is dropped where it stands, as by [`Context::run`]. Lock-free; allocates where
    /// that does.
    ///
    /// ```
    /// use ripcord::{Context, Group};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let group = Group::new(&Context::background());
    /// for n in 0..3 {
    ///     tokio::spawn(group.run(async move {
    ///         (n < 2).then_some(()).ok_or_else(|| std::io::Error::other("no third"))
    ///     }));
    /// }
    /// assert_eq!(group.join_async().await.unwrap_err().to_string(), "no third");
    /// # });
    /// ```
    pub fn run<F, E>(&self, future: F) -> GroupRun<F>
    where
        F: Future<Output = Result<(), E>>,
        E: Into<Cause>,
    {
        let mut member = self.member(None);
        member.unfinished = true;
        GroupRun {
            run: Some(self.ctx.run(future)),
            member: Some(member),
        }
    }

    /// Blocks until all that was given to the group has ended, and then ends its context. Work that does not look at its context is
    /// waited for: where that may be for ever, see [`join_until`](Self::join_until).
    ///
    /// # Errors
    ///
    /// The first failure. What failed after it, and because of it, is not kept.
    pub fn join(self) -> Result<(), GroupError> {
        drop(self.running);
        self.ended.wait();
        self.outcome.result()
    }

    /// As [`join`](Self::join), until `limit` is done: what is still running then is cancelled, and not waited for. In async code,
    /// `limit.run(group.join_async())` does so.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join); and [`GroupError::Late`], where nothing had failed before.
    ///
    /// ```
    /// use ripcord::{Context, Error, Group, GroupError};
    /// use std::time::Duration;
    ///
    /// let group = Group::new(&Context::background());
    /// let (_never, nothing) = std::sync::mpsc::channel::<()>();
    /// group.spawn(move |_| nothing.recv().or(Ok::<_, Error>(())))?; // it looks at no context
    /// let (limit, _guard) = Context::background().with_timeout(Duration::from_millis(1));
    /// assert!(matches!(group.join_until(&limit), Err(GroupError::Late { running: 1 })));
    /// # Ok::<_, ripcord::SpawnError>(())
    /// ```
    pub fn join_until(self, limit: &Context) -> Result<(), GroupError> {
        let running = Arc::downgrade(&self.running);
        drop(self.running);
        let (either, _guard) = Context::merge([&self.ended, limit]);
        either.wait();
        match running.strong_count() {
            0 => self.outcome.result(),
            running => {
                self.outcome.fail(GroupError::Late { running });
                self.outcome.result()
            }
        }
    }

    /// As [`join`](Self::join), awaited: on any runtime. Dropped before it is ready, it cancels what is running.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub async fn join_async(self) -> Result<(), GroupError> {
        drop(self.running);
        self.ended.done().await;
        self.outcome.result()
    }

    fn member(&self, slot: Option<Slot>) -> Member {
        Member {
            outcome: Arc::clone(&self.outcome),
            unfinished: false,
            _slot: slot,
            _running: Arc::clone(&self.running),
        }
    }
}

impl Outcome {
    fn result(&self) -> Result<(), GroupError> {
        self.first.get().map_or(Ok(()), |first| Err(first.clone()))
    }

    /// Keeps the first failure, and cancels the rest.
    fn fail(&self, failure: GroupError) {
        // Of work that only says that its context was done, the reason for that is wanted.
        let failure = match failure {
            GroupError::Failed(cause) if cause.downcast_ref::<Error>().is_some() => {
                GroupError::Failed(self.ctx.cause().unwrap_or(cause))
            }
            other => other,
        };
        let cause = failure.cause();
        match self.first.set(failure) {
            Ok(()) => {
                self.cancel.cancel_with(cause);
            }
            // Not kept, so its drop is here, and that is not ours.
            Err(later) => {
                contain(|| drop((cause, later)));
            }
        }
    }
}

/// A piece of work that runs, or is about to.
struct Member {
    outcome: Arc<Outcome>,
    /// It has begun, and has not said how it ended.
    unfinished: bool,
    // Given back before those who join are told.
    _slot: Option<Slot>,
    _running: Arc<CancelGuard>,
}

impl Member {
    fn end(mut self, result: Result<Result<(), Cause>, Panicked>) {
        self.unfinished = false;
        match result {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => self.outcome.fail(GroupError::Failed(cause)),
            Err(panicked) => self.outcome.fail(GroupError::Panicked(panicked)),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.unfinished {
            self.outcome.fail(GroupError::Dropped);
        }
    }
}

/// A place among the threads of a group with a limit.
struct Slot(Receiver<()>);

impl Drop for Slot {
    fn drop(&mut self) {
        // There is one in there for each slot.
        let _ = self.0.try_recv();
    }
}

pin_project_lite::pin_project! {
    /// A future that is part of a [`Group`], ready when it has ended. From [`Group::run`].
    ///
    /// Dropped before that, it is a failure of the group: [`GroupError::Dropped`].
    #[must_use = "futures do nothing unless polled, and this one is a failure of its group when it is dropped"]
    pub struct GroupRun<F> {
        // Before the member: who joins is told when the future has been dropped.
        #[pin]
        run: Option<Run<F>>,
        member: Option<Member>,
    }
}

impl<F, E> Future for GroupRun<F>
where
    F: Future<Output = Result<(), E>>,
    E: Into<Cause>,
{
    type Output = ();

    /// Lock-free, but for what the future does. Polled again after it was ready, it is ready again.
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(run) = this.run.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        let result = match catch(|| run.poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => catch(|| match result {
                Ok(result) => result.map_err(Into::into),
                Err(error) => Err(error.into()),
            }),
            Err(panicked) => Err(panicked),
        };
        let dropped = catch(|| this.run.set(None));
        if let Some(member) = this.member.take() {
            member.end(dropped.and(result));
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("running", &(Arc::strong_count(&self.running) - 1))
            .field("first", &self.outcome.first.get())
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for GroupRun<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupRun")
            .field("ended", &self.member.is_none())
            .finish_non_exhaustive()
    }
}
