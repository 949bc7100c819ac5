//! Thousands of requests at a time, and none left when they are over.

use crate::support::{Client, Count, Server, h2_connect, within};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use ripcord::tower::RequestEnded;
use ripcord::{CancelGuard, Context};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::task::JoinSet;

const H2_CONNECTIONS: usize = 100;
const H2_STREAMS: usize = 100;
const H2_REQUESTS: usize = H2_CONNECTIONS * H2_STREAMS;
const H1_REQUESTS: usize = 4_000;
/// Both ends of the streams' connections, the other tests', and some to spare.
const DESCRIPTORS: u64 = 6_000;

/// What all handlers share.
#[derive(Clone)]
struct Crowd {
    /// Handlers that have begun.
    here: Count,
    /// Tasks that work for a request, each beside its handler.
    working: Count,
    finished: Arc<AtomicUsize>,
    gone: Arc<AtomicUsize>,
    /// Done when the handlers may answer.
    gate: Context,
}

impl Crowd {
    fn new() -> (Self, CancelGuard) {
        let (gate, open) = Context::background().with_cancel();
        let crowd = Self {
            here: Count::new(),
            working: Count::new(),
            finished: Arc::default(),
            gone: Arc::default(),
            gate,
        };
        (crowd, open)
    }

    fn routes(&self) -> Router {
        Router::new()
            .route("/hello", get(async || "hello"))
            .route("/crowd", get(handler))
            .with_state(self.clone())
    }

    /// All requests are over, and of those so many finished; of the others the client was gone.
    async fn is_over(&self, server: &mut Server, finished: usize, gone: usize) {
        self.working.becomes(0).await;
        assert_eq!(self.finished.load(SeqCst), finished);
        assert_eq!(self.gone.load(SeqCst), gone);
        server.handles.becomes(0).await;
        assert_eq!(server.ctx.child_count(), 0);
        server.is_at_rest().await;
    }
}

async fn handler(State(crowd): State<Crowd>, ctx: Context) -> &'static str {
    tokio::spawn({
        let (crowd, working) = (crowd.clone(), crowd.working.enter());
        async move {
            ctx.done().await;
            match ctx.cause().unwrap().downcast_ref() {
                Some(RequestEnded::BodyFinished) => crowd.finished.fetch_add(1, SeqCst),
                Some(RequestEnded::ClientGone) => crowd.gone.fetch_add(1, SeqCst),
                end => panic!("it ended otherwise: {end:?}"),
            };
            drop((ctx, working));
        }
    });
    let _here = crowd.here.enter();
    crowd.gate.done().await;
    "answered"
}

/// All its streams, opened and not answered yet.
async fn open_streams(
    server: &Server,
) -> (
    Client,
    Vec<(h2::client::ResponseFuture, h2::SendStream<bytes::Bytes>)>,
) {
    let mut client = h2_connect(server.addr).await;
    let mut streams = Vec::new();
    for _ in 0..H2_STREAMS {
        streams.push(client.ask("/crowd").await);
    }
    (client, streams)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_at_once_leave_nothing() {
    rlimit::increase_nofile_limit(DESCRIPTORS).unwrap();
    let (crowd, open) = Crowd::new();
    let mut server = Server::start(|_| crowd.routes()).await;
    let mut clients = Vec::new();
    for _ in 0..H2_CONNECTIONS {
        clients.push(open_streams(&server).await);
    }
    crowd.here.becomes(H2_REQUESTS).await;
    assert_eq!(server.ctx.child_count(), H2_REQUESTS);
    open.cancel();
    let mut answers = JoinSet::new();
    for (client, streams) in clients {
        answers.spawn(async move {
            for (answer, _) in streams {
                assert_eq!(within(answer).await.unwrap().status(), 200);
            }
            drop(client);
        });
    }
    answers.join_all().await;
    crowd.is_over(&mut server, H2_REQUESTS, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_that_are_reset_stop_ten_thousand_tasks() {
    rlimit::increase_nofile_limit(DESCRIPTORS).unwrap();
    let (crowd, _shut) = Crowd::new();
    let mut server = Server::start(|_| crowd.routes()).await;
    let mut clients = Vec::new();
    for _ in 0..H2_CONNECTIONS {
        clients.push(open_streams(&server).await);
    }
    crowd.here.becomes(H2_REQUESTS).await;
    for (_, streams) in &mut clients {
        for (_, stream) in streams {
            stream.send_reset(h2::Reason::CANCEL);
        }
    }
    crowd.working.becomes(0).await;
    drop(clients);
    crowd.is_over(&mut server, 0, H2_REQUESTS).await;
}

fn http1_clients(server: &Server) -> Child {
    Command::new(env!("CARGO_BIN_EXE_http1_clients"))
        .args([&server.addr.to_string(), "/crowd", &H1_REQUESTS.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_thousand_connections_of_another_process_leave_nothing() {
    rlimit::increase_nofile_limit(DESCRIPTORS + H1_REQUESTS as u64).unwrap();
    let (crowd, open) = Crowd::new();
    let mut server = Server::start(|_| crowd.routes()).await;
    let clients = http1_clients(&server);
    crowd.here.becomes(H1_REQUESTS).await;
    assert_eq!(server.ctx.child_count(), H1_REQUESTS);
    open.cancel();
    let output = tokio::task::spawn_blocking(|| clients.wait_with_output());
    let output = within(output).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, format!("{H1_REQUESTS}\n").into_bytes());
    crowd.is_over(&mut server, H1_REQUESTS, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_takes_its_four_thousand_requests_with_it() {
    rlimit::increase_nofile_limit(DESCRIPTORS + H1_REQUESTS as u64).unwrap();
    let (crowd, _shut) = Crowd::new();
    let mut server = Server::start(|_| crowd.routes()).await;
    let mut clients = http1_clients(&server);
    crowd.here.becomes(H1_REQUESTS).await;
    clients.kill().unwrap();
    clients.wait().unwrap();
    crowd.is_over(&mut server, 0, H1_REQUESTS).await;
}
