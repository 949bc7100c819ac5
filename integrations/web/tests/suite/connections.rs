//! Many requests on one connection: each has a context of its own, which ends with it and not with the connection.

use crate::support::{Entered, Server, Watcher, h2_connect, read_until, request, send, within};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue};
use axum::routing::get;
use bytes::Bytes;
use h2::Reason;
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use ripcord::tower::RequestEnded;
use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context as TaskContext, Poll};

fn routes(watcher: Watcher) -> Router {
    Router::new()
        .route("/hello", get(async |_: Entered| "hello"))
        .route("/waits", get(async |_: Entered| pending::<()>().await))
        .route(
            "/slow-body",
            get(async |_: Entered| Body::new(OneFrame(false))),
        )
        .route("/trailers", get(async |_: Entered| trailers()))
        .with_state(watcher)
}

/// One frame, and then nothing for ever.
struct OneFrame(bool);

impl HttpBody for OneFrame {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"first")))))
    }
}

fn trailers() -> Body {
    Body::new(Full::new(Bytes::from_static(b"data")).with_trailers(async {
        let mut trailers = HeaderMap::new();
        trailers.insert("checksum", HeaderValue::from_static("42"));
        Some(Ok(trailers))
    }))
}

#[tokio::test]
async fn requests_one_after_the_other_have_a_context_each() {
    const REQUESTS: usize = 100;
    let mut server = Server::start(routes).await;
    let mut stream = server.connect().await;
    for n in 1..=REQUESTS {
        send(&mut stream, &request("/hello", "")).await;
        read_until(&mut stream, "hello").await;
        let ctx = server.entered().await;
        assert_eq!(
            server.ended::<RequestEnded>().await,
            RequestEnded::BodyFinished
        );
        assert!(ctx.is_done());
        // The connection is open, and there is nothing left of the request.
        assert_eq!(server.ctx.child_count(), 0);
        assert_eq!(server.made.load(SeqCst), n);
    }
    drop(stream);
    server.is_at_rest().await;
}

#[tokio::test]
async fn requests_sent_at_once_have_a_context_each() {
    const REQUESTS: usize = 20;
    let mut server = Server::start(routes).await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/hello", "").repeat(REQUESTS)).await;
    for _ in 0..REQUESTS {
        read_until(&mut stream, "hello").await;
        assert_eq!(
            server.ended::<RequestEnded>().await,
            RequestEnded::BodyFinished
        );
    }
    assert_eq!(server.made.load(SeqCst), REQUESTS);
    drop(stream);
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_hang_up_after_the_answer_ends_nothing_twice() {
    let mut server = Server::start(routes).await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/hello", "")).await;
    read_until(&mut stream, "hello").await;
    let ctx = server.entered().await;
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::BodyFinished
    );
    drop(stream);
    server.connections.becomes(0).await;
    let cause = ctx.cause().unwrap();
    assert_eq!(cause.downcast_ref(), Some(&RequestEnded::BodyFinished));
    drop((ctx, cause));
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_its_request_and_no_other() {
    let mut server = Server::start(routes).await;
    let mut client = h2_connect(server.addr).await;
    let (_kept, kept_stream) = client.ask("/waits").await;
    let kept_ctx = server.entered().await;
    let (_reset, mut reset_stream) = client.ask("/waits").await;
    let reset_ctx = server.entered().await;
    assert_eq!(server.ctx.child_count(), 2);

    reset_stream.send_reset(Reason::CANCEL);
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::ClientGone
    );
    assert!(reset_ctx.is_done() && !kept_ctx.is_done());
    assert_eq!(server.ctx.child_count(), 1);

    // The other streams go on, and so does the connection.
    let (answer, _) = client.ask("/hello").await;
    assert_eq!(within(answer).await.unwrap().status(), 200);
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::BodyFinished
    );
    assert!(!kept_ctx.is_done());
    drop((kept_stream, _kept, reset_stream, _reset, client));
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::ClientGone
    );
    drop((kept_ctx, reset_ctx));
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_stream_that_is_reset_in_its_body_ends_its_request() {
    let mut server = Server::start(routes).await;
    let mut client = h2_connect(server.addr).await;
    let (answer, mut stream) = client.ask("/slow-body").await;
    let mut body = within(answer).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "first");
    let ctx = server.entered().await;
    assert!(!ctx.is_done());
    stream.send_reset(Reason::CANCEL);
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::BodyDropped
    );
    drop((ctx, body, stream, client));
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_connection_that_breaks_ends_all_its_requests() {
    const STREAMS: usize = 50;
    let mut server = Server::start(routes).await;
    let mut client = h2_connect(server.addr).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(client.ask("/waits").await);
        server.entered().await;
    }
    assert_eq!(server.ctx.child_count(), STREAMS);
    client.break_off();
    for _ in 0..STREAMS {
        assert_eq!(
            server.ended::<RequestEnded>().await,
            RequestEnded::ClientGone
        );
    }
    drop(streams);
    server.is_at_rest().await;
}

#[tokio::test]
async fn trailers_go_through_to_the_client() {
    let mut server = Server::start(routes).await;
    let mut client = h2_connect(server.addr).await;
    let (answer, _) = client.ask("/trailers").await;
    let mut body = within(answer).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "data");
    let trailers = within(body.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["checksum"], "42");
    assert_eq!(
        server.ended::<RequestEnded>().await,
        RequestEnded::BodyFinished
    );
    drop((body, client));
    server.is_at_rest().await;
}
