//! gRPC under contexts, with [tonic](https://docs.rs/tonic). Feature `tonic`.
//!
//! A [`ServerLayer`] gives each call a context: its deadline is what the caller's `grpc-timeout` says, if that is earlier than
//! the server's own; it is done when the client resets the stream or hangs up, and when the reply is finished. A [`ClientLayer`]
//! makes calls under one: what is left of its time goes along, and when it is done the call ends and its stream is reset. So
//! a deadline, and a caller that gives up, reach whatever works for the call, on whatever machine and thread.
//!
//! ```
//! use ripcord::{Context, tonic::{ClientLayer, RequestExt, ServerLayer}};
//! use std::time::Duration;
//! use tonic::{Request, Response, Status};
//!
//! // The server: `Server::builder().layer(ServerLayer::new(&running))`, and in a handler:
//! async fn handler(request: Request<u64>) -> Result<Response<u64>, Status> {
//!     let ctx = request.context().cloned().unwrap_or_default();
//!     let worker = ctx.clone();
//!     let found = std::thread::spawn(move || worker.check().map(|()| 7)).join().unwrap();
//!     Ok(Response::new(found?)) // an `Error` becomes a status
//! }
//!
//! // The client: `Client::new(ClientLayer::new(&running).layer(channel))`, and for each call:
//! let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(2));
//! let request = Request::new(7).under(&ctx);
//! assert!(request.context().is_some());
//! # let (_, _) = (ServerLayer::new(&ctx), ClientLayer::new(&ctx));
//! # let _ = handler;
//! ```
//!
//! | a context that | is a status |
//! |---|---|
//! | was cancelled | `CANCELLED` |
//! | passed its deadline | `DEADLINE_EXCEEDED` |
//!
//! What goes to the peer says that and no more; the [cause](Context::cause) is the source of the status on this side only.
//!
//! | a peer sends | and gets |
//! |---|---|
//! | a `grpc-timeout` or baggage that cannot be taken: see [`propagate`](crate::propagate) | `INVALID_ARGUMENT` |
//! | more than is taken | `RESOURCE_EXHAUSTED` |
//!
//! tonic itself ends a handler at its `grpc-timeout`, on either side, with `CANCELLED` and by dropping its future, which does not
//! reach what the handler has started elsewhere. The layers come first, by the deadline of the same header.

mod body;
mod client;
mod server;

pub use client::{ClientLayer, ClientService};
pub use server::{ServerLayer, ServerService};

use crate::cancel::CancelGuard;
use crate::context::Context;
use crate::error::Error;
use crate::propagate::{ExtractError, Format, InjectError, Propagator, decode_grpc_timeout};
use ::tonic::{Code, Request, Status};
use http::{HeaderMap, StatusCode};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The context of a request, on either side.
pub trait RequestExt: Sized {
    /// The context that [`ServerLayer`] made for the call, or that was set. Wait-free.
    fn context(&self) -> Option<&Context>;

    /// The same request, for a client that has a [`ClientLayer`]: made under `ctx`. Allocates.
    #[must_use]
    fn under(self, ctx: &Context) -> Self;

    /// Writes what is left of `ctx`'s time, its trace and its baggage into the metadata, for a client without the layer: a
    /// timeout that is set already stays if it is shorter. Run the call with [`Context::run`], so that it ends with `ctx`.
    /// Allocates.
    ///
    /// # Errors
    ///
    /// The context is done, or has a value that is too long to send; or the timeout that is set cannot be read.
    ///
    /// ```
    /// use ripcord::{Context, propagate::Propagator, tonic::RequestExt};
    /// use std::time::Duration;
    ///
    /// let (ctx, guard) = Context::background().with_timeout(Duration::from_secs(60));
    /// let mut request = tonic::Request::new(());
    /// request.inject(&ctx, &Propagator::default()).unwrap();
    /// assert!(request.metadata().contains_key("grpc-timeout"));
    /// guard.cancel();
    /// assert_eq!(request.inject(&ctx, &Propagator::default()).unwrap_err().code(), tonic::Code::Cancelled);
    /// ```
    fn inject(&mut self, ctx: &Context, propagator: &Propagator) -> Result<(), Status>;
}

impl<T> RequestExt for Request<T> {
    fn context(&self) -> Option<&Context> {
        self.extensions().get()
    }

    fn under(mut self, ctx: &Context) -> Self {
        self.extensions_mut().insert(ctx.clone());
        self
    }

    fn inject(&mut self, ctx: &Context, propagator: &Propagator) -> Result<(), Status> {
        inject(ctx, self.metadata_mut().as_mut(), propagator).map(drop)
    }
}

/// How a context ended, as a status whose [source](std::error::Error::source) is its cause; `None` while it has not. Allocates.
///
/// ```
/// use ripcord::{Cause, Context};
///
/// let (ctx, guard) = Context::background().with_cancel();
/// assert!(ripcord::tonic::status(&ctx).is_none());
/// guard.cancel_with(Cause::msg("the user went away"));
/// let status = ripcord::tonic::status(&ctx).unwrap();
/// assert_eq!((status.code(), status.message()), (tonic::Code::Cancelled, "context canceled"));
/// ```
#[must_use]
pub fn status(ctx: &Context) -> Option<Status> {
    let mut status = Status::from(ctx.err()?);
    if let Some(cause) = ctx.cause() {
        status.set_source(Arc::from(BoxError::from(cause)));
    }
    Some(status)
}

/// What a peer's status says of a context: `CANCELLED` and `DEADLINE_EXCEEDED`; `None` for any other. Wait-free.
///
/// ```
/// use ripcord::Error;
///
/// let status = tonic::Status::deadline_exceeded("");
/// assert_eq!(ripcord::tonic::error(&status), Some(Error::DeadlineExceeded));
/// ```
#[must_use]
pub fn error(status: &Status) -> Option<Error> {
    match status.code() {
        Code::Cancelled => Some(Error::Canceled),
        Code::DeadlineExceeded => Some(Error::DeadlineExceeded),
        _ => None,
    }
}

/// `DEADLINE_EXCEEDED` or `CANCELLED`. Allocates.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = if error.is_timeout() {
            Code::DeadlineExceeded
        } else {
            Code::Cancelled
        };
        Self::new(code, error.to_string())
    }
}

/// `RESOURCE_EXHAUSTED` for what is too large or too many, else `INVALID_ARGUMENT`. Allocates.
impl From<ExtractError> for Status {
    fn from(error: ExtractError) -> Self {
        match error.status() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                Self::resource_exhausted(error.to_string())
            }
            _ => Self::invalid_argument(error.to_string()),
        }
    }
}

/// That of the context where it is done, else `RESOURCE_EXHAUSTED`. Allocates.
impl From<InjectError> for Status {
    fn from(error: InjectError) -> Self {
        match error {
            InjectError::Done(error) => error.into(),
            error => Self::resource_exhausted(error.to_string()),
        }
    }
}

/// The [cause](Context::cause) of a call's context whose future or reply was dropped before its end: the client reset the
/// stream or hung up, or the server stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallDropped;

impl fmt::Display for CallDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call was dropped before its end: its client reset the stream or hung up")
    }
}

impl std::error::Error for CallDropped {}

/// The [cause](Context::cause) of a call's context whose handler, or stream of replies, panicked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallPanicked;

impl fmt::Display for CallPanicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call's handler panicked")
    }
}

impl std::error::Error for CallPanicked {}

/// What gRPC has a place for.
fn default_propagator() -> Propagator {
    let formats = [Format::TraceContext, Format::Baggage, Format::GrpcTimeout];
    // It has no keys, the names of which alone could be wrong.
    Propagator::builder()
        .formats(formats)
        .build()
        .unwrap_or_default()
}

/// Headers that the context has nothing for stay as they are: others write there too. Gives back a child under the timeout that
/// was set, if there was one.
fn inject(
    ctx: &Context,
    headers: &mut HeaderMap,
    propagator: &Propagator,
) -> Result<Option<(Context, CancelGuard)>, Status> {
    let set = match headers.get("grpc-timeout") {
        Some(text) => {
            let timeout = decode_grpc_timeout(text.to_str().unwrap_or_default())?;
            Some(ctx.with_timeout(timeout))
        }
        None => None,
    };
    let mut own = HeaderMap::new();
    propagator.inject(set.as_ref().map_or(ctx, |(child, _)| child), &mut own)?;
    for (name, value) in own.drain() {
        // A drained map names each header once where each has one value.
        if let Some(name) = name {
            headers
                .try_insert(name, value)
                .map_err(|_| InjectError::Full)?;
        }
    }
    Ok(set)
}

/// Runs it under the context, the deadline of which counts from when it has passed: tonic's own timer may come before ours is
/// served.
async fn run<F: Future>(ctx: &Context, call: F) -> Result<F::Output, Error> {
    let mut run = pin!(ctx.run(call));
    poll_fn(|cx| match run.as_mut().poll(cx) {
        Poll::Pending if is_late(ctx) => Poll::Ready(Err(Error::DeadlineExceeded)),
        poll => poll,
    })
    .await
}

fn is_late(ctx: &Context) -> bool {
    ctx.remaining() == Some(Duration::ZERO)
}

/// A call's guard: dropped before [`end`](Self::end), it says why.
struct Hold {
    ctx: Context,
    guard: Option<CancelGuard>,
    /// For good, where what was polled panicked.
    polling: bool,
}

impl Hold {
    fn new(ctx: &Context, guard: CancelGuard) -> Self {
        Self {
            ctx: ctx.clone(),
            guard: Some(guard),
            polling: false,
        }
    }

    /// Calls what may panic, and is then what ended the call, whoever drops it after.
    fn while_polling<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        self.polling = true;
        let polled = poll();
        self.polling = false;
        polled
    }

    fn end(&mut self) {
        self.give_up(|_| ());
    }

    fn give_up(&mut self, why: impl FnOnce(&CancelGuard)) {
        match self.guard.take() {
            // It ends by its deadline any moment, and not by us.
            Some(guard) if is_late(&self.ctx) => drop(guard.disarm()),
            Some(guard) => why(&guard),
            None => {}
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let panicked = self.polling;
        self.give_up(|guard| match panicked {
            true => guard.cancel_with(CallPanicked),
            false => guard.cancel_with(CallDropped),
        });
    }
}
