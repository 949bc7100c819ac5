//! Schedules: a further crate root around `src/raw`, on shuttle's primitives. See `loom-tests/README.md`.
//!
//! Every access here is sequentially consistent, so what is found is in the logic, and not in the orderings: those are the
//! models' part.

#![cfg(test)]
#![expect(
    dead_code,
    reason = "the schedules use less of the engine than the library does"
)]

mod local;
mod sync;
mod tuning;

#[path = "../../../src/cause.rs"]
mod cause;
#[path = "../../../src/error.rs"]
mod error;
#[path = "../../../src/raw/mod.rs"]
mod raw;

mod known;
mod mutants;
mod ops;
mod schedules;
