//! The schedules' side of `src/tuning.rs`: bounds small enough to be crossed in fifty operations, and faults that are on.

use std::sync::OnceLock;

/// Shuttle's types are larger than the machine's.
pub(crate) const BLOCKS: [usize; 2] = [2048, 3072];
pub(crate) const MAGAZINE: usize = 2;
pub(crate) const INDEX_AT: usize = 6;
pub(crate) const DRAIN_BUDGET: usize = 2;
/// An owner that is stopped is so for the schedule's time, and no look is worth waiting for.
pub(crate) const COUNT_TRIES: usize = 2;
/// Lost races after which a thread gives a node stripes.
pub(crate) const CONTENTION_LIMIT: u32 = 3;
pub(crate) const STRIPES_MAX: usize = 4;
pub(crate) const LINKS_MAX: usize = 2;
pub(crate) const HANDLES_MAX: usize = 1 << 30;
pub(crate) const VALUES_MAX: u32 = 3;
pub(crate) const VALUES_HOT: usize = 4;
pub(crate) const NURSERY: usize = 4;
pub(crate) const SEGMENTS: usize = 2;
pub(crate) const fn may_grow() -> bool {
    true
}
pub(crate) const PROBES: usize = 2;
pub(crate) const SEARCHED: usize = 1;
/// In nanoseconds, as below.
pub(crate) const NEAR: u64 = 10;
pub(crate) const FURTHER: u64 = NEAR;
pub(crate) const ABANDONED: usize = 2;
pub(crate) const BEHIND: usize = 4;
pub(crate) const GIVE_WAY: usize = 2;
pub(crate) const SPILLED: usize = 2;
pub(crate) const TICK: u32 = 0;

/// A schedule stops threads everywhere.
pub(crate) const fn window(_name: &str) {}

/// The fault that is on in this process, named by the variable `RIPCORD_MUTANT`: see `mutants`.
pub(crate) fn mutant(name: &str) -> bool {
    static ON: OnceLock<Option<String>> = OnceLock::new();
    let on = ON.get_or_init(|| std::env::var("RIPCORD_MUTANT").ok());
    on.as_deref() == Some(name)
}
