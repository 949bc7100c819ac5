//! One phase: threads and a runtime that work on one tree, until they are told to stop; then nothing of it is left.

use super::jobs::{self, Worker};
use super::ledger::Ledger;
use super::quiet::PATIENCE;
use ripcord::{Cause, Context, monitor};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle};

/// Threads of the runtime.
const RUNTIME_THREADS: usize = 2;

/// What the threads of a phase share.
#[derive(Debug)]
pub(crate) struct Stage {
    /// All work hangs on it. Live until everybody has stopped working.
    pub(crate) root: Context,
    pub(crate) tasks: Handle,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) over: AtomicBool,
}

/// How a phase differs from the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) length: Duration,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    /// With monitor hooks installed.
    pub(crate) hooks: bool,
    /// What is kept at the end is ended by a cancel of the root, not by its own drop.
    pub(crate) canceled: bool,
}

/// Counts what the library tells of, and its own drop.
struct Hooks {
    counts: Arc<[AtomicUsize; 2]>,
    _counted: super::ledger::Counted,
}

impl monitor::Hooks for Hooks {
    fn created(&self) {
        self.counts[0].fetch_add(1, Ordering::Relaxed);
    }

    fn expired(&self, contexts: usize) {
        self.counts[1].fetch_add(contexts, Ordering::Relaxed);
    }

    fn canceled(&self, contexts: usize) {
        self.counts[1].fetch_add(contexts, Ordering::Relaxed);
    }
}

/// Works for a phase. `false`: somebody hangs, and nothing more can be done.
pub(crate) fn run(ledger: &Arc<Ledger>, shape: Shape) -> bool {
    let counts = Arc::<[AtomicUsize; 2]>::default();
    monitor::install(shape.hooks.then(|| -> Box<dyn monitor::Hooks> {
        Box::new(Hooks {
            counts: Arc::clone(&counts),
            _counted: ledger.counted(),
        })
    }));
    let went = work(ledger, shape);
    monitor::install(None);
    let [created, ended] = [0, 1].map(|at| counts[at].load(Ordering::SeqCst));
    ledger.ensure(ended <= created, || {
        format!("the hooks tell of {created} contexts made and {ended} ended")
    });
    went
}

fn work(ledger: &Arc<Ledger>, shape: Shape) -> bool {
    let runtime = Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("stage-task")
        .enable_time()
        .build()
        .expect("the system has threads for a runtime");
    let (root, guard) = Context::background().with_cancel();
    let stage = Arc::new(Stage {
        root,
        tasks: runtime.handle().clone(),
        ledger: Arc::clone(ledger),
        over: AtomicBool::new(false),
    });
    let (arrived, arrivals) = channel();
    let mut seeds = fastrand::Rng::with_seed(shape.seed);
    let workers: Vec<(Sender<()>, _)> = (0..shape.threads)
        .map(|_| {
            let (stage, arrived, seed) = (Arc::clone(&stage), arrived.clone(), seeds.u64(..));
            let (go, may_go) = channel();
            (
                go,
                thread::Builder::new()
                    .name("stage-worker".to_owned())
                    .spawn(move || one(&stage, seed, &arrived, &may_go))
                    .expect("the system has threads for the workers"),
            )
        })
        .collect();

    let began = Instant::now();
    while began.elapsed() < shape.length && ledger.verdict().is_ok() {
        thread::sleep(Duration::from_millis(20));
    }
    stage.over.store(true, Ordering::SeqCst);
    let all_arrive = || {
        workers
            .iter()
            .all(|_| arrivals.recv_timeout(PATIENCE).is_ok())
    };
    if !all_arrive() {
        ledger.wrong("a thread hangs, or panicked, in its work".to_owned());
        return false;
    }
    // Tasks that are still at work are dropped, wherever they wait.
    runtime.shutdown_timeout(PATIENCE);
    if shape.canceled {
        guard.cancel_with(Cause::msg("the phase is over"));
    }
    for (go, _) in &workers {
        let _ = go.send(());
    }
    if !all_arrive() {
        ledger.wrong("a thread hangs, or panicked, in its drops".to_owned());
        return false;
    }
    for (_, thread) in workers {
        ledger.ensure(thread.join().is_ok(), || "a thread panicked".to_owned());
    }
    if !shape.canceled {
        let left = stage.root.child_count();
        ledger.ensure(left == 0, || {
            format!("{left} children of nobody's: {}", stage.root)
        });
    }
    true
}

/// A thread of the phase: works until it is over, then looks at what it has kept, and drops it.
fn one(stage: &Arc<Stage>, seed: u64, arrived: &Sender<()>, may_go: &Receiver<()>) {
    let mut worker = Worker::new(Arc::clone(stage), seed);
    while !stage.over.load(Ordering::Relaxed) {
        jobs::one(&mut worker);
        stage.ledger.operations.fetch_add(1, Ordering::Relaxed);
    }
    let _ = arrived.send(());
    if may_go.recv().is_ok() {
        worker.finish();
        let _ = arrived.send(());
    }
}
