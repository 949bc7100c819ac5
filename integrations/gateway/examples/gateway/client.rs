//! HTTP/1.1 from the other side: one exchange on a connection, and a pool of connections to a service.

use super::failure::Failure;
use super::request::{REQUEST_ID, USER, X_REQUEST_ID, X_USER, trace_of_call};
use crossbeam_channel::{Receiver, Sender, bounded};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use ripcord::Context;
use ripcord::propagate::{InjectError, Propagator};
use std::error::Error;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub type Connection = SendRequest<Empty<Bytes>>;

/// Connections a pool keeps when nobody uses them.
const IDLE: usize = 128;

/// # Errors
///
/// Nobody listens there.
pub async fn connect(addr: SocketAddr) -> Result<Connection, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the connection's handle, and its errors reach whoever waits for an answer.
    tokio::spawn(driver);
    Ok(connection)
}

/// Sends a GET and reads the whole answer. Dropped in the middle, it leaves a connection that cannot be used again.
///
/// # Errors
///
/// The connection is lost.
pub async fn get(
    connection: &mut Connection,
    path: &str,
    mut headers: HeaderMap,
) -> Result<(StatusCode, String), Box<dyn Error + Send + Sync>> {
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    let mut request = Request::get(path).body(Empty::new())?;
    *request.headers_mut() = headers;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Connections to one service, kept for the next call. A channel is all the pool there needs to be.
pub struct Pool {
    addr: SocketAddr,
    propagator: Propagator,
    idle: (Sender<Connection>, Receiver<Connection>),
}

impl Pool {
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            propagator: Propagator::default(),
            idle: bounded(IDLE),
        }
    }

    /// Sends a GET, and with it what the context knows: who asks, for whom, in what trace, what others sent along, and how long
    /// an answer is of use. Dropped in the middle, it hangs up: the service then stops as well.
    pub async fn get(&self, ctx: &Context, path: &str) -> Result<String, Failure> {
        let mut headers = HeaderMap::new();
        match self.propagator.inject(&trace_of_call(ctx), &mut headers) {
            Ok(()) => {}
            Err(InjectError::Done(_)) => {
                // Its time is up; that it is done, and why, comes in a moment.
                ctx.done().await;
                return Err(Failure::ended(ctx));
            }
            Err(error) => return Err(Failure::Internal(error.to_string())),
        }
        for (name, key) in [(X_REQUEST_ID, &REQUEST_ID), (X_USER, &USER)] {
            if let Some(value) = ctx.value(key)
                && let Ok(value) = HeaderValue::from_str(value)
            {
                headers.insert(name, value);
            }
        }

        let unreachable = |error: Box<dyn Error + Send + Sync>| Failure::Unreachable {
            addr: self.addr,
            why: error.to_string(),
        };
        let mut connection = self.connection().await.map_err(unreachable)?;
        let (status, text) = get(&mut connection, path, headers)
            .await
            .map_err(unreachable)?;
        // Where enough are kept, this one is closed.
        let _ = self.idle.0.try_send(connection);
        match status {
            StatusCode::OK => Ok(text),
            _ => Err(Failure::Backend { status, text }),
        }
    }

    async fn connection(&self) -> Result<Connection, Box<dyn Error + Send + Sync>> {
        for mut idle in self.idle.1.try_iter() {
            // The service may have closed it meanwhile.
            if idle.ready().await.is_ok() {
                return Ok(idle);
            }
        }
        connect(self.addr).await
    }
}
