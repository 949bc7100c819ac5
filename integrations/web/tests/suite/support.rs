//! A real server on loopback, and what the tests see of its requests.

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::Request;
use axum::http::request::Parts;
use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use ripcord::tower::{ContextLayer, MissingContext};
use ripcord::{CancelGuard, Cause, Context, Key};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Far more than anything here takes: what hangs fails and does not hang the tests.
const BOUND: Duration = Duration::from_secs(60);

/// Who finds it full tries again a second later.
const BACKLOG: u32 = 4096;

pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, what)
        .await
        .expect("it never happened")
}

/// How many of something there are.
#[derive(Clone)]
pub struct Count(watch::Sender<usize>);

/// One of them, as long as it is kept.
pub struct Counted(watch::Sender<usize>);

impl Count {
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub fn enter(&self) -> Counted {
        self.0.send_modify(|n| *n += 1);
        Counted(self.0.clone())
    }

    pub async fn becomes(&self, wanted: usize) {
        let mut seen = self.0.subscribe();
        let reached = seen.wait_for(|n| *n == wanted);
        if tokio::time::timeout(BOUND, reached).await.is_err() {
            panic!("there are {} and not {wanted}", *self.0.borrow());
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

/// In every request's context: dropped with the last handle of it.
static HANDLE: Key<Counted> = Key::new("handle");

/// What handlers have at hand.
#[derive(Clone)]
pub struct Watcher {
    entered: mpsc::UnboundedSender<Context>,
    ended: mpsc::UnboundedSender<Cause>,
}

impl Watcher {
    /// Says that a request has come so far, and, later, how it ended.
    pub fn enter(&self, ctx: &Context) {
        let (ended, of) = (self.ended.clone(), ctx.clone());
        ctx.after_func(move || {
            let _ = ended.send(of.cause().expect("it is done"));
        });
        let _ = self.entered.send(ctx.clone());
    }
}

/// The context of a request that a handler has begun on, of which the test is told.
pub struct Entered(pub Context);

impl FromRequestParts<Watcher> for Entered {
    type Rejection = MissingContext;

    async fn from_request_parts(
        parts: &mut Parts,
        watcher: &Watcher,
    ) -> Result<Self, MissingContext> {
        let ctx =
            <Context as FromRequestParts<Watcher>>::from_request_parts(parts, watcher).await?;
        watcher.enter(&ctx);
        Ok(Self(ctx))
    }
}

/// How the server is set up.
#[derive(Clone)]
pub struct Limits {
    pub header_time: Duration,
    pub header_bytes: usize,
}

pub const USUAL: Limits = Limits {
    header_time: Duration::from_secs(30),
    header_bytes: 64 * 1024,
};

pub struct Server {
    pub addr: SocketAddr,
    /// The parent of all requests.
    pub ctx: Context,
    pub stop: CancelGuard,
    /// Requests that came to the context layer.
    pub made: Arc<AtomicUsize>,
    /// Contexts of requests of which somebody has a handle.
    pub handles: Count,
    pub connections: Count,
    entered: mpsc::UnboundedReceiver<Context>,
    ended: mpsc::UnboundedReceiver<Cause>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub async fn start(routes: impl FnOnce(Watcher) -> Router) -> Self {
        Self::start_under(&Context::background(), USUAL, routes).await
    }

    pub async fn start_under(
        root: &Context,
        limits: Limits,
        routes: impl FnOnce(Watcher) -> Router,
    ) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        let addr = listener.local_addr().unwrap();
        let (ctx, stop) = root.with_cancel();
        let (entered_tx, entered) = mpsc::unbounded_channel();
        let (ended_tx, ended) = mpsc::unbounded_channel();
        let (made, handles, connections) =
            (Arc::new(AtomicUsize::new(0)), Count::new(), Count::new());
        let layer = ContextLayer::new(&ctx).map_context({
            let (made, handles) = (Arc::clone(&made), handles.clone());
            move |ctx, _| {
                made.fetch_add(1, SeqCst);
                ctx.with_value(&HANDLE, handles.enter())
            }
        });
        let router = routes(Watcher {
            entered: entered_tx,
            ended: ended_tx,
        })
        .layer(layer);
        let accepting = tokio::spawn(accept(listener, router, limits, connections.clone()));
        Self {
            addr,
            ctx,
            stop,
            made,
            handles,
            connections,
            entered,
            ended,
            accepting,
        }
    }

    pub async fn connect(&self) -> TcpStream {
        within(TcpStream::connect(self.addr)).await.unwrap()
    }

    /// The context of the next request that a handler has begun on.
    pub async fn entered(&mut self) -> Context {
        within(self.entered.recv()).await.unwrap()
    }

    /// How the next one ended.
    pub async fn ended<E: std::error::Error + Copy + 'static>(&mut self) -> E {
        let cause = within(self.ended.recv()).await.unwrap();
        match cause.downcast_ref() {
            Some(end) => *end,
            None => panic!("it ended otherwise: {cause:?}"),
        }
    }

    /// No request is live, nobody has a handle on one, and the server still answers.
    pub async fn is_at_rest(&mut self) {
        self.becomes_still().await;
        let answer = self.get("/hello").await;
        assert!(answer.ends_with("hello"), "{answer}");
        self.becomes_still().await;
    }

    async fn becomes_still(&mut self) {
        self.connections.becomes(0).await;
        assert_eq!(self.ctx.child_count(), 0);
        while self.entered.try_recv().is_ok() {}
        self.handles.becomes(0).await;
        while self.ended.try_recv().is_ok() {}
    }

    /// All that comes back on a connection of its own.
    pub async fn get(&self, path: &str) -> String {
        let mut stream = self.connect().await;
        send(&mut stream, &request(path, "Connection: close\r\n")).await;
        read_all(&mut stream).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, router: Router, limits: Limits, connections: Count) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.header_bytes as u32);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (builder, router) = (builder.clone(), router.clone());
        let counted = connections.enter();
        tokio::spawn(async move {
            let _counted = counted;
            let service = TowerToHyperService::new(router);
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// A client of HTTP/2, on a connection of its own.
pub struct Client {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

pub async fn h2_connect(addr: SocketAddr) -> Client {
    let stream = within(TcpStream::connect(addr)).await.unwrap();
    let (sender, connection) = within(h2::client::handshake(stream)).await.unwrap();
    Client {
        sender,
        connection: tokio::spawn(connection),
    }
}

impl Client {
    /// A request without a body.
    pub async fn ask(&mut self, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::get(format!("http://localhost{path}"));
        self.send(request.body(()).unwrap()).await
    }

    pub async fn send(&mut self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        std::future::poll_fn(|cx| self.sender.poll_ready(cx))
            .await
            .unwrap();
        self.sender.send_request(request, true).unwrap()
    }

    /// Closes the socket, with no word to the server.
    pub fn break_off(self) {
        self.connection.abort();
    }
}

pub fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

pub async fn send(stream: &mut TcpStream, text: &str) {
    within(stream.write_all(text.as_bytes())).await.unwrap();
}

/// Up to the end, or to a reset: a server that closes with our bytes unread resets.
pub async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8(bytes).unwrap()
}

/// Up to and with `end`.
pub async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let byte = within(stream.read_u8()).await.unwrap_or_else(|error| {
            panic!("{error} after {:?}", String::from_utf8_lossy(&bytes));
        });
        bytes.push(byte);
    }
    String::from_utf8(bytes).unwrap()
}
