//! The gateway of `integrations/gateway`, less what no request needs, over an abstraction with three implementations.
//!
//! | file | |
//! |---|---|
//! | `scope.rs` | what a handler knows of its request |
//! | `with_ripcord.rs`, `with_tokio.rs`, `with_neither.rs` | the three |
//! | `serve.rs`, `asked.rs`, `handlers.rs`, `pool.rs` | the server, written once |

mod asked;
mod failure;
mod handlers;
mod pool;
mod scope;
mod serve;
mod with_neither;
mod with_ripcord;
mod with_tokio;

use clap::Parser;
use ripcord_server::{Side, upstream};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use with_neither::Bare;
use with_tokio::Token;

/// An HTTP/1.1 gateway whose requests carry cancellation, deadline and values by one of three means. Serves until its
/// stdin is closed (Ctrl-D), so that it does not outlive who started it.
///
/// GET /work?n=N counts the primes below N, /fanout?ms=MS makes three calls to an upstream that take so long, /sleep?ms=MS
/// sleeps, /whoami says who asks. X-Timeout-MS sets a deadline.
#[derive(Parser, Debug)]
#[command(name = "server")]
struct Args {
    /// By what
    #[arg(long, value_name = "SIDE")]
    with: Side,

    /// Where to listen on 127.0.0.1, 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// The service behind /fanout [default: one in this process]
    #[arg(long, value_name = "ADDR")]
    upstream: Option<SocketAddr>,

    /// The longest that any request may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    limit: u64,

    /// Threads that poll [default: one for each core]; with 1 the caller's own, and no scheduler between
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match runtime(args.threads).and_then(|runtime| {
        let served = runtime.block_on(serve(&args));
        // A thread that still counts primes is not waited for.
        runtime.shutdown_background();
        served
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn runtime(threads: Option<u16>) -> io::Result<Runtime> {
    match threads {
        Some(1) => Builder::new_current_thread().enable_all().build(),
        Some(threads) => Builder::new_multi_thread()
            .worker_threads(threads.into())
            .enable_all()
            .build(),
        None => Builder::new_multi_thread().enable_all().build(),
    }
}

async fn serve(args: &Args) -> io::Result<()> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}"))
    })?;
    let addr = listener.local_addr()?;
    let upstream = match args.upstream {
        Some(addr) => addr,
        None => upstream::start().await?,
    };
    let limit = Duration::from_millis(args.limit);
    let with = args.with;
    tokio::spawn(async move {
        // Not one call with a parameter: each is compiled without the others.
        match with {
            Side::Ripcord => serve::accept::<ripcord::Context>(listener, upstream, limit).await,
            Side::Tokio => serve::accept::<Token>(listener, upstream, limit).await,
            Side::Neither => serve::accept::<Bare>(listener, upstream, limit).await,
        }
    });
    // `println!` panics where stdout is closed.
    writeln!(io::stdout(), "listening on {addr}")?;
    let _ = stdin_closed()?.await;
    Ok(())
}

/// Tokio's stdin would have a blocking thread that the work could have.
fn stdin_closed() -> io::Result<oneshot::Receiver<()>> {
    let (closed, when_closed) = oneshot::channel();
    thread::Builder::new().name("stdin".into()).spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = closed.send(());
    })?;
    Ok(when_closed)
}
