//! Loops over trees that more than one bench times.

use super::{Subject, noop};
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::time::{Duration, Instant};
use stop_token::{StopSource, StopToken};

/// Seen by reference: moved through `black_box`, a handle is copied in one piece just after it was written in two, and the
/// processor waits for that.
pub(crate) fn child<S: Subject>(root: &S, n: u64) {
    for _ in 0..n {
        black_box(&root.child());
    }
}

/// A root and children that outlive the measurement.
pub(crate) type Crowded<S> = (S, Vec<S>);

pub(crate) fn crowded<S: Subject>(siblings: usize) -> Crowded<S> {
    let root = S::root();
    let crowd = (0..siblings).map(|_| root.child()).collect();
    (root, crowd)
}

pub(crate) fn wait<S: Subject>(root: &S, n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        assert!(black_box(root).wait_once(&mut cx).is_pending());
    }
}

/// A token of theirs is a future itself, and is cloned for a wait.
pub(crate) fn wait_stop(source: &(StopSource, StopToken), n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        let token = pin!(black_box(&source.1).clone());
        assert!(token.poll(&mut cx).is_pending());
    }
}

pub(crate) fn stop_source() -> (StopSource, StopToken) {
    let source = StopSource::new();
    let token = source.token();
    (source, token)
}

/// Only `cancel` is timed; every child's handles are alive while it runs.
pub(crate) fn cancel_fan<S: Subject>(children: usize) -> Duration {
    let root = S::root();
    let kept: Vec<S> = (0..children).map(|_| root.child()).collect();
    let start = Instant::now();
    root.cancel();
    let took = start.elapsed();
    assert!(kept.iter().all(S::is_done));
    took
}

/// Made, cancelled at its root and dropped.
pub(crate) fn chain<S: Subject>(count: usize) {
    let root = S::root();
    let mut levels = Vec::with_capacity(count);
    levels.push(root.child());
    for above in 0..count - 1 {
        let level = S::child(&levels[above]);
        levels.push(level);
    }
    root.cancel();
    assert!(levels[count - 1].is_done());
}
