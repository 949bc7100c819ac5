//! A context that is done tells which context ended by itself, how, and, with the feature, where that was made.

use ripcord::{Cause, Context, ContextKind, EndKind, Engine, Origin};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn seen(ctx: &Context) -> (ContextKind, EndKind, usize) {
    let origin = ctx.origin().expect("it is done");
    assert_eq!(origin.is_own(), origin.depth() == 0);
    (origin.kind(), origin.end(), origin.depth())
}

fn parent(ctx: &Context) -> Option<usize> {
    ctx.origin().expect("it is done").parent()
}

#[test]
fn what_is_live_or_can_never_be_done_has_no_origin() {
    let (ctx, _guard) = Context::background().with_cancel();
    assert_eq!(ctx.origin(), None);
    assert_eq!(Context::background().origin(), None);
    assert_eq!(Engine::global().background().origin(), None);
}

#[test]
fn a_cancel_is_its_own_or_that_of_the_ancestor_it_was_made_on() {
    let (top, top_guard) = Context::background().with_cancel();
    let (middle, middle_guard) = top.with_cancel();
    let (below, _below_guard) = middle.with_timeout(DAY);
    let (leaf, _leaf_guard) = below.with_cancel();
    middle_guard.cancel_with(Cause::msg("enough"));
    assert_eq!(seen(&middle), (ContextKind::Cancel, EndKind::Cancel, 0));
    assert_eq!(seen(&leaf), (ContextKind::Cancel, EndKind::Cancel, 2));
    assert_eq!(top.origin(), None);

    top_guard.cancel();
    assert_eq!(seen(&leaf).2, 2, "it never changes");
    let (late, _late_guard) = leaf.with_timeout(DAY);
    assert_eq!(seen(&late), (ContextKind::Cancel, EndKind::Cancel, 3));
}

#[test]
fn a_deadline_is_its_own_or_that_of_the_ancestor_that_has_it() {
    let (engine, clock) = Engine::builder().manual_clock().expect("no thread");
    let (request, _g1) = engine.background().with_timeout(DAY);
    let (later, _g2) = request.with_timeout(2 * DAY);
    let (sooner, _g3) = later.with_timeout(DAY / 2);
    clock.advance(DAY / 2);
    assert_eq!(seen(&sooner), (ContextKind::Deadline, EndKind::Deadline, 0));
    assert_eq!(later.origin(), None);
    clock.advance(DAY / 2);
    assert_eq!(seen(&later), (ContextKind::Deadline, EndKind::Deadline, 1));
    assert_eq!(seen(&sooner).2, 0, "it was first");

    let (passed, _g4) = engine.background().with_timeout(Duration::ZERO);
    assert_eq!(seen(&passed), (ContextKind::Deadline, EndKind::Deadline, 0));
    let (timed, guard) = engine.background().with_timeout(DAY);
    guard.cancel();
    assert_eq!(seen(&timed), (ContextKind::Deadline, EndKind::Cancel, 0));
}

#[test]
fn a_shutdown_of_the_engine_is_told_from_a_cancel() {
    let (engine, _driver) = Engine::builder().driven().expect("no thread");
    let (timed, _g1) = engine.background().with_timeout(DAY);
    let (below, _g2) = timed.with_cancel();
    engine.shutdown();
    let stopped = (ContextKind::Deadline, EndKind::EngineStopped);
    assert_eq!(seen(&timed), (stopped.0, stopped.1, 0));
    assert_eq!(seen(&below), (stopped.0, stopped.1, 1));
}

#[test]
fn a_merged_context_tells_by_which_parent_it_ended() {
    for which in 0..3 {
        let (parents, mut guards): (Vec<_>, Vec<_>) =
            (0..3).map(|_| Context::background().with_cancel()).unzip();
        let (merged, _merged_guard) = Context::merge(&parents);
        let (below, _below_guard) = merged.with_cancel();
        drop(guards.remove(which));
        assert_eq!(seen(&merged), (ContextKind::Cancel, EndKind::Cancel, 1));
        assert_eq!(seen(&below).2, 2);
        assert_eq!(
            (parent(&merged), parent(&below)),
            (Some(which), Some(which))
        );
    }
    let (first, _g1) = Context::background().with_cancel();
    let (merged, merged_guard) = Context::merge([&first]);
    merged_guard.cancel();
    assert_eq!(seen(&merged), (ContextKind::Merge, EndKind::Cancel, 0));
    assert_eq!(parent(&merged), None, "it was no parent");
}

#[test]
fn a_merge_of_more_parents_than_one_node_has_links_tells_by_which_it_ended() {
    /// One more than a state word has room for.
    const PARENTS: usize = (1 << 19) + 1;
    let rest = Context::background().batch(PARENTS - 2);
    for which in [0, PARENTS - 1] {
        let (first, first_guard) = Context::background().with_cancel();
        let (last, last_guard) = Context::background().with_cancel();
        let parents = [&first].into_iter().chain(rest.iter()).chain([&last]);
        let (merged, _guard) = Context::merge(parents);
        let (below, _below_guard) = merged.with_cancel();
        drop(if which == 0 { first_guard } else { last_guard });
        assert_eq!(seen(&merged), (ContextKind::Cancel, EndKind::Cancel, 1));
        assert_eq!(seen(&below).2, 2);
        assert_eq!(
            (parent(&merged), parent(&below)),
            (Some(which), Some(which))
        );
        let text = merged.to_string();
        let whole = "context.Merge(context.Background.WithCancel, ";
        assert!(text.starts_with(whole), "{text}");
    }
}

#[test]
fn a_parent_that_was_done_before_the_merge_is_the_one() {
    let (live, _g1) = Context::background().with_cancel();
    let (done, guard) = Context::background().with_cancel();
    guard.cancel();
    let (merged, _g2) = Context::merge([&live, &live, &done]);
    assert_eq!(parent(&merged), Some(1), "one named twice counts once");
}

#[test]
fn a_batch_is_a_level_where_it_was_itself_cancelled() {
    let (request, guard) = Context::background().with_cancel();
    let batch = request.batch(2);
    batch.cancel();
    assert_eq!(seen(&batch[0]), (ContextKind::Batch, EndKind::Cancel, 1));

    let other = request.batch(1);
    guard.cancel();
    assert_eq!(seen(&other[0]), (ContextKind::Cancel, EndKind::Cancel, 1));
}

/// What each way of making a context is, and the line it stands on.
fn made() -> Vec<(Origin, u32)> {
    let background = Context::background();
    let at = std::time::Instant::now() + DAY;
    let why = || Cause::msg("x");
    #[rustfmt::skip]
    let made = [
        (background.with_cancel(), line!()),
        (background.with_timeout(DAY), line!()),
        (background.with_deadline(at), line!()),
        (background.with_timeout_cause(DAY, why()), line!()),
        (background.with_deadline_cause(at, why()), line!()),
        (Context::merge([&background]), line!()),
        (Context::merge([&background.with_cancel().0.with_cancel().0]), line!()),
    ];
    let origins = made.into_iter().map(|((ctx, guard), line)| {
        guard.cancel();
        let (below, _below_guard) = ctx.with_cancel();
        (below.origin().expect("it is done"), line)
    });
    origins.collect()
}

#[test]
fn the_line_of_source_is_told_with_the_feature_and_only_then() {
    for (origin, line) in made() {
        let place = origin.location().map(|at| (at.file(), at.line()));
        let expected = cfg!(feature = "origin").then_some((file!(), line));
        assert_eq!(place, expected);
        let end = if cfg!(feature = "origin") {
            format!("{}:{line}", file!())
        } else {
            "up".to_owned()
        };
        assert!(origin.to_string().contains(&end), "{origin}");
    }
    let batch = Context::background().batch(1);
    let line = line!() - 1;
    batch.cancel();
    let place = batch[0].origin().and_then(|origin| origin.location());
    let expected = cfg!(feature = "origin").then_some(line);
    assert_eq!(place.map(|at| at.line()), expected);
}

#[test]
fn an_origin_reads_as_a_sentence() {
    let (ctx, guard) = Context::background().with_cancel();
    let (a, _ga) = ctx.with_cancel();
    let (b, _gb) = Context::merge([&a]);
    guard.cancel();
    let first = |ctx: &Context| {
        let text = ctx.origin().expect("it is done").to_string();
        text.split(", made").next().unwrap_or_default().to_owned()
    };
    assert_eq!(first(&ctx), "cancel of WithCancel itself");
    assert_eq!(first(&a), "cancel of WithCancel one level up");
    assert_eq!(
        first(&b),
        "cancel of WithCancel 2 levels up, by parent 0 of a merge"
    );
}
