//! The last events of a monitor. Who writes never waits: an event that finds the log in use is counted as lost.

use crate::error::Error;
use crate::monitor::Event;
use crate::patterns::lock::lock;
use crate::sync::{AtomicUsize, Ordering};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

/// One event that a [`Monitor`](crate::Monitor) has kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MonitorEntry {
    /// When it was, by the clock of the machine.
    pub at: Instant,
    /// What it was.
    pub event: MonitorEvent,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MonitorEvent {
    /// What the hooks were told.
    Hook(Event),
    /// A context was named.
    Tracked {
        /// Its name.
        name: String,
    },
    /// A named context was found to be over, some time after it was.
    Over {
        /// Its name.
        name: String,
        /// How it ended; `None`: it was dropped while it was live.
        error: Option<Error>,
        /// From when it was named until it was found, by its engine's clock.
        age: Duration,
    },
}

/// In words: `created`.
impl fmt::Display for MonitorEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hook(Event::Created { .. }) => f.write_str("created"),
            Self::Hook(Event::Ended {
                error, contexts, ..
            }) => write!(f, "{contexts} ended: {error}"),
            Self::Hook(Event::Gone { contexts, .. }) => write!(f, "{contexts} gone"),
            Self::Hook(Event::ValueSet { name }) => write!(f, "value set: {name}"),
            Self::Tracked { name } => write!(f, "tracked: {name}"),
            Self::Over { name, error, age } => {
                write!(f, "over: {name}, found after {age:?}, ")?;
                match error {
                    Some(error) => write!(f, "{error}"),
                    None => f.write_str("dropped"),
                }
            }
        }
    }
}

pub(super) struct Log {
    room: usize,
    entries: Mutex<VecDeque<MonitorEntry>>,
    lost: AtomicUsize,
}

impl Log {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            entries: Mutex::new(VecDeque::new()),
            lost: AtomicUsize::new(0),
        }
    }

    /// Wait-free but for the allocator.
    pub(super) fn write(&self, event: MonitorEvent) {
        if self.room == 0 {
            return;
        }
        let mut entries = match self.entries.try_lock() {
            Ok(entries) => entries,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        if entries.len() >= self.room {
            entries.pop_front();
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        let at = Instant::now();
        entries.push_back(MonitorEntry { at, event });
    }

    pub(super) fn entries(&self) -> Vec<MonitorEntry> {
        let entries = lock(&self.entries);
        entries.iter().cloned().collect()
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed) as u64
    }
}
