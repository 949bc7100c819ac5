//! A server whose requests have a context each: a client that hangs up stops the work that was done for it, wherever that is.
//!
//! The work here is real: a thread looks for primes, and counts the numbers it has looked at. axum drops a handler whose
//! client is gone, but it cannot drop a thread; the thread has the request's context, and stops by that. A client that
//! waits too long is answered 408, and its thread stops by the same context. A server that stops takes no new connection, lets those it
//! has be answered, and after a grace cancels what is left.
//!
//! Run with `cargo run --example 07_http_server`, which serves itself three clients and prints what became of them; or
//! with `-- --listen 127.0.0.1:8080`, which serves there until Ctrl-C, and gives a request 30 s: `curl -m 1 127.0.0.1:8080/primes`,
//! then `curl 127.0.0.1:8080/counters`.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use ripcord::tower::{ContextLayer, RequestEnded, TimeoutLayer};
use ripcord::{Context, Error, Shutdown};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const SECOND: Duration = Duration::from_secs(1);

/// What the work counts.
#[derive(Clone, Default)]
pub struct Counters {
    /// Numbers that were looked at, for all requests together.
    pub looked_at: Arc<AtomicU64>,
    /// Threads at work, and how each that is not any more ended.
    pub work: watch::Sender<Work>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub running: usize,
    pub finished: usize,
    pub client_gone: usize,
    pub timed_out: usize,
    pub server_stopped: usize,
}

/// The routes, under `server` and with so much time for a request.
pub fn router(server: &Context, limit: Duration, counters: Counters) -> Router {
    Router::new()
        .route("/primes/{below}", get(primes))
        .route("/primes", get(endless_primes))
        .route("/counters", get(show_counters))
        .layer(TimeoutLayer::new(limit))
        .layer(ContextLayer::new(server))
        .with_state(counters)
}

async fn primes(
    ctx: Context,
    State(counters): State<Counters>,
    Path(below): Path<u64>,
) -> Result<String, StatusCode> {
    let found = tokio::task::spawn_blocking(move || search(&ctx, below, &counters)).await;
    match found.expect("the search does not panic") {
        Ok(found) => Ok(found.to_string()),
        // Whoever is still there: the server stops, for had the time passed, the timeout would have answered.
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn endless_primes(ctx: Context, counters: State<Counters>) -> Result<String, StatusCode> {
    primes(ctx, counters, Path(u64::MAX)).await
}

async fn show_counters(State(counters): State<Counters>) -> String {
    let looked_at = counters.looked_at.load(Relaxed);
    format!(
        "{looked_at} numbers looked at, {:?}\n",
        *counters.work.borrow()
    )
}

/// On a thread that nobody can stop from outside: it looks at its context as it goes.
fn search(ctx: &Context, below: u64, counters: &Counters) -> Result<u64, Error> {
    counters.work.send_modify(|work| work.running += 1);
    let found = (2..below).try_fold(0, |found, number| {
        ctx.check()?;
        counters.looked_at.fetch_add(1, Relaxed);
        let prime = (2..=number.isqrt()).all(|divisor| number % divisor != 0);
        Ok(found + u64::from(prime))
    });
    counters.work.send_modify(|work| {
        work.running -= 1;
        let cause = ctx.cause();
        match found {
            Ok(_) => work.finished += 1,
            Err(Error::DeadlineExceeded) => work.timed_out += 1,
            Err(_) if cause.is_some_and(|cause| cause.downcast_ref::<RequestEnded>().is_some()) => {
                work.client_gone += 1;
            }
            Err(_) => work.server_stopped += 1,
        }
    });
    found
}

/// One that runs, until its shutdown is told to stop.
pub struct Server {
    pub addr: SocketAddr,
    pub shutdown: Shutdown,
    /// Of the serving as a whole: done when the grace is over. Each request has a child of it.
    pub ctx: Context,
    pub counters: Counters,
}

impl Server {
    pub async fn start(listen: &str, limit: Duration, grace: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let shutdown = Shutdown::builder()
            .grace(grace)
            .build(&Context::background());
        let (ctx, work) = shutdown.register("http").expect("it has not stopped");
        let counters = Counters::default();
        let router = router(&ctx, limit, counters.clone());
        let stopping = shutdown.accepting().done();
        tokio::spawn(async move {
            let _work = work; // registered until the last connection has ended
            let serving = axum::serve(listener, router).with_graceful_shutdown(async {
                stopping.await;
            });
            serving.await
        });
        Ok(Self {
            addr,
            shutdown,
            ctx,
            counters,
        })
    }
}

/// One that asks, and hangs up when the work for it has begun and come so far.
pub async fn client_that_hangs_up(server: &Server) -> io::Result<()> {
    let mut stream = ask(server.addr, "/primes").await?;
    let begun = server.counters.looked_at.load(Relaxed);
    while server.counters.looked_at.load(Relaxed) < begun + 1_000 {
        tokio::task::yield_now().await;
    }
    stream.shutdown().await
}

/// One that waits for whatever comes. Answers with the status line and the last one.
pub async fn client_that_waits(addr: SocketAddr, path: &str) -> io::Result<(String, String)> {
    let mut answer = String::new();
    ask(addr, path).await?.read_to_string(&mut answer).await?;
    let line = |line: Option<&str>| line.unwrap_or_default().to_owned();
    Ok((line(answer.lines().next()), line(answer.lines().last())))
}

async fn ask(addr: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// The work once it is as `wanted` has it.
pub async fn work_becomes(counters: &Counters, wanted: impl FnMut(&Work) -> bool) -> Work {
    let mut work = counters.work.subscribe();
    let work = work.wait_for(wanted).await.expect("the counters are kept");
    work.clone()
}

#[tokio::main]
pub async fn main() -> io::Result<()> {
    let mut arguments = std::env::args();
    if arguments.any(|argument| argument == "--listen") {
        let listen = arguments
            .next()
            .unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let server = Server::start(&listen, 30 * SECOND, 10 * SECOND).await?;
        let _signals = server.shutdown.on_signals()?;
        println!("listening on {}", server.addr);
        // Not for the serving: who never looks at its context is reported as late, and not waited for.
        let report = server.shutdown.wait_async().await;
        println!("{report}\n{:?}", *server.counters.work.borrow());
        return Ok(());
    }
    let server = Server::start("127.0.0.1:0", SECOND, SECOND).await?;

    let (status, found) = client_that_waits(server.addr, "/primes/10000").await?;
    println!("one that waits for its answer: {status}, {found} primes");

    client_that_hangs_up(&server).await?;
    let work = work_becomes(&server.counters, |work| work.client_gone == 1).await;
    let stopped_at = server.counters.looked_at.load(Relaxed);
    println!("one that hangs up: after {stopped_at} numbers, {work:?}");

    let (status, _) = client_that_waits(server.addr, "/primes").await?;
    let work = work_becomes(&server.counters, |work| work.timed_out == 1).await;
    println!("one that wants too much: {status}, {work:?}");
    println!("contexts live: {}", server.ctx.child_count());

    server.shutdown.stop();
    println!("{}", server.shutdown.wait_async().await);
    Ok(())
}
