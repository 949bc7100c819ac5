//! The nursery: where a deadline is armed, and where most of them end without ever having been timed.
//!
//! ```text
//!  stripe:  slots [ – | node, tick | – | node, tick | … ]   arm: CAS from empty; disarm, collect: CAS to empty
//!           marks      a bit for each 16 slots: set by who arms, if it is not; cleared by who collects, if nothing is left
//!           earliest   lowered by who arms; raised by who collects, to the earliest that is left
//!           inbox      a pile of those that found no slot
//!           dropped    a pile of those that were dropped when they were in no slot any more
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
//! Called by `core`.

use super::dropped::Dropped;
use super::head;
use super::node::Timed;
use super::pile::Pile;
use super::time::Time;
use super::wheel::Wheel;
use crate::local;
use crate::sync::{self, AtomicUsize, Ordering, model_fence};
use crate::tuning;
use crossbeam_utils::CachePadded;
use std::ptr;
use std::time::Duration;

const EMPTY: usize = 0;

/// The bits of a word that are a tick: those above an address of user space, and those below one of a block.
const TICK_HIGH: u32 = head::ADDRESS_BITS;
const TICK_LOW: u32 = head::ALIGNMENT.ilog2();
const TICK_BITS: u32 = usize::BITS - TICK_HIGH + TICK_LOW;
/// A tick is at most this far ahead when it is written (4.9 hours): a quarter of where they wrap around.
const AHEAD: u64 = 1 << (TICK_BITS - 2);

const LOOKED_AT: Duration = Duration::from_nanos(AHEAD << tuning::TICK);

/// What is in a slot: a node, and the tick it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(usize);

impl Word {
    fn new(timed: *mut Timed, due: Time) -> Self {
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

#[derive(Debug)]
struct Stripe {
    slots: Box<[AtomicUsize; tuning::NURSERY]>,
    /// Where slots may be filled: bit `n` for those from `n * MARKED`.
    marks: AtomicUsize,
    /// Where a free slot may be: the one freed last.
    hint: AtomicUsize,
    /// No later than any deadline in the slots or the inbox.
    earliest: AtomicUsize,
    inbox: Pile,
    /// Somebody found no slot since the last collection.
    full: AtomicUsize,
    /// Dropped nodes that were not in a slot any more, since the last sweep: a LINK pin of each.
    dropped: Pile,
}

/// The stripes, about one a core: a power of two of them.
#[derive(Debug)]
pub(crate) struct Nursery {
    stripes: Box<[CachePadded<Stripe>]>,
}

/// Where in the nursery a node is: its slot, or not in one. Or, of what was dropped, what is below it on the pile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotAt(usize);

impl SlotAt {
    pub(crate) const NOWHERE: Self = Self(usize::MAX);

    pub(crate) fn above(timed: *mut Timed) -> Self {
        Self(timed.expose_provenance())
    }

    pub(crate) fn below(self) -> *mut Timed {
        ptr::with_exposed_provenance_mut(self.0)
    }
}

impl Stripe {
    fn new() -> Self {
        Self {
            slots: Box::new(std::array::from_fn(|_| AtomicUsize::new(EMPTY))),
            marks: AtomicUsize::new(0),
            hint: AtomicUsize::new(0),
            earliest: AtomicUsize::new(Time::NEVER.word()),
            inbox: Pile::new(),
            full: AtomicUsize::new(0),
            dropped: Pile::new(),
        }
    }

    /// Fills a slot, if one is found; answers with which.
    fn fill(&self, word: Word) -> Option<usize> {
        let hint = self.hint.load(Ordering::Relaxed);
        (hint..hint + tuning::PROBES)
            .map(|slot| slot % tuning::NURSERY)
            .find(|slot| {
                let slot = &self.slots[*slot];
                // ORDERING: SeqCst, see above; its Release publishes the node to `collect`.
                slot.load(Ordering::Relaxed) == EMPTY
                    && slot
                        .compare_exchange(EMPTY, word.0, Ordering::SeqCst, Ordering::Relaxed)
                        .is_ok()
            })
    }

    fn mark(&self, slot: usize) {
        let mark = 1 << (slot / MARKED);
        // ORDERING: SeqCst, see above.
        if self.marks.load(Ordering::SeqCst) & mark == 0 {
            self.marks.fetch_or(mark, Ordering::SeqCst);
        }
    }

    fn lower_earliest(&self, to: Time) {
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

    /// Answers with how many have been since the last collection.
    ///
    /// # Safety
    ///
    /// As [`Nursery::arm`].
    unsafe fn spill(&self, timed: *mut Timed) -> usize {
        // SAFETY: not yet on the pile, the word is the caller's.
        let link = |below| unsafe { Timed::at(timed).set_next(below) };
        let spilled = self.inbox.push(timed, link);
        // Only says that a collection should empty the slots, which it does sooner or later.
        self.full.store(1, Ordering::Relaxed);
        spilled
    }
}

impl Nursery {
    pub(crate) fn new() -> Self {
        let stripe = |_| CachePadded::new(Stripe::new());
        Self {
            stripes: (0..local::stripes()).map(stripe).collect(),
        }
    }

    #[inline(always)]
    fn own(&self) -> (usize, &Stripe) {
        let index = local::known_index() & (self.stripes.len() - 1);
        (index, &self.stripes[index])
    }

    /// Takes over the ARMED pin of a node. Lock-free. It says nothing to whoever sleeps until an earlier deadline, but calls
    /// `crowded` where so many have found no slot that the slots are to be emptied.
    ///
    /// # Safety
    ///
    /// The node is ARMED, was never armed before, and the caller is its creator and has a handle of it.
    pub(crate) unsafe fn arm(&self, timed: *mut Timed, now: Time, crowded: impl FnOnce()) {
        // SAFETY: the caller's promise.
        let this = unsafe { Timed::at(timed) };
        let due = this.node().deadline().min(now.after(LOOKED_AT));
        let (index, stripe) = self.own();
        let filled = stripe.fill(Word::new(timed, due));
        match filled {
            Some(at) => {
                // SAFETY: the caller is the creator, and only the undertaker, who comes after its handle has gone, reads it.
                unsafe { this.set_slot(SlotAt(index * tuning::NURSERY + at)) };
                stripe.hint.store(at + 1, Ordering::Relaxed);
            }
            // SAFETY: the caller's promise.
            None if unsafe { stripe.spill(timed) }.is_multiple_of(tuning::SPILLED) => crowded(),
            None => {}
        }
        model_fence();
        if let Some(at) = filled {
            stripe.mark(at);
        }
        stripe.lower_earliest(due);
    }

    /// Takes the ARMED pin of a node back; `false`: whoever collects has it, or had it. Wait-free.
    ///
    /// # Safety
    ///
    /// The caller is the undertaker of the node.
    pub(crate) unsafe fn disarm(&self, timed: *mut Timed) -> bool {
        // SAFETY: the caller's promise.
        let at = unsafe { Timed::at(timed).slot() };
        if at == SlotAt::NOWHERE {
            return false;
        }
        let (stripe, slot) = (at.0 / tuning::NURSERY, at.0 % tuning::NURSERY);
        let owner = &self.stripes[stripe];
        let slot_word = &owner.slots[slot];
        // ORDERING: Relaxed; only the pin passes, and the bytes were touched by nobody but the node's own users.
        let word = Word(slot_word.load(Ordering::Relaxed));
        let disarmed = word.timed() == timed
            && slot_word
                .compare_exchange(word.0, EMPTY, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if disarmed && stripe == self.own().0 {
            owner.hint.store(slot, Ordering::Relaxed);
        }
        disarmed
    }

    /// Leaves a node that was dropped when it was not in a slot any more to whoever sweeps; answers with how many of them this
    /// stripe has. Lock-free; a system call now and then, where there are very many.
    ///
    /// # Safety
    ///
    /// As [`disarm`](Self::disarm), which said `false`.
    pub(crate) unsafe fn abandon(&self, timed: *mut Timed) -> usize {
        // SAFETY: the caller's promise.
        let this = unsafe { Timed::at(timed) };
        // For the pile: it may be fired meanwhile, and ARMED given up by who does that.
        this.node().state().pin_link();
        // SAFETY: the undertaker is through with the word.
        let link = |below| unsafe { this.set_slot(SlotAt::above(below)) };
        let dropped = self.own().1.dropped.push(timed, link);
        // Whoever is to sweep has been woken, and has not got to it: it may have no core to run on.
        if dropped >= tuning::BEHIND && dropped.is_multiple_of(tuning::GIVE_WAY) {
            sync::give_way();
        }
        dropped
    }

    /// Whether any are on a pile.
    pub(crate) fn has_dropped(&self) -> bool {
        self.stripes.iter().any(|stripe| !stripe.dropped.is_empty())
    }

    /// Whether enough of them are on a pile.
    pub(crate) fn is_littered(&self) -> bool {
        let each = |stripe: &CachePadded<Stripe>| stripe.dropped.count() >= tuning::ABANDONED;
        self.stripes.iter().any(each)
    }

    /// Whether enough have found no slot.
    pub(crate) fn is_crowded(&self) -> bool {
        let each = |stripe: &CachePadded<Stripe>| stripe.inbox.count() >= tuning::SPILLED;
        self.stripes.iter().any(each)
    }

    /// All that is on the piles.
    pub(crate) fn take_dropped(&self) -> Dropped {
        let mut dropped = Dropped::new();
        for stripe in &self.stripes {
            // SAFETY: the pile is ours, with its pins.
            unsafe { dropped.add(stripe.dropped.take()) };
        }
        dropped
    }

    /// No later than any deadline that is armed here.
    pub(crate) fn earliest(&self) -> Time {
        // ORDERING: SeqCst, see above.
        let each = |stripe: &CachePadded<Stripe>| stripe.earliest.load(Ordering::SeqCst);
        Time::from_word(self.stripes.iter().map(each).min().unwrap_or(usize::MAX))
    }

    /// Has the next collection take all there is, whatever the stripes say: one of them may have been cut short.
    pub(crate) fn distrust(&self) {
        for stripe in &self.stripes {
            stripe.earliest.store(Time::PAST.word(), Ordering::SeqCst);
            stripe.full.store(1, Ordering::Relaxed);
        }
    }

    /// Takes all that is due by `horizon`, with the ARMED pins; and whatever found no slot or keeps others from one.
    /// By one thread at a time.
    pub(crate) fn collect(&self, horizon: Time, wheel: &mut Wheel) {
        for stripe in &self.stripes {
            let due = stripe.earliest.load(Ordering::SeqCst) <= horizon.word();
            let full = stripe.full.load(Ordering::Relaxed) != 0;
            if due || full {
                stripe.full.store(0, Ordering::Relaxed);
                stripe.collect(if full { Time::NEVER } else { horizon }, wheel);
            }
        }
    }
}

impl Stripe {
    fn collect(&self, horizon: Time, wheel: &mut Wheel) {
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
