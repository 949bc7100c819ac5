//! The arguments.

use clap::Parser;
use std::env;
use std::path::PathBuf;

/// What a request pays for its context, beside one with tokio-util's tokens and `tokio::time::timeout`, and one with neither.
///
/// Counts the instructions of a server under valgrind's callgrind, driven from this process by requests one after another;
/// then drives it as it is, the sides taking turns, and reports requests a second and the latency of the slowest of a
/// thousand. Prints the tables.
#[derive(Parser, Debug)]
#[command(name = "compare")]
pub struct Args {
    /// Also puts the tables into PERF.md
    #[arg(long)]
    pub write: bool,

    /// Requests that are counted, of each route and side
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub requests: u32,

    /// How often they are counted; 0 for not at all
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub repeats: u32,

    /// How often each side is timed; 0 for not at all
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub rounds: u32,

    /// How long, each time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,

    /// Clients that drive it then, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    pub connections: u16,

    /// The server's binary [default: built anew]
    #[arg(long, value_name = "PATH")]
    pub server: Option<PathBuf>,
}

/// As the section of PERF.md says it.
pub fn command() -> String {
    let own: Vec<_> = env::args().skip(1).collect();
    format!(
        "cargo run --release --manifest-path perf/server/Cargo.toml -- {}",
        own.join(" ")
    )
}
