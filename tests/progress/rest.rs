//! What the rest of a process does while one of its threads is stopped: for a second two threads create, cancel, drop, let
//! expire and wait, at the very contexts the stopped one is at, and every answer is looked at.

use crate::cancel::CancelGuard;
use crate::context::Context;
use crate::error::Error;
use crate::key::Key;
use crate::victim::HANG;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::{Context as TaskContext, Poll, Wake};
use std::thread;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LONG: Duration = Duration::from_secs(3600);
pub(crate) const SHORT: Duration = Duration::from_millis(1);
const WORKERS: usize = 2;
/// More than a thread keeps at hand, so that it goes to the depot.
const BURST: usize = 300;

static ROUND: Key<usize> = Key::new("round");

/// Counts how often it was woken.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) fn poll<F: Future + Unpin>(future: &mut F, wakes: &Arc<Wakes>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut TaskContext::from_waker(&Arc::clone(wakes).into()))
}

/// For a second the rest goes on, with what it derives from each of these.
#[track_caller]
pub(crate) fn goes_on(at: &[&Context]) {
    work(at, true);
}

/// The same where those who fire the deadlines of these are stopped themselves.
#[track_caller]
pub(crate) fn goes_on_without_deadlines(at: &[&Context]) {
    work(at, false);
}

#[track_caller]
fn work(at: &[&Context], expires: bool) {
    let at: Vec<Context> = at.iter().copied().cloned().collect();
    let (ended, all_ended) = channel();
    for _ in 0..WORKERS {
        let (ended, at) = (ended.clone(), at.clone());
        thread::spawn(move || {
            let over = Instant::now() + SECOND;
            let mut siblings = VecDeque::new();
            let mut rounds = 0;
            while rounds < 2 || Instant::now() < over {
                for ctx in &at {
                    round(ctx, rounds, expires, &mut siblings);
                }
                rounds += 1;
            }
            drop(siblings);
            let _ = ended.send(());
        });
    }
    drop(ended);
    for _ in 0..WORKERS {
        match all_ended.recv_timeout(HANG) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => {
                panic!("the rest waits for the thread that is stopped")
            }
            Err(RecvTimeoutError::Disconnected) => panic!("a thread of the rest panicked"),
        }
    }
}

fn round(
    ctx: &Context,
    round: usize,
    expires: bool,
    siblings: &mut VecDeque<(Context, CancelGuard)>,
) {
    cancel(ctx, round);
    let (child, guard) = ctx.with_cancel();
    siblings.push_back((child, guard));
    if siblings.len() > 8 {
        // The oldest, which is the last of its list.
        drop(siblings.pop_front());
    }
    if expires {
        expire(ctx);
    }
    if round.is_multiple_of(8) {
        wait(ctx);
        call_back(ctx);
        let _ = ctx.child_count();
    }
    if round.is_multiple_of(16) {
        let burst: Vec<_> = (0..BURST).map(|_| ctx.with_timeout(LONG)).collect();
        assert!(
            burst
                .iter()
                .all(|(child, _)| child.is_done() == ctx.is_done())
        );
    }
}

/// Creates a subtree, waits on it, cancels it: all of it is done then, and told.
fn cancel(ctx: &Context, round: usize) {
    let wakes = Arc::default();
    let (parent, guard) = ctx.with_value(&ROUND, round).with_cancel();
    let (child, _child_guard) = parent.with_timeout(LONG);
    assert_eq!(child.value(&ROUND), Some(&round));
    let mut done = child.done();
    match ctx.err() {
        None => {
            assert!(poll(&mut done, &wakes).is_pending());
            guard.cancel();
            assert_eq!(wakes.count(), 1);
            assert_eq!(child.err(), Some(Error::Canceled));
        }
        Some(error) => assert_eq!(child.err(), Some(error)),
    }
    assert!(poll(&mut done, &wakes).is_ready());
}

fn expire(ctx: &Context) {
    let (child, _guard) = ctx.with_timeout(SHORT);
    let error = ctx.err().unwrap_or(Error::DeadlineExceeded);
    assert_eq!(child.wait(), error);
}

/// A thread is woken by the cancel of another.
fn wait(ctx: &Context) {
    let (child, guard) = ctx.with_cancel();
    let waiter = thread::spawn({
        let child = child.clone();
        move || child.wait()
    });
    guard.cancel();
    assert_eq!(Some(waiter.join().expect("it waits")), child.err());
}

fn call_back(ctx: &Context) {
    let (child, guard) = ctx.with_cancel();
    let (called, is_called) = channel();
    let _registration = child.after_func(move || called.send(()).expect("it is waited for"));
    guard.cancel();
    is_called.recv().expect("it is called");
}
