//! Things that are counted: each has a number, and it is known how often it was dropped.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Makes them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<usize>>>);

/// A cause, a value, or what a closure or a future owns.
#[derive(Debug)]
pub(crate) struct Token {
    number: usize,
    ledger: Ledger,
}

impl Ledger {
    pub(crate) fn issue(&self) -> Token {
        let mut drops = self.lock();
        drops.push(0);
        Token {
            number: drops.len() - 1,
            ledger: self.clone(),
        }
    }

    pub(crate) fn drops(&self, number: usize) -> usize {
        self.lock()[number]
    }

    pub(crate) fn issued(&self) -> usize {
        self.lock().len()
    }

    /// Whether each was dropped, and none twice.
    pub(crate) fn is_settled(&self) -> bool {
        self.lock().iter().all(|drops| *drops == 1)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {}", self.number)
    }
}

impl std::error::Error for Token {}

impl Drop for Token {
    fn drop(&mut self) {
        self.ledger.lock()[self.number] += 1;
    }
}
