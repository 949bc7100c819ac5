//! Values: a compact persistent vector. A set is one block of the pool, or where that is too small one allocation, a get a bit test, a count of bits and a load.
//!
//! ```text
//!   Values ──► node C ──previous──► node B ──previous──► node A      each with its map and its value:
//!              │ map: a b c         │ map: a b           │ map: a
//!              └ value of c         └ value of b         └ value of a
//! ```
//!
//! A map has an entry for each key that is visible, the node's own among them: plain pointers, with no count each.
//! What they point at is kept by the path: a node keeps the one it was derived from.
//!
//! # What keeps what
//!
//! A node has two counts. *Chain*: the `Values` that name it, and the nodes whose `previous` it is; while it lasts,
//! the node keeps its own `previous`. *Holders*: one for the chain count while that lasts, and one for each flat node
//! that sees its value; with the last of them value and bytes go. The chain count of a hot node is kept in shards: see
//! [`chain`].
//!
//! A node with [`tuning::VALUES_MAX`] before it is not continued: the next one is *flat*. It has no `previous` and is a holder of
//! each node in its map, so what is shadowed below it goes with the last who came another way. That is what bounds the
//! shadowed values of a loop that sets one key again and again. A merge makes a flat node too, with no value.
//!
//! So every pointer in the map of a node N is good while N's chain count lasts: by induction over the path, for what
//! a map has that the one before it has not is N itself, and a flat node starts with holders of its own.

mod chain;
mod map;
pub(crate) mod node;
mod shards;

use crate::local;
use crate::sync::{AtomicUsize, Ordering};
use crate::tuning;
use map::{Map, Table};
use node::{Hold, Typed, ValueNode};
use std::marker::PhantomData;
use std::ptr;

/// In what a node says of those before it: what it sees may be local, for something on its path is.
const LOCAL: u32 = 1;
/// In the same: one node. Above the other, so that the two are compared as one.
const ONE_BEFORE: u32 = 2;

/// What is known of a key whatever its type.
#[derive(Debug)]
pub(crate) struct Tag {
    /// 0: never set.
    id: AtomicUsize,
    name: &'static str,
    /// LOCAL: its values stay behind where a context is cut off from what ends it; else 0.
    local: u32,
    /// What it is called on the wire; `None`: it does not go there.
    wire: Option<&'static str>,
}

/// A key of values of one type. What it is is where it is: a static is never anywhere else.
///
/// Invariant in `T`, for a subtype of a `'static` type can be another `'static` type (`for<'a> fn(&'a u8)` and
/// `fn(&'static u8)`), and a key of one would give out the other.
#[derive(Debug)]
pub(crate) struct TypedKey<T> {
    tag: Tag,
    type_of_values: PhantomData<fn(T) -> T>,
}

impl<T> TypedKey<T> {
    /// `id`: a zero. It is given because it cannot be made here in a constant in the models.
    pub(crate) const fn new(name: &'static str, id: AtomicUsize) -> Self {
        Self {
            tag: Tag {
                id,
                name,
                local: 0,
                wire: None,
            },
            type_of_values: PhantomData,
        }
    }

    pub(crate) const fn local(mut self) -> Self {
        self.tag.local = LOCAL;
        self
    }

    pub(crate) const fn wire(mut self, name: &'static str) -> Self {
        self.tag.wire = Some(name);
        self
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.tag.name
    }

    pub(crate) const fn is_local(&self) -> bool {
        self.tag.local != 0
    }

    pub(crate) const fn wire_name(&self) -> Option<&'static str> {
        self.tag.wire
    }
}

impl Tag {
    /// The id; 0: the key was never set, which is an id that no value has.
    ///
    /// ORDERING: Relaxed: an id stands for nothing but itself. Who was given a context that has a value of this key
    /// comes after the set, and with it after the id.
    #[inline(always)]
    fn id(&self) -> usize {
        self.id.load(Ordering::Relaxed)
    }

    /// The id, taken now if there is none. Lock-free: of two who race, both have the first one's.
    fn take_id(&self) -> usize {
        match self.id() {
            0 => {
                let next = local::next_key();
                // ORDERING: Relaxed, as in `id`.
                let taken = self
                    .id
                    .compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
                taken.map_or_else(|first| first, |_| next)
            }
            id => id,
        }
    }
}

/// The values a context sees: one chain count of the newest node; or none.
#[derive(Debug)]
pub(crate) struct Values(Hold);

impl Values {
    pub(crate) const NONE: Self = Self(Hold::NONE);

    #[inline(always)]
    pub(crate) fn node(&self) -> Option<*mut ValueNode> {
        self.0.node()
    }

    /// The map, which lasts as long as `self`.
    #[inline(always)]
    fn table(&self) -> Table<'_> {
        match self.node() {
            // SAFETY: `self` has a chain count of it (R8).
            Some(node) => unsafe { ValueNode::table(node) },
            None => Table::EMPTY,
        }
    }

    /// Of the newest node; 0: there is none.
    pub(crate) fn place(&self) -> u32 {
        // SAFETY: `self` has a chain count of it (R8).
        self.node()
            .map_or(0, |node| unsafe { ValueNode::at(node) }.place)
    }

    /// These and one more, which shadows one of the same key. `place`: of the context it is set on. Lock-free; one
    /// block, and a step for each key that is visible.
    pub(crate) fn with<T: Send + Sync + 'static>(
        &self,
        key: &'static TypedKey<T>,
        value: T,
        place: u32,
    ) -> Self {
        let id = key.tag.take_id();
        let table = self.table();
        // SAFETY: the entries last as long as `self`.
        let found = table.find(id, |entry| unsafe { ValueNode::id(entry) });
        let (index, map) = match found {
            Ok(index) => (index, table.map()),
            Err(index) => (index, table.map().with(id)),
        };
        let continued = self
            .node()
            // SAFETY: `self` has a chain count of it (R8).
            .map(|node| unsafe { ValueNode::at(node) }.before + ONE_BEFORE)
            .filter(|&before| before < (tuning::VALUES_MAX + 1) * ONE_BEFORE);
        let (previous, before) = match continued {
            // SAFETY: `self` has one (R8).
            Some(before) => (unsafe { self.0.acquire(1) }, before),
            None => (Hold::NONE, self.local()),
        };
        let before = before | key.tag.local;
        let place = place.saturating_add(1);
        let node = Typed::allocate(previous, map, place, before, Some(&key.tag), value);
        // SAFETY: the node is new, and the map was made for this.
        unsafe { ValueNode::table(node).fill_with(table, index, node, id) };
        if continued.is_none() {
            // SAFETY: the node is new and ours, and its entries last as long as `self`.
            unsafe { ValueNode::hold_all(node) };
        }
        Self(Hold::first(node))
    }

    /// The value of a key. Wait-free: the same at any depth, with a step for each doubling of the keys past 4,096.
    #[inline]
    pub(crate) fn get<T>(&self, key: &'static TypedKey<T>) -> Option<&T> {
        // SAFETY: `self` has a chain count of it (R8).
        let table = unsafe { ValueNode::table(self.node()?) };
        // SAFETY: the entries last as long as `self`.
        let entry = table.get(key.tag.id(), |entry| unsafe { ValueNode::id(entry) })?;
        // SAFETY: as above.
        let found = unsafe { ValueNode::at(entry) }.key;
        // That an id is of one key is what `take_id` sees to; that this is the key is what the type stands on.
        if !found.is_some_and(|found| ptr::eq(found, &raw const key.tag)) {
            return None;
        }
        // SAFETY: only `with` makes a node with this key, which as a static is the one key that was ever there and has
        // the one type `T`, for it is invariant; so the node is a `Typed<T>`, and lasts as long as `self`.
        Some(unsafe { &(*entry.cast::<Typed<T>>()).value })
    }

    /// These without what is local. Where nothing is, a clone, and to know it a bit that is on the newest node, which the
    /// clone counts on anyhow. Else lock-free; one block, a step for each key that is visible.
    #[inline]
    pub(crate) fn without_local(&self) -> Self {
        if self.local() == 0 {
            self.clone()
        } else {
            self.leave_local()
        }
    }

    /// LOCAL, if something on the path is; else 0.
    #[inline]
    fn local(&self) -> u32 {
        // SAFETY: `self` has a chain count of it (R8).
        self.node()
            .map_or(0, |node| unsafe { ValueNode::at(node) }.before & LOCAL)
    }

    #[cold]
    fn leave_local(&self) -> Self {
        let kept: Vec<_> = self
            .table()
            .iter()
            // SAFETY: the entries last as long as `self`.
            .filter(|&entry| !unsafe { ValueNode::is_local(entry) })
            // SAFETY: as above.
            .map(|entry| (unsafe { ValueNode::id(entry) }, entry))
            .collect();
        if kept.is_empty() {
            return Self::NONE;
        }
        // SAFETY: as above; a table is sorted by id.
        unsafe { flat(&kept, self.place()) }
    }

    /// The place and the name of the key of each set on the path, the newest first. Past [`tuning::VALUES_MAX`] sets, and of what
    /// was merged, those that are visible only. Allocates.
    pub(crate) fn path(&self) -> Vec<(u32, &'static str)> {
        let mut path = Vec::new();
        let mut next = self.node();
        while let Some(node) = next {
            // SAFETY: `self` has a chain count of the first, each of the next (R8).
            let this = unsafe { ValueNode::at(node) };
            path.extend(this.key.map(|key| (this.place, key.name)));
            if this.previous == Hold::NONE {
                // SAFETY: as above, and it holds its entries.
                let held = unsafe { ValueNode::table(node) }.iter();
                // SAFETY: as above.
                let held = held.filter_map(|entry| unsafe {
                    let this = ValueNode::at(entry);
                    this.key
                        .filter(|_| entry != node)
                        .map(|key| (this.place, key.name))
                });
                path.extend(held);
            }
            next = this.previous.node();
        }
        path.sort_by_key(|&(place, _)| std::cmp::Reverse(place));
        path
    }
}

impl Clone for Values {
    /// Wait-free: one RMW; none where there are no values, or where this thread has cloned them often.
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: `self` has one (R8).
        Self(unsafe { self.0.acquire(1) })
    }
}

impl Drop for Values {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the chain count is ours (R8).
        unsafe { self.0.release(1) };
    }
}

/// So many of the same, counted at once. What is not taken is given back.
#[derive(Debug)]
pub(crate) struct Copies {
    values: Hold,
    left: usize,
}

impl Values {
    /// Wait-free: as one clone.
    pub(crate) fn copies(&self, count: usize) -> Copies {
        Copies {
            // SAFETY: `self` has one (R8).
            values: unsafe { self.0.acquire(count) },
            left: count,
        }
    }
}

impl Iterator for Copies {
    type Item = Values;

    #[inline]
    fn next(&mut self) -> Option<Values> {
        self.left = self.left.checked_sub(1)?;
        // With one of the counts.
        Some(Values(self.values))
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        let mut rest = LetGo::new();
        self.for_each(|values| rest.push(values));
    }
}

/// Values that are let go together: of the same in a row, all by one RMW.
#[derive(Debug)]
pub(crate) struct LetGo {
    values: Hold,
    count: usize,
}

impl LetGo {
    pub(crate) const fn new() -> Self {
        Self {
            values: Hold::NONE,
            count: 0,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, values: Values) {
        let hold = values.0;
        std::mem::forget(values);
        if hold != self.values {
            self.let_go();
            self.values = hold;
        }
        self.count += 1;
    }

    fn let_go(&mut self) {
        let count = std::mem::take(&mut self.count);
        if count > 0 {
            // SAFETY: they are ours: of the values that were forgotten.
            unsafe { self.values.release(count) };
        }
    }
}

impl Drop for LetGo {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The values of several, in the making.
#[derive(Debug, Default)]
pub(crate) struct MergingValues<'a> {
    first: Option<&'a Values>,
    /// Those that are not the first one's, nor the same as the one before.
    rest: Vec<&'a Values>,
}

impl<'a> MergingValues<'a> {
    /// Allocates only where there are several that differ.
    pub(crate) fn add(&mut self, values: &'a Values) {
        let Some(node) = values.node() else { return };
        let Some(first) = self.first else {
            self.first = Some(values);
            return;
        };
        let last = self.rest.last().unwrap_or(&first);
        if ![first.node(), last.node()].contains(&Some(node)) {
            self.rest.push(values);
        }
    }

    /// All of them, of two with one key the earlier. Where one has them all, that one. Lock-free; allocates.
    pub(crate) fn finish(self) -> Values {
        let Some(first) = self.first else {
            return Values::NONE;
        };
        if self.rest.is_empty() {
            return first.clone();
        }
        let all = || std::iter::once(first).chain(self.rest.iter().copied());
        let mut entries: Vec<_> = all()
            .flat_map(|values| values.table().iter())
            // SAFETY: the entries last as long as the values they are of, and those are borrowed.
            .map(|entry| (unsafe { ValueNode::id(entry) }, entry))
            .collect();
        // A stable sort: of one id the earliest stays first.
        entries.sort_by_key(|&(id, _)| id);
        entries.dedup_by_key(|&mut (id, _)| id);
        let is_all = |values: &&Values| {
            let visible = entries.iter().map(|&(_, entry)| entry);
            values.table().iter().eq(visible)
        };
        if let Some(one) = all().find(is_all) {
            return one.clone();
        }
        let place = all().map(Values::place).max().unwrap_or(0);
        // SAFETY: they last as long as what is borrowed.
        unsafe { flat(&entries, place) }
    }
}

/// Values that are just these, sorted by id, one of each.
///
/// # Safety
///
/// The entries are kept meanwhile.
unsafe fn flat(entries: &[(usize, *mut ValueNode)], place: u32) -> Values {
    let map = entries
        .iter()
        .fold(Map::EMPTY, |map, &(id, _)| map.with(id));
    // SAFETY: the caller's promise.
    let is_local = |&(_, entry): &_| unsafe { ValueNode::is_local(entry) };
    let before = if entries.iter().any(is_local) {
        LOCAL
    } else {
        0
    };
    let node = Typed::allocate(Hold::NONE, map, place, before, None, ());
    // SAFETY: the node is new, and the map was made for these; the caller keeps them.
    unsafe {
        ValueNode::table(node).fill(entries);
        ValueNode::hold_all(node);
    }
    Values(Hold::first(node))
}
