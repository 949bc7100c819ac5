//! What was named: how old it is, where it was named, and whether it is over.

use super::log::{Log, MonitorEvent};
use crate::context::Context;
use crate::origin::{self, ContextKind};
use crate::patterns::lock::lock;
use crate::patterns::tree::Named;
use crate::raw::time::Time;
use crate::raw::view::{NodeView, View};
use std::fmt;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard};
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
    all: Vec<Entry>,
    /// With so many, those that are over are forgotten.
    sweep_at: usize,
}

/// Entries before the first sweep.
const SWEEP_AT: usize = 64;

#[derive(Clone)]
struct Entry {
    name: String,
    ctx: Context,
    since: Time,
    at: &'static Location<'static>,
}

impl Entry {
    fn node(&self) -> Option<NodeView<'_>> {
        match self.ctx.node().view() {
            View::Node(node) => Some(node),
            View::Background | View::Todo => None,
        }
    }

    fn age(&self) -> Duration {
        self.ctx.node().core().now().since(self.since)
    }

    /// Done, or ours alone: who tracked it has dropped it and all that was derived from it, and nobody waits on it.
    fn is_over(&self) -> bool {
        self.ctx.is_done() || self.ctx.node().is_sole()
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
        match ctx.node().view() {
            View::Node(node) if !node.is_background() => {}
            _ => return,
        }
        log.write(MonitorEvent::Tracked { name: name.clone() });
        let entry = Entry {
            name,
            ctx: ctx.clone(),
            since: ctx.node().core().now(),
            at,
        };
        let over = {
            let mut entries = self.lock();
            entries.all.push(entry);
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
        let (open, over) = {
            let mut entries = self.lock();
            let over = entries.take_over();
            (entries.all.clone(), over)
        };
        forget(over, log);
        open
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
                    path: entry.ctx.to_string(),
                    children: entry.ctx.child_count(),
                    name: entry.name,
                })
            })
            .collect();
        leaks.sort_by_key(|leak| std::cmp::Reverse(leak.age));
        leaks
    }

    pub(super) fn open(&self, log: &Log) -> Vec<Named> {
        let entries = self.clones(log).into_iter();
        let named = entries.map(|entry| Named {
            name: entry.name,
            ctx: entry.ctx,
        });
        named.collect()
    }
}

impl Entries {
    /// What is over, to be dropped where nothing is locked: its values' drops are not ours.
    fn take_over(&mut self) -> Vec<Entry> {
        let (over, open) = self.all.drain(..).partition(Entry::is_over);
        self.all = open;
        over
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
