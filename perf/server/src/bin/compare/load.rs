//! Clients, in this process: nothing of them is counted.

use super::Result;
use super::route::{Route, pick};
use hdrhistogram::Histogram;
use hyper::StatusCode;
use ripcord_server::http::{Connection, connect, get};
use ripcord_server::{X_REQUEST_ID, X_TIMEOUT_MS, X_USER};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Before what is measured: connections, threads and pools are there then.
const WARM_UP: Duration = Duration::from_millis(500);

async fn ask(connection: &mut Connection, path: &str) -> Result<()> {
    let headers = [
        (X_TIMEOUT_MS, "1500"),
        (X_REQUEST_ID, "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        (X_USER, "ada"),
    ];
    let (status, text) = get(connection, path, headers).await?;
    if status != StatusCode::OK {
        return Err(format!("{path} was answered with {status}: {}", text.trim_end()).into());
    }
    Ok(())
}

/// So many, one after another.
pub async fn one_by_one(addr: SocketAddr, route: &Route, requests: u32) -> Result<()> {
    let mut connection = connect(addr).await?;
    for _ in 0..requests {
        ask(&mut connection, route.path).await?;
    }
    Ok(())
}

pub struct Throughput {
    /// Requests a second.
    pub rate: f64,
    /// Of a thousand requests one takes as long or longer.
    pub slow: Duration,
}

/// So many clients at a time, for so long. What they ask is the same each time.
pub async fn at_once(addr: SocketAddr, clients: u16, duration: Duration) -> Result<Throughput> {
    let began = Instant::now() + WARM_UP;
    let mut running = JoinSet::new();
    for client in 0..clients {
        let dice = fastrand::Rng::with_seed(client.into());
        running.spawn(drive(addr, dice, began, began + duration));
    }
    let mut latency = microseconds();
    while let Some(client) = running.join_next().await {
        latency.add(client??)?;
    }
    Ok(Throughput {
        rate: latency.len() as f64 / duration.as_secs_f64(),
        slow: Duration::from_micros(latency.value_at_quantile(0.999)),
    })
}

fn microseconds() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

async fn drive(
    addr: SocketAddr,
    mut dice: fastrand::Rng,
    from: Instant,
    to: Instant,
) -> Result<Histogram<u64>> {
    let mut latency = microseconds();
    let mut connection = connect(addr).await?;
    loop {
        let began = Instant::now();
        ask(&mut connection, pick(&mut dice).path).await?;
        let ended = Instant::now();
        if ended >= to {
            return Ok(latency);
        }
        if ended >= from {
            let took = ended.duration_since(began).as_micros();
            latency.record(u64::try_from(took)?)?;
        }
    }
}
