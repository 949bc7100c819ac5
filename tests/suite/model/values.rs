//! The values of the reference: what each context sees, in a map of its own, and what it was derived through.

use super::ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet};

/// Shadowed values that may be kept on the way to one context.
const SHADOWED: usize = 64;

/// What a context sees. Keys and values are numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    visible: BTreeMap<usize, usize>,
    /// Those on the way here, shadowed ones among them.
    through: BTreeSet<usize>,
}

impl Seen {
    pub(crate) fn get(&self, key: usize) -> Option<usize> {
        self.visible.get(&key).copied()
    }

    pub(crate) fn set(&mut self, key: usize, value: usize) {
        self.visible.insert(key, value);
        self.through.insert(value);
    }

    /// Of two with one key the earlier parent's.
    pub(crate) fn merge<'a>(parents: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for parent in parents {
            for (key, value) in &parent.visible {
                all.visible.entry(*key).or_insert(*value);
            }
            all.through.extend(&parent.through);
        }
        all
    }
}

/// Which values may have been dropped, and which must.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Those not known to have been dropped.
    left: BTreeSet<usize>,
    issued: usize,
}

impl Kept {
    /// # Panics
    ///
    /// Where a value was dropped that one of `held` sees, or was not though none was derived through it; and where more
    /// shadowed ones were kept than may be.
    pub(crate) fn check<'a>(
        &mut self,
        values: &Ledger,
        held: impl Iterator<Item = &'a Seen> + Clone,
    ) {
        self.left.extend(self.issued..values.issued());
        self.issued = values.issued();
        if self.left.is_empty() {
            return;
        }
        let visible: BTreeSet<usize> = held
            .clone()
            .flat_map(|seen| seen.visible.values().copied())
            .collect();
        // Those that see the same keep no more than one of them.
        let held: BTreeSet<&Seen> = held.filter(|seen| !seen.through.is_empty()).collect();
        let through = held
            .iter()
            .flat_map(|seen| &seen.through)
            .copied()
            .collect();
        self.left.retain(|value| values.drops(*value) == 0);
        if let Some(value) = visible.difference(&self.left).next() {
            panic!("value {value} was dropped, and a context sees it");
        }
        if let Some(value) = self.left.difference(&through).next() {
            panic!("value {value} is kept, and no context was derived through it");
        }
        let shadowed = self.left.difference(&visible).count();
        assert!(
            shadowed <= SHADOWED * held.len(),
            "{shadowed} shadowed values are kept, of {} contexts",
            held.len()
        );
    }
}
