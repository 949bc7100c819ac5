//! What models ask of a node beyond what the library needs.

use crate::raw::bury;
use crate::raw::handle::Handle;
use crate::raw::node::{Node, Waiter};
use crate::raw::tree;
use crate::raw::turn;
use crate::raw::values::Values;
use crate::raw::values::node::ValueNode;
use crate::raw::waiting::Waiting;
use std::ptr;

impl Handle {
    fn inside(&self) -> &Node {
        // SAFETY: `self` is a handle of it.
        unsafe { Node::at(self.node().expect("models look at nodes")) }
    }

    /// Gives the node stripes, as contention would.
    pub(crate) fn inflate(&self) {
        // SAFETY: `self` is a handle of it.
        unsafe { tree::inflate(self.node().expect("models look at nodes")) };
    }

    /// Fires the deadline of what it was derived from, which is due, as who waits for that does.
    pub(crate) fn fire_parent(&self) {
        // SAFETY: `self` is a handle of it, and keeps its parent.
        unsafe {
            let parent = self.inside().entry().parent().to_node();
            turn::fire(parent.expect("it has a parent"));
        }
    }

    /// Where the node is, for [`fire_above`](Self::fire_above).
    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self.inside()).expose_provenance()
    }

    /// Fires the deadline of one that the node was derived from, which is due, as who waits for that does.
    pub(crate) fn fire_above(&self, address: usize) {
        // SAFETY: `self` is a handle of what was derived from it.
        unsafe { turn::fire(ptr::with_exposed_provenance_mut(address)) };
    }

    /// Sees to what was handed over and left. Twice, for an owner sees to one entry here.
    pub(crate) fn tidy(&self) {
        for _ in 0..2 {
            self.listed();
        }
    }

    /// How many entries, of any kind, are on the node's own list.
    pub(crate) fn listed(&self) -> usize {
        self.inside()
            .branch
            .count(|_| 1)
            .map_or(0, |(listed, limbo)| {
                bury::reclaim_limbo(limbo);
                listed
            })
    }

    /// Whether some thread has the node's own list OWNED just now.
    pub(crate) fn is_owned(&self) -> bool {
        match self.inside().branch.count(|_| 1) {
            Some((_, limbo)) => {
                bury::reclaim_limbo(limbo);
                false
            }
            None => true,
        }
    }

    /// How many registrations the node's own list has, that of the handles with them.
    pub(crate) fn registrations(&self) -> usize {
        self.inside().branch.registrations()
    }
}

impl Values {
    fn inside(&self) -> &ValueNode {
        // SAFETY: `self` has a chain count of it.
        unsafe { ValueNode::at(self.node().expect("models look at nodes")) }
    }

    /// Gives the node a shard of the calling thread's, as many clones would. `self` is a direct count.
    pub(crate) fn open(&self) {
        self.inside().chain.open();
    }

    /// Gives a node that has a shard two more, as contention would.
    pub(crate) fn widen(&self) {
        self.inside().chain.widen();
    }
}

impl Waiting {
    /// Whether a cancel has come to this waiter itself.
    pub(crate) fn is_marked(&self) -> bool {
        // SAFETY: HELD is its own.
        let waiter = unsafe { Waiter::at(self.waiter()) };
        waiter.entry().state().load().is_done()
    }
}
