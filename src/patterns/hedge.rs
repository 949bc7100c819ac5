//! Several attempts at the same thing, of which the first that succeeds is taken.
//!
//! The first attempt begins at once; each further one when those before it have taken longer than the delay, or have failed. The
//! first success cancels the others. For calls whose slowest are much slower than most: the price is a little more load, and none
//! where the first answers within the delay. What is attempted must bear being done twice.
//!
//! As "hedged requests" of J. Dean and L. A. Barroso, The Tail at Scale, CACM 56(2), 2013.
//!
//! ```
//! use ripcord::{Context, Error, hedge};
//! use std::time::Duration;
//!
//! let replicas = ["hangs", "answers"];
//! let answer = hedge::blocking(&Context::background(), 2, Duration::from_millis(1), move |index, ctx| {
//!     match replicas[index] {
//!         "hangs" => Err(ctx.wait()),
//!         answer => Ok(answer),
//!     }
//! });
//! assert_eq!(answer.unwrap(), "answers");
//! ```

use crate::context::Context;
use crate::error::Error;
use crate::patterns::channel::{self, RecvError};
use crate::patterns::limit::Limit;
use crate::patterns::panicked::{Panicked, catch};
use crate::sync::contain;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use std::{io, mem, thread};

/// Runs up to `attempts` of `work`, each on a thread of its own and given its index and a context, which is done when another has
/// succeeded, or the caller's context is done.
///
/// Blocks until one has succeeded, all have failed, or the context is done; those that lost are told and not waited for. `delay`
/// counts on the clock of the context's engine: one that is driven or manual somebody else has to turn or move. Starts a thread an
/// attempt; allocates. A panic in `work` is a failed attempt.
///
/// # Errors
///
/// [`HedgeError`], with all failures there were.
pub fn blocking<T, E>(
    ctx: &Context,
    attempts: usize,
    delay: Duration,
    work: impl Fn(usize, &Context) -> Result<T, E> + Send + Sync + 'static,
) -> Result<T, HedgeError<E>>
where
    T: Send + 'static,
    E: Send + 'static,
{
    let mut failed = Failed::of(attempts)?;
    let (running, _guard) = ctx.with_cancel();
    let (answers, queue) = channel::unbounded();
    let results = Results(Some(queue));
    let work = Arc::new(work);
    for index in 0..attempts {
        if let Some(error) = ctx.err() {
            return Err(failed.ended(error));
        }
        let attempt = {
            let (running, answers, work) = (running.clone(), answers.clone(), Arc::clone(&work));
            move || {
                let result = attempted(catch(|| work(index, &running)));
                // Its captures go before it is said that it has ended.
                drop((work, running));
                // Nobody waits any more, where another has won.
                let _ = answers.try_send(result);
            }
        };
        let builder = thread::Builder::new().name("ripcord-hedge".to_owned());
        if let Err(error) = builder.spawn(attempt) {
            failed.push(AttemptError::Thread(error));
            continue;
        }
        let begun = index + 1;
        if begun == attempts {
            break;
        }
        let mut pause = Limit::new(ctx, delay);
        while failed.count() < begun {
            match results.recv(pause.end()) {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => failed.push(error),
                Err(RecvError::Done(_)) if pause.goes_on() => {}
                // Passed, and the context is live: the next may begin.
                Err(RecvError::Done(_)) if !ctx.is_done() => break,
                Err(_) => return Err(failed.ended(ctx.err().unwrap_or(Error::Canceled))),
            }
        }
    }
    // From here on the attempts alone hold the sending side: where all have gone, none is waited for.
    drop(answers);
    wait_for_rest(ctx, attempts, failed, &results)
}

/// No further attempt begins; those that run may still succeed.
fn wait_for_rest<T, E>(
    ctx: &Context,
    attempts: usize,
    mut failed: Failed<E>,
    results: &Results<T, E>,
) -> Result<T, HedgeError<E>> {
    while failed.count() < attempts {
        match results.recv(ctx) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => failed.push(error),
            Err(RecvError::Done(error)) => return Err(failed.ended(error)),
            Err(_) => break,
        }
    }
    Err(failed.all())
}

/// What the attempts gave. What nobody takes is a loser's: the answer is there, whatever the drop of that does.
struct Results<T, E>(Option<channel::Receiver<Result<T, AttemptError<E>>>>);

impl<T, E> Results<T, E> {
    fn recv(&self, ctx: &Context) -> Result<Result<T, AttemptError<E>>, RecvError> {
        self.0
            .as_ref()
            .map_or(Err(RecvError::Disconnected), |queue| queue.recv(ctx))
    }
}

impl<T, E> Drop for Results<T, E> {
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else {
            return;
        };
        for lost in queue.drain() {
            contain(|| drop(lost));
        }
        // With what has come since.
        contain(|| drop(queue));
    }
}

/// As [`blocking`], of futures, on any runtime: all attempts are polled by the task that awaits this one, and those that lost are
/// dropped before it is ready. `work` is given the index and a context.
///
/// Dropped before it is ready, it drops all attempts, and cancels their contexts. It owns a handle, so it is `'static` where `work` and
/// its futures are. Lock-free but for what the futures do; allocates
/// for each attempt.
///
/// # Errors
///
/// [`HedgeError`], with all failures there were.
///
/// ```
/// use ripcord::{Context, hedge};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ctx = Context::background();
/// let answer = hedge::run(&ctx, 3, Duration::from_millis(1), |index, ctx| async move {
///     match index {
///         0 => Err(std::io::Error::from(ctx.done().await)), // it hangs
///         1 => Err(std::io::Error::other("refused")),
///         _ => Ok("answer"),
///     }
/// });
/// assert_eq!(answer.await.unwrap(), "answer");
/// # });
/// ```
pub fn run<T, E, F, W>(
    ctx: &Context,
    attempts: usize,
    delay: Duration,
    mut work: W,
) -> impl Future<Output = Result<T, HedgeError<E>>> + use<T, E, F, W>
where
    F: Future<Output = Result<T, E>>,
    W: FnMut(usize, Context) -> F,
{
    let ctx = ctx.clone();
    async move {
        let mut failed = Failed::of(attempts)?;
        let (attempt_ctx, _guard) = ctx.with_cancel();
        let mut running: Vec<Pin<Box<F>>> = Vec::new();
        let mut begun = 0;
        let pausing = || {
            let mut limit = Limit::new(&ctx, delay);
            async move { limit.over().await }
        };
        // None yet: the first attempt begins at once.
        let mut pause = pin!(false.then(pausing));
        let racing = poll_fn(|cx| {
            loop {
                if let Some(value) = poll_all(&mut running, &mut failed, cx) {
                    return Poll::Ready(Some(value));
                }
                if failed.count() == attempts {
                    return Poll::Ready(None);
                }
                if begun == attempts {
                    return Poll::Pending;
                }
                if failed.count() < begun
                    && let Some(waiting) = pause.as_mut().as_pin_mut()
                {
                    if waiting.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    // What has passed is not polled again.
                    pause.set(None);
                }
                // It may have been done since the `run` below looked, which is woken and says so.
                if ctx.is_done() {
                    return Poll::Pending;
                }
                match catch(|| Box::pin(work(begun, attempt_ctx.clone()))) {
                    Ok(attempt) => running.push(attempt),
                    Err(panicked) => failed.push(AttemptError::Panicked(panicked)),
                }
                begun += 1;
                pause.set(Some(pausing()));
            }
        });
        let raced = ctx.run(racing).await;
        for lost in running {
            // The answer is there, whatever the drop of a loser does.
            contain(|| drop(lost));
        }
        match raced {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(failed.all()),
            Err(error) => Err(failed.ended(error)),
        }
    }
}

/// Polls each once, and takes out what has failed.
fn poll_all<T, E, F: Future<Output = Result<T, E>>>(
    running: &mut Vec<Pin<Box<F>>>,
    failed: &mut Failed<E>,
    cx: &mut TaskContext<'_>,
) -> Option<T> {
    let mut index = 0;
    while let Some(attempt) = running.get_mut(index) {
        let result = match catch(|| attempt.as_mut().poll(cx)) {
            Ok(Poll::Pending) => {
                index += 1;
                continue;
            }
            Ok(Poll::Ready(result)) => attempted(Ok(result)),
            Err(panicked) => attempted(Err(panicked)),
        };
        let ended = running.swap_remove(index);
        let dropped = catch(|| drop(ended)).map_err(AttemptError::Panicked);
        match dropped.and(result) {
            Ok(value) => return Some(value),
            Err(error) => failed.push(error),
        }
    }
    None
}

fn attempted<T, E>(result: Result<Result<T, E>, Panicked>) -> Result<T, AttemptError<E>> {
    match result {
        Ok(result) => result.map_err(AttemptError::Failed),
        Err(panicked) => Err(AttemptError::Panicked(panicked)),
    }
}

struct Failed<E> {
    errors: Vec<AttemptError<E>>,
}

impl<E> Failed<E> {
    fn of(attempts: usize) -> Result<Self, HedgeError<E>> {
        if attempts == 0 {
            return Err(HedgeError::NoAttempts);
        }
        Ok(Self { errors: Vec::new() })
    }

    fn count(&self) -> usize {
        self.errors.len()
    }

    fn push(&mut self, error: AttemptError<E>) {
        self.errors.push(error);
    }

    fn all(mut self) -> HedgeError<E> {
        HedgeError::Failed(mem::take(&mut self.errors))
    }

    fn ended(mut self, error: Error) -> HedgeError<E> {
        HedgeError::Done {
            error,
            failed: mem::take(&mut self.errors),
        }
    }
}

/// Not given back: there is an answer, whatever the drop of a failure does.
impl<E> Drop for Failed<E> {
    fn drop(&mut self) {
        for error in self.errors.drain(..) {
            contain(|| drop(error));
        }
    }
}

/// Why no attempt succeeded.
#[derive(Debug)]
#[non_exhaustive]
pub enum HedgeError<E> {
    /// There were to be zero attempts. Allow one at least.
    NoAttempts,
    /// All attempts failed: their errors, in the order in which they came.
    Failed(Vec<AttemptError<E>>),
    /// The caller's context was done first.
    Done {
        /// How it ended.
        error: Error,
        /// Of the attempts that had failed by then, the errors.
        failed: Vec<AttemptError<E>>,
    },
}

/// How one attempt failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttemptError<E> {
    /// It gave back this error.
    Failed(E),
    /// It panicked.
    Panicked(Panicked),
    /// No thread could be started for it.
    Thread(io::Error),
}

impl<E: fmt::Display> fmt::Display for AttemptError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => fmt::Display::fmt(error, f),
            Self::Panicked(panicked) => fmt::Display::fmt(panicked, f),
            Self::Thread(error) => write!(f, "no thread could be started: {error}"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for HedgeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = match self {
            Self::NoAttempts => return f.write_str("of zero attempts none can succeed"),
            Self::Failed(failed) => {
                write!(f, "all {} attempts failed", failed.len())?;
                failed
            }
            Self::Done { error, failed } => {
                write!(f, "{error}")?;
                failed
            }
        };
        for (index, error) in failed.iter().enumerate() {
            write!(f, "{} {error}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl<E: std::error::Error + 'static> std::error::Error for AttemptError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Panicked(panicked) => Some(panicked),
            Self::Thread(error) => Some(error),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for HedgeError<E> {
    /// The last failure; of a context that was done, how it ended.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoAttempts => None,
            Self::Failed(failed) => Some(failed.last()?),
            Self::Done { error, .. } => Some(error),
        }
    }
}
