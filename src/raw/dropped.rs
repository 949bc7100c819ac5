//! What was dropped while its deadline was in no slot of the nursery any more: where it is in the wheel, and the chain by which it is
//! taken out of there.
//!
//! The undertaker pins it (LINK) and leaves it on a pile of the nursery; its ARMED pin is with the wheel, or with who fires it. Whoever
//! has the turn takes the pile, takes what is in the wheel out, with the ARMED pin, and gives the pins up.
//!
//! Called by `nursery`, `wheel` and `core`.

use super::head;
use super::node::Timed;
use super::nursery::SlotAt;
use super::state::Pins;
use crate::sync::UnsafeCell;
use std::ptr;

/// The place of a node in the wheel, of whoever has the turn.
#[derive(Debug)]
pub(crate) struct InWheel(UnsafeCell<Place>);

impl InWheel {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(Place::OUT))
    }

    /// # Safety
    ///
    /// The caller has the turn, and the ARMED pin of the node or the pile it is on.
    pub(crate) unsafe fn get(&self) -> Place {
        // SAFETY: the word goes with the turn.
        self.0.with(|place| unsafe { *place })
    }

    /// # Safety
    ///
    /// As [`get`](Self::get).
    pub(crate) unsafe fn set(&self, to: Place) {
        // SAFETY: the word goes with the turn.
        self.0.with_mut(|place| unsafe { *place = to });
    }
}

/// ```text
///  63       48 47          6    1          0
/// | generation | the one before | IN | LEFT_OUT |      of a node in the wheel; 0: out of it
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

const LEFT_OUT: usize = 1 << 0;
const IN: usize = 1 << 1;

impl Place {
    pub(crate) const OUT: Self = Self(0);
    /// Out of it because it was dropped: whoever has the node from the pile of what was dropped has its ARMED pin.
    pub(crate) const LEFT_OUT: Self = Self(LEFT_OUT);

    /// In the wheel, behind that node or first in its slot.
    pub(crate) fn behind(before: *mut Timed, generation: Generation) -> Self {
        Self(generation.0 | before.expose_provenance() | IN)
    }

    /// Whether the node is in the wheel, and in that one and none before it.
    pub(crate) fn is_in(self, generation: Generation) -> bool {
        self.0 & !head::POINTER == generation.0 | IN
    }

    /// The node before it in its slot; null: it is the first.
    pub(crate) fn before(self) -> *mut Timed {
        ptr::with_exposed_provenance_mut(self.0 & head::POINTER)
    }
}

/// Of the wheels that a fork has made follow each other, which one: in the bits that an address does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(usize);

impl Generation {
    pub(crate) const FIRST: Self = Self(0);

    pub(crate) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1 << head::ADDRESS_BITS))
    }
}

/// A private chain of what was dropped when it was in no slot of the nursery any more, through the word that said in which.
/// Whoever has the chain has a LINK pin of each.
#[derive(Debug)]
pub(crate) struct Dropped {
    first: *mut Timed,
}

impl Dropped {
    pub(crate) const fn new() -> Self {
        Self {
            first: ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// What is below the node, too, was left on one pile, which is the caller's, and passes.
    pub(crate) unsafe fn add(&mut self, newest: *mut Timed) {
        let mut others = Self { first: newest };
        while let Some(timed) = others.pop() {
            // SAFETY: pinned while it is on the chain (R10); the word is that of who has this.
            unsafe { Timed::at(timed).set_slot(SlotAt::above(self.first)) };
            self.first = timed;
        }
    }

    fn pop(&mut self) -> Option<*mut Timed> {
        let timed = self.first;
        if timed.is_null() {
            return None;
        }
        // SAFETY: pinned while it is on the chain (R10); the word is that of who has this.
        self.first = unsafe { Timed::at(timed).slot() }.below();
        Some(timed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = *mut Timed> + '_ {
        let mut rest = Self { first: self.first };
        std::iter::from_fn(move || rest.pop())
    }

    /// All of it, with the pins that are the caller's then.
    ///
    /// # Safety
    ///
    /// The caller has the turn, for as long as it uses the answer.
    pub(crate) unsafe fn into_pins(mut self) -> impl Iterator<Item = (*mut Timed, Pins)> {
        std::iter::from_fn(move || {
            let timed = self.pop()?;
            // SAFETY: pinned by the chain (R10), and the caller's promise.
            let left_out = unsafe { Timed::at(timed).in_wheel.get() } == Place::LEFT_OUT;
            let armed = if left_out { Pins::ARMED } else { Pins::NONE };
            Some((timed, Pins::LINK.and(armed)))
        })
    }
}
