//! How a history is played, on the engine and on the reference at once.

use super::batches::Batched;
use super::callbacks::Callbacks;
use super::clock::{Clocks, EngineId};
use super::futures::Wait;
use super::ledger::{Ledger, Token};
use super::line::{Line, Part};
use super::ops::{AGE, Given, Op};
use super::reference::{At, Id, Tree, Why};
use super::values::{Kept, Seen};
use ripcord::{CancelGuard, CancelHandle, Cause, Context, Engine, Error, Key, ManualClock};

/// Two of them have one name.
pub(crate) static KEYS: [Key<Token>; 6] = [
    Key::new("user"),
    Key::new("trace"),
    Key::new("user"),
    Key::new("tenant"),
    Key::new("locale"),
    Key::new("budget"),
];

/// Never set.
pub(crate) static UNSET: Key<Token> = Key::new("user");

/// More of one kind only makes a history slower.
const MOST: usize = 24;

/// Backgrounds, which are never dropped.
const BACKGROUNDS: usize = 4;

/// Plays a history on the engine and on the reference.
///
/// # Panics
///
/// Where they disagree.
pub(crate) fn run(history: impl IntoIterator<Item = Op>) {
    let mut world = World::new();
    for (step, op) in history.into_iter().enumerate() {
        world.play(op);
        world.stay_small();
        world.compare(step, op);
    }
    world.end();
}

pub(crate) struct World {
    pub(super) tree: Tree,
    pub(super) engines: Vec<(Engine, ManualClock)>,
    pub(super) contexts: Vec<Held>,
    pub(super) guards: Vec<(CancelGuard, Id)>,
    pub(super) handles: Vec<(CancelHandle, Id)>,
    pub(super) batches: Vec<Batched>,
    pub(super) waits: Vec<Wait>,
    /// Each says whether it is disconnected.
    pub(super) channels: Vec<(Box<dyn Fn() -> bool>, At)>,
    pub(super) callbacks: Callbacks,
    pub(super) causes: Ledger,
    pub(super) values: Ledger,
    /// What futures own.
    pub(super) futures: Ledger,
    pub(super) kept_values: Kept,
}

/// A context, and what the reference knows of it.
#[derive(Clone)]
pub(crate) struct Held {
    pub(super) ctx: Context,
    pub(super) at: At,
    pub(super) seen: Seen,
    pub(super) line: Line,
}

impl World {
    fn new() -> Self {
        let manual = || Engine::builder().manual_clock();
        let engines: Vec<_> = (0..2)
            .map(|_| manual().expect("it needs no thread"))
            .collect();
        let stands: Vec<_> = engines.iter().map(|(_, clock)| clock.now()).collect();
        let background = |engine, ctx, line| Held {
            ctx,
            at: At { engine, node: None },
            seen: Seen::default(),
            line,
        };
        let contexts = vec![
            background(0, Context::background(), Line::BACKGROUND),
            background(1, engines[0].0.background(), Line::BACKGROUND),
            background(2, engines[1].0.background(), Line::BACKGROUND),
            background(0, Context::todo(), Line::TODO),
        ];
        Self {
            tree: Tree::new(Clocks::new(&stands)),
            engines,
            contexts,
            guards: Vec::new(),
            handles: Vec::new(),
            batches: Vec::new(),
            waits: Vec::new(),
            channels: Vec::new(),
            callbacks: Callbacks::default(),
            causes: Ledger::default(),
            values: Ledger::default(),
            futures: Ledger::default(),
            kept_values: Kept::default(),
        }
    }

    fn play(&mut self, op: Op) {
        match op {
            Op::Derive { parent } => {
                let parent = self.context(parent);
                let made = parent.ctx.with_cancel();
                let id = self.tree.derive(parent.at);
                self.adopt(made, &parent, id, Part::Cancel);
            }
            Op::DeriveTimed { parent, when, why } => self.derive_timed(parent, when, why),
            Op::Merge { first, second } => self.merge(&[first, second]),
            Op::MergeMany { from, step } => {
                let named = [0, 1, 2, 3, 4, 0].map(|n| from.wrapping_add(step.wrapping_mul(n)));
                self.merge(&named[..usize::from(step % 6) + 1]);
            }
            Op::WithoutCancel { of } => {
                let of = self.context(of);
                self.contexts.push(Held {
                    ctx: of.ctx.without_cancel(),
                    at: At {
                        node: None,
                        ..of.at
                    },
                    line: of.line.without_cancel(),
                    seen: of.seen,
                });
            }
            Op::SetValue { on, key, times } => {
                let mut held = self.context(on);
                let key = usize::from(key) % KEYS.len();
                for _ in 0..times {
                    let value = self.values.issue();
                    held.seen.set(key, value.number());
                    held.ctx = held.ctx.with_value(&KEYS[key], value);
                    held.line = held.line.with(Part::Value(KEYS[key].name()));
                }
                self.hold(held);
            }
            Op::CloneContext { of } => {
                let clone = self.context(of);
                self.hold(clone);
            }
            Op::DropContext { which } => {
                if let Some(which) = pick(&self.contexts, which).filter(|at| *at >= BACKGROUNDS) {
                    let held = self.contexts.swap_remove(which);
                    drop(held.ctx);
                    self.tree.release(held.at);
                }
            }
            Op::CancelByGuard { which, why } => {
                if let Some(which) = pick(&self.guards, which) {
                    let (why, cause) = self.give(why, Error::Canceled);
                    let (guard, id) = &self.guards[which];
                    match cause {
                        None => guard.cancel(),
                        Some(cause) => guard.cancel_with(cause),
                    }
                    let id = *id;
                    self.canceled(id, why);
                }
            }
            Op::DropGuard { which } => {
                if let Some(which) = pick(&self.guards, which) {
                    let (guard, id) = self.guards.swap_remove(which);
                    drop(guard);
                    self.canceled(id, Why::Error(Error::Canceled));
                    self.tree.release(self.node(id));
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
                    self.handles.push((guard.handle(), *id));
                    self.tree.acquire(self.node(self.guards[of].1));
                }
            }
            Op::CloneHandle { of } => {
                if let Some(of) = pick(&self.handles, of) {
                    let (handle, id) = self.handles[of].clone();
                    self.tree.acquire(self.node(id));
                    self.handles.push((handle, id));
                }
            }
            Op::CancelByHandle { which, why } => {
                if let Some(which) = pick(&self.handles, which) {
                    let (why, cause) = self.give(why, Error::Canceled);
                    let (handle, id) = &self.handles[which];
                    match cause {
                        None => handle.cancel(),
                        Some(cause) => handle.cancel_with(cause),
                    }
                    let id = *id;
                    self.canceled(id, why);
                }
            }
            Op::DropHandle { which } => {
                if let Some(which) = pick(&self.handles, which) {
                    let (handle, id) = self.handles.swap_remove(which);
                    drop(handle);
                    self.tree.release(self.node(id));
                }
            }
            Op::Batch { .. }
            | Op::TakeFromBatch { .. }
            | Op::CancelBatch { .. }
            | Op::DropBatch { .. } => self.play_batch(op),
            Op::Wait { .. }
            | Op::Sleep { .. }
            | Op::Run { .. }
            | Op::Poll { .. }
            | Op::DropWait { .. } => self.play_future(op),
            Op::Channel { of } => {
                let of = self.context(of);
                let channel = of.ctx.done_channel();
                let is_over = move || channel.try_recv().is_err_and(|no| no.is_disconnected());
                self.channels.push((Box::new(is_over), of.at));
            }
            Op::DropChannel { which } => {
                if let Some(which) = pick(&self.channels, which) {
                    drop(self.channels.swap_remove(which));
                }
            }
            Op::AfterFunc { .. } | Op::Stop { .. } | Op::DropAfterFunc { .. } => {
                self.play_callback(op);
            }
            Op::Light { under, after } => {
                let under = self.context(under);
                self.check_light(&under, after);
            }
            Op::Advance { engine, by } => {
                let engine = manual(engine);
                if self.tree.clocks.age(engine) <= 3 * AGE {
                    self.engines[engine - 1].1.advance(by);
                    self.tree.clocks.advance(engine, by);
                    self.tree.fire(engine);
                    self.after_advance(engine);
                }
            }
            Op::Shutdown { engine } => {
                let engine = manual(engine);
                self.engines[engine - 1].0.shutdown();
                self.tree.stop(engine);
                self.after_shutdown(engine);
            }
        }
    }

    /// What there is too much of goes, the oldest first.
    fn stay_small(&mut self) {
        if self.contexts.len() > MOST {
            self.play(Op::DropContext {
                which: BACKGROUNDS as u8,
            });
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
        if self.channels.len() > MOST {
            self.play(Op::DropChannel { which: 0 });
        }
        if self.batches.len() > MOST / 4 {
            self.play(Op::DropBatch { which: 0 });
        }
        self.drop_stopped_callbacks(MOST);
    }

    /// Takes up a child just made.
    pub(super) fn adopt(
        &mut self,
        made: (Context, CancelGuard),
        parent: &Held,
        id: Id,
        part: Part,
    ) {
        let (seen, line) = (parent.seen.clone(), parent.line.with(part));
        self.hold_new(made, self.node_of(parent.at, id), seen, line);
    }

    pub(super) fn hold_new(
        &mut self,
        made: (Context, CancelGuard),
        at: At,
        seen: Seen,
        line: Line,
    ) {
        let (ctx, guard) = made;
        if let Some(id) = at.node {
            self.tree.acquire(at);
            self.guards.push((guard, id));
        }
        self.hold(Held {
            ctx,
            at,
            seen,
            line,
        });
    }

    pub(super) fn hold(&mut self, held: Held) {
        self.tree.acquire(held.at);
        self.contexts.push(held);
    }

    /// A node was cancelled, by a call that has returned.
    pub(super) fn canceled(&mut self, id: Id, why: Why) {
        self.tree.cancel(id, why);
        self.settle();
    }

    /// Those who were told take note.
    pub(super) fn settle(&mut self) {
        self.settle_waits();
        self.settle_callbacks();
    }

    /// A clone of one: what is done with it is done with any handle.
    pub(super) fn context(&self, number: u8) -> Held {
        let which = pick(&self.contexts, number).unwrap_or(0);
        self.contexts[which].clone()
    }

    pub(super) fn node(&self, id: Id) -> At {
        At {
            engine: 0,
            node: Some(id),
        }
    }

    pub(super) fn node_of(&self, parent: At, id: Id) -> At {
        At {
            node: Some(id),
            ..parent
        }
    }

    /// A cause, and what the reference is to know of it; `error`: that of the end it goes with.
    pub(super) fn give(&self, given: Given, error: Error) -> (Why, Option<Cause>) {
        match given {
            Given::Nothing => (Why::Error(error), None),
            Given::Counted => {
                let token = self.causes.issue();
                (Why::Counted(token.number()), Some(token.into()))
            }
            Given::OtherError => {
                let other = match error {
                    Error::Canceled => Error::DeadlineExceeded,
                    _ => Error::Canceled,
                };
                (Why::Error(other), Some(other.into()))
            }
        }
    }
}

fn manual(number: u8) -> EngineId {
    1 + usize::from(number % 2)
}

pub(super) fn pick<T>(items: &[T], number: u8) -> Option<usize> {
    usize::from(number).checked_rem(items.len())
}
