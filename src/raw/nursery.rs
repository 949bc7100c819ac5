//! The nursery: where a deadline is armed, and where most of them end without ever having been timed.
//!
//! ```text
//!  stripe:  slots [ – | node, deadline | CLAIMED | – | … ]   arm: CAS from empty, fill in; disarm, collect: CAS to empty
//!           earliest   lowered by who arms; raised by who collects, to the earliest that is left
//!           inbox      a stack of those that found no slot
//! ```
//!
//! A slot is emptied by one CAS: its winner has the ARMED pin of the node that was in it. So disarming touches a line of
//! this core's and nothing else, and who collects follows no pointer before it is theirs.
//!
//! Collecting and arming cannot miss each other: arming publishes the slot, then looks at `earliest`; collecting raises
//! `earliest`, then looks at the slots. All four are SeqCst, so either the slot is seen, or `earliest` is seen raised and
//! is lowered again.
//!
//! Called by `core`.

use super::node::Timed;
use super::time::Time;
use super::wheel::Wheel;
use crate::local;
use crate::sync::{AtomicUsize, Ordering, model_fence};
use crate::tuning;
use crossbeam_utils::CachePadded;
use std::ptr;

const EMPTY: usize = 0;
/// Somebody is filling it in.
const CLAIMED: usize = 1;

/// One armed deadline.
#[derive(Debug)]
struct Slot {
    timed: AtomicUsize,
    /// Says whether to take it. It may be another's by then: who takes a slot reads the deadline from its node.
    deadline: AtomicUsize,
}

#[derive(Debug)]
struct Stripe {
    slots: Box<[Slot]>,
    /// Where a free slot may be: the one freed last.
    hint: AtomicUsize,
    /// No later than any deadline in the slots or the inbox.
    earliest: AtomicUsize,
    inbox: AtomicUsize,
    /// Somebody found no slot since the last collection.
    full: AtomicUsize,
    /// Dropped nodes that were not in a slot any more, since the last sweep.
    abandoned: AtomicUsize,
}

/// The stripes, about one a core: a power of two of them.
#[derive(Debug)]
pub(crate) struct Nursery {
    stripes: Box<[CachePadded<Stripe>]>,
}

/// Where in the nursery a node is: its slot, or not in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotAt(usize);

impl SlotAt {
    pub(crate) const NOWHERE: Self = Self(usize::MAX);
}

impl Stripe {
    fn new() -> Self {
        let slot = |_| Slot {
            timed: AtomicUsize::new(EMPTY),
            deadline: AtomicUsize::new(0),
        };
        Self {
            slots: (0..tuning::NURSERY).map(slot).collect(),
            hint: AtomicUsize::new(0),
            earliest: AtomicUsize::new(Time::NEVER.word()),
            inbox: AtomicUsize::new(0),
            full: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
        }
    }

    /// A slot that is the caller's to fill in.
    fn claim(&self) -> Option<usize> {
        let hint = self.hint.load(Ordering::Relaxed);
        (hint..hint + tuning::PROBES)
            .map(|slot| slot % tuning::NURSERY)
            .find(|slot| {
                let timed = &self.slots[*slot].timed;
                // ORDERING: Relaxed; the slot holds nothing that was published.
                timed.load(Ordering::Relaxed) == EMPTY
                    && timed
                        .compare_exchange(EMPTY, CLAIMED, Ordering::Relaxed, Ordering::Relaxed)
                        .is_ok()
            })
    }

    fn lower_earliest(&self, to: Time) {
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

    /// # Safety
    ///
    /// As [`Nursery::arm`].
    unsafe fn spill(&self, timed: *mut Timed) {
        let mut top = self.inbox.load(Ordering::Relaxed);
        loop {
            // SAFETY: not yet on the stack, the word is the caller's.
            unsafe { Timed::at(timed).set_next(ptr::with_exposed_provenance_mut(top)) };
            // ORDERING: SeqCst as the publication of a slot. No ABA: what is below the top is not looked at.
            match self.inbox.compare_exchange(
                top,
                timed.expose_provenance(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => top = now,
            }
        }
        // Only says that a collection should empty the slots, which it does sooner or later.
        self.full.store(1, Ordering::Relaxed);
    }
}

impl Nursery {
    pub(crate) fn new() -> Self {
        let stripe = |_| CachePadded::new(Stripe::new());
        Self {
            stripes: (0..local::stripes()).map(stripe).collect(),
        }
    }

    fn own(&self) -> (usize, &Stripe) {
        let index = local::index() & (self.stripes.len() - 1);
        (index, &self.stripes[index])
    }

    /// Takes over the ARMED pin of a node. Lock-free. It says nothing to whoever sleeps until an earlier deadline.
    ///
    /// # Safety
    ///
    /// The node is ARMED, was never armed before, and the caller is its creator and has a handle of it.
    pub(crate) unsafe fn arm(&self, timed: *mut Timed) {
        // SAFETY: the caller's promise.
        let this = unsafe { Timed::at(timed) };
        let deadline = this.node().deadline();
        let (index, stripe) = self.own();
        match stripe.claim() {
            Some(at) => {
                let slot = &stripe.slots[at];
                // SAFETY: the caller is the creator.
                unsafe { this.set_slot(SlotAt(index * tuning::NURSERY + at)) };
                slot.deadline.store(deadline.word(), Ordering::Relaxed);
                // ORDERING: SeqCst, see above; its Release publishes the node to `collect`.
                slot.timed.swap(timed.expose_provenance(), Ordering::SeqCst);
                stripe.hint.store(at + 1, Ordering::Relaxed);
            }
            // SAFETY: the caller's promise.
            None => unsafe { stripe.spill(timed) },
        }
        model_fence();
        stripe.lower_earliest(deadline);
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
        let word = timed.expose_provenance();
        // ORDERING: Relaxed; only the pin passes, and the bytes were touched by nobody but the node's own users.
        let disarmed = owner.slots[slot]
            .timed
            .compare_exchange(word, EMPTY, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if disarmed && stripe == self.own().0 {
            owner.hint.store(slot, Ordering::Relaxed);
        }
        disarmed
    }

    /// Counts a node that was dropped when it was not in a slot any more; answers with how many of them this stripe has.
    pub(crate) fn abandon(&self) -> usize {
        self.own().1.abandoned.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many of them the stripe has that has the most.
    pub(crate) fn abandoned(&self) -> usize {
        let each = |stripe: &CachePadded<Stripe>| stripe.abandoned.load(Ordering::Relaxed);
        self.stripes.iter().map(each).max().unwrap_or(0)
    }

    /// Starts counting them anew.
    pub(crate) fn forget_abandoned(&self) {
        for stripe in &self.stripes {
            stripe.abandoned.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn stripes(&self) -> usize {
        self.stripes.len()
    }

    /// No later than any deadline that is armed here.
    pub(crate) fn earliest(&self) -> Time {
        // ORDERING: SeqCst, see above.
        let each = |stripe: &CachePadded<Stripe>| stripe.earliest.load(Ordering::SeqCst);
        Time::from_word(self.stripes.iter().map(each).min().unwrap_or(usize::MAX))
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
        self.earliest.swap(Time::NEVER.word(), Ordering::SeqCst);
        model_fence();
        let mut spilled: *mut Timed =
            ptr::with_exposed_provenance_mut(self.inbox.swap(0, Ordering::SeqCst));
        while !spilled.is_null() {
            // SAFETY: what was on the stack is ours, with its ARMED pin.
            let next = unsafe { Timed::at(spilled).next() };
            // SAFETY: as above.
            unsafe { wheel.insert(spilled) };
            spilled = next;
        }
        let mut left = Time::NEVER;
        for slot in &self.slots {
            // ORDERING: SeqCst, see above; Acquire pairs with `arm`.
            let word = slot.timed.load(Ordering::SeqCst);
            if word == EMPTY || word == CLAIMED {
                continue;
            }
            let deadline = Time::from_word(slot.deadline.load(Ordering::Relaxed));
            if deadline > horizon {
                left = left.min(deadline);
                continue;
            }
            // ORDERING: Acquire pairs with `arm`: it may be another than was loaded above, at the same address.
            let taken =
                slot.timed
                    .compare_exchange(word, EMPTY, Ordering::Acquire, Ordering::Relaxed);
            if taken.is_ok() {
                // SAFETY: the CAS gave us its ARMED pin.
                unsafe { wheel.insert(ptr::with_exposed_provenance_mut(word)) };
            }
        }
        self.lower_earliest(left);
    }
}
