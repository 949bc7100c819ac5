//! The map in front of a node: which keys it sees, and the node of each.
//!
//! ```text
//!   … start bits │ start bits │ entry n-1 … entry 1 entry 0 │ node
//!      group 1        group 0   ◄──── sorted by id ────────   ▲ a pointer to a node points here
//! ```
//!
//! Ids below 64 are bits of one word in the node; those below 4,096 are in groups of 64, each with its bits and the
//! place of its first entry; those beyond are at the end of the entries and searched for. It grows away from the node,
//! so that all a look-up needs is at a fixed distance, whatever the value behind the node.

use super::node::ValueNode;

/// Ids of a group: the bits of a word.
const GROUP: usize = 64;

/// Ids that are found by bits.
const MAPPED: usize = GROUP * GROUP;

/// Words a group takes: its bits, and the place of its first entry.
const GROUP_WORDS: usize = 2;

/// What a node keeps of its map in itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    /// Which ids below [`GROUP`] have an entry.
    low: u64,
    /// Which groups have one; never the first, which is `low`.
    groups: u64,
    /// Entries.
    len: u32,
    /// Entries of ids below [`MAPPED`].
    mapped: u32,
}

impl Map {
    pub(super) const EMPTY: Self = Self {
        low: 0,
        groups: 0,
        len: 0,
        mapped: 0,
    };

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Words in front of the node.
    pub(super) fn words(&self) -> usize {
        // Most have no group, and counting bits takes twenty instructions.
        let groups = match self.groups {
            0 => 0,
            groups => groups.count_ones() as usize,
        };
        self.len() + GROUP_WORDS * groups
    }

    /// With an id that was not there.
    pub(super) fn with(mut self, id: usize) -> Self {
        debug_assert!(id > 0);
        let (group, bit) = split(id);
        if id < GROUP {
            self.low |= bit;
        } else if id < MAPPED {
            self.groups |= 1 << group;
        }
        self.mapped += u32::from(id < MAPPED);
        self.len = self.len.checked_add(1).expect("fewer than 2^32 keys");
        self
    }
}

fn split(id: usize) -> (usize, u64) {
    (id / GROUP, 1 << (id % GROUP))
}

fn ones_below(bits: u64, bit: u64) -> usize {
    (bits & (bit - 1)).count_ones() as usize
}

/// The whole map of a node that is kept for `'a`.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    map: &'a Map,
    end: *mut ValueNode,
}

impl<'a> Table<'a> {
    /// The map of no node.
    pub(super) const EMPTY: Self = Self {
        map: &Map::EMPTY,
        end: std::ptr::null_mut(),
    };

    /// # Safety
    ///
    /// `node` has `map.words()` words of its own in front of it, which nobody writes for `'a` but through the answer,
    /// and they are filled before they are read.
    #[inline(always)]
    pub(super) unsafe fn new(node: *mut ValueNode, map: &'a Map) -> Self {
        Self { map, end: node }
    }

    pub(super) fn map(&self) -> Map {
        *self.map
    }

    pub(super) fn iter(self) -> impl Iterator<Item = *mut ValueNode> + use<'a> {
        (0..self.map.len()).map(move |index| self.entry(index))
    }

    pub(super) fn entry(&self, index: usize) -> *mut ValueNode {
        assert!(index < self.map.len());
        // SAFETY: the entry is one of the words in front of the node.
        unsafe { self.entry_word(index).read() }
    }

    fn entries(&self) -> *mut *mut ValueNode {
        self.end.cast()
    }

    /// # Safety
    ///
    /// `index` is below the number of entries.
    #[inline(always)]
    unsafe fn entry_word(&self, index: usize) -> *mut *mut ValueNode {
        // SAFETY: by the promise made to `new` there are so many words.
        unsafe { self.entries().sub(index + 1) }
    }

    /// The two words of the group that `rank` others come before.
    ///
    /// # Safety
    ///
    /// There is such a group.
    unsafe fn group(&self, rank: usize) -> *mut [u64; GROUP_WORDS] {
        let words = self.map.len() + GROUP_WORDS * (rank + 1);
        // SAFETY: by the promise made to `new` there are so many words.
        unsafe { self.end.cast::<u64>().sub(words).cast() }
    }

    /// Which ids of a group, not the first, have an entry, and the place of the first of them.
    fn bits(&self, group: usize) -> Option<(u64, usize)> {
        let bit = 1 << group;
        (self.map.groups & bit != 0).then(|| {
            let rank = ones_below(self.map.groups, bit);
            // SAFETY: the group is there, and filled.
            let [start, bits] = unsafe { *self.group(rank) };
            (bits, start as usize)
        })
    }

    /// The entry with this id. `id_of` as in [`find`](Self::find).
    #[inline(always)]
    pub(super) fn get(
        &self,
        id: usize,
        id_of: impl Fn(*mut ValueNode) -> usize,
    ) -> Option<*mut ValueNode> {
        if id >= GROUP {
            return self.get_high(id, id_of);
        }
        let (_, bit) = split(id);
        if self.map.low & bit == 0 {
            return None;
        }
        // SAFETY: each bit has its entry.
        Some(unsafe { self.entry_word(ones_below(self.map.low, bit)).read() })
    }

    #[cold]
    fn get_high(
        &self,
        id: usize,
        id_of: impl Fn(*mut ValueNode) -> usize,
    ) -> Option<*mut ValueNode> {
        let index = self.find(id, id_of).ok()?;
        Some(self.entry(index))
    }

    /// The place of the entry with this id; `Err`: it has none, and would have it there. `id_of` is asked for the ids
    /// of entries beyond [`MAPPED`].
    pub(super) fn find(
        &self,
        id: usize,
        id_of: impl Fn(*mut ValueNode) -> usize,
    ) -> Result<usize, usize> {
        let (group, bit) = split(id);
        if id >= MAPPED {
            return self.search(id, id_of);
        }
        let (bits, start) = if id < GROUP {
            (self.map.low, 0)
        } else {
            match self.bits(group) {
                Some(found) => found,
                None => return Err(self.start_of(group)),
            }
        };
        let index = start + ones_below(bits, bit);
        if bits & bit == 0 {
            Err(index)
        } else {
            Ok(index)
        }
    }

    #[cold]
    fn search(&self, id: usize, id_of: impl Fn(*mut ValueNode) -> usize) -> Result<usize, usize> {
        let (mut from, mut to) = (self.map.mapped as usize, self.map.len());
        while from < to {
            let middle = from.midpoint(to);
            match id_of(self.entry(middle)).cmp(&id) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }

    /// Where the entries of a group that has none would be.
    fn start_of(&self, group: usize) -> usize {
        let after = self.map.groups & !((1 << group) - 1);
        match self.bits(after.trailing_zeros() as usize % GROUP) {
            Some((_, start)) => start,
            None => self.map.mapped as usize,
        }
    }

    /// Fills the words with the entries of another map, and `node` with this id at `index`: in place of the entry
    /// there, or before it.
    ///
    /// # Safety
    ///
    /// This table is new, and made for these entries.
    pub(super) unsafe fn fill_with(
        &self,
        other: Table<'_>,
        index: usize,
        node: *mut ValueNode,
        id: usize,
    ) {
        let replaced = usize::from(self.map.len == other.map.len);
        let rest = other.map.len() - index - replaced;
        // SAFETY: both have the words, and as this one is new, none in common.
        unsafe {
            if other.map.len > 0 {
                let (from, to) = (other.entries(), self.entries());
                std::ptr::copy_nonoverlapping(from.sub(index), to.sub(index), index);
                std::ptr::copy_nonoverlapping(
                    from.sub(other.map.len()),
                    to.sub(self.map.len()),
                    rest,
                );
            }
            self.entry_word(index).write(node);
        }
        let (new_group, new_bit) = split(id);
        let bits_of = |group| {
            let bits = other.bits(group).map_or(0, |(bits, _)| bits);
            bits | if group == new_group { new_bit } else { 0 }
        };
        // SAFETY: the caller's promise.
        unsafe { self.fill_groups(bits_of) };
    }

    /// Fills the words with these entries, which are sorted by id and have one each.
    ///
    /// # Safety
    ///
    /// This table is new, and made for these entries.
    pub(super) unsafe fn fill(&self, entries: &[(usize, *mut ValueNode)]) {
        let mut bits = [0; GROUP];
        for (index, &(id, node)) in entries.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { self.entry_word(index).write(node) };
            let (group, bit) = split(id);
            if let Some(bits) = bits.get_mut(group) {
                *bits |= bit;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.fill_groups(|group| bits[group]) };
    }

    /// # Safety
    ///
    /// This table is new, and `bits_of` says what its groups are to be.
    unsafe fn fill_groups(&self, bits_of: impl Fn(usize) -> u64) {
        let mut start = u64::from(self.map.low.count_ones());
        let mut left = self.map.groups;
        let mut rank = 0;
        while left != 0 {
            let bits = bits_of(left.trailing_zeros() as usize);
            // SAFETY: there are as many groups as `groups` has bits.
            unsafe { self.group(rank).write([start, bits]) };
            start += u64::from(bits.count_ones());
            rank += 1;
            left &= left - 1;
        }
    }
}
