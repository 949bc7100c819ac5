//! Threads for work that may block: started where none is free, ended when nothing has come for a while.
//!
//! A free thread waits at a rendezvous, a channel without room, so who has work learns whether it was taken: no count of
//! free threads, which would be wrong the moment it was read. A thread that cannot be started is tried again.
//!
//! Used by one thread, which may wait: the dispatcher of callbacks.

use super::{Arc, AtomicUsize, Ordering, contain, spawn};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::time::Duration;

/// As many as tokio's and the `blocking` crate's pools have, by default.
const MOST: usize = 500;
/// After this long without work a thread ends.
const KEPT: Duration = Duration::from_secs(2);
/// For this long work is offered to those there are, before one more is started.
const OFFERED: Duration = Duration::from_micros(200);
/// After this long without one that takes the work it is looked again whether one can be started.
const RETRIED: Duration = Duration::from_millis(10);

/// Threads that give what they take to one function.
#[derive(Debug)]
pub(crate) struct Threads<T> {
    name: &'static str,
    run: fn(T),
    offers: Sender<T>,
    free: Receiver<T>,
    running: Arc<AtomicUsize>,
}

impl<T: Send + 'static> Threads<T> {
    /// Starts none.
    pub(crate) fn new(name: &'static str, run: fn(T)) -> Self {
        let (offers, free) = bounded(0);
        Self {
            name,
            run,
            offers,
            free,
            running: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Returns when a thread has taken the work. May block: while all there may be are at work, or none can be started.
    pub(crate) fn run(&self, mut work: T) {
        let mut patience = if self.running() == 0 {
            Duration::ZERO
        } else {
            OFFERED
        };
        loop {
            match self.offers.send_timeout(work, patience) {
                Ok(()) => return,
                Err(SendTimeoutError::Timeout(again) | SendTimeoutError::Disconnected(again)) => {
                    work = again;
                }
            }
            patience = if self.running() < MOST {
                self.start();
                RETRIED
            } else {
                KEPT
            };
        }
    }

    fn running(&self) -> usize {
        // ORDERING: Relaxed; one that has just ended is made up for in the next round.
        self.running.load(Ordering::Relaxed)
    }

    fn start(&self) {
        let (free, running, run) = (self.free.clone(), Arc::clone(&self.running), self.run);
        running.fetch_add(1, Ordering::Relaxed);
        let started = spawn(self.name, move || {
            while let Ok(work) = free.recv_timeout(KEPT) {
                contain(|| run(work));
            }
            running.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
