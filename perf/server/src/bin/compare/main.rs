//! What a request pays for its context.
//!
//! | file | |
//! |---|---|
//! | `route.rs`, `load.rs` | what is asked, and by whom |
//! | `process.rs` | the server |
//! | `instructions.rs`, `profile.rs` | the server under callgrind |
//! | `rounds.rs` | the server as it is |
//! | `section.rs`, `spread.rs`, `report.rs` | tables, and PERF.md |

mod cli;
mod instructions;
mod load;
mod process;
mod profile;
mod report;
mod rounds;
mod route;
mod section;
mod spread;

use clap::Parser;
use cli::Args;
use indicatif::{ProgressBar, ProgressStyle};
use instructions::Counter;
use report::Report;
use ripcord_server::{Side, upstream};
use route::ROUTES;
use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(compare(&args)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "compare: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(args: &Args) -> Result<()> {
    if args.write && (args.repeats == 0 || args.rounds == 0) {
        return Err("--write needs both, repeats and rounds: a section is of one run".into());
    }
    let report = Report::begin();
    let server = match &args.server {
        Some(server) => server.clone(),
        None => process::build()?,
    };
    process::found(&server)?;
    let upstream = upstream::start().await?;
    let counted = args.repeats > 0 && instructions::valgrind()?;
    let bar = progress(args, counted)?;
    let step = |what: String| {
        bar.set_message(what);
        bar.inc(1);
    };

    let mut parts = Vec::new();
    let mut ratio = None;
    if counted {
        let counter = Counter {
            server: &server,
            upstream,
            requests: args.requests,
            dir: env::current_exe()?.with_file_name("callgrind"),
        };
        let counts = counter.count(args.repeats, step).await?;
        ratio = Some(section::ratio(&counts));
        parts.push(section::instructions(&counts, args.requests));
        for route in ROUTES.iter().filter(|route| route.profiled) {
            let ours = counter.profile(Side::Ripcord, route);
            let theirs = counter.profile(Side::Neither, route);
            parts.push(match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => section::profile(route.path, ours, &theirs),
                (Err(why), _) | (_, Err(why)) => format!("No profile of `{}`: {why}.", route.path),
            });
        }
    } else if args.repeats > 0 {
        parts.push("There was no `valgrind` on the PATH: instructions were not counted.".into());
    }
    if args.rounds > 0 {
        let duration = Duration::from_secs(args.seconds);
        let rounds = rounds::run(
            &server,
            upstream,
            args.rounds,
            duration,
            args.connections,
            step,
        )
        .await?;
        parts.push(section::throughput(&rounds, duration, args.connections));
    }
    bar.finish_and_clear();

    let section = report.section(&cli::command(), &parts);
    // `println!` panics where stdout is closed.
    writeln!(io::stdout(), "{section}")?;
    if args.write {
        Report::write(&section, ratio)
            .map_err(|why| format!("PERF.md is left as it was: {why}"))?;
    }
    Ok(())
}

fn progress(args: &Args, counted: bool) -> Result<ProgressBar> {
    let counts = if counted { args.repeats as usize } else { 0 } * ROUTES.len();
    let steps = (counts + args.rounds as usize) * Side::ALL.len();
    let bar = ProgressBar::new(steps as u64);
    bar.set_style(ProgressStyle::with_template(
        "{elapsed:>4} {wide_bar} {msg}",
    )?);
    Ok(bar)
}
