//! Where in the source a node was made: a number that the facade gives and takes back, in bytes that an entry has left.
//! Without the feature `origin` it is nothing.
//!
//! Called by `entry`, `handle` and `view`.

#[cfg(feature = "origin")]
use crate::sync::{AtomicU16, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Site {
    /// 0: it is not known.
    #[cfg(feature = "origin")]
    number: AtomicU16,
}

impl Site {
    /// By the creator, before it hands the node out.
    ///
    /// ORDERING: Relaxed; whoever gets a handle gets it after this. A walker that comes before finds it unknown.
    #[cfg(feature = "origin")]
    #[inline(always)]
    pub(crate) fn set(&self, number: u16) {
        self.number.store(number, Ordering::Relaxed);
    }

    #[cfg(feature = "origin")]
    pub(crate) fn number(&self) -> u16 {
        self.number.load(Ordering::Relaxed)
    }

    #[cfg(not(feature = "origin"))]
    #[expect(clippy::unused_self, reason = "it has one with the feature")]
    pub(crate) const fn number(&self) -> u16 {
        0
    }
}
