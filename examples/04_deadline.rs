//! A point in time before which all has to be done: two operations work towards the same one, at once, on threads of their
//! own. A deadline is an instant, so what is derived late has no more time than what was derived early; and of two
//! deadlines on the way the earlier one counts.
//!
//! Run with `cargo run --example 04_deadline`.

use ripcord::{Cause, Context};
use std::thread;
use std::time::{Duration, Instant};

/// What an operation did before it ended, and why it did if it was not through.
#[derive(Debug, PartialEq, Eq)]
pub struct Progress {
    pub rounds: u64,
    pub stopped: Option<String>,
}

pub fn main() {
    let wall = Instant::now() + Duration::from_millis(300);
    let [short, endless] = run_both(&Context::background(), wall);
    println!("of 5 rounds: {short:?}");
    println!("of as many as there is time for: {endless:?}");

    let now = Instant::now();
    let (sooner, later) = (now + Duration::from_secs(1), now + Duration::from_secs(60));
    for (parent, child) in [(sooner, later), (later, sooner)] {
        let in_force = in_force(parent, child).duration_since(now);
        println!("of a minute and a second, however they are nested: {in_force:?}");
    }
}

/// Both under one context, which is done at that instant, and says why.
pub fn run_both(root: &Context, wall: Instant) -> [Progress; 2] {
    let (ctx, _guard) = root.with_deadline_cause(wall, Cause::msg("the shop closes"));
    thread::scope(|scope| {
        [5, u64::MAX]
            .map(|rounds| {
                let ctx = &ctx;
                scope.spawn(move || operate(ctx, rounds))
            })
            .map(|operation| operation.join().expect("neither panics"))
    })
}

/// A round is short against the time there is, so a look before each is enough.
pub fn operate(ctx: &Context, rounds: u64) -> Progress {
    for round in 0..rounds {
        if let Some(cause) = ctx.cause() {
            return Progress {
                rounds: round,
                stopped: Some(cause.to_string()),
            };
        }
        checksum(round);
    }
    Progress {
        rounds,
        stopped: None,
    }
}

/// FNV-1a, over a thousand words.
fn checksum(round: u64) -> u64 {
    (round..round + 1_000).fold(0xcbf2_9ce4_8422_2325, |sum, word| {
        (sum ^ word).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The deadline of a child that asks for `child` under a parent that has `parent`.
pub fn in_force(parent: Instant, child: Instant) -> Instant {
    let (outer, _outer_guard) = Context::background().with_deadline(parent);
    let (inner, _inner_guard) = outer.with_deadline(child);
    inner.deadline().expect("it has one")
}
