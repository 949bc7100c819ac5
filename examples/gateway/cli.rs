//! The arguments.

use clap::Parser;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// An HTTP/1.1 gateway in which every request is a ripcord context.
///
/// GET /work?n=N counts the primes below N, /fanout makes three calls to a backend, /sleep?ms=MS sleeps; /whoami, /healthz
/// and /stats. X-Timeout-MS (milliseconds) and grpc-timeout (50m: milliseconds, 2S: seconds) set a deadline. Ctrl-C or
/// SIGTERM drains, a second one leaves at once.
#[derive(Parser, Debug)]
#[command(name = "gateway")]
pub struct Args {
    /// Where to listen, port 0 for any that is free [default: 127.0.0.1:8080, with --load a free port]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// The longest that any request may take, whatever it asks for
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub limit: Duration,

    /// How long requests may go on after Ctrl-C or SIGTERM before they are cancelled
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub grace: Duration,

    /// The service behind /fanout [default: one in this process]
    #[arg(long, value_name = "ADDR")]
    pub backend: Option<SocketAddr>,

    /// Drive the gateway with clients for so many seconds, report, and exit; 1 if a context is left or no request was ok
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub load: Option<u64>,

    /// How many clients drive it
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub clients: u16,
}

impl Args {
    pub fn listen(&self) -> SocketAddr {
        let port = if self.load.is_some() { 0 } else { 8080 };
        self.listen
            .unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into())
    }
}

/// `250ms`, `2s`, `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("say it as 250ms, 2s or 1m".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "say it as 250ms, 2s or 1m".to_owned())?;
    Ok(Duration::from_millis(number.saturating_mul(unit)))
}
