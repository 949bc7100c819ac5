//! The arguments.

use clap::Parser;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a request can be, for `--help`.
const REQUESTS: &str = "\
Requests, all of them GET:
  /work?n=N              counts the primes below N
  /query?n=N             has SQLite add up an order of N items
  /fan?ms=MS&fail=I      makes three calls to the backend that take MS milliseconds each [2]; of which call I, 0 to 2, fails
  /fanout?ms=MS&fail=I   the same
  /echo                  the headers that the backend is sent
  /sleep?ms=MS           sleeps
  /whoami                the user, as the request names it
  /healthz               ok
  /stats                 a number a line: live, requests that are not answered yet; working, loops that count primes;
                         querying, queries that SQLite is at; contexts, of requests, of which somebody has a handle; how
                         requests have ended: ok, deadline, client-gone, bad, other; interrupted, queries that ended with
                         their request; calls, which the backend is at, where it runs here
  /metrics               the same for Prometheus, and how long requests take

Headers:
  X-Timeout-MS   how long the answer is of use, in milliseconds
  grpc-timeout   the same: up to 8 digits and one of H (hours), M (minutes), S (seconds), m (milli-), u (micro-) and n
                 (nanoseconds), 50m for instance; of all that are given the shortest counts
  X-Request-ID   what the request is called in answers, and in calls to the backend; made up where it is not there
  X-User         whom it is made for; is sent on
  traceparent    the trace it belongs to, and tracestate (W3C Trace Context); a new one where it is not there or is no
                 trace; is sent on, each call with an id of its own
  baggage        what goes with it (W3C Baggage); is sent on
                 Of each of these and the timeouts 8192 bytes are taken, and 180 members of baggage: 431 beyond

TIME is a whole number and its unit: 250ms, 2s or 1m. ADDR is an IP address and a port: 127.0.0.1:8080 or [::1]:8080.

Ctrl-C or SIGTERM drains, a second one leaves at once; under --load the first ends the load, and reports.";

/// An HTTP/1.1 gateway in which every request is a ripcord context.
#[derive(Parser, Debug)]
#[command(name = "gateway", version, after_help = REQUESTS)]
pub struct Args {
    /// Where to listen, port 0 for any that is free [default: 127.0.0.1:8080, with --load a free port]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,

    /// The longest that any request may take, whatever it asks for
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = some_time)]
    pub limit: Duration,

    /// How long requests may go on after Ctrl-C or SIGTERM before they are cancelled
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub grace: Duration,

    /// The service behind /fan and /echo [default: one in this process]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub backend: Option<SocketAddr>,

    /// Drive the gateway with clients for so many seconds, report, and exit; 1 if a context is left or no request was ok
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub load: Option<u64>,

    /// How many clients drive it
    #[arg(long, default_value_t = 64, value_parser = clients)]
    pub clients: u16,
}

impl Args {
    pub fn listen(&self) -> SocketAddr {
        let port = if self.load.is_some() { 0 } else { 8080 };
        self.listen
            .unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into())
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "say it as 127.0.0.1:8080 or [::1]:8080, with port 0 for any that is free".to_owned()
    })
}

/// `250ms`, `2s`, `1m`; no more than a day.
fn time(text: &str) -> Result<Duration, String> {
    const FORM: &str = "say it as 250ms, 2s or 1m, a day (1440m) at the most";
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(FORM.to_owned()),
    };
    whole(digits, 0..=86_400_000 / unit)
        .map(|number| Duration::from_millis(number * unit))
        .ok_or_else(|| FORM.to_owned())
}

/// As [`time`], and not none at all, in which nothing would ever be answered.
fn some_time(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time.is_zero() {
        return Err("no request could be answered in no time: 1ms at the least".to_owned());
    }
    Ok(time)
}

fn seconds(text: &str) -> Result<u64, String> {
    whole(text, 1..=86_400).ok_or_else(|| {
        "say it as a whole number of seconds from 1 to 86400, without a unit".to_owned()
    })
}

fn clients(text: &str) -> Result<u16, String> {
    whole(text, 1..=10_000)
        .and_then(|number| number.try_into().ok())
        .ok_or_else(|| "say it as a whole number from 1 to 10000".to_owned())
}

fn whole(text: &str, range: RangeInclusive<u64>) -> Option<u64> {
    let number = text.parse().ok()?;
    range.contains(&number).then_some(number)
}
