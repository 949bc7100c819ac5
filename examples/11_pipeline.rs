//! Numbers are generated, squared, raised by ten and filtered: by a thread for each stage, with channels between them, and as an async
//! stream. Cancelled in the middle, each stage says what it had done.
//!
//! Run with `cargo run --example 11_pipeline`.

use futures_util::{Stream, StreamExt, stream};
use ripcord::channel::{self, Receiver, Sender};
use ripcord::{Cause, Context, Error, Group};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub fn main() {
    let run = on_threads(&Context::background(), 10, usize::MAX);
    println!("on threads, ten numbers: {run:?}");
    let run = on_threads(&Context::background(), u64::MAX, 5);
    println!("numbers without end, cancelled after 5 results: {run:?}");

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be started");
    let run = runtime.block_on(as_stream(&Context::background(), 10, usize::MAX));
    println!("as a stream, ten numbers: {run:?}");
    let run = runtime.block_on(as_stream(&Context::background(), u64::MAX, 5));
    println!("numbers without end, cancelled after 5 results: {run:?}");
}

pub const STAGES: [&str; 4] = ["generate", "square", "add ten", "keep even"];

/// What came out, and how many numbers each stage had passed on.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub results: Vec<u64>,
    pub passed_on: [usize; 4],
}

#[derive(Clone, Default)]
struct Counts(Arc<[AtomicUsize; 4]>);

impl Counts {
    fn passed_on(&self, stage: usize) {
        self.0[stage].fetch_add(1, Ordering::Relaxed);
    }

    fn all(&self) -> [usize; 4] {
        std::array::from_fn(|stage| self.0[stage].load(Ordering::Relaxed))
    }
}

fn square(n: u64) -> u64 {
    n.wrapping_mul(n)
}

fn add_ten(n: u64) -> u64 {
    n.wrapping_add(10)
}

fn is_even(n: &u64) -> bool {
    n.is_multiple_of(2)
}

/// A thread for each stage; no stage is more than one number ahead of the next. After so many results it is cancelled, with what is
/// under way in it.
pub fn on_threads(parent: &Context, numbers: u64, enough: usize) -> Run {
    let stages = Group::new(parent);
    let counts = Counts::default();
    let (first, generated) = channel::bounded(1);
    let (second, squared) = channel::bounded(1);
    let (third, raised) = channel::bounded(1);
    let (last, results) = channel::bounded(1);
    spawn(&stages, 0, &counts, first, move |_| 1..=numbers, Some);
    spawn(&stages, 1, &counts, second, received(generated), |n| {
        Some(square(n))
    });
    spawn(&stages, 2, &counts, third, received(squared), |n| {
        Some(add_ten(n))
    });
    spawn(&stages, 3, &counts, last, received(raised), |n| {
        Some(n).filter(is_even)
    });

    let results = results.iter(stages.context()).take(enough).collect();
    stages.cancel_with(Cause::msg("enough"));
    let ended = stages.join();
    ended.expect("a stage that is cut off is no failure");
    Run {
        results,
        passed_on: counts.all(),
    }
}

fn received(input: Receiver<u64>) -> impl FnOnce(&Context) -> Box<dyn Iterator<Item = u64>> + Send {
    move |ctx| {
        let ctx = ctx.clone();
        Box::new(std::iter::from_fn(move || input.recv(&ctx).ok()))
    }
}

/// A stage ends when its input does, when the context is done, or when nobody takes what it gives.
fn spawn<I: Iterator<Item = u64>>(
    stages: &Group,
    stage: usize,
    counts: &Counts,
    output: Sender<u64>,
    input: impl FnOnce(&Context) -> I + Send + 'static,
    step: impl Fn(u64) -> Option<u64> + Send + 'static,
) {
    let counts = counts.clone();
    let work = move |ctx: &Context| {
        for number in input(ctx).filter_map(step) {
            if output.send(ctx, number).is_err() {
                break;
            }
            counts.passed_on(stage);
        }
        Ok::<_, Error>(())
    };
    stages.spawn(work).expect("a thread can be started");
}

/// The same in one task: `take_until` looks at the context before each number.
pub async fn as_stream(parent: &Context, numbers: u64, enough: usize) -> Run {
    let (ctx, guard) = parent.with_cancel();
    let counts = Counts::default();
    let mut pipeline = std::pin::pin!(stages(&ctx, numbers, &counts));
    let mut results = Vec::new();
    while let Some(number) = pipeline.next().await {
        results.push(number);
        if results.len() == enough {
            guard.cancel();
        }
    }
    Run {
        results,
        passed_on: counts.all(),
    }
}

fn stages(ctx: &Context, numbers: u64, counts: &Counts) -> impl Stream<Item = u64> {
    let count = |stage| {
        let counts = counts.clone();
        move |_: &u64| counts.passed_on(stage)
    };
    stream::iter(1..=numbers)
        .inspect(count(0))
        .map(square)
        .inspect(count(1))
        .map(add_ten)
        .inspect(count(2))
        .filter(|n| std::future::ready(is_even(n)))
        .inspect(count(3))
        .take_until(ctx.done())
}
