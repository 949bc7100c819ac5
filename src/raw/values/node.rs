//! The node behind a set: its two counts, and its bytes.

use super::Tag;
use super::chain::{Acquired, Chain, Kept, Released};
use super::map::{Map, Table};
use crate::local;
use crate::sync::{Alive, AtomicUsize, Ordering, contain};
use std::alloc::Layout;
use std::{mem, ptr};

/// One value set, or a merge; the value is behind it, the map in front.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ValueNode {
    pub(crate) chain: Chain,
    holders: AtomicUsize,
    /// None: flat, or the first.
    pub(super) previous: Hold,
    /// Drops the value and frees the bytes.
    free: unsafe fn(*mut ValueNode),
    map: Map,
    /// One more than the larger place of what it was derived from; saturates.
    pub(super) place: u32,
    /// Nodes before it on its path, each as ONE_BEFORE; and LOCAL, if one of them or itself is of a local key.
    pub(super) before: u32,
    alive: Alive,
    /// `None`: a merge. Beside the value, for they are looked at together.
    pub(super) key: Option<&'static Tag>,
}

/// One chain count of a node, and where it is kept; or none. A copy stands for the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Hold(usize);

/// In a hold: the count is sharded. A node is aligned to more.
const SHARDED: usize = 1;
const _: () = assert!(SHARDED < align_of::<ValueNode>());

impl Hold {
    pub(super) const NONE: Self = Self(0);

    /// The direct count that a node is made with.
    pub(super) fn first(node: *mut ValueNode) -> Self {
        Self::new(node, Kept::Direct)
    }

    #[inline(always)]
    fn new(node: *mut ValueNode, kept: Kept) -> Self {
        Self(node.expose_provenance() | if kept == Kept::Sharded { SHARDED } else { 0 })
    }

    #[inline(always)]
    pub(super) fn node(self) -> Option<*mut ValueNode> {
        (self.0 != 0).then(|| ptr::with_exposed_provenance_mut(self.0 & !SHARDED))
    }

    #[inline(always)]
    fn kept(self) -> Kept {
        if self.0 & SHARDED == 0 {
            Kept::Direct
        } else {
            Kept::Sharded
        }
    }

    /// So many others of the same node, one of which is the answer.
    ///
    /// # Safety
    ///
    /// It is the caller's.
    #[inline(always)]
    pub(super) unsafe fn acquire(self, count: usize) -> Self {
        match self.node() {
            // SAFETY: the caller's promise.
            Some(node) => unsafe { Self::acquire_of(node, count) },
            None => Self::NONE,
        }
    }

    /// A call, as is `release_of`: what has no values is not to make room for this. `extern "C"`: it does not unwind, so its
    /// callers have nothing to clean up for.
    ///
    /// # Safety
    ///
    /// The caller has a chain count of the node.
    #[inline(never)]
    unsafe extern "C" fn acquire_of(node: *mut ValueNode, count: usize) -> Self {
        // SAFETY: the caller's promise.
        match unsafe { ValueNode::at(node) }.chain.acquire(count) {
            Acquired::Yes(kept) => Self::new(node, kept),
            // SAFETY: the caller's promise.
            Acquired::Hot => unsafe { Self::open(node) },
            // SAFETY: the caller's promise.
            Acquired::No => unsafe { Self::acquire_shared(node, count) },
        }
    }

    /// # Safety
    ///
    /// A direct chain count is the caller's, and passes to the answer.
    #[cold]
    #[inline(never)]
    unsafe fn open(node: *mut ValueNode) -> Self {
        // SAFETY: the caller's promise.
        unsafe { ValueNode::at(node) }.chain.open();
        Self::new(node, Kept::Direct)
    }

    /// # Safety
    ///
    /// The caller has a chain count of the node.
    #[inline(never)]
    unsafe fn acquire_shared(node: *mut ValueNode, count: usize) -> Self {
        // SAFETY: the caller's promise.
        Self::new(
            node,
            unsafe { ValueNode::at(node) }.chain.acquire_shared(count),
        )
    }

    /// Gives up so many of the same kind; the last lets go what it kept.
    ///
    /// # Safety
    ///
    /// They are the caller's.
    #[inline(always)]
    pub(super) unsafe fn release(self, count: usize) {
        if self != Self::NONE {
            // SAFETY: the caller's promise.
            unsafe { self.release_of(count) };
        }
    }

    /// # Safety
    ///
    /// As `release`, of a node.
    #[inline(never)]
    unsafe extern "C" fn release_of(self, count: usize) {
        let Some(node) = self.node() else { return };
        // SAFETY: the caller's promise.
        match unsafe { ValueNode::at(node) }
            .chain
            .release(self.kept(), count)
        {
            Released::Yes => {}
            // SAFETY: they are the last.
            Released::Last => unsafe { ValueNode::chain_ended(node) },
            // SAFETY: the caller's promise.
            Released::No => unsafe { self.release_slowly(count) },
        }
    }

    /// # Safety
    ///
    /// As `release_of`.
    #[cold]
    #[inline(never)]
    unsafe fn release_slowly(self, count: usize) {
        let Some(node) = self.node() else { return };
        // SAFETY: the caller's promise.
        if unsafe { ValueNode::at(node) }
            .chain
            .release_slowly(self.kept(), count)
        {
            // SAFETY: they were the last.
            unsafe { ValueNode::chain_ended(node) };
        }
    }

    /// As `release`, of one; answers with the node where it was the last, whose end is left to the caller.
    ///
    /// # Safety
    ///
    /// It is the caller's.
    unsafe fn release_one(self) -> Option<*mut ValueNode> {
        self.node().filter(|&node| {
            // SAFETY: the caller's promise.
            let chain = &unsafe { ValueNode::at(node) }.chain;
            match chain.release(self.kept(), 1) {
                Released::Yes => false,
                Released::Last => true,
                Released::No => chain.release_slowly(self.kept(), 1),
            }
        })
    }
}

/// A node with its value.
#[repr(C)]
pub(super) struct Typed<T> {
    node: ValueNode,
    pub(super) value: T,
}

impl ValueNode {
    /// # Safety
    ///
    /// The caller has a count of the node, or knows who has, for as long as it uses the answer.
    #[inline(always)]
    pub(crate) unsafe fn at<'a>(node: *mut Self) -> &'a Self {
        // SAFETY: the caller's promise.
        let this = unsafe { &*node };
        this.alive.check();
        this
    }

    /// # Safety
    ///
    /// As [`at`](Self::at).
    #[inline(always)]
    pub(super) unsafe fn table<'a>(node: *mut Self) -> Table<'a> {
        // SAFETY: the caller's promise; a node is made with the words of its map, and they are filled before anybody
        // else has it.
        unsafe { Table::new(node, &Self::at(node).map) }
    }

    /// The id of a node in a map.
    ///
    /// # Safety
    ///
    /// As [`at`](Self::at).
    pub(super) unsafe fn id(node: *mut Self) -> usize {
        // SAFETY: the caller's promise.
        unsafe { Self::at(node) }.key.map_or(0, Tag::id)
    }

    /// Whether a node in a map is of a key that is local.
    ///
    /// # Safety
    ///
    /// As [`at`](Self::at).
    pub(super) unsafe fn is_local(node: *mut Self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { Self::at(node) }
            .key
            .is_some_and(|key| key.local != 0)
    }

    /// Makes a flat node a holder of what its map names.
    ///
    /// # Safety
    ///
    /// The node is new and the caller's, and its entries are kept meanwhile.
    pub(super) unsafe fn hold_all(node: *mut Self) {
        // SAFETY: the caller's promise.
        for entry in unsafe { Self::table(node) }.iter() {
            if entry != node {
                // SAFETY: the caller's promise.
                acquire(&unsafe { Self::at(entry) }.holders, 1);
            }
        }
    }

    /// The end of a chain count: all that was kept for the path is let go, and so up the path. A loop.
    ///
    /// # Safety
    ///
    /// The caller has brought the chain count of the node to 0.
    #[cold]
    unsafe fn chain_ended(node: *mut Self) {
        let mut node = node;
        loop {
            // SAFETY: the holder that stood for the chain is ours (R8).
            let previous = unsafe { Self::at(node) }.previous;
            if previous == Hold::NONE {
                // SAFETY: as above.
                for entry in unsafe { Self::table(node) }.iter() {
                    if entry != node {
                        // SAFETY: a flat node, whose holder of the entry is ours now (R8).
                        unsafe { Self::release_holder(entry) };
                    }
                }
            }
            // SAFETY: as above, and given up here.
            unsafe { Self::release_holder(node) };
            // SAFETY: the chain count that the node had of it is ours now (R8).
            match unsafe { previous.release_one() } {
                Some(before) => node = before,
                None => return,
            }
        }
    }

    /// # Safety
    ///
    /// A holder of the node is the caller's, and given up here.
    unsafe fn release_holder(node: *mut Self) {
        // SAFETY: the caller's promise.
        let this = unsafe { Self::at(node) };
        if release(&this.holders, 1) {
            // SAFETY: it was the last, and a node that nobody holds is on nobody's path and in nobody's map.
            unsafe { (this.free)(node) };
        }
    }
}

/// So many more of a count, from one that exists. Aborts on overflow.
///
/// ORDERING: Relaxed as in `Arc`: the new one comes from one that keeps the node.
#[inline(always)]
fn acquire(count: &AtomicUsize, more: usize) {
    if count.fetch_add(more, Ordering::Relaxed) > isize::MAX.cast_unsigned() {
        std::process::abort();
    }
}

/// So many less; `true`: they were the last. By the count alone: the node may be gone before this returns. Who is seen to
/// have all of it takes no RMW: nobody is left who could make another.
///
/// ORDERING: Release so that who lets go sees every use of what the count kept, Acquire for that one.
#[inline(always)]
fn release(count: &AtomicUsize, less: usize) -> bool {
    count.load(Ordering::Acquire) == less || count.fetch_sub(less, Ordering::AcqRel) == less
}

impl<T> Typed<T> {
    /// The bytes, and where in them the node is.
    fn layout(map: Map) -> (Layout, usize) {
        Layout::array::<usize>(map.words())
            .and_then(|words| words.extend(Layout::new::<Self>()))
            .expect("what is addressed fits the address space")
    }

    /// A node with one chain count, and words for its map that are to be filled.
    pub(super) fn allocate(
        previous: Hold,
        map: Map,
        place: u32,
        before: u32,
        key: Option<&'static Tag>,
        value: T,
    ) -> *mut ValueNode {
        let (layout, offset) = Self::layout(map);
        let node = ValueNode {
            chain: Chain::new(),
            holders: AtomicUsize::new(1),
            previous,
            free: Self::free,
            map,
            place,
            before,
            alive: Alive::new(),
            key,
        };
        // SAFETY: a node is in it, so the layout is not empty; the bytes are new, and the node's place in them aligned.
        unsafe {
            let typed = local::allocate_bytes(layout).add(offset).cast::<Self>();
            typed.write(Self { node, value });
            typed.cast()
        }
    }

    /// # Safety
    ///
    /// The node is a `Self`, and the caller's alone.
    unsafe fn free(node: *mut ValueNode) {
        let typed = node.cast::<Self>();
        // SAFETY: the caller's promise.
        let map = unsafe { ValueNode::at(node) }.map;
        let (layout, offset) = Self::layout(map);
        if mem::needs_drop::<T>() {
            // SAFETY: the caller's promise; a panic leaves it dropped as far as it can be.
            contain(|| unsafe { ptr::drop_in_place(&raw mut (*typed).value) });
        }
        // SAFETY: the caller's promise; it came from `allocate`.
        unsafe {
            (*node).alive.end();
            ptr::drop_in_place(node);
            local::free_bytes(node.cast::<u8>().sub(offset), layout);
        }
    }
}
