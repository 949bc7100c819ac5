//! A tree of contexts so slow and plain that it is obviously right: nodes in the order they were made, none ever taken
//! out, every answer by a walk over all of them.

use std::ops::RangeInclusive;

/// The place of a node among all that were made: parents come before their children.
pub(crate) type Id = usize;

/// What a context was cancelled for; `None`: no reason was given.
pub(crate) type Why = Option<u64>;

#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    parents: Vec<Id>,
    handles: usize,
    ended: Option<Why>,
}

impl Tree {
    /// A node without handles, ended if one of its parents is: for one of [`Tree::reasons_of`] them.
    pub(crate) fn derive(&mut self, parents: Vec<Id>, ended: Option<Why>) -> Id {
        self.nodes.push(Node {
            parents,
            handles: 0,
            ended,
        });
        self.nodes.len() - 1
    }

    /// The reasons of those that have ended.
    pub(crate) fn reasons_of(&self, ids: &[Id]) -> Vec<Why> {
        ids.iter().filter_map(|id| self.nodes[*id].ended).collect()
    }

    /// Ends a node and all below it; answers with those that were live until now.
    pub(crate) fn cancel(&mut self, id: Id, why: Why) -> Vec<Id> {
        if self.nodes[id].ended.is_some() {
            return Vec::new();
        }
        self.nodes[id].ended = Some(why);
        let mut ended = vec![id];
        for below in id + 1..self.nodes.len() {
            let node = &mut self.nodes[below];
            let reached = node.parents.iter().any(|parent| ended.contains(parent));
            if reached && node.ended.is_none() {
                node.ended = Some(why);
                ended.push(below);
            }
        }
        ended
    }

    pub(crate) fn ended(&self, id: Id) -> Option<Why> {
        self.nodes[id].ended
    }

    pub(crate) fn acquire(&mut self, id: Id) {
        self.nodes[id].handles += 1;
    }

    pub(crate) fn release(&mut self, id: Id) {
        self.nodes[id].handles -= 1;
    }

    /// How many children of it are live and kept: for certain, by their handles and those of live descendants; at the
    /// most, by those of descendants that have ended as well.
    pub(crate) fn child_count(&self, id: Id) -> RangeInclusive<usize> {
        if self.nodes[id].ended.is_some() {
            return 0..=0;
        }
        let count = |kept: Vec<bool>| {
            let of_id = |node: &Node| node.ended.is_none() && node.parents.contains(&id);
            let nodes = self.nodes.iter().zip(kept);
            nodes.filter(|(node, kept)| *kept && of_id(node)).count()
        };
        let certain = self.kept_by(|node| node.ended.is_none());
        count(certain)..=count(self.kept_by(|_| true))
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
}
