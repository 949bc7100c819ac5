//! Connections to the upstream, kept for the next call.

use super::failure::Failure;
use super::scope::Scope;
use crossbeam_channel::{Receiver, Sender, bounded};
use hyper::StatusCode;
use ripcord_server::http::{Connection, connect, get};
use ripcord_server::{X_REQUEST_ID, X_TIMEOUT_MS, X_USER};
use std::error::Error;
use std::net::SocketAddr;

/// Connections a pool keeps when nobody uses them.
const IDLE: usize = 512;

pub struct Pool {
    addr: SocketAddr,
    idle: (Sender<Connection>, Receiver<Connection>),
}

impl Pool {
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            idle: bounded(IDLE),
        }
    }

    /// Sends a GET, and with it what the scope knows: who asks, for whom, and how long an answer is of use. Dropped in the
    /// middle, it hangs up.
    pub async fn get<S: Scope>(&self, scope: &S, path: &str) -> Result<String, Failure> {
        let budget = scope.remaining().map(|left| left.as_millis().to_string());
        let headers = [
            (X_TIMEOUT_MS, budget.as_deref()),
            (X_REQUEST_ID, scope.id()),
            (X_USER, scope.user()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));

        let unreachable =
            |error: Box<dyn Error + Send + Sync>| Failure::Unreachable(error.to_string());
        let mut connection = self.connection().await.map_err(unreachable)?;
        let (status, text) = get(&mut connection, path, headers)
            .await
            .map_err(unreachable)?;
        // Where enough are kept, this one is closed.
        let _ = self.idle.0.try_send(connection);
        match status {
            StatusCode::OK => Ok(text),
            _ => Err(Failure::Upstream(status)),
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
