//! A TCP echo server on one thread: one `mio::Poll` waits for sockets, for deadlines, and for a Ctrl-C or SIGTERM that
//! another thread receives.
//!
//! ```sh
//! cargo run --features mio --example mio_echo -- 127.0.0.1:7007 10
//! nc 127.0.0.1 7007
//! ```
//!
//! The arguments are where to listen and after how many seconds a connection that says nothing is closed.

pub mod server;

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
  SECONDS  how long a connection may say nothing, 1 at the least [default: 10]

Ctrl-C or SIGTERM stops it.";

fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let (addr, idle) = match arguments(env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("mio_echo: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(addr, idle) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mio_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(addr: SocketAddr, idle: Duration) -> Result<(), Box<dyn Error>> {
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

/// Where to listen, and how long a connection may say nothing.
fn arguments(
    mut arguments: impl Iterator<Item = String>,
) -> Result<(SocketAddr, Duration), String> {
    let addr = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let idle = arguments.next().unwrap_or_else(|| "10".to_owned());
    let addr = addr
        .parse()
        .map_err(|_| format!("{addr:?} is not an address and a port"))?;
    let idle = idle
        .parse()
        .ok()
        .filter(|&seconds| seconds > 0)
        .ok_or_else(|| format!("{idle:?} is not a whole number of seconds, 1 at the least"))?;
    match arguments.next() {
        None => Ok((addr, Duration::from_secs(idle))),
        Some(more) => Err(format!("{more:?} is one argument too many")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(SocketAddr, Duration), String> {
        arguments(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn both_arguments_may_be_left_out() {
        let default = ([127, 0, 0, 1], 7007).into();
        assert_eq!(read(""), Ok((default, Duration::from_secs(10))));
        let given = ([0, 0, 0, 0], 1).into();
        assert_eq!(read("0.0.0.0:1"), Ok((given, Duration::from_secs(10))));
        assert_eq!(read("0.0.0.0:1 3"), Ok((given, Duration::from_secs(3))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, part) in [
            ("7007", "\"7007\" is not an address and a port"),
            (
                "127.0.0.1:7007 0",
                "\"0\" is not a whole number of seconds, 1 at the least",
            ),
            ("127.0.0.1:7007 -1", "\"-1\" is not a whole number"),
            ("127.0.0.1:7007 10 x", "\"x\" is one argument too many"),
        ] {
            assert!(
                read(line).is_err_and(|error| error.contains(part)),
                "{line}"
            );
        }
    }
}
