//! The threads that callbacks run on: there are enough of them, also after one could not be started, and none when there is
//! nothing to run. A binary of its own, with one test: it counts the threads of the process, and limits them.

#![cfg(target_os = "linux")]

mod limits;

use crossbeam_channel::{Receiver, unbounded};
use limits::{let_no_thread_start, set_limit};
use ripcord::Context;
use std::time::{Duration, Instant};
use std::{fs, thread};

const PATIENCE: Duration = Duration::from_secs(60);

fn callback_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        // The kernel keeps 15 bytes of a name: the dispatcher's begins the same.
        .filter(|comm| comm.starts_with("ripcord-callbac"))
        .count()
        .saturating_sub(1)
}

/// Hands over `count` callbacks that run until they are let go, and then one that says so.
fn hold(count: usize) -> (Receiver<usize>, impl FnOnce()) {
    let (ctx, guard) = Context::background().with_cancel();
    let (running, is_running) = unbounded();
    let (let_go, held) = unbounded::<()>();
    for callback in 0..count {
        let (running, held) = (running.clone(), held.clone());
        ctx.after_func(move || {
            running.send(callback).expect("the test listens");
            let _ = held.recv();
        });
    }
    guard.cancel();
    (is_running, move || drop(let_go))
}

fn assert_all_run(callbacks: &Receiver<usize>, count: usize) {
    for _ in 0..count {
        callbacks
            .recv_timeout(PATIENCE)
            .expect("one that blocks holds up no other");
    }
}

fn assert_all_end_but(busy: usize) {
    let began = Instant::now();
    while callback_threads() > busy {
        assert!(began.elapsed() < PATIENCE, "{} left", callback_threads());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn callbacks_that_block_hold_up_no_other_and_their_threads_go() {
    let (first, let_first_go) = hold(1);
    assert_all_run(&first, 1);

    // None has ended yet whose stack could be had.
    let before = let_no_thread_start();
    let (refused, let_refused_go) = hold(8);
    thread::sleep(Duration::from_millis(100));
    assert!(refused.is_empty(), "a thread was started all the same");
    set_limit(before);
    assert_all_run(&refused, 8);

    let (after, let_after_go) = hold(200);
    assert_all_run(&after, 200);
    assert!(callback_threads() >= 209);
    let_refused_go();
    let_after_go();
    assert_all_end_but(1);
    let_first_go();
    assert_all_end_but(0);
}
