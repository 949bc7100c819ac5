//! The waker of one entry: of a `Done`'s waiter, or of a `Sleep`'s node.
//!
//! ```text
//!  who polls:  put the waker in the cell ─► announce it ─► DONE seen: it is still theirs
//!  to change:  withdraw it ─► DONE seen: it is not theirs any more, else as above
//!  who ends:   the CAS that ends the entry sees it announced ─► the waker is theirs to take and wake
//! ```
//!
//! The entry's state word says whose the cell is, so a wait has no further word to fight over: leaving a waker is one
//! RMW, and so is taking it back where somebody may be ending the entry.
//!
//! Called by `waiting` and `waits`.

use super::state::{Announce, State};
use crate::sync::{UnsafeCell, contain};
use std::mem::MaybeUninit;
use std::task::Waker;

/// Where the waker is. It has no destructor: whoever the waker is drops it.
#[derive(Debug)]
pub(crate) struct WakerCell(UnsafeCell<MaybeUninit<Waker>>);

impl WakerCell {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// # Safety
    ///
    /// There is a waker, it is the caller's, and no more afterwards. A read, as `will_wake` is: the two may meet.
    pub(crate) unsafe fn take(&self) -> Waker {
        // SAFETY: the caller's promise.
        self.0.with(|waker| unsafe { (*waker).assume_init_read() })
    }

    /// # Safety
    ///
    /// The caller polls the entry, and has left no waker.
    unsafe fn put(&self, waker: Waker) {
        // SAFETY: the cell is the caller's.
        self.0.with_mut(|cell| unsafe {
            (*cell).write(waker);
        });
    }

    /// # Safety
    ///
    /// The caller polls the entry, and has left a waker.
    unsafe fn will_wake(&self, waker: &Waker) -> bool {
        // SAFETY: only the caller writes there. Who ended the entry may have taken the waker, which leaves its bytes, and of
        // these two addresses are compared.
        self.0
            .with(|left| unsafe { (*left).assume_init_ref() }.will_wake(waker))
    }
}

/// What the one who polls an entry knows of the waker it left there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    Waker,
    /// Whoever ended the entry has the waker, and the cell.
    Gone,
}

impl Left {
    /// Leaves a waker in place of the one left before, unless it is the same. Look at the end after, not before. Lock-free;
    /// clones the waker and drops the other, a panic of that contained.
    ///
    /// # Panics
    ///
    /// If the clone does; nothing has changed then.
    ///
    /// # Safety
    ///
    /// The caller polls the entry of that state and that cell, and this is what it knows of it.
    pub(crate) unsafe fn leave(&mut self, state: &State, cell: &WakerCell, waker: &Waker) {
        match *self {
            Self::Gone => return,
            // SAFETY: the caller's promise.
            Self::Waker if unsafe { cell.will_wake(waker) } => return,
            Self::Nothing | Self::Waker => {}
        }
        let waker = waker.clone();
        // SAFETY: the caller's promise.
        let before = unsafe { self.take_back(state, cell) };
        let refused = if *self == Self::Gone {
            Some(waker)
        } else {
            // SAFETY: the caller's promise; who ends the entry without an announcement leaves the cell alone.
            unsafe { cell.put(waker) };
            *self = Self::Waker;
            // SAFETY: as above.
            (state.announce(Announce::Waker).is_done()).then(|| unsafe { self.take(cell) })
        };
        contain(|| drop(before));
        contain(|| drop(refused));
    }

    /// Takes the waker back, unless whoever ends the entry has it.
    ///
    /// # Safety
    ///
    /// As [`leave`](Self::leave).
    pub(crate) unsafe fn take_back(&mut self, state: &State, cell: &WakerCell) -> Option<Waker> {
        if *self != Self::Waker {
            return None;
        }
        if !state.withdraw_waker() {
            *self = Self::Gone;
            return None;
        }
        // SAFETY: the caller's promise; withdrawn, it is the caller's.
        Some(unsafe { self.take(cell) })
    }

    /// Takes the waker back where nobody can be ending the entry.
    ///
    /// # Safety
    ///
    /// As [`leave`](Self::leave); a waker was left, and nobody else has it or will.
    pub(crate) unsafe fn take(&mut self, cell: &WakerCell) -> Waker {
        *self = Self::Nothing;
        // SAFETY: the caller's promise.
        unsafe { cell.take() }
    }
}
