//! The cancel walk: ends a node and all below it, whoever else is at work there.
//!
//! ```text
//!  enter: close own list ─► visit each entry ─► close the stripes ─► visit each entry ─► PROPAGATED, up, next
//!                             │ child, link's target: mark; not PROPAGATED: enter it
//!                             │ waiter, callback: mark
//! ```
//!
//! Depth first, without recursion: the way back up is the parent pointer, or, where a link was followed, a stack of
//! links. That stack, which a tree without merges does not need, is all a cancel allocates. A node is left
//! only when all below it is marked, links' targets too, and is then PROPAGATED, so that nobody need walk it again; a
//! walker that finds one marked but not yet PROPAGATED walks it in turn, which is help and not waiting (R7).
//!
//! Nothing is told here: what this walk ended and somebody waits for comes back in [`Ended`] (R9). Everything on that
//! chain is pinned by a closed list below the node the caller has a handle of, so it outlives the telling.
//!
//! Called by `turn` and `handle`.

use super::entry::{Chain, Entry, Kind, ParentRef, Won};
use super::node::{Link, Node, Timed, Waiter};
use super::state::{Announce, CauseAt, End};
use super::stripes::Stripe;
use super::tree;
use super::wheel::Armed;
use crate::cause::Cause;
use crate::error::Error;
use crate::tuning;
use std::marker::PhantomData;

/// What a cancel ended and is still to tell.
///
/// It borrows the handle by which it was ended: that, and the closed lists below, pin what is on the chain.
#[must_use = "those who wait are to be told"]
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) won: Chain<Won>,
    /// How many contexts this call ended.
    pub(crate) contexts: usize,
    /// The cause given, where another was first: to be dropped last, for its drop is not ours.
    pub(crate) lost: Option<Cause>,
    pub(crate) handle: PhantomData<&'a ()>,
}

/// Ends a node, as cancelled, and everything below it. Lock-free; calls nothing that is not ours.
///
/// # Safety
///
/// The caller has a handle of the node, and keeps it for `'a`.
pub(crate) unsafe fn cancel<'a>(node: *mut Node, cause: Option<Cause>) -> Ended<'a> {
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(node) };
    let mut walk = Walk::new();
    let (end, lost) = match cause {
        None => (End::CANCELED, None),
        Some(cause) if this.state().load().is_done() => (End::CANCELED, Some(cause)),
        Some(cause) => {
            let lost = this.cause.give(cause).err();
            let end = if tuning::mutant("R12") && lost.is_some() {
                None
            } else {
                slot_end(this)
            };
            (end.unwrap_or(End::CANCELED), lost)
        }
    };
    // SAFETY: the caller's promise.
    if unsafe { walk.mark(node, end) } {
        // SAFETY: the caller's promise; it is marked.
        unsafe { walk.below(node) };
    }
    walk.finish(lost)
}

/// Ends one node by its deadline, which is due, and everything below it.
///
/// # Safety
///
/// The caller has a handle of the node or of one below it, and keeps it for `'a`.
pub(crate) unsafe fn expire_one<'a>(node: *mut Node) -> Ended<'a> {
    let mut walk = Walk::new();
    // SAFETY: the caller's promise: what is below keeps what it was derived from.
    if unsafe { walk.mark(node, End::EXPIRED) } {
        // SAFETY: as above; it is marked.
        unsafe { walk.below(node) };
    }
    walk.finish(None)
}

/// Ends everything that is due, in order, and what is below it. Answers with how many of them this call has ended.
///
/// # Safety
///
/// The caller keeps the ARMED pins of `due` until what is ended has been told.
pub(crate) unsafe fn expire(due: &Armed, end: End) -> (Ended<'_>, usize) {
    let mut walk = Walk::new();
    let mut fired = 0;
    // A sleep that is seen over has the end of its context to say, where both are due.
    let is_sleep = |timed: &*mut Timed| {
        // SAFETY: pinned (R10).
        let node = unsafe { Timed::at(*timed) }.node();
        node.entry().kind().is_sleep()
    };
    let contexts = due.iter().filter(|timed| !is_sleep(timed));
    for timed in contexts.chain(due.iter().filter(is_sleep)) {
        // SAFETY: pinned (R10).
        let state = unsafe { Timed::at(timed) }.node().state().load();
        // What was dropped is to be freed, and not told. What is done may be another's to walk: that is helped (R7).
        if !state.is_held() {
            continue;
        }
        let node = timed.cast();
        let before = walk.ended;
        // SAFETY: pinned (R10).
        let enter = unsafe { walk.mark(node, end) };
        fired += walk.ended - before;
        if enter {
            // SAFETY: pinned (R10); it is marked.
            unsafe { walk.below(node) };
        }
    }
    let mut ended = walk.finish(None);
    // What was due first is told first.
    ended.won = ended.won.reversed();
    (ended, fired)
}

/// The end that goes with what is in a node's cause slot (R12): whoever finds it filled finishes that one's CAS.
fn slot_end(node: &Node) -> Option<End> {
    node.cause.error().map(|error| End {
        error,
        cause_at: CauseAt::Slot,
    })
}

struct Walk {
    won: Chain<Won>,
    /// Nodes, those that are no contexts among them.
    ended: usize,
    contexts: usize,
    followed: Vec<*mut Link>,
}

impl Walk {
    const fn new() -> Self {
        Self {
            won: Chain::new(),
            ended: 0,
            contexts: 0,
            followed: Vec::new(),
        }
    }

    fn finish<'a>(self, lost: Option<Cause>) -> Ended<'a> {
        Ended {
            won: self.won,
            contexts: self.contexts,
            lost,
            handle: PhantomData,
        }
    }

    /// Ends a node; `true`: what is below it is to be walked.
    ///
    /// # Safety
    ///
    /// The node is pinned, by a handle or by a closed list of this walk, until what is [`Ended`] has been told.
    unsafe fn mark(&mut self, node: *mut Node, end: End) -> bool {
        // SAFETY: the caller's promise.
        let this = unsafe { Node::at(node) };
        match this.state().end(end) {
            Ok(before) => {
                let kind = this.entry().kind();
                self.ended += 1;
                self.contexts += usize::from(kind.is_context() && before.is_held());
                if before.has_waits() {
                    // SAFETY: pinned (R10); who ended it has its `won` word.
                    unsafe { self.won.push(node.cast()) };
                }
                before.has(Announce::Entries)
            }
            Err(seen) => !seen.is_propagated() && !tuning::mutant("R7"),
        }
    }

    /// As `mark`, of a merged node: one that is a part is no context, which others need not be asked.
    ///
    /// # Safety
    ///
    /// As `mark`.
    unsafe fn mark_merged(&mut self, node: *mut Node, end: End) -> bool {
        let contexts = self.contexts;
        // SAFETY: the caller's promise.
        let enter = unsafe { self.mark(node, end) };
        // SAFETY: the caller's promise.
        if unsafe { Node::at(node) }.state().load().is_part() {
            self.contexts = contexts;
        }
        enter
    }

    /// Ends everything below a node that is marked.
    ///
    /// # Safety
    ///
    /// As `mark`.
    unsafe fn below(&mut self, root: *mut Node) {
        tuning::window("marked");
        let mut list = ParentRef::Node(root);
        // SAFETY: pinned, by the caller's promise.
        let mut entry = unsafe { Node::at(root) }.branch.close();
        tuning::window("closed");
        loop {
            if !entry.is_null() {
                // SAFETY: it is on a closed list of this walk (R5).
                match unsafe { self.visit(entry) } {
                    // SAFETY: pinned by what we came through (R10).
                    Some(child) if !unsafe { is_let_go(child) } => {
                        list = ParentRef::Node(child);
                        // SAFETY: pinned by what we came through (R10).
                        entry = unsafe { Node::at(child) }.branch.close();
                    }
                    // SAFETY: as above.
                    _ => entry = unsafe { Entry::at(entry) }.next(),
                }
                continue;
            }
            let (node, stripe) = match list {
                ParentRef::Background | ParentRef::Todo => return,
                ParentRef::Node(node) => {
                    // SAFETY: pinned by what we came through (R10).
                    let this = unsafe { Node::at(node) };
                    let stripes = this.stripes.close(this.branch.was_closed_free());
                    // SAFETY: the node keeps its stripes (R10).
                    (node, stripes.map(|stripes| unsafe { stripes.get(0) }))
                }
                ParentRef::Stripe(stripe) => {
                    // SAFETY: its node is pinned and keeps its stripes (R10).
                    let node = unsafe { Stripe::at(stripe) }.node();
                    // SAFETY: as above.
                    let stripes = unsafe { Node::at(node) }.stripes.get();
                    // SAFETY: as above.
                    let after = stripes.and_then(|stripes| unsafe { stripes.after(stripe) });
                    (node, after)
                }
            };
            if let Some(stripe) = stripe {
                list = ParentRef::Stripe(stripe);
                // SAFETY: as above.
                entry = unsafe { Stripe::at(stripe) }.branch.close();
                continue;
            }
            tuning::window("not propagated");
            // SAFETY: pinned by what we came through (R10).
            unsafe { Node::at(node) }.state().propagate();
            if node == root {
                return;
            }
            let came_through = self.leave(node);
            // SAFETY: it is on a closed list of this walk (R5).
            let came_through = unsafe { Entry::at(came_through) };
            list = came_through.parent().get();
            entry = came_through.next();
        }
    }

    /// The entry by which this walk entered `node`: the link followed last, if it led there, else the node itself.
    fn leave(&mut self, node: *mut Node) -> *mut Entry {
        self.followed
            // SAFETY: links that were followed are on closed lists of this walk (R5).
            .pop_if(|link| unsafe { Link::at(*link) }.target == node)
            .map_or(node.cast(), <*mut Link>::cast)
    }

    /// Ends what an entry stands for; `Some`: that node is to be entered.
    ///
    /// # Safety
    ///
    /// The entry is on a closed list of this walk, and that list's node is marked.
    unsafe fn visit(&mut self, entry: *mut Entry) -> Option<*mut Node> {
        // SAFETY: the closed list pins it (R5).
        let this = unsafe { Entry::at(entry) };
        // SAFETY: the walk stands in the parent's list (R7).
        let parent = unsafe { this.parent().to_node() }?;
        // R12: what the parent says, whatever the walk came with.
        // SAFETY: as above.
        let end = unsafe { Node::at(parent) }.state().load().inherited()?;
        match this.kind() {
            Kind::Waiter | Kind::Callback => {
                let ended = this.state().end(end);
                if ended.is_ok_and(|before| this.kind() == Kind::Callback || before.has_waits()) {
                    if tuning::mutant("R9") && this.kind() == Kind::Waiter {
                        // SAFETY: who ended it has its waker.
                        unsafe { Waiter::at(entry.cast()).waker.take() }.wake();
                        return None;
                    }
                    // SAFETY: pinned (R10); who ended it has its `won` word.
                    unsafe { self.won.push(entry) };
                }
                None
            }
            Kind::Merged => {
                let node = entry.cast();
                // SAFETY: pinned by the closed list (R5).
                unsafe { self.mark_merged(node, end) }.then_some(node)
            }
            Kind::Cancel
            | Kind::Deadline
            | Kind::Sleep
            | Kind::Wait
            | Kind::Engine
            | Kind::Batch => {
                let node = entry.cast();
                // SAFETY: pinned by the closed list (R5).
                unsafe { self.mark(node, end) }.then_some(node)
            }
            Kind::Link => {
                // SAFETY: pinned by the closed list (R5); the link pins its target.
                let target = unsafe { Link::at(entry.cast()) }.target;
                if tuning::mutant("R8") {
                    // SAFETY: pinned, and that is not enough for a handle (R10).
                    unsafe {
                        Node::at(target).state().acquire();
                        tree::release(target);
                    }
                }
                let end = if tuning::mutant("R12b") {
                    end
                } else {
                    // SAFETY: as above.
                    unsafe { via(target, parent, end.error) }
                };
                // SAFETY: as above.
                let enter = unsafe { self.mark_merged(target, end) };
                if enter {
                    self.followed.push(entry.cast());
                }
                enter.then_some(target)
            }
        }
    }
}

/// Whether it is a batch that has ended. What hangs on it was let go with it: it is held yet, and nobody has a context of it.
///
/// # Safety
///
/// The node is pinned.
unsafe fn is_let_go(node: *mut Node) -> bool {
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(node) };
    this.entry().kind() == Kind::Batch && !this.state().load().is_held()
}

/// How a merged node ends by a further parent that ended with `error`.
///
/// # Safety
///
/// The target is pinned.
pub(crate) unsafe fn via(target: *mut Node, parent: *mut Node, error: Error) -> End {
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(target) };
    if !this.state().load().is_done() {
        this.cause.give_via(parent, error);
    }
    // An empty slot is one its undertaker has cleared: nobody will ask.
    slot_end(this).unwrap_or(End {
        error,
        cause_at: CauseAt::Plain,
    })
}
