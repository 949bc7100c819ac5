//! Values, counted, some of whose drops panic.

use super::super::ledger::Counted;
use super::Worker;
use ripcord::{Context, Key};

static KEYS: [Key<Counted>; 6] = [
    Key::new("first"),
    Key::new("second"),
    Key::new("third"),
    Key::new("fourth"),
    Key::new("fifth"),
    Key::new("sixth"),
];

fn value(worker: &mut Worker) -> Counted {
    let counted = worker.counted();
    if worker.one_in(32) {
        counted.panicking()
    } else {
        counted
    }
}

/// What should be seen by a context: a number for each key.
type Expected = [Option<u64>; KEYS.len()];

fn set(worker: &mut Worker, ctx: &Context, expected: &mut Expected) -> Context {
    let at = worker.rng.usize(..KEYS.len());
    let value = value(worker);
    expected[at] = Some(value.number);
    ctx.with_value(&KEYS[at], value)
}

fn look(worker: &Worker, ctx: &Context, expected: &Expected) {
    for (key, expected) in KEYS.iter().zip(expected) {
        let seen = ctx.value(key).map(|value| value.number);
        worker.ensure(seen == *expected, || {
            format!(
                "{ctx} has {seen:?} for {} and should have {expected:?}",
                key.name()
            )
        });
    }
}

/// Set on the way down, looked up at every level, and dropped in any order.
pub(super) fn lookups(worker: &mut Worker) {
    let mut ctx = worker.base();
    let mut expected = Expected::default();
    let mut levels = Vec::new();
    for _ in 0..worker.rng.usize(1..12) {
        ctx = set(worker, &ctx, &mut expected);
        if worker.rng.bool() {
            let (child, guard) = ctx.with_cancel();
            levels.push((child.clone(), expected, Some(guard)));
            ctx = child;
        }
        levels.push((ctx.clone(), expected, None));
    }
    drop(ctx);
    worker.rng.shuffle(&mut levels);
    for (ctx, expected, guard) in levels {
        look(worker, &ctx, &expected);
        drop(guard);
    }
}

/// Set again and again, past where a node holds all that is visible by itself.
pub(super) fn rebound(worker: &mut Worker) {
    let mut ctx = worker.base();
    let mut expected = Expected::default();
    for _ in 0..worker.rng.usize(1..120) {
        ctx = set(worker, &ctx, &mut expected);
    }
    look(worker, &ctx, &expected);
}

/// They outlast a cancel, and are merged: of two for one key it is the earlier parent's.
pub(super) fn without_cancel(worker: &mut Worker) {
    let (parent, guard) = worker.base().with_cancel();
    let mut expected = Expected::default();
    let first = set(worker, &parent, &mut expected);
    let kept = first.without_cancel();
    let mut other = Expected::default();
    let second = set(worker, &worker.stage.root.clone(), &mut other);
    let (merged, _merged_guard) = Context::merge([&first, &second]);
    guard.cancel();
    worker.ensure(!kept.is_done() && merged.is_done(), || {
        format!("{kept} is done, or {merged} is not")
    });
    look(worker, &kept, &expected);
    for (expected, other) in expected.iter_mut().zip(other) {
        *expected = expected.or(other);
    }
    look(worker, &merged, &expected);
}
