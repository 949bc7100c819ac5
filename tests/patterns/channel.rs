//! Channels whose waits end with a context.

use crate::{MS, holds, manual};
use ripcord::channel::{self, RecvError, SendError, TryRecvError, TrySendError};
use ripcord::{Context, Error};
use std::thread;
use std::time::Duration;

#[test]
fn its_ends_and_errors_go_anywhere() {
    holds::<channel::Sender<u8>>();
    holds::<channel::Receiver<u8>>();
    holds::<SendError<u8>>();
    holds::<RecvError>();
}

#[test]
fn a_value_for_which_there_is_no_room_comes_back_when_the_context_is_done() {
    let (sender, receiver) = channel::bounded(1);
    let (ctx, guard) = Context::background().with_cancel();
    sender.send(&ctx, 1).unwrap();
    let blocked = thread::spawn({
        let ctx = ctx.clone();
        move || sender.send(&ctx, 2)
    });
    guard.cancel();
    let refused = blocked.join().unwrap().unwrap_err();
    assert!(
        matches!(refused, SendError::Done(2, Error::Canceled)),
        "{refused}"
    );
    assert_eq!(receiver.drain().collect::<Vec<_>>(), [1]);
}

#[test]
fn under_a_context_that_is_done_nothing_goes_in_and_nothing_comes_out() {
    let (sender, receiver) = channel::unbounded();
    sender.try_send(1).unwrap();
    let (ctx, _guard) = Context::background().with_timeout(Duration::ZERO);
    assert_eq!(
        sender.send(&ctx, 2),
        Err(SendError::Done(2, Error::DeadlineExceeded))
    );
    assert_eq!(
        receiver.recv(&ctx),
        Err(RecvError::Done(Error::DeadlineExceeded))
    );
    assert_eq!(receiver.iter(&ctx).count(), 0);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_receive_ends_with_the_deadline_on_the_clock_of_its_engine() {
    let (engine, clock) = manual();
    let (ctx, _guard) = engine.background().with_timeout(MS);
    let (_sender, receiver) = channel::bounded::<u8>(1);
    let blocked = thread::spawn(move || receiver.recv(&ctx));
    clock.advance(MS);
    assert_eq!(
        blocked.join().unwrap(),
        Err(RecvError::Done(Error::DeadlineExceeded))
    );
}

#[test]
fn a_rendezvous_returns_when_the_value_was_taken() {
    let (sender, receiver) = channel::bounded(0);
    assert_eq!((sender.capacity(), sender.len()), (Some(0), 0));
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    let ctx = Context::background();
    let taken = thread::spawn(move || receiver.recv(&Context::background()));
    assert_eq!(sender.send(&ctx, 2), Ok(()));
    assert_eq!(taken.join().unwrap(), Ok(2));

    let (sender, receiver) = channel::bounded(0);
    let (ctx, guard) = ctx.with_cancel();
    let alone = thread::spawn({
        let ctx = ctx.clone();
        move || sender.send(&ctx, "nobody comes")
    });
    guard.cancel();
    assert_eq!(
        alone.join().unwrap().unwrap_err().into_value(),
        "nobody comes"
    );
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn when_one_side_is_gone_the_other_is_told_after_what_is_left() {
    let ctx = Context::background();
    let (sender, receiver) = channel::unbounded();
    sender.send(&ctx, 1).unwrap();
    drop(sender);
    assert_eq!(receiver.recv(&ctx), Ok(1));
    assert_eq!(receiver.recv(&ctx), Err(RecvError::Disconnected));

    let (sender, receiver) = channel::bounded(1);
    sender.send(&ctx, 1).unwrap();
    let blocked = thread::spawn({
        let ctx = ctx.clone();
        move || sender.send(&ctx, 2)
    });
    drop(receiver);
    assert_eq!(blocked.join().unwrap(), Err(SendError::Disconnected(2)));
}

#[test]
fn an_absurd_capacity_is_no_bound() {
    let (sender, _receiver) = channel::bounded::<u64>(usize::MAX);
    assert_eq!(sender.capacity(), None);
    assert_eq!(sender.try_send(1), Ok(()));
}

#[test]
fn of_what_many_threads_send_under_a_context_that_is_cancelled_all_is_accounted_for() {
    const THREADS: u64 = 4;
    const EACH: u64 = 2_000;
    let (sender, receiver) = channel::bounded(3);
    let (ctx, guard) = Context::background().with_cancel();
    let senders: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (ctx, sender) = (ctx.clone(), sender.clone());
            thread::spawn(move || {
                let mut refused = Vec::new();
                for n in 0..EACH {
                    if let Err(error) = sender.send(&ctx, thread * EACH + n) {
                        refused.push(error.into_value());
                    }
                }
                refused
            })
        })
        .collect();
    drop(sender);
    let mut seen: Vec<u64> = receiver.iter(&ctx).take(1_000).collect();
    guard.cancel();
    assert_eq!(receiver.recv(&ctx), Err(RecvError::Done(Error::Canceled)));
    let refused = senders
        .into_iter()
        .flat_map(|thread| thread.join().unwrap());
    let refused: Vec<u64> = refused.collect();
    seen.extend(refused);
    seen.extend(receiver.drain());
    seen.sort_unstable();
    assert_eq!(seen, (0..THREADS * EACH).collect::<Vec<_>>());
}

#[test]
fn any_of_several_receivers_gives_and_the_one_without_senders_is_left_out() {
    let ctx = Context::background();
    let (first, from_first) = channel::unbounded();
    let (second, from_second) = channel::unbounded();
    let both = [&from_first, &from_second];
    second.try_send("second").unwrap();
    assert_eq!(channel::recv_any(&ctx, &both), Ok((1, "second")));
    drop(second);
    first.try_send("first").unwrap();
    assert_eq!(channel::recv_any(&ctx, &both), Ok((0, "first")));
    let (child, guard) = ctx.with_cancel();
    guard.cancel();
    assert_eq!(
        channel::recv_any(&child, &both),
        Err(RecvError::Done(Error::Canceled))
    );
    let (soon, _guard) = ctx.with_timeout(MS);
    assert_eq!(
        channel::recv_any(&soon, &both),
        Err(RecvError::Done(Error::DeadlineExceeded))
    );
    drop(first);
    assert_eq!(channel::recv_any(&ctx, &both), Err(RecvError::Disconnected));
    assert_eq!(
        channel::recv_any::<u8>(&ctx, &[]),
        Err(RecvError::Disconnected)
    );
}
