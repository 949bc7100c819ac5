//! The timeout: one answer, in time, and nothing goes on after it.

use crate::support::{
    Entered, Server, USUAL, Watcher, read_all, read_until, request, send, within,
};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::channel::Channel;
use ripcord::tower::{RequestEnded, TimedOut, TimeoutLayer};
use ripcord::{Cause, Context, Engine, Error};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt, service_fn};

const LIMIT: Duration = Duration::from_secs(30);

fn routes(watcher: Watcher) -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/waits", get(async |_: Entered| pending::<()>().await))
        .route(
            "/deaf",
            post(async |_: Entered, _unread: Body| pending::<()>().await),
        )
        .route(
            "/done",
            get(async |Entered(ctx): Entered| ctx.done().await.to_string()),
        )
        .with_state(watcher)
}

fn milliseconds(parts: &axum::http::request::Parts) -> Option<Duration> {
    let text = parts.headers.get("x-timeout-ms")?.to_str().ok()?;
    Some(Duration::from_millis(text.parse().ok()?))
}

#[tokio::test]
async fn it_answers_408_or_504_and_the_work_stops_on_other_threads_too() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let layers = [
        (TimeoutLayer::new(LIMIT), "HTTP/1.1 408 Request Timeout"),
        (
            TimeoutLayer::new(LIMIT).gateway_timeout(),
            "HTTP/1.1 504 Gateway Timeout",
        ),
    ];
    for (layer, head) in layers {
        let mut server = Server::start_under(&engine.background(), USUAL, |watcher| {
            routes(watcher).layer(layer)
        })
        .await;
        let mut stream = server.connect().await;
        send(&mut stream, &request("/waits", "Connection: close\r\n")).await;
        let ctx = server.entered().await;
        assert_eq!(ctx.remaining(), Some(LIMIT));
        let worker = thread::spawn({
            let ctx = ctx.clone();
            move || ctx.wait()
        });
        clock.advance(LIMIT - Duration::from_nanos(1));
        assert!(!ctx.is_done());
        clock.advance(Duration::from_nanos(1));
        assert_eq!(worker.join().unwrap(), Error::DeadlineExceeded);
        assert_eq!(server.ended::<TimedOut>().await, TimedOut::Limit(LIMIT));
        drop(ctx);

        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with(head), "{answer}");
        assert!(answer.contains("content-length: 0\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        server.is_at_rest().await;
    }
}

/// What the book's sample does wrong: its handler goes on, and writes a second head into the same response.
#[tokio::test]
async fn the_handler_is_gone_before_the_answer_is_given() {
    struct Gone(mpsc::UnboundedSender<&'static str>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.send("the handler is dropped").unwrap();
        }
    }
    let (events, mut seen) = mpsc::unbounded_channel();
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let (parent, _guard) = engine.background().with_cancel();
    let handlers = events.clone();
    let service = TimeoutLayer::new(LIMIT).layer(service_fn(move |request: Request<()>| {
        let gone = Gone(handlers.clone());
        async move {
            let ctx: &Context = request.extensions().get().unwrap();
            ctx.done().await;
            // Both it and the layer are woken by the same deadline; the layer looks first.
            gone.0.send("the handler writes").unwrap();
            Ok::<_, Infallible>(Response::new(Body::from("late")))
        }
    }));
    let mut request = Request::new(());
    request.extensions_mut().insert(parent.clone());
    let answer = tokio::spawn(async move {
        let response = service.oneshot(request).await.unwrap();
        events.send("the answer is given").unwrap();
        response
    });
    while parent.child_count() == 0 {
        tokio::task::yield_now().await;
    }
    clock.advance(LIMIT);
    let response = within(answer).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    let cause = response.extensions().get::<Cause>().unwrap();
    assert_eq!(cause.downcast_ref(), Some(&TimedOut::Limit(LIMIT)));
    let mut order = Vec::new();
    while let Some(event) = within(seen.recv()).await {
        order.push(event);
    }
    assert_eq!(order, ["the handler is dropped", "the answer is given"]);
    assert_eq!(parent.child_count(), 0);
}

/// Handlers that are ready at the very moment their time is up, on one connection: were one answered twice, all after it
/// would be off by one.
#[tokio::test]
async fn a_handler_that_ends_with_its_time_is_answered_once() {
    const REQUESTS: usize = 300;
    let limit = Duration::from_millis(1);
    let written = Arc::new(AtomicUsize::new(0));
    let mut server = Server::start({
        let written = Arc::clone(&written);
        move |watcher| {
            let sleeps = async move |ctx: Context, path: axum::http::Uri| {
                let _ = ctx.without_cancel().sleep(limit).await;
                written.fetch_add(1, SeqCst);
                path.path().to_owned()
            };
            Router::new()
                .route("/sleeps/{n}", get(sleeps))
                .merge(routes(watcher))
                .layer(TimeoutLayer::new(limit))
        }
    })
    .await;
    let mut stream = server.connect().await;
    let mut in_time = 0;
    for n in 0..REQUESTS {
        let path = format!("/sleeps/{n}");
        send(&mut stream, &request(&path, "")).await;
        let head = read_until(&mut stream, "\r\n\r\n").await;
        if head.starts_with("HTTP/1.1 200") {
            read_until(&mut stream, &path).await;
            in_time += 1;
        } else {
            assert!(head.starts_with("HTTP/1.1 408"), "{head}");
        }
    }
    drop(stream);
    // One that had written and was late all the same was dropped with what it wrote.
    assert!(written.load(SeqCst) >= in_time);
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_budget_shortens_and_never_lengthens() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let layer = TimeoutLayer::new(LIMIT)
        .budget(milliseconds)
        .gateway_timeout();
    let mut server = Server::start_under(&engine.background(), USUAL, |watcher| {
        routes(watcher).layer(layer)
    })
    .await;
    let cases = [
        ("x-timeout-ms: 250\r\n", Duration::from_millis(250)),
        ("x-timeout-ms: 30000\r\n", LIMIT),
        ("x-timeout-ms: 18446744073709551615\r\n", LIMIT),
        ("x-timeout-ms: 99999999999999999999999\r\n", LIMIT),
        ("x-timeout-ms: -1\r\n", LIMIT),
        ("x-timeout-ms: \u{fe}\r\n", LIMIT),
        ("x-timeout-ms: \r\n", LIMIT),
        ("", LIMIT),
    ];
    for (header, left) in cases {
        let mut stream = server.connect().await;
        send(&mut stream, &request("/waits", header)).await;
        let ctx = server.entered().await;
        assert_eq!(ctx.remaining(), Some(left), "{header}");
        drop(stream);
        within(ctx.done()).await;
    }
    // None at all: it is answered without a look at the handler.
    let mut stream = server.connect().await;
    let headers = "x-timeout-ms: 0\r\nConnection: close\r\n";
    send(&mut stream, &request("/waits", headers)).await;
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_budget_that_passes_says_whose_it_was() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let layer = TimeoutLayer::new(LIMIT).budget(milliseconds);
    let mut server = Server::start_under(&engine.background(), USUAL, |watcher| {
        routes(watcher).layer(layer)
    })
    .await;
    let mut stream = server.connect().await;
    let headers = "x-timeout-ms: 250\r\nConnection: close\r\n";
    send(&mut stream, &request("/waits", headers)).await;
    server.entered().await;
    let budget = Duration::from_millis(250);
    clock.advance(budget);
    assert_eq!(server.ended::<TimedOut>().await, TimedOut::Budget(budget));
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_hang_up_that_nobody_reads_of_ends_with_the_time() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let mut server = Server::start_under(&engine.background(), USUAL, |watcher| {
        routes(watcher).layer(TimeoutLayer::new(LIMIT))
    })
    .await;
    let mut stream = server.connect().await;
    let head = "POST /deaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nten bytes.";
    send(&mut stream, head).await;
    server.entered().await;
    drop(stream);
    clock.advance(LIMIT);
    assert_eq!(server.ended::<TimedOut>().await, TimedOut::Limit(LIMIT));
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_request_of_a_server_that_stops_has_the_rest_of_its_time() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let mut server = Server::start_under(&engine.background(), USUAL, |watcher| {
        routes(watcher).layer(TimeoutLayer::new(LIMIT))
    })
    .await;
    let mut heeds = server.connect().await;
    send(&mut heeds, &request("/done", "Connection: close\r\n")).await;
    server.entered().await;
    let mut ignores = server.connect().await;
    send(&mut ignores, &request("/waits", "Connection: close\r\n")).await;
    server.entered().await;
    clock.advance(LIMIT / 3);
    server.stop.cancel_with(RequestEnded::ServerStopped);
    for _ in 0..2 {
        assert_eq!(
            server.ended::<RequestEnded>().await,
            RequestEnded::ServerStopped
        );
    }
    let answer = read_all(&mut heeds).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("context canceled"), "{answer}");

    // It is woken by the cancel some time, and sleeps for the rest of the time from then on.
    let answer = tokio::spawn(async move { read_all(&mut ignores).await });
    while !answer.is_finished() {
        clock.advance(LIMIT / 3);
        tokio::task::yield_now().await;
    }
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    server.is_at_rest().await;
}

#[tokio::test]
async fn without_a_clock_there_is_an_answer_at_once() {
    let engine = Engine::builder().build().unwrap();
    let mut server = Server::start_under(&engine.background(), USUAL, |watcher| {
        routes(watcher).layer(TimeoutLayer::new(LIMIT))
    })
    .await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/waits", "Connection: close\r\n")).await;
    server.entered().await;
    engine.shutdown();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let answer = server.get("/waits").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(server);
}

#[tokio::test]
async fn of_two_layers_the_shorter_answers() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    for (outer, inner, head) in [
        (LIMIT, 2 * LIMIT, "HTTP/1.1 504"),
        (2 * LIMIT, LIMIT, "HTTP/1.1 408"),
        (LIMIT, LIMIT, "HTTP/1.1 504"),
    ] {
        let mut server = Server::start_under(&engine.background(), USUAL, |watcher| {
            routes(watcher)
                .layer(TimeoutLayer::new(inner))
                .layer(TimeoutLayer::new(outer).gateway_timeout())
        })
        .await;
        let mut stream = server.connect().await;
        send(&mut stream, &request("/waits", "Connection: close\r\n")).await;
        server.entered().await;
        clock.advance(LIMIT);
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with(head), "{answer}");
        server.is_at_rest().await;
    }
}

#[tokio::test]
async fn the_time_goes_on_while_the_body_is_written() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let mut server = Server::start_under(&engine.background(), USUAL, |watcher| {
        let rows = async |Entered(ctx): Entered| {
            let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
            tokio::spawn(async move {
                let row = Bytes::from_static(b"row\n");
                sender.send_data(row).await.unwrap();
                let end = format!("{}\n", ctx.done().await);
                sender.send_data(end.into()).await.unwrap();
            });
            Body::new(body)
        };
        Router::new()
            .route("/rows", get(rows))
            .with_state(watcher.clone())
            .merge(routes(watcher))
            .layer(TimeoutLayer::new(LIMIT))
    })
    .await;
    let mut stream = server.connect().await;
    send(&mut stream, &request("/rows", "Connection: close\r\n")).await;
    read_until(&mut stream, "row\n").await;
    clock.advance(LIMIT);
    // The answer had begun: it is not another one now, but ends as who makes it has it.
    let rest = read_all(&mut stream).await;
    assert!(rest.contains("context deadline exceeded\n"), "{rest}");
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(server.ended::<TimedOut>().await, TimedOut::Limit(LIMIT));
    server.is_at_rest().await;
}

#[tokio::test]
async fn a_timeout_alone_has_a_context_too() {
    let entered = Arc::new(std::sync::Mutex::new(None));
    let service = TimeoutLayer::new(LIMIT).layer(service_fn({
        let entered = Arc::clone(&entered);
        move |request: Request<()>| {
            *entered.lock().unwrap() = request.extensions().get::<Context>().cloned();
            pending::<Result<Response<Body>, Infallible>>()
        }
    }));
    let mut future = Box::pin(service.oneshot(Request::new(())));
    assert!(is_pending(&mut future).await);
    let ctx = entered.lock().unwrap().take().unwrap();
    assert!(!ctx.is_done() && ctx.remaining().is_some_and(|left| left <= LIMIT));
    drop(future);
    let cause = ctx.cause().unwrap();
    assert_eq!(cause.downcast_ref(), Some(&RequestEnded::ClientGone));
}

/// Whether it is, polled once.
async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())
    })
    .await
}
