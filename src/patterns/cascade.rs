//! Stops, or whatever has an order, stage by stage: each with its own time limit, and whatever becomes of one, the next has its
//! turn.
//!
//! ```
//! use ripcord::Context;
//! use ripcord::cascade::Cascade;
//! use std::io;
//! use std::time::Duration;
//!
//! let second = Duration::from_secs(1);
//! let report = Cascade::new()
//!     .stage("accept", second, |_ctx| Ok::<_, io::Error>(()))
//!     .stage("workers", 5 * second, |_ctx| Err(io::Error::other("2 jobs were lost")))
//!     .stage("storage", second, |ctx| ctx.check()) // flush, say
//!     .run(&Context::background());
//!
//! assert_eq!(report.failed().count(), 1);
//! assert_eq!(report.to_string(), "accept: ended; workers: failed: 2 jobs were lost; storage: ended");
//! ```

use crate::patterns::limit::{Limit, held};
use crate::patterns::panicked::message;
use crate::sync::{contain, spawn};
use crate::{CancelGuard, Cause, Context};
use crossbeam_channel::{Receiver, bounded};
use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

mod report;
pub use report::{Outcome, Report, Stage};

type Body = Box<dyn FnOnce(&Context) -> Result<(), Cause> + Send>;
type Made = Pin<Box<dyn Future<Output = Result<(), Cause>> + Send>>;
type Make = Box<dyn FnOnce(Context) -> Made + Send>;

/// Stages, in the order in which they run. Allocates for each.
///
/// A stage is given a child of the caller's context with the stage's own time limit. One that is a function runs on a thread of
/// its own: where it has not returned the [`patience`](Self::patience) after its limit, it is given up, its thread left to
/// itself, and the next stage has its turn. One that is a future is dropped at its limit.
///
/// A shutdown of the context's engine, by a stage perhaps, ends the contexts of stages that run, as it ends all that have a
/// deadline; they keep their patience and what was left of their limit, and later stages their limit, by the clock of the
/// process's engine.
///
/// Under a context that is done each stage still has its turn, and finds its context done: a stop is given one that nobody ends,
/// as [`without_cancel`](Context::without_cancel) makes.
#[must_use = "stages do nothing until they are run"]
pub struct Cascade {
    stages: Vec<Planned>,
    patience: Duration,
}

struct Planned {
    name: String,
    limit: Duration,
    work: Planning,
}

enum Planning {
    Thread(Body),
    Task(Make),
}

/// A stage on its thread.
struct Running {
    name: String,
    result: Receiver<Outcome>,
    /// Its limit and the patience after it; over when it has returned.
    time: Limit,
    /// Of the context that the stage runs under.
    _limit: CancelGuard,
}

impl Cascade {
    /// One without a stage. Its patience is 1 s.
    pub const fn new() -> Self {
        Self {
            stages: Vec::new(),
            patience: Duration::from_secs(1),
        }
    }

    /// How long after its limit a stage has to return, so that one which minds its context can say how it ended.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// One stage more: a function, which may block. Its thread has the stage's name, without NUL bytes. `limit` counts from its turn, by the clock of the engine of the context
    /// that the stages are run under; zero gives it a context that is done, [`Duration::MAX`] one without a limit.
    pub fn stage<E: Into<Cause>>(
        mut self,
        name: impl Into<String>,
        limit: Duration,
        work: impl FnOnce(&Context) -> Result<(), E> + Send + 'static,
    ) -> Self {
        let body: Body = Box::new(move |ctx| work(ctx).map_err(Into::into));
        self.push(name.into(), limit, Planning::Thread(body));
        self
    }

    /// One stage more: a future, for [`run_async`](Self::run_async). Where the stages are run by [`run`](Self::run), it is
    /// polled on a thread without a runtime.
    ///
    /// ```
    /// use ripcord::cascade::{Cascade, Outcome};
    /// use ripcord::{Context, Error};
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let report = Cascade::new()
    ///     .stage_async("hangs", Duration::from_millis(1), |_ctx| async {
    ///         std::future::pending::<Result<(), Error>>().await
    ///     })
    ///     .stage_async("flush", Duration::from_secs(1), |ctx| async move { ctx.check() })
    ///     .run_async(&Context::background())
    ///     .await;
    /// assert!(matches!(&report.stages[0].outcome, Outcome::Failed(cause)
    ///     if cause.downcast_ref() == Some(&Error::DeadlineExceeded)));
    /// assert!(report.stages[1].outcome.is_ended());
    /// # });
    /// ```
    pub fn stage_async<E: Into<Cause>, F>(
        mut self,
        name: impl Into<String>,
        limit: Duration,
        work: impl FnOnce(Context) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let make = move |ctx: Context| -> Made {
            let future = work(ctx);
            Box::pin(async move { future.await.map_err(Into::into) })
        };
        self.push(name.into(), limit, Planning::Task(Box::new(make)));
        self
    }

    fn push(&mut self, name: String, limit: Duration, work: Planning) {
        self.stages.push(Planned { name, limit, work });
    }

    /// Runs the stages one after the other, whatever becomes of each. Blocks for the sum of the limits, and the patience with
    /// each, at the most. Starts a thread a stage; a panic in one is contained.
    #[must_use = "the report says which stages failed"]
    pub fn run(self, ctx: &Context) -> Report {
        self.run_while(ctx, |_| true)
    }

    /// As [`run`](Self::run), up to the first stage that does not end well, or that finds the context done: those after it
    /// have no turn. For a sequence in which each stage needs the one before.
    ///
    /// ```
    /// use ripcord::cascade::{Cascade, Outcome};
    /// use ripcord::{Context, Error};
    /// use std::time::Duration;
    ///
    /// let second = Duration::from_secs(1);
    /// let report = Cascade::new()
    ///     .stage("reserve", second, |ctx| ctx.blocking_sleep(Duration::ZERO))
    ///     .stage("charge", Duration::from_millis(1), |ctx| Err::<(), Error>(ctx.wait()))
    ///     .stage("ship", second, |_| Ok::<_, Error>(()))
    ///     .try_run(&Context::background());
    /// assert_eq!(
    ///     report.to_string(),
    ///     "reserve: ended; charge: failed: context deadline exceeded; ship: skipped"
    /// );
    /// ```
    #[must_use = "the report says which stages failed"]
    pub fn try_run(self, ctx: &Context) -> Report {
        self.run_while(ctx, |outcome| outcome.is_ended() && !ctx.is_done())
    }

    fn run_while(self, ctx: &Context, go_on: impl Fn(&Outcome) -> bool) -> Report {
        let mut report = Report::default();
        let mut goes_on = true;
        for stage in self.stages {
            let stage = if goes_on {
                let began = ctx.now();
                let mut running = stage.start(ctx, self.patience);
                running.time.wait();
                running.finish(ctx.now().saturating_duration_since(began))
            } else {
                contain(|| drop(stage.work));
                Stage::skipped(stage.name)
            };
            goes_on = goes_on && go_on(&stage.outcome);
            report.stages.push(stage);
        }
        report
    }

    /// As [`run`](Self::run), for tasks: on any runtime. A stage that is a future is polled here, one that is a function still
    /// runs on a thread. Dropping it leaves the stages out that have not begun.
    pub async fn run_async(self, ctx: &Context) -> Report {
        let mut report = Report::default();
        for Planned { name, limit, work } in self.stages {
            let began = ctx.now();
            let stage = match work {
                Planning::Task(make) => {
                    let outcome = run_task(make, ctx, limit).await;
                    Stage::new(name, outcome, ctx.now().saturating_duration_since(began))
                }
                Planning::Thread(body) => {
                    let work = Planning::Thread(body);
                    let mut running = Planned { name, limit, work }.start(ctx, self.patience);
                    running.time.over().await;
                    running.finish(ctx.now().saturating_duration_since(began))
                }
            };
            report.stages.push(stage);
        }
        report
    }
}

impl Planned {
    fn start(self, ctx: &Context, patience: Duration) -> Running {
        let Self { name, limit, work } = self;
        let (child, child_guard) = held(ctx, |ctx| ctx.with_timeout(limit));
        let (returned, has_returned) = ctx.without_cancel().with_cancel();
        let time = limit.saturating_add(patience);
        let time = Limit::new(&returned, time);
        let (sender, result) = bounded(1);
        let not_started = sender.clone();
        let on_thread = move || {
            let outcome = match work {
                Planning::Thread(body) => run_body(body, &child),
                Planning::Task(make) => block_on(run_task_under(make, child)),
            };
            // Nobody is there to take it where the stage was given up.
            let _ = sender.send(outcome);
            drop(has_returned);
        };
        if let Err(error) = spawn(&format!("ripcord-stage-{name}"), on_thread) {
            // The closure is gone, and with it the guard that says so.
            let _ = not_started.send(Outcome::Failed(error.into()));
        }
        Running {
            name,
            result,
            time,
            _limit: child_guard,
        }
    }
}

impl Running {
    fn finish(self, took: Duration) -> Stage {
        let outcome = self.result.try_recv().unwrap_or(Outcome::GivenUp);
        Stage::new(self.name, outcome, took)
    }
}

async fn run_task(make: Make, ctx: &Context, limit: Duration) -> Outcome {
    let (child, _guard) = held(ctx, |ctx| ctx.with_timeout(limit));
    run_task_under(make, child).await
}

/// The future is made and polled where a panic is contained.
async fn run_task_under(make: Make, ctx: Context) -> Outcome {
    let made = catch_unwind(AssertUnwindSafe(|| ctx.run(make(ctx.clone()))));
    let mut running = match made {
        Ok(running) => running,
        Err(payload) => return panicked(payload),
    };
    poll_fn(|task| {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut running).poll(task)));
        Poll::Ready(match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(result))) => Outcome::of(result),
            Ok(Poll::Ready(Err(error))) => Outcome::Failed(error.into()),
            Err(payload) => panicked(payload),
        })
    })
    .await
}

fn panicked(payload: Box<dyn Any + Send>) -> Outcome {
    Outcome::Panicked(message(payload, "with something that is no text"))
}

fn run_body(body: Body, ctx: &Context) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| body(ctx))) {
        Ok(result) => Outcome::of(result),
        Err(payload) => panicked(payload),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut task = Task::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut task) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Default for Cascade {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Cascade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.stages.iter().map(|stage| (&stage.name, stage.limit));
        f.debug_map().entries(stages).finish()
    }
}
