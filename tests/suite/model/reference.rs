//! A tree of contexts so slow and plain that it is obviously right: nodes in the order they were made, none ever taken
//! out, every answer by a walk over all of them.

use super::clock::{Clocks, EngineId};
use ripcord::Error;
use std::time::Instant;

/// The place of a node among all that were made: parents come before their children.
pub(crate) type Id = usize;

/// Where a context is: no node is that of a background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) engine: EngineId,
    pub(crate) node: Option<Id>,
}

/// What the cause of an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Error(Error),
    /// One that was given, by its number.
    Counted(usize),
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) error: Error,
    pub(crate) why: Why,
}

#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) clocks: Clocks,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    parents: Vec<Id>,
    engine: EngineId,
    /// A deadline of its own, which its engine fires, and what for.
    armed: Option<(Instant, Why)>,
    /// The earliest of its own and its parents'.
    deadline: Option<Instant>,
    handles: usize,
    /// What it adds to the `child_count` of its parents.
    counts: usize,
    /// How it ended; none: it is live; several: it is one of them.
    ends: Vec<End>,
}

/// Which nodes are kept: for certain, by their handles and those of live descendants; at the most, by those of
/// descendants that have ended as well.
#[derive(Debug)]
pub(crate) struct Kept {
    certain: Vec<bool>,
    most: Vec<bool>,
}

impl Tree {
    pub(crate) fn new(clocks: Clocks) -> Self {
        Self {
            clocks,
            nodes: Vec::new(),
        }
    }

    fn add(&mut self, engine: EngineId, parents: Vec<Id>, ends: Vec<End>) -> Id {
        let deadlines = parents.iter().filter_map(|id| self.nodes[*id].deadline);
        self.nodes.push(Node {
            deadline: deadlines.min(),
            parents,
            engine,
            armed: None,
            handles: 0,
            counts: 1,
            ends,
        });
        self.nodes.len() - 1
    }

    /// A child without handles, ended if its parent is.
    pub(crate) fn derive(&mut self, under: At) -> Id {
        let ends = self.ends(under).to_vec();
        self.add(under.engine, under.node.into_iter().collect(), ends)
    }

    /// One with a deadline of its own, if that is earlier than its parent's.
    pub(crate) fn derive_timed(&mut self, under: At, at: Option<Instant>, why: Why) -> Id {
        let id = self.derive(under);
        let inherited = self.nodes[id].deadline;
        let can_be = |at: &Instant| self.clocks.can_be(under.engine, *at);
        let Some(at) = at
            .filter(can_be)
            .filter(|at| inherited.is_none_or(|inherited| *at < inherited))
        else {
            return id;
        };
        self.nodes[id].deadline = Some(at);
        if !self.nodes[id].ends.is_empty() {
            return id;
        }
        if at <= self.clocks.now(under.engine) {
            self.nodes[id].ends = vec![End::expired(why)];
        } else if self.clocks.is_stopped(under.engine) {
            self.nodes[id].ends = vec![End::STOPPED];
        } else {
            self.nodes[id].armed = Some((at, why));
        }
        id
    }

    /// Done with any of them. Where several are done, which of them it took its end from is the engine's to choose.
    pub(crate) fn merge(&mut self, of: &[At]) -> At {
        let is_plain = |at: &&At| at.engine == 0 && at.node.is_none();
        let engine = of.iter().find(|at| !is_plain(at)).map_or(0, |at| at.engine);
        let mut parents: Vec<Id> = of.iter().filter_map(|at| at.node).collect();
        parents.sort_unstable();
        parents.dedup();
        let ends = parents.iter().flat_map(|id| &self.nodes[*id].ends);
        let ends = ends.copied().collect();
        let node = Some(self.add(engine, parents, ends));
        At { engine, node }
    }

    /// Has a node add so much to the `child_count` of its parents.
    pub(crate) fn set_counts(&mut self, id: Id, counts: usize) {
        self.nodes[id].counts = counts;
    }

    /// Ends a node and all below it.
    pub(crate) fn cancel(&mut self, id: Id, why: Why) {
        let error = Error::Canceled;
        self.end(&[(id, End { error, why })]);
    }

    /// Ends what is due, the earliest first; of what is due at one instant any is the first.
    pub(crate) fn fire(&mut self, engine: EngineId) {
        let now = self.clocks.now(engine);
        let mut due = self.armed(engine);
        due.retain(|(at, ..)| *at <= now);
        due.sort_by_key(|(at, ..)| *at);
        for together in due.chunk_by(|(one, ..), (next, ..)| one == next) {
            let ends: Vec<_> = together
                .iter()
                .map(|(_, id, why)| (*id, End::expired(*why)))
                .collect();
            self.end(&ends);
        }
    }

    /// Stops an engine: what has a deadline ahead is done.
    pub(crate) fn stop(&mut self, engine: EngineId) {
        self.clocks.stop(engine);
        let armed = self.armed(engine);
        let ends: Vec<_> = armed.iter().map(|(_, id, _)| (*id, End::STOPPED)).collect();
        self.end(&ends);
    }

    fn armed(&self, engine: EngineId) -> Vec<(Instant, Id, Why)> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node.engine == engine && node.ends.is_empty())
            .filter_map(|(id, node)| node.armed.map(|(at, why)| (at, id, why)))
            .collect()
    }

    /// Ends these, those that are live, and all below them.
    fn end(&mut self, which: &[(Id, End)]) {
        let mut ended = vec![false; self.nodes.len()];
        for id in 0..self.nodes.len() {
            if !self.nodes[id].ends.is_empty() {
                continue;
            }
            let own = which
                .iter()
                .filter(|(of, _)| *of == id)
                .map(|(_, end)| *end);
            let mut ends: Vec<End> = own.collect();
            for parent in self.nodes[id].parents.iter().filter(|id| ended[**id]) {
                ends.extend(&self.nodes[*parent].ends);
            }
            ended[id] = !ends.is_empty();
            self.nodes[id].ends = ends;
        }
    }

    /// How it ended: one of these.
    pub(crate) fn ends(&self, at: At) -> &[End] {
        at.node.map_or(&[], |id| &self.nodes[id].ends)
    }

    pub(crate) fn is_done(&self, at: At) -> bool {
        !self.ends(at).is_empty()
    }

    /// Takes note of how it ended, which from then on never changes.
    ///
    /// # Panics
    ///
    /// Where it cannot have ended so.
    pub(crate) fn observe(&mut self, at: At, end: Option<End>) {
        let ends = self.ends(at);
        match end {
            None => assert!(ends.is_empty(), "live, and should be {ends:?}"),
            Some(end) => assert!(ends.contains(&end), "{end:?}, and should be {ends:?}"),
        }
        if let Some(id) = at.node {
            self.nodes[id].ends.retain(|one| Some(*one) == end);
        }
    }

    pub(crate) fn deadline(&self, at: At) -> Option<Instant> {
        at.node.and_then(|id| self.nodes[id].deadline)
    }

    pub(crate) fn acquire(&mut self, at: At) {
        if let Some(id) = at.node {
            self.nodes[id].handles += 1;
        }
    }

    pub(crate) fn release(&mut self, at: At) {
        if let Some(id) = at.node {
            self.nodes[id].handles -= 1;
        }
    }

    pub(crate) fn kept(&self) -> Kept {
        Kept {
            certain: self.kept_by(|node| node.ends.is_empty()),
            most: self.kept_by(|_| true),
        }
    }

    /// Which nodes have a handle, or a descendant that has: through such as `counts`.
    fn kept_by(&self, counts: impl Fn(&Node) -> bool) -> Vec<bool> {
        let mut kept = vec![false; self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate().rev() {
            kept[id] |= node.handles > 0;
            if kept[id] && counts(node) {
                for parent in &node.parents {
                    kept[*parent] = true;
                }
            }
        }
        kept
    }

    /// Of every node, how many children it has that are live and kept: at least, and at the most.
    pub(crate) fn child_counts(&self, kept: &Kept) -> Vec<(usize, usize)> {
        let mut counts = vec![(0, 0); self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate() {
            if !node.ends.is_empty() {
                continue;
            }
            for parent in &node.parents {
                counts[*parent].0 += node.counts * usize::from(kept.certain[id]);
                counts[*parent].1 += node.counts * usize::from(kept.most[id]);
            }
        }
        counts
    }
}

impl Kept {
    pub(crate) fn is_certain(&self, at: At) -> bool {
        at.node.is_none_or(|id| self.certain[id])
    }
}

impl End {
    const STOPPED: Self = Self {
        error: Error::Canceled,
        why: Why::Stopped,
    };

    fn expired(why: Why) -> Self {
        let error = Error::DeadlineExceeded;
        Self { error, why }
    }
}
