//! Hooks are told what is created and cancelled. A binary of its own, with one test: hooks are the whole process's.

use ripcord::{Context, Engine, Error, monitor};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Clone, Default)]
struct Counts {
    created: Arc<AtomicUsize>,
    canceled: Arc<AtomicUsize>,
    expired: Arc<AtomicUsize>,
}

impl Counts {
    fn get(&self) -> (usize, usize) {
        let load = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (load(&self.created), load(&self.canceled))
    }
}

impl monitor::Hooks for Counts {
    fn created(&self) {
        self.created.fetch_add(1, Ordering::SeqCst);
    }

    fn canceled(&self, contexts: usize) {
        self.canceled.fetch_add(contexts, Ordering::SeqCst);
    }

    fn expired(&self, contexts: usize) {
        self.expired.fetch_add(contexts, Ordering::SeqCst);
    }
}

/// Takes itself away while it is called, and panics as it goes.
struct Leaves;

impl monitor::Hooks for Leaves {
    fn canceled(&self, _: usize) {
        monitor::install(None);
    }
}

impl Drop for Leaves {
    fn drop(&mut self) {
        panic!("hooks that panic in their drop");
    }
}

/// Installs others as it goes.
struct Bequeaths(Counts);

impl monitor::Hooks for Bequeaths {}

impl Drop for Bequeaths {
    fn drop(&mut self) {
        monitor::install(Some(Box::new(self.0.clone())));
    }
}

struct Panics;

impl monitor::Hooks for Panics {
    fn created(&self) {
        panic!("a hook that panics on creation");
    }

    fn canceled(&self, _: usize) {
        panic!("a hook that panics on a cancel");
    }

    fn expired(&self, _: usize) {
        panic!("a hook that panics on a deadline");
    }
}

#[test]
fn hooks_see_every_creation_and_every_end_once_and_their_panics_go_no_further() {
    let counts = Counts::default();
    let (unseen, unseen_guard) = Context::background().with_cancel();
    monitor::install(Some(Box::new(counts.clone())));

    let (root, guard) = Context::background().with_cancel();
    let (child, child_guard) = root.with_cancel();
    let (_merged, merged_guard) = Context::merge([&root, &unseen]);
    assert_eq!(counts.get(), (3, 0));

    child_guard.cancel();
    assert_eq!(counts.get(), (3, 1));
    guard.cancel();
    assert_eq!(
        counts.get(),
        (3, 3),
        "the root and the merged one; the child was done"
    );
    drop((guard, child_guard, merged_guard));
    assert_eq!(counts.get(), (3, 3), "a second cancel ends nothing");

    drop(unseen_guard);
    assert_eq!(counts.get(), (3, 4), "one that was there before the hooks");

    drop(root.with_cancel());
    assert_eq!(counts.get(), (4, 4), "born done is no cancel");

    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    let day = Duration::from_secs(86_400);
    let (timed, timed_guard) = engine.background().with_timeout(day);
    let (_below, _below_guard) = timed.with_timeout(2 * day);
    let (late, late_guard) = engine.background().with_timeout(2 * day);
    let _nap = late.sleep(day);
    clock.advance(day);
    assert_eq!(counts.expired.load(Ordering::SeqCst), 2, "no sleep");
    drop((timed_guard, late_guard));
    drop(engine.background().with_timeout(Duration::ZERO));
    clock.advance(day);
    assert_eq!(counts.expired.load(Ordering::SeqCst), 2);
    assert_eq!(counts.get(), (8, 5), "the late one was cancelled");

    let (stopped, driver) = Engine::builder().driven().expect("it needs no thread");
    let (ahead, _ahead_guard) = stopped.background().with_timeout(day);
    stopped.shutdown();
    assert_eq!(ahead.err(), Some(Error::Canceled));
    assert_eq!(driver.turn(), 0);
    assert_eq!(counts.expired.load(Ordering::SeqCst), 2, "it was not due");
    assert_eq!(counts.get(), (9, 6), "a shutdown cancels");

    monitor::install(Some(Box::new(Panics)));
    let (expires, _expires_guard) = engine.background().with_timeout(day);
    clock.advance(day);
    assert_eq!(expires.err(), Some(Error::DeadlineExceeded));
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    assert!(ctx.is_done() && child.is_done());

    let (ctx, guard) = Context::background().with_cancel();
    let told = ctx.clone();
    let waits = std::thread::spawn(move || told.wait());
    monitor::install(Some(Box::new(Leaves)));
    guard.cancel();
    assert_eq!(waits.join().expect("it is told"), Error::Canceled);

    let heir = Counts::default();
    monitor::install(Some(Box::new(Bequeaths(heir.clone()))));
    monitor::install(None);
    drop(Context::background().with_cancel());
    assert_eq!(heir.get().0, 1, "what was installed last is called");

    monitor::install(None);
    drop(Context::background().with_cancel());
    assert_eq!(counts.get(), (9, 6));
    assert_eq!(
        Arc::strong_count(&counts.created),
        1,
        "hooks are dropped when replaced"
    );
}
