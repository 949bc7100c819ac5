//! ripcord
#![forbid(unsafe_op_in_unsafe_fn)]
mod cancel;
mod cause;
mod context;
mod display;
mod done;
mod error;
mod local;
pub mod monitor;
mod raw;
mod sync;
mod tuning;
pub use cancel::{CancelGuard, CancelHandle};
pub use cause::Cause;
pub use context::Context;
pub use done::Done;
pub use error::Error;
