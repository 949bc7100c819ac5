//! The library where users live: each module is a feature, off by default, that compiles alone.
//!
//! Above the facade and the patterns: nothing here that a caller could not write, and no unsafe code.

#[cfg(feature = "tower")]
pub mod tower;
