//! Trees: derived, merged, in batches, cancelled and dropped in any order.

use super::Worker;
use ripcord::{Context, Error, Light, Pool};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// A few levels, one of them cancelled with a reason.
pub(super) fn family(worker: &mut Worker) {
    let base = worker.base();
    let (parent, guard) = base.with_cancel();
    let (child, child_guard) = parent.with_cancel();
    let (grandchild, _grandchild_guard) = child.with_timeout(LONG);
    let (sibling, _sibling_guard) = parent.with_cancel();
    let (reason, number) = worker.reason();
    if worker.rng.bool() {
        child_guard.cancel_with(reason);
        worker.ended(&child, Error::Canceled, Some(number));
        worker.ended(&grandchild, Error::Canceled, Some(number));
        worker.ensure(!parent.is_done() && !sibling.is_done(), || {
            format!("{sibling} is done and should be live")
        });
        drop(guard);
        worker.ended(&sibling, Error::Canceled, None);
    } else {
        guard.cancel_with(reason);
        for ctx in [&parent, &child, &grandchild, &sibling] {
            worker.ended(ctx, Error::Canceled, Some(number));
        }
    }
    let shown = grandchild.to_string();
    worker.ensure(shown.starts_with("context.Background.WithCancel"), || {
        format!("it prints as {shown}")
    });
}

/// A deep chain, cancelled in the middle, and dropped from either end.
pub(super) fn chain(worker: &mut Worker) {
    let mut links = vec![worker.base().with_cancel()];
    for _ in 0..worker.rng.usize(1..200) {
        let next = links[links.len() - 1].0.with_cancel();
        links.push(next);
    }
    let at = worker.rng.usize(..links.len());
    links[at].1.cancel();
    let right = links
        .iter()
        .enumerate()
        .all(|(depth, (ctx, _))| ctx.is_done() == (depth >= at));
    worker.ensure(right, || {
        "a cancel in a chain ended what is above it, or not all below".to_owned()
    });
    if worker.rng.bool() {
        links.reverse();
    }
    for (ctx, guard) in links {
        drop(ctx);
        drop(guard.disarm());
    }
}

/// Of a few parents one ends it, or its guard does.
pub(super) fn merge(worker: &mut Worker) {
    let parents: Vec<_> = (0..worker.rng.usize(2..5))
        .map(|_| worker.base().with_cancel())
        .collect();
    merge_of(worker, &parents);
}

/// Of so many that what leads to them is allocated.
pub(super) fn wide_merge(worker: &mut Worker) {
    let base = worker.base();
    let parents: Vec<_> = (0..worker.rng.usize(30..80))
        .map(|_| base.with_timeout(LONG))
        .collect();
    merge_of(worker, &parents);
}

fn merge_of(worker: &mut Worker, parents: &[(Context, ripcord::CancelGuard)]) {
    let (merged, guard) = Context::merge(parents.iter().map(|(parent, _)| parent));
    let earliest = parents
        .iter()
        .filter_map(|(parent, _)| parent.deadline())
        .min();
    worker.ensure(merged.deadline() == earliest, || {
        format!(
            "{merged} has {:?} and should have {earliest:?}",
            merged.deadline()
        )
    });
    let (below, _below_guard) = merged.with_cancel();
    let (reason, number) = worker.reason();
    if worker.one_in(4) {
        guard.cancel_with(reason);
        let live = parents.iter().all(|(parent, _)| !parent.is_done());
        worker.ensure(live, || "a merged context ended a parent".to_owned());
    } else {
        let at = worker.rng.usize(..parents.len());
        parents[at].1.cancel_with(reason);
    }
    worker.ended(&merged, Error::Canceled, Some(number));
    worker.ended(&below, Error::Canceled, Some(number));
}

/// Many at once, ended one by one or together.
pub(super) fn batch(worker: &mut Worker) {
    let base = worker.base();
    let batch = base.batch(worker.rng.usize(..40));
    let Some(first) = batch.first() else { return };
    let (below, guard) = first.with_cancel();
    drop(guard);
    worker.ended(&below, Error::Canceled, None);
    if worker.one_in(16) {
        let results = batch.process(|index, ctx| ctx.check().map(|()| index));
        let right = results
            .iter()
            .enumerate()
            .all(|(index, result)| *result == Ok(index));
        worker.ensure(right, || format!("a batch gave {results:?}"));
    }
    if worker.rng.bool() {
        let (reason, number) = worker.reason();
        batch.cancel_with(reason);
        for ctx in &batch {
            worker.ended(ctx, Error::Canceled, Some(number));
        }
    }
}

/// Kept until another takes its place: of the oldest in the lists.
pub(super) fn keep(worker: &mut Worker) {
    let pair = match worker.rng.u32(..3) {
        0 => worker.stage.root.with_cancel(),
        1 => worker.stage.root.with_timeout(LONG),
        _ => {
            let root = &worker.stage.root;
            Context::merge([root, &root.with_cancel().0])
        }
    };
    if worker.kept.len() < super::KEPT {
        worker.kept.push(pair);
    } else {
        let at = worker.rng.usize(..worker.kept.len());
        worker.kept[at] = pair;
    }
}

/// Derived from one that is done, or that may be.
pub(super) fn born_done(worker: &mut Worker) {
    let Some(at) = worker.rng.usize(..=worker.kept.len()).checked_sub(1) else {
        return;
    };
    let (ctx, guard) = &worker.kept[at];
    if let Some(error) = ctx.err() {
        let (child, _guard) = ctx.with_timeout(LONG);
        worker.ended(&child, error, None);
    } else if at.is_multiple_of(2) {
        guard.cancel();
        worker.ended(ctx, Error::Canceled, None);
    } else {
        let (child, _guard) = ctx.with_cancel();
        worker.ensure(!child.is_done(), || format!("{child} was born done"));
        worker.ensure(ctx.child_count() > 0, || {
            format!("{ctx} does not count its child")
        });
    }
}

pub(super) fn light(worker: &mut Worker) {
    let light = Light::under(&worker.base(), Duration::from_micros(worker.rng.u64(..200)));
    while !light.is_done() {
        std::hint::spin_loop();
    }
    let error = light.err();
    light.cancel();
    let right = error == Some(Error::DeadlineExceeded) && light.err() == error;
    worker.ensure(right, || format!("{light:?} ended with {error:?}"));
    worker.ensure(light.remaining() == Some(Duration::ZERO), || {
        format!("{light:?} was early")
    });
}

/// The stock is emptied and filled while others are at it.
pub(super) fn pool(worker: &mut Worker) {
    if worker.rng.bool() {
        Pool::trim();
    } else {
        Pool::fill(worker.rng.usize(..4_096));
    }
}
