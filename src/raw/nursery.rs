//! The nursery: where a deadline is armed, and where most of them end without ever having been timed.
//!
//! ```text
//!  stripe:  segments [ first | second | – | … ]   one more is made where no slot is found, until it has all
//!           current   the segment that who arms looks at first
//!           dropped   a pile of those that were dropped when they were in no slot any more
//! ```
//!
//! A stripe is about a core's: who arms looks for a slot in its current segment and in a few of those that come next, and leaves
//! in the inbox of the first what has found none though there is no other to be made. A segment is there for as long as the
//! nursery is, so who reads its address may look at it.
//!
//! A look at all slots of the first, for what comes due soon, is cheap. Of the others it takes along what is due within a second,
//! which has been there for most of its time, and is not made again for as long.
//!
//! A segment is published before any slot of it is filled, SeqCst: who collects, or is about to sleep, and does not see it comes
//! before what is armed there, as before what is armed in a slot that it does not see filled (`segment`).
//!
//! Called by `core`.

use super::dropped::Dropped;
use super::node::Timed;
use super::pile::Pile;
use super::segment::{LOOKED_AT, Segment, Word};
use super::time::Time;
use super::wheel::Wheel;
use crate::local;
use crate::sync::{self, AtomicUsize, Ordering, model_fence};
use crate::tuning;
use crossbeam_utils::CachePadded;
use std::ptr;
use std::time::Duration;

/// Slots of a stripe that has all its segments.
const STRIPE: usize = tuning::SEGMENTS * tuning::NURSERY;

#[derive(Debug)]
struct Stripe {
    /// Their addresses: of the first, and of as many more as were made.
    segments: [AtomicUsize; tuning::SEGMENTS],
    /// The address of the one at which who arms looks first: where a slot was freed last, or found.
    current: AtomicUsize,
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
    /// Whose first slot is that one of the nursery.
    fn new(first: usize) -> Self {
        let stripe = Self {
            segments: std::array::from_fn(|_| AtomicUsize::new(0)),
            current: AtomicUsize::new(0),
            dropped: Pile::new(),
        };
        stripe.make(0, first);
        stripe.set_current(stripe.segment(0));
        stripe
    }

    #[inline(always)]
    fn get(&self, index: usize) -> Option<&Segment> {
        // ORDERING: SeqCst, see above; its Acquire pairs with `make`.
        let address = self.segments[index].load(Ordering::SeqCst);
        let segment: *const Segment = ptr::with_exposed_provenance(address);
        // SAFETY: null, or put there by `make`, and freed with the stripe.
        unsafe { segment.as_ref() }
    }

    /// Of one that there is.
    #[inline(always)]
    fn segment(&self, index: usize) -> &Segment {
        self.get(index).expect("a segment stays")
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        (0..tuning::SEGMENTS).map_while(|index| self.get(index))
    }

    #[inline(always)]
    fn current(&self) -> &Segment {
        // ORDERING: Acquire pairs with `set_current`: the segment is made.
        let address = self.current.load(Ordering::Acquire);
        let segment: *const Segment = ptr::with_exposed_provenance(address);
        // SAFETY: put there by `set_current`, in `new` for the first time: one of the stripe's, and freed with it.
        unsafe { &*segment }
    }

    /// Has who arms next begin to look in that segment of the stripe.
    #[inline(always)]
    fn set_current(&self, segment: &Segment) {
        let address = ptr::from_ref(segment).expose_provenance();
        if self.current.load(Ordering::Relaxed) != address {
            // ORDERING: Release; the caller has seen that it is made.
            self.current.store(address, Ordering::Release);
        }
    }

    /// Makes that segment, unless another thread does so first. Allocates.
    #[cold]
    fn make(&self, index: usize, first: usize) {
        let made = Box::into_raw(Box::new(Segment::new(first)));
        // ORDERING: SeqCst, see above; its Release pairs with `get`.
        let published = self.segments[index].compare_exchange(
            0,
            made.expose_provenance(),
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
        if published.is_err() {
            // SAFETY: made above and seen by nobody.
            drop(unsafe { Box::from_raw(made) });
        }
    }

    /// Fills a slot in one of the segments after one where none was found, or in another that is made for it, while there may
    /// be more. Answers with the segment that was looked at last.
    #[cold]
    fn fill_elsewhere<'a>(&'a self, full: &'a Segment, word: Word) -> (&'a Segment, Option<usize>) {
        let made = self.segments().count();
        let index = full.first() % STRIPE / tuning::NURSERY;
        let mut found = (full, None);
        for after in 1..made.min(1 + tuning::SEARCHED) {
            let segment = self.segment((index + after) % made);
            found = (segment, segment.fill(word));
            if found.1.is_some() {
                break;
            }
        }
        if found.1.is_none() && made < tuning::SEGMENTS && tuning::may_grow() {
            let first = full.first() - index * tuning::NURSERY;
            self.make(made, first + made * tuning::NURSERY);
            let segment = self.segment(made);
            found = (segment, segment.fill(word));
        }
        // Also where none was found, so that all are looked at in turn.
        self.set_current(found.0);
        found
    }
}

impl Drop for Stripe {
    fn drop(&mut self) {
        for segment in &mut self.segments {
            let address = sync::owned(segment);
            if address != 0 {
                let segment: *mut Segment = ptr::with_exposed_provenance_mut(address);
                // SAFETY: made by `make`, and borrowed from a stripe that nobody has any more.
                drop(unsafe { Box::from_raw(segment) });
            }
        }
    }
}

impl Nursery {
    pub(crate) fn new() -> Self {
        let stripe = |index| CachePadded::new(Stripe::new(index * STRIPE));
        Self {
            stripes: (0..local::stripes()).map(stripe).collect(),
        }
    }

    #[inline(always)]
    fn own(&self) -> &Stripe {
        &self.stripes[local::known_index() & (self.stripes.len() - 1)]
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
        let stripe = self.own();
        let word = Word::new(timed, due);
        let mut segment = stripe.current();
        let mut filled = segment.fill(word);
        if filled.is_none() {
            (segment, filled) = stripe.fill_elsewhere(segment, word);
        }
        if let Some(slot) = filled {
            // SAFETY: the caller is the creator, and only the undertaker, who comes after its handle has gone, reads it.
            unsafe { this.set_slot(SlotAt(segment.first() + slot)) };
        } else {
            segment = stripe.segment(0);
            // SAFETY: the caller's promise.
            if unsafe { segment.spill(timed) }.is_multiple_of(tuning::SPILLED) {
                crowded();
            }
        }
        model_fence();
        if let Some(slot) = filled {
            segment.mark(slot);
        }
        segment.lower_earliest(due);
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
        let stripe: &Stripe = &self.stripes[at.0 / STRIPE];
        let segment = stripe.segment(at.0 % STRIPE / tuning::NURSERY);
        let slot = at.0 % tuning::NURSERY;
        let disarmed = segment.empty(slot, timed);
        if disarmed && ptr::eq(stripe, self.own()) {
            segment.set_hint(slot);
            stripe.set_current(segment);
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
        let dropped = self.own().dropped.push(timed, link);
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
        self.stripes
            .iter()
            .any(|stripe| stripe.segment(0).is_crowded())
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
        let mut earliest = Time::NEVER;
        for stripe in &self.stripes {
            for segment in stripe.segments() {
                earliest = earliest.min(segment.earliest());
            }
        }
        earliest
    }

    /// Has the next collection take all there is, whatever the segments say: one of them may have been cut short.
    pub(crate) fn distrust(&self) {
        for stripe in &self.stripes {
            stripe.segments().for_each(Segment::distrust);
        }
    }

    /// Takes all that is due by `horizon`, with the ARMED pins; and whatever found no slot or keeps others from one.
    /// By one thread at a time.
    pub(crate) fn collect(&self, horizon: Time, wheel: &mut Wheel) {
        for stripe in &self.stripes {
            let mut further = Duration::ZERO;
            for segment in stripe.segments() {
                if segment.collect(horizon, further, wheel) {
                    stripe.set_current(segment);
                }
                further = Duration::from_nanos(tuning::FURTHER);
            }
        }
    }
}
