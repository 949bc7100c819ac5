//! A proxy between a client and PostgreSQL that holds things up, so that a test can have them in the order it is about.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_postgres::Config;

/// What it reads in place of a startup message where a connection is for a cancel.
const CANCEL_REQUEST: [u8; 8] = [0, 0, 0, 16, 4, 210, 22, 46];

pub struct Proxy {
    addr: SocketAddr,
    rules: Arc<Rules>,
}

pub struct Rules {
    /// Cancel requests that came.
    pub came: AtomicUsize,
    /// So many are dropped, without a word to the server.
    pub drop: AtomicUsize,
    /// One permit lets one through.
    pub pass: Semaphore,
    /// While it is false nothing that a client says goes on to the server.
    pub talk: watch::Sender<bool>,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let rules = Arc::new(Rules {
            came: AtomicUsize::new(0),
            drop: AtomicUsize::new(0),
            pass: Semaphore::new(0),
            talk: watch::Sender::new(true),
        });
        let accepting = Arc::clone(&rules);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server, Arc::clone(&accepting)));
            }
        });
        Self { addr, rules }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The same database, by way of the proxy.
    pub fn config(&self, direct: &Config) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.addr.port());
        config.user(direct.get_user().unwrap());
        config.dbname(direct.get_dbname().unwrap());
        if let Some(password) = direct.get_password() {
            config.password(password);
        }
        config
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, rules: Arc<Rules>) {
    let mut start = [0; 8];
    if client.read_exact(&mut start).await.is_err() {
        return;
    }
    let cancel = start == CANCEL_REQUEST;
    if cancel {
        rules.came.fetch_add(1, Ordering::SeqCst);
        let dropped = rules
            .drop
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if dropped.is_ok() {
            return;
        }
        rules.pass.acquire().await.unwrap().forget();
    }
    let mut upstream = TcpStream::connect(server).await.unwrap();
    upstream.write_all(&start).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = upstream.split();
    let up = async {
        let mut talk = rules.talk.subscribe();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if !cancel {
                talk.wait_for(|talk| *talk).await.unwrap();
            }
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let _ = copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(up, down);
}
