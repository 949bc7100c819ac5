//! Models of those who wait: wakers, blocked threads and channels against the cancel that is to tell them.

use crate::harness::model;
use crate::list::{assert_tidy, child, root};
use crate::raw::handle::Handle;
use crate::raw::waiting::Waiting;
use crate::raw::waits::tell;
use crate::tree::cancel;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::sync::Arc;
use std::task::{Wake, Waker};

/// Counts wakes, and looks at a context while it is woken.
struct Counter {
    wakes: AtomicUsize,
    looks_at: Option<Handle>,
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        if let Some(node) = &self.looks_at {
            assert!(node.is_done(), "woken before all was marked");
        }
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

fn counter(looks_at: Option<&Handle>) -> (Arc<Counter>, Waker) {
    let counter = Arc::new(Counter {
        wakes: AtomicUsize::new(0),
        looks_at: looks_at.cloned(),
    });
    (Arc::clone(&counter), Waker::from(counter))
}

#[test]
fn a_waiter_installed_during_a_cancel_is_refused_or_woken() {
    model("waiter install against cancel", 3, 100, || {
        let node = root();
        let canceller = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        let (wakes, waker) = counter(None);
        let mut waiting = Waiting::on(&node);
        let sleeps = waiting.as_mut().is_some_and(|waiting| {
            waiting.register(&waker);
            waiting.err().is_none()
        });
        canceller.join().unwrap();
        let wakes = wakes.wakes.load(Ordering::Relaxed);
        if sleeps {
            assert_eq!(wakes, 1, "a lost wake");
        }
        assert!(wakes <= 1);
    });
}

#[test]
fn a_waker_changed_during_a_cancel_leaves_the_new_one_woken() {
    model("waker change against cancel", 3, 20, || {
        let node = root();
        let mut waiting = Waiting::on(&node).expect("live");
        let (old_wakes, old) = counter(None);
        waiting.register(&old);
        let canceller = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        let (new_wakes, new) = counter(None);
        waiting.register(&new);
        let sleeps = waiting.err().is_none();
        canceller.join().unwrap();
        let new_wakes = new_wakes.wakes.load(Ordering::Relaxed);
        let old_wakes = old_wakes.wakes.load(Ordering::Relaxed);
        assert!(!sleeps || new_wakes == 1, "a lost wake");
        assert!(new_wakes + old_wakes <= 1, "woken twice");
    });
}

#[test]
fn a_waiter_dropped_during_a_cancel_has_given_its_waker_back() {
    model("waiter drop against cancel", 3, 20, || {
        let node = root();
        let (wakes, waker) = counter(None);
        let mut waiting = Waiting::on(&node).expect("live");
        waiting.register(&waker);
        drop(waker);
        let canceller = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        drop(waiting);
        canceller.join().unwrap();
        assert!(wakes.wakes.load(Ordering::Relaxed) <= 1);
        assert_eq!(Arc::strong_count(&wakes), 1, "the waker is still held");
    });
}

#[test]
fn a_waiter_is_woken_once_by_overlapping_cancels() {
    model("waiter against two cancels", 3, 500, || {
        let top = root();
        let node = child(&top);
        let (wakes, waker) = counter(None);
        let mut waiting = Waiting::on(&node).expect("live");
        waiting.register(&waker);
        let other = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        cancel(&top);
        other.join().unwrap();
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
        drop(waiting);
    });
}

#[test]
fn a_woken_waiter_sees_no_live_descendant() {
    model("wake after all marks", 3, 60, || {
        let top = root();
        let middle = child(&top);
        let leaf = child(&middle);
        let (wakes, waker) = counter(Some(&leaf));
        let mut waiting = Waiting::on(&top).expect("live");
        waiting.register(&waker);
        let other = thread::spawn({
            let leaf = leaf.clone();
            move || drop(child(&leaf))
        });
        cancel(&top);
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
        other.join().unwrap();
        drop(waiting);
        drop(middle);
    });
}

#[test]
fn a_waiter_outlives_every_handle_and_is_told_by_the_parent() {
    model("waiter alone against the parent's cancel", 3, 40, || {
        let top = root();
        let node = child(&top);
        let (wakes, waker) = counter(None);
        let mut waiting = Waiting::on(&node).expect("live");
        waiting.register(&waker);
        let other = thread::spawn(move || drop(node));
        cancel(&top);
        other.join().unwrap();
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
        assert!(waiting.err().is_some());
        drop(waiting);
    });
}

#[test]
fn a_blocked_thread_is_woken() {
    model("sleeper against cancel", 3, 7, || {
        let top = root();
        let node = child(&top);
        let sleeper = thread::spawn({
            let node = node.clone();
            move || node.wait()
        });
        cancel(&top);
        let _ = sleeper.join().unwrap();
    });
}

#[test]
fn a_channel_made_during_a_cancel_is_disconnected_once() {
    model("channel against cancel", 3, 8_000, || {
        let node = root();
        let canceller = thread::spawn({
            let node = node.clone();
            move || tell(node.cancel(None))
        });
        let other = thread::spawn({
            let node = node.clone();
            move || {
                node.channel();
            }
        });
        node.channel();
        canceller.join().unwrap();
        other.join().unwrap();
        assert!(node.channel().expect("it is a node").is_disconnected());
    });
}

#[test]
fn a_waiter_dropped_last_ends_its_node() {
    model("last waiter against last handle", 3, 20, || {
        let top = root();
        let node = child(&top);
        let waiting = Waiting::on(&node).expect("live");
        let other = thread::spawn(move || drop(waiting));
        drop(node);
        other.join().unwrap();
        assert_tidy(&top);
    });
}

#[test]
fn a_channel_got_during_a_cancel_is_disconnected() {
    model("channel got against cancel", 3, 5, || {
        let node = root();
        let canceller = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        // Asked for once only: each further call would disconnect it anew.
        let channel = node.channel().expect("it is a node");
        canceller.join().unwrap();
        assert!(channel.is_disconnected());
    });
}

#[test]
fn two_who_ask_for_a_channel_at_once_get_one_that_is_made() {
    model("channel against channel", 3, 20, || {
        let node = root();
        let connected = |node: &Handle| !node.channel().expect("it is a node").is_disconnected();
        let other = thread::spawn({
            let node = node.clone();
            move || assert!(connected(&node))
        });
        assert!(connected(&node));
        other.join().unwrap();
    });
}
