//! The layer that gives each request a context.

use super::body::{ContextBody, is_head};
use super::ended::{Causes, Live};
use crate::context::Context;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

type MapContext = dyn Fn(Context, &Parts) -> Context + Send + Sync;

/// Gives each request a context of its own, in its extensions, that ends with the request: see the [module](super).
///
/// It is a child of the one the layer was made under, and uses that one's engine: what cancels that stops all requests, and
/// its [`child_count`](Context::child_count) says how many there are. A clone is wait-free and shares everything.
///
/// A request costs a child, a box in its extensions, and the guard's end; there is no task and no timer.
#[derive(Clone)]
pub struct ContextLayer {
    shared: Arc<Shared>,
}

struct Shared {
    parent: Context,
    causes: Causes,
    map: Option<Box<MapContext>>,
}

impl ContextLayer {
    /// A layer whose requests end with `parent`, if nothing else ends them before. Allocates.
    ///
    /// What comes after `parent` is done has a context that is done, and is served all the same: whether it is still
    /// answered is the service's.
    #[must_use]
    pub fn new(parent: &Context) -> Self {
        Self {
            shared: Arc::new(Shared {
                parent: parent.clone(),
                causes: Causes::new(),
                map: None,
            }),
        }
    }

    /// Has each request's context go through `map` before it is put in the extensions: for values, such as what the
    /// request's headers say, and for deadlines. The answer is to be derived from what was given. Called once a request, on
    /// the thread that serves it; a panic there is the service's. Of two calls the later counts.
    ///
    /// ```
    /// use http::Request;
    /// use ripcord::tower::ContextLayer;
    /// use ripcord::{Context, Key};
    ///
    /// static USER_AGENT: Key<String> = Key::new("user_agent");
    ///
    /// let layer = ContextLayer::new(&Context::background()).map_context(|ctx, parts| {
    ///     match parts.headers.get("user-agent").map(|value| value.to_str()) {
    ///         Some(Ok(agent)) => ctx.with_value(&USER_AGENT, agent.to_owned()),
    ///         _ => ctx,
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    ///
    /// With the feature `http`, what the headers say of time, trace and values. The guard of what was extracted is disarmed, for
    /// one that is dropped cancels; the layer's own ends it:
    ///
    #[cfg_attr(feature = "http", doc = "```")]
    #[cfg_attr(not(feature = "http"), doc = "```ignore")]
    /// use ripcord::Context;
    /// use ripcord::propagate::Propagator;
    /// use ripcord::tower::ContextLayer;
    ///
    /// let propagator = Propagator::default();
    /// let layer = ContextLayer::new(&Context::background()).map_context(move |ctx, parts| {
    ///     match propagator.extract(&parts.headers, &ctx) {
    ///         Ok((request, guard)) => {
    ///             guard.disarm();
    ///             request
    ///         }
    ///         Err(_) => ctx, // to refuse it with 400, call `extract` in a layer outside of this one
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn map_context(
        self,
        map: impl Fn(Context, &Parts) -> Context + Send + Sync + 'static,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                parent: self.shared.parent.clone(),
                causes: self.shared.causes.clone(),
                map: Some(Box::new(map)),
            }),
        }
    }
}

impl<S> Layer<S> for ContextLayer {
    type Service = ContextService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ContextService {
            inner,
            shared: Arc::clone(&self.shared),
        }
    }
}

/// A service whose requests have a context each. From a [`ContextLayer`].
#[derive(Clone)]
pub struct ContextService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, Q, B> Service<Request<Q>> for ContextService<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<ContextBody<B>>;
    type Error = S::Error;
    type Future = ContextFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let parent = &self.shared.parent;
        let (ctx, guard) = match parts.extensions.get::<Context>() {
            Some(outer) => Context::merge([outer, parent]),
            None => parent.with_cancel(),
        };
        let mut live = Live::new(guard, &self.shared.causes);
        let head_only = is_head(&parts.method);
        let inner = live.while_polling(|| {
            let ctx = match &self.shared.map {
                Some(map) => map(ctx, &parts),
                None => ctx,
            };
            parts.extensions.insert(ctx);
            self.inner.call(Request::from_parts(parts, body))
        });
        ContextFuture {
            live: Some(live),
            head_only,
            inner,
        }
    }
}

pin_project_lite::pin_project! {
    /// A request under way: ready with its response, whose body goes on under the same context. Dropped before, it ends that
    /// context with [`RequestEnded::ClientGone`](super::RequestEnded::ClientGone), and only then drops the service's future.
    #[must_use = "futures do nothing unless polled"]
    pub struct ContextFuture<F> {
        live: Option<Live>,
        head_only: bool,
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for ContextFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<ContextBody<B>>, E>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let live = this.live.as_mut().expect("polled after it was ready");
        let answer = ready!(live.while_polling(|| this.inner.poll(cx)));
        let live = this.live.take().expect("it was there just now");
        Poll::Ready(ContextBody::answer(answer, live, *this.head_only))
    }
}

impl fmt::Debug for ContextLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextLayer")
            .field("parent", &self.shared.parent)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for ContextService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextService")
            .field("inner", &self.inner)
            .field("parent", &self.shared.parent)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for ContextFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextFuture")
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}
