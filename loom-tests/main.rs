//! The models: a second crate root around `src/raw`, on loom's primitives. See README.md beside this file.
//!
//! No test lives in `src/raw` itself: here it would be built on loom's types and run outside a model.

#![expect(
    dead_code,
    reason = "the models use less of the engine than the library does"
)]

mod harness;
mod local;
mod sync;
mod tuning;

#[path = "../src/cause.rs"]
mod cause;
#[path = "../src/error.rs"]
mod error;
#[path = "../src/raw/mod.rs"]
mod raw;

mod inside;

mod batch;
mod callbacks;
mod canary;
mod list;
mod memory;
mod merge;
mod mutants;
mod timers;
mod tree;
mod values;
mod waits;
