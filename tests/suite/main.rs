//! What a user sees of a tree of contexts, proved from the outside. One binary, so that there is one link step.

mod bad_input;
mod batch;
mod callbacks;
mod common;
mod deadlines;
mod deep;
mod display;
mod drops;
mod engines;
mod go;
mod light;
mod merge;
#[cfg(feature = "mio")]
mod mio;
mod model;
mod origin;
mod races;
mod run;
mod sleeps;
mod threads;
mod token;
mod traits;
mod values;
mod waits;
mod what_holds;
