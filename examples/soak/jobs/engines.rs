//! Engines that come and go: with a thread, driven, by hand.

use super::Worker;
use ripcord::{Context, Engine, EngineStopped, Error};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

fn armed(
    worker: &mut Worker,
    background: &Context,
    longest: u64,
) -> Vec<(Context, ripcord::CancelGuard)> {
    (0..worker.rng.usize(1..20))
        .map(|_| background.with_timeout(Duration::from_micros(worker.rng.u64(1..longest))))
        .collect()
}

fn is_stopped(ctx: &Context) -> bool {
    ctx.cause()
        .is_some_and(|cause| cause.downcast_ref::<EngineStopped>().is_some())
}

/// It ends by a shutdown, or with its last handle.
pub(super) fn threaded(worker: &mut Worker) {
    let Ok(engine) = Engine::builder().thread_name("stage-engine").build() else {
        return;
    };
    let background = engine.background();
    let contexts = armed(worker, &background, 2_000);
    let (ahead, _guard) = background.with_timeout(LONG);
    if worker.rng.bool() {
        let error = contexts[0].0.wait();
        worker.ended(&contexts[0].0, error, None);
    }
    if worker.rng.bool() {
        engine.shutdown();
        let error = ahead.wait();
        worker.ended(&ahead, Error::Canceled, None);
        worker.ensure(error == Error::Canceled && is_stopped(&ahead), || {
            format!("{ahead} of an engine that was shut down ended with {error:?}")
        });
        let (late, _guard) = background.with_timeout(LONG);
        worker.ensure(is_stopped(&late), || {
            format!("{late} has a deadline on no engine")
        });
    }
    drop(background);
    drop(engine);
    for (ctx, _guard) in &contexts {
        worker.agrees(ctx);
    }
}

/// Turned until all have fired, or dropped before.
pub(super) fn driven(worker: &mut Worker) {
    let Ok((engine, driver)) = Engine::builder().driven_with(|| ()) else {
        return;
    };
    let contexts = armed(worker, &engine.background(), 500);
    let turned = worker.rng.bool();
    let mut fired = 0;
    while turned && let Some(timeout) = driver.next_timeout() {
        std::thread::sleep(timeout);
        fired += driver.turn();
    }
    worker.ensure(!turned || fired == contexts.len(), || {
        format!("{fired} of {} deadlines fired", contexts.len())
    });
    drop(driver);
    for (ctx, _guard) in &contexts {
        let (error, by_driver) = if turned {
            (Error::DeadlineExceeded, false)
        } else {
            (Error::Canceled, true)
        };
        worker.ended(ctx, error, None);
        worker.ensure(is_stopped(ctx) == by_driver, || {
            format!("{ctx} has {:?}", ctx.cause())
        });
    }
}

/// Fires exactly what is due; others hang on it that stay as they are.
pub(super) fn manual(worker: &mut Worker) {
    let Ok((engine, clock)) = Engine::builder().manual_clock() else {
        return;
    };
    let contexts = armed(worker, &engine.background(), 10_000_000);
    for _ in 0..4 {
        clock.advance(Duration::from_micros(worker.rng.u64(..5_000_000)));
        let now = clock.now();
        let exact = contexts
            .iter()
            .all(|(ctx, _)| ctx.is_done() == ctx.deadline().is_some_and(|at| at <= now));
        worker.ensure(exact, || {
            "a manual clock fired too much or too little".to_owned()
        });
    }
    for (ctx, _guard) in &contexts {
        worker.agrees(ctx);
    }
    if worker.rng.bool() {
        drop(clock);
    }
}
