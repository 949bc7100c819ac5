//! What a history is made of, and how one is played on both trees. Shared with the fuzzer, so it needs nothing else.

use super::reference::{Id, Tree, Why};
use ripcord::{CancelGuard, CancelHandle, Context, Done, Error};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Wake};

/// One step. Each number picks one of what there is at that moment, by its remainder; where there is none, the step is
/// skipped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Derive { parent: u8 },
    Merge { first: u8, second: u8 },
    MergeMany { from: u8, step: u8 },
    WithoutCancel { of: u8 },
    CloneContext { of: u8 },
    DropContext { which: u8 },
    CancelByGuard { which: u8, why: bool },
    DropGuard { which: u8 },
    Disarm { which: u8 },
    Handle { of: u8 },
    CloneHandle { of: u8 },
    CancelByHandle { which: u8, why: bool },
    DropHandle { which: u8 },
    Wait { on: u8, poll: bool },
    Poll { which: u8, other_waker: bool },
    DropWait { which: u8 },
}

impl Op {
    pub(crate) fn decode([kind, a, b]: [u8; 3]) -> Self {
        let flag = b % 2 == 1;
        match kind % 20 {
            0..=3 => Self::Derive { parent: a },
            4 | 5 => Self::Merge {
                first: a,
                second: b,
            },
            6 => Self::MergeMany { from: a, step: b },
            7 if b % 8 == 0 => Self::WithoutCancel { of: a },
            7 => Self::CloneContext { of: a },
            8 | 9 => Self::DropContext { which: a },
            10 => Self::CancelByGuard {
                which: a,
                why: flag,
            },
            11 => Self::DropGuard { which: a },
            12 | 13 => Self::Disarm { which: a },
            14 => Self::Handle { of: a },
            15 if flag => Self::CloneHandle { of: a },
            15 => Self::CancelByHandle {
                which: a,
                why: b % 4 == 0,
            },
            16 => Self::DropHandle { which: a },
            17 => Self::Wait { on: a, poll: flag },
            18 => Self::Poll {
                which: a,
                other_waker: flag,
            },
            _ => Self::DropWait { which: a },
        }
    }
}

/// Plays a history on the engine and on the reference.
///
/// # Panics
///
/// Where they disagree.
pub(crate) fn run(history: impl IntoIterator<Item = Op>) {
    let causes = Causes::default();
    let mut world = World::new(causes.clone());
    for (step, op) in history.into_iter().enumerate() {
        world.play(op);
        world.compare(step, op);
    }
    drop(world);
    let (made, dropped) = (causes.made(), causes.dropped());
    assert_eq!(dropped, made, "causes dropped when all is gone");
}

/// More of one kind only makes a history slower.
const MOST: usize = 24;

struct World {
    tree: Tree,
    causes: Causes,
    /// The first is the background, which has no node and is never dropped.
    contexts: Vec<(Context, Option<Id>)>,
    guards: Vec<(CancelGuard, Id)>,
    handles: Vec<(CancelHandle, Id)>,
    waits: Vec<Wait>,
}

struct Wait {
    done: Done,
    on: Option<Id>,
    /// The waker it was polled with last, if it was.
    waker: Option<Arc<Wakes>>,
    /// What became of the wakers before, with the wakes each is to have had.
    before: Vec<Arc<Wakes>>,
    woken: usize,
}

impl World {
    fn new(causes: Causes) -> Self {
        Self {
            tree: Tree::default(),
            causes,
            contexts: vec![(Context::background(), None)],
            guards: Vec::new(),
            handles: Vec::new(),
            waits: Vec::new(),
        }
    }

    fn play(&mut self, op: Op) {
        match op {
            Op::Derive { parent } => {
                let parent = pick(&self.contexts, parent).unwrap_or(0);
                let (ctx, id) = &self.contexts[parent];
                let (made, parents) = (ctx.with_cancel(), id.iter().copied().collect());
                self.adopt(made, parents);
            }
            Op::Merge { first, second } => self.merge(&[first, second]),
            Op::MergeMany { from, step } => {
                let named = [0, 1, 2, 3, 4, 0].map(|n| from.wrapping_add(step.wrapping_mul(n)));
                self.merge(&named[..2 + usize::from(step % 5)]);
            }
            Op::WithoutCancel { of } => {
                let of = pick(&self.contexts, of).unwrap_or(0);
                let free = self.contexts[of].0.without_cancel();
                self.contexts.push((free, None));
            }
            Op::CloneContext { of } => {
                let of = pick(&self.contexts, of).unwrap_or(0);
                let (clone, id) = self.contexts[of].clone();
                id.inspect(|id| self.tree.acquire(*id));
                self.contexts.push((clone, id));
            }
            Op::DropContext { which } => {
                if let Some(which) = pick(&self.contexts, which).filter(|which| *which > 0) {
                    let (ctx, id) = self.contexts.swap_remove(which);
                    drop(ctx);
                    id.inspect(|id| self.tree.release(*id));
                }
            }
            Op::CancelByGuard { which, why } => {
                if let Some(which) = pick(&self.guards, which) {
                    let (reason, cause) = self.causes.make_if(why);
                    let (guard, id) = &self.guards[which];
                    match cause {
                        None => guard.cancel(),
                        Some(cause) => guard.cancel_with(cause),
                    }
                    self.expect_end(*id, reason);
                }
            }
            Op::DropGuard { which } => {
                if let Some(which) = pick(&self.guards, which) {
                    let (guard, id) = self.guards.swap_remove(which);
                    drop(guard);
                    self.expect_end(id, None);
                    self.tree.release(id);
                }
            }
            Op::Disarm { which } => {
                if let Some(which) = pick(&self.guards, which) {
                    let (guard, id) = self.guards.swap_remove(which);
                    self.handles.push((guard.disarm(), id));
                }
            }
            Op::Handle { of } => {
                if let Some(of) = pick(&self.guards, of) {
                    let (guard, id) = &self.guards[of];
                    self.tree.acquire(*id);
                    self.handles.push((guard.handle(), *id));
                }
            }
            Op::CloneHandle { of } => {
                if let Some(of) = pick(&self.handles, of) {
                    let (handle, id) = self.handles[of].clone();
                    self.tree.acquire(id);
                    self.handles.push((handle, id));
                }
            }
            Op::CancelByHandle { which, why } => {
                if let Some(which) = pick(&self.handles, which) {
                    let (reason, cause) = self.causes.make_if(why);
                    let (handle, id) = &self.handles[which];
                    match cause {
                        None => handle.cancel(),
                        Some(cause) => handle.cancel_with(cause),
                    }
                    self.expect_end(*id, reason);
                }
            }
            Op::DropHandle { which } => {
                if let Some(which) = pick(&self.handles, which) {
                    let (handle, id) = self.handles.swap_remove(which);
                    drop(handle);
                    self.tree.release(id);
                }
            }
            Op::Wait { on, poll } => {
                let on = pick(&self.contexts, on).unwrap_or(0);
                let (ctx, id) = &self.contexts[on];
                self.waits.push(Wait {
                    done: ctx.done(),
                    on: *id,
                    waker: None,
                    before: Vec::new(),
                    woken: 0,
                });
                id.inspect(|id| self.tree.acquire(*id));
                if poll {
                    self.poll(self.waits.len() - 1, true);
                }
            }
            Op::Poll { which, other_waker } => {
                if let Some(which) = pick(&self.waits, which) {
                    self.poll(which, other_waker);
                }
            }
            Op::DropWait { which } => {
                if let Some(which) = pick(&self.waits, which) {
                    self.drop_wait(which);
                }
            }
        }
        self.stay_small();
    }

    /// What there is too much of goes, the oldest first.
    fn stay_small(&mut self) {
        if self.contexts.len() > MOST {
            self.play(Op::DropContext { which: 1 });
        }
        if self.guards.len() > MOST {
            self.play(Op::DropGuard { which: 0 });
        }
        if self.handles.len() > MOST {
            self.play(Op::DropHandle { which: 0 });
        }
        if self.waits.len() > MOST {
            self.play(Op::DropWait { which: 0 });
        }
    }

    fn merge(&mut self, named: &[u8]) {
        let at = |n: &u8| &self.contexts[usize::from(*n) % self.contexts.len()];
        let made = Context::merge(named.iter().map(|n| &at(n).0));
        let mut parents: Vec<Id> = named.iter().filter_map(|n| at(n).1).collect();
        parents.sort_unstable();
        parents.dedup();
        self.adopt(made, parents);
    }

    /// Takes up a context just made. Where several of its parents are done, which of them it took its end from is the
    /// engine's to choose.
    fn adopt(&mut self, (ctx, guard): (Context, CancelGuard), parents: Vec<Id>) {
        let reasons = self.tree.reasons_of(&parents);
        let ended = why_ended(&ctx);
        match ended {
            None => assert!(reasons.is_empty(), "live below a parent that is done"),
            Some(why) => assert!(
                reasons.contains(&why),
                "{why:?} is none of the parents' {reasons:?}"
            ),
        }
        let id = self.tree.derive(parents, ended);
        self.tree.acquire(id);
        self.tree.acquire(id);
        self.contexts.push((ctx, Some(id)));
        self.guards.push((guard, id));
    }

    fn expect_end(&mut self, id: Id, why: Why) {
        let ended = self.tree.cancel(id, why);
        for wait in &mut self.waits {
            let is_told = wait.on.is_some_and(|on| ended.contains(&on));
            if is_told && wait.waker.is_some() {
                wait.woken += 1;
            }
        }
    }

    fn poll(&mut self, which: usize, other_waker: bool) {
        let wait = &mut self.waits[which];
        let is_over = wait.on.is_some_and(|on| self.tree.ended(on).is_some());
        if !is_over && (other_waker || wait.waker.is_none()) {
            let new = Some(Arc::default());
            wait.before.extend(std::mem::replace(&mut wait.waker, new));
        }
        let waker = wait.waker.clone().unwrap_or_default();
        let answer = |done: &mut Done| {
            let waker = waker.clone().into();
            Pin::new(done).poll(&mut TaskContext::from_waker(&waker))
        };
        if !is_over {
            assert_eq!(answer(&mut wait.done), Poll::Pending);
            return;
        }
        for _ in 0..2 {
            assert_eq!(answer(&mut wait.done), Poll::Ready(Error::Canceled));
        }
        drop(waker);
        // A `Done` that was ready may have let its context go already: no longer to be counted on.
        self.drop_wait(which);
    }

    fn drop_wait(&mut self, which: usize) {
        let wait = self.waits.swap_remove(which);
        wait.compare();
        let wakers = wait.waker.iter().chain(&wait.before);
        let wakers: Vec<_> = wakers.cloned().collect();
        drop((wait.done, wait.waker, wait.before));
        for waker in &wakers {
            assert_eq!(Arc::strong_count(waker), 1, "a waker is still held");
        }
        wait.on.inspect(|id| self.tree.release(*id));
    }

    fn compare(&self, step: usize, op: Op) {
        for (ctx, id) in &self.contexts {
            let what = || format!("context {id:?} after step {step}, {op:?}");
            let expected = id.and_then(|id| self.tree.ended(id));
            assert_eq!(why_ended(ctx), expected, "{}", what());
            let count = id.map_or(0..=0, |id| self.tree.child_count(id));
            assert!(
                count.contains(&ctx.child_count()),
                "{} has {} children and not {count:?}",
                what(),
                ctx.child_count()
            );
        }
        self.waits.iter().for_each(Wait::compare);
    }
}

impl Wait {
    fn compare(&self) {
        let wakes = self.waker.as_ref().map_or(0, |waker| waker.count());
        assert_eq!(wakes, self.woken, "wakes of a wait on {:?}", self.on);
        let stale = self.before.iter().map(|waker| waker.count()).sum::<usize>();
        assert_eq!(stale, 0, "wakes of wakers that were replaced");
    }
}

fn pick<T>(items: &[T], number: u8) -> Option<usize> {
    usize::from(number).checked_rem(items.len())
}

/// How the engine says it ended, all its answers in agreement.
fn why_ended(ctx: &Context) -> Option<Why> {
    let error = ctx.err();
    assert_eq!(ctx.is_done(), error.is_some());
    assert_eq!(ctx.check().err(), error);
    let cause = ctx.cause();
    assert_eq!(cause.is_some(), error.is_some(), "err and cause");
    let cause = cause?;
    assert_eq!(error, Some(Error::Canceled));
    let reason = cause.downcast_ref::<Reason>().map(|reason| reason.number);
    if reason.is_none() {
        assert_eq!(cause.downcast_ref(), Some(&Error::Canceled));
    }
    Some(reason)
}

/// Makes causes, each with its number, and counts those dropped.
#[derive(Clone, Default)]
struct Causes {
    made: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Causes {
    fn make_if(&self, why: bool) -> (Why, Option<Reason>) {
        if !why {
            return (None, None);
        }
        let number = self.made.fetch_add(1, Ordering::Relaxed) as u64;
        let dropped = self.dropped.clone();
        (Some(number), Some(Reason { number, dropped }))
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Reason {
    number: u64,
    dropped: Arc<AtomicUsize>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reason {}", self.number)
    }
}

impl std::error::Error for Reason {}

impl Drop for Reason {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
