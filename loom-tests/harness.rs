//! Runs a model, and sees to it that it explored something.

use crate::{local, sync, tuning};
use loom::model::Builder;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Explores the interleavings of `f` with at most `bound` preemptions, and fails if they were fewer than `at_least`: a
/// model that explores one interleaving proves nothing. Then again, with one preemption less and with those that loom
/// leaves out ([`sync::explore_every_order`]). `LOOM_MAX_PREEMPTIONS` wins: those within it, and any number will do.
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

/// As [`model`], where that comes to hundreds of thousands of interleavings: those in a deep run only, which `RIPCORD_DEEP` asks
/// for, and else with one preemption less.
pub(crate) fn large_model(
    name: &str,
    bound: usize,
    at_least: usize,
    f: impl Fn() + Send + Sync + 'static,
) {
    let deep = env::var_os("RIPCORD_DEEP").is_some();
    explore(name, bound - usize::from(!deep), at_least, false, f);
}

fn explore(
    name: &str,
    bound: usize,
    at_least: usize,
    reuse: bool,
    f: impl Fn() + Send + Sync + 'static,
) {
    let f = Arc::new(f);
    let by_hand = Builder::new().preemption_bound;
    let mut executions = check(by_hand.unwrap_or(bound), by_hand.is_some(), reuse, &f);
    assert!(
        by_hand.is_some() || executions >= at_least,
        "{name} explored {executions} interleavings, at least {at_least} were expected"
    );
    if by_hand.is_none() && bound > 1 {
        executions += check(bound - 1, true, reuse, &f);
    }
    println!("model {name}: {executions} executions");
}

fn check(
    bound: usize,
    every_order: bool,
    reuse: bool,
    f: &Arc<impl Fn() + Send + Sync + 'static>,
) -> usize {
    let executions = Arc::new(AtomicUsize::new(0));
    let mut builder = Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 20_000;
    builder.check({
        let (f, executions) = (Arc::clone(f), Arc::clone(&executions));
        move || {
            executions.fetch_add(1, Ordering::Relaxed);
            local::reset(reuse);
            sync::reset();
            tuning::reset();
            sync::explore_every_order(every_order);
            f();
        }
    });
    executions.load(Ordering::Relaxed)
}
