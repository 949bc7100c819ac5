//! Two processes: a caller that gives up stops the work that the callee does for it, on the callee's threads, by nothing but
//! the end of the call. Counters on both sides show it.
//!
//! The program starts itself again as the callee, a gRPC server whose handler works on a thread under the context of its call.
//! The caller makes as many calls as it is told, in turn one that waits for its end and one that would go on for ever
//! and is given up after the first answer. In the end each side says what it counted; the program exits with 1 if they differ.
//!
//! Run it with `cargo run --example two_services`, or `-- CALLS`.

mod callee;
mod caller;
mod wire;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let done = match argument.as_deref() {
        Some("--callee") => callee::serve().await.map(|()| true),
        calls => match calls.map_or(Ok(20), str::parse) {
            Ok(calls) => caller::run(calls).await,
            Err(_) => Err("usage: two_services [CALLS]".into()),
        },
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
