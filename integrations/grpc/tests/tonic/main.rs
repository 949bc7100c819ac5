//! `ripcord::tonic` on a real server and a real client, over loopback.

#[path = "../../examples/two_services/wire.rs"]
mod wire;

mod calls;
mod service;
mod streams;

use ripcord::tonic::{ClientLayer, ClientService, ServerLayer};
use ripcord::{Cause, Context, Error};
use service::Probe;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use wire::{WorkClient, WorkServer};

/// Long enough for a machine that does a hundred other things. Nothing here waits that long.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// How a call's context ended, as a thread saw it that the handler had started.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) error: Error,
    pub(crate) cause: Cause,
}

pub(crate) struct Fixture {
    pub(crate) probe: Arc<Probe>,
    pub(crate) channel: Channel,
    ended: UnboundedReceiver<Ended>,
}

impl Fixture {
    /// A server with `layer`, and a channel to it.
    pub(crate) async fn start(layer: ServerLayer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (report, ended) = unbounded_channel();
        let probe = Arc::new(Probe::new(report));
        let work = WorkServer(Arc::clone(&probe));
        let server = Server::builder().layer(layer).add_service(work);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self {
            probe,
            channel: endpoint.connect().await.unwrap(),
            ended,
        }
    }

    /// One whose calls are under nothing else.
    pub(crate) async fn new() -> Self {
        Self::start(ServerLayer::new(&Context::background())).await
    }

    pub(crate) fn client(&self) -> WorkClient<ClientService<Channel>> {
        let layer = ClientLayer::new(&Context::background());
        WorkClient::new(layer.layer(self.channel.clone()))
    }

    /// A client that knows nothing of contexts.
    pub(crate) fn plain_client(&self) -> WorkClient<Channel> {
        WorkClient::new(self.channel.clone())
    }

    /// How the next call's context ended.
    pub(crate) async fn ended(&mut self) -> Ended {
        within(self.ended.recv()).await.expect("the server lives")
    }
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(BOUND, future)
        .await
        .expect("it comes to pass")
}
