//! A node as a child and as a parent: derive, look, clone, drop.
//!
//! Called by the facade; `merge` and `waits` list their entries through [`list`].

use super::bury;
use super::core::Core;
use super::entry::{Chain, Entry, Kind, Limbo, Parent};
use super::list::{Branch, Closed};
use super::node::{Link, Node, Timed};
use super::slot::Filled;
use super::state::{Announce, CauseAt, End, Pins, Released, State};
use super::stripes::{self, Stripe, Stripes};
use super::time::Time;
use crate::cause::Cause;
use crate::error::Error;
use crate::local;
use crate::tuning;

/// What a node is to be, beside its place in the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) handles: usize,
    /// The place of the values it comes after.
    pub(crate) after: u32,
    /// Its own, of a timed kind; others have their parent's.
    pub(crate) deadline: Time,
    /// It is about to be armed.
    pub(crate) armed: bool,
    /// How it ends as it is made, if its parent has not ended.
    pub(crate) end: Option<End>,
}

impl Plan {
    /// Neither deadline nor end of its own.
    pub(crate) const fn new(kind: Kind, handles: usize) -> Self {
        Self {
            kind,
            handles,
            after: 0,
            deadline: Time::NEVER,
            armed: false,
            end: None,
        }
    }

    /// For a context whose values have that place.
    pub(crate) const fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }

    fn pins(&self) -> Pins {
        if self.armed { Pins::ARMED } else { Pins::NONE }
    }
}

/// A child of a background.
pub(crate) fn root(background: Parent, core: *const Core, plan: Plan) -> *mut Node {
    let state = State::new(plan.handles, plan.pins());
    let node = Node::allocate(
        plan.kind,
        background,
        plan.after.saturating_add(1),
        state,
        core,
        plan.deadline,
    );
    if let Some(end) = plan.end {
        // SAFETY: new, and seen by nobody else.
        unsafe { Node::at(node) }.state().end_unpublished(end);
    }
    node
}

/// A child of `parent`; born done if the parent is. Lock-free; allocates where the pool is empty.
///
/// # Safety
///
/// The caller has a handle of `parent`.
#[inline(always)]
pub(crate) unsafe fn derive(parent: *mut Node, plan: Plan) -> *mut Node {
    // SAFETY: the caller's promise.
    unsafe { derive_with(parent, plan, |_| ()) }
}

/// As [`derive`], with what is to be done before anybody else sees the node.
///
/// # Safety
///
/// As [`derive`].
#[inline(always)]
pub(crate) unsafe fn derive_with(
    parent: *mut Node,
    plan: Plan,
    prepare: impl FnOnce(*mut Node),
) -> *mut Node {
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(parent) };
    let live = !this.state().announce(Announce::Entries).is_done();
    let listed = live && plan.end.is_none();
    // SAFETY: the caller's promise.
    let at = unsafe { place(parent) };
    let pins = if listed {
        plan.pins().and(Pins::LISTED)
    } else {
        Pins::NONE
    };
    let node = Node::allocate(
        plan.kind,
        at,
        this.entry().place().max(plan.after).saturating_add(1),
        State::new(plan.handles, pins),
        this.core(),
        if plan.kind.is_timed() {
            plan.deadline
        } else {
            this.deadline()
        },
    );
    prepare(node);
    // SAFETY: the caller's promise; the node is new, and LISTED if it is to be listed.
    let listed = listed && unsafe { list(parent, at, node.cast()) }.is_ok();
    if !listed {
        // SAFETY: the caller's promise.
        unsafe { register(at) };
        let inherited = this.state().load().inherited();
        if let Some(end) = if live {
            plan.end.or(inherited)
        } else {
            inherited
        } {
            // SAFETY: new, and seen by nobody else.
            unsafe { Node::at(node) }.state().end_unpublished(end);
        }
    }
    node
}

/// Where the calling thread's next entry of `parent` goes.
///
/// # Safety
///
/// The caller keeps `parent`.
pub(crate) unsafe fn place(parent: *mut Node) -> Parent {
    // SAFETY: the caller's promise.
    match unsafe { Node::at(parent) }.stripes.get() {
        None => Parent::node(parent),
        Some(stripes) => {
            // SAFETY: the node keeps its stripes (R10).
            Parent::stripe(unsafe { stripes.get(local::known_index()) })
        }
    }
}

/// Lists and registers an entry at a place of `parent`, which has announced entries; gives the node stripes if its
/// lists are fought over.
///
/// # Safety
///
/// The caller has a handle of `parent`, of which `at` is a place; the entry is new, LISTED and made for that place.
#[inline(always)]
pub(crate) unsafe fn list(parent: *mut Node, at: Parent, entry: *mut Entry) -> Result<(), Closed> {
    // SAFETY: the caller's promise.
    let branch = unsafe { at.branch() }.ok_or(Closed)?;
    // SAFETY: the caller's promise.
    if let Some(pushed) = unsafe { branch.push(entry) }? {
        bury::reclaim_limbo(pushed.limbo);
        if pushed.contended {
            // SAFETY: the caller's promise.
            unsafe { inflate(parent) };
        }
    }
    Ok(())
}

/// Registers an entry that is not listed, because its parent is done.
///
/// # Safety
///
/// As [`list`].
pub(crate) unsafe fn register(at: Parent) {
    // SAFETY: the caller's promise.
    if let Some(branch) = unsafe { at.branch() } {
        branch.register(1);
    }
}

/// Gives a node stripes, once; not where its list is owned just now, or closed.
///
/// # Safety
///
/// The caller has a handle.
#[cold]
pub(crate) unsafe fn inflate(node: *mut Node) {
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(node) };
    if this.stripes.get().is_some() {
        return;
    }
    let count = local::stripes();
    // Not while the list is owned: the allocator is not ours (R9).
    let made = stripes::make(node, count);
    // Before they can be seen.
    this.branch.register(count);
    let mut installed = false;
    let limbo = this
        .branch
        .while_owned(|| installed = this.stripes.install(made));
    if !installed {
        // The handles' registration is still there: not the last.
        let _ = this.branch.unregister(count);
        // SAFETY: made above and seen by nobody.
        unsafe { stripes::free(made) };
    }
    bury::reclaim_limbo(limbo);
}

/// Gives up a handle. Lock-free; the last one sees the node off.
///
/// # Safety
///
/// The handle is the caller's.
#[inline]
pub(crate) unsafe fn release(node: *mut Node) {
    // SAFETY: the caller's promise.
    let released = unsafe { Node::at(node) }.state().release();
    // SAFETY: it was the caller's handle that was released (R8).
    unsafe { released_handle(node, released) };
}

/// Gives up the handle of a guard; `false`: the node is to be cancelled first. For a node that nobody waits on, it is
/// ended and released in one RMW; a last handle with nothing registered need not end it at all.
///
/// # Safety
///
/// As [`release`].
#[inline]
pub(crate) unsafe fn end_and_release(node: *mut Node) -> bool {
    // SAFETY: the caller's promise.
    match unsafe { Node::at(node) }
        .state()
        .end_and_release(End::CANCELED)
    {
        None => false,
        Some(released) => {
            // SAFETY: as in `release`.
            unsafe { released_handle(node, released) };
            true
        }
    }
}

/// # Safety
///
/// A handle of the caller's was released with this answer.
#[inline]
unsafe fn released_handle(node: *mut Node, released: Released) {
    // SAFETY: the last handle's HELD is ours now (R10).
    let ended = match released {
        Released::Shared => false,
        Released::Last => true,
        // SAFETY: it was the last handle (R8).
        Released::LastWithEntries => unsafe { bury::orphan(node) },
    };
    if ended {
        // SAFETY: no handle and no registration is left (R8).
        unsafe { bury::bury(node.cast()) };
    }
}

/// Why a node ended; `None` while it has not. Wait-free; a step for each level up to the one that was cancelled.
///
/// # Safety
///
/// The caller has a handle.
pub(crate) unsafe fn cause(node: *mut Node) -> Option<Cause> {
    let mut node = node;
    loop {
        // SAFETY: the caller's handle keeps the first, each one's registration the next (R8).
        let this = unsafe { Node::at(node) };
        let end = this.state().load().end()?;
        node = match end.cause_at {
            CauseAt::Plain => return Some(end.error.into()),
            // SAFETY: as above.
            CauseAt::Inherited => unsafe { this.entry().parent().to_node() }?,
            // SAFETY: as above.
            CauseAt::Own => return Some(unsafe { own_cause(node, end.error) }),
            // SAFETY: as above; it has not ended.
            CauseAt::Slot => match unsafe { this.cause.get() }? {
                Filled::Given(cause) => return Some(cause),
                Filled::Via(parent) => parent,
            },
        };
    }
}

/// The cause of an end that a node's own deadline came to.
///
/// # Safety
///
/// The caller keeps the node, and it has a deadline of its own.
unsafe fn own_cause(node: *mut Node, error: Error) -> Cause {
    if !error.is_timeout() {
        return Cause::ENGINE_STOPPED;
    }
    // SAFETY: the caller's promise; it has not ended.
    match unsafe { Timed::at(node.cast()).cause.get() } {
        Some(Filled::Given(cause)) => cause,
        Some(Filled::Via(_)) | None => error.into(),
    }
}

/// How many children, links and callbacks, not done, are registered with a node. Walks, and tidies; where another thread
/// stays at that for [`tuning::COUNT_TRIES`] looks, the answer is a count of registrations, waits among them.
///
/// # Safety
///
/// The caller has a handle.
pub(crate) unsafe fn child_count(node: *mut Node) -> usize {
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(node) };
    if this.state().load().is_done() || this.entry().kind() == Kind::Engine {
        return 0;
    }
    let stripes = this.stripes.get();
    let own = 1 + stripes.map_or(0, Stripes::count);
    let mut limbo = Chain::new();
    let mut total = count_in(&this.branch, own, &mut limbo);
    if let Some(stripes) = stripes {
        // SAFETY: the node keeps its stripes (R10).
        for stripe in unsafe { stripes.iter() } {
            // SAFETY: as above.
            total += count_in(&unsafe { Stripe::at(stripe) }.branch, 1, &mut limbo);
        }
    }
    bury::reclaim_limbo(limbo);
    total
}

/// Whether the caller's handle is the only one, and nothing is registered with the node. Wait-free; who takes a registration off
/// just now may have it answer no.
///
/// # Safety
///
/// The caller has a handle.
pub(crate) unsafe fn is_sole(node: *mut Node) -> bool {
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(node) };
    // First: who gave another handle up had made its registrations before, and nobody makes any after.
    if this.state().load().handles() > 1 {
        return false;
    }
    let stripes = this.stripes.get();
    let own = 1 + stripes.map_or(0, Stripes::count);
    this.branch.registrations() == own
        && stripes.is_none_or(|stripes| {
            // SAFETY: the node keeps its stripes (R10).
            let mut stripes = unsafe { stripes.iter() };
            // SAFETY: as above.
            stripes.all(|stripe| unsafe { Stripe::at(stripe) }.branch.registrations() == 1)
        })
}

/// `own`: the registrations of the branch that stand for no entry. `limbo` gets what was unlinked on the way, to be freed when
/// no list is owned, for a batch's is counted inside its parent's (R9).
fn count_in(branch: &Branch, own: usize, limbo: &mut Chain<Limbo>) -> usize {
    let counted = (0..tuning::COUNT_TRIES).find_map(|_| branch.count(|entry| counts(entry, limbo)));
    match counted {
        Some((count, unlinked)) => {
            limbo.append(unlinked);
            count
        }
        None => branch.registrations().saturating_sub(own),
    }
}

fn counts(entry: *mut Entry, limbo: &mut Chain<Limbo>) -> usize {
    // SAFETY: `Branch::count` hands out listed entries, pinned while it owns the list (R10).
    let this = unsafe { Entry::at(entry) };
    let context = match this.kind() {
        Kind::Waiter | Kind::Sleep | Kind::Wait | Kind::Engine => return 0,
        Kind::Callback => {
            let state = this.state().load();
            return usize::from(state.is_held() && !state.is_done());
        }
        // Let go, and left to the owner of this list: what is on its own list is let go too, and held yet.
        Kind::Batch if !this.state().load().is_held() => return 0,
        // SAFETY: as above. Owned inside the parent's list; no more than these two, for a batch has no batches.
        Kind::Batch => return count_in(&unsafe { Node::at(entry.cast()) }.branch, 1, limbo),
        Kind::Cancel | Kind::Merged | Kind::Deadline => entry.cast(),
        // SAFETY: as above; and a link pins its target.
        Kind::Link => unsafe { Link::at(entry.cast()) }.target,
    };
    // What was dropped and handed over to an owner is still listed, but held no more.
    // SAFETY: as above.
    let is_done = unsafe { Node::at(context) }.state().load().is_done();
    usize::from(this.state().load().is_held() && !is_done)
}

/// Whether a node can ever be done: all but the root of an engine.
///
/// # Safety
///
/// The caller keeps the node.
#[inline]
pub(crate) unsafe fn is_endable(node: *mut Node) -> bool {
    // SAFETY: the caller's promise.
    unsafe { Node::at(node) }.entry().kind() != Kind::Engine
}

/// How a node ended; `None` while it has not.
///
/// # Safety
///
/// The caller keeps the node.
pub(crate) unsafe fn err(node: *mut Node) -> Option<Error> {
    // SAFETY: the caller's promise.
    unsafe { Node::at(node) }.state().load().err()
}
