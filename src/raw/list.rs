//! The list: the one intrusive lock-free list that children, waiters and links are entries of.
//!
//! ```text
//!  head ──► newest ──next──► … ──next──► oldest        next: read by walkers, rewritten by the owner only
//!                  ◄──back──   ◄──back──                back: the owner's alone; missing in the newest prefix
//!  leaving ──► e ──limbo──► e                           handed over by removers that found the list OWNED
//! ```
//!
//! Removal tries to own the list and hands over when somebody else does, so nobody waits; an owner unlinks what it was
//! handed before it lets go. Closing it, once, freezes it: what is listed then, and what its last owner had unlinked,
//! goes with the node (R5). The list calls nobody: what it unlinked it returns, to be freed after OWNED is given up
//! (R9).
//!
//! It also counts the registrations of its node: those made by a push since the list was last owned in the head word,
//! all others in `registered`, beside one for the handles. So a push registers, and a removal gives the registration
//! back, in the CAS they make anyway. Both halves are interchangeable. A registration is taken from `registered` only
//! by who saw none in the head, and that one's own was in `registered` then; so `registered` never falls short, and
//! as no push can come once the handles are gone, it is the whole count from then on.
//!
//! Called by `stripes` and the modules above it.

use super::entry::{Chain, Entry, Leaving, Limbo};
use super::head::{Head, HeadWord};
use crate::local;
use crate::sync::{Alive, AtomicUsize, Ordering, UnsafeCell};
use crate::tuning;
use std::ptr;

/// The list is closed: its node is done, and so is whoever comes too late.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// What a push did beside listing the entry.
#[must_use]
#[derive(Debug)]
pub(crate) struct Pushed {
    /// As [`Removal::limbo`].
    pub(crate) limbo: Chain<Limbo>,
    /// It lost races, as this thread has too often of late.
    pub(crate) contended: bool,
}

/// What a removal did.
#[must_use]
#[derive(Debug)]
pub(crate) struct Removal {
    /// The entry is off the list, its LISTED pin the caller's. Else that pin went to an owner or the closed list.
    pub(crate) unlinked: bool,
    /// The entry's registration was given back on the way. Else the caller is still to `release` it.
    pub(crate) released: bool,
    /// Entries of others that were unlinked on the way; their LISTED pins are the caller's.
    pub(crate) limbo: Chain<Limbo>,
}

impl Removal {
    /// Nothing was done but to leave the entry to somebody else.
    pub(crate) const LEFT: Self = Self {
        unlinked: false,
        released: false,
        limbo: Chain::new(),
    };
}

enum Ownership {
    Taken,
    Busy,
    Closed,
}

/// One list and its count.
#[derive(Debug)]
pub(crate) struct Branch {
    head: HeadWord,
    leaving: Leaving,
    /// While the list is open, entries handed over that no owner has come to: they are still listed. Once an owner
    /// has found it closed, that owner's limbo. The owner's.
    stash: UnsafeCell<*mut Entry>,
    registered: AtomicUsize,
    alive: Alive,
}

impl Branch {
    /// An empty list, with one registration for the handles of its node.
    pub(crate) fn new() -> Self {
        Self {
            head: HeadWord::new(),
            leaving: Leaving::new(),
            stash: UnsafeCell::new(ptr::null_mut()),
            registered: AtomicUsize::new(1),
            alive: Alive::new(),
        }
    }

    /// Lists and registers an entry. Lock-free; every so often it writes back-links for those who will remove, and
    /// answers with the LISTED pins of what was handed over to it meanwhile.
    ///
    /// # Safety
    ///
    /// The entry is LISTED in its state, on no list, and its bytes live until that pin is given up. A handle keeps
    /// the node.
    pub(crate) unsafe fn push(&self, entry: *mut Entry) -> Result<Pushed, Closed> {
        self.alive.check();
        // SAFETY: the caller's promise.
        let this = unsafe { Entry::at(entry) };
        let mut head = self.head.load();
        let mut registered_apart = false;
        let mut contended = false;
        loop {
            if head.is_closed() {
                if registered_apart {
                    self.registered.fetch_sub(1, Ordering::Relaxed);
                }
                return Err(Closed);
            }
            if head.is_saturated() && !registered_apart {
                self.registered.fetch_add(1, Ordering::Relaxed);
                registered_apart = true;
            }
            this.set_next(head.newest());
            let mut to = head.with_newest(entry);
            if !registered_apart {
                to = to.and_reference();
            }
            match self.head.change(head, to) {
                Ok(()) => break,
                Err(now) => {
                    contended |= local::lost_race();
                    head = now;
                }
            }
        }
        let mut limbo = Chain::new();
        if head.references() >= tuning::INDEX_AT && !head.is_owned() {
            limbo = self.write_back_links();
        }
        Ok(Pushed { limbo, contended })
    }

    #[cold]
    fn write_back_links(&self) -> Chain<Limbo> {
        match self.own() {
            Ownership::Taken => {
                self.index();
                self.let_go(None, false).limbo
            }
            Ownership::Busy | Ownership::Closed => Chain::new(),
        }
    }

    /// Registers without listing: entries born done, and stripes. The caller's handle keeps the node.
    pub(crate) fn register(&self, registrations: usize) {
        self.alive.check();
        let before = self.registered.fetch_add(registrations, Ordering::Relaxed);
        if before >= tuning::HANDLES_MAX {
            std::process::abort();
        }
    }

    /// Gives back what `register` made; `true`: it was the last, and the node has ended.
    ///
    /// ORDERING: as `release`.
    pub(crate) fn unregister(&self, registrations: usize) -> bool {
        self.alive.check();
        self.registered.fetch_sub(registrations, Ordering::AcqRel) == registrations
    }

    /// Takes an entry off the list, or leaves it to who owns or closed it. Lock-free; with nobody else about, one or
    /// two RMWs.
    ///
    /// # Safety
    ///
    /// The entry was pushed here, is LISTED, and this is the one removal it gets; the caller keeps its bytes by a pin
    /// of its own, and the list by the entry's registration.
    pub(crate) unsafe fn remove(&self, entry: *mut Entry) -> Removal {
        self.alive.check();
        // SAFETY: the caller's promise.
        let this = unsafe { Entry::at(entry) };
        let head = self.head.load();
        // R4: with `next` null it stays so, and nothing is left that could have a stale back-link.
        if head.newest() == entry && head.is_quiet() && this.next().is_null() {
            let (to, released) = head.with_newest(ptr::null_mut()).less_reference();
            if self.head.change(head, to).is_ok() {
                return Removal {
                    unlinked: true,
                    released,
                    limbo: Chain::new(),
                };
            }
            local::lost_race();
        }
        match self.own() {
            Ownership::Closed => Removal::LEFT,
            // SAFETY: the caller's promise.
            Ownership::Busy => unsafe { self.hand_over(entry) },
            Ownership::Taken => {
                self.index();
                // SAFETY: the caller's promise; the list is owned.
                unsafe { self.remove_as_owner(entry) }
            }
        }
    }

    /// # Safety
    ///
    /// As `remove`, by the owner.
    unsafe fn remove_as_owner(&self, entry: *mut Entry) -> Removal {
        // SAFETY: as promised, listed and pinned.
        let next = unsafe { Entry::at(entry) }.next();
        let head = self.head.load();
        if head.newest() == entry && !head.is_pending() && !head.is_closed() {
            // SAFETY: owned.
            unsafe { self.forget_newer(next) };
            let (to, released) = head.with_newest(next).let_go().less_reference();
            if self.head.change(head, to).is_ok() {
                return Removal {
                    unlinked: true,
                    released,
                    limbo: Chain::new(),
                };
            }
        }
        // SAFETY: as promised; owned.
        let mine = unsafe { self.unlink(entry) }.then_some(entry);
        self.let_go(mine, true)
    }

    /// Gives an entry to the owner of the list.
    ///
    /// # Safety
    ///
    /// As `remove`.
    unsafe fn hand_over(&self, entry: *mut Entry) -> Removal {
        local::lost_race();
        // SAFETY: its `limbo` word is not in use while it is listed. LISTED passes to the owner (R1).
        unsafe { self.leaving.push(entry) };
        loop {
            let head = self.head.load();
            if head.is_closed() {
                return Removal::LEFT;
            }
            if head.is_owned() {
                // An RMW also where PENDING is set: it orders the push on `leaving` before the owner's next look.
                if self.head.change(head, head.pending()).is_ok() {
                    return Removal::LEFT;
                }
            } else if self.try_own(head) {
                self.index();
                let mut limbo = Chain::new();
                let mut budget = tuning::DRAIN_BUDGET;
                self.drain(&mut limbo, &mut budget);
                return self.finish(None, true, limbo, budget);
            }
        }
    }

    fn own(&self) -> Ownership {
        loop {
            let head = self.head.load();
            if head.is_closed() {
                return Ownership::Closed;
            }
            if head.is_owned() {
                return Ownership::Busy;
            }
            if self.try_own(head) {
                return Ownership::Taken;
            }
            local::lost_race();
        }
    }

    /// One try to take OWNED, from a word with OWNED and CLOSED clear (R5). Of the references in the head it leaves
    /// one, to be given back in the CAS that lets go.
    fn try_own(&self, head: Head) -> bool {
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
    fn index(&self) {
        let mut newer = self.head.load().newest();
        while !newer.is_null() {
            // SAFETY: listed entries are pinned by the list, which the owner alone takes them off.
            let older = unsafe { Entry::at(newer) }.next();
            if older.is_null() {
                return;
            }
            // SAFETY: as above.
            let entry = unsafe { Entry::at(older) };
            // SAFETY: owned.
            if !unsafe { entry.back() }.is_null() {
                return;
            }
            // SAFETY: owned.
            unsafe { entry.set_back(newer) };
            newer = older;
        }
    }

    /// Clears the back-link of what is to be the newest: a stale one would name a freed entry.
    ///
    /// # Safety
    ///
    /// The caller owns the list.
    unsafe fn forget_newer(&self, entry: *mut Entry) {
        if !entry.is_null() {
            // SAFETY: listed, hence pinned; owned.
            unsafe { Entry::at(entry).set_back(ptr::null_mut()) };
        }
    }

    /// Unlinks an entry, unless the list is closed. Its `next` stays as it is: a walker may be standing on it (R3).
    ///
    /// # Safety
    ///
    /// The entry is listed; the caller owns the list.
    unsafe fn unlink(&self, entry: *mut Entry) -> bool {
        // SAFETY: listed, hence pinned.
        let this = unsafe { Entry::at(entry) };
        let next = this.next();
        loop {
            let head = self.head.load();
            if head.is_closed() {
                return false;
            }
            if head.newest() == entry {
                // SAFETY: owned.
                unsafe { self.forget_newer(next) };
                if self.head.change(head, head.with_newest(next)).is_ok() {
                    return true;
                }
                continue;
            }
            // SAFETY: owned.
            let mut newer = unsafe { this.back() };
            if newer.is_null() {
                self.index();
                // SAFETY: owned.
                newer = unsafe { this.back() };
            }
            // SAFETY: `newer` is listed before `entry`, hence pinned.
            unsafe { Entry::at(newer) }.set_next(next);
            if !next.is_null() {
                // SAFETY: listed, hence pinned; owned.
                unsafe { Entry::at(next).set_back(newer) };
            }
            return true;
        }
    }

    /// Unlinks what others handed over, within the budget; the rest waits in `stash`. By the owner.
    fn drain(&self, limbo: &mut Chain<Limbo>, budget: &mut usize) {
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
            // SAFETY: what was handed over is listed and pinned by the list; owned.
            if unsafe { self.unlink(entry) } {
                // SAFETY: it is off the list, its LISTED pin and `limbo` word this owner's.
                unsafe { limbo.push(entry) };
            } else {
                return;
            }
        }
    }

    fn let_go(&self, mine: Option<*mut Entry>, release: bool) -> Removal {
        self.finish(mine, release, Chain::new(), tuning::DRAIN_BUDGET)
    }

    /// Gives OWNED up, after what was handed over has been seen to. `release`: the owner's registration goes with it.
    fn finish(
        &self,
        mine: Option<*mut Entry>,
        release: bool,
        mut limbo: Chain<Limbo>,
        mut budget: usize,
    ) -> Removal {
        loop {
            let head = self.head.load();
            if head.is_closed() {
                if let Some(entry) = mine {
                    // SAFETY: unlinked by this owner, its `limbo` word in no other use.
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

    fn set_stash(&self, top: *mut Entry) {
        // SAFETY: the cell is the owner's, and only owners come here.
        self.stash.with_mut(|stash| unsafe { *stash = top });
    }

    fn take_stash(&self) -> Chain<Limbo> {
        // SAFETY: as in `set_stash`.
        Chain::from_top(
            self.stash
                .with_mut(|stash| unsafe { std::mem::replace(&mut *stash, ptr::null_mut()) }),
        )
    }

    fn has_stash(&self) -> bool {
        // SAFETY: as in `set_stash`.
        !self.stash.with(|stash| unsafe { *stash }).is_null()
    }

    /// Gives a registration back; `true`: it was the last, and the node has ended. The caller's last use of the list.
    ///
    /// ORDERING: the RMWs release what the caller did here and acquire what all others did, for whoever ends the node.
    pub(crate) fn release(&self) -> bool {
        self.alive.check();
        loop {
            let head = self.head.load();
            match head.less_reference() {
                (to, true) => {
                    // With references in the head the handles are still there: it is not the last.
                    if self.head.change(head, to).is_ok() {
                        return false;
                    }
                }
                (_, false) => return self.registered.fetch_sub(1, Ordering::AcqRel) == 1,
            }
        }
    }

    /// Gives the registration of the handles back, when the last of them is gone; `true`: the node has ended. From now
    /// on `registered` is the whole count.
    pub(crate) fn orphan(&self) -> bool {
        self.alive.check();
        loop {
            let head = self.head.load();
            let references = head.references();
            if references == 0 {
                // Nobody pushes any more, so what is registered now is all; if that is the handles' own, nobody else
                // can change it. ORDERING: Acquire pairs with `release`.
                return self.registered.load(Ordering::Acquire) == 1
                    || self.registered.fetch_sub(1, Ordering::AcqRel) == 1;
            }
            self.registered.fetch_add(references, Ordering::Relaxed);
            if self.head.change(head, head.with_references(0)).is_err() {
                self.registered.fetch_sub(references, Ordering::Relaxed);
            }
        }
    }

    /// Closes the list and answers with its newest entry. From now on nobody changes what it leads to, but for an
    /// owner that was at work, whose every step leaves the rest reachable (R3).
    pub(crate) fn close(&self) -> *mut Entry {
        self.alive.check();
        let head = self.head.load();
        if head.is_closed() {
            return head.newest();
        }
        self.head.close().newest()
    }

    /// How many entries `counted` says yes to, and what was unlinked for others on the way; `None` where somebody else
    /// owns the list. Walks.
    pub(crate) fn count(
        &self,
        counted: impl Fn(*mut Entry) -> bool,
    ) -> Option<(usize, Chain<Limbo>)> {
        self.alive.check();
        match self.own() {
            Ownership::Closed => Some((0, Chain::new())),
            Ownership::Busy => None,
            Ownership::Taken => {
                self.index();
                let mut count = 0;
                let mut entry = self.head.load().newest();
                while !entry.is_null() {
                    count += usize::from(counted(entry));
                    // SAFETY: listed entries are pinned by the list, which the owner alone takes them off.
                    entry = unsafe { Entry::at(entry) }.next();
                }
                Some((count, self.let_go(None, false).limbo))
            }
        }
    }

    /// How many registrations there are, those of the handles and of stripes with them; a moment's guess.
    pub(crate) fn registrations(&self) -> usize {
        self.registered.load(Ordering::Relaxed) + self.head.load().references()
    }

    /// Hands out the LISTED pin of everything that is listed here, or in the limbo of an owner that found the list
    /// closed: the end of the node's bytes.
    ///
    /// # Safety
    ///
    /// Nobody else uses the list, now or later.
    pub(crate) unsafe fn dissolve(&self, mut take: impl FnMut(*mut Entry)) {
        self.alive.check();
        let head = self.head.load();
        let mut entry = head.newest();
        while !entry.is_null() {
            // SAFETY: listed entries are pinned by the list until `take` has them.
            let next = unsafe { Entry::at(entry) }.next();
            take(entry);
            entry = next;
        }
        // Of an open list the stash is backlog: still listed, and taken above.
        if head.is_closed() && head.is_owned() {
            let mut limbo = self.take_stash();
            while let Some(entry) = limbo.pop() {
                take(entry);
            }
        }
    }

    pub(crate) fn end_of_life(&self) {
        self.alive.end();
    }
}
