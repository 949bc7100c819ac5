//! How costs grow: with depth, fan-out, armed timers and threads.
//!
//! `cargo bench --bench growth`; with `RIPCORD_PERF=write` the figures go into PERF.md and the plots into `perf/`.

mod common;
mod report;

use common::timeouts::{arm_tokio, crowd_ours, crowd_tokio, timeout_ours, timeout_tokio};
use common::tree::{self, crowded};
use common::{LONG, Ripcord, Subject, Token, time_threads};
use report::{Chart, Figures, middle, sized};
use ripcord::{Context, Key};
use std::collections::VecDeque;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const TOKIO_UTIL: &str = "tokio-util";
const TOKIO: &str = "tokio";
const NANOSECONDS: &str = "ns";

static FIRST: Key<usize> = Key::new("first");
static OTHERS: [Key<usize>; 7] = [const { Key::new("other") }; 7];

/// The cost of one of `run`'s operations, in nanoseconds: the median of a few samples of some milliseconds.
fn cost(mut run: impl FnMut(u64) -> Duration) -> f64 {
    let sample = Duration::from_millis(sized(5, 0));
    let mut is_short = |n| {
        let start = Instant::now();
        run(n);
        start.elapsed() < sample
    };
    let mut n = 1;
    // Twice, for once may be a pause of the machine's, or what was left to do from before.
    while is_short(n) || is_short(n) {
        n *= 2;
    }
    middle((0..sized(7, 1)).map(|_| run(n).as_nanos() as f64 / n as f64))
}

fn timed(mut run: impl FnMut(u64)) -> f64 {
    cost(|n| {
        let start = Instant::now();
        run(n);
        start.elapsed()
    })
}

fn timed_each(mut op: impl FnMut()) -> f64 {
    timed(|n| (0..n).for_each(|_| op()))
}

fn value(depth: usize) -> f64 {
    let set = |ctx: Context, n: usize| ctx.with_value(&OTHERS[n % 7], n);
    let ctx = (1..depth).fold(Context::background().with_value(&FIRST, 0), set);
    timed_each(|| {
        black_box(black_box(&ctx).value(&FIRST));
    })
}

/// Each set copies the map, so that as many cost time.
fn value_otel(depth: usize) -> f64 {
    #[derive(Debug)]
    struct First(#[expect(dead_code, reason = "it is found, not read")] usize);
    #[derive(Debug)]
    struct Other(#[expect(dead_code, reason = "it hides the one before")] usize);
    let set = |ctx: opentelemetry::Context, n| ctx.with_value(Other(n));
    let ctx = (1..depth).fold(opentelemetry::Context::new().with_value(First(0)), set);
    timed_each(|| {
        black_box(black_box(&ctx).get::<First>());
    })
}

fn beside<S: Subject>(siblings: usize) -> f64 {
    let (root, _crowd) = crowded::<S>(siblings);
    timed(|n| tree::child(&root, n))
}

fn cancel<S: Subject>(children: usize) -> f64 {
    cost(|n| (0..n).map(|_| tree::cancel_fan::<S>(children)).sum())
}

fn chain<S: Subject>(levels: usize) -> f64 {
    timed_each(|| tree::chain::<S>(levels))
}

fn timeout(armed: usize) -> f64 {
    let (root, _crowd) = crowd_ours(armed);
    timed(|n| timeout_ours(&root, n))
}

fn timeout_peer(armed: usize) -> f64 {
    let (_crowd, runtime) = crowd_tokio(armed);
    timed(|n| timeout_tokio(&runtime, n))
}

/// As a server has them whose requests end one after the other, and in time.
fn in_flight(size: usize) -> f64 {
    let (root, crowd) = crowd_ours(size);
    let mut crowd = VecDeque::from(crowd);
    timed_each(|| {
        crowd.push_back(Ripcord::from(root.0.with_timeout(LONG)));
        crowd.pop_front();
    })
}

fn in_flight_peer(size: usize) -> f64 {
    let (crowd, runtime) = crowd_tokio(size);
    let _entered = runtime.enter();
    let mut crowd = VecDeque::from(crowd);
    timed_each(|| {
        crowd.push_back(arm_tokio());
        crowd.pop_front();
    })
}

fn threads<S: Subject>(threads: usize) -> f64 {
    let root = S::root();
    cost(|n| time_threads(threads, || tree::child(&root, n)))
}

/// One plot: a row for each size, measured by each of `subjects`.
struct Growth {
    file: &'static str,
    title: &'static str,
    x: &'static str,
    sizes: &'static [usize],
    ours: fn(usize) -> f64,
    peer: (&'static str, fn(usize) -> f64),
    /// What is measured is this many operations for each of a size, or for all.
    per_size: bool,
}

const DECADES: &[usize] = &[1, 10, 100, 1_000, 10_000, 100_000];

const GROWTHS: [Growth; 7] = [
    Growth {
        file: "value-depth",
        title: "Looking up the oldest value",
        x: "sets deep",
        sizes: &[8, 100, 1_000, 10_000, 100_000],
        ours: value,
        peer: ("opentelemetry", value_otel),
        per_size: false,
    },
    Growth {
        file: "siblings",
        title: "Child made and dropped beside live siblings",
        x: "siblings",
        sizes: DECADES,
        ours: beside::<Ripcord>,
        peer: (TOKIO_UTIL, beside::<Token>),
        per_size: false,
    },
    Growth {
        file: "cancel-fan",
        title: "Cancel of a root, a child",
        x: "children",
        sizes: &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
        ours: cancel::<Ripcord>,
        peer: (TOKIO_UTIL, cancel::<Token>),
        per_size: true,
    },
    Growth {
        file: "chain",
        title: "Chain made, cancelled at its root and dropped, a level",
        x: "levels",
        sizes: &[1, 10, 100, 1_000, 10_000],
        ours: chain::<Ripcord>,
        peer: (TOKIO_UTIL, chain::<Token>),
        per_size: true,
    },
    Growth {
        file: "armed",
        title: "Timeout armed and disarmed beside armed ones",
        x: "armed",
        sizes: &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
        ours: timeout,
        peer: (TOKIO, timeout_peer),
        per_size: false,
    },
    Growth {
        file: "in-flight",
        title: "Timeout armed, and the oldest dropped",
        x: "in flight",
        sizes: DECADES,
        ours: in_flight,
        peer: (TOKIO, in_flight_peer),
        per_size: false,
    },
    // A thread's own cost counts all that run beside it: on as many processors it stays, on fewer they take turns.
    Growth {
        file: "threads",
        title: "Child of one root made and dropped, to each thread",
        x: "threads",
        sizes: &[1, 2, 4, 8],
        ours: threads::<Ripcord>,
        peer: (TOKIO_UTIL, threads::<Token>),
        per_size: false,
    },
];

fn main() -> ExitCode {
    let mut figures = Figures::new("growth", &[TOKIO_UTIL, TOKIO, "opentelemetry"]);
    for growth in GROWTHS {
        let mut points = Vec::new();
        for &size in growth.sizes {
            let id = format!("{}-{size}", growth.file);
            let label = format!("{}, {}: {size}", growth.title, growth.x);
            let measured = sized(size, size.min(100));
            let (name, peer) = growth.peer;
            figures
                .row(id.clone(), label)
                .ours_found(move || (growth.ours)(measured))
                .peer_found(name, move || peer(measured))
                .per(if growth.per_size { size } else { 1 });
            points.push((size as f64, id));
        }
        figures.chart(Chart {
            file: growth.file,
            title: growth.title,
            x: growth.x,
            y: NANOSECONDS,
            points,
            drawn: Vec::new(),
        });
    }
    figures.finish()
}
