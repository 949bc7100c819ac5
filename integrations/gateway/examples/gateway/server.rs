//! A server of HTTP/1.1: accepts, has requests answered each under a context of its own, and drains.

use super::failure::{Failure, Reason};
use super::pause;
use super::request::{InFlight, Terms, X_REQUEST_ID};
use super::stats::{Ending, Stats};
use http::request::Parts;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ripcord::propagate::Propagator;
use ripcord::{CancelGuard, Context};
use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How long the last answers may take to be written once everything is cancelled.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a server answers.
pub trait Routes: Send + Sync + 'static {
    /// Dropped as soon as `ctx` is done. What it hands to other tasks and threads is to look at `ctx` itself.
    fn answer(
        &self,
        ctx: &Context,
        head: &Parts,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// What is answered with 200.
pub struct Answer {
    pub text: String,
    pub content_type: &'static str,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        let content_type = "text/plain";
        Self { text, content_type }
    }
}

/// One that runs. Dropping it cancels all it does.
pub struct Server {
    pub addr: SocketAddr,
    pub ctx: Context,
    guard: CancelGuard,
    /// Ends the accepting. Not below `ctx`: this is the mild end, that the other.
    open: CancelGuard,
    /// Never receives anything: it is closed when the last connection is.
    connections: mpsc::Receiver<Infallible>,
}

/// What its connections share.
struct Shared<R> {
    routes: R,
    terms: Terms,
}

impl Server {
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn start(
        listen: SocketAddr,
        limit: Duration,
        routes: impl Routes,
        stats: Arc<Stats>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))
        })?;
        let addr = listener.local_addr()?;
        let (ctx, guard) = Context::background().with_cancel();
        let (open, open_guard) = Context::background().with_cancel();
        let (alive, connections) = mpsc::channel(1);
        let terms = Terms {
            propagator: Propagator::default(),
            limit,
            limit_cause: Reason::ServerLimit(limit).into(),
            stats,
        };
        let shared = Shared { routes, terms };
        tokio::spawn(accept(Arc::new(shared), listener, ctx.clone(), open, alive));
        Ok(Self {
            addr,
            ctx,
            guard,
            open: open_guard,
            connections,
        })
    }

    /// Stops accepting, and lets requests go on for `grace`; cancels what is left. Answers with how many connections that
    /// were.
    pub async fn drain(&mut self, grace: Duration) -> usize {
        self.open.cancel();
        if under(grace, self.connections.recv()).await {
            return 0;
        }
        let left = self.ctx.child_count();
        self.guard.cancel_with(Reason::ShuttingDown);
        under(LAST_WORDS, self.connections.recv()).await;
        left
    }
}

/// Whether `future` was ready within `limit`.
async fn under(limit: Duration, future: impl Future) -> bool {
    let (ctx, _guard) = Context::background().with_timeout(limit);
    ctx.run(future).await.is_ok()
}

async fn accept<R: Routes>(
    shared: Arc<Shared<R>>,
    listener: TcpListener,
    ctx: Context,
    open: Context,
    alive: mpsc::Sender<Infallible>,
) {
    while let Ok(accepted) = open.run(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                // Answers are small, and written whole.
                let _ = stream.set_nodelay(true);
                let serving = serve(Arc::clone(&shared), stream, ctx.clone(), open.clone());
                let alive = alive.clone();
                tokio::spawn(async move {
                    serving.await;
                    drop(alive);
                });
            }
            // Out of descriptors, or a client that is gone already: no reason to stop for the others.
            Err(error) => {
                let _ = writeln!(io::stderr(), "gateway: cannot accept: {error}");
                pause(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve<R: Routes>(
    shared: Arc<Shared<R>>,
    stream: TcpStream,
    server: Context,
    open: Context,
) {
    let (ctx, guard) = server.with_cancel();
    let service = service_fn(|request| answer(Arc::clone(&shared), ctx.clone(), request));
    let mut connection =
        pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = open.done() => {
            // Idle, it is closed now; else after its answer.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // An error here is the client's: it is gone, or it does not speak HTTP. Requests under way are dropped with the
    // connection below, and learn the reason first.
    if ended.is_err() {
        guard.cancel_with(Reason::HungUp);
    }
}

async fn answer<R: Routes>(
    shared: Arc<Shared<R>>,
    connection: Context,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, _body) = request.into_parts();
    let in_flight = match InFlight::begin(&connection, &head.headers, &shared.terms) {
        Ok(in_flight) => in_flight,
        Err(failure) => {
            shared.terms.stats.count(Ending::of(failure.status()));
            return Ok(response(Err(failure), ""));
        }
    };
    let ctx = &in_flight.ctx;
    let result = if head.method == Method::GET {
        // Not every handler has to look at its context: one that waits for something else is dropped when it is done.
        ctx.run(shared.routes.answer(ctx, &head))
            .await
            .unwrap_or_else(|_| Err(Failure::ended(ctx)))
    } else {
        Err(Failure::OnlyGet)
    };
    let response = response(result, &in_flight.id);
    in_flight.settle(Ending::of(response.status()));
    Ok(response)
}

fn response(result: Result<Answer, Failure>, id: &str) -> Response<Full<Bytes>> {
    let (status, answer) = match result {
        Ok(answer) => (StatusCode::OK, answer),
        Err(failure) => (failure.status(), format!("{failure}\n").into()),
    };
    let not_allowed = status == StatusCode::METHOD_NOT_ALLOWED;
    let mut response = Response::new(Full::from(answer.text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if not_allowed {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    if let Ok(id) = HeaderValue::from_str(id)
        && !id.is_empty()
    {
        headers.insert(X_REQUEST_ID, id);
    }
    response
}
