//! tokio-util's [`CancellationToken`] and contexts, each from the other, without a task. Feature `tokio`.
//!
//! For code between two worlds: a library that takes a token is given one that ends with a [`Context`], and a program that
//! has a token from elsewhere derives contexts that end with it. Nothing is spawned and no runtime is needed: what ends
//! first calls a waker of ours, which ends the other, inside that same `cancel`.
//!
//! Either way costs one allocation for that waker, a waiter on the side that is watched, and tokio-util's locks; following a
//! token costs another, for the future that waits on it. The guard holds the waiter: it is gone when the guard is.
//!
//! A token's cancel runs our waker, so it runs all that a context's cancel does, and the other way round. Of what follows
//! what no circle can be made, for each is new when it starts to follow. But a chain of one behind the other behind the
//! other, thousands long, is as deep on the stack of who cancels: derive contexts from contexts, and tokens from tokens.
//!
//! [`CancellationToken`]: https://docs.rs/tokio-util/0.7/tokio_util/sync/struct.CancellationToken.html
//!
//! ```
//! use ripcord::tokio::{ContextExt, TokenCanceled};
//! use ripcord::Context;
//! use tokio_util::sync::CancellationToken;
//!
//! let shutdown = CancellationToken::new();
//! let (service, _follows) = Context::background().with_token(&shutdown);
//! let (request, _guard) = service.with_cancel();
//! let (for_a_library, _token_guard) = request.child_token();
//!
//! shutdown.cancel();
//! assert!(request.cause().unwrap().downcast_ref::<TokenCanceled>().is_some());
//! assert!(for_a_library.is_cancelled());
//! ```

use crate::cancel::{CancelGuard, CancelHandle};
use crate::context::Context;
use crate::done::Done;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Wake, Waker};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The cause of a context that ended because the token it followed was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TokenCanceled;

impl fmt::Display for TokenCanceled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cancellation token was cancelled")
    }
}

impl Error for TokenCanceled {}

/// What a [`Context`] can do with tokens.
pub trait ContextExt: Sealed {
    /// A child that is also done, with [`TokenCanceled`] as cause, when `token` is cancelled; and the guard that cancels it,
    /// and ends the following, when it is dropped. A token that is cancelled already gives a child that is done.
    ///
    /// No task and no runtime: the token calls a waker of ours, inside its `cancel`. When the call that cancelled the token
    /// returns, the child and all derived from it are done. Takes tokio-util's locks, so it may block where those do;
    /// allocates twice.
    ///
    /// ```
    /// use ripcord::tokio::ContextExt;
    /// use ripcord::{Context, Error};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let token = CancellationToken::new();
    /// let (ctx, _guard) = Context::background().with_token(&token);
    /// let waits = std::thread::spawn(move || ctx.wait());
    /// token.cancel();
    /// assert_eq!(waits.join().unwrap(), Error::Canceled);
    /// ```
    fn with_token(&self, token: &CancellationToken) -> (Context, FollowGuard);

    /// A token that is cancelled when this context is done, however it ends; and the guard that cancels the token when it is
    /// dropped. Under a context that is done it is cancelled already. The context is not affected by the token.
    ///
    /// When the call that ended the context returns, the token is cancelled: it happens inside, and may block on tokio-util's
    /// locks there. Lock-free but for those; allocates for the token and for our waker.
    ///
    /// ```
    /// use ripcord::Context;
    /// use ripcord::tokio::ContextExt;
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(1));
    /// let (token, _token_guard) = ctx.child_token();
    /// token.cancelled().await; // by the deadline: no timer of tokio's is involved
    /// # });
    /// ```
    fn child_token(&self) -> (CancellationToken, TokenGuard);
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Context {}
}
use sealed::Sealed;

impl ContextExt for Context {
    fn with_token(&self, token: &CancellationToken) -> (Context, FollowGuard) {
        let (ctx, guard) = self.with_cancel();
        let mut waiting = None;
        if !ctx.is_done() {
            let mut cancelled = Box::pin(token.clone().cancelled_owned());
            let waker = Waker::from(Arc::new(EndContext(guard.handle())));
            let polled = cancelled
                .as_mut()
                .poll(&mut TaskContext::from_waker(&waker));
            if polled.is_ready() {
                guard.cancel_with(TokenCanceled);
            } else {
                waiting = Some(cancelled);
            }
        }
        let keep = ctx.clone();
        (
            ctx,
            FollowGuard {
                waiting: AssertUnwindSafe(waiting),
                guard,
                ctx: keep,
            },
        )
    }

    fn child_token(&self) -> (CancellationToken, TokenGuard) {
        let token = CancellationToken::new();
        let mut done = self.done();
        let waker = Waker::from(Arc::new(CancelToken(token.clone())));
        if Pin::new(&mut done)
            .poll(&mut TaskContext::from_waker(&waker))
            .is_ready()
        {
            token.cancel();
        }
        let guard = TokenGuard {
            link: Some(Link {
                done,
                ctx: self.clone(),
            }),
            token: token.clone(),
        };
        (token, guard)
    }
}

/// A token has one reason to wake who waits on it, its cancel; so the future need not be asked again. It keeps no token: it
/// is dropped inside the token's own cancel, where a token that goes would take locks.
struct EndContext(CancelHandle);

impl Wake for EndContext {
    fn wake(self: Arc<Self>) {
        self.0.cancel_with(TokenCanceled);
    }
}

/// As above: a context wakes a `Done` once, when it is done.
struct CancelToken(CancellationToken);

impl Wake for CancelToken {
    fn wake(self: Arc<Self>) {
        self.0.cancel();
    }
}

/// Cancels the context that follows a token, and takes its waiter off the token, when it is dropped. From
/// [`with_token`](ContextExt::with_token). It is a [`CancelGuard`] too: `cancel`, `cancel_with` and `handle` are that one's.
///
/// It keeps its context, with the values. Dropping it takes tokio-util's locks.
#[must_use = "dropping the guard cancels its context; bind it to a name, or `disarm` it"]
pub struct FollowGuard {
    /// First: nobody is told of a cancel that comes while the context is being cancelled anyway. It is not polled again, so
    /// there is nothing in it that a panic could leave half-done.
    waiting: AssertUnwindSafe<Option<Pin<Box<WaitForCancellationFutureOwned>>>>,
    guard: CancelGuard,
    ctx: Context,
}

impl FollowGuard {
    /// Gives up cancelling on drop: the context follows the token until it is done, and is kept until then. Lock-free;
    /// allocates for an [`after_func`](Context::after_func), which takes the waiter off the token in the end.
    ///
    /// ```
    /// use ripcord::Context;
    /// use ripcord::tokio::ContextExt;
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let token = CancellationToken::new();
    /// let (ctx, guard) = Context::background().with_token(&token);
    /// let handle = guard.disarm();
    /// assert!(!ctx.is_done());
    /// token.cancel();
    /// assert!(ctx.is_done());
    /// handle.cancel(); // too late, and no harm
    /// ```
    pub fn disarm(self) -> CancelHandle {
        if let Some(waiting) = self.waiting.0 {
            drop(self.ctx.after_func(move || drop(waiting)));
        }
        self.guard.disarm()
    }
}

impl Deref for FollowGuard {
    type Target = CancelGuard;

    fn deref(&self) -> &CancelGuard {
        &self.guard
    }
}

/// Cancels a context's token, and takes its waiter off the context, when it is dropped. From
/// [`child_token`](ContextExt::child_token). It keeps its context, with the values. Dropping it takes tokio-util's locks.
#[must_use = "dropping the guard cancels its token; bind it to a name, or `disarm` it"]
pub struct TokenGuard {
    /// None once disarmed.
    link: Option<Link>,
    token: CancellationToken,
}

struct Link {
    done: Done,
    ctx: Context,
}

impl TokenGuard {
    /// Gives up cancelling on drop: the token is cancelled when the context is done, which is kept until then. Lock-free;
    /// allocates for an [`after_func`](Context::after_func), which lets go in the end.
    ///
    /// ```
    /// use ripcord::Context;
    /// use ripcord::tokio::ContextExt;
    ///
    /// let (ctx, guard) = Context::background().with_cancel();
    /// let (token, token_guard) = ctx.child_token();
    /// token_guard.disarm();
    /// assert!(!token.is_cancelled());
    /// guard.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn disarm(mut self) {
        if let Some(Link { done, ctx }) = self.link.take() {
            // On a context that can never be done there is nothing to wait for, and `done` goes at once.
            drop(ctx.after_func(move || drop(done)));
        }
    }
}

impl Drop for TokenGuard {
    fn drop(&mut self) {
        if self.link.take().is_some() {
            self.token.cancel();
        }
    }
}

impl fmt::Debug for FollowGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FollowGuard").field(&self.guard).finish()
    }
}

impl fmt::Debug for TokenGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenGuard")
            .field("armed", &self.link.is_some())
            .finish_non_exhaustive()
    }
}
