//! One cancel stops three threads and three tasks, however each of them waits; and cancelling again, from anywhere,
//! changes nothing.
//!
//! Run with `cargo run --example 02_cancellation`.

use crossbeam_channel::{Receiver, select, unbounded};
use ripcord::{Cause, Context, Error};
use std::thread;

pub fn main() {
    let stopped = stop_three_threads();
    println!("threads stopped by: {stopped:?}");

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime can be started");
    println!(
        "tasks stopped by: {:?}",
        runtime.block_on(stop_three_tasks())
    );

    println!(
        "of ten causes, the first to come: {}",
        cancel_many_times(10)
    );
}

/// A thread that polls, one that is blocked, and one that selects between work and the end.
pub fn stop_three_threads() -> [Error; 3] {
    let (ctx, guard) = Context::background().with_cancel();
    let (started, all_started) = unbounded();
    let (_jobs, queue) = unbounded::<u64>();

    let polls = spawn(&ctx, &started, |ctx| {
        let mut primes = 0_u64;
        (2_u64..)
            .find_map(|n| {
                primes += u64::from((2..n.isqrt() + 1).all(|d| n % d != 0));
                ctx.err()
            })
            .expect("there is no last number")
    });
    let blocks = spawn(&ctx, &started, |ctx| ctx.wait());
    let selects = spawn(&ctx, &started, move |ctx| {
        next_job(ctx, &queue).unwrap_err()
    });

    for _ in 0..3 {
        all_started.recv().expect("each thread says so");
    }
    guard.cancel();
    [polls, blocks, selects].map(|thread| thread.join().expect("none of them panics"))
}

fn spawn(
    ctx: &Context,
    started: &crossbeam_channel::Sender<()>,
    work: impl FnOnce(&Context) -> Error + Send + 'static,
) -> thread::JoinHandle<Error> {
    let (ctx, started) = (ctx.clone(), started.clone());
    thread::spawn(move || {
        started.send(()).expect("the receiver is still there");
        work(&ctx)
    })
}

/// The next job, or how the context ended.
pub fn next_job(ctx: &Context, queue: &Receiver<u64>) -> Result<u64, Error> {
    select! {
        recv(queue) -> job => Ok(job.expect("the sender is still there")),
        recv(ctx.done_channel()) -> _ => Err(ctx.err().expect("its channel says it is done")),
    }
}

/// Each awaits the end in its own way: as a future, in a `select!` with work, and as a child of the same context.
pub async fn stop_three_tasks() -> [Error; 3] {
    let (ctx, guard) = Context::background().with_cancel();
    let (child, _child_guard) = ctx.with_cancel();

    let awaits = tokio::spawn(ctx.done());
    let selects = tokio::spawn({
        let done = ctx.done();
        async move {
            tokio::select! {
                error = done => error,
                () = std::future::pending() => unreachable!("that is never ready"),
            }
        }
    });
    let derived = tokio::spawn(child.done());

    guard.cancel();
    let mut errors = [Error::DeadlineExceeded; 3];
    for (error, task) in errors.iter_mut().zip([awaits, selects, derived]) {
        *error = task.await.expect("none of them panics");
    }
    errors
}

/// Many threads cancel, each with a cause of its own. One of them is the cause, for good.
pub fn cancel_many_times(threads: usize) -> Cause {
    let (ctx, guard) = Context::background().with_cancel();
    thread::scope(|scope| {
        for thread in 0..threads {
            let handle = guard.handle();
            scope.spawn(move || handle.cancel_with(Cause::msg(format_args!("thread {thread}"))));
        }
    });
    let cause = ctx.cause().expect("it is done");
    guard.cancel();
    assert_eq!(ctx.cause().map(|c| c.to_string()), Some(cause.to_string()));
    cause
}
