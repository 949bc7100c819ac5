//! Models of merged nodes: links against the cancels of their parents and the end of their target.

use crate::cause::Cause;
use crate::harness::model;
use crate::list::{assert_tidy, child, root};
use crate::raw::handle::Handle;
use crate::raw::waits::tell;
use crate::tree::{cancel, cause_of};
use loom::thread;

fn merge(parents: &[&Handle]) -> Handle {
    Handle::merge(parents.iter().copied()).expect("there are parents")
}

#[test]
fn a_merge_during_the_cancel_of_its_first_parent_is_done() {
    model("merge against the first parent's cancel", 3, 50, || {
        let (a, b) = (root(), root());
        let other = thread::spawn({
            let a = a.clone();
            move || cancel(&a)
        });
        let merged = merge(&[&a, &b]);
        other.join().unwrap();
        assert!(merged.is_done());
        drop(merged);
        b.tidy();
        assert_tidy(&b);
    });
}

#[test]
fn a_merge_during_the_cancel_of_its_second_parent_is_done() {
    model("merge against the second parent's cancel", 3, 700, || {
        let (a, b) = (root(), root());
        let other = thread::spawn({
            let b = b.clone();
            move || tell(b.cancel(Some(Cause::msg("second"))))
        });
        let merged = merge(&[&a, &b]);
        let leaf = child(&merged);
        other.join().unwrap();
        assert!(merged.is_done() && leaf.is_done());
        assert_eq!(cause_of(&leaf).as_deref(), Some("second"));
        drop((merged, leaf));
        assert_tidy(&a);
    });
}

#[test]
fn both_parents_cancelled_at_once_leave_one_cause() {
    model("merge against both parents' cancels", 3, 5_000, || {
        let (a, b) = (root(), root());
        let merged = merge(&[&a, &b]);
        let leaf = child(&merged);
        let other = thread::spawn({
            let (b, merged, leaf) = (b.clone(), merged.clone(), leaf.clone());
            move || {
                tell(b.cancel(Some(Cause::msg("second"))));
                assert!(leaf.is_done(), "the cancel of the second returned early");
                cause_of(&merged)
            }
        });
        tell(a.cancel(Some(Cause::msg("first"))));
        assert!(leaf.is_done(), "the cancel of the first returned early");
        let seen = cause_of(&merged);
        assert!(matches!(seen.as_deref(), Some("first" | "second")));
        assert_eq!(seen, other.join().unwrap());
        assert_eq!(seen, cause_of(&leaf));
    });
}

#[test]
fn a_merged_nodes_own_cause_against_a_parents_leaves_one() {
    model("merged node's cause against a parent's", 3, 100, || {
        let (a, b) = (root(), root());
        let merged = merge(&[&a, &b]);
        let other = thread::spawn({
            let merged = merged.clone();
            move || {
                tell(merged.cancel(Some(Cause::msg("own"))));
                cause_of(&merged)
            }
        });
        tell(b.cancel(Some(Cause::msg("second"))));
        let seen = cause_of(&merged);
        assert!(
            matches!(seen.as_deref(), Some("own" | "second")),
            "{seen:?}"
        );
        assert_eq!(seen, other.join().unwrap());
    });
}

#[test]
fn a_merged_node_dropped_during_a_parents_cancel_is_freed_once() {
    model(
        "drop of a merged node against a parent's cancel",
        3,
        517,
        || {
            let (a, b) = (root(), root());
            let merged = merge(&[&a, &b]);
            let other = thread::spawn(move || drop(merged));
            cancel(&b);
            drop(b);
            other.join().unwrap();
            assert_tidy(&a);
        },
    );
}

#[test]
fn a_merged_node_against_the_last_handles_of_both_parents() {
    model("drop of a merged node against its parents'", 3, 50, || {
        let (a, b) = (root(), root());
        let merged = merge(&[&a, &b]);
        let first = thread::spawn(move || drop(a));
        let second = thread::spawn(move || drop(b));
        drop(merged);
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_merge_of_more_parents_than_a_node_has_links_is_done_by_any() {
    // One link a node here, so three parents make a chain of two nodes.
    model("merge over the bound of links", 4, 4, || {
        let (a, b, c) = (root(), root(), root());
        let merged = merge(&[&a, &b, &c]);
        let other = thread::spawn({
            let b = b.clone();
            move || cancel(&b)
        });
        cancel(&c);
        assert!(merged.is_done());
        other.join().unwrap();
        drop(merged);
        assert_tidy(&a);
    });
}

#[test]
fn a_diamond_of_merges_is_done_by_either_cancel() {
    model("diamond of merges against two cancels", 2, 6_613, || {
        let top = root();
        let (left, right) = (child(&top), child(&top));
        let merged = merge(&[&left, &right]);
        let leaf = child(&merged);
        let other = thread::spawn({
            let (right, leaf) = (right.clone(), leaf.clone());
            move || {
                cancel(&right);
                assert!(leaf.is_done());
            }
        });
        cancel(&top);
        assert!(leaf.is_done());
        other.join().unwrap();
    });
}

#[test]
fn two_handles_of_a_merged_node_dropped_during_a_parents_cancel_bury_it_once() {
    model("merged handles against a cancel", 2, 2_500, || {
        let (a, b) = (root(), root());
        let merged = merge(&[&a, &b]);
        let others = [merged.clone(), merged].map(|handle| thread::spawn(move || drop(handle)));
        cancel(&b);
        drop(b);
        for other in others {
            other.join().unwrap();
        }
        assert_tidy(&a);
    });
}

#[test]
fn a_walk_that_followed_a_link_comes_back_to_the_links_siblings() {
    model("siblings of a link against two cancels", 3, 400, || {
        let (a, b) = (root(), root());
        let older = child(&b);
        let merged = merge(&[&a, &b]);
        let leaf = child(&merged);
        let other = thread::spawn(move || cancel(&a));
        cancel(&b);
        assert!(leaf.is_done() && older.is_done());
        other.join().unwrap();
    });
}

#[test]
fn a_buried_merged_node_goes_with_the_later_of_two_closed_parents() {
    model("last handles of two closed parents", 3, 3, || {
        let (a, b) = (root(), root());
        let merged = merge(&[&a, &b]);
        cancel(&a);
        cancel(&b);
        drop(merged);
        let other = thread::spawn(move || drop(a));
        drop(b);
        other.join().unwrap();
    });
}

#[test]
fn a_link_that_need_not_be_followed_does_not_change_the_way_back() {
    model("link to a done target against cancel", 3, 600, || {
        let (a, b, c) = (root(), root(), root());
        let older = child(&b);
        let outer = merge(&[&a, &b]);
        let inner = merge(&[&c, &outer]);
        let leaf = child(&inner);
        let other = thread::spawn(move || cancel(&inner));
        cancel(&b);
        assert!(leaf.is_done() && older.is_done());
        other.join().unwrap();
    });
}
