//! The cases of Go's own benchmarks of its `context` package, beside Go where it is on the PATH.
//!
//! `cargo bench --bench go_suite`; with `RIPCORD_PERF=write` the figures go into PERF.md.

mod common;
mod report;

use common::{LONG, Ripcord, Subject, each, shared};
use criterion::Bencher;
use report::{Figures, sized};
use ripcord::{CancelGuard, Context, Key};
use std::hint::black_box;
use std::process::ExitCode;
use std::thread;

static KEYS: [Key<usize>; 100] = [const { Key::new("key") }; 100];
static MISSING: Key<usize> = Key::new("missing");

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn with_value() -> Ripcord {
    Context::background().with_value(&KEYS[0], 1).with_cancel()
}

fn common_parent_cancel(shared: &Ripcord, n: u64) {
    for _ in 0..n {
        let (ctx, guard) = shared.0.with_cancel();
        assert_eq!(ctx.value(&KEYS[0]), Some(&1));
        guard.cancel();
    }
}

fn armed(count: usize) -> Vec<Ripcord> {
    let background = Context::background();
    (0..sized(count, 40))
        .map(|_| background.with_timeout(LONG))
        .collect()
}

/// Ten at a time, as Go's.
fn with_timeout(_: &Vec<Ripcord>, n: u64) {
    let background = Context::background();
    for _ in 0..n {
        let made: [Ripcord; 10] = std::array::from_fn(|_| background.with_timeout(LONG));
        for (_, guard) in &made {
            guard.cancel();
        }
    }
}

/// Go leaves the contexts to its collector; ours are dropped in here.
fn build(root: Context, depth: usize) {
    let mut ctx = root;
    let mut guards: Vec<CancelGuard> = Vec::with_capacity(depth);
    for _ in 0..depth {
        let (child, guard) = ctx.with_cancel();
        guards.push(guard);
        ctx = child;
    }
    // The oldest first would cancel the whole chain once more.
    while let Some(guard) = guards.pop() {
        drop(guard.disarm());
    }
}

#[derive(Clone, Copy)]
enum Root {
    Background,
    Open,
    Closed,
}

fn cancel_tree(root: Root, depth: usize) {
    if let Root::Background = root {
        return build(Context::background(), depth);
    }
    let (ctx, guard) = Context::background().with_cancel();
    if let Root::Closed = root {
        guard.cancel();
    }
    build(ctx, depth);
    guard.cancel();
}

fn cancelled() -> Ripcord {
    let root = Ripcord::root();
    root.cancel();
    root
}

fn err(ended: &Ripcord, n: u64) {
    for _ in 0..n {
        assert!(black_box(&ended.0).err().is_some());
    }
}

fn is_done(ended: &Ripcord, n: u64) {
    for _ in 0..n {
        assert!(black_box(&ended.0).is_done());
    }
}

fn is_live(live: &Ripcord, n: u64) {
    for _ in 0..n {
        assert!(!black_box(&live.0).is_done());
    }
}

fn deep(depth: usize) -> Context {
    let keys = KEYS[..depth].iter().zip(0..);
    keys.fold(Context::background(), |ctx, (key, value)| {
        ctx.with_value(key, value)
    })
}

fn same_task(depth: usize) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    move || {
        let ctx = deep(depth);
        Box::new(move |b| b.iter(|| black_box(&ctx).value(&MISSING).is_none()))
    }
}

/// What comes nearest to a goroutine is a task on a runtime of one thread.
fn new_task(depth: usize) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    move || {
        let ctx = deep(depth);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without drivers");
        Box::new(move |b| {
            b.iter(|| {
                let ctx = ctx.clone();
                let look = async move { ctx.value(&MISSING).is_none() };
                runtime.block_on(async { tokio::spawn(look).await })
            });
        })
    }
}

fn main() -> ExitCode {
    assert_eq!(deep(100).value(&KEYS[0]), Some(&0));
    let mut figures = Figures::new("go", &[]);
    let all = processors();
    figures
        .row(
            "common-parent-cancel",
            "CommonParentCancel, without its divisions: all processors, each",
        )
        .ours(shared(all, with_value, common_parent_cancel))
        .go();
    for (count, make) in [
        (40, (|| armed(40)) as fn() -> Vec<Ripcord>),
        (4_000, || armed(4_000)),
        (400_000, || armed(400_000)),
    ] {
        figures
            .row(
                format!("with-timeout-{count}"),
                format!("WithTimeout: ten at a time beside {count} armed, all processors, each"),
            )
            .ours(shared(all, make, with_timeout))
            .go();
    }
    for depth in [1, 10, 100, 1_000] {
        for (root, name) in [
            (Root::Background, "background"),
            (Root::Open, "open"),
            (Root::Closed, "closed"),
        ] {
            figures
                .row(
                    format!("cancel-tree-{name}-{depth}"),
                    format!("CancelTree: depth {depth}, root {name}"),
                )
                .ours(each(move || cancel_tree(root, depth)))
                .go();
        }
    }
    figures
        .row("check-canceled-err", "CheckCanceled: `err`")
        .ours(shared(1, cancelled, err))
        .go();
    figures
        .row(
            "check-canceled-done",
            "CheckCanceled: Go looks at `Done`, we at `is_done`",
        )
        .ours(shared(1, cancelled, is_done))
        .go();
    figures
        .row(
            "cancel-done",
            "ContextCancelDone: the same of a live context, all processors, each",
        )
        .ours(shared(all, Ripcord::root, is_live))
        .go();
    for depth in [10, 20, 30, 50, 100] {
        figures
            .row(
                format!("deep-value-new-{depth}"),
                format!("DeepValueNewGoRoutine: depth {depth}, a tokio task for us"),
            )
            .ours(new_task(depth))
            .go();
    }
    for depth in [10, 20, 30, 50, 100] {
        figures
            .row(
                format!("deep-value-same-{depth}"),
                format!("DeepValueSameGoRoutine: depth {depth}"),
            )
            .ours(same_task(depth))
            .go();
    }
    figures.finish()
}
