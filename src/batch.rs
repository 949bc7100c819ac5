//! Many children at once.

use crate::cancel;
use crate::cause::Cause;
use crate::context::Context;
use crate::error::Error;
use crate::monitor;
use crate::origin;
use crate::raw::batch::Untouched;
use crate::raw::handle::Handle;
use crate::raw::values::LetGo;
use crate::sync::{AtomicUsize, Ordering, contain};
use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// Many contexts under one parent, made by one registration with it and cancelled together: when the batch is told to, or
/// is dropped. A slice of contexts, which are contexts like any other. From [`Context::batch`].
///
/// For a fan-out that starts and ends as a whole: a context of a batch costs about a third of one that is made and
/// dropped by itself. Each that was only looked at goes for nothing when the batch is dropped; one that was cloned,
/// waited on or derived from is cancelled and let go as ever. The memory of all of them goes with the last.
///
/// ```
/// use ripcord::{Context, Error};
///
/// let (request, guard) = Context::background().with_cancel();
/// let shards = request.batch(3);
/// let sizes = shards.process(|index, ctx| {
///     ctx.check()?;
///     Ok::<_, Error>(index * 100)
/// });
/// assert_eq!(sizes, [Ok(0), Ok(100), Ok(200)]);
///
/// guard.cancel();
/// assert!(shards.iter().all(Context::is_done));
/// ```
#[must_use = "dropping the batch cancels its contexts"]
pub struct Batch {
    contexts: Vec<Context>,
    node: Handle,
}

impl Context {
    /// So many children at once, and what cancels all of them when it is dropped.
    ///
    /// They are done with this context, or with the batch; born done, if it is. Lock-free, one step a child; allocates the
    /// slice, and nodes where the pool has none.
    #[cfg_attr(feature = "origin", track_caller)]
    pub fn batch(&self, count: usize) -> Batch {
        let place = self.values().place();
        let mut contexts = Vec::with_capacity(count);
        let mut values = self.values().copies(count);
        let node = self.node().derive_batch(count, place, |node| {
            let values = values.next().expect("as many as are made");
            contexts.push(Self::from_parts(values, node));
        });
        origin::mark(&node);
        if cfg!(feature = "origin") || !monitor::is_off() {
            for ctx in &contexts {
                origin::mark(ctx.node());
                monitor::created(ctx.node());
            }
        }
        Batch { contexts, node }
    }
}

impl Batch {
    /// Cancels all of them, and everything derived from them. As [`CancelGuard::cancel`](crate::CancelGuard::cancel): lock-free
    /// up to the wakers it calls; allocates where that does.
    pub fn cancel(&self) {
        cancel::cancel_with(&self.node, None);
    }

    /// As [`cancel`](Self::cancel), and says why. What the cause costs: see
    /// [`CancelGuard::cancel_with`](crate::CancelGuard::cancel_with).
    pub fn cancel_with(&self, cause: impl Into<Cause>) {
        cancel::cancel_with(&self.node, Some(cause.into()));
    }

    /// Runs `work` once for each context, as many at a time as the machine has cores, and answers with what each gave, in
    /// order. `work` is given the index. What has not begun when its context is done is not begun, and gives that error.
    ///
    /// Blocks until all have ended. Starts threads, one less than there are cores; where one cannot be started it does
    /// with those there are, the calling thread at least. Allocates for the threads and the results.
    ///
    /// # Panics
    ///
    /// Where `work` does, with the first panic; after all others have ended.
    pub fn process<T, E>(
        &self,
        work: impl Fn(usize, &Context) -> Result<T, E> + Sync,
    ) -> Vec<Result<T, E>>
    where
        T: Send,
        E: From<Error> + Send,
    {
        let next = AtomicUsize::new(0);
        let take_part = || {
            let mut results = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(ctx) = self.contexts.get(index) else {
                    return results;
                };
                let result = catch_unwind(AssertUnwindSafe(|| {
                    ctx.check()?;
                    work(index, ctx)
                }));
                results.push((index, result));
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut results = thread::scope(|scope| {
            let others: Vec<_> = (1..cores.min(self.len()))
                .map_while(|_| {
                    let builder = thread::Builder::new().name("ripcord-batch".to_owned());
                    builder.spawn_scoped(scope, take_part).ok()
                })
                .collect();
            let mut results = take_part();
            for other in others {
                results.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            results
        });
        results.sort_unstable_by_key(|&(index, _)| index);
        let mut given = Vec::with_capacity(results.len());
        let mut first = None;
        for (_, result) in results {
            match result {
                Ok(result) => given.push(result),
                Err(panic) if first.is_none() => first = Some(panic),
                // Not raised, so its drop is here, and that is not ours.
                Err(later) => {
                    contain(|| drop(later));
                }
            }
        }
        if let Some(panic) = first {
            // One by one: of two that panic in one drop the second ends the process.
            for lost in given {
                contain(|| drop(lost));
            }
            resume_unwind(panic);
        }
        given
    }
}

impl Deref for Batch {
    type Target = [Context];

    fn deref(&self) -> &[Context] {
        &self.contexts
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Context;
    type IntoIter = std::slice::Iter<'a, Context>;

    fn into_iter(self) -> Self::IntoIter {
        self.contexts.iter()
    }
}

impl Drop for Batch {
    /// As [`cancel`](Self::cancel), unless nobody could tell: where all contexts were only looked at, three atomic
    /// operations for the whole.
    fn drop(&mut self) {
        let mut all_values = LetGo::new();
        let nodes = self.contexts.iter_mut().map(|ctx| {
            all_values.push(ctx.take_values());
            ctx.node_mut()
        });
        let (untouched, all) = Untouched::take(nodes);
        let unseen = all && monitor::is_off();
        if !unseen {
            self.cancel();
        }
        // Before the nodes, as of any context: the drop of a value may still look at one.
        drop(all_values);
        if unseen {
            // Nothing is left in any, and each need not be asked.
            self.contexts.drain(..).for_each(std::mem::forget);
        } else {
            self.contexts.clear();
        }
        std::mem::replace(&mut self.node, Handle::BACKGROUND).let_go_of_batch(untouched);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.contexts).finish()
    }
}
