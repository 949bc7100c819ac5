//! tower layers for HTTP servers: a context per request, and a timeout that is on it. Feature `tower`; the extractor for
//! axum is behind `axum`.
//!
//! [`ContextLayer`] derives a context for each request and puts it in the request's extensions. It ends with the request,
//! however that ends, and says how:
//!
//! | what happens | `cause` |
//! |---|---|
//! | the service's future is dropped before it answered: the client hung up, reset its stream | [`ClientGone`](RequestEnded::ClientGone) |
//! | the response's body is finished | [`BodyFinished`](RequestEnded::BodyFinished) |
//! | the body is dropped before its end: the client hung up | [`BodyDropped`](RequestEnded::BodyDropped) |
//! | the body, or the service, gives an error | [`BodyFailed`](RequestEnded::BodyFailed), [`ServiceFailed`](RequestEnded::ServiceFailed) |
//! | the service or the body panics | [`Panicked`](RequestEnded::Panicked) |
//! | the server stops: the layer's parent is cancelled | the parent's: give it [`ServerStopped`](RequestEnded::ServerStopped) |
//! | a deadline passes | a [`TimedOut`], if it is that of a [`TimeoutLayer`] |
//!
//! So work that was handed to other tasks and threads stops with the request it was for: it has the context.
//! [`TimeoutLayer`] gives that context a deadline and answers 408 or 504 when it passes.
//!
//! ```
//! use http::{Request, Response};
//! use ripcord::Context;
//! use ripcord::tower::{ContextLayer, RequestEnded};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let (server, _stop) = Context::background().with_cancel();
//! let service = ContextLayer::new(&server).layer(service_fn(async |request: Request<()>| {
//!     let ctx = request.extensions().get::<Context>().expect("the layer put it there");
//!     assert!(!ctx.is_done());
//!     let mut response = Response::new("hello".to_owned());
//!     response.extensions_mut().insert(ctx.clone()); // for the test below
//!     Ok::<_, Infallible>(response)
//! }));
//!
//! let response = service.oneshot(Request::new(())).await.unwrap();
//! let ctx = response.extensions().get::<Context>().unwrap().clone();
//! assert!(!ctx.is_done()); // as long as the body lasts
//! drop(response);
//! let cause = ctx.cause().unwrap();
//! assert_eq!(cause.downcast_ref(), Some(&RequestEnded::BodyDropped));
//! # }
//! ```
//!
//! # A server that stops
//!
//! The serving as a whole is registered with a [`Shutdown`](crate::Shutdown): its context is the layer's, and its
//! [`Work`](crate::Work) is kept until the server has seen its last connection off. The listener goes by
//! [`accepting`](crate::Shutdown::accepting), which for axum is
//! `.with_graceful_shutdown(async { stopping.await; })`, where `stopping` is `shutdown.accepting().done()`. So requests under way are
//! answered, those that are left after the grace are cancelled, and [`wait`](crate::Shutdown::wait) returns when that has been given its
//! time, also where a handler never looks; do not await the server itself for that. `07_http_server` is such a server.
//!
//! Where a report is to count requests, and name those who are late, a handler registers itself. Then the layer may be under
//! [`working`](crate::Shutdown::working), which ends with the hard phase; that begins by itself only while something is
//! registered:
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use ripcord::tower::ContextLayer;
//! use ripcord::{Context, Shutdown};
//! use std::convert::Infallible;
//! use tower::{Layer, Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let shutdown = Shutdown::builder().build(&Context::background());
//! let register = shutdown.clone();
//! let handler = service_fn(move |request: Request<()>| {
//!     let register = register.clone();
//!     async move {
//!         let ctx = request.extensions().get::<Context>().expect("the layer put it there");
//!         let mut response = Response::new(String::new());
//!         match register.register_under(ctx, request.uri().path()) {
//!             Ok((_ctx, _work)) => {} // answer under this context, with `_work` kept as long
//!             Err(_stopping) => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
//!         }
//!         Ok::<_, Infallible>(response)
//!     }
//! });
//! let mut service = ContextLayer::new(shutdown.working()).layer(handler);
//!
//! let answer = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
//! assert_eq!(answer.status(), StatusCode::OK);
//! drop(answer);
//! shutdown.stop();
//! assert!(shutdown.accepting().is_done());
//! let answer = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
//! assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
//! drop(answer);
//! let report = shutdown.wait_async().await;
//! assert!(report.late.is_empty());
//! # }
//! ```
//!
//! # What a server is to know
//!
//! * **HTTP/1.1 and a body that is not read.** Whether the client is still there is found by reading. hyper does not read on while
//!   the handler leaves the request's body unread: such a handler learns that the client is gone when it reads or answers, or by
//!   its deadline. HTTP/2 resets are seen at once.
//! * **Bytes in flight.** A body is finished when the server has taken its last frame, which it then still has to write.
//! * **Upgrades.** A connection that was upgraded outlives its request, and its context: take
//!   [`without_cancel`](crate::Context::without_cancel), or derive from the server's.
//! * **Headers that never end** (slow loris), and those that are too long, never come to a layer: no context is made. Give the
//!   server a limit for them, as hyper's `header_read_timeout` and `max_buf_size`.
//! * **A context in the extensions already**, of an outer layer or the connection, is a parent too: the request ends with
//!   whichever ends first.

mod body;
mod context;
mod ended;
#[cfg(feature = "axum")]
mod extract;
mod timeout;

pub use body::ContextBody;
pub use context::{ContextFuture, ContextLayer, ContextService};
pub use ended::{RequestEnded, TimedOut};
#[cfg(feature = "axum")]
pub use extract::MissingContext;
pub use timeout::{TimeoutFuture, TimeoutLayer, TimeoutService};
