//! Where a context stands in the tree, for those who print it.
//!
//! Called by `handle` and the facade.

use super::core::Core;
use super::entry::{Kind, ParentRef};
use super::handle::Handle;
use super::merge;
use super::node::Node;
use super::time::Time;
use std::marker::PhantomData;

/// A background, or a node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Background,
    Todo,
    Node(NodeView<'a>),
}

/// A node, kept by what the view borrows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeView<'a> {
    node: *mut Node,
    kept: PhantomData<&'a Handle>,
}

impl<'a> NodeView<'a> {
    /// # Safety
    ///
    /// The caller keeps the node for `'a`.
    pub(super) unsafe fn new(node: *mut Node) -> Self {
        Self {
            node,
            kept: PhantomData,
        }
    }

    fn get(&self) -> &'a Node {
        // SAFETY: kept, for `'a`.
        unsafe { Node::at(self.node) }
    }

    /// Its place in the order of derivation.
    pub(crate) fn place(&self) -> u32 {
        self.get().entry().place()
    }

    /// Its own deadline, and the present by the clock that it is kept by.
    pub(crate) fn deadline(&self) -> Option<(Time, Time)> {
        let node = self.get();
        if !node.entry().kind().is_timed() {
            return None;
        }
        // SAFETY: kept; and the root of its tree keeps the core.
        let core: &Core = unsafe { &*node.core() };
        Some((node.deadline(), core.now()))
    }

    /// Whether it is an engine's background.
    pub(crate) fn is_background(&self) -> bool {
        self.get().entry().kind() == Kind::Engine
    }

    pub(crate) fn is_merged(&self) -> bool {
        self.get().entry().kind() == Kind::Merged
    }

    /// What it was derived from; of a merged node, the first of them.
    pub(crate) fn parent(&self) -> View<'a> {
        let parent = self.get().entry().parent();
        match parent.get() {
            ParentRef::Background => View::Background,
            ParentRef::Todo => View::Todo,
            ParentRef::Node(_) | ParentRef::Stripe(_) => {
                // SAFETY: the node's registration keeps its parent, which has a node.
                match unsafe { parent.to_node() } {
                    // SAFETY: as above.
                    Some(node) => match unsafe { Self::new(node) } {
                        batch if batch.get().entry().kind() == Kind::Batch => batch.parent(),
                        parent => View::Node(parent),
                    },
                    None => View::Background,
                }
            }
        }
    }

    /// What a merged node was merged from, in order.
    pub(crate) fn parents(&self) -> Vec<NodeView<'a>> {
        // SAFETY: kept; and it keeps its parents.
        let mut parents: Vec<_> = unsafe { merge::parents(self.node) }
            // SAFETY: as above.
            .map(|node| unsafe { Self::new(node) })
            .collect();
        if let Some(links) = parents.get_mut(1..) {
            links.reverse();
        }
        parents
    }
}
