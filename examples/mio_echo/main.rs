//! A TCP echo server on one thread: one `mio::Poll` waits for sockets, for deadlines, and for a Ctrl-C or SIGTERM that
//! another thread receives.
//!
//! ```sh
//! cargo run --features mio --example mio_echo -- 127.0.0.1:7007 10
//! nc 127.0.0.1 7007
//! ```
//!
//! The arguments are where to listen and after how many seconds a connection that says nothing is closed.

mod server;

use ripcord::Cause;
use server::EchoServer;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const USAGE: &str = "\
Echoes what each connection sends, and closes one that has said nothing for a while.

Usage: mio_echo [ADDR [SECONDS]]

  ADDR     where to listen, port 0 for any that is free [default: 127.0.0.1:7007]
  SECONDS  how long a connection may say nothing [default: 10]

Ctrl-C or SIGTERM stops it.";

fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mio_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (addr, idle) = arguments()?;
    let server = EchoServer::bind(addr, idle)
        .map_err(|error| format!("cannot listen on {addr}: {error}"))?;
    println!(
        "listening on {}, each connection below {}",
        server.local_addr()?,
        server.context()
    );

    // A cancel from any thread wakes the poll.
    let stop = server.stopper();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            stop.cancel_with(Cause::msg("interrupted"));
        }
    });

    let served = server.run()?;
    println!("{served}");
    Ok(())
}

fn arguments() -> Result<(SocketAddr, Duration), String> {
    let mut arguments = env::args().skip(1);
    let addr = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let idle = arguments.next().unwrap_or_else(|| "10".to_owned());
    let addr = addr
        .parse()
        .map_err(|_| format!("{addr:?} is not an address and a port\n\n{USAGE}"))?;
    let idle = idle
        .parse()
        .map_err(|_| format!("{idle:?} is not a whole number of seconds\n\n{USAGE}"))?;
    if let Some(more) = arguments.next() {
        return Err(format!("{more:?} is one argument too many\n\n{USAGE}"));
    }
    Ok((addr, Duration::from_secs(idle)))
}
