//! Models of values: their two counts, and the id of a key.

use crate::harness::model;
use crate::raw::values::{MergingValues, TypedKey, Values};
use crate::sync::{Alive, AtomicUsize};
use loom::thread;

/// A value with a tripwire: used after its drop, dropped twice or never, it is reported.
struct Watched(Alive);

impl Watched {
    fn new() -> Self {
        Self(Alive::new())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.end();
    }
}

// SAFETY: loom watches what is in it.
unsafe impl Sync for Watched {}
// SAFETY: as above.
unsafe impl Send for Watched {}

type Key = &'static TypedKey<Watched>;

/// Of this execution: the atomic in a key is loom's.
fn key() -> Key {
    Box::leak(Box::new(TypedKey::new("key", AtomicUsize::new(0))))
}

fn set(values: &Values, key: Key) -> Values {
    values.with(key, Watched::new(), 0)
}

fn look(values: &Values, key: Key) -> bool {
    values.get(key).map(|value| value.0.check()).is_some()
}

/// As many sets as there can be before the next one is flat, all but the last of `shadowed`.
fn path(values: Values, shadowed: Key, nodes: u32) -> Values {
    (0..nodes).fold(values, |values, _| set(&values, shadowed))
}

#[test]
fn the_last_two_of_one_path_dropped_at_once_free_it_once() {
    model("values dropped at once", 3, 4, || {
        let (a, b) = (key(), key());
        let older = set(&Values::NONE, a);
        let newer = set(&older, b);
        let other = thread::spawn(move || {
            assert!(look(&older, a) && !look(&older, b));
        });
        assert!(look(&newer, a) && look(&newer, b));
        drop(newer);
        other.join().unwrap();
    });
}

#[test]
fn clones_of_one_path_dropped_at_once_free_it_once() {
    model("clones of values dropped at once", 3, 50, || {
        let (a, b) = (key(), key());
        let values = set(&set(&Values::NONE, a), b);
        let others = [values.clone(), values].map(|values| {
            thread::spawn(move || {
                let newer = set(&values, a);
                drop(values);
                assert!(look(&newer, a) && look(&newer, b));
            })
        });
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn a_flat_node_keeps_what_it_sees_when_its_path_goes() {
    model("flat node against its path", 3, 4, || {
        let (a, b) = (key(), key());
        let older = path(set(&Values::NONE, a), b, crate::tuning::VALUES_MAX);
        let flat = set(&older, b);
        let other = thread::spawn(move || {
            assert!(look(&older, a) && look(&older, b));
        });
        assert!(look(&flat, a) && look(&flat, b));
        drop(flat);
        other.join().unwrap();
    });
}

#[test]
fn two_flat_nodes_and_their_path_dropped_at_once_free_it_once() {
    model("two flat nodes against their path", 2, 10, || {
        let (a, b) = (key(), key());
        let older = path(set(&Values::NONE, a), b, crate::tuning::VALUES_MAX);
        let others = [set(&older, b), set(&older, a)].map(|flat| {
            thread::spawn(move || {
                let newer = set(&flat, a);
                drop(flat);
                assert!(look(&newer, a) && look(&newer, b));
            })
        });
        drop(older);
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn a_merge_keeps_what_it_sees_when_its_parents_go() {
    model("merged values against their parents", 3, 6, || {
        let (a, b) = (key(), key());
        let (first, second) = (set(&Values::NONE, a), set(&Values::NONE, b));
        let mut merging = MergingValues::default();
        merging.add(&first);
        merging.add(&second);
        let merged = merging.finish();
        let other = thread::spawn(move || drop((first, second)));
        assert!(look(&merged, a) && look(&merged, b));
        drop(merged);
        other.join().unwrap();
    });
}

#[test]
fn two_first_sets_of_a_key_at_once_agree_on_its_id() {
    model("first sets of a key", 3, 50, || {
        let (a, b) = (key(), key());
        let other = thread::spawn(move || set(&set(&Values::NONE, b), a));
        let ours = set(&set(&Values::NONE, a), b);
        let theirs = other.join().unwrap();
        for values in [&ours, &theirs] {
            assert!(look(values, a) && look(values, b));
            let shadowing = set(values, a);
            assert!(shadowing.path().len() == 2 && look(&shadowing, b));
        }
    });
}
