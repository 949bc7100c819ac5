//! The schedules: eight threads with fifty operations each on one tree, and a ninth that blocks.
//!
//! Of one that fails the schedule is printed, and of a random one its seed, if no second panic ends the process before.
//! `SHUTTLE_RANDOM_SEED=… cargo test random` begins with that seed, and `RIPCORD_SCHEDULE=FILE cargo test random` runs the schedule
//! in that file, whoever found it.

use crate::known::{Ctx, Key, Known};
use crate::ops::{Thread, World, cancel, dispatch, nanos, wait};
use crate::raw::handle::Handle;
use crate::raw::time::Time;
use crate::raw::values::{TypedKey, Values};
use crate::sync::AtomicUsize;
use crate::{local, sync};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::sync::Mutex;
use shuttle::{Config, Runner, thread};
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering};

const THREADS: usize = 8;
const STEPS: usize = 50;
const SHARED: usize = 4;
const KEYS: usize = 3;
/// Changes of priority in a schedule of PCT, and one more.
const DEPTH: usize = 12;

/// How many of each kind; `RIPCORD_SCHEDULES` says otherwise.
const SCHEDULES: usize = 200;

fn scenario() {
    local::reset(thread_rng().r#gen());
    let keys: Vec<Key> = (0..KEYS)
        .map(|_| Box::leak(Box::new(TypedKey::new("key", AtomicUsize::new(0)))) as Key)
        .collect();
    let words = sync::words();
    let values = Arc::new(Count::new(0));
    {
        let (engine, timers) = Handle::manual(|_, _, _| ());
        let top = Ctx {
            handle: engine.derive(0).0,
            values: Values::NONE,
            set: Vec::new(),
            known: Known::below(&[], Time::NEVER),
        };
        let shared = (0..SHARED).map(|_| Mutex::new(top.clone())).collect();
        let world = Arc::new(World {
            timers,
            shared,
            keys: keys.clone(),
            values: Arc::clone(&values),
        });
        play(&world, &top);
        assert_eq!(top.handle.child_count(), 0);
    }
    assert_eq!(values.load(Ordering::Relaxed), 0, "values are left");
    assert_eq!(sync::words(), words, "records are left");
}

fn play(world: &Arc<World>, top: &Ctx) {
    let blocked = thread::spawn({
        let top = top.clone();
        move || wait(&top)
    });
    let threads: Vec<_> = (0..THREADS)
        .map(|index| {
            let world = Arc::clone(world);
            thread::spawn(move || {
                local::set_index(index);
                let mut thread = Thread::default();
                for _ in 0..STEPS {
                    thread.step(&world);
                }
                thread
            })
        })
        .collect();
    let threads: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    // All that is due has been fired, whoever moved the clock last; and the rest is.
    world.timers.advance(nanos(1_000));
    for thread in &threads {
        thread.assert_fired();
    }
    top.known.cancelling(|| cancel(&top.handle, None));
    blocked.join().unwrap();
    dispatch();
    for thread in &threads {
        thread.assert_told(&world.keys);
    }
}

/// Explores with a scheduler that ends after so many; or runs again what is to be replayed.
fn explore(name: &str, scheduler: impl Scheduler + 'static) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    let explored = match env::var("RIPCORD_SCHEDULE") {
        Ok(file) => {
            let schedule = ReplayScheduler::new_from_file(file).expect("a schedule is in the file");
            Runner::new(schedule, config).run(scenario)
        }
        Err(_) => Runner::new(scheduler, config).run(scenario),
    };
    println!("schedules {name}: {explored}");
    assert!(explored > 0);
}

fn schedules() -> usize {
    env::var("RIPCORD_SCHEDULES").map_or(SCHEDULES, |count| count.parse().expect("a number"))
}

#[test]
fn random_schedules_leave_everybody_told_and_nothing_behind() {
    explore("random", RandomScheduler::new(schedules()));
}

#[test]
fn schedules_of_few_preemptions_leave_everybody_told_and_nothing_behind() {
    explore("pct", PctScheduler::new(DEPTH, schedules()));
}
