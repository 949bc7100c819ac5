//! Tokens of contexts, contexts that follow tokens.

use crate::{Drops, block_on};
use ripcord::tokio::{ContextExt, TokenCanceled};
use ripcord::{Cause, Context, Engine, Error, Key};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn ended_by_token(ctx: &Context) -> bool {
    ctx.cause()
        .is_some_and(|cause| cause.downcast_ref::<TokenCanceled>().is_some())
}

#[test]
fn when_a_tokens_cancel_returns_all_that_follows_it_is_done() {
    let token = CancellationToken::new();
    let followers: Vec<_> = (0..1_000)
        .map(|_| {
            let (ctx, guard) = Context::background().with_token(&token);
            let (below, below_guard) = ctx.with_cancel();
            (ctx, guard, below, below_guard)
        })
        .collect();
    assert!(followers.iter().all(|(ctx, ..)| !ctx.is_done()));

    token.cancel();
    for (ctx, _, below, _) in &followers {
        assert_eq!(
            (ctx.err(), below.err()),
            (Some(Error::Canceled), Some(Error::Canceled))
        );
        assert!(ended_by_token(ctx) && ended_by_token(below));
    }
}

#[test]
fn a_context_that_follows_a_child_token_ends_with_the_parent_token() {
    let parent = CancellationToken::new();
    let (ctx, _guard) = Context::background().with_token(&parent.child_token().child_token());
    parent.cancel();
    assert!(ended_by_token(&ctx));
}

#[test]
fn what_follows_a_token_that_is_cancelled_is_born_done() {
    let token = CancellationToken::new();
    token.cancel();
    let (ctx, _guard) = Context::background().with_token(&token);
    assert!(ended_by_token(&ctx));
}

#[test]
fn under_a_parent_that_is_done_the_parents_cause_stands() {
    let (parent, guard) = Context::background().with_cancel();
    guard.cancel_with(Cause::msg("closing"));
    let token = CancellationToken::new();
    token.cancel();
    let (ctx, _guard) = parent.with_token(&token);
    assert_eq!(ctx.cause().unwrap().to_string(), "closing");
}

#[test]
fn the_first_reason_wins_and_the_token_is_left_alone() {
    let token = CancellationToken::new();
    let (ctx, guard) = Context::background().with_token(&token);
    guard.cancel_with(Cause::msg("mine"));
    assert!(!token.is_cancelled());
    token.cancel();
    assert_eq!(ctx.cause().unwrap().to_string(), "mine");
}

#[test]
fn dropping_the_guard_ends_the_context_and_frees_all_of_it() {
    static VALUE: Key<crate::Counted> = Key::new("value");
    let drops = Drops::default();
    let token = CancellationToken::new();
    let (root, _root_guard) = Context::background().with_cancel();

    let (ctx, guard) = root.with_value(&VALUE, drops.new_one()).with_token(&token);
    let kept = ctx.without_cancel();
    drop(guard);
    assert_eq!(ctx.err(), Some(Error::Canceled));
    assert!(!ended_by_token(&ctx) && !token.is_cancelled());
    assert_eq!(root.child_count(), 0);
    drop((ctx, kept));
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_guard_that_is_disarmed_goes_on_following() {
    let token = CancellationToken::new();
    let (ctx, guard) = Context::background().with_token(&token);
    let _handle = guard.disarm();
    assert!(!ctx.is_done());
    token.cancel();
    assert!(ended_by_token(&ctx));
}

#[test]
fn a_task_without_budget_can_follow() {
    block_on(async {
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        let token = CancellationToken::new();
        let (ctx, _guard) = Context::background().with_token(&token);
        assert!(!ctx.is_done());
        token.cancel();
        assert!(ctx.is_done());
    });
}

#[test]
fn when_a_contexts_cancel_returns_its_tokens_are_cancelled() {
    let (root, guard) = Context::background().with_cancel();
    let (below, _below_guard) = root.with_cancel();
    let (of_root, _of_root_guard) = root.child_token();
    let (of_below, _of_below_guard) = below.child_token();
    assert!(!of_root.is_cancelled() && !of_below.is_cancelled());
    guard.cancel();
    assert!(of_root.is_cancelled() && of_below.is_cancelled());

    let (late, _late_guard) = below.child_token();
    assert!(late.is_cancelled());
}

#[test]
fn a_deadline_cancels_a_token_to_the_nanosecond_and_no_runtime_is_there() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let (ctx, _guard) = engine.background().with_timeout(Duration::from_secs(60));
    let (token, _token_guard) = ctx.child_token();
    clock.advance(Duration::from_nanos(59_999_999_999));
    assert!(!token.is_cancelled());
    clock.advance(Duration::from_nanos(1));
    assert!(token.is_cancelled());
}

#[test]
fn a_task_that_awaits_a_token_is_woken_by_the_context() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        let (token, _token_guard) = ctx.child_token();
        let waits = tokio::spawn(token.cancelled_owned());
        tokio::task::yield_now().await;
        thread::spawn(move || guard.cancel());
        waits.await.unwrap();
    });
}

#[test]
fn a_tokens_guard_cancels_it_and_not_the_context() {
    static VALUE: Key<crate::Counted> = Key::new("value");
    let drops = Drops::default();
    let (ctx, _guard) = Context::background()
        .with_value(&VALUE, drops.new_one())
        .with_cancel();
    let (token, token_guard) = ctx.child_token();
    drop(token_guard);
    assert!(token.is_cancelled() && !ctx.is_done());
    drop(ctx);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_token_that_is_cancelled_by_hand_leaves_the_context_alone() {
    let (ctx, guard) = Context::background().with_cancel();
    let (token, _token_guard) = ctx.child_token();
    token.cancel();
    assert!(!ctx.is_done());
    guard.cancel();
    assert!(token.is_cancelled());
}

#[test]
fn a_token_whose_guard_is_disarmed_is_cancelled_with_the_context_and_not_before() {
    let (ctx, guard) = Context::background().with_cancel();
    let (token, token_guard) = ctx.child_token();
    token_guard.disarm();
    assert!(!token.is_cancelled());
    guard.cancel();
    assert!(token.is_cancelled());

    let (never, never_guard) = Context::background().child_token();
    never_guard.disarm();
    assert!(!never.is_cancelled());
}

#[test]
fn a_cancel_goes_through_tokens_and_contexts_in_turn() {
    let (first, guard) = Context::background().with_cancel();
    let (token, _token_guard) = first.child_token();
    let (second, _second_guard) = Context::background().with_token(&token.child_token());
    let (last, _last_guard) = second.child_token();
    guard.cancel();
    assert!(second.is_done() && last.is_cancelled());
}

/// Following, letting go and both cancels meet at every step: none hangs, and who is left is done.
#[test]
fn cancels_from_both_sides_and_drops_meet_without_loss() {
    for round in 0..2_000 {
        let token = CancellationToken::new();
        let (root, root_guard) = Context::background().with_cancel();
        let start = Barrier::new(3);
        let (ctx, guard) = root.with_token(&token);
        let (below, below_guard) = ctx.child_token();
        let (late, _late_guard) = thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                token.cancel();
            });
            scope.spawn(|| {
                start.wait();
                match round % 3 {
                    0 => drop(guard),
                    1 => drop(below_guard),
                    _ => root_guard.cancel(),
                }
            });
            start.wait();
            root.with_token(&token)
        });
        assert!(late.is_done());
        assert!(ctx.is_done() && below.is_cancelled());
        assert_eq!(ctx.err(), Some(Error::Canceled));
    }
}
