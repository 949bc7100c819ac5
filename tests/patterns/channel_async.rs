//! The same channels, awaited.

use crate::block_on;
use ripcord::channel::{self, RecvError, SendError};
use ripcord::{Context, Error};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_cancel_wakes_who_awaits_and_gives_the_value_back() {
    let (sender, receiver) = channel::bounded(1);
    let (ctx, guard) = Context::background().with_cancel();
    sender.try_send(1).unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = TaskContext::from_waker(&waker);
    let mut sending = pin!(sender.send_async(&ctx, 2));
    assert!(sending.as_mut().poll(&mut cx).is_pending());
    guard.cancel();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    let refused = Poll::Ready(Err(SendError::Done(2, Error::Canceled)));
    assert_eq!(sending.poll(&mut cx), refused);
    assert_eq!(
        block_on(receiver.recv_async(&ctx)),
        Err(RecvError::Done(Error::Canceled))
    );
    assert_eq!(receiver.drain().collect::<Vec<_>>(), [1]);
}

#[test]
fn one_that_was_told_and_goes_away_leaves_it_to_the_next() {
    let (sender, receiver) = channel::unbounded();
    let ctx = Context::background();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = TaskContext::from_waker(&waker);
    let mut leaves = Box::pin(receiver.recv_async(&ctx));
    let mut stays = Box::pin(receiver.recv_async(&ctx));
    assert!(leaves.as_mut().poll(&mut cx).is_pending());
    assert!(stays.as_mut().poll(&mut cx).is_pending());
    sender.try_send(7).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    drop(leaves);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
    assert_eq!(stays.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
}

#[test]
fn tasks_and_threads_meet_at_one_channel_and_all_arrives() {
    const EACH: u64 = 500;
    let (sender, receiver) = channel::bounded(2);
    let thread = thread::spawn({
        let sender = sender.clone();
        move || (0..EACH).try_for_each(|n| sender.send(&Context::background(), n))
    });
    let sums = block_on(async move {
        let task = tokio::spawn(async move {
            for n in EACH..2 * EACH {
                sender.send_async(&Context::background(), n).await.unwrap();
            }
        });
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                tokio::spawn(async move {
                    let mut sum = 0;
                    while let Ok(n) = receiver.recv_async(&Context::background()).await {
                        sum += n;
                    }
                    sum
                })
            })
            .collect();
        task.await.unwrap();
        let mut sums = 0;
        for receiver in receivers {
            sums += receiver.await.unwrap();
        }
        sums
    });
    thread.join().unwrap().unwrap();
    assert_eq!(sums, (0..2 * EACH).sum::<u64>());
}

#[test]
fn who_awaits_is_told_when_the_other_side_is_gone() {
    let (sender, receiver) = channel::bounded::<u8>(1);
    let waiting = thread::spawn(move || block_on(receiver.recv_async(&Context::background())));
    drop(sender);
    assert_eq!(waiting.join().unwrap(), Err(RecvError::Disconnected));

    let (sender, receiver) = channel::bounded(1);
    sender.try_send(1).unwrap();
    let waiting = thread::spawn(move || block_on(sender.send_async(&Context::background(), 2)));
    drop(receiver);
    assert_eq!(waiting.join().unwrap(), Err(SendError::Disconnected(2)));
}

#[test]
fn tasks_cannot_meet_without_room_and_are_told_so() {
    let (sender, receiver) = channel::bounded(0);
    let ctx = Context::background();
    assert_eq!(
        block_on(sender.send_async(&ctx, 1)),
        Err(SendError::Rendezvous(1))
    );
    assert_eq!(
        block_on(receiver.recv_async(&ctx)),
        Err(RecvError::Rendezvous)
    );
}
