//! `locked OPERATION N`: does the operation so often, for `locked.sh` to count what it takes.

use operations::*;
use ripcord::Context;
use std::collections::VecDeque;

#[allow(dead_code, reason = "the benches have some for themselves")]
mod operations;

#[inline(never)]
fn repeat(operation: &str, times: usize) -> Option<()> {
    let (root, _guard) = Context::background().with_cancel();
    let each = |f: fn(&Context), ctx: &Context| (0..times).for_each(|_| f(ctx));
    match operation {
        "child" => each(child, &root),
        "siblings" => {
            let _siblings: Vec<Rooted> = (0..100).map(|_| root.with_cancel()).collect();
            each(child, &root);
        }
        "canceled" => each(canceled_child, &root),
        "values" => each(child, &root.with_value(&FIRST, 1)),
        "queue" => {
            let mut in_flight: VecDeque<Rooted> =
                (0..IN_FLIGHT).map(|_| root.with_cancel()).collect();
            (0..times).for_each(|_| first_out(&root, &mut in_flight));
        }
        "batch" => each(|root| drop(root.batch(100)), &root),
        "wait" => each(wait_once, &root),
        "chain" => (0..times / 1_000).for_each(|_| chain(&root, 1_000)),
        "timeout" => each(timeout, &root),
        "request" => each(request, &root),
        "set" => each(set, &root),
        _ => return None,
    }
    Some(())
}

fn main() -> Result<(), &'static str> {
    let mut arguments = std::env::args().skip(1);
    let operation = arguments.next().unwrap_or_default();
    let times = arguments.next().and_then(|times| times.parse().ok());
    times
        .and_then(|times| repeat(&operation, times))
        .ok_or("usage: locked OPERATION N, of the operations that locked.sh names")
}
