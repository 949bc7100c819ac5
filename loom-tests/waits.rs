//! Models of those who wait: wakers, blocked threads and channels against the cancel that is to tell them.

use crate::error::Error;
use crate::harness::model;
use crate::list::{assert_tidy, child, root};
use crate::raw::handle::Handle;
use crate::raw::waiting::{Sleeping, Waiting};
use crate::raw::waits::tell;
use crate::timers::{manual, move_clock, nanos, timed, turning};
use crate::tree::{cancel, cause_of};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::ptr;
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

/// That nobody has the waker any more, and that it was dropped once: `spare` lends the count that a second drop takes.
fn assert_given_back(wakes: &Arc<Counter>, spare: Arc<Counter>) {
    let held = Arc::strong_count(wakes);
    if held < 2 {
        std::mem::forget(spare);
    }
    assert!(held <= 2, "the waker is still held");
    assert!(held == 2, "the waker was dropped twice");
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
        let spare = Arc::clone(&wakes);
        drop(waker);
        let canceller = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        drop(waiting);
        canceller.join().unwrap();
        assert!(wakes.wakes.load(Ordering::Relaxed) <= 1);
        assert_given_back(&wakes, spare);
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
    model("last waiter against last handle", 3, 7, || {
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

#[test]
fn a_sleep_polled_while_it_fires_is_ready_or_woken() {
    model("sleep poll against fire", 3, 11, || {
        let (engine, timers) = manual();
        let mut sleeping = Sleeping::under(&engine, nanos(20));
        move_clock(&engine, 20);
        let firing = turning(timers);
        let (wakes, waker) = counter(None);
        sleeping.register(&waker);
        let sleeps = sleeping.result().is_none();
        firing.join().unwrap();
        let wakes = wakes.wakes.load(Ordering::Relaxed);
        assert!(!sleeps || wakes == 1, "a lost wake");
        assert!(wakes <= 1, "woken twice");
        assert_eq!(sleeping.result(), Some(Ok(())));
    });
}

#[test]
fn a_sleep_polled_while_its_context_is_cancelled_is_ready_or_woken() {
    model("sleep poll against cancel", 3, 6, || {
        let (engine, timers) = manual();
        let node = child(&engine);
        let mut sleeping = Sleeping::under(&node, nanos(20));
        let canceller = thread::spawn(move || cancel(&node));
        let (wakes, waker) = counter(None);
        sleeping.register(&waker);
        let sleeps = sleeping.result().is_none();
        canceller.join().unwrap();
        let wakes = wakes.wakes.load(Ordering::Relaxed);
        assert!(!sleeps || wakes == 1, "a lost wake");
        assert!(wakes <= 1, "woken twice");
        assert_eq!(sleeping.result(), Some(Err(Error::Canceled)));
        drop(sleeping);
        drop(timers);
    });
}

#[test]
fn a_sleep_begun_while_its_context_is_cancelled_is_done() {
    model("sleep against cancel", 3, 49, || {
        let (engine, timers) = manual();
        let node = child(&engine);
        let canceller = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        let sleeping = Sleeping::under(&node, nanos(20));
        canceller.join().unwrap();
        assert_eq!(sleeping.result(), Some(Err(Error::Canceled)));
        drop(sleeping);
        drop(timers);
    });
}

#[test]
fn a_sleep_is_woken_once_by_its_time_and_a_cancel() {
    model("sleep against fire and cancel", 3, 16, || {
        let (engine, timers) = manual();
        let node = child(&engine);
        let mut sleeping = Sleeping::under(&node, nanos(20));
        let (wakes, waker) = counter(None);
        sleeping.register(&waker);
        move_clock(&engine, 20);
        let firing = turning(timers);
        cancel(&node);
        let result = sleeping.result();
        assert!(result.is_some(), "its context is done");
        firing.join().unwrap();
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
        assert_eq!(sleeping.result(), result);
    });
}

#[test]
fn a_sleep_dropped_while_it_fires_has_given_its_waker_back() {
    model("sleep drop against fire", 3, 400, || {
        let (engine, timers) = manual();
        let mut sleeping = Sleeping::under(&engine, nanos(20));
        let (wakes, waker) = counter(None);
        sleeping.register(&waker);
        let spare = Arc::clone(&wakes);
        drop(waker);
        move_clock(&engine, 20);
        let firing = turning(timers);
        drop(sleeping);
        firing.join().unwrap();
        assert!(wakes.wakes.load(Ordering::Relaxed) <= 1);
        assert_given_back(&wakes, spare);
    });
}

#[test]
fn a_sleep_dropped_while_its_context_is_cancelled_has_given_its_waker_back() {
    model("sleep drop against cancel", 3, 50, || {
        let (engine, timers) = manual();
        let node = child(&engine);
        let mut sleeping = Sleeping::under(&node, nanos(20));
        let (wakes, waker) = counter(None);
        sleeping.register(&waker);
        let spare = Arc::clone(&wakes);
        drop(waker);
        let canceller = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        drop(sleeping);
        canceller.join().unwrap();
        assert!(wakes.wakes.load(Ordering::Relaxed) <= 1);
        assert_given_back(&wakes, spare);
        drop((node, timers));
    });
}

#[test]
fn a_blocked_thread_is_woken_by_a_deadline() {
    model("sleeper against fire", 3, 160, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 20);
        move_clock(&engine, 20);
        let firing = turning(timers);
        assert_eq!(node.wait(), Error::DeadlineExceeded);
        firing.join().unwrap();
    });
}

#[test]
fn a_deadline_fired_by_a_turn_and_by_who_waits_for_it_is_fired_once() {
    model("fire against fire by a waiter", 2, 1000, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 20);
        let below = child(&node);
        let mut waiting = Waiting::on(&node).expect("it is live");
        let (wakes, waker) = counter(Some(&below));
        waiting.register(&waker);
        move_clock(&engine, 20);
        let firing = turning(timers);
        below.fire_parent();
        assert_eq!(below.err(), Some(Error::DeadlineExceeded));
        firing.join().unwrap();
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_deadline_fired_by_who_waits_while_its_last_handle_goes_is_freed_once() {
    model("fire by a waiter against the last handle", 3, 300, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 20);
        let below = child(&node);
        move_clock(&engine, 20);
        let dropping = thread::spawn(move || drop(node));
        below.fire_parent();
        assert_eq!(below.err(), Some(Error::DeadlineExceeded));
        drop(below);
        dropping.join().unwrap();
        timers.turn();
    });
}

#[test]
fn a_waiter_installed_while_its_deadline_fires_is_refused_or_woken() {
    model("waiter install against fire", 3, 230, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 20);
        move_clock(&engine, 20);
        let firing = turning(timers);
        let (wakes, waker) = counter(None);
        let mut waiting = Waiting::on(&node);
        let sleeps = waiting.as_mut().is_some_and(|waiting| {
            waiting.register(&waker);
            waiting.err().is_none()
        });
        firing.join().unwrap();
        let wakes = wakes.wakes.load(Ordering::Relaxed);
        assert!(!sleeps || wakes == 1, "a lost wake");
        assert!(wakes <= 1, "woken twice");
    });
}

#[test]
fn a_waiter_is_woken_once_by_a_deadline_and_a_cancel() {
    model("waiter against fire and cancel", 3, 800, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 20);
        let (wakes, waker) = counter(None);
        let mut waiting = Waiting::on(&node).expect("live");
        waiting.register(&waker);
        move_clock(&engine, 20);
        let firing = turning(timers);
        cancel(&node);
        firing.join().unwrap();
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
        drop(waiting);
    });
}

#[test]
fn a_waiter_outlives_every_handle_and_is_told_by_the_deadline() {
    model("waiter alone against fire", 3, 2, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 20);
        let (wakes, waker) = counter(None);
        let mut waiting = Waiting::on(&node).expect("live");
        waiting.register(&waker);
        move_clock(&engine, 20);
        let firing = turning(timers);
        drop(node);
        firing.join().unwrap();
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
        drop(waiting);
    });
}

#[test]
fn a_sleep_that_outlasts_its_context_never_says_that_its_time_has_come() {
    model("sleep beyond its context's deadline", 3, 1, || {
        let (engine, timers) = manual();
        // The sleep takes a slot that is looked at before that of its context.
        let first = timed(&engine, 60);
        let node = timed(&engine, 20);
        drop(first);
        let sleeping = Sleeping::under(&node, nanos(60));
        move_clock(&engine, 20);
        let firing = turning(timers);
        // As a poll does: its context's own end comes first.
        let result = sleeping
            .result()
            .map(|result| node.err().map_or(result, Err));
        assert_ne!(result, Some(Ok(())), "40 ns early");
        firing.join().unwrap();
        assert!(sleeping.result().is_some() && node.is_done());
    });
}

#[test]
fn a_deadline_fired_through_a_merge_against_a_cancel_and_the_last_handles_tells_once() {
    model("fire through a merge against cancel", 2, 1_000, || {
        let (one, timers_one) = manual();
        let (two, timers_two) = manual();
        let first = child(&one);
        let second = timed(&two, 20);
        let due = second.address();
        let node = Handle::merge([&first, &second].into_iter()).expect("there are parents");
        let (wakes, waker) = counter(None);
        let mut waiting = Waiting::on(&node).expect("live");
        waiting.register(&waker);
        move_clock(&two, 20);
        drop((one, two));
        let other = thread::spawn(move || {
            cancel(&first);
            drop((first, second));
        });
        node.fire_above(due);
        assert!(node.is_done());
        drop(node);
        other.join().unwrap();
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
        drop(waiting);
        drop((timers_one, timers_two));
    });
}

#[test]
fn a_deadline_fired_through_a_merge_against_the_turn_that_it_is_due_in_tells_once() {
    model("fire through a merge against the turn", 2, 10_000, || {
        let (one, timers_one) = manual();
        let (two, timers_two) = manual();
        let first = timed(&one, 20);
        let second = timed(&two, 20);
        let due = second.address();
        let node = Handle::merge([&first, &second].into_iter()).expect("there are parents");
        let (wakes, waker) = counter(None);
        let mut waiting = Waiting::on(&node).expect("live");
        waiting.register(&waker);
        move_clock(&two, 20);
        move_clock(&one, 20);
        drop((one, two));
        drop((first, second));
        let firing = turning(timers_two);
        node.fire_above(due);
        assert_eq!(node.err(), Some(Error::DeadlineExceeded));
        drop(node);
        let (_, timers_two) = firing.join().unwrap();
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
        drop(waiting);
        drop((timers_one, timers_two));
    });
}

#[test]
fn a_deadline_fired_by_a_waiter_against_a_shutdown_ends_for_one_reason_for_good() {
    model("fire by a waiter against shutdown", 2, 1_000, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 20);
        let below = child(&node);
        let mut waiting = Waiting::on(&node).expect("live");
        let (wakes, waker) = counter(Some(&below));
        waiting.register(&waker);
        move_clock(&engine, 20);
        let stopping = thread::spawn(move || {
            timers.shut_down();
            drop(timers);
        });
        drop((node, engine));
        below.fire_parent();
        let seen = (below.err(), cause_of(&below));
        assert!(seen.0.is_some());
        stopping.join().unwrap();
        assert_eq!((below.err(), cause_of(&below)), seen);
        assert_eq!(wakes.wakes.load(Ordering::Relaxed), 1);
        drop(waiting);
    });
}

#[test]
fn a_sleep_due_at_the_instant_its_context_is_never_says_that_its_time_has_come() {
    model("sleep due with its context", 3, 1, || {
        let (engine, timers) = manual();
        let first = timed(&engine, 60);
        let node = timed(&engine, 20);
        drop(first);
        let sleeping = Sleeping::under(&node, nanos(20));
        move_clock(&engine, 20);
        let firing = turning(timers);
        let slept = sleeping.result().is_some_and(|result| result.is_ok());
        assert!(!slept || node.is_done(), "its context's end comes first");
        firing.join().unwrap();
        assert!(sleeping.result().is_some() && node.is_done());
    });
}

#[test]
fn a_sleep_due_before_its_context_in_one_turn_never_says_that_its_time_has_come() {
    model("sleep due before its context in one turn", 3, 1, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 40);
        let sleeping = Sleeping::under(&node, nanos(20));
        move_clock(&engine, 60);
        let firing = turning(timers);
        let slept = sleeping.result().is_some_and(|result| result.is_ok());
        assert!(!slept || node.is_done(), "its context's end comes first");
        firing.join().unwrap();
        assert!(sleeping.result().is_some() && node.is_done());
    });
}

#[test]
fn a_sleep_under_another_engines_deadline_keeps_its_own_time() {
    model("sleep under another engine's deadline", 3, 1, || {
        let (one, timers_one) = manual();
        let (two, timers_two) = manual();
        let (first, second) = (child(&one), timed(&two, 20));
        let node = Handle::merge([&first, &second].into_iter()).expect("there are parents");
        let sleeping = Sleeping::under(&node, nanos(60));
        move_clock(&one, 20);
        let (_, timers_one) = turning(timers_one).join().unwrap();
        assert_eq!(sleeping.result(), None, "40 ns early");
        move_clock(&one, 40);
        let firing = turning(timers_one);
        let seen = sleeping.result();
        assert!(seen.is_none() || seen == Some(Ok(())));
        firing.join().unwrap();
        assert_eq!(sleeping.result(), Some(Ok(())));
        drop((sleeping, node, first, second, one, two, timers_two));
    });
}

/// Who asks for the channel of a context that is done keeps nobody from being told of its end.
#[test]
fn a_cancel_returns_with_the_channel_disconnected_whoever_asks_for_it() {
    model("channel asked for against the telling", 3, 5, || {
        let node = root();
        let channel = node.channel().expect("it is a node");
        let other = thread::spawn({
            let node = node.clone();
            move || {
                node.channel();
            }
        });
        cancel(&node);
        assert!(channel.is_disconnected());
        other.join().unwrap();
    });
}

/// What stops an undertaker keeps no receiver from the cancel that has ended its context.
#[test]
fn a_cancel_that_ends_a_context_disconnects_its_channel_though_the_last_handle_is_going() {
    model("channel told against its last handle", 3, 100, || {
        let parent = root();
        let node = child(&parent);
        let channel = ptr::from_ref(node.channel().expect("it is a node"));
        let other = thread::spawn(move || drop(node));
        let ended = parent.cancel(None);
        let is_ended_here = ended.contexts == 2;
        tell(ended);
        if is_ended_here {
            // SAFETY: the closed list of the parent pins the node.
            assert!(unsafe { &*channel }.is_disconnected());
        }
        other.join().unwrap();
    });
}

/// Who asks for the channel of a context that is done does not wait for who is telling of its end.
#[test]
fn a_channel_asked_for_after_the_end_is_disconnected_already() {
    model("channel asked for after the end", 3, 50, || {
        let node = root();
        node.channel();
        let canceller = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        if Waiting::on(&node).is_none() {
            assert!(node.channel().expect("it is a node").is_disconnected());
        }
        canceller.join().unwrap();
    });
}
