//! A budget of time: three jobs have one second between them. The quick one and the medium one are through before it is
//! over; the slow one ends with it, for it looks at its context as it works.
//!
//! A timeout is counted once, from the call that makes it. What is done under the context takes its time from the same
//! second, and [`remaining`](Context::remaining) says what the next may still have.
//!
//! Run with `cargo run --example 03_timeout`.

use ripcord::{Context, Error};
use std::time::Duration;

/// What a job is called, and how far it counts. The last would take years.
pub const JOBS: [(&str, u64); 3] = [("quick", 1_000), ("medium", 30_000), ("slow", u64::MAX)];

/// Numbers looked at between two looks at the context.
const NUMBERS_PER_CHECK: u64 = 256;

/// How a job ended, and what was left of the budget then.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub job: &'static str,
    pub primes: Result<u64, Error>,
    pub left: Duration,
}

pub fn main() {
    for Outcome { job, primes, left } in run_jobs(&Context::background(), Duration::from_secs(1)) {
        match primes {
            Ok(primes) => println!("{job}: {primes} primes, {left:.0?} left"),
            Err(error) => println!("{job}: {error}, {left:.0?} left"),
        }
    }
    println!("asked for a minute, given {:.0?}", ask_for_more());
}

/// Each job in its turn, under what those before it have left.
pub fn run_jobs(root: &Context, budget: Duration) -> impl Iterator<Item = Outcome> + use<> {
    let (ctx, guard) = root.with_timeout(budget);
    JOBS.into_iter().map(move |(job, below)| {
        // Moved in here, the guard lives as long as there are jobs; dropped earlier, it would cancel them.
        let _guard = &guard;
        Outcome {
            job,
            primes: count_primes(&ctx, below),
            left: ctx.remaining().unwrap_or_default(),
        }
    })
}

/// A thread cannot be stopped from outside: it looks, which costs one load, and leaves by `?`.
pub fn count_primes(ctx: &Context, below: u64) -> Result<u64, Error> {
    let mut primes = 0;
    for number in 2..below {
        if number % NUMBERS_PER_CHECK == 0 {
            ctx.check()?;
        }
        primes += u64::from((2..=number.isqrt()).all(|divisor| number % divisor != 0));
    }
    Ok(primes)
}

/// A child has its parent's deadline where its own would be later: a budget is never exceeded from inside.
pub fn ask_for_more() -> Duration {
    let (request, _guard) = Context::background().with_timeout(Duration::from_secs(1));
    let (greedy, _greedy_guard) = request.with_timeout(Duration::from_secs(60));
    greedy.remaining().unwrap_or(Duration::MAX)
}
