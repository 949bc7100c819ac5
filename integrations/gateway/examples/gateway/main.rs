//! An HTTP/1.1 gateway in which every request is a context.
//!
//! ```sh
//! cargo run --release --example gateway                # serves until Ctrl-C or SIGTERM
//! cargo run --release --example gateway -- --load 10   # drives itself for ten seconds
//! curl -H 'X-Timeout-MS: 50' 'http://127.0.0.1:8080/work?n=100000000'
//! ```
//!
//! The contexts form this tree, and what ends one ends all below it, on whatever thread they are worked for:
//!
//! ```text
//! server ─► connection ─► request: server's limit ─► caller's budget ─► group of calls ─► call: a share of the rest
//!    │           │                                                                            │
//!    shutdown    hang-up                                                                      headers
//!                                                                                             ▼
//!                                                      backend: server ─► connection ─► request
//! ```
//!
//! | file | |
//! |---|---|
//! | `server.rs` | accepts, answers, drains; knows of no route |
//! | `request.rs` | what a request's headers ask for, and its context: by `ripcord::propagate` |
//! | `handlers.rs` | the gateway's routes: CPU work, calls to the backend, sleep |
//! | `query.rs` | SQLite, by `ripcord::rusqlite` |
//! | `stats.rs`, `metrics.rs` | what is counted, and the same for Prometheus |
//! | `backend.rs` | the routes of the service behind it |
//! | `client.rs` | HTTP over a connection, and a pool of them |
//! | `failure.rs` | why contexts end here, and what is answered then |
//! | `load.rs`, `report.rs` | clients that behave and clients that do not, and what they saw |

mod backend;
mod cli;
mod client;
mod failure;
mod handlers;
mod load;
mod metrics;
mod query;
mod report;
mod request;
mod server;
mod stats;

use backend::Items;
use clap::Parser;
use cli::Args;
use handlers::Gateway;
use ripcord::{CancelGuard, Context};
use server::Server;
use stats::Stats;
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How often what is measured is added up, so that it takes no memory for long.
const ADD_UP_EVERY: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    run(std::env::args_os()).into()
}

/// What `main` does with its arguments; answers with the exit code. 2 says that it was called wrongly, 1 that something
/// else went wrong, both with a message on stderr.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are errors to clap, for stdout and with code 0.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(gateway(&args)));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "gateway: {error}");
            1
        }
    }
}

async fn gateway(args: &Args) -> io::Result<u8> {
    match args.load {
        Some(seconds) => {
            let report = load::run(args, Duration::from_secs(seconds)).await?;
            say(&report)?;
            match report.fault() {
                None => Ok(0),
                Some(fault) => Err(io::Error::other(fault)),
            }
        }
        None => serve(args).await,
    }
}

async fn serve(args: &Args) -> io::Result<u8> {
    let mut interrupts = interrupts()?;
    let services = Services::start(args, args.listen(), Arc::default()).await?;
    say(format_args!(
        "listening on http://{}, backend http://{}",
        services.front.addr, services.backend_addr
    ))?;

    interrupts.recv().await;
    say(format_args!(
        "draining for up to {}; Ctrl-C to leave at once",
        Said(args.grace)
    ))?;
    tokio::select! {
        cut = services.drain(args.grace) => say(format_args!("drained; {cut} connections had to be cut"))?,
        // Not a return: that would have the runtime wait for the threads that are at work.
        _ = interrupts.recv() => std::process::exit(130),
    }
    Ok(0)
}

/// The gateway and, unless it was given one, the backend behind it.
struct Services {
    front: Server,
    backend: Option<Server>,
    backend_addr: SocketAddr,
    /// Of the backend that runs here; nothing is counted of another.
    backend_stats: Arc<Stats>,
    /// Ends the adding up of what is measured.
    _add_up: CancelGuard,
}

impl Services {
    async fn start(args: &Args, listen: SocketAddr, stats: Arc<Stats>) -> io::Result<Self> {
        let backend_stats = Arc::<Stats>::default();
        let (backend, backend_addr) = match args.backend {
            Some(addr) => (None, addr),
            None => {
                let any = (Ipv4Addr::LOCALHOST, 0).into();
                let counted = Arc::clone(&backend_stats);
                let server = Server::start(any, args.limit, Items, counted).await?;
                let addr = server.addr;
                (Some(server), addr)
            }
        };
        let calls = backend_stats.requests.clone();
        let routes = Gateway::new(backend_addr, calls, Arc::clone(&stats))?;
        let (running, add_up) = Context::background().with_cancel();
        let measured = [Arc::clone(&stats), Arc::clone(&backend_stats)];
        tokio::spawn(async move {
            while running.sleep(ADD_UP_EVERY).await.is_ok() {
                measured.iter().for_each(|stats| stats.metrics.add_up());
            }
        });
        Ok(Self {
            front: Server::start(listen, args.limit, routes, stats).await?,
            backend,
            backend_addr,
            backend_stats,
            _add_up: add_up,
        })
    }

    /// The gateway first: what it still has to answer may need the backend. Answers with how many connections had to be
    /// cut.
    async fn drain(mut self, grace: Duration) -> usize {
        let cut = self.front.drain(grace).await;
        match &mut self.backend {
            Some(backend) => cut + backend.drain(grace).await,
            None => cut,
        }
    }
}

/// Sleeps whatever else ends: what is slept for here belongs to no request.
fn pause(duration: Duration) -> impl Future {
    Context::background().sleep(duration)
}

/// A time as people say it: to `Duration` none at all is `0ns`.
struct Said(Duration);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::ZERO => f.write_str("0ms"),
            time => write!(f, "{time:?}"),
        }
    }
}

/// `println!` panics where stdout is closed; this says so.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Receives each Ctrl-C, and each SIGTERM, from now on.
#[cfg(unix)]
struct Interrupts {
    ctrl_c: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Interrupts {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(unix)]
fn interrupts() -> io::Result<Interrupts> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Interrupts {
        ctrl_c: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    })
}

/// Receives each Ctrl-C from now on.
#[cfg(windows)]
fn interrupts() -> io::Result<tokio::signal::windows::CtrlC> {
    tokio::signal::windows::ctrl_c()
}
