//! Nothing is left of tokens and contexts that followed each other, on whichever side one goes first.

use super::{LIVE_ANYWHERE, counted, live, scaled, steady};
use super::{SLACK, WARM_UP, assert_nothing_hangs_on, assert_within, assert_within_anywhere};
use ripcord::Context;
use ripcord::tokio::ContextExt;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

#[test]
fn contexts_that_followed_a_token_that_stays_leave_nothing() {
    counted(|| {
        let token = CancellationToken::new();
        let request = |round: usize| {
            let (ctx, guard) = Context::background().with_token(&token);
            if round.is_multiple_of(2) {
                guard.cancel();
            }
            drop(guard);
            assert!(ctx.is_done());
        };
        (0..WARM_UP).for_each(request);
        let before = live();
        (0..scaled(100_000)).for_each(request);
        assert_within(SLACK, before);
    });
}

#[test]
fn tokens_of_a_context_that_stays_leave_nothing() {
    counted(|| {
        let (root, _guard) = Context::background().with_cancel();
        let request = |_| {
            let (token, guard) = root.child_token();
            drop(guard);
            assert!(token.is_cancelled());
        };
        (0..WARM_UP).for_each(request);
        let before = live();
        (0..scaled(100_000)).for_each(request);
        assert_within(SLACK, before);
        assert_eq!(root.child_count(), 0);
    });
}

#[test]
fn both_cancelled_from_the_other_side_leave_nothing() {
    counted(|| {
        let request = |_| {
            let token = CancellationToken::new();
            let (ctx, _guard) = Context::background().with_token(&token.child_token());
            let (below, _below_guard) = ctx.child_token();
            token.cancel();
            assert!(below.is_cancelled());
        };
        (0..WARM_UP).for_each(request);
        let before = live();
        (0..scaled(100_000)).for_each(request);
        assert_within(SLACK, before);
    });
}

#[test]
fn what_was_disarmed_is_gone_when_it_has_ended() {
    counted(|| {
        let token = CancellationToken::new();
        let (root, _guard) = Context::background().with_cancel();
        let request = |_| {
            let (ctx, guard) = root.with_token(&token);
            let handle = guard.disarm();
            let (below, below_guard) = ctx.child_token();
            below_guard.disarm();
            handle.cancel();
            assert!(below.is_cancelled());
        };
        (0..WARM_UP).for_each(request);
        assert_nothing_hangs_on(&root);
        let before = LIVE_ANYWHERE.load(Ordering::Relaxed);
        (0..scaled(100_000)).for_each(request);
        assert_within_anywhere(SLACK, before);
        assert_nothing_hangs_on(&root);
    });
}

#[test]
fn following_takes_two_allocations_on_either_side() {
    counted(|| {
        let token = CancellationToken::new();
        let (root, _guard) = Context::background().with_cancel();
        let follow = steady(|| drop(root.with_token(&token)));
        let lead = steady(|| drop(root.child_token()));
        assert_eq!((follow, lead), (2_000, 2_000));
    });
}
