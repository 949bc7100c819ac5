//! Each way a request ends, and what its context says of it.

use crate::support::{Entered, Server, Watcher, read_all, read_until, request, send, within};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use ripcord::tower::{ContextLayer, MissingContext, RequestEnded};
use ripcord::{Context, Error, Key};
use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context as TaskContext, Poll};
use std::thread;
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt, service_fn};

fn routes(watcher: Watcher) -> Router {
    Router::new()
        .route("/hello", get(async |_: Entered| "hello"))
        .route("/waits", get(async |_: Entered| pending::<()>().await))
        .route("/endless", get(async |_: Entered| Body::new(Endless)))
        .route("/reads", post(reads))
        .route("/fails", get(fails))
        .route("/panics", get(panics))
        .route(
            "/panicking-body",
            get(async |_: Entered| Body::new(PanickingBody)),
        )
        .route("/stops", get(stops))
        .route("/sized", get(sized))
        .route("/nothing", get(async |_: Entered| StatusCode::NO_CONTENT))
        .with_state(watcher)
}

async fn reads(_: Entered, body: Body) -> (StatusCode, String) {
    match body.collect().await {
        Ok(body) => (StatusCode::OK, body.to_bytes().len().to_string()),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn fails(_: Entered) -> Body {
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
    sender.send_data(Bytes::from_static(b"half")).await.unwrap();
    sender.abort(std::io::Error::other("the disk is gone"));
    Body::new(body)
}

async fn panics(_: Entered) {
    panic!("this handler panics, as a test has it");
}

async fn stops(Entered(ctx): Entered) -> (StatusCode, String) {
    ctx.done().await;
    let why = ctx.cause().unwrap().to_string();
    (StatusCode::SERVICE_UNAVAILABLE, why)
}

/// As long as it says it is, and never at its end by itself.
async fn sized(Entered(ctx): Entered) -> Response {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    sender
        .send_data(Bytes::from_static(b"12345"))
        .await
        .unwrap();
    tokio::spawn(async move {
        ctx.done().await;
        drop(sender);
    });
    Response::builder()
        .header("content-length", 5)
        .body(Body::new(body))
        .unwrap()
}

/// Gives data for as long as it is asked.
struct Endless;

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = Bytes::from_static(&[b'x'; 16 * 1024]);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

struct PanickingBody;

impl HttpBody for PanickingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("this body panics, as a test has it");
    }
}

#[tokio::test]
async fn a_hang_up_before_the_handler_makes_no_context() {
    let mut server = Server::start(routes).await;
    for half in ["", "GET", "GET /hello HTTP/1.1\r\nHo"] {
        let mut stream = server.connect().await;
        send(&mut stream, half).await;
        server.connections.becomes(1).await;
        drop(stream);
        server.connections.becomes(0).await;
    }
    assert_eq!(server.made.load(SeqCst), 0);
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_hang_up_during_the_handler_stops_it_and_its_threads() {
    let mut server = Server::start(routes).await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/waits", "")).await;
    let ctx = server.entered().await;
    assert_eq!(server.ctx.child_count(), 1);
    let worker = thread::spawn(move || ctx.wait());

    drop(stream);
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::ClientGone
    );
    assert_eq!(worker.join().unwrap(), Error::Canceled);
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_hang_up_in_the_middle_of_the_body_ends_the_context() {
    let mut server = Server::start(routes).await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/endless", "")).await;
    read_until(&mut stream, "xxxxxxxx").await;
    let ctx = server.entered().await;
    assert!(!ctx.is_done(), "the body goes on");

    drop((ctx, stream));
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::BodyDropped
    );
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_hang_up_in_the_middle_of_a_request_body_is_seen_by_who_reads_it() {
    let mut server = Server::start(routes).await;
    let mut stream = server.connect().await;
    let head = "POST /reads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nten bytes.";
    send(&mut stream, head).await;
    server.entered().await;
    drop(stream);
    // Its reading fails, and it answers that; whether hyper still takes the answer is hyper's.
    let end = server.ended::<RequestEnded>().await;
    assert!(
        matches!(
            end,
            RequestEnded::ClientGone | RequestEnded::BodyFinished | RequestEnded::BodyDropped
        ),
        "{end:?}"
    );
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_finished_response_ends_the_context() {
    let mut server = Server::start(routes).await;
    for (path, end) in [
        ("/hello", "hello"),
        ("/sized", "12345"),
        ("/nothing", "\r\n\r\n"),
    ] {
        let answer = server.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
        assert!(answer.ends_with(end), "{answer}");
        assert_eq!(
            server.ended::<RequestEnded>().await,
            RequestEnded::BodyFinished,
            "{path}"
        );
    }
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_request_for_the_head_alone_finishes() {
    let mut server = Server::start(routes).await;
    let mut stream = server.connect().await;
    let head = "HEAD /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    send(&mut stream, head).await;
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::BodyFinished
    );
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_body_that_fails_ends_the_context_and_cuts_the_response() {
    let mut server = Server::start(routes).await;
    let answer = server.get("/fails").await;
    assert!(
        !answer.ends_with("0\r\n\r\n"),
        "it looks complete: {answer}"
    );
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::BodyFailed
    );
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_panic_ends_the_context_and_the_server_lives_on() {
    let mut server = Server::start(routes).await;
    for path in ["/panics", "/panicking-body"] {
        server.get(path).await;
        assert_eq!(
            server.ended::<RequestEnded>().await,
            RequestEnded::Panicked,
            "{path}"
        );
        server.is_at_rest().await;
    }
}

#[tokio::test]
async fn a_server_that_stops_tells_its_requests_which_may_still_answer() {
    let mut server = Server::start(routes).await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/stops", "Connection: close\r\n")).await;
    server.entered().await;
    server.stop.cancel_with(RequestEnded::ServerStopped);
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::ServerStopped
    );

    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("the server stops"), "{answer}");

    // One that comes after that is served too, and knows.
    let answer = server.get("/stops").await;
    assert!(answer.ends_with("the server stops"), "{answer}");
    server.is_at_rest().await;
}

#[tokio::test]
async fn what_a_dropped_handler_drops_finds_its_context_done() {
    struct LooksLast(Context, mpsc::UnboundedSender<bool>);
    impl Drop for LooksLast {
        fn drop(&mut self) {
            self.1.send(self.0.is_done()).unwrap();
        }
    }
    let (sender, mut was_done) = mpsc::unbounded_channel();
    let mut server = Server::start(|watcher| {
        let handler = async move |Entered(ctx): Entered| {
            let _looks = LooksLast(ctx, sender);
            pending::<()>().await;
        };
        let looks = Router::new()
            .route("/looks", get(handler))
            .with_state(watcher.clone());
        routes(watcher).merge(looks)
    })
    .await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/looks", "")).await;
    server.entered().await;
    drop(stream);
    assert_eq!(within(was_done.recv()).await, Some(true));
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_context_that_is_there_already_is_a_parent_too() {
    static OUTER: Key<&str> = Key::new("outer");
    let (connection, hang_up) = Context::background()
        .with_value(&OUTER, "connection")
        .with_cancel();
    let outer = connection.clone();
    let mut server = Server::start(|watcher| {
        let inner = ContextLayer::new(&connection);
        routes(watcher).layer(inner)
    })
    .await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/stops", "Connection: close\r\n")).await;
    let ctx = server.entered().await;
    assert_eq!(ctx.value(&OUTER), Some(&"connection"));
    assert_eq!((server.ctx.child_count(), outer.child_count()), (1, 1));

    hang_up.cancel_with(RequestEnded::ClientGone);
    assert!(ctx.is_done() && !server.ctx.is_done());
    drop(ctx);
    read_all(&mut stream).await;
    server.is_at_rest().await;
}

#[tokio::test]
async fn without_a_layer_the_extractor_says_so() {
    let router = Router::new()
        .route("/needs", get(async |_: Context| "has one"))
        .route(
            "/asks",
            get(async |ctx: Option<Context>| ctx.is_some().to_string()),
        );
    let ask = async |path| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let (status, text) = ask("/needs").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(text, MissingContext.to_string());
    assert_eq!(ask("/asks").await, (StatusCode::OK, "false".to_owned()));
}

#[tokio::test]
async fn frames_trailers_and_hints_are_those_of_the_body_inside() {
    let (server, _stop) = Context::background().with_cancel();
    let layer = ContextLayer::new(&server);

    let sized = layer.layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"12345"))))
    }));
    let response = sized.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert!(!response.body().is_end_stream());
    assert_eq!(server.child_count(), 1);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "12345"
    );
    assert_eq!(server.child_count(), 0);

    let trailed = layer.layer(service_fn(async |_: Request<()>| {
        let body = Full::new(Bytes::from_static(b"data")).with_trailers(Box::pin(async {
            let mut trailers = HeaderMap::new();
            trailers.insert("checksum", HeaderValue::from_static("42"));
            Some(Ok(trailers))
        }));
        Ok::<_, Infallible>(Response::new(body))
    }));
    let mut response = trailed.oneshot(Request::new(())).await.unwrap();
    let data = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(data.into_data().unwrap(), "data");
    assert_eq!(server.child_count(), 1);
    let trailers = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(trailers.into_trailers().unwrap()["checksum"], "42");
    assert_eq!(server.child_count(), 0, "nothing follows trailers");
}
