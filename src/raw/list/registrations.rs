//! The count of registrations: who keeps the node from ending.
//!
//! It has two halves. A push registers in the upper bits of the head word, in the CAS it makes anyway; an owner moves
//! these to `registered`, but for one, which its removal gives back in the CAS that lets go. `registered` also has one
//! for the handles and one for each stripe. A registration is the same in either half, so who gives one back takes it
//! from the head if one is there, else from `registered`.
//!
//! `registered` never falls short. Who takes from it saw none in the head, so at that moment all entries' registrations
//! were in it, its own among them; until it takes that one, others take from it only by the same rule, and a move adds.
//! Once the handles are gone nobody pushes, what is in the head has been moved, and `registered` is the whole count: it
//! comes to zero once.

use super::Branch;
use crate::sync::Ordering;

impl Branch {
    /// Registers without listing: entries born done, and stripes. The caller's handle keeps the node.
    pub(crate) fn register(&self, registrations: usize) {
        self.alive.check();
        self.registered.fetch_add(registrations, Ordering::Relaxed);
    }

    /// Gives back what `register` made; `true`: it was the last, and the node has ended.
    ///
    /// ORDERING: as `release`.
    pub(crate) fn unregister(&self, registrations: usize) -> bool {
        self.alive.check();
        self.registered.fetch_sub(registrations, Ordering::AcqRel) == registrations
    }

    /// How many registrations there are, those of the handles and of stripes with them; a moment's guess, and never too few
    /// where nobody pushes.
    pub(crate) fn registrations(&self) -> usize {
        // ORDERING: the head first, whose Acquire pairs with the CAS of who moved them: what is not there any more is in
        // `registered` already, and at worst is seen in both.
        let references = self.head.load().references();
        references + self.registered.load(Ordering::Relaxed)
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
    ///
    /// Of what is moved from the head one stays in the place of the handles' own.
    pub(crate) fn orphan(&self) -> bool {
        self.alive.check();
        loop {
            let head = self.head.load();
            let Some(moved) = head.references().checked_sub(1) else {
                // Nobody pushes any more, so what is registered now is all; if that is the handles' own, nobody else
                // can change it. ORDERING: Acquire pairs with `release`.
                return self.registered.load(Ordering::Acquire) == 1
                    || self.registered.fetch_sub(1, Ordering::AcqRel) == 1;
            };
            if moved > 0 {
                self.registered.fetch_add(moved, Ordering::Relaxed);
            }
            if self.head.change(head, head.with_references(0)).is_ok() {
                return false;
            }
            if moved > 0 {
                self.registered.fetch_sub(moved, Ordering::Relaxed);
            }
        }
    }
}
