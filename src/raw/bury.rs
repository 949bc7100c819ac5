//! The end of an entry, and of its bytes. Loops, never recursion: a chain of a million ends in here (R6).
//!
//! An entry *has ended* when nobody can reach it by a handle or a registration any more. Its undertaker, the thread
//! that found this, takes it off its parent, gives up HELD and, if its removal has not done so, releases its registration
//! with the parent last (R2), which may end the parent in turn. Its *bytes* go when the last pin is given up, which may be much later (R10); a
//! node's bytes take the LISTED pins of its list with them.
//!
//! Called by `tree`, `merge`, `callbacks`, `waits` and those who drive timers.

use super::core::Core;
use super::entry::{Chain, Entry, Kind, Limbo, Parent, ParentRef};
use super::list::Removal;
use super::node::{self, Link, Node, Timed};
use super::state::{Announce, Pins};
use super::stripes::Stripe;
use crate::local;
use crate::sync::{Arc, contain};
use crate::tuning;

/// Sees an ended entry, and whatever ends with it, off. Lock-free; drops causes, a panic contained.
///
/// # Safety
///
/// The entry has ended, HELD is the caller's, and this is its one burial.
#[inline]
pub(crate) unsafe fn bury(entry: *mut Entry) {
    // SAFETY: HELD is ours; else the caller's promise.
    unsafe {
        if local::is_watched() {
            return bury_watched(entry);
        }
        match Entry::at(entry).kind() {
            Kind::Cancel => bury_alone(entry, Kind::Cancel),
            Kind::Deadline => bury_alone(entry, Kind::Deadline),
            kind => bury_any(entry, let_go(entry, kind)),
        }
    }
}

/// As [`bury`], where somebody watches. Apart, so that the ways above make no call but their last.
///
/// # Safety
///
/// As [`bury`].
#[cold]
#[inline(never)]
unsafe fn bury_watched(entry: *mut Entry) {
    // SAFETY: HELD is ours; else the caller's promise.
    unsafe {
        tell_gone(entry);
        bury_any(entry, let_go(entry, Entry::at(entry).kind()));
    }
}

/// Tells who watches that a context has gone, if the entry is one.
///
/// # Safety
///
/// As [`bury`].
#[cold]
unsafe fn tell_gone(entry: *mut Entry) {
    // SAFETY: HELD is the caller's (R10).
    if unsafe { Entry::at(entry) }.is_context() {
        // SAFETY: as above; what is a context is a node.
        local::gone(unsafe { Node::at(entry.cast()) }.core(), 1);
    }
}

/// As [`bury`], of a kind with which nothing else ends: the straight way of the only one on its parent's list. In line, so
/// that what a kind has not is not asked for.
///
/// # Safety
///
/// As [`bury`]; its kind is that, and has no links and no count of timers.
#[inline(always)]
unsafe fn bury_alone(entry: *mut Entry, kind: Kind) {
    // SAFETY: the caller's promise; what one part answers with goes to the other.
    unsafe {
        match unlink_alone(entry, kind) {
            Ok(unlinked) => free_alone(entry, kind, unlinked),
            Err(pins) => bury_any(entry, pins),
        }
    }
}

/// An entry that is off its list, and whose registration was given back.
#[must_use]
#[derive(Debug)]
pub(crate) struct Unlinked {
    pins: Pins,
    /// Something may be on its own list.
    has_entries: bool,
}

/// Lets go of what ends with an entry, and takes it off its list if that is one CAS: `Err` with the pins, for
/// [`bury_any`], if it is not.
///
/// # Safety
///
/// As [`bury_alone`]; what it answers with is to go to [`free_alone`], or [`bury_any`].
#[inline(always)]
pub(crate) unsafe fn unlink_alone(entry: *mut Entry, kind: Kind) -> Result<Unlinked, Pins> {
    // SAFETY: HELD is ours (R10).
    let this = unsafe { Entry::at(entry) };
    // Nobody is left who could announce anything, and its registration keeps it listed.
    let state = this.state().load();
    // SAFETY: HELD is ours (R10); the registration that it has, as it was listed, keeps the parent.
    let branch = unsafe { this.parent().branch() };
    // SAFETY: HELD is ours (R10).
    let pins = unsafe { let_go(entry, kind) };
    let unlinked = state.is_listed()
        // SAFETY: listed there, and this is its one removal.
        && branch.is_some_and(|branch| unsafe { branch.remove_only(entry) });
    if unlinked {
        // R2: the parent is not touched any more.
        Ok(Unlinked {
            pins: pins.and(Pins::LISTED),
            has_entries: state.has(Announce::Entries),
        })
    } else {
        Err(pins)
    }
}

/// Frees an entry, if nobody else pins it.
///
/// # Safety
///
/// [`unlink_alone`] answered so.
#[inline(always)]
pub(crate) unsafe fn free_alone(entry: *mut Entry, kind: Kind, unlinked: Unlinked) {
    // SAFETY: the pins are ours (R10).
    if unsafe { Entry::at(entry) }.state().unpin(unlinked.pins) {
        // SAFETY: the last pin was ours (R10).
        unsafe {
            if unlinked.has_entries && !is_bare(entry.cast()) {
                reclaim(entry);
            } else {
                node::free_leaf(entry, kind);
            }
        }
    }
}

/// Whether nothing is left on the lists of a node: of most that had entries.
///
/// # Safety
///
/// The last pin on it was the caller's.
#[inline(always)]
unsafe fn is_bare(node: *mut Node) -> bool {
    // SAFETY: the last pin was the caller's (R10).
    let node = unsafe { Node::at(node) };
    // SAFETY: nobody has a pin, so nobody uses the list (R10).
    node.stripes.get().is_none() && unsafe { node.branch.is_bare() }
}

/// # Safety
///
/// As [`bury`]; but what ends with the entry has been let go, which came to these pins.
pub(crate) unsafe fn bury_any(entry: *mut Entry, pins: Pins) {
    let mut ended = Chain::<Limbo>::new();
    let mut next = Some((entry, pins));
    while let Some((entry, pins)) = next {
        // SAFETY: the caller's promise for the first; `bury_one` for all others.
        let parent = unsafe { bury_one(entry, pins, &mut ended) };
        // R2: the last step, and the parent may go with it.
        // SAFETY: the registration was the entry's, which gave it to us (R8).
        let parent = parent.and_then(|parent| unsafe { release(parent) });
        let entry = parent.map(<*mut Node>::cast).or_else(|| ended.pop());
        if let Some(entry) = entry
            && local::is_watched()
        {
            // SAFETY: it has ended, as is said below.
            unsafe { tell_gone(entry) };
        }
        // SAFETY: it has ended, by the registration just released or with the merged node, and HELD is ours (R10).
        next = entry.map(|entry| (entry, unsafe { let_go(entry, Entry::at(entry).kind()) }));
        if tuning::mutant("R6")
            && let Some((entry, pins)) = next.take()
        {
            // SAFETY: as for the next round.
            unsafe { bury_any(entry, pins) };
        }
    }
}

/// Drops the causes of an entry that has ended, and disarms it; answers with the pins that are the caller's then.
///
/// # Safety
///
/// As [`bury`]; its kind is that.
#[inline(always)]
unsafe fn let_go(entry: *mut Entry, kind: Kind) -> Pins {
    if kind.is_node() {
        // SAFETY: HELD is the caller's (R10); it has ended: nobody asks for its cause.
        unsafe { Node::at(entry.cast()).cause.clear() };
    }
    // SAFETY: HELD is the caller's (R10).
    if kind.is_timed() && unsafe { end_deadline(entry.cast()) } {
        Pins::HELD.and(Pins::ARMED)
    } else {
        Pins::HELD
    }
}

/// Takes an ended entry out of the tree. Answers with the registration that is left to release; puts the links of a
/// merged node, which end with it, on `ended`.
///
/// # Safety
///
/// As [`bury_any`].
unsafe fn bury_one(entry: *mut Entry, pins: Pins, ended: &mut Chain<Limbo>) -> Option<Parent> {
    // SAFETY: HELD is ours (R10).
    let this = unsafe { Entry::at(entry) };
    let parent = this.parent();
    let mut pins = pins;
    if this.kind().is_node() {
        // SAFETY: HELD is ours (R10).
        let mut link = unsafe { node::links(entry.cast()) };
        while !link.is_null() {
            // SAFETY: a merged node has HELD of its links (R10).
            let sibling = unsafe { Link::at(link) }.sibling;
            // SAFETY: not yet off its list, its `limbo` word is in no use.
            unsafe { ended.push(link.cast()) };
            link = sibling;
        }
    }
    let kind = this.kind();
    // Nobody is left who could announce anything.
    let state = this.state().load();
    let listed = state.is_listed();
    // SAFETY: the entry's registration keeps the parent (R8).
    let removal = match unsafe { parent.branch() } {
        // SAFETY: listed there, and this is its one removal.
        Some(branch) if listed => unsafe { branch.remove(entry) },
        _ => Removal::LEFT,
    };
    reclaim_limbo(removal.limbo);
    if removal.unlinked {
        pins = pins.and(Pins::LISTED);
    }
    if state.has(Announce::Channel) {
        // The bytes may stay with an owner or a link; whoever has a receiver is not to wait for that.
        // SAFETY: HELD is ours (R10); only a node announces a channel.
        let node = unsafe { Node::at(entry.cast()) };
        node.channel.disconnect_untold(node.state());
    }
    // SAFETY: HELD is ours (R10); of an engine's root, nobody else takes its count of the core.
    let core =
        (kind == Kind::Engine).then(|| unsafe { Arc::from_raw(Node::at(entry.cast()).core()) });
    if this.state().unpin(pins) {
        // SAFETY: the last pin was ours (R10).
        unsafe {
            if kind == Kind::Cancel && !state.has(Announce::Entries) {
                node::free_leaf(entry, Kind::Cancel);
            } else {
                reclaim(entry);
            }
        }
    }
    if let Some(core) = core {
        core.remove_root();
        release_core(core);
    }
    (!removal.released).then_some(parent)
}

/// Disarms a node that has ended and drops the cause of its deadline; `true`: its ARMED pin is the caller's.
///
/// # Safety
///
/// The caller is the undertaker of the node; its registration is still there, and with it its core.
#[inline(always)]
unsafe fn end_deadline(timed: *mut Timed) -> bool {
    // SAFETY: the caller's promise.
    let this = unsafe { Timed::at(timed) };
    // SAFETY: it has ended: nobody asks for its cause.
    unsafe { this.cause.clear() };
    if !this.node().state().load().is_armed() {
        return false;
    }
    // SAFETY: the caller's promise.
    let disarmed = unsafe { (*this.node().core()).disarm(timed) };
    if !disarmed {
        // The bytes stay while the wheel points at them; whoever has a receiver is not to wait for that.
        this.node().channel.disconnect_untold(this.node().state());
    }
    disarmed
}

/// Gives up a count of an engine's timers; the last frees what was dropped while the wheel still pointed at it, and drops
/// what a driven engine wakes its loop with, a panic contained.
pub(crate) fn release_core(core: Arc<Core>) {
    if let Some(core) = Arc::into_inner(core) {
        // SAFETY: nobody else has the timers any more.
        reclaim_timed(unsafe { core.drain().into_pins() });
        contain(|| drop(core));
    }
}

/// Gives up pins of timed nodes, which are the caller's.
pub(crate) fn reclaim_timed(pinned: impl Iterator<Item = (*mut Timed, Pins)>) {
    for (timed, pins) in pinned {
        // SAFETY: the pins are ours, by the chain (R10).
        if unsafe { Timed::at(timed) }.node().state().unpin(pins) {
            // SAFETY: the last pin was ours (R10).
            unsafe { reclaim(timed.cast()) };
        }
    }
}

/// Gives back the registration of an entry; answers with the node that ended by it.
///
/// # Safety
///
/// The registration is the caller's.
unsafe fn release(parent: Parent) -> Option<*mut Node> {
    let ended = match parent.get() {
        ParentRef::Background | ParentRef::Todo => None,
        ParentRef::Node(node) => {
            // SAFETY: the registration keeps the node until it is released (R8).
            unsafe { Node::at(node) }.branch.release().then_some(node)
        }
        ParentRef::Stripe(stripe) => {
            // SAFETY: the registration keeps the stripe until it is released (R8).
            let this = unsafe { Stripe::at(stripe) };
            let node = this.node();
            // SAFETY: a stripe that comes to its end still counts on its node (R8).
            let ended = this.branch.release() && unsafe { Node::at(node) }.branch.unregister(1);
            ended.then_some(node)
        }
    };
    if tuning::mutant("R2") {
        // SAFETY: none, which is what the mutant is for.
        let _ = unsafe { parent.branch() };
    }
    ended
}

/// Gives back the registrations that stand for the handles, the last of which is gone; `true`: the node has ended.
///
/// # Safety
///
/// The caller had the last handle.
pub(crate) unsafe fn orphan(node: *mut Node) -> bool {
    // SAFETY: HELD is the caller's (R10).
    let this = unsafe { Node::at(node) };
    if let Some(stripes) = this.stripes.get() {
        // SAFETY: the node keeps its stripes (R10).
        for stripe in unsafe { stripes.iter() } {
            // SAFETY: as above.
            if unsafe { Stripe::at(stripe) }.branch.orphan() {
                // The handles' own registration is still there: not the last.
                let _ = this.branch.unregister(1);
            }
        }
    }
    this.branch.orphan()
}

/// Gives up the LISTED pins of what a removal unlinked for others.
pub(crate) fn reclaim_limbo(mut limbo: Chain<Limbo>) {
    while let Some(entry) = limbo.pop() {
        // SAFETY: LISTED is ours, by the chain (R10).
        if unsafe { Entry::at(entry) }.state().unpin(Pins::LISTED) || tuning::mutant("R10") {
            // SAFETY: the last pin was ours (R10).
            unsafe { reclaim(entry) };
        }
    }
}

/// Frees an entry of a batch's list that was let go with the batch; `false`: it was not, and only LISTED is the caller's.
///
/// # Safety
///
/// The list of the batch is being dissolved.
unsafe fn free_if_let_go(entry: *mut Entry) -> bool {
    // What is buried gives HELD up before its registration, for a batch's list has none in its head: `fill` counts apart.
    // SAFETY: LISTED is the caller's (R10).
    let child = unsafe { Entry::at(entry) };
    let let_go = child.state().load().is_held();
    if let_go {
        debug_assert_eq!(child.kind(), Kind::Cancel);
        // SAFETY: the batch has ended, so nobody has a handle (R8); and untouched, it has nothing below it, nor stripes.
        unsafe {
            Node::at(entry.cast()).cause.clear();
            node::free_leaf(entry, Kind::Cancel);
        }
    }
    let_go
}

/// Frees an entry's bytes, and those that go with them.
///
/// # Safety
///
/// The last pin on the entry was the caller's.
pub(crate) unsafe fn reclaim(entry: *mut Entry) {
    let mut dead = Chain::<Limbo>::new();
    let mut next = Some(entry);
    while let Some(entry) = next {
        let mut unpin = |entry: *mut Entry, pin: Pins| {
            // SAFETY: the pin is ours (R10): of a list that is being dissolved, or of a link that is being freed.
            if unsafe { Entry::at(entry) }.state().unpin(pin) {
                // SAFETY: the last pin was ours, so all its words are (R10).
                unsafe { dead.push(entry) };
            }
        };
        // SAFETY: the last pin was ours (R10).
        match unsafe { Entry::at(entry) }.kind() {
            kind if kind.is_node() => {
                // SAFETY: the last pin was ours (R10).
                let node = unsafe { Node::at(entry.cast()) };
                let is_batch = node.entry().kind() == Kind::Batch;
                let take = |entry| {
                    // SAFETY: its LISTED pin is ours (R10); and of a batch that was let go, HELD of what is held yet.
                    if is_batch && unsafe { free_if_let_go(entry) } {
                        return;
                    }
                    unpin(entry, Pins::LISTED);
                };
                // SAFETY: nobody has a pin, so nobody uses the lists (R10).
                unsafe { node.branch.dissolve(take) };
                if let Some(stripes) = node.stripes.get() {
                    // SAFETY: the node still has its stripes (R10).
                    for stripe in unsafe { stripes.iter() } {
                        // SAFETY: as above.
                        let stripe = unsafe { Stripe::at(stripe) };
                        // SAFETY: as the node's own.
                        unsafe { stripe.branch.dissolve(|entry| unpin(entry, Pins::LISTED)) };
                    }
                }
            }
            // SAFETY: the last pin was ours (R10).
            Kind::Link => unpin(unsafe { Link::at(entry.cast()) }.target.cast(), Pins::LINK),
            _ => {}
        }
        // SAFETY: the last pin was ours, and the lists are dissolved (R10).
        unsafe { node::free(entry) };
        next = dead.pop();
    }
}
