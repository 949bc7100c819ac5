//! The two sides, in turns, and what is written of them.

use super::common::timeouts::runtime;
use super::common::{LONG, noop};
use super::observe::{Seen, install, observe};
use super::report::{Chart, Figures, Series, Unit, middle, sized};
use ripcord::Context;
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const OURS: &str = "ripcord";
const TOKIO: &str = "tokio-util and tokio";

/// Of each side; in each they take turns.
const ROUNDS: usize = 10;
const STOPS: usize = 25;

const QUANTILES: [(f64, &str); 5] = [
    (0.5, "median"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (1.0, "slowest"),
];

/// A child with a timeout, a wait under both, a cancel, and drop.
fn request_ours(root: &Context) {
    let (ctx, guard) = root.with_timeout(LONG);
    let mut done = ctx.done();
    assert!(Pin::new(&mut done).poll(&mut noop()).is_pending());
    guard.cancel();
    assert!(Pin::new(&mut done).poll(&mut noop()).is_ready());
}

fn request_tokio(root: &CancellationToken, runtime: &Runtime) {
    let _entered = runtime.enter();
    let token = root.child_token();
    let mut wait = pin!(tokio::time::timeout(LONG, token.cancelled()));
    assert!(black_box(&mut wait).as_mut().poll(&mut noop()).is_pending());
    token.cancel();
    assert!(wait.poll(&mut noop()).is_ready());
}

fn warm_up() -> usize {
    sized(10_000, 100)
}

/// Whatever a side calls is a part of what it costs.
fn no_calls() -> usize {
    0
}

fn ours(stops: usize) -> Seen {
    let (root, _guard) = Context::background().with_cancel();
    observe(stops, warm_up(), no_calls, || request_ours(&root))
}

fn tokio(stops: usize) -> Seen {
    let runtime = runtime();
    let root = CancellationToken::new();
    observe(stops, warm_up(), no_calls, || {
        request_tokio(&root, &runtime)
    })
}

pub(super) fn main() -> ExitCode {
    let mut figures = Figures::new("stall", &["tokio-util", "tokio"]);
    if !figures.asks_for("stall") {
        return figures.finish();
    }
    install();
    let (rounds, stops) = (sized(ROUNDS, 1), sized(STOPS, 2));
    let mut all = [Seen::nothing(), Seen::nothing()];
    let mut ratios = Vec::new();
    for round in 0..rounds {
        // Who is first changes as well.
        let turns = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut slowest = [0.0; 2];
        for side in turns {
            let seen = [ours, tokio][side](stops);
            slowest[side] = seen.times.max() as f64;
            all[side].add(&seen);
        }
        ratios.push(slowest[1] / slowest[0]);
    }
    assert!(all.iter().all(|seen| !seen.times.is_empty()));
    figures.note(table(&all, rounds * stops, middle(ratios)));
    figures.chart(Chart {
        file: "stall",
        title: "Operations beside a thread that is stopped for 30 ms",
        x: "one in so many takes longer",
        y: "ns",
        points: Vec::new(),
        drawn: [OURS, TOKIO]
            .into_iter()
            .zip(&all)
            .map(|(subject, seen)| line(subject, seen))
            .collect(),
    });
    figures.finish()
}

fn table(all: &[Seen; 2], stops: usize, ratio: f64) -> String {
    let mut table = format!(
        "{stops} stops a side. The slowest operation of a round: ×{ratio:.2}, the median of the rounds' ratios.\n\n\
         | | {OURS} | {TOKIO} |\n|---|--:|--:|\n"
    );
    let mut row = |label: &str, figure: &dyn Fn(&Seen) -> String| {
        let [ours, theirs] = [&all[0], &all[1]].map(figure);
        table += &format!("| {label} | {ours} | {theirs} |\n");
    };
    row("operations", &|seen| seen.times.len().to_string());
    for (quantile, label) in QUANTILES {
        row(label, &|seen| {
            Unit::Time.show(seen.times.value_at_quantile(quantile) as f64)
        });
    }
    row("over 15 ms, by the observer's own doing", &|seen| {
        seen.stalls().to_string()
    });
    row("of these it slept", &|seen| seen.slept.to_string());
    row("of these it burnt the processor", &|seen| {
        seen.burnt.to_string()
    });
    row("over 15 ms, preempted by others", &|seen| {
        seen.preempted.to_string()
    });
    table
}

/// The quantiles from the median to as far as there are operations.
fn line(subject: &'static str, seen: &Seen) -> Series {
    let most = seen.times.len() as f64;
    let steps = (1..).map(|n| 2_f64.powi(n));
    let points = steps.take_while(|one_in| *one_in < most).map(|one_in| {
        let value = seen.times.value_at_quantile(1.0 - 1.0 / one_in);
        (one_in, value as f64)
    });
    Series {
        subject,
        points: points.collect(),
    }
}
