//! Those who wait for a node's end: waiter records, blocked threads, its channel; and how they are told.
//!
//! Install, then look: each installs itself, announces it on the state word and looks at what that says, so either
//! whoever ends the node sees the announcement or the installer sees the end.
//!
//! Called by `turn`, `handle` and the facade.

use super::bury;
use super::callbacks;
use super::entry::{Entry, Kind};
use super::node::{Node, Timed, Waiter};
use super::state::{Announce, Snapshot};
use super::tree;
use super::waker::Left;
use super::walk::Ended;
use crate::local;
use crate::sync::{Channel, contain, futex};
use crate::tuning;

/// Tells everybody who waits on what one cancel has ended: wakers, blocked threads, channels; hands callbacks over; then drops the cause that
/// came too late. Calls code that is not ours, its panics contained.
pub(crate) fn tell(mut ended: Ended<'_>) {
    tuning::window("not told");
    while let Some(entry) = ended.won.pop() {
        // SAFETY: pinned by a closed list below that handle, or that node itself (R5).
        let this = unsafe { Entry::at(entry) };
        match this.kind() {
            Kind::Waiter => {
                // SAFETY: as above; it is on the chain because whoever ended it saw its waker announced.
                let waker = unsafe { Waiter::at(entry.cast()).waker.take() };
                contain(|| waker.wake());
                continue;
            }
            Kind::Sleep => {
                // SAFETY: as of a waiter: nothing else is ever announced on it.
                let waker = unsafe { Timed::at(entry.cast()).waker.take() };
                contain(|| waker.wake());
                continue;
            }
            Kind::Callback => {
                // SAFETY: who ended a callback passes its HELD on (R10).
                unsafe { callbacks::hand_over(entry.cast()) };
                continue;
            }
            _ => {}
        }
        // SAFETY: as above.
        let node = unsafe { Node::at(entry.cast()) };
        let state = node.state().load();
        if state.has(Announce::Sleepers) {
            futex::wake_all(node.state().word());
        }
        if state.has(Announce::Channel) {
            // SAFETY: it was ended by who tells here (R12).
            unsafe { node.channel.disconnect() };
        }
    }
    contain(|| drop(ended.lost.take()));
}

/// A waiter record on the node, HELD by the caller; `None`: the node is done. Lock-free; allocates where the pool is
/// empty.
///
/// # Safety
///
/// The caller has a handle.
pub(crate) unsafe fn install(node: *mut Node) -> Option<*mut Waiter> {
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(node) };
    if this.state().announce(Announce::Entries).is_done() {
        return None;
    }
    // SAFETY: the caller's promise.
    let at = unsafe { tree::place(node) };
    let waiter = Waiter::allocate(at);
    // SAFETY: the waiter is new, LISTED, and made for that place.
    match unsafe { tree::list(node, at, waiter.cast()) } {
        Ok(()) => Some(waiter),
        Err(_closed) => {
            // SAFETY: it is in no list; its bytes are ours, and it registered nowhere.
            unsafe { super::node::free(waiter.cast()) };
            None
        }
    }
}

/// Takes a waiter record away, with the waker that was left there. Lock-free; drops the waker, a panic contained.
///
/// # Safety
///
/// HELD is the caller's, and gone with this call; `left` is what it knows of the waker.
pub(crate) unsafe fn remove(waiter: *mut Waiter, mut left: Left) {
    // SAFETY: the caller's promise.
    let this = unsafe { Waiter::at(waiter) };
    let (state, cell) = (this.entry().state(), &this.waker);
    // SAFETY: the caller's promise, here and below: this is its one burial.
    let waker = match unsafe { bury::unlink_alone(waiter.cast(), Kind::Waiter) } {
        Ok(unlinked) => {
            // It is off an open list: no walk has come to it, and none will.
            // SAFETY: as above.
            let waker = (left == Left::Waker).then(|| unsafe { left.take(cell) });
            // SAFETY: unlinked.
            unsafe { bury::free_alone(waiter.cast(), Kind::Waiter, unlinked) };
            waker
        }
        Err(pins) => {
            // SAFETY: as above.
            let waker = unsafe { left.take_back(state, cell) };
            // SAFETY: let go, to these pins (R10).
            unsafe { bury::bury_any(waiter.cast(), pins) };
            waker
        }
    };
    contain(|| drop(waker));
}

/// The node a waiter waits on, kept by the waiter's registration.
///
/// # Safety
///
/// HELD is the caller's.
pub(crate) unsafe fn node_of(waiter: *mut Waiter) -> Option<*mut Node> {
    // SAFETY: the caller's promise.
    unsafe { Waiter::at(waiter).entry().parent().to_node() }
}

/// Announces a thread that is about to sleep on the state word; answers with the word it is to sleep on.
///
/// # Safety
///
/// The caller has a handle.
#[cfg_attr(not(target_os = "linux"), expect(dead_code))]
pub(crate) unsafe fn announce_sleeper(node: *mut Node) -> Snapshot {
    // SAFETY: the caller's promise.
    unsafe { Node::at(node) }
        .state()
        .announce(Announce::Sleepers)
}

/// The node's channel, which whoever ends the node disconnects; of one that is done, a channel that is disconnected already.
/// Allocates on first use.
///
/// So nobody else than who tells of its end ever disconnects it, and that one relies on nobody (R11).
///
/// # Safety
///
/// The caller has a handle, and keeps it as long as it uses the answer.
pub(crate) unsafe fn channel<'a>(node: *mut Node) -> &'a Channel {
    // SAFETY: the caller's promise.
    let this = unsafe { Node::at(node) };
    if !this.state().load().is_done() {
        let channel = this.channel.get_or_make();
        if !this.state().announce(Announce::Channel).is_done() {
            return channel;
        }
    }
    let its_own = this.channel.disconnected();
    its_own.unwrap_or_else(|| local::disconnected())
}
