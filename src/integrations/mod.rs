//! The library where users live: each module is a feature, off by default, that compiles alone.
//!
//! Above the facade and the patterns: nothing here that a caller could not write, and no unsafe code.

#[cfg(feature = "futures")]
pub mod futures;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
#[cfg(feature = "tokio-postgres")]
pub mod postgres;
#[cfg(feature = "http")]
pub mod propagate;
#[cfg(feature = "rusqlite")]
pub mod rusqlite;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
pub mod tracing;
