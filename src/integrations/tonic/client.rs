//! Calls under a context.

use super::body::{Data, Says, under};
use super::{BoxError, Hold, default_propagator, inject, is_late, run, status};
use crate::context::Context;
use crate::error::Error;
use crate::propagate::Propagator;
use ::tonic::Status;
use ::tonic::body::Body;
use http_body::Body as HttpBody;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Makes calls under contexts: a layer for a [`Channel`](https://docs.rs/tonic/0.14/tonic/transport/struct.Channel.html), or any
/// service that a client is made of.
///
/// A call is made under the context that its request was put [under](super::RequestExt::under), else under the layer's own.
/// What is left of its time goes along as `grpc-timeout`, with its trace and its baggage; a shorter
/// [`set_timeout`](https://docs.rs/tonic/0.14/tonic/struct.Request.html#method.set_timeout) counts too. When the context is
/// done, before the reply or in the middle of a stream of them, either way, the stream is reset, and the caller gets the status of
/// the context, its cause as source. A call under a context that is done is not sent.
///
/// A call allocates for its headers, its future and its bodies.
#[derive(Clone, Debug)]
pub struct ClientLayer {
    own: Context,
    propagator: Propagator,
}

impl ClientLayer {
    /// Calls that were put under no context are made under `own`: [`Context::background`] says that they have none. Writes
    /// trace context, baggage and `grpc-timeout`. Allocates.
    #[must_use]
    pub fn new(own: &Context) -> Self {
        Self {
            own: own.clone(),
            propagator: default_propagator(),
        }
    }

    /// Writes what this one does. Wait-free.
    #[must_use]
    pub fn propagator(mut self, propagator: &Propagator) -> Self {
        self.propagator = propagator.clone();
        self
    }

    /// The service that makes calls so: [`Layer::layer`](tower_layer::Layer::layer), without the trait in scope. Allocates nothing.
    pub fn layer<S>(&self, inner: S) -> ClientService<S> {
        ClientService {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> ClientService<S> {
        Self::layer(self, inner)
    }
}

/// What a [`ClientLayer`] makes of a channel.
#[derive(Clone, Debug)]
pub struct ClientService<S> {
    inner: S,
    layer: ClientLayer,
}

impl<S, R> Service<http::Request<Body>> for ClientService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<R>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    R: HttpBody<Data = Data> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let ctx = request
            .extensions()
            .get()
            .unwrap_or(&self.layer.own)
            .clone();
        let set = match inject(&ctx, request.headers_mut(), &self.layer.propagator) {
            Ok(set) => set,
            Err(error) => {
                let error = status(&ctx).unwrap_or(error);
                return Box::pin(async { Err(error.into()) });
            }
        };
        let (ctx, hold) = match set {
            Some((child, guard)) => {
                let hold = Hold::new(&child, guard);
                (child, Some(hold))
            }
            None => (ctx, None),
        };
        let request = request.map(|body| under(body, &ctx, None, Says::Error));
        let call = self.inner.call(request);
        Box::pin(async move {
            match run(&ctx, call).await {
                Ok(Ok(reply)) => Ok(reply.map(|body| under(body, &ctx, hold, Says::Error))),
                // tonic's own timer calls it cancelled.
                Ok(Err(_)) if ctx.is_done() || is_late(&ctx) => Err(done(&ctx).into()),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(done(&ctx).into()),
            }
        })
    }
}

fn done(ctx: &Context) -> Status {
    status(ctx).unwrap_or_else(|| Error::DeadlineExceeded.into())
}
