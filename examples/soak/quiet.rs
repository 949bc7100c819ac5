//! A quiet point: nobody works, everything was dropped. What is left is looked at.

use super::LIVE;
use super::ledger::Ledger;
use ripcord::{Context, Pool};
use std::fs;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// What has not come to rest by then never will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes of a kind that are in stock at every quiet point: as many as there is room for.
const STOCK: usize = 4_096;

/// So near that a deadline goes to the wheel at once.
const SOON: Duration = Duration::from_millis(12);

/// What the library's own threads, those of the timers and of the dispatcher, may have at hand: two magazines of 64 nodes
/// of each kind.
const AT_HAND: isize = 2 * 2 * 64 * (128 + 192);

/// Bytes at a quiet point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes {
    /// Of the allocator.
    pub(crate) live: isize,
    /// Of the pool, in stock or in use.
    pub(crate) pool: isize,
    /// Of the pool, not in stock.
    pub(crate) in_use: isize,
    /// Of what was forgotten on purpose; part of all of these.
    pub(crate) forgotten: isize,
}

impl Bytes {
    fn look(ledger: &Ledger) -> Self {
        let signed = |bytes: usize| bytes.cast_signed();
        // From nothing, so that it is the same whatever this thread had at hand.
        Pool::trim();
        let stock = Pool::fill(STOCK);
        Self {
            live: LIVE.load(Ordering::SeqCst),
            pool: signed(stock.allocated_bytes),
            in_use: signed(stock.allocated_bytes) - signed(stock.bytes),
            forgotten: signed(ledger.forgotten_bytes.load(Ordering::SeqCst)),
        }
    }

    /// Of the allocator, without what is at hand of the library's threads, which comes and goes, and what was forgotten.
    pub(crate) fn at_rest(self) -> isize {
        self.live - self.in_use
    }

    /// Of nodes that are neither in stock nor forgotten.
    fn kept(self) -> isize {
        self.in_use - self.forgotten
    }
}

/// How much more or less than before, in percent.
pub(crate) fn percent(now: isize, before: isize) -> f64 {
    100.0 * (now - before) as f64 / before as f64
}

/// Waits until what goes by itself has gone; then looks.
pub(crate) fn look(ledger: &Ledger) -> Bytes {
    until(ledger, "threads are left", || {
        let names = threads();
        // Of the last the dispatcher stays: the kernel cuts its name and theirs to the same.
        let callbacks = names.iter().filter(|name| *name == "ripcord-callbac");
        let ends = |name: &String| name.starts_with("stage-") || name == "ripcord-batch";
        callbacks.count() <= 1 && !names.iter().any(ends)
    });
    until(ledger, "functions neither ran nor were stopped", || {
        ledger.all_called()
    });
    let made = ledger.made();
    until(
        ledger,
        "not all values, causes and functions were dropped once",
        || ledger.all_dropped(),
    );
    ledger.ensure(made == ledger.made(), || "somebody still works".to_owned());
    sweep();
    // The timer thread may still be giving back what it fired.
    let mut bytes = Bytes::look(ledger);
    let began = Instant::now();
    while bytes.kept() > AT_HAND && began.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(10));
        bytes = Bytes::look(ledger);
    }
    ledger.ensure((0..=AT_HAND).contains(&bytes.kept()), || {
        format!(
            "{} bytes of nodes are kept by nobody: {bytes:?}",
            bytes.kept()
        )
    });
    bytes
}

/// Has the timer thread sweep out of its wheel what was dropped there, which else waits until there is more of it: by
/// dropping so many more. Those are gone when they are due.
fn sweep() {
    for _ in 0..3 {
        let soon: Vec<_> = (0..2_000)
            .map(|_| Context::background().with_timeout(SOON))
            .collect();
        thread::sleep(SOON / 4);
        drop(soon);
        thread::sleep(SOON);
    }
}

fn until(ledger: &Ledger, what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > PATIENCE {
            ledger.wrong(format!("{what}: {ledger:?}, threads {:?}", threads()));
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The names of the process's threads, where the system tells them. One that was given none has that of who started it.
fn threads() -> Vec<String> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}
