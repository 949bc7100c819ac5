//! A segment of the nursery: slots, and the pile of what found none.
//!
//! ```text
//!  slots [ – | node, tick | – | node, tick | … ]   arm: CAS from empty; disarm, collect: CAS to empty
//!  marks      a bit for each 16 slots: set by who arms, if it is not; cleared by who collects, if nothing is left
//!  earliest   lowered by who arms; raised by who collects, to the earliest that is left
//!  inbox      a pile of those that found no slot
//! ```
//!
//! A slot is one word, filled by one CAS and emptied by another: that one's winner has the ARMED pin of the node that was
//! in it. So disarming touches a line of this core's and nothing else, and who collects follows no pointer before it is
//! theirs: when a node is due, in *ticks*, stands in the bits of the word that its address does not need. Ticks are cut
//! off and wrap around, so they may say that a node is due before it is, and then it goes to the wheel early. They never
//! say that it is due later: what is far ahead is looked at again within five hours, and who comes later takes all there is.
//!
//! Collecting and arming cannot miss each other: arming publishes the slot, then looks at its mark, then at `earliest`;
//! collecting raises `earliest`, then clears the marks, then looks at the slots. All of these are SeqCst, so either the slot
//! is seen, or what came before it is seen changed and is changed back: a mark may be left on slots that are empty, but not
//! be missing from one that is full, once its armer and the collection are through. Who takes all there is does not
//! rely on the marks: a fork may have cut a collection short.
//!
//! Called by `nursery`.

use super::head;
use super::node::Timed;
use super::pile::Pile;
use super::time::Time;
use super::wheel::Wheel;
use crate::sync::{AtomicUsize, Ordering, model_fence};
use crate::tuning;
use std::ptr;
use std::time::Duration;

const EMPTY: usize = 0;

/// The bits of a word that are a tick: those above an address of user space, and those below one of a block.
const TICK_HIGH: u32 = head::ADDRESS_BITS;
const TICK_LOW: u32 = head::ALIGNMENT.ilog2();
const TICK_BITS: u32 = usize::BITS - TICK_HIGH + TICK_LOW;
/// A tick is at most this far ahead when it is written (4.9 hours): a quarter of where they wrap around.
const AHEAD: u64 = 1 << (TICK_BITS - 2);

/// No deadline in a slot is looked at later than so long after it was armed.
pub(super) const LOOKED_AT: Duration = Duration::from_nanos(AHEAD << tuning::TICK);

/// What is in a slot: a node, and the tick it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(usize);

impl Word {
    pub(super) fn new(timed: *mut Timed, due: Time) -> Self {
        let address = timed.expose_provenance();
        debug_assert_eq!(address & !head::POINTER, 0, "`local::allocate` checks it");
        let tick = due.bits() >> tuning::TICK;
        let low = tick as usize & ((1 << TICK_LOW) - 1);
        let high = (tick >> TICK_LOW) << TICK_HIGH;
        Self(high as usize | address | low)
    }

    fn timed(self) -> *mut Timed {
        ptr::with_exposed_provenance_mut(self.0 & head::POINTER)
    }

    /// How many ticks after that of `horizon` it is due; not positive: it is to be taken.
    fn ticks_after(self, horizon: Time) -> i64 {
        let low = self.0 & ((1 << TICK_LOW) - 1);
        let tick = (self.0 >> TICK_HIGH << TICK_LOW | low) as u64;
        let apart = tick.wrapping_sub(horizon.bits() >> tuning::TICK);
        // Sign-extended from the bits there are.
        (apart << (64 - TICK_BITS)) as i64 >> (64 - TICK_BITS)
    }
}

/// Slots of a mark: as many as it takes to have one word of marks.
const MARKED: usize = tuning::NURSERY.div_ceil(usize::BITS as usize);
/// All marks there are.
const MARKS: usize = usize::MAX >> (usize::BITS as usize - tuning::NURSERY / MARKED);

/// A part of a stripe's slots.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Segment {
    /// Which slot of the nursery its first one is.
    first: usize,
    /// Where slots may be filled: bit `n` for those from `n * MARKED`.
    marks: AtomicUsize,
    /// Where a free slot may be: the one freed last, or what comes behind those looked at.
    hint: AtomicUsize,
    /// No later than any deadline in the slots or the inbox.
    earliest: AtomicUsize,
    /// Used in the first of a stripe.
    inbox: Pile,
    /// Somebody found no slot since the last collection, or nothing it says is to be trusted.
    full: AtomicUsize,
    slots: [AtomicUsize; tuning::NURSERY],
}

impl Segment {
    pub(super) fn new(first: usize) -> Self {
        Self {
            first,
            marks: AtomicUsize::new(0),
            hint: AtomicUsize::new(0),
            earliest: AtomicUsize::new(Time::NEVER.word()),
            inbox: Pile::new(),
            full: AtomicUsize::new(0),
            slots: std::array::from_fn(|_| AtomicUsize::new(EMPTY)),
        }
    }

    /// Which slot of the nursery its first one is.
    pub(super) const fn first(&self) -> usize {
        self.first
    }

    /// Fills a slot, if one is found; answers with which. Who looks next begins behind what was looked at.
    pub(super) fn fill(&self, word: Word) -> Option<usize> {
        let hint = self.hint.load(Ordering::Relaxed);
        let filled = (hint..hint + tuning::PROBES)
            .map(|slot| slot % tuning::NURSERY)
            .find(|slot| {
                let slot = &self.slots[*slot];
                // ORDERING: SeqCst, see above; its Release publishes the node to `collect`.
                slot.load(Ordering::Relaxed) == EMPTY
                    && slot
                        .compare_exchange(EMPTY, word.0, Ordering::SeqCst, Ordering::Relaxed)
                        .is_ok()
            });
        let next = filled.map_or(hint % tuning::NURSERY + tuning::PROBES, |slot| slot + 1);
        self.set_hint(next);
        filled
    }

    pub(super) fn mark(&self, slot: usize) {
        let mark = 1 << (slot / MARKED);
        // ORDERING: SeqCst, see above.
        if self.marks.load(Ordering::SeqCst) & mark == 0 {
            self.marks.fetch_or(mark, Ordering::SeqCst);
        }
    }

    pub(super) fn lower_earliest(&self, to: Time) {
        tuning::window("not lowered");
        // ORDERING: SeqCst, see above; and pairs with `Core::next_wake`.
        let mut seen = self.earliest.load(Ordering::SeqCst);
        while to.word() < seen {
            match self.earliest.compare_exchange(
                seen,
                to.word(),
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
    }

    /// Empties a slot, if that node is in it: its ARMED pin is the caller's then. Wait-free.
    pub(super) fn empty(&self, slot: usize, timed: *mut Timed) -> bool {
        let slot_word = &self.slots[slot];
        // ORDERING: Relaxed; only the pin passes, and the bytes were touched by nobody but the node's own users.
        let word = Word(slot_word.load(Ordering::Relaxed));
        word.timed() == timed
            && slot_word
                .compare_exchange(word.0, EMPTY, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Has the next to arm begin to look there.
    pub(super) fn set_hint(&self, slot: usize) {
        self.hint.store(slot, Ordering::Relaxed);
    }

    /// Takes what found no slot; answers with how many have been since the last collection.
    ///
    /// # Safety
    ///
    /// The ARMED pin of the node is the caller's, and passes.
    pub(super) unsafe fn spill(&self, timed: *mut Timed) -> usize {
        // SAFETY: not yet on the pile, the word is the caller's.
        let link = |below| unsafe { Timed::at(timed).set_next(below) };
        let spilled = self.inbox.push(timed, link);
        // Only says that a collection should empty the slots, which it does sooner or later.
        self.full.store(1, Ordering::Relaxed);
        spilled
    }

    /// Whether enough have found no slot.
    pub(super) fn is_crowded(&self) -> bool {
        self.inbox.count() >= tuning::SPILLED
    }

    /// No later than any deadline that is armed here.
    pub(super) fn earliest(&self) -> Time {
        // ORDERING: SeqCst, see above.
        Time::from_word(self.earliest.load(Ordering::SeqCst))
    }

    /// Has the next collection take all there is, whatever the words say: one of them may have been cut short.
    pub(super) fn distrust(&self) {
        self.earliest.store(Time::PAST.word(), Ordering::SeqCst);
        self.full.store(1, Ordering::Relaxed);
    }
}

impl Segment {
    /// If something is due by `horizon`, takes what is due by so much further on, with the ARMED pins; takes all there is, if
    /// somebody found no slot or it is to be all, and what found none. Answers with whether somebody did. By one thread at a time.
    pub(super) fn collect(&self, horizon: Time, further: Duration, wheel: &mut Wheel) -> bool {
        let due = self.earliest() <= horizon;
        let full = self.full.load(Ordering::Relaxed) != 0;
        if due || full {
            self.full.store(0, Ordering::Relaxed);
            let all = full || horizon == Time::NEVER;
            let until = if all {
                Time::NEVER
            } else {
                horizon.after(further)
            };
            self.take(until, wheel);
        }
        full
    }

    fn take(&self, horizon: Time, wheel: &mut Wheel) {
        let earliest = self.earliest.swap(Time::NEVER.word(), Ordering::SeqCst);
        let marked = self.marks.swap(0, Ordering::SeqCst);
        model_fence();
        // That late ticks may have wrapped around.
        let late = horizon.since(Time::from_word(earliest)) > LOOKED_AT;
        let all = late || horizon == Time::NEVER;
        let mut spilled = self.inbox.take();
        while !spilled.is_null() {
            // SAFETY: what was on the pile is ours, with its ARMED pin (R10).
            let next = unsafe { Timed::at(spilled).next() };
            // SAFETY: as above.
            unsafe { wheel.insert_spilled(spilled) };
            spilled = next;
        }
        let mut ahead = i64::MAX;
        let mut left = 0;
        let mut rest = if all { MARKS } else { marked };
        while rest != 0 {
            let mark = rest.trailing_zeros();
            rest &= rest - 1;
            let first = mark as usize * MARKED;
            for slot in &self.slots[first..first + MARKED] {
                // ORDERING: SeqCst, see above; Acquire pairs with `arm`.
                let word = slot.load(Ordering::SeqCst);
                if word == EMPTY {
                    continue;
                }
                let ticks = Word(word).ticks_after(horizon);
                if ticks > 0 && !all {
                    ahead = ahead.min(ticks);
                    left |= 1 << mark;
                    continue;
                }
                // ORDERING: Acquire pairs with `arm`: it may be another than was loaded above, at the same address.
                let taken =
                    slot.compare_exchange(word, EMPTY, Ordering::Acquire, Ordering::Relaxed);
                if taken.is_ok() {
                    // SAFETY: the CAS gave us its ARMED pin (R10).
                    unsafe { wheel.insert(Word(word).timed()) };
                }
            }
        }
        if left != 0 {
            self.marks.fetch_or(left, Ordering::SeqCst);
            let tick = (horizon.bits() >> tuning::TICK) + ahead as u64;
            self.lower_earliest(Time::from_word((tick << tuning::TICK) as usize));
        }
    }
}
