//! Windows of lists and stripes.

use crate::alone;
use crate::cancel::CancelGuard;
use crate::context::Context;
use crate::rest::goes_on;
use crate::victim::{Victim, returns};
use crossbeam_channel::{Receiver, TryRecvError};
use std::convert::Infallible;

#[test]
fn with_a_list_owned_by_a_stopped_thread_the_rest_goes_on() {
    let _alone = alone();
    let (root, guard) = Context::background().with_cancel();
    let oldest = root.with_cancel();
    let kept = root.with_cancel();
    let victim = Victim::stopped_at("owned", move || drop(oldest));

    goes_on(&[&root]);
    assert!(!kept.0.is_done());
    let canceled = root.with_cancel();
    returns(move || canceled.1.cancel());

    victim.resume();
    assert_eq!(
        root.child_count(),
        1,
        "what was handed over meanwhile is off the list"
    );
    guard.cancel();
    assert!(kept.0.is_done());
}

#[test]
fn a_cancel_does_not_wait_for_the_stopped_owner_of_a_list() {
    let _alone = alone();
    let (root, guard) = Context::background().with_cancel();
    let oldest = root.with_cancel();
    let kept = root.with_cancel();
    let victim = Victim::stopped_at("owned", move || drop(oldest));

    returns(move || guard.cancel());
    assert!(kept.0.is_done());
    goes_on(&[&root]);
    victim.resume();
}

#[test]
fn with_an_entry_handed_over_and_not_announced_the_rest_goes_on() {
    let _alone = alone();
    let (root, guard) = Context::background().with_cancel();
    let [oldest, second] = [root.with_cancel(), root.with_cancel()];
    let kept = root.with_cancel();
    let owner = Victim::stopped_at("owned", move || drop(oldest));
    let other = Victim::stopped_at("handed over", move || drop(second));

    goes_on(&[&root]);
    // With the owner at work again, and the other still where it is.
    owner.resume();
    goes_on(&[&root]);

    other.resume();
    assert_eq!(root.child_count(), 1);
    guard.cancel();
    assert!(kept.0.is_done());
}

#[test]
fn with_a_node_that_is_being_given_stripes_the_rest_goes_on() {
    let _alone = alone();
    let (root, guard) = Context::background().with_cancel();
    let kept = root.with_cancel();
    let inflated = root.clone();
    let victim = Victim::stopped_at("inflating", move || inflated.inflate());

    goes_on(&[&root]);
    victim.resume();
    goes_on(&[&root]);
    guard.cancel();
    assert!(kept.0.is_done());
}

#[test]
fn a_node_is_cancelled_while_a_stopped_thread_gives_it_stripes() {
    let _alone = alone();
    let (root, guard) = Context::background().with_cancel();
    let kept = root.with_cancel();
    let inflated = root.clone();
    let victim = Victim::stopped_at("inflating", move || inflated.inflate());

    returns(move || guard.cancel());
    assert!(kept.0.is_done());
    victim.resume();
    assert!(root.with_cancel().0.is_done());
}

/// A context that goes with its last handle, and nobody's cancel.
fn dropped_with_channel(ctx: Context, guard: CancelGuard) -> Receiver<Infallible> {
    let receiver = ctx.done_channel();
    drop((ctx, guard.disarm()));
    receiver
}

#[test]
fn a_channel_is_disconnected_with_the_last_handle_though_the_list_is_owned_by_a_stopped_thread() {
    let _alone = alone();
    let (root, _guard) = Context::background().with_cancel();
    let oldest = root.with_cancel();
    let (ctx, guard) = root.with_cancel();
    let kept = root.with_cancel();
    let victim = Victim::stopped_at("owned", move || drop(oldest));
    let told = dropped_with_channel(ctx, guard).try_recv();
    victim.resume();
    assert_eq!(told, Err(TryRecvError::Disconnected));
    drop(kept);
}

#[test]
fn a_merged_contexts_channel_is_disconnected_with_its_last_handle_though_another_parents_list_is_owned()
 {
    let _alone = alone();
    let (first, _first_guard) = Context::background().with_cancel();
    let (second, _second_guard) = Context::background().with_cancel();
    let oldest = second.with_cancel();
    let (merged, guard) = Context::merge([&first, &second]);
    let kept = second.with_cancel();
    let victim = Victim::stopped_at("owned", move || drop(oldest));
    let told = dropped_with_channel(merged, guard).try_recv();
    victim.resume();
    assert_eq!(told, Err(TryRecvError::Disconnected));
    drop(kept);
}

#[test]
fn channels_that_an_owner_had_no_budget_for_are_disconnected_too() {
    let _alone = alone();
    let (root, _guard) = Context::background().with_cancel();
    let oldest = root.with_cancel();
    let contexts: Vec<_> = (0..300).map(|_| root.with_cancel()).collect();
    let victim = Victim::stopped_at("owned", move || drop(oldest));
    let receivers: Vec<_> = contexts
        .into_iter()
        .map(|(ctx, guard)| dropped_with_channel(ctx, guard))
        .collect();
    victim.resume();
    for receiver in receivers {
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    }
}
