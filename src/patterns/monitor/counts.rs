//! The numbers of a monitor.

use crate::error::Error;
use crate::monitor::Event;
use crate::sync::{Arc, AtomicUsize, Ordering};
use std::fmt;

/// Counts of a [`Monitor`](crate::Monitor), from its start on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonitorStats {
    /// Contexts that can be done, and were made.
    pub created: usize,
    /// Those of them that are there yet, done or not: somebody has a handle of them, or of what was derived from them.
    pub active: usize,
    /// Those that were ended by a cancel, theirs or from above. What was born done is in none of these two.
    pub canceled: usize,
    /// Those that were ended by a deadline.
    pub timed_out: usize,
    /// Values that were set: of the process only, an engine has none.
    pub values: usize,
}

/// `12 created, 3 active, 8 canceled, 1 timed out, 20 values`.
impl fmt::Display for MonitorStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            created,
            active,
            canceled,
            timed_out,
            values,
        } = self;
        write!(
            f,
            "{created} created, {active} active, {canceled} canceled, {timed_out} timed out, {values} values"
        )
    }
}

/// A clone counts on.
#[derive(Clone, Default)]
pub(super) struct Counts(Arc<Numbers>);

#[derive(Default)]
struct Numbers {
    created: AtomicUsize,
    gone: AtomicUsize,
    canceled: AtomicUsize,
    timed_out: AtomicUsize,
    values: AtomicUsize,
}

impl Counts {
    pub(super) fn count(&self, event: Event) {
        let (number, by) = match event {
            Event::Created { .. } => (&self.0.created, 1),
            Event::Gone { contexts, .. } => (&self.0.gone, contexts),
            Event::Ended {
                error, contexts, ..
            } => match error {
                Error::Canceled => (&self.0.canceled, contexts),
                Error::DeadlineExceeded => (&self.0.timed_out, contexts),
            },
            Event::ValueSet { .. } => (&self.0.values, 1),
        };
        // ORDERING: Release pairs with `stats`: who sees that one has gone sees that it was made.
        number.fetch_add(by, Ordering::Release);
    }

    pub(super) fn stats(&self) -> MonitorStats {
        // ORDERING: Acquire, and before those that were made: what is seen to have gone is among them.
        let gone = self.0.gone.load(Ordering::Acquire);
        let created = self.0.created.load(Ordering::Relaxed);
        MonitorStats {
            created,
            active: created.saturating_sub(gone),
            canceled: self.0.canceled.load(Ordering::Relaxed),
            timed_out: self.0.timed_out.load(Ordering::Relaxed),
            values: self.0.values.load(Ordering::Relaxed),
        }
    }
}
