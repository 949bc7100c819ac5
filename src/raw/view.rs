//! Where a context stands in the tree, for those who print it.
//!
//! Called by `handle` and the facade.

use super::core::Core;
use super::entry::{Kind, ParentRef};
use super::handle::Handle;
use super::merge;
use super::node::Node;
use super::slot::Filled;
use super::state::{CauseAt, End};
use super::time::Time;
use crate::error::Error;
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

/// Where the end of a node came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// The node that ended by itself.
    pub(crate) node: NodeView<'a>,
    pub(crate) end: End,
    /// Contexts from the one that was asked up to that.
    pub(crate) above: usize,
    /// Of the nearest merged node on the way, which of its parents that was by.
    pub(crate) by_parent: Option<usize>,
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

    /// Tells it from others while it is kept.
    pub(crate) fn address(&self) -> usize {
        self.node.addr()
    }

    pub(crate) fn err(&self) -> Option<Error> {
        self.get().state().load().err()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.get().entry().kind()
    }

    /// Where in the source it was made; 0: that is not known.
    pub(crate) fn site(&self) -> u16 {
        self.get().entry().site().number()
    }

    /// Where its end came from; `None` while it has not ended. A step for each level, as `tree::cause`; allocates where one of
    /// them is merged.
    pub(crate) fn source(&self) -> Option<Source<'a>> {
        let (mut node, mut above, mut by_parent) = (*self, 0, None);
        loop {
            let this = node.get();
            let end = this.state().load().end()?;
            let from = match end.cause_at {
                CauseAt::Plain | CauseAt::Own => None,
                // SAFETY: the node's registration keeps its parent, which has a node (R8).
                CauseAt::Inherited => unsafe { this.entry().parent().to_node() },
                // SAFETY: it has handles or what is below it has (R10): its undertaker has not come.
                CauseAt::Slot => match unsafe { this.cause.get() }? {
                    Filled::Given(_) => None,
                    Filled::Via(parent) => Some(parent),
                },
            };
            let Some(from) = from else {
                return Some(Source {
                    node,
                    end,
                    above,
                    by_parent,
                });
            };
            // SAFETY: the node keeps its parents, each of them the next.
            let from = unsafe { Self::new(from) };
            // A part's own parents are the first of those of the node that continues it, so their places are the same.
            if node.is_merged() && !from.is_part() && by_parent.is_none() {
                let parents = node.parents();
                by_parent = parents.iter().position(|parent| parent.node == from.node);
            }
            above += usize::from(this.entry().is_context());
            node = from;
        }
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
        // SAFETY: kept (R8); and the root of its tree keeps the core.
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

    /// Whether it is what a merged node continues, which is no context.
    fn is_part(&self) -> bool {
        self.get().state().load().is_part()
    }

    /// What it was derived from; of a merged node, the first of them.
    pub(crate) fn parent(&self) -> View<'a> {
        let parent = self.get().entry().parent();
        match parent.get() {
            ParentRef::Background => View::Background,
            ParentRef::Todo => View::Todo,
            ParentRef::Node(_) | ParentRef::Stripe(_) => {
                // SAFETY: the node's registration keeps its parent, which has a node (R8).
                match unsafe { parent.to_node() } {
                    // SAFETY: as above.
                    Some(node) => match unsafe { Self::new(node) } {
                        batch if batch.kind() == Kind::Batch => batch.parent(),
                        part if part.is_part() => part.parent(),
                        parent => View::Node(parent),
                    },
                    None => View::Background,
                }
            }
        }
    }

    /// What a merged node was merged from, in order; those of the parts that it continues are the first.
    pub(crate) fn parents(&self) -> Vec<NodeView<'a>> {
        let mut newest_first = Vec::new();
        let mut part = Some(*self);
        while let Some(node) = part {
            // SAFETY: kept; and it keeps its parents.
            let mut parents = unsafe { merge::parents(node.node) }
                // SAFETY: as above.
                .map(|node| unsafe { Self::new(node) });
            let first = parents.next();
            newest_first.extend(parents);
            part = first.filter(Self::is_part);
            if part.is_none() {
                newest_first.extend(first);
            }
        }
        newest_first.reverse();
        newest_first
    }
}
