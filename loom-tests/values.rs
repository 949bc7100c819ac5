//! Models of values: their two counts, the shards of a hot one, and the id of a key.

use crate::harness::{large_model, model};
use crate::local;
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
    model("two flat nodes against their path", 3, 10, || {
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

/// Values with a shard, or one for each thread and that one; what is here is a direct count.
fn hot(key: Key, wide: bool) -> Values {
    let values = set(&Values::NONE, key);
    values.open();
    if wide {
        values.widen();
    }
    values
}

/// A thread with an index of its own; `main` has 0.
fn with_index<T: 'static>(index: usize, f: impl FnOnce() -> T + 'static) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        local::set_index(index);
        f()
    })
}

#[test]
fn a_sharded_clone_dropped_on_another_thread_against_the_last_direct_one_frees_it_once() {
    for wide in [false, true] {
        model("sharded clone against the last direct", 3, 10, move || {
            let a = key();
            let root = hot(a, wide);
            // Counted in the shard of this thread, and let go in that of the other.
            let clone = root.clone();
            let other = with_index(1, move || {
                assert!(look(&clone, a));
                drop(clone);
            });
            assert!(look(&root, a));
            drop(root);
            other.join().unwrap();
        });
    }
}

#[test]
fn the_last_direct_one_and_two_sharded_clones_dropped_at_once_free_it_once() {
    model("two shards against the last direct", 2, 500, || {
        let a = key();
        let root = hot(a, true);
        let (here, there) = (root.clone(), root.clone());
        let other = with_index(1, move || {
            assert!(look(&there, a));
            drop(there);
        });
        drop(root);
        assert!(look(&here, a));
        drop(here);
        other.join().unwrap();
    });
}

#[test]
fn the_last_two_of_an_orphaned_node_dropped_on_two_shards_free_it_once() {
    model("two shards of an orphaned node", 2, 500, || {
        let a = key();
        let root = hot(a, true);
        let (here, there) = (root.clone(), root.clone());
        drop(root);
        let other = with_index(1, move || {
            assert!(look(&there, a));
            drop(there);
        });
        assert!(look(&here, a));
        drop(here);
        other.join().unwrap();
    });
}

#[test]
fn a_clone_of_a_sharded_clone_outlives_it_and_the_last_direct_one() {
    for wide in [false, true] {
        model(
            "clone of a clone against the last direct",
            2,
            200,
            move || {
                let a = key();
                let root = hot(a, wide);
                let clone = root.clone();
                let other = with_index(1, move || {
                    let second = clone.clone();
                    drop(clone);
                    assert!(look(&second, a));
                    let third = second.clone();
                    drop(second);
                    assert!(look(&third, a));
                    drop(third);
                });
                drop(root);
                other.join().unwrap();
            },
        );
    }
}

#[test]
fn a_clone_of_one_of_the_last_direct_ones_outlives_them_all() {
    model("clone of a direct one against the last", 3, 50, || {
        let a = key();
        let first = set(&Values::NONE, a);
        let second = first.clone();
        first.open();
        first.widen();
        let other = with_index(1, move || {
            let clone = second.clone();
            drop(second);
            assert!(look(&clone, a));
            drop(clone);
        });
        drop(first);
        other.join().unwrap();
    });
}

#[test]
fn a_node_that_gets_hot_while_it_is_cloned_and_dropped_is_freed_once() {
    model("values getting hot", 2, 50, || {
        let a = key();
        let first = set(&Values::NONE, a);
        let others = [1, 2].map(|index| {
            let direct = first.clone();
            with_index(index, move || {
                direct.open();
                let clone = direct.clone();
                drop(direct);
                assert!(look(&clone, a));
                drop(clone);
            })
        });
        drop(first);
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn a_clone_made_while_the_node_gets_hot_is_counted_where_it_is_let_go() {
    model("clone while values get hot", 3, 50, || {
        let a = key();
        let first = set(&Values::NONE, a);
        let second = first.clone();
        let other = with_index(1, move || {
            second.open();
            drop(second);
        });
        let clone = first.clone();
        drop(first);
        assert!(look(&clone, a));
        drop(clone);
        other.join().unwrap();
    });
}

#[test]
fn shards_installed_while_the_last_direct_one_goes_are_freed_once() {
    model("more shards against the last direct", 3, 50, || {
        let a = key();
        let root = hot(a, false);
        let clone = root.clone();
        let other = with_index(1, move || {
            clone.widen();
            let second = clone.clone();
            drop(clone);
            assert!(look(&second, a));
            drop(second);
        });
        drop(root);
        other.join().unwrap();
    });
}

#[test]
fn two_who_install_shards_at_once_lose_no_count() {
    model("more shards by two", 3, 500, || {
        let a = key();
        let root = hot(a, false);
        let (here, there) = (root.clone(), root.clone());
        let other = with_index(1, move || {
            there.widen();
            let clone = there.clone();
            drop(there);
            assert!(look(&clone, a));
        });
        here.widen();
        assert!(look(&here, a));
        drop((here, root));
        other.join().unwrap();
    });
}

#[test]
fn two_who_clone_in_one_shard_at_once_are_both_counted() {
    large_model("clones in one shard", 2, 100, || {
        let a = key();
        let root = hot(a, false);
        let there = root.clone();
        let other = with_index(1, move || {
            let clone = there.clone();
            drop(there);
            assert!(look(&clone, a));
            drop(clone);
        });
        // This thread's shard, and the other's too.
        let here = root.clone();
        drop(root);
        assert!(look(&here, a));
        drop(here);
        other.join().unwrap();
    });
}

#[test]
fn a_set_on_hot_values_keeps_them_when_all_others_go() {
    model("set on a sharded clone", 3, 50, || {
        let (a, b) = (key(), key());
        let root = hot(a, true);
        let clone = root.clone();
        let other = with_index(1, move || {
            let newer = set(&clone, b);
            drop(clone);
            assert!(look(&newer, a) && look(&newer, b));
            drop(newer);
        });
        drop(root);
        other.join().unwrap();
    });
}
