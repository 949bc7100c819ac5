//! The sides in turns, each as it is run in earnest.

use super::Result;
use super::load::{Throughput, at_once};
use super::process::Server;
use ripcord_server::Side;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A throughput for each of `Side::ALL`.
pub type Round = [Throughput; Side::ALL.len()];

pub async fn run(
    server: &Path,
    upstream: SocketAddr,
    rounds: u32,
    duration: Duration,
    connections: u16,
    step: impl Fn(String),
) -> Result<Vec<Round>> {
    let mut done = Vec::new();
    for round in 0..rounds as usize {
        let mut throughputs = [const { None }; Side::ALL.len()];
        for turn in 0..Side::ALL.len() {
            // Nobody is always the first.
            let at = (turn + round) % Side::ALL.len();
            let side = Side::ALL[at];
            step(format!("round {}: {side}", round + 1));
            let running = Server::start(Command::new(server), side, upstream)?;
            let throughput = at_once(running.addr, connections, duration).await?;
            running.stop()?;
            throughputs[at] = Some(throughput);
        }
        let [Some(ripcord), Some(tokio), Some(neither)] = throughputs else {
            return Err("a side had no turn".into());
        };
        done.push([ripcord, tokio, neither]);
    }
    Ok(done)
}
