//! Runs a model, and sees to it that it explored something.

use crate::local;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Explores every interleaving of `f` with at most `bound` preemptions, and fails if they were fewer than `at_least`: a
/// model that explores one interleaving proves nothing. `LOOM_MAX_PREEMPTIONS` wins, and then any number will do.
pub(crate) fn model(
    name: &str,
    bound: usize,
    at_least: usize,
    f: impl Fn() + Send + Sync + 'static,
) {
    explore(name, bound, at_least, false, f);
}

/// As [`model`], with a pool of one block: what is freed is what is allocated next.
pub(crate) fn model_with_reuse(
    name: &str,
    bound: usize,
    at_least: usize,
    f: impl Fn() + Send + Sync + 'static,
) {
    explore(name, bound, at_least, true, f);
}

fn explore(
    name: &str,
    bound: usize,
    at_least: usize,
    reuse: bool,
    f: impl Fn() + Send + Sync + 'static,
) {
    let executions = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    let bounded_by_hand = builder.preemption_bound.is_some();
    builder.preemption_bound.get_or_insert(bound);
    builder.max_branches = 20_000;
    builder.check({
        let executions = Arc::clone(&executions);
        move || {
            executions.fetch_add(1, Ordering::Relaxed);
            local::reset(reuse);
            f();
        }
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("model {name}: {executions} executions");
    assert!(
        bounded_by_hand || executions >= at_least,
        "{name} explored {executions} interleavings, at least {at_least} were expected"
    );
}
