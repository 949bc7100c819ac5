//! Nobody waits for a thread that is stopped: at random instructions (`stops`), and in each window in which it has
//! something that others come across (`windows`).
//!
//! A second crate root around `src/`, as that of the models, but on the library's own primitives: it brings `tuning`, whose
//! `window` stops the calling thread if that has been asked for. So the code that is stopped is the code that ships, nothing
//! internal becomes public, and no `cfg` in `src/` knows of it.

#![expect(
    dead_code,
    reason = "the tests use less of the library than it offers, and look into it"
)]

mod inside;
mod rest;
#[cfg(target_os = "linux")]
mod stops;
mod tuning;
mod victim;
mod windows;

#[cfg(target_os = "linux")]
#[path = "../memory/counting.rs"]
mod counting;
#[cfg(target_os = "linux")]
#[path = "../../benches/stall/observe.rs"]
mod observe;
#[cfg(target_os = "linux")]
use stops::count;

#[path = "../../src/after_func.rs"]
mod after_func;
#[path = "../../src/batch.rs"]
mod batch;
#[path = "../../src/cancel.rs"]
mod cancel;
#[path = "../../src/cause.rs"]
mod cause;
#[path = "../../src/context.rs"]
mod context;
#[path = "../../src/deadline.rs"]
mod deadline;
#[path = "../../src/display.rs"]
mod display;
#[path = "../../src/done.rs"]
mod done;
#[path = "../../src/engine.rs"]
mod engine;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/key.rs"]
mod key;
#[path = "../../src/light.rs"]
mod light;
#[path = "../../src/local.rs"]
mod local;
#[path = "../../src/monitor.rs"]
mod monitor;
#[path = "../../src/origin.rs"]
mod origin;
#[path = "../../src/pool.rs"]
mod pool;
#[path = "../../src/raw/mod.rs"]
mod raw;
#[path = "../../src/run.rs"]
mod run;
#[path = "../../src/sleep.rs"]
mod sleep;
#[path = "../../src/sync.rs"]
mod sync;
#[path = "../../src/wait.rs"]
mod wait;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test at a time: what one stops is shared by the process, and what another keeps busy is measured.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
