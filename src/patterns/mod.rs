//! What servers build on contexts again and again: budgets, channels, copies, retries, groups, shutdown, a monitor.
//!
//! Above the facade: everything here uses what any caller could (but for the monitor and its tree, which look at nodes by
//! `raw::view`), has no unsafe code, and may take a short lock, never across code of the caller's and never on the way of a cancel.

mod monitor;
mod tree;

pub use monitor::{Leak, Monitor, MonitorEntry, MonitorEvent, MonitorStats};
pub use tree::ContextTree;
