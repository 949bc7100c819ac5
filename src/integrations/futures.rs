//! Futures and streams under a context, as methods of theirs. Feature `futures`.
//!
//! | | a future gives | a stream gives, when the context is done |
//! |---|---|---|
//! | [`under`](FutureExt::under) | `Result<Output, Error>` | the error, once, and then its end |
//! | [`try_under`](FutureExt::try_under) | its own `Result`, of an error that is made `From<Error>` | the same |
//! | [`take_until_done`](StreamExt::take_until_done) | | its end |
//!
//! Each looks at its context before each poll, and drops what it wraps before it says that the context is done. So a
//! stream that always has an item ready does not starve a cancel, and what is told of one finds nothing still at work.
//!
//! Any runtime, or none. For the crate `futures`' own `select!`, [`Done`] is a `FusedFuture` that is never
//! terminated: polled again, it is ready again.
//!
//! ```
//! use futures_util::{StreamExt as _, stream};
//! use ripcord::futures::StreamExt as _;
//! use ripcord::{Context, Error};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (ctx, guard) = Context::background().with_cancel();
//! let mut ticks = stream::repeat(7).under(&ctx);
//! assert_eq!(ticks.next().await, Some(Ok(7)));
//! guard.cancel();
//! assert_eq!(ticks.next().await, Some(Err(Error::Canceled)));
//! assert_eq!(ticks.next().await, None);
//! # });
//! ```

use crate::context::Context;
use crate::done::Done;
use crate::error::Error;
use crate::run::Run;
use futures_core::{FusedFuture, FusedStream, Stream};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

/// What every future can do under a context.
pub trait FutureExt: Future + Sized {
    /// [`Context::run`], at the end of a chain. Lock-free; allocates where [`with_cancel`](Context::with_cancel) does.
    ///
    /// ```
    /// use ripcord::futures::FutureExt;
    /// use ripcord::{Context, Error};
    /// use std::time::Duration;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(5));
    /// assert_eq!(async { 7 }.under(&ctx).await, Ok(7));
    /// assert_eq!(std::future::pending::<()>().under(&ctx).await, Err(Error::DeadlineExceeded));
    /// # });
    /// ```
    fn under(self, ctx: &Context) -> Run<Self> {
        ctx.run(self)
    }

    /// As [`under`](Self::under), for a future whose output is a `Result`: one level of them, and one `?`.
    ///
    /// ```
    /// use ripcord::Context;
    /// use ripcord::futures::FutureExt;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// async fn read() -> std::io::Result<u8> {
    ///     std::future::pending().await
    /// }
    ///
    /// let (ctx, guard) = Context::background().with_cancel();
    /// guard.cancel();
    /// let error = read().try_under(&ctx).await.unwrap_err();
    /// assert_eq!(error.to_string(), "context canceled"); // an `io::Error`
    /// # });
    /// ```
    fn try_under<T, E>(self, ctx: &Context) -> TryRun<Self>
    where
        Self: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        TryRun { run: ctx.run(self) }
    }
}

impl<F: Future> FutureExt for F {}

/// What every stream can do under a context.
pub trait StreamExt: Stream + Sized {
    /// The items, each `Ok`; when the context is done first, `Err` once, and the end. Nothing of the inner stream is left
    /// when that is given: it is dropped before, and so it is at its own end.
    ///
    /// Lock-free, but for what the stream does; allocates where [`with_cancel`](Context::with_cancel) does. See the
    /// [module](self) for an example.
    fn under(self, ctx: &Context) -> Under<Self> {
        Under {
            until: TakeUntilDone::new(ctx, self),
        }
    }

    /// As [`under`](Self::under), for a stream of `Result`s, whose error is made of ours.
    ///
    /// ```
    /// use futures_util::{TryStreamExt, stream};
    /// use ripcord::Context;
    /// use ripcord::futures::StreamExt as _;
    /// use std::io;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (ctx, guard) = Context::background().with_cancel();
    /// guard.cancel();
    /// let lines = stream::repeat_with(|| io::Result::Ok("line"));
    /// let all: io::Result<Vec<&str>> = lines.try_under(&ctx).try_collect().await;
    /// assert_eq!(all.unwrap_err().to_string(), "context canceled");
    /// # });
    /// ```
    fn try_under<T, E>(self, ctx: &Context) -> TryUnder<Self>
    where
        Self: Stream<Item = Result<T, E>>,
        E: From<Error>,
    {
        TryUnder {
            until: TakeUntilDone::new(ctx, self),
        }
    }

    /// The items until the context is done: then the end, and the inner stream is dropped before.
    ///
    /// For where an end is an end; where it makes a difference whether all was seen, take [`under`](Self::under), or ask
    /// the context. Lock-free, but for what the stream does; allocates where [`with_cancel`](Context::with_cancel) does.
    ///
    /// ```
    /// use futures_util::{StreamExt as _, stream};
    /// use ripcord::Context;
    /// use ripcord::futures::StreamExt as _;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (ctx, guard) = Context::background().with_cancel();
    /// let mut seen = 0;
    /// let mut forever = stream::repeat(()).take_until_done(&ctx);
    /// while let Some(()) = forever.next().await {
    ///     seen += 1;
    ///     if seen == 3 {
    ///         guard.cancel();
    ///     }
    /// }
    /// assert_eq!(seen, 3);
    /// # });
    /// ```
    fn take_until_done(self, ctx: &Context) -> TakeUntilDone<Self> {
        TakeUntilDone::new(ctx, self)
    }
}

impl<S: Stream> StreamExt for S {}

pin_project_lite::pin_project! {
    /// A [`Run`] whose future's own error is made of ours. From [`FutureExt::try_under`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TryRun<F> {
        #[pin]
        run: Run<F>,
    }
}

impl<T, E: From<Error>, F: Future<Output = Result<T, E>>> Future for TryRun<F> {
    type Output = Result<T, E>;

    /// As of [`Run`].
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().run.poll(cx)) {
            Ok(output) => output,
            Err(error) => Err(error.into()),
        })
    }
}

pin_project_lite::pin_project! {
    /// The items of a stream until its context is done. From [`StreamExt::take_until_done`].
    ///
    /// Polled again after its end it is at its end again, and does not poll the stream.
    #[must_use = "streams do nothing unless polled"]
    pub struct TakeUntilDone<S> {
        done: Done,
        #[pin]
        stream: Option<S>,
    }
}

impl<S: Stream> TakeUntilDone<S> {
    fn new(ctx: &Context, stream: S) -> Self {
        Self {
            done: ctx.done(),
            stream: Some(stream),
        }
    }

    /// `Err` once, where the context is done before the stream is at its end.
    fn poll_item(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<S::Item, Error>>> {
        let mut this = self.project();
        let Some(stream) = this.stream.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(error) = Pin::new(this.done).poll(cx) {
            this.stream.set(None);
            return Poll::Ready(Some(Err(error)));
        }
        let item = ready!(stream.poll_next(cx));
        if item.is_none() {
            this.stream.set(None);
        }
        Poll::Ready(item.map(Ok))
    }

    /// The stream can be cut short anywhere.
    fn most_items(&self) -> Option<usize> {
        self.stream
            .as_ref()
            .map_or(Some(0), |stream| stream.size_hint().1)
    }

    /// One of them can be our error.
    fn most_results(&self) -> Option<usize> {
        match self.stream {
            Some(_) => self.most_items()?.checked_add(1),
            None => Some(0),
        }
    }
}

impl<S: Stream> Stream for TakeUntilDone<S> {
    type Item = S::Item;

    /// Lock-free, but for what the stream does.
    ///
    /// # Panics
    ///
    /// If the stream does, or if cloning the waker does.
    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<S::Item>> {
        self.poll_item(cx).map(|item| item.and_then(Result::ok))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.most_items())
    }
}

impl<S: Stream> FusedStream for TakeUntilDone<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_none()
    }
}

pin_project_lite::pin_project! {
    /// The items of a stream, or the error of its context. From [`StreamExt::under`].
    ///
    /// Polled again after its end it is at its end again, and does not poll the stream.
    #[must_use = "streams do nothing unless polled"]
    pub struct Under<S> {
        #[pin]
        until: TakeUntilDone<S>,
    }
}

impl<S: Stream> Stream for Under<S> {
    type Item = Result<S::Item, Error>;

    /// As of [`TakeUntilDone`].
    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.project().until.poll_item(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.until.most_results())
    }
}

impl<S: Stream> FusedStream for Under<S> {
    fn is_terminated(&self) -> bool {
        self.until.is_terminated()
    }
}

pin_project_lite::pin_project! {
    /// The items of a stream of results, whose error is made of ours. From [`StreamExt::try_under`].
    ///
    /// An error of the stream's own does not end it, as it does not end the stream. Polled again after its end it is at its
    /// end again, and does not poll the stream.
    #[must_use = "streams do nothing unless polled"]
    pub struct TryUnder<S> {
        #[pin]
        until: TakeUntilDone<S>,
    }
}

impl<T, E: From<Error>, S: Stream<Item = Result<T, E>>> Stream for TryUnder<S> {
    type Item = Result<T, E>;

    /// As of [`TakeUntilDone`].
    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.project().until.poll_item(cx));
        Poll::Ready(item.map(|item| item.unwrap_or_else(|error| Err(error.into()))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.until.most_results())
    }
}

impl<T, E: From<Error>, S: Stream<Item = Result<T, E>>> FusedStream for TryUnder<S> {
    fn is_terminated(&self) -> bool {
        self.until.is_terminated()
    }
}

/// Never terminated: polled again after it was ready, it is ready again.
impl FusedFuture for Done {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl<F> fmt::Debug for TryRun<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryRun").field(&self.run).finish()
    }
}

impl<S> fmt::Debug for TakeUntilDone<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeUntilDone")
            .field("done", &self.done)
            .field("ended", &self.stream.is_none())
            .finish()
    }
}

impl<S> fmt::Debug for Under<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Under").field(&self.until).finish()
    }
}

impl<S> fmt::Debug for TryUnder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryUnder").field(&self.until).finish()
    }
}
