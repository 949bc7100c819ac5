//! The server case: one gateway, with ripcord, with tokio-util and `tokio::time`, and with neither.
//!
//! `server` is the gateway, `compare` drives it three times over and writes the section of PERF.md. Here is what both use.

pub mod http;
mod side;
pub mod upstream;

pub use side::Side;

/// Milliseconds for which an answer is of use.
pub const X_TIMEOUT_MS: &str = "x-timeout-ms";
pub const X_REQUEST_ID: &str = "x-request-id";
pub const X_USER: &str = "x-user";
