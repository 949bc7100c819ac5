//! What is built on contexts, proved from the outside: what it does, and what bad input gives.

mod any;
mod budget;
mod channel;
#[cfg(feature = "channel-async")]
mod channel_async;
mod group;
mod hedge;
mod io;
#[cfg(feature = "tokio")]
mod io_async;
#[cfg(feature = "retry")]
mod retry;

use ripcord::{Engine, ManualClock};
use std::future::Future;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// An engine whose time is moved by the test.
fn manual() -> (Engine, ManualClock) {
    Engine::builder()
        .manual_clock()
        .expect("it needs no thread")
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime can be started")
        .block_on(future)
}

/// A runtime may take it to another thread, and outlive who made it.
fn spawnable<F: Future + Send + 'static>(_future: F) {}

/// What the crate promises of its types.
fn holds<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe + 'static>() {}
