//! What the hot paths take in instructions, each [`OPERATIONS`] times after as many that are not counted.

use gungraun::{library_benchmark, library_benchmark_group, main};
use operations::*;
use ripcord::{Context, Engine, Light, ManualClock};
use std::hint::black_box;
use std::time::Duration;

#[path = "../operations.rs"]
#[allow(dead_code, reason = "`locked` has some for itself")]
mod operations;

const OPERATIONS: usize = 1_000;
fn many(mut operation: impl FnMut()) {
    (0..OPERATIONS).for_each(|_| operation());
}

/// A root, warmed up with what is to be counted.
fn warmed(operation: fn(&Context)) -> Rooted {
    let root = Context::background().with_cancel();
    many(|| operation(&root.0));
    root
}

fn valued() -> Rooted {
    let (root, guard) = Context::background().with_cancel();
    let root = root.with_value(&FIRST, 1);
    many(|| set(&root));
    (root, guard)
}

fn fan() -> (Rooted, Vec<Rooted>) {
    let root = warmed(child);
    let children = (0..OPERATIONS).map(|_| root.0.with_cancel()).collect();
    (root, children)
}

#[library_benchmark]
#[bench::look(setup = warmed, args = (look))]
fn is_done(root: Rooted) -> Rooted {
    many(|| look(&root.0));
    root
}

macro_rules! counted {
    ($($name:ident: $setup:expr, $operation:ident;)*) => {
        $(
            #[library_benchmark]
            #[bench::steady($setup)]
            fn $name(root: Rooted) -> Rooted {
                many(|| $operation(&root.0));
                root
            }
        )*
    };
}

counted! {
    child_made_and_dropped: warmed(child), child;
    child_canceled: warmed(canceled_child), canceled_child;
    timeout_armed_and_disarmed: warmed(timeout), timeout;
    first_wait: warmed(wait_once), wait_once;
    whole_request: warmed(request), request;
    value_set: valued(), set;
    value_found: valued(), get;
    value_missing: valued(), miss;
    batch: warmed(batch_of_ten), batch_of_ten;
}

#[library_benchmark]
#[bench::fan(fan())]
fn cancel_of_a_fan(fan: (Rooted, Vec<Rooted>)) -> (Rooted, Vec<Rooted>) {
    fan.0.1.cancel();
    fan
}

type Clocked = (Engine, ManualClock);

/// A deadline that comes, and what is collected for it: one at a time.
fn fire((engine, clock): &Clocked) {
    let (ctx, guard) = engine.background().with_timeout(Duration::from_nanos(1));
    clock.advance(Duration::from_nanos(1));
    assert!(ctx.is_done());
    drop((ctx, guard));
}

fn clocked() -> Clocked {
    let clocked = Engine::builder().manual_clock().expect("it starts nothing");
    many(|| fire(&clocked));
    clocked
}

#[library_benchmark]
#[bench::steady(clocked())]
fn deadline_fired(clocked: Clocked) -> Clocked {
    many(|| fire(&clocked));
    clocked
}

#[library_benchmark]
#[bench::flag(Light::with_timeout(LONG))]
fn light_polled(light: Light) -> Light {
    many(|| {
        let _ = black_box(black_box(&light).check());
    });
    light
}

library_benchmark_group!(
    name = hot_paths;
    benchmarks =
        is_done,
        child_made_and_dropped,
        child_canceled,
        timeout_armed_and_disarmed,
        deadline_fired,
        first_wait,
        whole_request,
        value_set,
        value_found,
        value_missing,
        batch,
        cancel_of_a_fan,
        light_polled,
);

main!(library_benchmark_groups = hot_paths);
