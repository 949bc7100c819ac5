//! The state word of an entry: whether and how it ended, what is registered on it, who keeps its bytes, and its
//! handles. This file owns every bit of it; no other names one.
//!
//! ```text
//!  63      32 31    13 12   11    10    9      8    7          6       5        4       3  2   1       0
//! | handles  | links  | PART WAKER ARMED LISTED HELD PROPAGATED CHANNEL SLEEPERS ENTRIES CAUSE  EXPIRED DONE |
//! ```
//!
//! | bits | set by | cleared by | says |
//! |---|---|---|---|
//! | DONE, EXPIRED, CAUSE | one CAS, by whoever ends the entry (R12) | never | how it ended and where the cause is |
//! | ENTRIES, SLEEPERS, CHANNEL | who installs one, before it looks (install, then look) | never | whom to tell |
//! | WAKER | who leaves one, before it looks | who left it, taking it back | whose waker it is: that of who ends the entry, once DONE came after it |
//! | PROPAGATED | who marks a leaf, or leaves a subtree that is marked (R7) | never | all below is done |
//! | HELD | creation | the undertaker | the handles, then the undertaker, use the bytes |
//! | LISTED | creation | who unlinked it, or its parent's end | the parent's list points here |
//! | ARMED | creation | who disarmed it, or whoever has the timers' turn | the nursery or the wheel points here |
//! | PART | the creator of a merged node, before anybody sees it | the same, before it hands the node out | nobody has a context of it: it is in the making, or another one continues it |
//! | links | a merge, for each link; the undertaker of a timed node | the end of that link's bytes; whoever has the timers' turn | links of other parents point here; it is on the pile of what was dropped |
//! | handles | `acquire` | `release` | how many handles there are; the low half stays still under them, so a sleeper on it is not disturbed |

mod end;

pub(crate) use end::{CauseAt, End};

use crate::error::Error;
use crate::sync::{AtomicUsize, Ordering};
use crate::tuning;
use std::fmt;

const DONE: usize = 1 << 0;
const EXPIRED: usize = 1 << 1;
const CAUSE_SHIFT: u32 = 2;
const CAUSE: usize = 3 << CAUSE_SHIFT;
const HAS_ENTRIES: usize = 1 << 4;
const HAS_SLEEPERS: usize = 1 << 5;
const HAS_CHANNEL: usize = 1 << 6;
const PROPAGATED: usize = 1 << 7;
const HELD: usize = 1 << 8;
const LISTED: usize = 1 << 9;
const ARMED: usize = 1 << 10;
const HAS_WAKER: usize = 1 << 11;
const PART: usize = 1 << 12;
const LINK_SHIFT: u32 = 13;
const LINK_ONE: usize = 1 << LINK_SHIFT;
const LINKS: usize = ((1 << 19) - 1) << LINK_SHIFT;
const HANDLE_SHIFT: u32 = 32;
const HANDLE_ONE: usize = 1 << HANDLE_SHIFT;
const PINS: usize = HELD | LISTED | ARMED | LINKS;

const _: () = assert!(usize::BITS == 64, "ripcord is for 64-bit systems");
const _: () = assert!(tuning::LINKS_MAX <= LINKS >> LINK_SHIFT);
const _: () = assert!(tuning::HANDLES_MAX <= usize::MAX >> (HANDLE_SHIFT + 1));

/// What keeps an entry's bytes (R10): one pin, or several that one thread has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pins(usize);

impl Pins {
    pub(crate) const NONE: Self = Self(0);
    /// The handles, then their undertaker.
    pub(crate) const HELD: Self = Self(HELD);
    /// The parent's list.
    pub(crate) const LISTED: Self = Self(LISTED);
    /// The nursery or the wheel.
    pub(crate) const ARMED: Self = Self(ARMED);
    /// A link of a merged node; the `AfterFunc` of a callback, or the pile that a dropped timed node is on, of which there is one.
    pub(crate) const LINK: Self = Self(LINK_ONE);

    pub(crate) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

/// What is installed on an entry and wants telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announce {
    Entries,
    Sleepers,
    Channel,
    Waker,
}

impl Announce {
    const fn bit(self) -> usize {
        match self {
            Self::Entries => HAS_ENTRIES,
            Self::Sleepers => HAS_SLEEPERS,
            Self::Channel => HAS_CHANNEL,
            Self::Waker => HAS_WAKER,
        }
    }
}

/// The word as it was at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot(usize);

impl Snapshot {
    #[inline(always)]
    pub(crate) const fn is_done(self) -> bool {
        self.0 & DONE != 0
    }

    #[inline(always)]
    pub(crate) const fn err(self) -> Option<Error> {
        if self.0 & DONE == 0 {
            None
        } else if self.0 & EXPIRED == 0 {
            Some(Error::Canceled)
        } else {
            Some(Error::DeadlineExceeded)
        }
    }

    pub(crate) const fn end(self) -> Option<End> {
        match self.err() {
            None => None,
            Some(error) => Some(End {
                error,
                cause_at: match (self.0 & CAUSE) >> CAUSE_SHIFT {
                    0 => CauseAt::Plain,
                    1 => CauseAt::Slot,
                    2 => CauseAt::Inherited,
                    _ => CauseAt::Own,
                },
            }),
        }
    }

    /// What a child of an entry that ended so is marked with: the same error, the cause to be asked of the parent.
    pub(crate) fn inherited(self) -> Option<End> {
        self.err().map(|error| End {
            error,
            cause_at: CauseAt::Inherited,
        })
    }

    pub(crate) const fn has(self, what: Announce) -> bool {
        self.0 & what.bit() != 0
    }

    /// Whether somebody beside the entries of its list waits for it to end.
    pub(crate) const fn has_waits(self) -> bool {
        self.0 & (HAS_SLEEPERS | HAS_CHANNEL | HAS_WAKER) != 0
    }

    pub(crate) const fn is_propagated(self) -> bool {
        self.0 & PROPAGATED != 0
    }

    /// Whether it has handles, or an undertaker who is at work.
    pub(crate) const fn is_held(self) -> bool {
        self.0 & HELD != 0
    }

    /// Whether it is a merged node that is no context, yet or ever.
    pub(crate) const fn is_part(self) -> bool {
        self.0 & PART != 0
    }

    pub(crate) const fn is_listed(self) -> bool {
        self.0 & LISTED != 0
    }

    pub(crate) const fn is_armed(self) -> bool {
        self.0 & ARMED != 0
    }

    pub(crate) const fn links(self) -> usize {
        (self.0 & LINKS) >> LINK_SHIFT
    }

    pub(crate) const fn handles(self) -> usize {
        self.0 >> HANDLE_SHIFT
    }

    /// The half a blocked thread sleeps on.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    pub(crate) const fn low_half(self) -> u32 {
        self.0 as u32
    }

    /// Whether it has one handle and is listed, and nothing was ever installed: whoever has that handle is alone with it,
    /// but for walkers.
    pub(crate) const fn is_untouched(self) -> bool {
        self.0 & !(DONE | EXPIRED | CAUSE | PROPAGATED) == HANDLE_ONE | HELD | LISTED
    }

    /// Whether it is live and nothing was ever installed.
    const fn has_nobody_to_tell(self) -> bool {
        self.0 & (DONE | HAS_ENTRIES | HAS_SLEEPERS | HAS_CHANNEL) == 0
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (HAS_ENTRIES, "entries"),
            (HAS_SLEEPERS, "sleepers"),
            (HAS_CHANNEL, "channel"),
            (HAS_WAKER, "waker"),
            (PROPAGATED, "propagated"),
            (HELD, "held"),
            (LISTED, "listed"),
            (ARMED, "armed"),
            (PART, "part"),
        ];
        f.debug_struct("State")
            .field("end", &self.end())
            .field("handles", &self.handles())
            .field("links", &self.links())
            .field(
                "flags",
                &flags
                    .iter()
                    .filter(|(bit, _)| self.0 & bit != 0)
                    .map(|(_, name)| *name)
                    .collect::<Vec<_>>(),
            )
            .finish()
    }
}

/// What giving up one handle leaves to do.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// There are other handles.
    Shared,
    /// It was the last; entries may still count on the node: it is to be orphaned.
    LastWithEntries,
    /// It was the last and nothing counts on the node: it has ended.
    Last,
}

/// The state word.
#[derive(Debug)]
pub(crate) struct State(AtomicUsize);

impl State {
    /// A live entry with `handles` handles, held, and pinned by what it is about to be put on.
    pub(crate) fn new(handles: usize, pins: Pins) -> Self {
        Self(AtomicUsize::new(handles << HANDLE_SHIFT | HELD | pins.0))
    }

    /// ORDERING: Acquire pairs with the Release of the CAS in `end`: what the one who ended it did before, the slot
    /// filled above all, is seen by who sees it done.
    #[inline(always)]
    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::Acquire))
    }

    /// The word itself, for the futex.
    pub(crate) fn word(&self) -> &AtomicUsize {
        &self.0
    }

    /// Gives the word its end before anybody else can see it: a context derived from one that is done. ORDERING: Relaxed;
    /// whoever gets a handle to another thread publishes it.
    pub(crate) fn end_unpublished(&self, end: End) {
        let word = self.0.load(Ordering::Relaxed);
        self.0.store(
            (word & !(LISTED | ARMED)) | end.bits() | PROPAGATED,
            Ordering::Relaxed,
        );
    }

    /// Says that something was installed or is about to be, and answers with a word that has the bit: DONE in it means
    /// 'do it yourself'. Not DONE means that whoever ends the entry will see the bit, for both are on this one word.
    ///
    /// A bit of several is never cleared, so a word that shows it is as good as setting it, and the state line of a hot
    /// root is only read. That of a waker is its one owner's to set.
    ///
    /// ORDERING: Acquire as in `load`; Release so that who ends the entry sees what was installed.
    #[inline]
    pub(crate) fn announce(&self, what: Announce) -> Snapshot {
        let seen = self.load();
        if seen.has(what) {
            return seen;
        }
        let before = self.0.fetch_or(what.bit(), Ordering::AcqRel);
        if tuning::mutant("look") {
            return Snapshot(what.bit());
        }
        Snapshot(before | what.bit())
    }

    /// Takes the announcement of a waker back; `false`: whoever ended the entry has that waker.
    ///
    /// ORDERING: Acquire, so that what the caller does to the waker's cell then comes after what it saw; whoever ends the entry
    /// from here on leaves the cell alone.
    pub(crate) fn withdraw_waker(&self) -> bool {
        !Snapshot(self.0.fetch_and(!HAS_WAKER, Ordering::AcqRel)).is_done()
    }

    /// Ends the entry, if it has not ended: `Ok` with the word before for the one who does, `Err` with the word for
    /// all others. With nothing on its list it is PROPAGATED by the same CAS.
    ///
    /// ORDERING: Release publishes the slot to `load`; Acquire sees what was installed before the announcement.
    pub(crate) fn end(&self, end: End) -> Result<Snapshot, Snapshot> {
        let mut seen = self.load();
        loop {
            if seen.is_done() && !(tuning::mutant("R12c") && end == End::EXPIRED) {
                return Err(seen);
            }
            let propagated = if seen.has(Announce::Entries) && !tuning::mutant("R7b") {
                0
            } else {
                PROPAGATED
            };
            let new = seen.0 | end.bits() | propagated;
            match self
                .0
                .compare_exchange_weak(seen.0, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Ok(seen),
                Err(now) => seen = Snapshot(now),
            }
        }
    }

    /// `end` where there is nobody to tell, in one RMW; `None`: not done, for there is somebody, or a race was lost.
    /// `Some(false)`: all below had ended before.
    #[inline(always)]
    pub(crate) fn end_untold(&self, end: End) -> Option<bool> {
        let seen = self.load();
        if seen.is_propagated() {
            return Some(false);
        }
        self.try_end_untold(seen, end, 0).then_some(true)
    }

    /// `end_untold` and `release` in one RMW, for a guard.
    #[inline(always)]
    pub(crate) fn end_and_release(&self, end: End) -> Option<Released> {
        let seen = self.load();
        if seen.is_propagated() {
            return Some(self.release());
        }
        if seen.handles() == 1 && seen.has_nobody_to_tell() {
            return Some(Released::Last);
        }
        self.try_end_untold(seen, end, HANDLE_ONE)
            .then_some(Released::Shared)
    }

    /// ORDERING: AcqRel as in `end` and `release`. One try: a failure is contention, and the long way copes.
    #[inline(always)]
    fn try_end_untold(&self, seen: Snapshot, end: End, given_up: usize) -> bool {
        let new = (seen.0 | end.bits() | PROPAGATED) - given_up;
        let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
        seen.has_nobody_to_tell()
            && self
                .0
                .compare_exchange(seen.0, new, success, failure)
                .is_ok()
    }

    /// Says that all below this entry is done (R7, post-order).
    ///
    /// ORDERING: Release pairs with `load` by another walker that turns back here: every mark below is visible to who
    /// sees the bit.
    pub(crate) fn propagate(&self) {
        self.0.fetch_or(PROPAGATED, Ordering::Release);
    }

    /// One more handle, from one that exists. Aborts on overflow.
    ///
    /// ORDERING: Relaxed as in `Arc`: the new handle comes from one that keeps the node.
    #[inline]
    pub(crate) fn acquire(&self) {
        let before = Snapshot(self.0.fetch_add(HANDLE_ONE, Ordering::Relaxed));
        if before.handles() >= tuning::HANDLES_MAX {
            std::process::abort();
        }
    }

    /// Gives up one handle. Who is seen to be the last takes no RMW: nobody else is left to race with.
    ///
    /// ORDERING: Release so that the last handle's undertaker sees what the others did, Acquire for that one.
    #[inline]
    pub(crate) fn release(&self) -> Released {
        let seen = self.load();
        let last = if seen.handles() == 1 {
            seen
        } else {
            let before = Snapshot(self.0.fetch_sub(HANDLE_ONE, Ordering::AcqRel));
            debug_assert!(before.handles() >= 1);
            if before.handles() > 1 {
                return Released::Shared;
            }
            before
        };
        if last.has(Announce::Entries) {
            Released::LastWithEntries
        } else {
            Released::Last
        }
    }

    /// Says that it is a part: by the creator, before anybody else can see it. ORDERING: as `end_unpublished`.
    pub(crate) fn begin_part(&self) {
        let word = self.0.load(Ordering::Relaxed);
        self.0.store(word | PART, Ordering::Relaxed);
    }

    /// Says that it is a part no more. ORDERING: Relaxed; who looks just now may count it or not.
    pub(crate) fn end_part(&self) {
        self.0.fetch_and(!PART, Ordering::Relaxed);
    }

    /// One more link points here, or the pile does. The caller keeps the node by a handle, or as its undertaker.
    pub(crate) fn pin_link(&self) {
        let before = Snapshot(self.0.fetch_add(LINK_ONE, Ordering::Relaxed));
        debug_assert!(before.links() < tuning::LINKS_MAX);
    }

    /// Gives pins up; `true`: they were the last, and the bytes are the caller's (R1, R10). Its one RMW is the caller's
    /// last use of the entry otherwise, and none is needed where nobody else has a pin.
    ///
    /// ORDERING: Release so that who frees the bytes sees every use of them, Acquire for that one.
    #[inline(always)]
    pub(crate) fn unpin(&self, pins: Pins) -> bool {
        if pins == Pins::LINK {
            let before = self.0.fetch_sub(LINK_ONE, Ordering::AcqRel);
            debug_assert!(before & LINKS != 0);
            return before & PINS == LINK_ONE;
        }
        let left = PINS & !pins.0;
        let seen = self.0.load(Ordering::Acquire);
        debug_assert_eq!(seen & pins.0, pins.0, "a pin given up twice");
        if seen & left == 0 {
            // Nobody else keeps the bytes, and pins are only made from pins.
            return true;
        }
        let mut before = self.0.fetch_and(!pins.0, Ordering::AcqRel);
        if tuning::mutant("R1") {
            before = self.0.load(Ordering::Acquire);
        }
        before & left == 0
    }
}
