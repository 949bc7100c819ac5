//! What servers build on contexts again and again: budgets, channels, copies, retries, groups, shutdown.
//!
//! Above the facade: everything here uses what any caller could, has no unsafe code, and may take a short lock, never across
//! code of the caller's and never on the way of a cancel.

mod any;
pub(crate) mod breaker;
mod budget;
pub mod cascade;
pub mod channel;
pub(crate) mod coordinator;
pub mod ext;
mod group;
pub mod hedge;
pub mod io;
mod lock;
mod panicked;
#[cfg(feature = "retry")]
pub mod retry;
pub(crate) mod shutdown;

pub use any::{Cancel, Never};
pub use budget::{Budget, BudgetError};
pub use group::{Group, GroupError, GroupRun, SpawnError};
pub use panicked::Panicked;
