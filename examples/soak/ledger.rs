//! What was made and what became of it: values, causes, functions, forgotten futures; and what was wrong.

use std::fmt;
use std::panic;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// No more than so many messages are kept.
const MESSAGES: usize = 20;

/// Counted by all threads, read at quiet points.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    made: AtomicU64,
    dropped: AtomicU64,
    /// Sums over the numbers of what was made, and dropped: two drops of one and none of another are seen, too.
    made_marks: AtomicU64,
    dropped_marks: AtomicU64,
    pub(crate) operations: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) registered: AtomicUsize,
    pub(crate) ran: AtomicUsize,
    pub(crate) stopped: AtomicUsize,
    pub(crate) forgotten: AtomicUsize,
    /// Bytes of the pool's that what was forgotten keeps.
    pub(crate) forgotten_bytes: AtomicUsize,
    pub(crate) panics: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

/// A number's mark in the sum: no two of them cancel out.
fn mark(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
}

impl Ledger {
    /// Something whose drop is counted.
    pub(crate) fn counted(self: &Arc<Self>) -> Counted {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        self.made_marks.fetch_add(mark(number), Ordering::SeqCst);
        Counted {
            number,
            panics: false,
            ledger: Arc::clone(self),
        }
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// Everything counted was dropped, each once.
    pub(crate) fn all_dropped(&self) -> bool {
        let is_same = |dropped: &AtomicU64, made: &AtomicU64| {
            dropped.load(Ordering::SeqCst) == made.load(Ordering::SeqCst)
        };
        is_same(&self.dropped, &self.made) && is_same(&self.dropped_marks, &self.made_marks)
    }

    /// Every function ran once or was stopped.
    pub(crate) fn all_called(&self) -> bool {
        let ended = self.ran.load(Ordering::SeqCst) + self.stopped.load(Ordering::SeqCst);
        self.registered.load(Ordering::SeqCst) == ended
    }

    /// Notes something that is not as it is promised.
    pub(crate) fn wrong(&self, message: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < MESSAGES {
            wrong.push(message);
        }
    }

    pub(crate) fn ensure(&self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.wrong(message());
        }
    }

    /// What was wrong until now.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }

    /// Has panics that are made on purpose counted, and all others noted.
    pub(crate) fn watch_panics(self: &Arc<Self>) {
        let ledger = Arc::clone(self);
        panic::set_hook(Box::new(move |info| {
            if info.payload().is::<OnPurpose>() {
                ledger.panics.fetch_add(1, Ordering::Relaxed);
            } else {
                ledger.wrong(info.to_string());
            }
        }));
    }
}

/// The payload of a panic that belongs to the soak.
#[derive(Debug)]
pub(crate) struct OnPurpose;

pub(crate) fn panic_on_purpose() -> ! {
    panic::panic_any(OnPurpose)
}

/// Something whose drop is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) number: u64,
    panics: bool,
    ledger: Arc<Ledger>,
}

impl Counted {
    /// The drop panics, once it has been counted.
    pub(crate) fn panicking(self) -> Self {
        let mut this = self;
        this.panics = true;
        this
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ledger.dropped.fetch_add(1, Ordering::SeqCst);
        self.ledger
            .dropped_marks
            .fetch_add(mark(self.number), Ordering::SeqCst);
        if self.panics {
            panic_on_purpose();
        }
    }
}

/// A cause whose drop is counted.
#[derive(Debug)]
pub(crate) struct Reason(pub(crate) Counted);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reason {}", self.0.number)
    }
}

impl std::error::Error for Reason {}
