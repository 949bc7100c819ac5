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
//! `owner` has what only the owner of a list may do, `registrations` the count that goes with it.
//!
//! Called by `stripes` and the modules above it.

mod owner;
mod registrations;

use super::entry::{Chain, Entry, Leaving, Limbo};
use super::head::HeadWord;
use crate::local;
use crate::sync::{Alive, AtomicUsize, Ordering, UnsafeCell};
use crate::tuning;
use owner::Ownership;
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

/// One list and its count. In this order, in which what a node begins with is zeroed without a store across two cache lines.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Branch {
    registered: AtomicUsize,
    head: HeadWord,
    leaving: Leaving,
    /// While the list is open, entries handed over that no owner has come to: they are still listed. Once an owner
    /// has found it closed, that owner's limbo. The owner's.
    stash: UnsafeCell<*mut Entry>,
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

    /// Lists and registers so many entries at once, which are linked already, from the newest on. By the creator of the
    /// node, before it hands that out.
    pub(crate) fn fill(&self, newest: *mut Entry, count: usize) {
        let head = self.head.load();
        let filled = self.head.change(head, head.with_newest(newest));
        debug_assert_eq!(filled, Ok(()), "nobody else has the node");
        self.register(count);
    }

    /// Takes what [`fill`](Self::fill) has listed off again; it stays registered. By the same.
    pub(crate) fn clear(&self) {
        let head = self.head.load();
        let cleared = self.head.change(head, head.with_newest(ptr::null_mut()));
        debug_assert_eq!(cleared, Ok(()), "nobody else has the node");
    }

    /// Lists and registers an entry. Lock-free; every so often it writes back-links for those who will remove, and
    /// answers with the LISTED pins of what was handed over to it meanwhile.
    ///
    /// # Safety
    ///
    /// The entry is LISTED in its state, on no list, and its bytes live until that pin is given up. A handle keeps
    /// the node.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, entry: *mut Entry) -> Result<Option<Pushed>, Closed> {
        self.alive.check();
        let head = self.head.load();
        let mut lost = false;
        if !head.is_closed() && head.references() < tuning::INDEX_AT {
            // SAFETY: the caller's promise.
            unsafe { Entry::at(entry) }.set_next(head.newest());
            let to = head.with_newest(entry).and_reference();
            if self.head.change(head, to).is_ok() {
                return Ok(None);
            }
            lost = true;
        }
        // SAFETY: the caller's promise.
        unsafe { self.push_slowly(entry, lost) }.map(Some)
    }

    /// # Safety
    ///
    /// As [`push`](Self::push).
    #[cold]
    unsafe fn push_slowly(&self, entry: *mut Entry, mut lost: bool) -> Result<Pushed, Closed> {
        // SAFETY: the caller's promise.
        let this = unsafe { Entry::at(entry) };
        let mut head = self.head.load();
        let mut registered_apart = false;
        if lost {
            local::lost_race();
        }
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
                    local::lost_race();
                    lost = true;
                    head = now;
                }
            }
        }
        let mut limbo = Chain::new();
        if head.references() >= tuning::INDEX_AT && !head.is_owned() {
            limbo = self.write_back_links();
        }
        Ok(Pushed {
            limbo,
            contended: lost && local::is_contended(),
        })
    }

    #[cold]
    fn write_back_links(&self) -> Chain<Limbo> {
        self.while_owned(|| self.index())
    }

    /// Takes the one entry of a quiet list off it, by one CAS, with the registration that is in the head beside it.
    /// `false`: nothing was done, for it is not so.
    ///
    /// # Safety
    ///
    /// As [`remove`](Self::remove).
    #[inline(always)]
    pub(crate) unsafe fn remove_only(&self, entry: *mut Entry) -> bool {
        self.alive.check();
        let head = self.head.load();
        // R4: with `next` null it stays so, and nothing is left that could have a stale back-link.
        // SAFETY: the caller's promise.
        if !head.is_just(entry) || !unsafe { Entry::at(entry) }.next().is_null() {
            return false;
        }
        let (to, released) = head.with_newest(ptr::null_mut()).less_reference();
        debug_assert!(released, "`is_just` has seen it");
        self.head.change(head, to).is_ok()
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
        let next = this.next();
        // R4, as above.
        if head.newest() == entry && head.is_quiet() && (next.is_null() || tuning::mutant("R4")) {
            let (to, released) = head.with_newest(next).less_reference();
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
            // SAFETY: the caller's promise (R5); the list is owned.
            Ownership::Taken => unsafe { self.remove_as_owner(entry) },
        }
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
        tuning::window("handed over");
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

    /// Whether nobody owned the list when it was closed; it is. Never changes.
    #[inline]
    pub(crate) fn was_closed_free(&self) -> bool {
        let head = self.head.load();
        head.is_closed() && !head.is_owned()
    }

    /// Runs `f` as the owner, and answers with what was unlinked for others meanwhile; does not where somebody else owns the
    /// list or it is closed. `f` calls nothing that is not ours (R9).
    pub(crate) fn while_owned(&self, f: impl FnOnce()) -> Chain<Limbo> {
        match self.own() {
            Ownership::Taken => {
                f();
                self.let_go(None, false).limbo
            }
            Ownership::Busy | Ownership::Closed => Chain::new(),
        }
    }

    /// The sum of what `counted` says of the entries, and what was unlinked for others on the way; `None` where somebody
    /// else owns the list. Walks.
    pub(crate) fn count(
        &self,
        mut counted: impl FnMut(*mut Entry) -> usize,
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
                    count += counted(entry);
                    // SAFETY: listed entries are pinned by the list, which the owner alone takes them off (R5).
                    entry = unsafe { Entry::at(entry) }.next();
                }
                Some((count, self.let_go(None, false).limbo))
            }
        }
    }

    /// Whether `dissolve` would hand nothing out.
    ///
    /// # Safety
    ///
    /// As [`dissolve`](Self::dissolve).
    #[inline(always)]
    pub(crate) unsafe fn is_bare(&self) -> bool {
        self.alive.check();
        self.head.load().newest().is_null() && !self.has_stash()
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
            // SAFETY: listed entries are pinned by the list until `take` has them (R10).
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
