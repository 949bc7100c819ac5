//! What a context costs, and what costs less where there are many: a stock filled beforehand, a batch, a `Light`, the compact
//! vector of values; each beside the plain way, timed in one run, with the bytes a context takes.
//!
//! Run with `cargo run --release --example 21_performance`. It is a demonstration: PERF.md has the measurements.

use ripcord::{Context, Error, Key, Light, Pool};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

pub fn main() {
    for Compared { what, plain, other } in compare(20_000) {
        println!("{what}");
        for Row { how, each, bytes } in [plain, other] {
            let bytes = bytes.map_or(String::new(), |bytes| format!(", {bytes} bytes each"));
            println!("  {how:<44} {each:>8.1?}{bytes}");
        }
    }
    let results = square_in_a_batch(8);
    println!("a batch of 8, processed in parallel, the third of which fails: {results:?}");
}

/// One way of doing it.
pub struct Row {
    pub how: &'static str,
    /// What one takes, on average.
    pub each: Duration,
    /// Of its node, or of itself where it has none.
    pub bytes: Option<usize>,
}

pub struct Compared {
    pub what: &'static str,
    pub plain: Row,
    pub other: Row,
}

/// Each pair with so many repetitions.
pub fn compare(times: usize) -> Vec<Compared> {
    vec![
        first_contexts(times),
        many_at_once(times),
        poll_a_deadline(times),
        carry_values(times),
    ]
}

fn timed(how: &'static str, times: usize, work: impl FnOnce()) -> Row {
    let start = Instant::now();
    work();
    Row {
        how,
        each: start.elapsed() / times.max(1) as u32,
        bytes: None,
    }
}

/// What the nodes of so many contexts take, each, where none was in stock.
fn bytes_each<T>(times: usize, make: impl FnOnce() -> Vec<T>) -> usize {
    Pool::trim();
    let before = Pool::stats().allocated_bytes;
    let kept = make();
    let bytes = Pool::stats().allocated_bytes.saturating_sub(before);
    drop(kept);
    bytes / times.max(1)
}

/// The first requests of a process, with nodes from the allocator, and from a stock that was filled before. What was in use
/// once is in stock anyhow: a service that runs allocates nothing.
fn first_contexts(times: usize) -> Compared {
    // What there is room for in stock.
    let times = times.min(4_096);
    let make = || -> Vec<_> {
        (0..times)
            .map(|_| Context::background().with_timeout(MINUTE))
            .collect()
    };
    // First, for what is dropped while the wheel points at it comes back to the stock when the timer thread gets to it.
    let bytes = bytes_each(times, make);
    let mut kept = Vec::new();

    Pool::trim();
    let mut plain = timed("with_timeout, nothing in stock", times, || kept = make());
    kept.clear();

    Pool::trim();
    Pool::fill(times);
    let other = timed("with_timeout after Pool::fill", times, || kept = make());
    kept.clear();
    plain.bytes = Some(bytes);
    Compared {
        what: "a context with a deadline, made for the first time",
        plain,
        other,
    }
}

/// A fan-out: as many children one by one, and as a batch with one registration.
fn many_at_once(times: usize) -> Compared {
    const FAN: usize = 100;
    let rounds = times.div_ceil(FAN);
    let (request, _guard) = Context::background().with_cancel();
    let mut plain = timed("with_cancel, one by one", rounds * FAN, || {
        for _ in 0..rounds {
            let children: Vec<_> = (0..FAN).map(|_| request.with_cancel()).collect();
            drop(black_box(children));
        }
    });
    let mut other = timed("batch(100)", rounds * FAN, || {
        for _ in 0..rounds {
            drop(black_box(request.batch(FAN)));
        }
    });
    let apart = || (0..times).map(|_| request.with_cancel()).collect();
    plain.bytes = Some(bytes_each(times, apart));
    other.bytes = Some(bytes_each(times, || vec![request.batch(times)]));
    Compared {
        what: "a hundred children, made and dropped; one of them",
        plain,
        other,
    }
}

/// A slice of time in an inner loop: a context with a timer, and a deadline on the stack.
fn poll_a_deadline(times: usize) -> Compared {
    let (request, _guard) = Context::background().with_timeout(MINUTE);
    let plain = timed("with_timeout and check", times, || {
        for _ in 0..times {
            let (slice, _slice_guard) = request.with_timeout(MINUTE / 2);
            let _ = black_box(slice.check());
        }
    });
    let mut other = timed("Light::under and check", times, || {
        for _ in 0..times {
            let slice = Light::under(&request, MINUTE / 2);
            let _ = black_box(slice.check());
        }
    });
    other.bytes = Some(size_of::<Light>());
    Compared {
        what: "a deadline that is looked at once",
        plain,
        other,
    }
}

static USER: Key<u64> = Key::new("user");
static TRACE: Key<u64> = Key::new("trace");
static TENANT: Key<u64> = Key::new("tenant");

/// Three values for a child: in a map that each child has a copy of, as some do, and in the vector of the context.
fn carry_values(times: usize) -> Compared {
    let names = ["user", "trace", "tenant"];
    let map: HashMap<_, _> = names.into_iter().zip(1_u64..).collect();
    let plain = timed("a HashMap copied for each child", times, || {
        for _ in 0..times {
            let copy = black_box(map.clone());
            black_box(names.iter().filter_map(|name| copy.get(name)).sum::<u64>());
        }
    });
    let ctx = Context::background()
        .with_value(&USER, 1)
        .with_value(&TRACE, 2)
        .with_value(&TENANT, 3);
    let other = timed("a clone of the context", times, || {
        for _ in 0..times {
            let copy = black_box(ctx.clone());
            let values = [&USER, &TRACE, &TENANT].map(|key| copy.value(key).copied());
            black_box(values.into_iter().flatten().sum::<u64>());
        }
    });
    Compared {
        what: "three values handed to a child, and looked up",
        plain,
        other,
    }
}

/// Each context of a batch on its own part of the work, with an answer or an error each.
pub fn square_in_a_batch(count: usize) -> Vec<Result<usize, Failed>> {
    let (request, _guard) = Context::background().with_timeout(MINUTE);
    request.batch(count).process(|index, ctx| {
        ctx.check()?;
        if index == 2 {
            return Err(Failed::Unlucky);
        }
        Ok(index * index)
    })
}

#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    Unlucky,
    Ended(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}
