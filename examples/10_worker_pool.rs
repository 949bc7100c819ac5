//! A pool of threads with a bounded queue: each job has its own time, one that panics harms nobody, and of every job that was
//! accepted there is a report, however the pool ends.
//!
//! Run with `cargo run --example 10_worker_pool`.

use ripcord::channel::{self, Receiver, SendError, Sender};
use ripcord::{CancelGuard, Cause, Context, Error, Group, SpawnError};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub fn main() {
    let pool = Pool::start(&Context::background(), 3, 4, Duration::from_millis(200))
        .expect("threads can be started");
    for id in 0..8 {
        let job = match id {
            3 => Job::new(id, |_| panic!("job 3 has a bug, on purpose")),
            5 => Job::new(id, |ctx| Err(ctx.wait())), // it never ends by itself
            _ => Job::new(id, move |ctx| count_primes(ctx, 20_000 * (id + 1))),
        };
        // Waits while the queue is full.
        pool.submit(&Context::background(), job)
            .expect("the pool runs");
    }
    for report in pool.finish(Duration::from_secs(5)) {
        println!("finished: {report:?}");
    }

    let pool = Pool::start(&Context::background(), 1, 4, Duration::from_secs(60))
        .expect("a thread can be started");
    let (begun, wait) = std::sync::mpsc::channel();
    for id in 0..3 {
        let begun = begun.clone();
        let endless = Job::new(id, move |ctx| {
            begun.send(()).expect("somebody waits for it");
            Err(ctx.wait())
        });
        pool.submit(&Context::background(), endless)
            .expect("the pool runs");
    }
    wait.recv().expect("the first has begun");
    for report in pool.stop("the machine goes down") {
        println!("stopped: {report:?}");
    }
}

type Work = Box<dyn FnOnce(&Context) -> Result<u64, Error> + Send>;

pub struct Job {
    pub id: u64,
    work: Work,
}

impl Job {
    pub fn new(
        id: u64,
        work: impl FnOnce(&Context) -> Result<u64, Error> + Send + 'static,
    ) -> Self {
        let work = Box::new(work);
        Self { id, work }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered(u64),
    /// It gave up: its time was over, or the pool was stopped.
    Ended(Error),
    Panicked(String),
    /// It was accepted, and the pool was stopped before its turn came.
    NotBegun,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    pub id: u64,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub enum StartError {
    NoWorkers,
    Spawn(SpawnError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWorkers => f.write_str("a pool of no workers does nothing"),
            Self::Spawn(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for StartError {}

pub struct Pool {
    ctx: Context,
    jobs: Sender<Job>,
    queue: Receiver<Job>,
    reports: Receiver<Report>,
    workers: Group,
    stop: CancelGuard,
}

impl Pool {
    /// So many threads, and a queue of so many jobs before it is full; zero: a job is accepted when a worker takes it.
    pub fn start(
        parent: &Context,
        workers: usize,
        room: usize,
        job_timeout: Duration,
    ) -> Result<Self, StartError> {
        if workers == 0 {
            return Err(StartError::NoWorkers);
        }
        let (ctx, stop) = parent.with_cancel();
        let (jobs, queue) = channel::bounded(room);
        let (reporter, reports) = channel::unbounded();
        let group = Group::new(&ctx);
        for _ in 0..workers {
            let (queue, reporter) = (queue.clone(), reporter.clone());
            let worker = move |ctx: &Context| {
                for job in queue.iter(ctx) {
                    let report = run(ctx, job, job_timeout);
                    reporter.try_send(report).expect("the pool collects them");
                }
                Ok::<_, Error>(())
            };
            group.spawn(worker).map_err(StartError::Spawn)?;
        }
        Ok(Self {
            ctx,
            jobs,
            queue,
            reports,
            workers: group,
            stop,
        })
    }

    /// Waits for room as long as `ctx` and the pool are live; a job that was not accepted comes back.
    pub fn submit(&self, ctx: &Context, job: Job) -> Result<(), SendError<Job>> {
        let (both, _guard) = Context::merge([ctx, &self.ctx]);
        self.jobs.send(&both, job)
    }

    /// Accepts no more, and has all that was accepted done; when `limit` has passed, as [`stop`](Self::stop). The reports are in
    /// the order in which jobs ended.
    pub fn finish(self, limit: Duration) -> Vec<Report> {
        let (patience, _guard) = Context::background().with_timeout(limit);
        let handle = self.stop.handle();
        let late = patience.after_func(move || handle.cancel_with(Cause::msg("too late")));
        let reports = self.collect();
        late.stop(); // before `_guard`, whose drop would end the patience
        reports
    }

    /// Cancels what runs, and begins nothing more.
    pub fn stop(self, why: &'static str) -> Vec<Report> {
        self.stop.cancel_with(Cause::msg(why));
        self.collect()
    }

    fn collect(self) -> Vec<Report> {
        drop(self.jobs);
        self.workers
            .join()
            .expect("workers do not fail: their jobs do");
        let left = self.queue.drain().map(|job| Report {
            id: job.id,
            outcome: Outcome::NotBegun,
        });
        self.reports.drain().chain(left).collect()
    }
}

/// The job's own time, under the pool's.
fn run(pool: &Context, job: Job, timeout: Duration) -> Report {
    let (ctx, _guard) = pool.with_timeout(timeout);
    let outcome = match catch_unwind(AssertUnwindSafe(|| (job.work)(&ctx))) {
        Ok(Ok(answer)) => Outcome::Answered(answer),
        Ok(Err(error)) => Outcome::Ended(error),
        Err(panic) => Outcome::Panicked(message(&*panic)),
    };
    Report {
        id: job.id,
        outcome,
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .copied()
        .unwrap_or("a panic")
        .to_owned()
}

pub fn count_primes(ctx: &Context, below: u64) -> Result<u64, Error> {
    let mut primes = 0;
    for number in 2..below {
        if number % 256 == 0 {
            ctx.check()?;
        }
        primes += u64::from((2..=number.isqrt()).all(|divisor| number % divisor != 0));
    }
    Ok(primes)
}
