//! Who sees to it that the deadlines of an engine fire, and by which clock.
//!
//! Called by `core`.

use super::core::Core;
use super::time::Time;
use crate::error::Error;
use crate::sync::{AtomicUsize, Ordering};
use std::time::Duration;

/// Called when a driven engine's loop sleeps too long.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// Told how many contexts of these timers a turn has ended, and how.
pub(crate) type Report = fn(&Core, usize, Error);

/// What those above do for these timers.
#[derive(Clone, Copy)]
pub(crate) struct Upper {
    pub(crate) report: Report,
    /// Takes a turn, if it is free, to sweep out what was abandoned.
    pub(crate) tidy: fn(&Core),
}

pub(crate) enum Drive {
    /// A thread of this name.
    Thread(Box<str>),
    /// A loop of the program's.
    Loop(Option<Wake>),
    /// Whoever moves the clock, which stands here.
    Clock(AtomicUsize),
}

impl Drive {
    /// Of which time stands, at the present.
    pub(crate) fn clock() -> Self {
        Self::Clock(AtomicUsize::new(Time::now().word()))
    }

    #[inline]
    pub(crate) fn now(&self) -> Time {
        match self {
            Self::Thread(_) | Self::Loop(_) => Time::now(),
            // ORDERING: SeqCst with `move_clock`: see `Core::arm`.
            Self::Clock(clock) => Time::from_word(clock.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock; never back, and no further than its range.
    pub(crate) fn move_clock(&self, by: Duration) {
        let Self::Clock(clock) = self else {
            return;
        };
        let mut seen = clock.load(Ordering::Relaxed);
        loop {
            let to = Time::from_word(seen).after(by).min(Time::LAST).word();
            match clock.compare_exchange(seen, to, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}
