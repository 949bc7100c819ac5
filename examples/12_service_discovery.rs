//! Services on loopback, some dead, some silent, one that has to warm up; a registry that asks all at once which are well, and asks
//! again, with a backoff, while none is.
//!
//! Run with `cargo run --example 12_service_discovery --features retry`.

use ripcord::retry::{Policy, RetryError};
use ripcord::{Context, Error};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, io};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// So long a service may take to say that it is well.
pub const CHECK: Duration = Duration::from_millis(200);

pub fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_io()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(show()).expect("loopback works");
}

async fn show() -> io::Result<()> {
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(10));
    let registry = Registry::default();
    for service in [
        Service::Well,
        Service::Silent,
        Service::Dead,
        Service::Silent,
        Service::Well,
    ] {
        registry.register("users", service.start(&ctx).await?);
    }
    registry.register("orders", Service::Warming(2).start(&ctx).await?);

    let began = Instant::now();
    let well = registry.healthy(&ctx, "users").await;
    println!("users: {well:?}, after {:.0?}", began.elapsed());
    println!("orders: {:?}", registry.discover(&ctx, "orders").await);
    for name in ["payments", "orders"] {
        let (hasty, _hasty_guard) = ctx.with_timeout(Duration::from_millis(1));
        match registry.discover(&hasty, name).await {
            Ok(well) => println!("{name}: {well:?}"),
            Err(error) => println!("{name}: {error}"),
        }
    }
    Ok(())
}

/// What a service does with the question whether it is well.
#[derive(Clone, Copy, Debug)]
pub enum Service {
    Well,
    /// Accepts, and says nothing.
    Silent,
    /// Nobody listens there any more.
    Dead,
    /// Hangs up on so many callers first.
    Warming(usize),
}

impl Service {
    /// Listens on a port of its own until the context is done.
    pub async fn start(self, ctx: &Context) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        if !matches!(self, Self::Dead) {
            tokio::spawn(self.serve(ctx.clone(), listener));
        }
        Ok(address)
    }

    async fn serve(self, ctx: Context, listener: TcpListener) {
        let mut callers = 0;
        while let Ok(Ok((mut caller, _))) = ctx.run(listener.accept()).await {
            callers += 1;
            let is_cold = matches!(self, Self::Warming(cold) if callers <= cold);
            if is_cold {
                continue;
            }
            let ctx = ctx.clone();
            tokio::spawn(async move {
                let mut question = [0; 4];
                let answered = ctx.run(async {
                    caller.read_exact(&mut question).await?;
                    match self {
                        Self::Silent => std::future::pending().await,
                        _ => caller.write_all(b"PONG").await,
                    }
                });
                // The end of a service, or a caller that has hung up.
                let _ = answered.await;
            });
        }
    }
}

/// Where services of a name are, and how many checks have ended and how.
#[derive(Debug, Default)]
pub struct Registry {
    services: std::sync::Mutex<HashMap<&'static str, Vec<SocketAddr>>>,
    pub answered: AtomicUsize,
    pub refused: AtomicUsize,
}

impl Registry {
    pub fn register(&self, name: &'static str, address: SocketAddr) {
        self.services().entry(name).or_default().push(address);
    }

    fn services(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Vec<SocketAddr>>> {
        self.services.lock().expect("nobody panics with it")
    }

    /// Those that are well, in the order in which they were registered. All are asked at once, so the slowest takes [`CHECK`] and
    /// no longer, whatever their number.
    pub async fn healthy(
        &self,
        ctx: &Context,
        name: &str,
    ) -> Result<Vec<SocketAddr>, DiscoverError> {
        let all = self.services().get(name).cloned();
        let all = all.ok_or(DiscoverError::Unknown)?;
        let (checks, _guard) = ctx.with_timeout(CHECK);
        let pending: Vec<_> = all
            .iter()
            .map(|&address| self.is_well(&checks, address))
            .collect();
        let well = futures_util::future::join_all(pending).await;
        ctx.check().map_err(DiscoverError::Ended)?;
        let well: Vec<_> = all
            .iter()
            .zip(well)
            .filter(|(_, well)| *well)
            .map(|(&address, _)| address)
            .collect();
        if well.is_empty() {
            return Err(DiscoverError::NoneWell(all.len()));
        }
        Ok(well)
    }

    async fn is_well(&self, ctx: &Context, address: SocketAddr) -> bool {
        match ctx.run(ask(address)).await {
            Ok(Ok(())) => self.answered.fetch_add(1, Ordering::SeqCst),
            Ok(Err(_)) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                return false;
            }
            Err(_) => return false,
        };
        true
    }

    /// As [`healthy`](Self::healthy), and again while there is none, up to five times, if there is time for it. A name that nobody
    /// has registered is not asked for again.
    pub async fn discover(
        &self,
        ctx: &Context,
        name: &str,
    ) -> Result<Vec<SocketAddr>, RetryError<DiscoverError>> {
        let policy = Policy::new(5)
            .backoff(Duration::from_millis(5), Duration::from_millis(50))
            .attempt_timeout(Duration::from_secs(1));
        let attempt = |ctx: Context| async move { self.healthy(&ctx, name).await };
        let again = |error: &DiscoverError| *error != DiscoverError::Unknown;
        policy.run_if(ctx, attempt, again).await
    }
}

async fn ask(address: SocketAddr) -> io::Result<()> {
    let mut service = TcpStream::connect(address).await?;
    service.write_all(b"PING").await?;
    let mut answer = [0; 4];
    service.read_exact(&mut answer).await?;
    (answer == *b"PONG")
        .then_some(())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoverError {
    /// Nobody has registered under that name.
    Unknown,
    /// Of so many none is well.
    NoneWell(usize),
    /// The caller's context is done.
    Ended(Error),
}

impl fmt::Display for DiscoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no service of that name"),
            Self::NoneWell(all) => write!(f, "none of {all} is well"),
            Self::Ended(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for DiscoverError {}
