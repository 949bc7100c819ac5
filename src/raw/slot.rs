//! The two slots of a node: the cause it was given, and its channel. Each is filled once, by a CAS from empty.

use super::node::Node;
use super::state::{Announce, End, State};
use crate::cause::{Body, Cause, Parts};
use crate::error::Error;
use crate::sync::{AtomicUsize, Channel, Ordering, contain};
use std::ptr;
use std::sync::Arc;

/// What a node's cause slot says.
#[derive(Debug)]
pub(crate) enum Filled {
    /// A cause given to `cancel_with`.
    Given(Cause),
    /// A further parent of a merged node: the cause is that one's, and so was the error.
    Via(*mut Node),
}

const TAG: usize = 7;
const GIVEN: usize = 0;
const GIVEN_CANCELED: usize = 1;
const GIVEN_DEADLINE: usize = 2;
const VIA_CANCELED: usize = 3;
const VIA_DEADLINE: usize = 4;
const GIVEN_STOPPED: usize = 5;

const _: () = assert!(align_of::<Body>() > TAG && super::head::ALIGNMENT > TAG);

/// The cause of a node that the state word says is in its slot.
///
/// What is in the slot decides how the node ends only once the state says so (R12). Its tag tells the error too, so
/// that who finds it filled can finish that CAS without following a pointer.
#[derive(Debug)]
pub(crate) struct CauseSlot(AtomicUsize);

impl CauseSlot {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Puts a cause in, if the slot is empty; `Err` gives it back.
    pub(crate) fn give(&self, cause: Cause) -> Result<(), Cause> {
        let word = match cause.into_parts() {
            Parts::Inline(Error::Canceled) => GIVEN_CANCELED,
            Parts::Inline(Error::DeadlineExceeded) => GIVEN_DEADLINE,
            Parts::Stopped => GIVEN_STOPPED,
            Parts::Shared(body) => Arc::into_raw(body).expose_provenance() | GIVEN,
        };
        if self.fill(word) {
            Ok(())
        } else {
            // SAFETY: the word was made above and is in no slot.
            Err(unsafe { take_cause(word) })
        }
    }

    /// Puts a further parent that ended with `error` in, if the slot is empty. Wait-free.
    pub(crate) fn give_via(&self, parent: *mut Node, error: Error) {
        let tag = if error.is_timeout() {
            VIA_DEADLINE
        } else {
            VIA_CANCELED
        };
        self.fill(parent.expose_provenance() | tag);
    }

    fn fill(&self, word: usize) -> bool {
        // ORDERING: Release publishes the cause to `get`, whoever finishes the state CAS in between; Acquire on
        // failure for who then finishes the other's.
        self.0
            .compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The error that goes with what is in the slot; `None`: it is empty.
    pub(crate) fn error(&self) -> Option<Error> {
        // ORDERING: Acquire pairs with `fill`, for who finishes that one's CAS publishes the slot in its stead.
        match self.0.load(Ordering::Acquire) {
            0 => None,
            word if word & TAG == VIA_DEADLINE => Some(Error::DeadlineExceeded),
            _ => Some(Error::Canceled),
        }
    }

    /// What is in the slot. Never allocates.
    ///
    /// # Safety
    ///
    /// The node has not ended: the caller keeps it.
    pub(crate) unsafe fn get(&self) -> Option<Filled> {
        let word = self.0.load(Ordering::Acquire);
        match word & TAG {
            _ if word == 0 => None,
            VIA_CANCELED | VIA_DEADLINE => {
                Some(Filled::Via(ptr::with_exposed_provenance_mut(word & !TAG)))
            }
            _ => {
                if word & TAG == GIVEN {
                    let body = ptr::with_exposed_provenance::<Body>(word);
                    // SAFETY: the slot has a count of it, which goes only when the node has ended (R8).
                    unsafe { Arc::increment_strong_count(body) };
                }
                // SAFETY: the count just made (R8); inline causes have none.
                Some(Filled::Given(unsafe { take_cause(word) }))
            }
        }
    }

    /// Empties the slot and drops what was in it, a panic contained.
    ///
    /// # Safety
    ///
    /// The node has ended: nobody asks it for its cause any more.
    #[inline]
    pub(crate) unsafe fn clear(&self) {
        // ORDERING: Acquire pairs with `fill`. A walker may still fill the slot by a link, now or later; that owns
        // nothing.
        let seen = self.0.load(Ordering::Acquire);
        if seen != 0 {
            // SAFETY: the caller's promise.
            unsafe { self.clear_filled(seen) };
        }
    }

    /// # Safety
    ///
    /// As `clear`; `seen` is what is in the slot.
    #[cold]
    unsafe fn clear_filled(&self, seen: usize) {
        if matches!(seen & TAG, VIA_CANCELED | VIA_DEADLINE) {
            return;
        }
        self.0.store(0, Ordering::Relaxed);
        // SAFETY: nobody else takes what is in the slot, and it holds a cause.
        let cause = unsafe { take_cause(seen) };
        contain(|| drop(cause));
    }
}

/// # Safety
///
/// The word is one of `CauseSlot::give`'s, and the caller has its count.
unsafe fn take_cause(word: usize) -> Cause {
    Cause::from_parts(match word & TAG {
        GIVEN_CANCELED => Parts::Inline(Error::Canceled),
        GIVEN_DEADLINE => Parts::Inline(Error::DeadlineExceeded),
        GIVEN_STOPPED => Parts::Stopped,
        // SAFETY: the caller's promise.
        _ => Parts::Shared(unsafe { Arc::from_raw(ptr::with_exposed_provenance(word)) }),
    })
}

const DISCONNECTED: usize = 1;

const _: () = assert!(align_of::<Channel>() > DISCONNECTED);

/// The channel of a node, made when first asked for, disconnected once.
#[derive(Debug)]
pub(crate) struct ChannelSlot(AtomicUsize);

impl ChannelSlot {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn decode(word: usize) -> *mut Channel {
        ptr::with_exposed_provenance_mut(word & !DISCONNECTED)
    }

    /// The channel; the first call makes it, which allocates.
    pub(crate) fn get_or_make(&self) -> &Channel {
        // ORDERING: Acquire pairs with the Release below.
        let there = Self::decode(self.0.load(Ordering::Acquire));
        // SAFETY: what is in the slot stays there until the node's bytes go, and with them this borrow.
        if let Some(channel) = unsafe { there.as_ref() } {
            return channel;
        }
        let made = Box::into_raw(Box::new(Channel::new()));
        // ORDERING: Release publishes the channel; Acquire shows the one that was first.
        let channel = match self.0.compare_exchange(
            0,
            made.expose_provenance(),
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => made,
            Err(first) => {
                // SAFETY: made above and seen by nobody.
                drop(unsafe { Box::from_raw(made) });
                Self::decode(first)
            }
        };
        // SAFETY: as above.
        unsafe { &*channel }
    }

    /// The channel, if it was disconnected.
    pub(crate) fn disconnected(&self) -> Option<&Channel> {
        // ORDERING: Acquire pairs with `get_or_make` and `disconnect`.
        let word = self.0.load(Ordering::Acquire);
        // SAFETY: as in `get_or_make`.
        (word & DISCONNECTED != 0).then(|| unsafe { &*Self::decode(word) })
    }

    /// As [`disconnect`](Self::disconnect), by the undertaker of the node, which ends by this. Not where another has ended it:
    /// that one tells, and does not rely on who may be stopped in here (R11).
    pub(crate) fn disconnect_untold(&self, state: &State) {
        if state.load().has(Announce::Channel) && state.end(End::CANCELED).is_ok() {
            // SAFETY: it was ended here, which is done once (R12).
            unsafe { self.disconnect() };
        }
    }

    /// Disconnects the channel, if there is one, and says so after it, not before (R11).
    ///
    /// # Safety
    ///
    /// The one call for it, of who has ended the node.
    pub(crate) unsafe fn disconnect(&self) {
        // ORDERING: Acquire pairs with `get_or_make`.
        let word = self.0.load(Ordering::Acquire);
        if word != 0 {
            // SAFETY: as in `get_or_make`; the caller's promise makes this the one call.
            contain(|| unsafe { (*Self::decode(word)).disconnect() });
            self.0.fetch_or(DISCONNECTED, Ordering::Release);
        }
    }

    /// Frees the channel, with the node's bytes.
    #[inline(always)]
    pub(crate) fn free(&mut self) {
        // ORDERING: Relaxed; the pin given up last ordered every use before this.
        let word = self.0.load(Ordering::Relaxed);
        if word != 0 {
            // SAFETY: the slot owns the channel, and `&mut` says that nobody else uses it.
            unsafe { Self::free_made(word) };
        }
    }

    /// # Safety
    ///
    /// The word is that of a slot, and nobody else uses what is in it.
    #[cold]
    unsafe fn free_made(word: usize) {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(Self::decode(word)) });
    }
}
