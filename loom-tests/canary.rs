//! Models that must fail: were one to pass, the others would prove nothing.

use crate::harness::model;
use crate::list::{child, root};
use crate::raw::waiting::Waiting;
use crate::sync::{Alive, AtomicUsize, Ordering, UnsafeCell};
use loom::thread;
use std::sync::Arc;

struct Shared {
    flag: AtomicUsize,
    cell: UnsafeCell<usize>,
}

// SAFETY: a lie, for the canaries to be caught at.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

fn publish(order: Ordering) {
    let shared = Arc::new(Shared {
        flag: AtomicUsize::new(0),
        cell: UnsafeCell::new(0),
    });
    let writer = thread::spawn({
        let shared = Arc::clone(&shared);
        move || {
            // SAFETY: for loom to judge.
            shared.cell.with_mut(|cell| unsafe { *cell = 1 });
            shared.flag.store(1, order);
        }
    });
    if shared.flag.load(Ordering::Acquire) == 1 {
        // SAFETY: for loom to judge.
        assert_eq!(shared.cell.with(|cell| unsafe { *cell }), 1);
    }
    writer.join().unwrap();
}

#[test]
fn a_release_publishes() {
    model("canary's twin: release", 3, 2, || {
        publish(Ordering::Release)
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_relaxed_publish_is_caught() {
    model("canary: relaxed publish", 3, 1, || {
        publish(Ordering::Relaxed)
    });
}

#[test]
#[should_panic(expected = "leaked")]
fn a_leaked_node_is_caught() {
    model("canary: leaked node", 3, 1, || {
        let node = root();
        std::mem::forget(child(&node));
    });
}

#[test]
#[should_panic(expected = "used after it was freed")]
fn a_use_after_the_free_is_caught() {
    model("canary: use after free", 3, 1, || {
        let alive = Alive::new();
        alive.end();
        alive.check();
    });
}

#[test]
#[should_panic(expected = "freed twice")]
fn a_double_free_is_caught() {
    model("canary: double free", 3, 1, || {
        let alive = Alive::new();
        alive.end();
        alive.end();
    });
}

#[test]
#[should_panic(expected = "a lost wake")]
fn a_waiter_that_does_not_look_after_it_installed_is_caught() {
    model("canary: look before install", 3, 1, || {
        let node = root();
        let canceller = thread::spawn({
            let node = node.clone();
            move || crate::tree::cancel(&node)
        });
        let woken = Arc::new(Flag(AtomicUsize::new(0)));
        if let Some(mut waiting) = Waiting::on(&node) {
            let sleeps = waiting.err().is_none();
            waiting.register(&Arc::clone(&woken).into());
            canceller.join().unwrap();
            assert!(
                !sleeps || woken.0.load(Ordering::Relaxed) == 1,
                "a lost wake"
            );
        } else {
            canceller.join().unwrap();
        }
    });
}

struct Flag(AtomicUsize);

impl std::task::Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(1, Ordering::Relaxed);
    }
}

#[test]
#[should_panic(expected = "interleavings")]
fn a_model_with_nothing_to_interleave_is_caught() {
    model("canary: nothing explored", 3, 2, || drop(root()));
}

#[test]
#[should_panic(expected = "the other was first")]
fn an_order_that_loom_leaves_out_is_explored() {
    model("canary: an order left out", 2, 1, || {
        let flag = Arc::new(AtomicUsize::new(0));
        // Loom tries every thread at the first access of all: that is not to be the one looked at.
        flag.fetch_add(1, Ordering::Relaxed);
        let change = |flag: &AtomicUsize| {
            let seen = flag.load(Ordering::Relaxed);
            flag.fetch_add(1, Ordering::Relaxed);
            seen
        };
        let other = thread::spawn({
            let flag = Arc::clone(&flag);
            move || change(&flag)
        });
        assert_eq!(change(&flag), 1, "the other was first");
        other.join().unwrap();
    });
}
