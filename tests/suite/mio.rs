//! A `mio::Poll` wakes for the contexts it watches.

use crate::common::on_small_stack;
use mio::{Events, Poll, Token};
use ripcord::{Context, mio::Notifier};
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

const CONTEXTS: Token = Token(usize::MAX);

fn notifier() -> (Poll, Notifier) {
    let poll = Poll::new().expect("the system has a descriptor left");
    let notifier = Notifier::new(poll.registry(), CONTEXTS).expect("one waker a poll");
    (poll, notifier)
}

/// Whether the notifier has rung; waits for a ring where `wait`.
fn rung(poll: &mut Poll, wait: bool) -> bool {
    let mut events = Events::with_capacity(4);
    let limit = if wait { 60 } else { 0 };
    poll.poll(&mut events, Some(Duration::from_secs(limit)))
        .expect("the poll works");
    events.iter().any(|event| event.token() == CONTEXTS)
}

#[test]
fn a_cancel_on_another_thread_wakes_the_poll_and_says_which() {
    let (mut poll, notifier) = notifier();
    let (ctx, guard) = Context::background().with_cancel();
    let (other, _other_guard) = Context::background().with_cancel();
    let _watches = [
        notifier.watch(&ctx, Token(1)),
        notifier.watch(&other, Token(2)),
    ];
    assert!(!rung(&mut poll, false));
    let canceller = thread::spawn(move || drop(guard));
    assert!(rung(&mut poll, true));
    assert_eq!(notifier.drain().collect::<Vec<_>>(), [Token(1)]);
    assert_eq!(notifier.drain().count(), 0);
    canceller.join().expect("a cancel does not panic");
}

#[test]
fn a_context_that_is_done_rings_at_once() {
    let (mut poll, notifier) = notifier();
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    let _watch = notifier.watch(&ctx, Token(3));
    assert!(rung(&mut poll, true));
    assert_eq!(notifier.drain().collect::<Vec<_>>(), [Token(3)]);
}

#[test]
fn a_watch_that_was_dropped_does_not_ring() {
    let (mut poll, notifier) = notifier();
    let (ctx, guard) = Context::background().with_cancel();
    drop(notifier.watch(&ctx, Token(4)));
    guard.cancel();
    assert!(!rung(&mut poll, false));
    assert_eq!(notifier.drain().count(), 0);
}

#[test]
fn a_background_never_rings() {
    let (mut poll, notifier) = notifier();
    let _watch = notifier.watch(&Context::background(), Token(5));
    assert!(!rung(&mut poll, false));
}

#[test]
fn one_cancel_gives_every_token_below_it_once() {
    let (mut poll, notifier) = notifier();
    let (root, guard) = Context::background().with_cancel();
    let children: Vec<_> = (0..100).map(|_| root.with_cancel()).collect();
    let _watches: Vec<_> = children
        .iter()
        .enumerate()
        .map(|(index, (ctx, _))| notifier.watch(ctx, Token(index)))
        .collect();
    guard.cancel();
    assert!(rung(&mut poll, true));
    let tokens: Vec<_> = notifier.drain().collect();
    assert_eq!(tokens.len(), 100);
    assert_eq!(
        tokens.into_iter().collect::<BTreeSet<_>>(),
        (0..100).map(Token).collect()
    );
}

#[test]
fn a_notifier_dropped_with_tokens_that_nobody_took_is_freed_without_recursion() {
    on_small_stack(|| {
        let (poll, notifier) = notifier();
        let (root, guard) = Context::background().with_cancel();
        let watches: Vec<_> = (0..100_000)
            .map(|index| notifier.watch(&root, Token(index)))
            .collect();
        guard.cancel();
        drop(notifier);
        drop(watches);
        drop(poll);
    });
}

/// However rings and drains fall, no token is left behind without a ring to come.
#[test]
fn every_token_is_drained_after_some_ring_while_others_cancel() {
    const CONTEXTS_EACH: usize = 2_000;
    let (mut poll, notifier) = notifier();
    let contexts: Vec<_> = (0..2 * CONTEXTS_EACH)
        .map(|_| Context::background().with_cancel())
        .collect();
    let _watches: Vec<_> = contexts
        .iter()
        .enumerate()
        .map(|(token, (ctx, _))| notifier.watch(ctx, Token(token)))
        .collect();
    let (left, right) = contexts.split_at(CONTEXTS_EACH);
    thread::scope(|scope| {
        for half in [left, right] {
            scope.spawn(move || half.iter().for_each(|(_, guard)| guard.cancel()));
        }
        let mut drained = BTreeSet::new();
        while drained.len() < contexts.len() {
            assert!(rung(&mut poll, true), "a token is there and nobody rang");
            drained.extend(notifier.drain().map(|token| token.0));
        }
    });
}

#[test]
fn one_cancel_of_many_that_are_watched_wakes_the_poll_for_all() {
    let (mut poll, notifier) = notifier();
    let (parent, guard) = Context::background().with_cancel();
    let children: Vec<_> = (0..1_000).map(|_| parent.with_cancel()).collect();
    let watches: Vec<_> = children
        .iter()
        .enumerate()
        .map(|(token, (child, _))| notifier.watch(child, Token(token)))
        .collect();
    guard.cancel();
    assert!(rung(&mut poll, true));
    assert_eq!(notifier.drain().count(), watches.len());
    assert!(!rung(&mut poll, false), "rung for what was drained");
}

#[test]
fn the_poll_can_be_woken_through_the_notifier() {
    let (mut poll, notifier) = notifier();
    notifier.wake().expect("the waker works");
    assert!(rung(&mut poll, true));
    assert_eq!(notifier.drain().count(), 0);
}
