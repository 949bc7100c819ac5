//! A context for each call that comes in.

use super::body::{Data, Says, under};
use super::{BoxError, Hold, default_propagator, run};
use crate::context::Context;
use crate::propagate::Propagator;
use ::tonic::Status;
use ::tonic::body::Body;
use http_body::Body as HttpBody;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Gives each call a context, for [`Server::layer`](https://docs.rs/tonic/0.14/tonic/transport/server/struct.Server.html#method.layer);
/// a handler finds it by [`RequestExt::context`](super::RequestExt::context).
///
/// It is a child of the server's own, with the deadline of the caller's `grpc-timeout` if that is earlier, its trace and its
/// baggage. It is done
///
/// * at its deadline, or when the server's is done: the handler's future is dropped, or its stream of replies ended, and the
///   client gets the status of it;
/// * when the client resets the stream or hangs up, with [`CallDropped`](super::CallDropped) as cause;
/// * when the handler or its stream of replies panics, with [`CallPanicked`](super::CallPanicked);
/// * when the reply is finished: what a handler leaves running takes [`without_cancel`](Context::without_cancel).
///
/// A call allocates for its context's values, its future and its body.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    parent: Context,
    propagator: Propagator,
}

impl ServerLayer {
    /// Calls are children of `parent`: cancel it, and all of them end. Reads trace context, baggage and `grpc-timeout`. Allocates.
    #[must_use]
    pub fn new(parent: &Context) -> Self {
        Self {
            parent: parent.clone(),
            propagator: default_propagator(),
        }
    }

    /// Reads what this one does. Wait-free.
    #[must_use]
    pub fn propagator(mut self, propagator: &Propagator) -> Self {
        self.propagator = propagator.clone();
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> ServerService<S> {
        ServerService {
            inner,
            layer: self.clone(),
        }
    }
}

/// What a [`ServerLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct ServerService<S> {
    inner: S,
    layer: ServerLayer,
}

impl<S, B, R> Service<http::Request<B>> for ServerService<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: HttpBody<Data = Data> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let extracted = self
            .layer
            .propagator
            .extract(request.headers(), &self.layer.parent);
        let (ctx, guard) = match extracted {
            Ok(extracted) => extracted,
            Err(error) => return Box::pin(async { Ok(Status::from(error).into_http()) }),
        };
        request.extensions_mut().insert(ctx.clone());
        let mut hold = Hold::new(&ctx, guard);
        let call = hold.while_polling(|| self.inner.call(request));
        Box::pin(async move {
            let answer = {
                let mut call = pin!(call);
                let polled = poll_fn(|cx| hold.while_polling(|| call.as_mut().poll(cx)));
                run(&ctx, polled).await
            };
            match answer {
                Ok(reply) => Ok(reply?.map(|body| under(body, &ctx, Some(hold), Says::Trailers))),
                Err(error) => {
                    hold.end();
                    Ok(Status::from(error).into_http())
                }
            }
        })
    }
}
