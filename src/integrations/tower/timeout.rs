//! The layer that gives each request a deadline, and an answer when it passes.

use super::body::{ContextBody, is_head};
use super::ended::{Causes, Live, TimedOut};
use crate::cancel::CancelGuard;
use crate::cause::Cause;
use crate::context::Context;
use crate::done::Done;
use crate::sleep::Sleep;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

type Budget = dyn Fn(&Parts) -> Option<Duration> + Send + Sync;

/// Answers for the service when that takes too long, and tells it so: the deadline is on the request's context.
///
/// The context in the request's extensions, of a [`ContextLayer`](super::ContextLayer) or the plain background, is replaced by
/// a child with a deadline, on the same engine. When that passes:
///
/// 1. all that works under the context stops, on whatever thread, with a [`TimedOut`] as cause;
/// 2. the service's future is dropped: from here on it can write nothing;
/// 3. the answer is given: 408, or 504, with an empty body and the [`Cause`] in its extensions, for a layer that logs.
///
/// A service that has answered in time is not answered for again: the deadline then still ends the context, and with it
/// what makes the body, but the body is the service's to end. The earliest deadline counts: an outer layer's, the parent's.
///
/// A request whose context is cancelled, because the server stops, has the rest of its time to answer that by itself. On an
/// engine that keeps no time any more (it was shut down, or its thread cannot be started) it is answered 503 at once.
///
/// A clone is wait-free and shares everything. A request costs a timed child, a box in its extensions, and a wait.
///
/// ```
/// use http::{Request, Response, StatusCode};
/// use ripcord::{Cause, Context};
/// use ripcord::tower::{TimedOut, TimeoutLayer};
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let limit = Duration::from_millis(5);
/// let service = TimeoutLayer::new(limit).gateway_timeout().layer(service_fn(async |_: Request<()>| {
///     std::future::pending::<()>().await;
///     Ok::<_, Infallible>(Response::new("too late".to_owned()))
/// }));
/// let response = service.oneshot(Request::new(())).await.unwrap();
/// assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
/// let cause = response.extensions().get::<Cause>().unwrap();
/// assert_eq!(cause.downcast_ref(), Some(&TimedOut::Limit(limit)));
/// # }
/// ```
#[derive(Clone)]
pub struct TimeoutLayer {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    limit: Duration,
    limit_cause: Cause,
    status: StatusCode,
    budget: Option<Arc<Budget>>,
    causes: Causes,
}

impl TimeoutLayer {
    /// A layer that gives each request so much time, from when it comes to this layer until it is answered, and answers
    /// 408 Request Timeout when it has passed. Zero leaves no request any; `Duration::MAX` sets no limit. Allocates.
    ///
    /// A client may send a request again that was answered 408 (RFC 9110, 15.5.9), and browsers do: for a service whose
    /// requests may not be made twice, and for gateways, there is [`gateway_timeout`](Self::gateway_timeout).
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit,
                limit_cause: TimedOut::Limit(limit).into(),
                status: StatusCode::REQUEST_TIMEOUT,
                budget: None,
                causes: Causes::new(),
            }),
        }
    }

    /// Answers 504 Gateway Timeout (RFC 9110, 15.6.5) in place of 408.
    #[must_use]
    pub fn gateway_timeout(self) -> Self {
        self.with(|shared| shared.status = StatusCode::GATEWAY_TIMEOUT)
    }

    /// Asks `budget` how much time the request itself wants, its headers for instance. It can only shorten: what is longer
    /// than the limit, or `None`, is the limit; zero is answered at once, and the service's future never polled.
    ///
    /// Called once a request, on the thread that serves it; a panic there is the service's. Where a budget is the shorter one, its
    /// cause is allocated. Of two calls the later counts.
    ///
    /// ```
    /// use ripcord::tower::TimeoutLayer;
    /// use std::time::Duration;
    ///
    /// let layer = TimeoutLayer::new(Duration::from_secs(30)).budget(|parts| {
    ///     let ms = parts.headers.get("x-timeout-ms")?.to_str().ok()?;
    ///     Some(Duration::from_millis(ms.parse().ok()?))
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn budget(
        self,
        budget: impl Fn(&Parts) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.with(|shared| shared.budget = Some(Arc::new(budget)))
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = TimeoutService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeoutService {
            inner,
            shared: Arc::clone(&self.shared),
        }
    }
}

/// A service that answers in time. From a [`TimeoutLayer`].
#[derive(Clone)]
pub struct TimeoutService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl Shared {
    /// The context of a request, and how much time it was given.
    fn derive(&self, parts: &Parts) -> (Context, CancelGuard, Duration) {
        let background = Context::background();
        let parent = parts.extensions.get().unwrap_or(&background);
        let asked = self.budget.as_ref().and_then(|budget| budget(parts));
        let (after, cause) = match asked {
            Some(budget) if budget < self.limit => (budget, TimedOut::Budget(budget).into()),
            _ => (self.limit, self.limit_cause.clone()),
        };
        let (ctx, guard) = parent.with_timeout_cause(after, cause);
        (ctx, guard, after)
    }
}

impl<S, Q, B> Service<Request<Q>> for TimeoutService<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<ContextBody<B>>;
    type Error = S::Error;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let (ctx, guard, after) = self.shared.derive(&parts);
        let mut live = Live::new(guard, &self.shared.causes);
        let head_only = is_head(&parts.method);
        parts.extensions.insert(ctx.clone());
        let request = Request::from_parts(parts, body);
        let inner = live.while_polling(|| self.inner.call(request));
        TimeoutFuture {
            live: Some(live),
            status: self.shared.status,
            head_only,
            clock: Clock {
                done: ctx.done(),
                rest: None,
                after,
                ctx,
            },
            inner: Some(inner),
        }
    }
}

pin_project_lite::pin_project! {
    /// A request under way: ready with the service's response, or with the layer's when its time has passed; the service's
    /// future is dropped before that is given. Dropped itself, it ends the context first, with [`RequestEnded::ClientGone`](super::RequestEnded::ClientGone).
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutFuture<F> {
        live: Option<Live>,
        status: StatusCode,
        head_only: bool,
        clock: Clock,
        #[pin]
        inner: Option<F>,
    }
}

/// When a request's time has passed.
struct Clock {
    done: Done,
    /// After a cancel: no deadline fires on what is done already.
    rest: Option<Sleep>,
    after: Duration,
    ctx: Context,
}

impl Clock {
    /// Ready when time is up: `Err` where there is no more time to be had.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), crate::Error>> {
        let rest = match &mut self.rest {
            Some(rest) => rest,
            None => {
                if ready!(Pin::new(&mut self.done).poll(cx)).is_timeout() {
                    return Poll::Ready(Ok(()));
                }
                let left = self.ctx.remaining().unwrap_or(self.after);
                self.rest.insert(self.ctx.without_cancel().sleep(left))
            }
        };
        Pin::new(rest).poll(cx)
    }
}

impl<F, B, E> Future for TimeoutFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<ContextBody<B>>, E>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let live = this.live.as_mut().expect("polled after it was ready");
        if let Poll::Ready(time) = this.clock.poll(cx) {
            // Its end comes before the answer. What it drops finds the context done.
            live.while_polling(|| this.inner.set(None));
            *this.live = None;
            let mut response = Response::new(ContextBody::EMPTY);
            *response.status_mut() = match time {
                Ok(()) => *this.status,
                Err(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            if let Some(cause) = this.clock.ctx.cause() {
                response.extensions_mut().insert(cause);
            }
            return Poll::Ready(Ok(response));
        }
        let inner = this.inner.as_mut().as_pin_mut().expect("it has not ended");
        let answer = ready!(live.while_polling(|| inner.poll(cx)));
        let live = this.live.take().expect("it was there just now");
        Poll::Ready(ContextBody::answer(answer, live, *this.head_only))
    }
}

impl fmt::Debug for TimeoutLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutLayer")
            .field("limit", &self.shared.limit)
            .field("status", &self.shared.status)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for TimeoutService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutService")
            .field("inner", &self.inner)
            .field("limit", &self.shared.limit)
            .field("status", &self.shared.status)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for TimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutFuture")
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}
