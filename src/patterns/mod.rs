//! What servers build on contexts again and again: budgets, channels, copies, retries, groups, shutdown, a monitor.
//!
//! Above the facade: everything here uses what any caller could (but for the monitor and its tree, which look at nodes by
//! `raw::view`), has no unsafe code, and may take a short lock, never across code of the caller's and never on the way of a cancel.

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
mod limit;
mod lock;
mod monitor;
mod panicked;
#[cfg(feature = "retry")]
pub mod retry;
pub(crate) mod shutdown;
mod tree;

pub use any::{Cancel, Never};
pub use budget::{Budget, BudgetError};
pub use group::{Group, GroupError, GroupRun, SpawnError};
pub use monitor::{Leak, Monitor, MonitorEntry, MonitorEvent, MonitorStats};
pub use panicked::Panicked;
pub use tree::ContextTree;
