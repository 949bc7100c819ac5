//! What one thread of a schedule does: operations chosen at random, on contexts of its own and on some that all share.

use crate::cause::Cause;
use crate::error::Error;
use crate::known::{Ctx, Key, Known, Value};
use crate::local;
use crate::raw::batch::Untouched;
use crate::raw::callbacks::Ours;
use crate::raw::engine::Timers;
use crate::raw::handle::{Handle, Registered};
use crate::raw::time::Time;
use crate::raw::timers::Due;
use crate::raw::waiting::{Sleeping, Waiting};
use crate::raw::waits::tell;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

/// Contexts of its own that a thread keeps, at the most; so many waits, callbacks and guards as well.
const KEPT: usize = 6;

/// What all threads share.
pub(crate) struct World {
    pub(crate) timers: Timers,
    pub(crate) shared: Vec<Mutex<Ctx>>,
    pub(crate) keys: Vec<Key>,
    pub(crate) values: Arc<AtomicUsize>,
}

/// A guard, and what it guards.
type Guard = (Handle, Arc<Known>);

/// Counts wakes, and looks at what is below the context while it is woken.
#[derive(Default)]
struct Wakes {
    count: AtomicUsize,
    below: Option<Handle>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        let is_done = self.below.as_ref().is_none_or(Handle::is_done);
        assert!(is_done, "woken before all was marked");
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// A wait for a context's end.
struct Wait {
    waiting: Waiting,
    wakes: Arc<Wakes>,
    /// It was still live after the waker was left: a wake has to come.
    sleeps: bool,
}

/// A sleep under a context.
struct Nap {
    sleeping: Sleeping,
    wakes: Arc<Wakes>,
    sleeps: bool,
    under: Ctx,
    until: Time,
}

impl Nap {
    /// As the facade: where both are due, the end of the context comes first.
    fn check(&self) {
        match self.sleeping.result() {
            Some(_) if self.under.handle.err().is_some() => self.under.check(&[]),
            Some(result) => {
                let now = self.under.handle.core().now();
                assert!(result.is_ok() && self.until <= now, "slept too little");
            }
            None => {}
        }
    }
}

/// What became of a callback's function.
#[derive(Default)]
struct Fate {
    runs: AtomicUsize,
    drops: AtomicUsize,
}

struct Dropped(Arc<Fate>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.drops.fetch_add(1, Ordering::Relaxed);
    }
}

struct Callback {
    registered: Option<Registered>,
    fate: Arc<Fate>,
    stopped: bool,
}

impl Callback {
    fn stop(&mut self) {
        if let Some(registered) = &self.registered
            && registered.stop()
        {
            assert!(!self.stopped, "stopped twice");
            self.stopped = true;
            self.assert_over();
        }
    }

    /// Run or stopped, once; and its function dropped.
    fn assert_over(&self) {
        let runs = self.fate.runs.load(Ordering::Relaxed);
        let drops = self.fate.drops.load(Ordering::Relaxed);
        assert_eq!(
            (runs, drops),
            (usize::from(!self.stopped), 1),
            "(runs, drops)"
        );
    }
}

/// One thread, and what it keeps.
#[derive(Default)]
pub(crate) struct Thread {
    own: Vec<Ctx>,
    guards: Vec<Guard>,
    waits: Vec<Wait>,
    naps: Vec<Nap>,
    callbacks: Vec<Callback>,
}

fn chance(of: u32) -> bool {
    thread_rng().gen_range(0..of) == 0
}

/// Keeps one more, and lets another go where that is too many.
fn keep<T>(kept: &mut Vec<T>, one: T) -> Option<T> {
    kept.push(one);
    (kept.len() > KEPT).then(|| kept.swap_remove(thread_rng().gen_range(0..KEPT)))
}

fn pick<T>(kept: &mut Vec<T>) -> Option<T> {
    (!kept.is_empty()).then(|| kept.swap_remove(thread_rng().gen_range(0..kept.len())))
}

pub(crate) fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

pub(crate) fn dispatch() {
    local::callbacks().dispatch(Ours::run);
}

/// As the facade does.
pub(crate) fn cancel(ctx: &Handle, cause: Option<Cause>) {
    if cause.is_some() || ctx.end_untold().is_none() {
        tell(ctx.cancel(cause));
    }
}

/// As the facade does.
fn drop_guard((mut guard, known): Guard) {
    known.cancelling(|| {
        if !guard.end_and_release() {
            tell(guard.cancel(None));
        }
    });
}

impl Thread {
    pub(crate) fn step(&mut self, world: &World) {
        let ctx = self.some(world);
        match thread_rng().gen_range(0..30) {
            0..5 => self.derive(&ctx),
            5..8 => self.derive_timed(&ctx),
            8..10 => drop(pick(&mut self.own)),
            10 => ctx.known.cancelling(|| cancel(&ctx.handle, None)),
            11 => {
                let cause = Cause::msg(format_args!("given {}", thread_rng().gen_range(0..9)));
                ctx.known.cancelling(|| cancel(&ctx.handle, Some(cause)));
            }
            12..14 => {
                if let Some(guard) = pick(&mut self.guards) {
                    drop_guard(guard);
                }
            }
            14 => {
                // Nobody cancels it by this handle: it is let go like any other.
                drop(pick(&mut self.guards));
            }
            15 => self.share(world, ctx.clone()),
            16 => self.merge(world, &ctx),
            17 => self.set(world, &ctx),
            18 => self.batch(&ctx),
            19 => world.timers.advance(nanos(thread_rng().gen_range(1..20))),
            20 => self.wait(&ctx),
            21 => drop(pick(&mut self.waits)),
            22 => self.nap(&ctx),
            23 => drop(pick(&mut self.naps)),
            24 => self.register(&ctx),
            25 => {
                if let Some(mut callback) = pick(&mut self.callbacks) {
                    callback.stop();
                    self.callbacks.push(callback);
                }
            }
            26 => dispatch(),
            27 => {
                ctx.handle.child_count();
            }
            28 => drop(ctx.handle.channel()),
            _ => {
                self.naps.iter().for_each(Nap::check);
                self.own.iter().for_each(|own| own.check(&world.keys));
            }
        }
        ctx.check(&world.keys);
    }

    /// One of its own, or one that all share.
    fn some(&self, world: &World) -> Ctx {
        let mut rng = thread_rng();
        if !self.own.is_empty() && rng.gen_range(0..3) > 0 {
            return self.own[rng.gen_range(0..self.own.len())].clone();
        }
        let shared = &world.shared[rng.gen_range(0..world.shared.len())];
        shared.lock().unwrap().clone()
    }

    fn keep(&mut self, ctx: Ctx) {
        drop(keep(&mut self.own, ctx));
    }

    fn keep_guard(&mut self, guard: Guard) {
        if let Some(guard) = keep(&mut self.guards, guard) {
            drop_guard(guard);
        }
    }

    fn share(&mut self, world: &World, ctx: Ctx) {
        let shared = &world.shared[thread_rng().gen_range(0..world.shared.len())];
        let before = std::mem::replace(&mut *shared.lock().unwrap(), ctx);
        self.keep(before);
    }

    fn derive(&mut self, from: &Ctx) {
        let known = Known::below(&[&from.known], Time::NEVER);
        let (handle, guard) = from.handle.derive(from.values.place());
        self.keep_guard((guard, Arc::clone(&known)));
        self.keep(from.with(handle, known));
    }

    fn derive_timed(&mut self, from: &Ctx) {
        let at = from.handle.core().now();
        let at = at.after(nanos(thread_rng().gen_range(0..60)));
        let known = Known::below(&[&from.known], at);
        let place = from.values.place();
        let (handle, guard) = if chance(2) {
            from.handle.derive_timed(Due::At(at), place)
        } else {
            let late = Cause::msg(format_args!("late {}", thread_rng().gen_range(0..9)));
            let (handle, guard, _) = from.handle.derive_timed_cause(Due::At(at), late, place);
            (handle, guard)
        };
        self.keep_guard((guard, Arc::clone(&known)));
        self.keep(from.with(handle, known));
    }

    fn merge(&mut self, world: &World, first: &Ctx) {
        let others: Vec<_> = (0..3).map(|_| self.some(world)).collect();
        let parents = || std::iter::once(first).chain(&others);
        let known: Vec<_> = parents().map(|parent| &parent.known).collect();
        let known = Known::below(&known, Time::NEVER);
        let merged = Handle::merge(parents().map(|parent| &parent.handle)).expect("has parents");
        let guard = merged.clone();
        self.keep_guard((guard, Arc::clone(&known)));
        self.keep(first.with(merged, known));
    }

    fn set(&mut self, world: &World, on: &Ctx) {
        let mut rng = thread_rng();
        let key = world.keys[rng.gen_range(0..world.keys.len())];
        let number = rng.gen_range(0..1_000);
        let mut ctx = on.clone();
        let value = Value::new(number, &world.values);
        ctx.values = on.values.with(key, value, on.handle.place());
        ctx.set.push((key, number));
        self.keep(ctx);
    }

    /// Made, perhaps cancelled, and let go; one of its children may be kept.
    fn batch(&mut self, under: &Ctx) {
        let mut rng = thread_rng();
        let known = Known::below(&[&under.known], Time::NEVER);
        let mut children = Vec::new();
        let count = rng.gen_range(1..4);
        let node = under
            .handle
            .derive_batch(count, under.values.place(), |child| children.push(child));
        if chance(2) {
            let child = under.with(children[0].clone(), Known::below(&[&known], Time::NEVER));
            self.keep(child);
        }
        if chance(2) {
            known.cancelling(|| tell(node.cancel(None)));
            assert!(children.iter().all(Handle::is_done));
        }
        let (untouched, _) = Untouched::take(children.iter_mut());
        drop(children);
        node.let_go_of_batch(untouched);
    }

    fn wait(&mut self, on: &Ctx) {
        let Some(mut waiting) = Waiting::on(&on.handle) else {
            assert!(on.handle.is_done(), "refused by a live one");
            return;
        };
        let wakes = Arc::new(Wakes {
            below: chance(2).then(|| on.handle.derive(0).0),
            ..Wakes::default()
        });
        waiting.register(&Waker::from(Arc::clone(&wakes)));
        let sleeps = waiting.err().is_none();
        let wait = Wait {
            waiting,
            wakes,
            sleeps,
        };
        drop(keep(&mut self.waits, wait));
    }

    fn nap(&mut self, under: &Ctx) {
        let duration = nanos(thread_rng().gen_range(0..60));
        let until = under.handle.core().now().after(duration);
        let mut sleeping = Sleeping::under(&under.handle, duration);
        let wakes = Arc::new(Wakes::default());
        sleeping.register(&Waker::from(Arc::clone(&wakes)));
        let nap = Nap {
            sleeps: sleeping.result().is_none(),
            sleeping,
            wakes,
            under: under.clone(),
            until,
        };
        drop(keep(&mut self.naps, nap));
    }

    fn register(&mut self, on: &Ctx) {
        let fate = Arc::new(Fate::default());
        let dropped = Dropped(Arc::clone(&fate));
        let run = move || {
            dropped.0.runs.fetch_add(1, Ordering::Relaxed);
        };
        self.callbacks.push(Callback {
            registered: on.handle.register(Box::new(run)).ok(),
            fate,
            stopped: false,
        });
    }

    /// When the clock has passed all deadlines: what has one is done.
    pub(crate) fn assert_fired(&self) {
        for ctx in &self.own {
            let now = ctx.handle.core().now();
            assert!(
                ctx.handle.is_done() || !ctx.known.is_due(now),
                "it never fired"
            );
        }
        for nap in &self.naps {
            assert!(nap.sleeping.result().is_some(), "it never fired");
        }
    }

    /// When all is cancelled and dispatched: everybody was told, once.
    pub(crate) fn assert_told(&self, keys: &[Key]) {
        for ctx in &self.own {
            ctx.check(keys);
            assert!(ctx.handle.is_done());
        }
        for wait in &self.waits {
            assert!(wait.waiting.err().is_some());
            let wakes = wait.wakes.count();
            assert!(
                wakes == 1 || !wait.sleeps && wakes == 0,
                "woken {wakes} times"
            );
        }
        for nap in &self.naps {
            nap.check();
            assert!(nap.sleeping.result().is_some());
            let wakes = nap.wakes.count();
            assert!(
                wakes == 1 || !nap.sleeps && wakes == 0,
                "woken {wakes} times"
            );
        }
        self.callbacks.iter().for_each(Callback::assert_over);
    }
}

/// How it ended, once it has: blocks.
pub(crate) fn wait(ctx: &Ctx) -> Error {
    ctx.handle.wait()
}
