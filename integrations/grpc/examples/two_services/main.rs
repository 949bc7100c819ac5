//! Two processes: a caller that gives up stops the work that the callee does for it, on the callee's threads, by nothing but
//! the end of the call. Counters on both sides show it.
//!
//! The program starts itself again as the callee, a gRPC server whose handler works on a thread under the context of its call.
//! The caller makes as many calls as it is told, in turn one that waits for its end and one that would go on for ever
//! and is given up after the first answer. In the end each side says what it counted; the program exits with 1 if they differ.
//!
//! Run it with `cargo run --example two_services`, or `-- CALLS`.

pub mod callee;
pub mod caller;
mod wire;

use caller::Counted;
use std::error::Error;
use std::process::ExitCode;
use tokio::process::Command;

#[tokio::main]
async fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let result = match argument.as_deref() {
        Some("--callee") => callee::serve().await,
        calls => call(calls.unwrap_or("20")).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn call(calls: &str) -> Result<(), Box<dyn Error>> {
    let calls = calls.parse().map_err(|_| "usage: two_services [CALLS]")?;
    let mut callee = Command::new(std::env::current_exe()?);
    callee.arg("--callee");
    let counted = caller::run(calls, callee).await?;
    let Counted {
        answered,
        given_up,
        begun,
        finished,
        stopped,
    } = counted;
    println!("caller: {calls} called, {answered} answered, {given_up} given up");
    println!("callee: {begun} begun, {finished} finished, {stopped} stopped");
    if (begun, finished, stopped) != (calls, answered, given_up) {
        return Err("the two sides differ".into());
    }
    Ok(())
}
