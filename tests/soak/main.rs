//! The soak of `examples/soak` for a moment, and that its eyes see. A process of its own: it counts every byte.

#[allow(dead_code, reason = "its command line")]
#[path = "../../examples/soak/main.rs"]
mod soak;

use ripcord::Context;
use soak::ledger::Ledger;
use soak::quiet;
use soak::run::{Plan, run};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One at a time, for each counts the bytes of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_short_soak_finds_nothing_wrong() {
    let _alone = alone();
    let plan = Plan {
        length: Duration::from_secs(2),
        threads: 4,
        seed: 5,
    };
    let mut lines = 0;
    let result = run(&plan, |line| {
        println!("{line}");
        lines += 1;
    });
    assert_eq!(result, Ok(()));
    assert!(lines >= 4, "what it compares, and three quiet points");
}

#[test]
fn a_drop_too_few_and_a_drop_too_many_are_seen_even_together() {
    let ledger = Arc::new(Ledger::default());
    drop(ledger.counted());
    assert!(ledger.all_dropped());
    mem::forget(ledger.counted());
    assert!(!ledger.all_dropped());
    // The count it gives back twice.
    mem::forget(Arc::clone(&ledger));
    let twice = mem::ManuallyDrop::new(ledger.counted());
    for _ in 0..2 {
        // SAFETY: plain data and a count of the ledger, of which there is one more.
        drop(unsafe { std::ptr::read(&raw const *twice) });
    }
    assert!(
        !ledger.all_dropped(),
        "as many drops as there should be, and not of the same"
    );
}

#[test]
fn contexts_that_are_kept_by_nobody_are_seen() {
    let _alone = alone();
    let ledger = Ledger::default();
    quiet::look(&ledger);
    assert_eq!(ledger.verdict(), Ok(()));
    let kept: Vec<_> = (0..1_000)
        .map(|_| Context::background().with_cancel())
        .collect();
    quiet::look(&ledger);
    let seen = ledger.verdict().expect_err("a thousand nodes are kept");
    assert!(seen.contains("kept by nobody"), "{seen}");
    drop(kept);
}
