//! The head word of a list. This file owns every bit of it; no other names one.
//!
//! ```text
//!  63         48 47               6  5..3   2      1       0
//! | references  | newest entry     |   -  CLOSED PENDING OWNED |
//! ```
//!
//! | bits | set by | cleared by | says |
//! |---|---|---|---|
//! | OWNED | a remover, from a word with OWNED and CLOSED clear (R5) | the owner, letting go | the exclusive right to rewrite `next` and `back` of listed entries |
//! | PENDING | a remover that found OWNED | the owner, before it drains | there are entries on `leaving` |
//! | CLOSED | who ends the node | never | nobody pushes, owns, pops or frees here again |
//! | references | a push, in its CAS | a removal in its CAS; a move to `registered` | registrations of this list not yet in the count beside it (`list::Branch`) |
//!
//! Every change is an RMW, so each one synchronises with all before it.

use super::entry::Entry;
use crate::sync::{AtomicUsize, Ordering};
use std::fmt;

const OWNED: usize = 1 << 0;
const PENDING: usize = 1 << 1;
const CLOSED: usize = 1 << 2;
const BITS: usize = OWNED | PENDING | CLOSED;
/// Bits of an address of user space.
pub(crate) const ADDRESS_BITS: u32 = 48;
const REFERENCE_SHIFT: u32 = ADDRESS_BITS;
const REFERENCE_ONE: usize = 1 << REFERENCE_SHIFT;
const REFERENCES_MAX: usize = usize::MAX >> REFERENCE_SHIFT;
const REFERENCES: usize = REFERENCES_MAX << REFERENCE_SHIFT;
pub(super) const POINTER: usize = (REFERENCE_ONE - 1) & !(ALIGNMENT - 1);

/// What every entry is aligned to, at the least.
pub(crate) const ALIGNMENT: usize = 64;

const _: () = assert!(BITS < ALIGNMENT);

/// The word as it was, or is to be, at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head(usize);

impl Head {
    pub(crate) fn newest(self) -> *mut Entry {
        std::ptr::with_exposed_provenance_mut(self.0 & POINTER)
    }

    pub(crate) const fn is_owned(self) -> bool {
        self.0 & OWNED != 0
    }

    pub(crate) const fn is_pending(self) -> bool {
        self.0 & PENDING != 0
    }

    pub(crate) const fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// This entry is the newest, quiet, and there is a reference in the word.
    #[inline(always)]
    pub(crate) fn is_just(self, entry: *mut Entry) -> bool {
        self.references() > 0 && self.0 & !REFERENCES == entry.addr()
    }

    /// No owner, nothing pending, open.
    pub(crate) const fn is_quiet(self) -> bool {
        self.0 & BITS == 0
    }

    pub(crate) const fn references(self) -> usize {
        self.0 >> REFERENCE_SHIFT
    }

    pub(crate) const fn is_saturated(self) -> bool {
        self.references() == REFERENCES_MAX
    }

    pub(crate) fn with_newest(self, entry: *mut Entry) -> Self {
        let address = entry.expose_provenance();
        debug_assert_eq!(address & !POINTER, 0, "`local::allocate` checks it");
        Self((self.0 & !POINTER) | address)
    }

    pub(crate) const fn with_references(self, references: usize) -> Self {
        Self((self.0 & !REFERENCES) | references << REFERENCE_SHIFT)
    }

    /// One reference more; the word must not be saturated.
    pub(crate) const fn and_reference(self) -> Self {
        Self(self.0 + REFERENCE_ONE)
    }

    /// One reference less, if there is one here.
    pub(crate) const fn less_reference(self) -> (Self, bool) {
        if self.references() == 0 {
            (self, false)
        } else {
            (Self(self.0 - REFERENCE_ONE), true)
        }
    }

    pub(crate) const fn owned(self) -> Self {
        Self(self.0 | OWNED)
    }

    pub(crate) const fn let_go(self) -> Self {
        Self(self.0 & !OWNED)
    }

    pub(crate) const fn pending(self) -> Self {
        Self(self.0 | PENDING)
    }

    pub(crate) const fn drained(self) -> Self {
        Self(self.0 & !PENDING)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("newest", &self.newest())
            .field("references", &self.references())
            .field("owned", &self.is_owned())
            .field("pending", &self.is_pending())
            .field("closed", &self.is_closed())
            .finish()
    }
}

/// The head word.
#[derive(Debug)]
pub(crate) struct HeadWord(AtomicUsize);

impl HeadWord {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// ORDERING: Acquire pairs with the Release of every change: the entries the word leads to, and what owners wrote
    /// into them, are visible.
    #[inline(always)]
    pub(crate) fn load(&self) -> Head {
        Head(self.0.load(Ordering::Acquire))
    }

    /// ORDERING: Release publishes the entry pushed and what an owner wrote; Acquire as in `load`.
    #[inline(always)]
    pub(crate) fn change(&self, from: Head, to: Head) -> Result<(), Head> {
        self.0
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(Head)
    }

    /// Closes the list; answers with the word before.
    ///
    /// ORDERING: Acquire as in `load`. Release pairs with `load` by a newcomer that finds CLOSED: it then sees the
    /// node's state DONE.
    pub(crate) fn close(&self) -> Head {
        Head(self.0.fetch_or(CLOSED, Ordering::AcqRel))
    }
}
