//! The models' side of `src/tuning.rs`: bounds small enough for a model to cross them.

/// Loom's types are larger than the machine's.
pub(crate) const BLOCK: usize = 1024;
/// Two pushes, and the third writes back-links.
pub(crate) const INDEX_AT: usize = 2;
/// An owner that was handed two entries puts one back.
pub(crate) const DRAIN_BUDGET: usize = 1;
pub(crate) const STRIPES_MAX: usize = 2;
/// Three parents make two nodes.
pub(crate) const LINKS_MAX: usize = 1;
pub(crate) const HANDLES_MAX: usize = 1 << 30;
/// The third set in a row makes a flat node.
pub(crate) const VALUES_MAX: u32 = 1;
