//! Models of deadlines: arming, firing and dropping against each other, and against the sleep of whoever serves them.
//!
//! Loom has no time. Most models move a manual engine's clock first and then see who gets to what is due.

use crate::cause::Cause;
use crate::error::Error;
use crate::harness::{large_model, model, model_with_reuse};
use crate::list::child;
use crate::raw::engine::Timers;
use crate::raw::handle::Handle;
use crate::raw::parker::Parker;
use crate::raw::time::Time;
use crate::raw::timers::Due;
use crate::raw::turn::{tidy, turn};
use crate::sync::{futex, let_time_pass};
use crate::tree::{cancel_with, cause_of};
use crate::{local, sync, tuning};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

pub(crate) fn manual() -> (Handle, Timers) {
    Handle::manual(|_, _, _| ())
}

/// With one handle.
pub(crate) fn timed(under: &Handle, after: u64) -> Handle {
    under.derive_timed(Due::After(nanos(after)), 0).0
}

fn timed_with(under: &Handle, after: u64, cause: &str) -> Handle {
    let due = Due::After(nanos(after));
    under.derive_timed_cause(due, Cause::msg(cause), 0).0
}

/// Moves the clock and fires nothing.
pub(crate) fn move_clock(engine: &Handle, by: u64) {
    engine.core().move_clock(nanos(by));
}

/// Moves the machine's clock.
fn pass_time(by: u64) {
    let_time_pass(nanos(by));
    let parker = Parker::new();
    parker.sleep(parker.announce(), Time::now().after(nanos(by)));
}

/// A thread that takes a turn, and its timers back.
pub(crate) fn turning(timers: Timers) -> thread::JoinHandle<(usize, Timers)> {
    thread::spawn(move || (timers.turn(), timers))
}

/// An engine with a thread, and what is to run on that.
fn threaded() -> (Handle, impl FnOnce() + Send) {
    let engine = Handle::threaded("model", |_, _, _| ()).expect("nothing is started");
    (engine, sync::spawned().expect("it was to be started"))
}

/// An engine whose loop is told to look again, and how often it was.
fn driven() -> (Handle, Timers, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let wake = {
        let wakes = Arc::clone(&wakes);
        move || {
            if !IS_STOPPED.with(Cell::get) {
                wakes.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let (engine, timers) = Handle::driven(Some(Box::new(wake)), |_, _, _| ());
    (engine, timers, wakes)
}

loom::thread_local! {
    /// The calling thread has been stopped just before it wakes the loop.
    static IS_STOPPED: Cell<bool> = Cell::new(false);
}

#[test]
fn an_arm_while_the_timer_thread_goes_to_sleep_is_not_slept_past() {
    model("arm against sleep", 3, 5_000, || {
        let (engine, serve) = threaded();
        let_time_pass(nanos(20));
        let server = thread::spawn(serve);
        let node = timed(&engine, 20);
        assert_eq!(node.wait(), Error::DeadlineExceeded);
        drop((node, engine));
        server.join().unwrap();
    });
}

/// Of one more than the first segment has slots for.
fn arm_beyond_a_segment_against_sleep() {
    let (engine, serve) = threaded();
    let_time_pass(nanos(20));
    let later = [timed(&engine, 60), timed(&engine, 60)];
    let server = thread::spawn(serve);
    let node = timed(&engine, 20);
    assert_eq!(node.wait(), Error::DeadlineExceeded);
    drop((node, later, engine));
    server.join().unwrap();
}

#[test]
fn an_arm_that_finds_no_slot_while_the_timer_thread_goes_to_sleep_is_not_slept_past() {
    model("spilled arm against sleep", 2, 5_000, || {
        arm_beyond_a_segment_against_sleep();
    });
}

#[test]
fn an_arm_that_makes_a_segment_while_the_timer_thread_goes_to_sleep_is_not_slept_past() {
    model("arm in a new segment against sleep", 2, 600, || {
        tuning::grow();
        arm_beyond_a_segment_against_sleep();
    });
}

#[test]
fn an_earlier_arm_wakes_a_timer_thread_that_sleeps_until_a_later_one() {
    model("earlier arm against sleep", 2, 590, || {
        let (engine, serve) = threaded();
        let_time_pass(nanos(20));
        let later = timed(&engine, 60);
        let server = thread::spawn(serve);
        let node = timed(&engine, 20);
        assert_eq!(node.wait(), Error::DeadlineExceeded);
        drop((node, later, engine));
        server.join().unwrap();
    });
}

#[test]
fn a_later_arm_does_not_rely_on_the_wake_of_an_earlier_one() {
    model("arm against a stopped arm", 2, 250, || {
        let (engine, timers, wakes) = driven();
        assert_eq!(timers.next_timeout(), None);
        let other = thread::spawn({
            let engine = engine.clone();
            move || {
                IS_STOPPED.with(|is_stopped| is_stopped.set(true));
                timed(&engine, 20)
            }
        });
        let node = timed(&engine, 30);
        assert_eq!(wakes.load(Ordering::Relaxed), 1, "a lost wake");
        let first = other.join().unwrap();
        drop((node, first));
    });
}

#[test]
fn a_wake_does_not_rely_on_one_that_was_stopped_before_its_system_call() {
    model("wake against a stopped wake", 3, 530, || {
        let shared = Arc::new((Parker::new(), AtomicUsize::new(0)));
        let sleeper = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (parker, changed) = &*shared;
                while changed.load(Ordering::Relaxed) == 0 {
                    let announced = parker.announce();
                    if changed.load(Ordering::Relaxed) == 0 {
                        parker.sleep(announced, Time::NEVER);
                    } else {
                        parker.rise();
                    }
                }
            }
        });
        let other = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                futex::stop_before_the_kernel();
                shared.0.wake();
            }
        });
        shared.1.store(1, Ordering::Relaxed);
        shared.0.wake();
        sleeper.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_turn_of_another_thread_hides_no_deadline_from_the_loop() {
    model("next timeout against a turn", 3, 10, || {
        let (engine, timers, wakes) = driven();
        let node = timed(&engine, 8);
        let other = thread::spawn({
            let engine = engine.clone();
            move || turn(engine.core())
        });
        let timeout = timers.next_timeout();
        other.join().unwrap();
        assert!(
            timeout.is_some_and(|timeout| timeout <= nanos(8)) || wakes.load(Ordering::Relaxed) > 0,
            "the loop sleeps past a deadline"
        );
        drop(node);
    });
}

#[test]
fn an_arm_wakes_the_loop_though_another_thread_takes_a_turn() {
    model("arm against a turn", 3, 5, || {
        let (engine, timers, wakes) = driven();
        assert_eq!(timers.next_timeout(), None);
        let other = turning(timers);
        let node = timed(&engine, 30);
        assert!(wakes.load(Ordering::Relaxed) > 0, "a lost wake");
        other.join().unwrap();
        drop(node);
    });
}

#[test]
fn a_node_dropped_while_it_fires_is_freed_once() {
    model("drop against fire", 3, 90, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 20);
        move_clock(&engine, 20);
        let other = turning(timers);
        drop(node);
        other.join().unwrap();
    });
}

#[test]
fn a_node_dropped_in_the_wheel_while_it_fires_is_freed_once() {
    model("drop in the wheel against fire", 3, 150, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 8);
        timers.turn();
        move_clock(&engine, 20);
        let other = turning(timers);
        drop(node);
        other.join().unwrap();
    });
}

#[test]
fn a_node_that_found_no_slot_dropped_while_it_fires_is_freed_once() {
    model("drop of a spilled one against fire", 3, 300, || {
        let (engine, timers) = manual();
        let nodes = [timed(&engine, 60), timed(&engine, 60)];
        let node = timed(&engine, 20);
        move_clock(&engine, 20);
        let other = turning(timers);
        drop(node);
        other.join().unwrap();
        drop(nodes);
    });
}

/// Ended by its deadline or by a cancel: `err` and `cause` say the same, and nothing below it says otherwise.
fn assert_agrees(node: &Handle) {
    let expected = match node.err().expect("done") {
        Error::DeadlineExceeded => "too late",
        Error::Canceled => "given",
    };
    assert_eq!(cause_of(node).as_deref(), Some(expected));
}

#[test]
fn a_fire_against_a_cancel_leaves_one_cause_for_good() {
    model("fire against cancel", 3, 5_930, || {
        let (engine, timers) = manual();
        let node = timed_with(&engine, 20, "too late");
        let leaf = child(&node);
        move_clock(&engine, 20);
        let other = thread::spawn({
            let (node, leaf) = (node.clone(), leaf.clone());
            move || {
                timers.turn();
                assert_agrees(&node);
                assert!(leaf.is_done(), "fired, and not all below it");
                timers
            }
        });
        cancel_with(&node, "given");
        assert!(leaf.is_done(), "cancelled, and not all below it");
        assert_agrees(&node);
        let err = node.err();
        other.join().unwrap();
        assert_eq!((node.err(), leaf.err()), (err, err));
        assert_agrees(&leaf);
    });
}

#[test]
fn a_fire_against_the_parents_cancel_leaves_one_cause_for_good() {
    model("fire against the parent's cancel", 2, 401, || {
        let (engine, timers) = manual();
        let parent = child(&engine);
        let node = timed_with(&parent, 20, "too late");
        let leaf = child(&node);
        move_clock(&engine, 20);
        let other = turning(timers);
        cancel_with(&parent, "given");
        assert!(leaf.is_done(), "cancelled, and not all below it");
        assert_agrees(&leaf);
        other.join().unwrap();
        assert_agrees(&node);
        assert_eq!(leaf.err(), node.err());
    });
}

#[test]
fn a_fire_against_the_parents_cancel_and_the_last_handle_frees_once() {
    model("fire against cancel against drop", 2, 2_000, || {
        let (engine, timers) = manual();
        let parent = child(&engine);
        let node = timed(&parent, 20);
        move_clock(&engine, 20);
        let firing = turning(timers);
        let canceller = thread::spawn(move || crate::tree::cancel(&parent));
        drop(node);
        firing.join().unwrap();
        canceller.join().unwrap();
    });
}

#[test]
fn a_fire_and_two_drops_end_the_parent_once() {
    model("fire against parent and child", 2, 34_000, || {
        let (engine, timers) = manual();
        let parent = timed(&engine, 30);
        let node = timed(&parent, 20);
        move_clock(&engine, 30);
        let firing = turning(timers);
        let dropper = thread::spawn(move || drop(parent));
        drop(node);
        firing.join().unwrap();
        dropper.join().unwrap();
    });
}

#[test]
fn an_arm_while_its_stripe_is_collected_is_not_lost() {
    model("arm against collection", 3, 20, || {
        let (engine, timers) = manual();
        let due = timed(&engine, 5);
        move_clock(&engine, 5);
        let other = turning(timers);
        let node = timed(&engine, 30);
        let (_, timers) = other.join().unwrap();
        assert!(due.is_done() && !node.is_done());
        let told = timers.next_timeout();
        assert!(told.is_some_and(|told| told <= nanos(30)), "slept past");
        timers.advance(nanos(30));
        assert!(node.is_done(), "a deadline was lost");
    });
}

#[test]
fn a_near_arm_while_its_stripe_is_collected_is_not_lost() {
    model("near arm against collection", 3, 18, || {
        let (engine, timers) = manual();
        let due = timed(&engine, 5);
        move_clock(&engine, 5);
        let other = turning(timers);
        let node = timed(&engine, 8);
        let (_, timers) = other.join().unwrap();
        assert!(due.is_done() && !node.is_done());
        timers.advance(nanos(8));
        assert!(node.is_done(), "a deadline was lost");
    });
}

#[test]
fn an_arm_that_finds_no_slot_while_its_stripe_is_collected_is_not_lost() {
    model("spilled arm against collection", 3, 158, || {
        let (engine, timers) = manual();
        let [due, later] = [timed(&engine, 5), timed(&engine, 60)];
        move_clock(&engine, 5);
        let other = turning(timers);
        let node = timed(&engine, 30);
        let (_, timers) = other.join().unwrap();
        assert!(due.is_done() && !node.is_done());
        timers.advance(nanos(30));
        assert!(node.is_done(), "a deadline was lost");
        drop(later);
    });
}

/// So far ahead, beside a turn and in a segment that it makes.
fn arm_in_a_new_segment(after: u64) {
    tuning::grow();
    let (engine, timers) = manual();
    let [due, later] = [timed(&engine, 5), timed(&engine, 60)];
    move_clock(&engine, 5);
    let other = turning(timers);
    let node = timed(&engine, after);
    let (_, timers) = other.join().unwrap();
    assert!(due.is_done() && !node.is_done());
    let told = timers.next_timeout();
    assert!(told.is_some_and(|told| told <= nanos(after)), "slept past");
    timers.advance(nanos(after));
    assert!(node.is_done() && !later.is_done(), "a deadline was lost");
    timers.advance(nanos(60));
    assert!(later.is_done(), "a deadline was lost");
}

#[test]
fn an_arm_that_makes_a_segment_while_its_stripe_is_collected_is_not_lost() {
    model("arm in a new segment against collection", 3, 10, || {
        arm_in_a_new_segment(30);
    });
}

#[test]
fn a_near_arm_that_makes_a_segment_while_its_stripe_is_collected_is_not_lost() {
    model(
        "near arm in a new segment against collection",
        3,
        10,
        || {
            arm_in_a_new_segment(8);
        },
    );
}

/// So far ahead, in a slot that is empty and still marked.
fn arm_at_a_left_mark(after: u64) {
    let (engine, timers) = manual();
    let [due, gone] = [timed(&engine, 5), timed(&engine, 60)];
    // Its slot is the next to be filled.
    drop(gone);
    move_clock(&engine, 5);
    let other = turning(timers);
    let node = timed(&engine, after);
    let (_, timers) = other.join().unwrap();
    assert!(due.is_done() && !node.is_done());
    timers.advance(nanos(after));
    assert!(node.is_done(), "a deadline was lost");
}

#[test]
fn an_arm_while_the_mark_of_its_empty_slot_is_cleared_is_not_missed() {
    model("arm at a left mark against collection", 3, 70, || {
        arm_at_a_left_mark(30);
    });
}

#[test]
fn a_near_arm_while_the_mark_of_its_empty_slot_is_cleared_is_not_missed() {
    model("near arm at a left mark against collection", 3, 27, || {
        arm_at_a_left_mark(8);
    });
}

#[test]
fn an_arm_while_the_marks_of_what_is_left_are_put_back_is_not_missed() {
    model("arm against marks that are put back", 3, 158, || {
        let (engine, timers) = manual();
        let [far, due] = [timed(&engine, 60), timed(&engine, 5)];
        move_clock(&engine, 5);
        let other = turning(timers);
        let node = timed(&engine, 30);
        let (_, timers) = other.join().unwrap();
        assert!(due.is_done() && !node.is_done() && !far.is_done());
        timers.advance(nanos(30));
        assert!(node.is_done(), "a deadline was lost");
        timers.advance(nanos(25));
        assert!(far.is_done(), "a deadline that was left was lost");
    });
}

#[test]
fn a_slot_reused_during_a_collection_loses_no_near_deadline() {
    model_with_reuse("reuse by a nearer one against collection", 3, 80, || {
        let (engine, timers) = manual();
        let due = timed(&engine, 5);
        let far = timed(&engine, 60);
        move_clock(&engine, 5);
        let other = turning(timers);
        drop(far);
        let node = timed(&engine, 8);
        let (_, timers) = other.join().unwrap();
        assert!(due.is_done() && !node.is_done());
        timers.advance(nanos(8));
        assert!(node.is_done(), "a deadline was lost");
    });
}

#[test]
fn a_slot_reused_during_a_collection_fires_no_far_deadline() {
    model("reuse by a later one against collection", 3, 437, || {
        let (engine, timers) = manual();
        let due = timed(&engine, 5);
        move_clock(&engine, 5);
        let other = turning(timers);
        drop(due);
        let node = timed(&engine, 60);
        let (_, timers) = other.join().unwrap();
        assert!(!node.is_done(), "fired early");
        timers.advance(nanos(60));
        assert!(node.is_done(), "a deadline was lost");
    });
}

#[test]
fn a_slot_that_holds_the_same_word_again_during_a_collection_holds_another_node() {
    model_with_reuse("reuse at the same tick against collection", 3, 66, || {
        let (engine, timers) = manual();
        let first = timed(&engine, 8);
        let other = turning(timers);
        drop(first);
        let node = timed(&engine, 8);
        let (_, timers) = other.join().unwrap();
        timers.advance(nanos(7));
        assert!(!node.is_done(), "fired early");
        timers.advance(nanos(1));
        assert!(node.is_done(), "a deadline was lost");
    });
}

/// A thread that arms one so far ahead.
fn arming(engine: &Handle, after: u64) -> thread::JoinHandle<Handle> {
    let engine = engine.clone();
    thread::spawn(move || timed(&engine, after))
}

fn two_arms_are_both_kept(engine: &Handle, timers: &Timers) {
    let other = arming(engine, 20);
    let nodes = [timed(engine, 30), other.join().unwrap()];
    timers.advance(nanos(30));
    assert!(nodes.iter().all(Handle::is_done), "a deadline was lost");
}

#[test]
fn two_arms_at_once_on_one_stripe_are_both_kept() {
    model("arm against arm", 2, 250, || {
        let (engine, timers) = manual();
        two_arms_are_both_kept(&engine, &timers);
    });
}

#[test]
fn two_arms_that_make_a_segment_at_once_are_both_kept() {
    model("arm against arm in a new segment", 2, 250, || {
        tuning::grow();
        let (engine, timers) = manual();
        let full = [timed(&engine, 60), timed(&engine, 60)];
        two_arms_are_both_kept(&engine, &timers);
        timers.advance(nanos(30));
        assert!(full.iter().all(Handle::is_done), "a deadline was lost");
    });
}

#[test]
fn an_arm_in_a_segment_that_another_thread_makes_is_kept() {
    model("arm against the making of its segment", 1, 100, || {
        tuning::grow();
        let (engine, timers) = manual();
        let full = [timed(&engine, 60), timed(&engine, 60)];
        let other = arming(&engine, 20);
        let turned = turning(timers);
        let node = timed(&engine, 8);
        let other = other.join().unwrap();
        let (_, timers) = turned.join().unwrap();
        timers.advance(nanos(8));
        assert!(node.is_done() && !other.is_done(), "a deadline was lost");
        timers.advance(nanos(12));
        assert!(other.is_done(), "a deadline was lost");
        drop(full);
    });
}

#[test]
fn a_node_dropped_while_the_wheel_is_swept_is_freed_once() {
    model("drop against sweep", 3, 35, || {
        let (engine, timers) = manual();
        let [first, second] = [timed(&engine, 8), timed(&engine, 8)];
        let kept = timed(&engine, 9);
        timers.turn();
        drop(first);
        let sweeper = thread::spawn({
            let engine = engine.clone();
            move || tidy(engine.core())
        });
        drop(second);
        tidy(engine.core());
        sweeper.join().unwrap();
        timers.advance(nanos(9));
        assert!(kept.is_done(), "a deadline was lost");
    });
}

#[test]
fn what_is_dropped_out_of_a_slot_of_the_wheel_leaves_those_beside_it_to_fire() {
    // The last to be put in is the first in the slot.
    for (which, name) in ["last", "midst", "first"].into_iter().enumerate() {
        model(&format!("drop of the {name} of a slot"), 3, 20, move || {
            let (engine, timers) = manual();
            let mut nodes = Vec::new();
            for _ in 0..3 {
                nodes.push(timed(&engine, 8));
                timers.turn();
            }
            let other = turning(timers);
            drop(nodes.remove(which));
            let (_, timers) = other.join().unwrap();
            // Of what is left, the one behind.
            drop(nodes.remove(0));
            timers.advance(nanos(7));
            assert!(!nodes.iter().any(Handle::is_done), "fired early");
            timers.advance(nanos(1));
            assert!(nodes.iter().all(Handle::is_done), "a deadline was lost");
        });
    }
}

#[test]
fn a_node_that_found_no_slot_dropped_while_another_thread_empties_the_inbox_is_freed_once() {
    model("drop of a spilled one against collection", 3, 100, || {
        let (engine, timers) = manual();
        let nodes = [timed(&engine, 60), timed(&engine, 60)];
        let node = timed(&engine, 60);
        let other = turning(timers);
        drop(node);
        let (_, timers) = other.join().unwrap();
        timers.advance(nanos(60));
        assert!(nodes.iter().all(Handle::is_done), "a deadline was lost");
    });
}

#[test]
fn a_node_that_found_no_slot_dropped_while_the_wheel_is_swept_is_freed_once() {
    model("drop of a spilled one against sweep", 2, 200, || {
        let (engine, timers) = manual();
        let in_wheel = timed(&engine, 8);
        timers.turn();
        let nodes = [timed(&engine, 60), timed(&engine, 60)];
        let other = thread::spawn(move || drop(in_wheel));
        // Nobody is to wait for its time.
        drop(timed(&engine, 90));
        other.join().unwrap();
        timers.advance(nanos(60));
        assert!(nodes.iter().all(Handle::is_done), "a deadline was lost");
    });
}

#[test]
fn a_node_dropped_while_another_thread_moves_it_to_the_wheel_is_freed_once() {
    model("drop against collection", 3, 17, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 8);
        let other = turning(timers);
        drop(node);
        other.join().unwrap();
    });
}

#[test]
fn a_node_of_a_second_segment_dropped_while_another_thread_moves_it_to_the_wheel_is_freed_once() {
    model(
        "drop out of a second segment against collection",
        3,
        17,
        || {
            tuning::grow();
            let (engine, timers) = manual();
            let full = [timed(&engine, 60), timed(&engine, 60)];
            let node = timed(&engine, 8);
            let other = turning(timers);
            drop(node);
            let (_, timers) = other.join().unwrap();
            timers.advance(nanos(60));
            assert!(full.iter().all(Handle::is_done), "a deadline was lost");
        },
    );
}

fn assert_stopped(node: &Handle) {
    assert_eq!(node.err(), Some(Error::Canceled), "left behind");
    assert_eq!(cause_of(node), Some(Cause::ENGINE_STOPPED.to_string()));
}

#[test]
fn an_arm_during_a_shutdown_is_ended() {
    model("arm against shutdown", 3, 120, || {
        let (engine, timers) = Handle::driven(None, |_, _, _| ());
        let other = thread::spawn(move || {
            timers.shut_down();
            timers
        });
        let node = timed(&engine, 30);
        other.join().unwrap();
        assert_stopped(&node);
    });
}

#[test]
fn an_arm_during_a_shutdown_on_another_stripe_is_ended() {
    model("arm on a second stripe against shutdown", 3, 120, || {
        let (engine, timers) = Handle::driven(None, |_, _, _| ());
        let other = thread::spawn(move || {
            timers.shut_down();
            timers
        });
        local::set_index(1);
        let node = timed(&engine, 30);
        other.join().unwrap();
        assert_stopped(&node);
    });
}

#[test]
fn an_arm_that_makes_a_segment_during_a_shutdown_is_ended() {
    model("arm in a new segment against shutdown", 3, 120, || {
        tuning::grow();
        let (engine, timers) = Handle::driven(None, |_, _, _| ());
        let full = [timed(&engine, 60), timed(&engine, 60)];
        let other = thread::spawn(move || {
            timers.shut_down();
            timers
        });
        let node = timed(&engine, 30);
        other.join().unwrap();
        assert_stopped(&node);
        full.iter().for_each(assert_stopped);
    });
}

#[test]
fn a_shutdown_during_a_turn_ends_what_is_not_due_as_stopped() {
    model("shutdown against turn", 3, 24, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 30);
        let other = turning(timers);
        engine.shut_down();
        other.join().unwrap();
        assert_stopped(&node);
    });
}

#[test]
fn a_shutdown_against_the_thread_that_serves_ends_what_is_armed_and_the_thread() {
    large_model("shutdown against serve", 3, 150, || {
        let (engine, serve) = threaded();
        let node = timed(&engine, 30);
        let server = thread::spawn(serve);
        engine.shut_down();
        server.join().unwrap();
        assert_stopped(&node);
    });
}

#[test]
fn an_engine_whose_last_context_goes_ends_its_thread_and_frees_what_was_abandoned() {
    model("last context against serve", 3, 41, || {
        let (engine, serve) = threaded();
        let node = timed(&engine, 8);
        turn(engine.core());
        drop(node);
        let server = thread::spawn(serve);
        drop(engine);
        server.join().unwrap();
    });
}

#[test]
fn the_last_context_against_the_last_of_the_timers_frees_them_once() {
    model("last context against the last of the timers", 3, 3, || {
        // Whose loop is told, and does not come.
        let (engine, timers, _) = driven();
        let node = timed(&engine, 8);
        timers.turn();
        let other = thread::spawn(move || drop(timers));
        drop(node);
        drop(engine);
        other.join().unwrap();
    });
}

#[test]
fn an_arm_while_the_clock_moves_past_it_is_fired_by_one_of_both() {
    model("arm against advance", 3, 62, || {
        let (engine, timers) = manual();
        let other = thread::spawn(move || {
            timers.advance(nanos(20));
            timers
        });
        let node = timed(&engine, 20);
        let timers = other.join().unwrap();
        // It may have been armed after the clock was moved.
        if !node.is_done() {
            timers.advance(nanos(19));
            assert!(!node.is_done(), "fired early");
            timers.advance(nanos(1));
        }
        assert!(node.is_done(), "a deadline was lost");
    });
}

#[test]
fn an_instant_armed_while_the_clock_moves_past_it_is_fired_by_one_of_both() {
    model("arm at an instant against advance", 3, 62, || {
        let (engine, timers) = manual();
        let due = Due::At(timers.now().after(nanos(20)));
        let other = thread::spawn(move || {
            timers.advance(nanos(20));
            timers
        });
        let (node, _) = engine.derive_timed(due, 0);
        other.join().unwrap();
        assert!(node.is_done(), "a deadline was lost");
    });
}

#[test]
fn an_arm_while_the_clock_moves_far_past_it_is_fired_by_one_of_both() {
    model("arm against a far advance", 3, 70, || {
        let (engine, timers) = manual();
        // Three quarters of where ticks wrap around: what was due then looks as if it were ahead.
        let far = nanos(3 << 20);
        // Sees to it that the stripe is collected, whatever else is in it.
        let first = timed(&engine, 10);
        let due = Due::At(timers.now().after(nanos(20)));
        let other = thread::spawn(move || {
            timers.advance(far);
            timers
        });
        let (node, _) = engine.derive_timed(due, 0);
        other.join().unwrap();
        assert!(first.is_done() && node.is_done(), "a deadline was lost");
    });
}

#[test]
fn what_is_due_is_fired_once_by_two_who_take_a_turn_at_once() {
    model("turn against turn", 3, 43, || {
        let (engine, timers) = manual();
        let node = timed(&engine, 20);
        let other = thread::spawn({
            let engine = engine.clone();
            move || {
                move_clock(&engine, 10);
                turn(engine.core())
            }
        });
        move_clock(&engine, 10);
        let fired = timers.turn() + other.join().unwrap();
        assert!(node.is_done(), "a deadline was lost");
        assert_eq!(fired, 1);
    });
}

#[test]
fn an_engine_reached_again_after_its_last_handle_ends_once() {
    model("last handle against an engine reached again", 3, 10, || {
        let (engine, timers) = manual();
        let node = child(&engine);
        drop(engine);
        let other = thread::spawn({
            let node = node.clone();
            move || {
                let again = node.engine_root();
                drop(node);
                drop(child(&again));
            }
        });
        let again = node.engine_root();
        drop(node);
        other.join().unwrap();
        assert!(!timed(&again, 20).is_done(), "stopped with a root left");
        drop(again);
        drop(timers);
    });
}

/// What stays in the nursery is not to be seen in the middle of a collection, and so twice in a row.
#[test]
fn an_arm_and_a_turn_between_two_looks_hide_no_deadline_from_the_loop() {
    model("next timeout against an arm and a turn", 3, 20, || {
        let (engine, timers, wakes) = driven();
        let other = thread::spawn({
            let engine = engine.clone();
            move || {
                let node = timed(&engine, 8);
                turn(engine.core());
                node
            }
        });
        let told = timers.next_timeout();
        let node = other.join().unwrap();
        assert!(
            told.is_some_and(|told| told <= nanos(8)) || wakes.load(Ordering::Relaxed) > 0,
            "the loop sleeps past a deadline: told {told:?}"
        );
        drop(node);
    });
}

#[test]
fn two_turns_hide_no_deadline_from_the_loop() {
    model("next timeout against two turns", 2, 100, || {
        let (engine, timers, wakes) = driven();
        let far = timed(&engine, 40);
        drop(timed(&engine, 8));
        let other = thread::spawn({
            let engine = engine.clone();
            move || {
                turn(engine.core());
                drop(timed(&engine, 8));
                turn(engine.core());
            }
        });
        let told = timers.next_timeout();
        other.join().unwrap();
        assert!(
            told.is_some_and(|told| told <= nanos(40)) || wakes.load(Ordering::Relaxed) > 0,
            "the loop sleeps past a deadline: told {told:?}"
        );
        drop(far);
    });
}

/// Of a loop that was told to look, and does not come.
#[test]
fn two_drops_that_sweep_at_once_fire_nothing() {
    model("sweep against sweep of a loop's timers", 2, 300, || {
        let (engine, timers, _wakes) = driven();
        let [first, second, third] = [timed(&engine, 8), timed(&engine, 8), timed(&engine, 8)];
        timers.turn();
        drop(first);
        let due = timed(&engine, 20);
        pass_time(20);
        let other = thread::spawn(move || drop(second));
        drop(third);
        other.join().unwrap();
        assert!(!due.is_done(), "fired, and nobody took a turn");
        timers.turn();
        assert!(due.is_done(), "a deadline was lost");
    });
}

#[test]
fn a_loop_that_asks_while_a_drop_sweeps_turns_again() {
    model("turn of a loop against sweep", 2, 1_000, || {
        let (engine, timers, _wakes) = driven();
        let [first, second] = [timed(&engine, 8), timed(&engine, 8)];
        timers.turn();
        drop(first);
        let due = timed(&engine, 20);
        pass_time(20);
        let other = thread::spawn(move || {
            drop(second);
            (due.is_done(), due)
        });
        let fired = timers.turn();
        let next = timers.next_timeout();
        let (seen, due) = other.join().unwrap();
        assert!(fired > 0 || !seen, "a drop has fired it");
        assert!(
            fired > 0 || next == Some(Duration::ZERO),
            "the loop sleeps past what is due: {next:?}"
        );
        timers.turn();
        assert!(due.is_done(), "a deadline was lost");
    });
}

/// Armed after the shutdown has collected, by one that had looked before it.
#[test]
fn a_loop_stopped_inside_next_timeout_keeps_no_arm_from_its_end() {
    model("arm against shutdown beside a look", 2, 100, || {
        let (engine, timers, _wakes) = driven();
        let first = timed(&engine, 20);
        let stopped = thread::spawn({
            let engine = engine.clone();
            move || {
                let _ = engine.core().publish_next_wake();
                engine
            }
        });
        let other = thread::spawn(move || {
            timers.shut_down();
            timers
        });
        let node = timed(&engine, 30);
        let _timers = other.join().unwrap();
        let _engine = stopped.join().unwrap();
        assert!(first.is_done());
        assert!(node.is_done(), "live, and nothing will end it");
    });
}
