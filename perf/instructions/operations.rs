//! The operations that are counted: instructions by `benches/hot_paths.rs`, locked ones by `locked.rs`.

use ripcord::{Batch, CancelGuard, Context, Key};
use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

pub(crate) const LONG: Duration = Duration::from_secs(600);

pub(crate) static FIRST: Key<u64> = Key::new("first");
pub(crate) static SECOND: Key<u64> = Key::new("second");
pub(crate) static MISSING: Key<u64> = Key::new("missing");

pub(crate) type Rooted = (Context, CancelGuard);

pub(crate) fn look(ctx: &Context) {
    black_box(black_box(ctx).is_done());
}

pub(crate) fn child(root: &Context) {
    drop(black_box(root.with_cancel()));
}

pub(crate) fn canceled_child(root: &Context) {
    let (ctx, guard) = root.with_cancel();
    guard.cancel();
    drop(black_box((ctx, guard)));
}

pub(crate) fn timeout(root: &Context) {
    drop(black_box(root.with_timeout(LONG)));
}

pub(crate) fn wait_once(ctx: &Context) {
    let mut task = TaskContext::from_waker(Waker::noop());
    assert_eq!(pin!(ctx.done()).poll(&mut task), Poll::Pending);
}

pub(crate) fn request(root: &Context) {
    let (ctx, guard) = root.with_timeout(LONG);
    wait_once(&ctx);
    guard.cancel();
    drop((ctx, guard));
}

pub(crate) fn set(ctx: &Context) {
    drop(black_box(ctx.with_value(&SECOND, 2)));
}

pub(crate) fn get(ctx: &Context) {
    black_box(black_box(ctx).value(&FIRST));
}

pub(crate) fn miss(ctx: &Context) {
    black_box(black_box(ctx).value(&MISSING));
}

pub(crate) fn batch_of_ten(root: &Context) {
    drop::<Batch>(black_box(root.batch(10)));
}

pub(crate) const IN_FLIGHT: usize = 64;

pub(crate) fn first_out(root: &Context, in_flight: &mut VecDeque<Rooted>) {
    drop(in_flight.pop_front());
    in_flight.push_back(root.with_cancel());
}

/// A chain of so many, cancelled at its root.
pub(crate) fn chain(root: &Context, levels: usize) {
    let mut chain: Vec<Rooted> = Vec::with_capacity(levels);
    chain.push(root.with_cancel());
    for level in 1..levels {
        let next = chain[level - 1].0.with_cancel();
        chain.push(next);
    }
    chain[0].1.cancel();
    chain.into_iter().for_each(drop);
}
