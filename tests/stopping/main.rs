//! Who stops what, when, and what becomes of it: coordinator, shutdown, cascade, circuit breaker. One binary, so that there is
//! one link step.

mod breaker;
mod cascade;
mod coordinator;
mod shutdown;
#[cfg(all(feature = "signals", target_os = "linux"))]
mod signals;
mod stopped_engine;

use ripcord::{Context, Engine, ManualClock};

fn stopped_time() -> (Context, ManualClock) {
    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    (engine.background(), clock)
}
