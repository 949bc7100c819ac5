//! What only the owner of a list may do: rewrite `next` and `back` of what is listed, and see to what was handed over.
//!
//! OWNED is never waited for. It is given up by [`Branch::finish`], which looks at PENDING and CLOSED first, on every
//! way out.

use super::super::entry::{Chain, Entry, Limbo};
use super::super::head::Head;
use super::{Branch, Removal};
use crate::local;
use crate::sync::Ordering;
use crate::tuning;
use std::ptr;

/// What a try to own a list came to.
pub(super) enum Ownership {
    Taken,
    Busy,
    Closed,
}

impl Branch {
    pub(super) fn own(&self) -> Ownership {
        loop {
            let head = self.head.load();
            if head.is_closed() && !tuning::mutant("R5b") {
                return Ownership::Closed;
            }
            if head.is_owned() {
                return Ownership::Busy;
            }
            if self.try_own(head) {
                tuning::window("owned");
                return Ownership::Taken;
            }
            local::lost_race();
        }
    }

    /// One try to take OWNED, from a word with OWNED and CLOSED clear (R5). Of the references in the head it leaves
    /// one, to be given back in the CAS that lets go.
    pub(super) fn try_own(&self, head: Head) -> bool {
        let left = head.references().min(1);
        let moved = head.references() - left;
        if moved > 0 {
            // First here, then away there: the sum is never short. The caller's own registration is in it, so taking
            // them back does not end the count.
            self.registered.fetch_add(moved, Ordering::Relaxed);
        }
        let owned = self
            .head
            .change(head, head.with_references(left).owned())
            .is_ok();
        if !owned && moved > 0 {
            self.registered.fetch_sub(moved, Ordering::Relaxed);
        }
        owned
    }

    /// Writes the back-links of the newest prefix, the only entries that have none. By the owner.
    pub(super) fn index(&self) {
        let mut newer = self.head.load().newest();
        while !newer.is_null() {
            // SAFETY: listed entries are pinned by the list, which the owner alone takes them off (R5).
            let older = unsafe { Entry::at(newer) }.next();
            if older.is_null() {
                return;
            }
            // SAFETY: as above.
            let entry = unsafe { Entry::at(older) };
            // SAFETY: owned (R5).
            if !unsafe { entry.back() }.is_null() {
                return;
            }
            // SAFETY: owned (R5).
            unsafe { entry.set_back(newer) };
            newer = older;
        }
    }

    /// Clears the back-link of what is to be the newest: a stale one would name a freed entry.
    ///
    /// # Safety
    ///
    /// The caller owns the list.
    pub(super) unsafe fn forget_newer(&self, entry: *mut Entry) {
        if !entry.is_null() {
            // SAFETY: listed, hence pinned (R5); owned.
            unsafe { Entry::at(entry).set_back(ptr::null_mut()) };
        }
    }

    /// Unlinks an entry, unless the list is closed. Its `next` stays as it is: a walker may be standing on it (R3).
    ///
    /// # Safety
    ///
    /// The entry is listed; the caller owns the list.
    pub(super) unsafe fn unlink(&self, entry: *mut Entry) -> bool {
        // SAFETY: listed, hence pinned (R10).
        let this = unsafe { Entry::at(entry) };
        let next = this.next();
        loop {
            let head = self.head.load();
            if head.is_closed() {
                return false;
            }
            if head.newest() == entry {
                // SAFETY: owned (R5).
                unsafe { self.forget_newer(next) };
                if self.head.change(head, head.with_newest(next)).is_ok() {
                    return true;
                }
                continue;
            }
            // SAFETY: as promised, and it is not the newest: who owns takes the newest off, and nobody makes it so again.
            unsafe { self.unlink_between(this, next) };
            return true;
        }
    }

    /// Unlinks an entry that is not the newest; `next` is its own.
    ///
    /// # Safety
    ///
    /// As [`unlink`](Self::unlink); the list was seen open since the caller owns it.
    #[inline]
    unsafe fn unlink_between(&self, this: &Entry, next: *mut Entry) {
        // SAFETY: owned (R5).
        let mut newer = unsafe { this.back() };
        if newer.is_null() {
            self.index();
            // SAFETY: owned (R5).
            newer = unsafe { this.back() };
        }
        // SAFETY: `newer` is listed before the entry, hence pinned (R10).
        unsafe { Entry::at(newer) }.set_next(next);
        if tuning::mutant("R3") {
            this.set_next(ptr::null_mut());
        }
        if !next.is_null() {
            // SAFETY: listed, hence pinned (R5); owned.
            unsafe { Entry::at(next).set_back(newer) };
        }
    }

    /// # Safety
    ///
    /// As `remove`, by the owner.
    pub(super) unsafe fn remove_as_owner(&self, entry: *mut Entry) -> Removal {
        // SAFETY: as promised, listed and pinned.
        let this = unsafe { Entry::at(entry) };
        let next = this.next();
        let head = self.head.load();
        let is_open = !head.is_closed() || tuning::mutant("R5b");
        let mut is_off = false;
        if is_open && !head.is_pending() {
            // Not pending, and so nothing in the stash either.
            let mut to = head;
            if head.newest() == entry {
                // SAFETY: owned (R5).
                unsafe { self.forget_newer(next) };
                to = to.with_newest(next);
            } else {
                // SAFETY: as promised, not the newest, and the list was just seen open; owned (R5).
                unsafe { self.unlink_between(this, next) };
                is_off = true;
            }
            let (to, released) = to.let_go().less_reference();
            if self.head.change(head, to).is_ok() {
                return Removal {
                    unlinked: true,
                    released,
                    limbo: Chain::new(),
                };
            }
        }
        // SAFETY: as promised, where it is still listed; owned.
        let is_off = is_off || unsafe { self.unlink(entry) };
        self.let_go(is_off.then_some(entry), true)
    }

    /// Unlinks what others handed over, within the budget; the rest waits in `stash`. By the owner.
    pub(super) fn drain(&self, limbo: &mut Chain<Limbo>, budget: &mut usize) {
        let mut handed = self.take_stash();
        loop {
            if handed.is_empty() {
                handed = self.leaving.take();
            }
            if *budget == 0 {
                self.set_stash(handed.top());
                return;
            }
            let Some(entry) = handed.pop() else { return };
            *budget -= 1;
            // SAFETY: what was handed over is listed and pinned by the list (R5); owned.
            if unsafe { self.unlink(entry) } {
                // SAFETY: it is off the list, its LISTED pin and `limbo` word this owner's (R5).
                unsafe { limbo.push(entry) };
            } else {
                return;
            }
        }
    }

    pub(super) fn let_go(&self, mine: Option<*mut Entry>, release: bool) -> Removal {
        self.finish(mine, release, Chain::new(), tuning::DRAIN_BUDGET)
    }

    /// Gives OWNED up, after what was handed over has been seen to. `release`: the owner's registration goes with it.
    pub(super) fn finish(
        &self,
        mine: Option<*mut Entry>,
        release: bool,
        mut limbo: Chain<Limbo>,
        mut budget: usize,
    ) -> Removal {
        loop {
            let head = self.head.load();
            if head.is_closed() && !tuning::mutant("R5") {
                if let Some(entry) = mine {
                    // SAFETY: unlinked by this owner, its `limbo` word in no other use (R5).
                    unsafe { limbo.push(entry) };
                }
                // R5: a walker may stand on any of it. OWNED stays set for ever, so this is the last word on it.
                self.set_stash(limbo.top());
                return Removal::LEFT;
            }
            if head.is_pending() && budget > 0 {
                if self.head.change(head, head.drained()).is_ok() {
                    self.drain(&mut limbo, &mut budget);
                }
                continue;
            }
            let mut to = head.let_go();
            if self.has_stash() {
                to = to.pending();
            }
            let (to, released) = if release {
                to.less_reference()
            } else {
                (to, false)
            };
            // That it succeeds says that nobody had begun to close the list: the limbo can be freed.
            if self.head.change(head, to).is_ok() {
                return Removal {
                    unlinked: mine.is_some(),
                    released,
                    limbo,
                };
            }
        }
    }

    pub(super) fn set_stash(&self, top: *mut Entry) {
        // SAFETY: the cell is the owner's, and only owners come here (R5).
        self.stash.with_mut(|stash| unsafe { *stash = top });
    }

    pub(super) fn take_stash(&self) -> Chain<Limbo> {
        // SAFETY: as in `set_stash`.
        Chain::from_top(
            self.stash
                .with_mut(|stash| unsafe { std::mem::replace(&mut *stash, ptr::null_mut()) }),
        )
    }

    pub(super) fn has_stash(&self) -> bool {
        // SAFETY: as in `set_stash`.
        !self.stash.with(|stash| unsafe { *stash }).is_null()
    }
}
