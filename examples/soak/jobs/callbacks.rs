//! Functions that run when a context is done, or are stopped before.

use super::super::ledger::{Counted, Ledger, panic_on_purpose};
use super::Worker;
use ripcord::{AfterFunc, Context};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A registered function, which counts how often it ran.
struct Function {
    registration: AfterFunc,
    runs: Arc<AtomicUsize>,
    ledger: Arc<Ledger>,
}

fn register(worker: &mut Worker, ctx: &Context) -> Function {
    let runs = Arc::new(AtomicUsize::new(0));
    let ledger = Arc::clone(worker.ledger());
    ledger.registered.fetch_add(1, Ordering::SeqCst);
    let counted: Counted = worker.counted();
    let panics = worker.one_in(8);
    let count = Arc::clone(&runs);
    let counts = Arc::clone(&ledger);
    let registration = ctx.after_func(move || {
        let _moved = counted;
        if count.fetch_add(1, Ordering::SeqCst) > 0 {
            counts.wrong("a function ran twice".to_owned());
        }
        counts.ran.fetch_add(1, Ordering::SeqCst);
        if panics {
            panic_on_purpose();
        }
    });
    Function {
        registration,
        runs,
        ledger,
    }
}

impl Function {
    /// Says whether it was stopped; a second call never says so.
    fn stop(&self) -> bool {
        let stopped = self.registration.stop();
        if stopped {
            self.ledger.stopped.fetch_add(1, Ordering::SeqCst);
            let ran = self.runs.load(Ordering::SeqCst) > 0;
            self.ledger
                .ensure(!ran, || "a function ran and was stopped".to_owned());
        }
        self.ledger.ensure(!self.registration.stop(), || {
            "a function was stopped twice".to_owned()
        });
        stopped
    }
}

/// By a cancel, or at once.
pub(super) fn called(worker: &mut Worker) {
    let (ctx, guard) = worker.base().with_cancel();
    let before: Vec<_> = (0..worker.rng.usize(..6))
        .map(|_| register(worker, &ctx))
        .collect();
    worker.ensure(ctx.child_count() == before.len(), || {
        format!("{ctx} counts {} functions", ctx.child_count())
    });
    guard.cancel();
    let after = register(worker, &ctx);
    for function in before.iter().chain([&after]) {
        worker.ensure(!function.stop(), || {
            "a function was stopped too late".to_owned()
        });
    }
}

/// Some of them before, and some while the context ends.
pub(super) fn stopped(worker: &mut Worker) {
    let (ctx, guard) = worker.base().with_cancel();
    let functions: Vec<_> = (0..worker.rng.usize(1..6))
        .map(|_| register(worker, &ctx))
        .collect();
    let (before, during) = functions.split_at(worker.rng.usize(..functions.len()));
    for function in before {
        worker.ensure(function.stop(), || {
            "a function could not be stopped".to_owned()
        });
    }
    std::thread::scope(|scope| {
        if !during.is_empty() && worker.rng.u32(..8) == 0 {
            scope.spawn(|| {
                for function in during {
                    function.stop();
                }
            });
        }
        guard.cancel();
    });
}

/// By a deadline, with every handle gone.
pub(super) fn expired(worker: &mut Worker) {
    let time = Duration::from_micros(worker.rng.u64(..2_000));
    let (ctx, guard) = worker.base().with_timeout(time);
    let function = register(worker, &ctx);
    drop(guard.disarm());
    drop(ctx);
    if worker.one_in(2) {
        function.stop();
    }
}
