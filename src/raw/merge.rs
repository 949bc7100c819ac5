//! Merged nodes: a child of the first parent that can be done, with a link from each further one.
//!
//! ```text
//!   P1            P2            P3
//!    │ child       │ link        │ link      each link pins the bytes of T and counts on its parent
//!    └────► T ◄────┴─────────────┘           T.links: link ─sibling─► link
//! ```
//!
//! Called by the facade.

use super::entry::{Entry, Kind};
use super::node::{self, Link, Node};
use super::state::{Announce, Pins};
use super::tree::Plan;
use super::{tree, walk};
use crate::tuning;
use std::collections::HashSet;
use std::ptr;

/// Distinct parents up to which the chain of links is searched for one named twice; beyond, a set is kept.
const SEARCHED: usize = 32;

/// A merged node in the making; dropped in the middle, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Merging {
    /// Null before the first parent; one handle of it is ours.
    node: *mut Node,
    links: usize,
    parents: usize,
    seen: HashSet<*mut Node>,
}

impl Merging {
    pub(crate) fn new() -> Self {
        Self {
            node: ptr::null_mut(),
            links: 0,
            parents: 0,
            seen: HashSet::new(),
        }
    }

    /// One parent more; of no more than its deadline, if it is there already or a parent before it is done. Lock-free.
    ///
    /// # Safety
    ///
    /// The caller has a handle of `parent`.
    pub(crate) unsafe fn add(&mut self, parent: *mut Node) {
        if self.node.is_null() {
            // Where the values of its parents stand does not matter: all that comes after it comes after them too.
            // SAFETY: the caller's promise.
            self.node = unsafe { part(parent) };
            self.parents = 1;
            return;
        }
        // SAFETY: one handle of it is ours, and of the parent the caller's (R8).
        let (node, from) = unsafe { (Node::at(self.node), Node::at(parent)) };
        node.set_deadline(node.deadline().min(from.deadline()));
        // SAFETY: one handle of it is ours (R8).
        let done = unsafe { tree::err(self.node) }.is_some();
        if done || !self.is_new(parent) {
            return;
        }
        if self.links == tuning::LINKS_MAX {
            self.extend();
        }
        // SAFETY: the caller's promise (R8); a handle of the node is ours.
        unsafe { self.link(parent) };
        self.parents += 1;
        self.links += 1;
    }

    /// The node, with the one handle that is now the caller's; `None`: no parent was added.
    pub(crate) fn finish(mut self) -> Option<*mut Node> {
        let node = std::mem::replace(&mut self.node, ptr::null_mut());
        if node.is_null() {
            return None;
        }
        // SAFETY: one handle of it is ours (R8).
        unsafe { Node::at(node) }.state().end_part();
        Some(node)
    }

    fn is_new(&mut self, parent: *mut Node) -> bool {
        if self.parents > SEARCHED {
            if self.seen.is_empty() {
                self.seen = self.named().collect();
            }
            return self.seen.insert(parent);
        }
        !self.named().any(|named| named == parent)
    }

    fn named(&self) -> impl Iterator<Item = *mut Node> {
        // SAFETY: a handle of the node is ours (R8).
        unsafe { parents(self.node) }
    }

    /// Continues on a child of the node, whose state word has no room for more links.
    #[cold]
    fn extend(&mut self) {
        // SAFETY: a handle of the node is ours (R8).
        let child = unsafe { part(self.node) };
        // SAFETY: the handle is ours (R8); the child's registration keeps the node.
        unsafe { tree::release(self.node) };
        self.node = child;
        self.links = 0;
    }

    /// # Safety
    ///
    /// The caller has a handle of `parent`; `self` has one of the node.
    unsafe fn link(&mut self, parent: *mut Node) {
        // SAFETY: the caller's promise.
        let (node, from) = unsafe { (Node::at(self.node), Node::at(parent)) };
        let live = !from.state().announce(Announce::Entries).is_done();
        // SAFETY: the caller's promise.
        let at = unsafe { tree::place(parent) };
        // SAFETY: we are the creator.
        let newest = unsafe { node::links(self.node) };
        let pins = if live { Pins::LISTED } else { Pins::NONE };
        let link = Link::allocate(at, self.node, newest, pins);
        node.state().pin_link();
        // SAFETY: we are the creator, and it is a merged node.
        unsafe { node::set_links(self.node, link) };
        // SAFETY: the link is new, LISTED if it is to be listed, and made for that place.
        if live && unsafe { tree::list(parent, at, link.cast()) }.is_ok() {
            return;
        }
        // SAFETY: the caller's promise.
        unsafe { tree::register(at) };
        if let Some(error) = from.state().load().err() {
            // SAFETY: a handle of the node is ours (R8).
            let end = unsafe { walk::via(self.node, parent, error) };
            // SAFETY: in no list; its bytes are ours.
            unsafe { Link::at(link) }
                .entry()
                .state()
                .end_unpublished(end);
            // Nobody waits on a node that is in the making, and nothing is below it: there is nobody to tell.
            let _ = node.state().end(end);
        }
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        if !self.node.is_null() {
            // SAFETY: the handle is ours (R8).
            unsafe { tree::release(self.node) };
        }
    }
}

/// A merged node with one parent and one handle, that is a part until it is finished: dropped before, or continued, it was
/// no context.
///
/// # Safety
///
/// The caller has a handle of `parent`.
unsafe fn part(parent: *mut Node) -> *mut Node {
    let plan = Plan::new(Kind::Merged, 1);
    // SAFETY: new, and seen by nobody else.
    let prepare = |node| unsafe { Node::at(node) }.state().begin_part();
    // SAFETY: the caller's promise.
    unsafe { tree::derive_with(parent, plan, prepare) }
}

/// The parents of a node: the one it is a child of, then those that link to it, the newest first; none of a child of
/// a background.
///
/// # Safety
///
/// The caller keeps the node, and with it its parents, as long as it uses the answer.
pub(crate) unsafe fn parents(node: *mut Node) -> impl Iterator<Item = *mut Node> {
    // SAFETY: the caller's promise.
    let mut link = unsafe { node::links(node) };
    let links = std::iter::from_fn(move || {
        (!link.is_null()).then(|| {
            let entry: *mut Entry = link.cast();
            // SAFETY: the node has HELD of its links (R10).
            link = unsafe { Link::at(link) }.sibling;
            entry
        })
    });
    std::iter::once(node.cast())
        .chain(links)
        // SAFETY: as above; their registrations keep their parents.
        .filter_map(|entry| unsafe { Entry::at(entry).parent().to_node() })
}
