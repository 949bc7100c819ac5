//! All of the library at once, with faults, for as long as it is told to: `cargo run --release --example soak -- --minutes 10`.
//!
//! Threads and a tokio runtime work on one tree in phases. After each phase everything is dropped and every thread of the
//! program's has ended: a quiet point. There each value, cause and function is counted as dropped exactly once, nothing is
//! left registered, and the bytes of the allocator and of the pool are what they were. Every answer on the way is looked
//! at. It says what it saw, once a minute, and ends with 1 and a message where something was wrong.
//!
//! `--features mio` adds a mio loop. The seed it prints decides what each thread does, not in which order they come.

#![deny(unsafe_code)]

mod jobs;
pub(crate) mod ledger;
mod phase;
pub(crate) mod quiet;
pub(crate) mod run;

#[allow(unsafe_code, reason = "an allocator that counts")]
#[path = "../../tests/memory/counting.rs"]
mod counting;

use clap::Parser;
use counting::Counting;
use run::{Plan, run};
use std::process::ExitCode;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that are allocated and not freed, in the process.
static LIVE: AtomicIsize = AtomicIsize::new(0);

fn count(_allocations: usize, bytes: isize) {
    LIVE.fetch_add(bytes, Ordering::Relaxed);
}

/// All features at once, with faults, until a time has passed or something is wrong.
#[derive(Debug, Parser)]
struct Args {
    /// How long, in minutes.
    #[arg(long, default_value_t = 1, conflicts_with = "seconds")]
    minutes: u64,
    /// How long, in seconds: at least three quiet points, which take two seconds each.
    #[arg(long)]
    seconds: Option<u64>,
    /// Threads that work, beside two of a tokio runtime.
    #[arg(long, default_value_t = 4)]
    threads: usize,
    /// What the threads do, from a run before; else from the clock.
    #[arg(long)]
    seed: Option<u64>,
}

#[allow(
    dead_code,
    reason = "the tests that include this module call `run` themselves"
)]
pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    let plan = Plan {
        length: Duration::from_secs(args.seconds.unwrap_or(args.minutes * 60)),
        threads: args.threads.max(1),
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..)),
    };
    println!("seed {}", plan.seed);
    match run(&plan, |line| println!("{line}")) {
        Ok(()) => {
            println!("nothing was wrong");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("WRONG, seed {}:\n{wrong}", plan.seed);
            ExitCode::FAILURE
        }
    }
}
