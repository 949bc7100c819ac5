//! Every constant that trades one cost for another, with its reason; and the windows, which cost nothing here.

/// Bytes of a block, by class: the size of a node, in two cache lines; and of one with a deadline or several parents.
pub(crate) const BLOCKS: [usize; 2] = [128, 192];

/// Blocks of a magazine. Arbitrary between 32 and 256: below, the depot shows in the cost of a burst; above, an idle
/// thread keeps more than 32 KiB twice over.
pub(crate) const MAGAZINE: usize = 64;

/// Blocks a thread takes when it first comes to the depot: most threads that come and go need no more, and many at once would
/// else keep a magazine each. Arbitrary between 4 and 16.
pub(crate) const FIRST_BLOCKS: usize = 8;

/// Magazines the depot of one class keeps (512 and 768 KiB of blocks); what does not fit goes to the allocator.
pub(crate) const DEPOT: usize = 64;

/// Pushes since a list was last owned after which a pusher writes the back-links, so that no drop has to walk more
/// than about twice this many entries.
pub(crate) const INDEX_AT: usize = 1_024;

/// Removals an owner makes for others before it lets go, or one fast dropper would keep the list for ever.
pub(crate) const DRAIN_BUDGET: usize = 256;

/// Looks at a list that another thread owns before a count of it falls back to its registrations: about a millisecond, where
/// an owner that is not stopped is done in a tenth of a microsecond, or counts itself.
pub(crate) const COUNT_TRIES: usize = 1 << 18;

/// Lost races on list heads after which a thread gives the parent it is at stripes. Arbitrary: two threads on one
/// root lose about one race in ten operations, so it is reached in under a millisecond of real contention and not by
/// an occasional brush.
pub(crate) const CONTENTION_LIMIT: u32 = 64;

/// The most stripes one node gets, whatever the machine.
pub(crate) const STRIPES_MAX: usize = 64;

/// Links a merged node can pin itself with: what its state word has room for.
pub(crate) const LINKS_MAX: usize = (1 << 19) - 1;

/// The largest number of handles or registrations one context can have. Over it the process aborts, as `Arc` does:
/// only leaking handles in a loop gets there.
pub(crate) const HANDLES_MAX: usize = 1 << 30;

/// Sets before one on a path of values, at the most; the next one is flat. Arbitrary between 16 and 60: below, the
/// values that a flat node holds show in the cost of a set; above, a loop keeps more shadowed ones than the 64 promised.
pub(crate) const VALUES_MAX: u32 = 32;

/// Clones of one values node after which those that follow are counted in a shard of it. Arbitrary: fewer, and a request's own
/// values, cloned some times and gone, pay for the end of shards; more, and a root takes the longer way for longer.
pub(crate) const VALUES_HOT: usize = 16;

/// Slots of a segment of a nursery (8 KiB): a stripe has one, and gets another where no slot is found. Fewer, and a stripe that is used has
/// many; more, and the first, which every engine has for every core, costs more, as does emptying it.
pub(crate) const NURSERY: usize = 1_024;
const _: () = assert!(NURSERY.is_power_of_two());

/// Segments a stripe may get (512 KiB): the deadlines one core may have ahead before those that come go to the wheel. More, and the scan of
/// them all would show in how late a deadline is.
pub(crate) const SEGMENTS: usize = 64;
const _: () = assert!(SEGMENTS.is_power_of_two());

/// Whether a stripe gets the segments that it may have. Here it does; a model asks for it.
#[inline(always)]
pub(crate) const fn may_grow() -> bool {
    true
}

/// Slots of a segment looked at for a free one before another is looked at.
pub(crate) const PROBES: usize = 16;

/// Further segments looked at before another is made, or a deadline goes to the wheel. Arbitrary between 2 and 8: fewer, and more are made;
/// more, and who finds none has looked long.
pub(crate) const SEARCHED: usize = 3;

/// log2 of the nanoseconds by which slots of a nursery say when they are due (17 ms): finer, and what is hours ahead is
/// looked at more often; coarser, and more is moved to the wheel that would not have lived to be due.
pub(crate) const TICK: u32 = 24;

/// Nanoseconds ahead within which a deadline is moved from the nursery to the wheel (16 ms): a scan of a full
/// stripe costs about a microsecond, so it is made for all that fall due soon, and not for each.
pub(crate) const NEAR: u64 = 1 << 24;

/// Nanoseconds further on within which a deadline of a second segment, or a later one, is moved along with what is near (1.1 s): they
/// may be many, so that a scan of them all takes a tenth of a millisecond, which is not to be for every tick. Arbitrary between a quarter of a
/// second and four: more, and more is moved to the wheel that would not have lived to be due.
pub(crate) const FURTHER: u64 = 1 << 30;

/// Records of dropped contexts that may wait on a stripe's pile to be swept out (192 KiB). Arbitrary between 256 and 4,096: fewer,
/// and the wake for it shows in the cost of a drop; more, and new records are made of bytes that are in no cache.
pub(crate) const ABANDONED: usize = 1_024;

/// Records on a stripe's pile from which on who drops gives way (1.5 MiB): so many wait only where whoever sweeps them out has no core
/// to run on, and without bound, for threads that arm and drop make more of them than it gets to. Arbitrary, but well above `ABANDONED`.
pub(crate) const BEHIND: usize = 8 * ABANDONED;

/// Drops between which such a thread gives way. Arbitrary between 16 and 256: with 1,024 it was not enough for eight threads on two cores.
pub(crate) const GIVE_WAY: usize = 64;

/// Deadlines of a stripe that may find no slot before a thread is woken to empty its first segment. Arbitrary between 16 and 256: what
/// finds one costs a fifth of what does not, and as many come between two wakes as a segment has slots.
pub(crate) const SPILLED: usize = 64;

/// A window: a point at which a stopped thread has something that others will come across. Nothing here; in the second
/// crate root of `tests/progress` a thread is stopped in each of them.
#[inline(always)]
pub(crate) const fn window(_name: &str) {}

/// A mutant: whether the fault of that name is on, which breaks the rule it is named after where that is kept. Never here;
/// the models, and the schedules of `tests/shuttle`, switch on one at a time and are to fail.
#[inline(always)]
pub(crate) const fn mutant(_name: &str) -> bool {
    false
}
