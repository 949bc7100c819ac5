//! Clients that mean no good, or cannot do better: each costs its own connection, and the server lives on.

use crate::support::{
    Entered, Limits, Server, USUAL, Watcher, h2_connect, read_all, read_until, request, send,
    within,
};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use ripcord::Context;
use ripcord::tower::{RequestEnded, TimedOut, TimeoutLayer};
use std::future::pending;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const MEGABYTE: usize = 1 << 20;

fn routes(watcher: Watcher) -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/waits", get(async |_: Entered| pending::<()>().await))
        .route("/reads", post(reads))
        .route("/large", get(async |_: Entered| vec![b'x'; 64 * MEGABYTE]))
        .with_state(watcher)
}

async fn reads(_: Entered, body: Body) -> Result<String, StatusCode> {
    let body = body.collect().await;
    let body = body.map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(body.to_bytes().len().to_string())
}

#[tokio::test]
async fn heads_that_never_end_make_no_context_and_are_closed() {
    const SLOW: usize = 200;
    let limits = Limits {
        header_time: Duration::from_millis(500),
        ..USUAL
    };
    let mut server = Server::start_under(&Context::background(), limits, routes).await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut stream = server.connect().await;
        send(&mut stream, "GET /waits HTTP/1.1\r\nX-Slow: ").await;
        slow.push(stream);
    }
    let answer = server.get("/hello").await;
    assert!(answer.ends_with("hello"), "{answer}");
    for stream in &mut slow {
        // A byte more, and a byte more: it is the head's time that counts. It may be closed already.
        let _ = stream.write_all(b"a").await;
        let answer = read_all(stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{answer}"
        );
    }
    assert_eq!(server.made.load(SeqCst), 1, "the good one");
    drop(slow);
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_408() {
    let limit = Duration::from_millis(200);
    let mut server = Server::start(|watcher| routes(watcher).layer(TimeoutLayer::new(limit))).await;
    let mut stream = server.connect().await;
    let head = "POST /reads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    send(&mut stream, head).await;
    let ctx = server.entered().await;
    while !ctx.is_done() {
        send(&mut stream, "b").await;
        let _ = ctx.sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.ended::<TimedOut>().await, TimedOut::Limit(limit));
    let answer = read_until(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    drop((ctx, stream));
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_keeps_its_context_until_it_goes_and_no_longer() {
    let mut server = Server::start(routes).await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/large", "")).await;
    read_until(&mut stream, "\r\n\r\n").await;
    let ctx = server.entered().await;
    let answer = server.get("/hello").await;
    assert!(answer.ends_with("hello"), "{answer}");
    drop(stream);
    // The one frame of it was taken, so it is finished; or was not, then it is dropped.
    let end = server.ended::<RequestEnded>().await;
    assert!(
        matches!(end, RequestEnded::BodyFinished | RequestEnded::BodyDropped),
        "{end:?}"
    );
    drop(ctx);
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_megabyte_of_headers_is_refused_over_http1() {
    let mut server = Server::start(routes).await;
    let one = format!("X-Large: {}\r\n", "a".repeat(MEGABYTE));
    let many: String = (0..40_000).map(|n| format!("X-{n}: {n:014}\r\n")).collect();
    let baggage: String = (0..10_000).map(|n| format!("key{n}=value{n},")).collect();
    let baggage = format!("baggage: {baggage}\r\n");
    for headers in [one, many, baggage] {
        let mut stream = server.connect().await;
        // Refused before the last of it is sent, and then reset.
        let _ = within(stream.write_all(request("/waits", &headers).as_bytes())).await;
        let answer = read_all(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
        drop(stream);
        server.is_at_rest().await;
    }
    // Only the good ones.
    assert_eq!(server.made.load(SeqCst), 3);
}

#[tokio::test]
async fn a_megabyte_of_headers_is_refused_over_http2() {
    let mut server = Server::start(routes).await;
    let mut client = h2_connect(server.addr).await;
    let large = Request::get("http://localhost/waits")
        .header("x-large", "a".repeat(MEGABYTE))
        .body(())
        .unwrap();
    let (answer, stream) = client.send(large).await;
    match within(answer).await {
        Ok(answer) => assert_eq!(answer.status(), 431),
        Err(error) => assert!(error.is_remote() || error.is_go_away(), "{error}"),
    }
    assert_eq!(server.made.load(SeqCst), 0);
    drop((stream, client));
    server.is_at_rest().await;
}

#[tokio::test]
async fn what_is_not_http_makes_no_context() {
    let mut server = Server::start(routes).await;
    let garbage = [
        "\0\0\0\0\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /waits HTTP/9.9\r\n\r\n",
        "GET /waits HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n",
        "GET /waits HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        "POST /reads HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /reads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST /reads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
    ];
    for (n, bytes) in garbage.into_iter().enumerate() {
        let mut stream = server.connect().await;
        send(&mut stream, bytes).await;
        let answer = read_all(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{bytes:?} gives {answer}"
        );
        drop(stream);
        server.is_at_rest().await;
        assert_eq!(server.made.load(SeqCst), n + 1, "{bytes:?}");
    }
}
