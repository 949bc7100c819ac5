//! A router with the whole chain before its handlers: request id, context, log, timeout, rate limit, authentication. What
//! tower-http and governor have is theirs; the context goes through all of it, and each layer leaves in it what it knows.
//!
//! A timeout that runs the handler beside itself has both write into one response: the timeout's 408, and later the
//! handler's 200. Here the late handler is dropped before the 408 is given, so there is nobody left who could write:
//! `/stubborn`, which does not heed its context, shows it.
//!
//! Run with `cargo run --example 15_middleware`, which asks itself and prints log and answers; or with
//! `-- --listen 127.0.0.1:8080`, which serves there:
//! `curl -i -H 'Authorization: Bearer valid-token' 127.0.0.1:8080/user`.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota};
use ripcord::tower::{ContextLayer, TimeoutLayer};
use ripcord::{Cause, Context, Key};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceBuilder;
use tower_http::auth::AsyncRequireAuthorizationLayer;
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::trace::TraceLayer;
use tracing::{Span, info, info_span};

/// What the request is called, in the log and in its answer.
pub static REQUEST_ID: Key<String> = Key::new("request_id");

/// Who sent it, once that is known.
pub static USER: Key<&str> = Key::new("user");

/// Who may come in.
const TOKENS: [(&str, &str); 1] = [("Bearer valid-token", "user123")];

/// How a server is set up, and what it counts.
#[derive(Clone)]
pub struct Settings {
    pub limit: Duration,
    pub requests_per_second: NonZeroU32,
    /// Answers that `/stubborn` has come to write.
    pub late_writes: Arc<AtomicUsize>,
}

pub fn router(server: &Context, settings: &Settings) -> Router {
    let quota = Quota::per_second(settings.requests_per_second);
    let limiter = Arc::new(DefaultDirectRateLimiter::direct(quota));
    let public = Router::new()
        .route("/health", get(health))
        .route("/slow", get(slow))
        .layer(from_fn_with_state(limiter, rate_limit));
    let protected = Router::new()
        .route("/user", get(user))
        .layer(AsyncRequireAuthorizationLayer::new(authenticate));
    let stubborn = Router::new()
        .route("/stubborn", get(stubborn))
        .with_state(settings.clone());
    let chain = ServiceBuilder::new()
        // From the outside in.
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(ContextLayer::new(server).map_context(with_request_id))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_response(log),
        )
        .layer(TimeoutLayer::new(settings.limit));
    public.merge(protected).merge(stubborn).layer(chain)
}

fn with_request_id(ctx: Context, parts: &Parts) -> Context {
    let id = parts.extensions.get::<RequestId>();
    match id.and_then(|id| id.header_value().to_str().ok()) {
        Some(id) => ctx.with_value(&REQUEST_ID, id.to_owned()),
        None => ctx,
    }
}

fn span(request: &Request) -> Span {
    let ctx = request.extensions().get::<Context>();
    let id = ctx.and_then(|ctx| ctx.value(&REQUEST_ID));
    info_span!("request", method = %request.method(), path = request.uri().path(), id)
}

fn log<B>(response: &axum::http::Response<B>, took: Duration, _: &Span) {
    let status = response.status().as_u16();
    // What the timeout leaves in its answers.
    match response.extensions().get::<Cause>() {
        Some(cause) => info!(status, ?took, %cause, "ended"),
        None => info!(status, ?took, "answered"),
    }
}

/// So many a second for all clients together; who comes too early is told when to come again.
async fn rate_limit(
    State(limiter): State<Arc<DefaultDirectRateLimiter>>,
    request: Request,
    next: Next,
) -> Response {
    match limiter.check() {
        Ok(()) => next.run(request).await,
        Err(not_until) => {
            let wait = not_until.wait_time_from(limiter.clock().now());
            // Whole seconds are all that the header has.
            let seconds = wait.as_secs() + 1;
            let headers = [(RETRY_AFTER, HeaderValue::from(seconds))];
            (
                StatusCode::TOO_MANY_REQUESTS,
                headers,
                "rate limit exceeded\n",
            )
                .into_response()
        }
    }
}

/// Puts the user in the context: what is after this layer has one that knows.
async fn authenticate(mut request: Request) -> Result<Request, Response<Body>> {
    let token = request.headers().get(AUTHORIZATION);
    let known = TOKENS
        .iter()
        .find(|(known, _)| token.is_some_and(|token| token == known));
    let Some((_, user)) = known else {
        let headers = [(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
        return Err((StatusCode::UNAUTHORIZED, headers, "no valid token\n").into_response());
    };
    let ctx = request.extensions().get::<Context>().cloned();
    let ctx = ctx.unwrap_or_default().with_value(&USER, *user);
    request.extensions_mut().insert(ctx);
    Ok(request)
}

fn id(ctx: &Context) -> &str {
    ctx.value(&REQUEST_ID).map_or("none", String::as_str)
}

async fn health(ctx: Context) -> String {
    format!("OK (request {})\n", id(&ctx))
}

async fn user(ctx: Context) -> String {
    let user = ctx.value(&USER).unwrap_or(&"nobody");
    format!("profile of {user} (request {})\n", id(&ctx))
}

/// Longer than any limit, and gone with its time.
async fn slow(ctx: Context) -> Result<&'static str, StatusCode> {
    let slept = ctx.sleep(Duration::from_secs(3600)).await;
    slept.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok("done\n")
}

/// Goes on though its time has passed, by a clock that nobody stops, and then writes; if it still can.
async fn stubborn(ctx: Context, State(settings): State<Settings>) -> &'static str {
    let _ = ctx.without_cancel().sleep(settings.limit * 2).await;
    settings.late_writes.fetch_add(1, Relaxed);
    "written twice\n"
}

/// Serves until `server` is done. Answers with where.
pub async fn serve(listen: &str, server: &Context, settings: &Settings) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let addr = listener.local_addr()?;
    let (router, stopping) = (router(server, settings), server.done());
    let serving = axum::serve(listener, router).with_graceful_shutdown(async {
        stopping.await;
    });
    tokio::spawn(async { serving.await });
    Ok(addr)
}

/// What comes back for each of `requests` in turn (a path, and header lines), on one connection, up to its end.
pub async fn ask(addr: SocketAddr, requests: &[(&str, &str)]) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    for (n, (path, headers)) in requests.iter().enumerate() {
        let last = if n + 1 == requests.len() {
            "close"
        } else {
            "keep-alive"
        };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: {last}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await?;
    }
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await?;
    Ok(answers)
}

#[tokio::main]
pub async fn main() -> io::Result<()> {
    // Who runs this as a part of something else may have one already.
    let _ = tracing_subscriber::fmt().without_time().try_init();
    let (server, stop) = Context::background().with_cancel();
    let settings = Settings {
        limit: Duration::from_millis(200),
        requests_per_second: NonZeroU32::new(2).expect("two is not zero"),
        late_writes: Arc::default(),
    };
    let mut arguments = std::env::args();
    if arguments.any(|argument| argument == "--listen") {
        let listen = arguments
            .next()
            .unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        println!("listening on {}", serve(&listen, &server, &settings).await?);
        tokio::signal::ctrl_c().await?;
        stop.cancel_with(ripcord::tower::RequestEnded::ServerStopped);
        return Ok(());
    }
    let addr = serve("127.0.0.1:0", &server, &settings).await?;
    for request in [
        ("/health", "X-Request-Id: mine\r\n"),
        ("/slow", ""),
        ("/health", ""),
        ("/user", ""),
        ("/user", "Authorization: Bearer valid-token\r\n"),
    ] {
        print!("{}\n{}\n", request.0, ask(addr, &[request]).await?);
    }
    let answers = ask(addr, &[("/stubborn", ""), ("/user", "")]).await?;
    println!("/stubborn, and another on its connection\n{answers}");
    server.sleep(settings.limit * 3).await?;
    let late_writes = settings.late_writes.load(Relaxed);
    println!("answers written by the late handler: {late_writes}");
    Ok(())
}
