//! Tasks of a runtime.

use super::{Stage, Worker};
use ripcord::{Context, Error};
use std::sync::Arc;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// Holds a counted thing while it works.
async fn work(stage: Arc<Stage>, ctx: Context, time: Duration) {
    let counted = stage.ledger.counted();
    let ensure = |holds: bool, what: &str| {
        stage
            .ledger
            .ensure(holds, || format!("a task under {ctx}: {what}"));
    };
    let (below, guard) = ctx.with_timeout(LONG);
    let result = below
        .run(async {
            let _moved = counted;
            tokio::time::sleep(time).await;
        })
        .await;
    ensure(
        result.is_ok() || below.err() == result.err(),
        "run() and err() disagree",
    );
    let slept = ctx.sleep(time).await;
    ensure(
        slept.is_ok() || ctx.err() == slept.err(),
        "sleep() and err() disagree",
    );
    guard.cancel();
    ensure(
        below.done().await == below.err().unwrap_or(Error::DeadlineExceeded),
        "done() and err() disagree",
    );
    let first = tokio::select! {
        biased;
        _ = below.done() => true,
        () = tokio::time::sleep(LONG) => false,
    };
    ensure(first, "a wait on one that is done is not ready");
}

/// Some end by themselves, some by a cancel, some with their runtime.
pub(super) fn spawned(worker: &mut Worker) {
    let (ctx, guard) = worker.stage.root.with_cancel();
    let stage = &worker.stage;
    for _ in 0..worker.rng.usize(1..8) {
        let time = Duration::from_micros(worker.rng.u64(..2_000));
        stage
            .tasks
            .spawn(work(Arc::clone(stage), ctx.clone(), time));
    }
    if worker.rng.bool() {
        guard.cancel();
    } else if worker.kept.len() < super::KEPT {
        worker.kept.push((ctx, guard));
    } else {
        drop(guard.disarm());
    }
}

/// On the thread itself, within the runtime.
pub(super) fn in_place(worker: &mut Worker) {
    let base = worker.base();
    let time = Duration::from_micros(worker.rng.u64(..1_000));
    let (ctx, _guard) = base.with_timeout(time);
    let tasks = worker.stage.tasks.clone();
    let error = tasks.block_on(async {
        let sleep = ctx.sleep(LONG).await;
        let run = ctx.run(std::future::pending::<()>()).await;
        [sleep.err(), run.err(), Some(ctx.done().await)]
    });
    worker.ensure(error == [Some(Error::DeadlineExceeded); 3], || {
        format!("{ctx}: its waits ended with {error:?}")
    });
}
