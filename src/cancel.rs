//! Who may cancel: the guard that does when it is dropped, and the handle that does not.

use crate::cause::Cause;
use crate::monitor;
use crate::raw::handle::Handle;
use crate::raw::waits;
use std::fmt;

/// Cancels its context when it is dropped.
///
/// All cancelling is idempotent: the first wins, later ones change nothing. A guard may outlive the context it came
/// with; it keeps the node, as any handle does.
///
/// When `cancel` returns, everything derived from the context before, by whatever thread, is done, and all who wait on
/// any of it have been told. Wakers run inside the call, a panic in one contained.
///
/// ```
/// use ripcord::{Context, Error};
///
/// let (ctx, guard) = Context::background().with_cancel();
/// let handle = guard.disarm(); // from here on only the handle cancels
/// assert!(!ctx.is_done());
/// handle.cancel();
/// handle.cancel_with(std::fmt::Error); // too late
/// assert_eq!(ctx.cause().unwrap().downcast_ref(), Some(&Error::Canceled));
/// ```
#[must_use = "dropping the guard cancels its context; bind it to a name, or `disarm` it"]
pub struct CancelGuard {
    node: Handle,
}

/// Cancels its context when told to, and not when it is dropped. A clone is another handle on the same context: wait-free,
/// one atomic operation; it allocates nothing.
#[derive(Clone)]
pub struct CancelHandle {
    node: Handle,
}

impl CancelGuard {
    pub(crate) const fn new(node: Handle) -> Self {
        Self { node }
    }

    /// Cancels the context and everything derived from it, and tells all who wait on any of it, before it returns. Lock-free
    /// up to the wakers it calls and the channels it disconnects ([`done_channel`](crate::Context::done_channel)); one step a
    /// context, and a system call for each on which threads are blocked.
    /// Allocates only where merged contexts hang below: a word for each link it is behind at a time.
    pub fn cancel(&self) {
        cancel(&self.node);
    }

    /// As [`cancel`](Self::cancel), and says why. A cause that comes too late is dropped when all is told,
    /// or with the context.
    ///
    /// It is [`cause`](crate::Context::cause) that answers with it; [`err`](crate::Context::err) says
    /// [`Canceled`](crate::Error::Canceled), whatever the cause, an [`Error::DeadlineExceeded`](crate::Error) too.
    ///
    /// Any error is a cause; for a `&str` or a `String` there is [`Cause::msg`]. Making one allocates, unless it is an
    /// [`Error`](crate::Error); it can be built once, and a clone given.
    ///
    /// ```
    /// use ripcord::{Cause, Context};
    ///
    /// let draining = Cause::msg("draining"); // once
    /// for _ in 0..3 {
    ///     let (connection, guard) = Context::background().with_cancel();
    ///     guard.cancel_with(draining.clone());
    ///     assert_eq!(connection.cause().unwrap().to_string(), "draining");
    /// }
    /// ```
    pub fn cancel_with(&self, cause: impl Into<Cause>) {
        cancel_with(&self.node, Some(cause.into()));
    }

    /// Another handle that cancels the same context. Wait-free; allocates nothing.
    #[must_use]
    pub fn handle(&self) -> CancelHandle {
        CancelHandle {
            node: self.node.clone(),
        }
    }

    /// Gives up cancelling on drop. Wait-free; allocates nothing.
    pub fn disarm(mut self) -> CancelHandle {
        CancelHandle {
            node: std::mem::replace(&mut self.node, Handle::BACKGROUND),
        }
    }
}

impl Drop for CancelGuard {
    /// As [`cancel`](Self::cancel); where nothing was derived from the context and nobody waits on it, one atomic operation.
    #[inline]
    fn drop(&mut self) {
        if monitor::is_off() && self.node.end_and_release() {
            return;
        }
        cancel(&self.node);
    }
}

impl CancelHandle {
    /// As [`CancelGuard::cancel`].
    pub fn cancel(&self) {
        cancel(&self.node);
    }

    /// As [`CancelGuard::cancel_with`].
    pub fn cancel_with(&self, cause: impl Into<Cause>) {
        cancel_with(&self.node, Some(cause.into()));
    }
}

#[inline]
pub(crate) fn cancel(node: &Handle) {
    match node.end_untold() {
        Some(ended) => monitor::canceled(node, usize::from(ended)),
        None => cancel_with(node, None),
    }
}

pub(crate) fn cancel_with(node: &Handle, cause: Option<Cause>) {
    let ended = node.cancel(cause);
    monitor::canceled(node, ended.contexts);
    waits::tell(ended);
}

impl fmt::Debug for CancelGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelGuard")
            .field(&format_args!("{}", self.node.view()))
            .finish()
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelHandle")
            .field(&format_args!("{}", self.node.view()))
            .finish()
    }
}
