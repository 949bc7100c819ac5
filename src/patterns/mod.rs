//! What servers build on contexts again and again: budgets, channels, copies, retries, groups, shutdown.
//!
//! Above the facade: everything here uses what any caller could, has no unsafe code, and may take a short lock, never across
//! code of the caller's and never on the way of a cancel.

pub(crate) mod breaker;
pub mod cascade;
pub(crate) mod coordinator;
pub mod ext;
mod lock;
pub(crate) mod shutdown;
