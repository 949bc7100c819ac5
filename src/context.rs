//! The handle every layer carries: derive, look, wait.

use crate::cancel::CancelGuard;
use crate::cause::Cause;
use crate::error::Error;
use crate::monitor;
use crate::raw::handle::Handle;

/// A cheap handle on an immutable position in a tree: it says whether the work done under it is still wanted.
///
/// A method never changes the context it is called on: it derives a child. What ends a context ends everything derived
/// from it, at any depth, before the call that ended it returns.
///
/// A context may be used from any number of threads. A clone is another handle on the same position; a tree's memory
/// goes with its last handle. Dropping contexts never cancels anything: dropping a [`CancelGuard`] does.
///
/// ```
/// use ripcord::{Context, Error};
///
/// let (request, guard) = Context::background().with_cancel();
/// let (query, _query_guard) = request.with_cancel();
///
/// let worker = std::thread::spawn(move || query.wait());
/// guard.cancel();
/// assert_eq!(worker.join().unwrap(), Error::Canceled);
/// assert_eq!(request.check(), Err(Error::Canceled));
/// ```
#[derive(Clone)]
pub struct Context {
    node: Handle,
}

impl Context {
    /// The root of every tree: never done. Wait-free; allocates nothing.
    ///
    /// ```
    /// static ROOT: ripcord::Context = ripcord::Context::background();
    /// assert!(!ROOT.is_done());
    /// ```
    #[must_use]
    pub const fn background() -> Self {
        Self {
            node: Handle::BACKGROUND,
        }
    }

    /// A background that says so in [`Display`](std::fmt::Display): for code whose caller has no context to give yet.
    /// Wait-free; allocates nothing.
    #[must_use]
    pub const fn todo() -> Self {
        Self { node: Handle::TODO }
    }

    /// A child, and the guard that cancels it when it is dropped.
    ///
    /// The child of a context that is done is born done, with its error and cause. Lock-free; allocates only where the
    /// pool of nodes is empty, and once in the life of a context that many threads derive from at a time.
    ///
    /// ```
    /// use ripcord::Context;
    ///
    /// let (parent, parent_guard) = Context::background().with_cancel();
    /// let (child, child_guard) = parent.with_cancel();
    /// child_guard.cancel();
    /// assert!(child.is_done() && !parent.is_done());
    ///
    /// let (child, _guard) = parent.with_cancel();
    /// drop(parent_guard);
    /// assert!(child.is_done());
    /// ```
    ///
    /// A guard bound to `_` is dropped, and cancels, at once.
    #[inline]
    pub fn with_cancel(&self) -> (Self, CancelGuard) {
        let (node, guard) = self.node.derive();
        monitor::created();
        (Self { node }, CancelGuard::new(guard))
    }

    /// What is left when cancellation and deadline are taken away: a new tree, which nothing that ends `self` reaches.
    /// For work that outlives the request it was started by. Lock-free, a step for each level up to the background.
    ///
    /// ```
    /// use ripcord::Context;
    ///
    /// let (request, guard) = Context::background().with_cancel();
    /// let notification = request.without_cancel();
    /// guard.cancel();
    /// assert!(!notification.is_done());
    /// ```
    #[must_use]
    pub fn without_cancel(&self) -> Self {
        Self::of(self.node.engine_root())
    }

    /// A context that is done with the first of `parents` that is, with its error and cause; and the guard that cancels
    /// it by itself.
    ///
    /// A parent named twice counts once; one that can never be done counts for nothing. With no parent left it is a
    /// cancellable child of background. If a parent is done already, it is born done. Lock-free, a step for each parent
    /// (for each pair of them, up to 32); allocates beyond 32 parents, and where the pool of nodes is empty.
    ///
    /// # Panics
    ///
    /// Only if the iterator does; nothing is left behind then.
    ///
    /// ```
    /// use ripcord::{Cause, Context};
    ///
    /// let (client, client_guard) = Context::background().with_cancel();
    /// let (server, _server_guard) = Context::background().with_cancel();
    /// let (request, _guard) = Context::merge([&client, &server]);
    ///
    /// client_guard.cancel_with(Cause::msg("connection reset"));
    /// assert_eq!(request.cause().unwrap().to_string(), "connection reset");
    /// assert!(!server.is_done());
    /// ```
    pub fn merge<'a>(parents: impl IntoIterator<Item = &'a Self>) -> (Self, CancelGuard) {
        match Handle::merge(parents.into_iter().map(|parent| &parent.node)) {
            Some(node) => {
                monitor::created();
                let guard = CancelGuard::new(node.clone());
                (Self { node }, guard)
            }
            None => Self::background().with_cancel(),
        }
    }

    /// Whether it is done. Wait-free: one load, no allocation, no system call.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.node.is_done()
    }

    /// How it ended; `None` while it has not. Once set it never changes. Wait-free: one load.
    #[inline]
    #[must_use]
    pub fn err(&self) -> Option<Error> {
        self.node.err()
    }

    /// `Err` once it is done, for `?` in loops. Wait-free: one load.
    ///
    /// # Errors
    ///
    /// How it ended.
    ///
    /// ```
    /// use ripcord::{Context, Error};
    ///
    /// fn sum(ctx: &Context, numbers: &[u64]) -> Result<u64, Error> {
    ///     let mut sum = 0;
    ///     for chunk in numbers.chunks(1024) {
    ///         ctx.check()?;
    ///         sum += chunk.iter().sum::<u64>();
    ///     }
    ///     Ok(sum)
    /// }
    /// assert_eq!(sum(&Context::background(), &[1, 2, 3]), Ok(6));
    /// ```
    #[inline]
    pub fn check(&self) -> Result<(), Error> {
        self.err().map_or(Ok(()), Err)
    }

    /// Why it ended; `None` while it has not: the cause given, else the parent's where the end came from there, else the
    /// [`Error`] itself. Agrees with [`err`](Self::err) and never changes once set. Wait-free, never allocates; a step
    /// for each level up to the context that was cancelled.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.node.cause()
    }

    /// How many children, merged contexts and callbacks hang on it that are not done; 0 on a context that is done or can never be.
    ///
    /// Walks them, and while another thread takes one off answers with a count of registrations, waits among them: for
    /// tests and inspection. Lock-free.
    #[must_use]
    pub fn child_count(&self) -> usize {
        self.node.child_count()
    }

    pub(crate) const fn of(node: Handle) -> Self {
        Self { node }
    }

    pub(crate) const fn node(&self) -> &Handle {
        &self.node
    }
}

/// The background.
impl Default for Context {
    fn default() -> Self {
        Self::background()
    }
}
