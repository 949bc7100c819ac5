//! Clients that drive the gateway over loopback, each on its own: it sends its next request when it has the answer to the
//! last. Most behave; some hang up in the middle, some give too little time, some send nonsense.

use super::cli::Args;
use super::client::{self, Connection};
use super::report::{Durations, Report, Tally};
use super::request::X_TIMEOUT_MS;
use super::stats::{Ending, Stats};
use super::{Services, interrupts, pause};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use indicatif::{ProgressBar, ProgressStyle};
use ripcord::Context;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long what is left may take to stop once all clients are gone.
const SETTLE: Duration = Duration::from_secs(5);

/// # Errors
///
/// The gateway cannot be started.
pub async fn run(args: &Args, duration: Duration) -> io::Result<Report> {
    let mut interrupts = interrupts()?;
    let (lateness, late) = mpsc::channel();
    let stats = Arc::new(Stats::with_lateness(lateness));
    let mut services = Services::start(args, args.listen(), Arc::clone(&stats)).await?;

    let (load, guard) = Context::background().with_timeout(duration);
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for seed in 0..args.clients {
        clients.spawn(drive(load.clone(), services.front.addr, Dice(seed.into())));
    }
    let progress = tokio::spawn(show_progress(load.clone(), duration, Arc::clone(&stats)));
    tokio::spawn(async move {
        interrupts.recv().await;
        guard.cancel();
        interrupts.recv().await;
        std::process::exit(130);
    });

    let mut tally = Tally::default();
    while let Some(client) = clients.join_next().await {
        tally.add(client.map_err(io::Error::other)?);
    }
    let elapsed = began.elapsed();
    let _ = progress.await;

    // Every client is gone, so every context is to go; not at once, for a thread sees it when it looks next.
    let cut = services.front.drain(SETTLE).await;
    let mut connections = cut + services.front.ctx.child_count();
    if let Some(backend) = &mut services.backend {
        connections += backend.drain(SETTLE).await + backend.ctx.child_count();
    }
    let contexts = || stats.contexts.get() + services.backend_stats.contexts.get();
    settle(|| contexts() == 0).await;
    let live = connections as u64 + contexts();
    let mut lateness = Durations::default();
    lateness.extend(late.try_iter());
    Ok(Report {
        elapsed,
        clients: args.clients,
        tally,
        lateness,
        stats,
        live,
    })
}

async fn settle(settled: impl Fn() -> bool) {
    let (limit, _guard) = Context::background().with_timeout(SETTLE);
    while !settled() && limit.sleep(Duration::from_millis(5)).await.is_ok() {}
}

async fn show_progress(load: Context, duration: Duration, stats: Arc<Stats>) {
    const TICK: Duration = Duration::from_millis(100);
    let ticks = duration.as_millis() / TICK.as_millis();
    let bar = ProgressBar::new(u64::try_from(ticks).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {msg}") {
        bar.set_style(style);
    }
    while load.sleep(TICK).await.is_ok() {
        let requests: u64 = Ending::ALL.map(|ending| stats.ended(ending)).iter().sum();
        bar.set_message(format!("{requests} requests"));
        bar.inc(1);
    }
    bar.finish_and_clear();
}

/// What a client does next.
enum Act {
    /// Sends this, with so many milliseconds to go if it says so, and reads the answer.
    Ask(String, Option<String>),
    /// Sends this and closes the socket before the answer can be there.
    HangUp(&'static str),
}

impl Act {
    fn roll(dice: &mut Dice) -> Self {
        match dice.roll(100) {
            0..10 => Self::Ask("/healthz".to_owned(), None),
            10..35 => Self::Ask(format!("/sleep?ms={}", dice.roll(10)), None),
            35..60 => Self::Ask(format!("/work?n={}", 1_000 + dice.roll(20_000)), None),
            60..84 => Self::Ask(format!("/fanout?ms={}", dice.roll(5)), None),
            84..92 => Self::Ask(
                dice.pick(["/work?n=1000000000", "/fanout?ms=60000", "/sleep?ms=60000"])
                    .to_owned(),
                Some((1 + dice.roll(50)).to_string()),
            ),
            92..98 => Self::HangUp(dice.pick([
                "/work?n=1000000000",
                "/fanout?ms=60000",
                "/sleep?ms=60000",
            ])),
            _ => Self::Ask("/healthz".to_owned(), Some("soon".to_owned())),
        }
    }
}

/// One client, until the load is over.
async fn drive(load: Context, addr: SocketAddr, mut dice: Dice) -> Tally {
    let mut tally = Tally::default();
    let mut kept = None;
    while !load.is_done() {
        match Act::roll(&mut dice) {
            Act::HangUp(path) => {
                let ending = match hang_up(addr, path, dice.roll(10)).await {
                    Ok(()) => Ending::ClientGone,
                    Err(_) => Ending::Other,
                };
                tally.count(ending);
            }
            Act::Ask(path, budget) => {
                let began = Instant::now();
                let ending = ask(&mut kept, addr, &path, budget.as_deref()).await;
                tally.count(ending);
                if ending == Ending::Ok {
                    tally.latency.extend([began.elapsed()]);
                }
                if ending == Ending::Other {
                    // Whatever it is, asking again at once does not help.
                    pause(Duration::from_millis(10)).await;
                }
            }
        }
    }
    tally
}

/// Asks over the connection that was kept, or over a new one, which is then kept.
async fn ask(
    kept: &mut Option<Connection>,
    addr: SocketAddr,
    path: &str,
    budget: Option<&str>,
) -> Ending {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => match client::connect(addr).await {
            Ok(connection) => connection,
            Err(_) => return Ending::Other,
        },
    };
    let budget = budget.and_then(|budget| HeaderValue::from_str(budget).ok());
    let headers: HeaderMap = budget
        .map(|budget| (HeaderName::from_static(X_TIMEOUT_MS), budget))
        .into_iter()
        .collect();
    match client::get(&mut connection, path, headers).await {
        Ok((status, _)) => {
            *kept = Some(connection);
            Ending::of(status)
        }
        Err(_) => Ending::Other,
    }
}

async fn hang_up(addr: SocketAddr, path: &str, after_ms: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    pause(Duration::from_millis(1 + after_ms)).await;
    Ok(())
}

/// SplitMix64: what a client does depends on its number alone.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    fn pick<const N: usize>(&mut self, from: [&'static str; N]) -> &'static str {
        from[usize::try_from(self.roll(N as u64)).unwrap_or_default()]
    }
}
