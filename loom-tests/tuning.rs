//! The models' side of `src/tuning.rs`: bounds small enough for a model to cross them.

/// Loom's types are larger than the machine's.
pub(crate) const BLOCKS: [usize; 2] = [1024, 1536];
/// One block is less than a magazine.
pub(crate) const MAGAZINE: usize = 2;
/// Two pushes, and the third writes back-links.
pub(crate) const INDEX_AT: usize = 2;
/// An owner that was handed two entries puts one back.
pub(crate) const DRAIN_BUDGET: usize = 1;
pub(crate) const COUNT_TRIES: usize = 1;
pub(crate) const STRIPES_MAX: usize = 2;
/// Three parents make two nodes.
pub(crate) const LINKS_MAX: usize = 1;
pub(crate) const HANDLES_MAX: usize = 1 << 30;
/// The third set in a row makes a flat node.
pub(crate) const VALUES_MAX: u32 = 1;
/// Never: a model that wants shards of values asks for them.
pub(crate) const VALUES_HOT: usize = 1 << 20;
/// Two deadlines on a stripe, and the third spills.
pub(crate) const NURSERY: usize = 2;
pub(crate) const PROBES: usize = 2;
/// In nanoseconds: a deadline that is further ahead stays in the nursery.
pub(crate) const NEAR: u64 = 10;
/// The first that is dropped while it is in the wheel has it swept.
pub(crate) const ABANDONED: usize = 1;
/// A tick is a nanosecond.
pub(crate) const TICK: u32 = 0;

/// A model stops threads everywhere.
pub(crate) const fn window(_name: &str) {}
