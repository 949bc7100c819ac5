//! What was named: how old it is, where it was named, and whether it is over.

use super::log::{Log, MonitorEvent};
use crate::context::Context;
use crate::display::Path;
use crate::origin::{self, ContextKind};
use crate::patterns::lock::lock;
use crate::patterns::tree::{ContextTree, Named};
use crate::raw::time::Time;
use crate::raw::view::{NodeView, View};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A context that has been open for longer than was asked. From [`Monitor::leaks`](crate::Monitor::leaks).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Leak {
    /// As it was tracked.
    pub name: String,
    /// What it was made by.
    pub kind: ContextKind,
    /// Since it was tracked, by its engine's clock.
    pub age: Duration,
    /// Where it was tracked.
    pub tracked_at: &'static Location<'static>,
    /// Where it was made; `None` without the feature `origin`.
    pub made_at: Option<&'static Location<'static>>,
    /// The derivations that led to it.
    pub path: String,
    /// What hangs on it and is not done: see [`child_count`](crate::Context::child_count).
    pub children: usize,
}

/// `worker 3: open for 12s, WithCancel, tracked at src/main.rs:10:5`, and where it was made, if that is known.
impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            kind,
            age,
            tracked_at,
            made_at,
            children,
            ..
        } = self;
        write!(
            f,
            "{name}: open for {age:?}, {kind}, tracked at {tracked_at}"
        )?;
        if let Some(made_at) = made_at {
            write!(f, ", made at {made_at}")?;
        }
        match children {
            0 => Ok(()),
            1 => f.write_str(", with one child"),
            _ => write!(f, ", with {children} children"),
        }
    }
}

#[derive(Default)]
pub(super) struct Tracked(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// One for each name, as they were tracked.
    all: Vec<Entry>,
    /// What they are of, by address.
    contexts: HashMap<usize, Arc<Context>>,
    /// With so many, those that are over are forgotten.
    sweep_at: usize,
}

/// Entries before the first sweep.
const SWEEP_AT: usize = 64;

#[derive(Clone)]
struct Entry {
    name: String,
    /// The monitor's one handle of it, whatever its names and whoever looks, so that it can be told from those of others. Without
    /// values: one of them may be a guard, or have a handle.
    ctx: Arc<Context>,
    /// The names of its values, with their places.
    sets: Vec<(u32, &'static str)>,
    since: Time,
    at: &'static Location<'static>,
}

/// Done, or ours alone: who tracked it has dropped it and all that was derived from it, and nobody waits on it.
fn is_over(ctx: &Context) -> bool {
    ctx.is_done() || ctx.node().is_sole()
}

impl Entry {
    fn node(&self) -> Option<NodeView<'_>> {
        match self.ctx.node().view() {
            View::Node(node) => Some(node),
            View::Background | View::Todo => None,
        }
    }

    fn path(&self) -> String {
        let view = self.ctx.node().view();
        let sets = &self.sets;
        Path { view, sets }.to_string()
    }

    fn age(&self) -> Duration {
        self.ctx.node().core().now().since(self.since)
    }
}

impl Tracked {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.0)
    }

    pub(super) fn add(
        &self,
        ctx: &Context,
        name: String,
        at: &'static Location<'static>,
        log: &Log,
    ) {
        let address = match ctx.node().view() {
            View::Node(node) if !node.is_background() => node.address(),
            _ => return,
        };
        log.write(MonitorEvent::Tracked { name: name.clone() });
        let sets = ctx.values().path();
        let since = ctx.node().core().now();
        let over = {
            let mut entries = self.lock();
            let known = entries.contexts.entry(address);
            let bare = || Arc::new(Context::of(ctx.node().clone()));
            let ctx = Arc::clone(known.or_insert_with(bare));
            entries.all.push(Entry {
                name,
                ctx,
                sets,
                since,
                at,
            });
            if entries.all.len() > entries.sweep_at.max(SWEEP_AT) {
                let over = entries.take_over();
                entries.sweep_at = 2 * entries.all.len();
                over
            } else {
                Vec::new()
            }
        };
        forget(over, log);
    }

    fn clones(&self, log: &Log) -> Vec<Entry> {
        loop {
            let over = {
                let mut entries = self.lock();
                let over = entries.take_over();
                if over.is_empty() {
                    return entries.all.clone();
                }
                over
            };
            // With them may go what kept those they were derived from.
            forget(over, log);
        }
    }

    pub(super) fn leaks(&self, older_than: Duration, log: &Log) -> Vec<Leak> {
        let mut leaks: Vec<_> = self
            .clones(log)
            .into_iter()
            .filter(|entry| entry.age() >= older_than)
            .filter_map(|entry| {
                let node = entry.node()?;
                Some(Leak {
                    kind: ContextKind::of(node.kind()),
                    age: entry.age(),
                    tracked_at: entry.at,
                    made_at: origin::location(node),
                    path: entry.path(),
                    children: entry.ctx.child_count(),
                    name: entry.name,
                })
            })
            .collect();
        leaks.sort_by_key(|leak| std::cmp::Reverse(leak.age));
        leaks
    }

    pub(super) fn tree(&self, root: &Context, log: &Log) -> ContextTree {
        let open = self.clones(log);
        let named = open.iter().map(|entry| Named {
            name: entry.name.clone(),
            ctx: &entry.ctx,
        });
        ContextTree::below(root, &named.collect::<Vec<_>>())
    }
}

impl Entries {
    /// What is over, to be dropped where nothing is locked: hooks are told of it, and its cause's drop is not ours.
    fn take_over(&mut self) -> Vec<Entry> {
        let over = self.contexts.extract_if(|_, ctx| is_over(ctx));
        let over: HashMap<_, _> = over.collect();
        if over.is_empty() {
            return Vec::new();
        }
        let gone = |entry: &mut Entry| {
            let node = entry.node();
            node.is_some_and(|node| over.contains_key(&node.address()))
        };
        // Each is in an entry too, so the map drops no last one.
        self.all.extract_if(.., gone).collect()
    }
}

fn forget(over: Vec<Entry>, log: &Log) {
    for entry in over {
        log.write(MonitorEvent::Over {
            error: entry.ctx.err(),
            age: entry.age(),
            name: entry.name,
        });
    }
}
