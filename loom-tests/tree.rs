//! Models of the tree: creation, cancel and drop of nodes against each other; causes; stripes.

use crate::cause::Cause;
use crate::error::Error;
use crate::harness::{model, model_with_reuse};
use crate::list::{assert_tidy, child, root};
use crate::local;
use crate::raw::handle::Handle;
use crate::raw::waits::tell;
use crate::sync::{Alive, UnsafeCell};
use crate::tuning::at_window;
use loom::sync::Notify;
use loom::thread;
use std::sync::{Arc, Mutex};

pub(crate) fn cancel(node: &Handle) {
    tell(node.cancel(None));
}

/// As the facade does.
fn cancel_in_one(node: &Handle) {
    if node.end_untold().is_none() {
        cancel(node);
    }
}

/// As the facade does.
fn drop_guard(mut guard: Handle) {
    if !guard.end_and_release() {
        cancel(&guard);
    }
}

pub(crate) fn cancel_with(node: &Handle, cause: &str) {
    tell(node.cancel(Some(Cause::msg(cause))));
}

pub(crate) fn cause_of(node: &Handle) -> Option<String> {
    node.cause().map(|cause| cause.to_string())
}

#[test]
fn a_child_pushed_during_a_cancel_is_done() {
    model("push against cancel", 3, 100, || {
        let parent = root();
        let creator = thread::spawn({
            let parent = parent.clone();
            move || child(&parent)
        });
        cancel(&parent);
        let late = child(&parent);
        assert!(late.is_done(), "derived from a done parent");
        assert!(creator.join().unwrap().is_done(), "lost");
    });
}

#[test]
fn a_child_pushed_beside_others_during_a_cancel_is_done() {
    model("create against cancel", 3, 80, || {
        let parent = root();
        let middle = child(&parent);
        let creator = thread::spawn({
            let middle = middle.clone();
            move || {
                let first = child(&middle);
                let second = child(&first);
                (first, second)
            }
        });
        cancel(&parent);
        assert!(middle.is_done());
        let (first, second) = creator.join().unwrap();
        assert!(first.is_done() && second.is_done());
    });
}

#[test]
fn a_child_dropped_during_a_cancel_is_freed_once() {
    model("drop against cancel", 3, 60, || {
        let parent = root();
        let (a, b) = (child(&parent), child(&parent));
        let dropper = thread::spawn(move || drop(a));
        cancel(&parent);
        assert!(b.is_done());
        dropper.join().unwrap();
    });
}

#[test]
fn a_sibling_dropped_during_a_cancel_is_not_walked() {
    model("drop of a sibling against cancel", 3, 19, || {
        let parent = root();
        let (older, node) = (child(&parent), child(&parent));
        let leaf = child(&node);
        let dropper = thread::spawn(move || drop((older, leaf)));
        cancel(&node);
        dropper.join().unwrap();
        assert!(!parent.is_done());
        assert_eq!(parent.child_count(), 0);
    });
}

#[test]
fn a_middle_node_dropped_during_a_cancel_hides_no_descendant() {
    model("drop of a middle node against cancel", 4, 60, || {
        let parent = root();
        let middle = child(&parent);
        let leaf = child(&middle);
        let dropper = thread::spawn(move || drop(middle));
        cancel(&parent);
        assert!(leaf.is_done());
        dropper.join().unwrap();
        assert_eq!(cause_of(&leaf).as_deref(), Some("context canceled"));
    });
}

#[test]
fn two_children_dropped_at_once_leave_a_tidy_parent() {
    model("child drop against child drop", 3, 200, || {
        let parent = root();
        let (a, b) = (child(&parent), child(&parent));
        let other = thread::spawn(move || drop(a));
        drop(b);
        other.join().unwrap();
        assert_tidy(&parent);
    });
}

#[test]
fn the_last_handle_of_a_parent_against_that_of_its_child() {
    model("last parent handle against child", 3, 7, || {
        let parent = root();
        let only = child(&parent);
        let other = thread::spawn(move || drop(only));
        drop(parent);
        other.join().unwrap();
    });
}

#[test]
fn the_last_handle_of_a_parent_against_those_of_two_children() {
    model("last parent handle against children", 2, 4_000, || {
        let parent = root();
        let (a, b) = (child(&parent), child(&parent));
        let first = thread::spawn(move || drop(a));
        let second = thread::spawn(move || drop(b));
        drop(parent);
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn two_handles_of_one_node_dropped_at_once_bury_it_once() {
    model("handle against handle", 3, 3, || {
        let parent = root();
        let (a, b) = parent.derive(0);
        let other = thread::spawn(move || drop(a));
        drop(b);
        other.join().unwrap();
        assert_tidy(&parent);
    });
}

#[test]
fn a_guard_dropped_while_its_context_is_read_ends_it_once() {
    model("guard against handle", 4, 5, || {
        let parent = root();
        let (context, mut guard) = parent.derive(0);
        let reader = thread::spawn(move || {
            let before = context.err();
            if before.is_some() {
                assert_eq!(context.err(), before);
            }
        });
        if !guard.end_and_release() {
            cancel(&guard);
        }
        drop(guard);
        reader.join().unwrap();
        assert_tidy(&parent);
    });
}

#[test]
fn a_child_derived_while_the_guard_goes_is_done() {
    model("guard against derive", 3, 60, || {
        let (context, guard) = root().derive(0);
        let creator = thread::spawn({
            let context = context.clone();
            move || child(&context)
        });
        drop_guard(guard);
        assert!(creator.join().unwrap().is_done(), "lost");
        assert!(context.is_done());
    });
}

#[test]
fn a_child_derived_during_a_cancel_with_nobody_to_tell_is_done() {
    model("cancel in one against derive", 3, 60, || {
        let context = child(&root());
        let creator = thread::spawn({
            let context = context.clone();
            move || child(&context)
        });
        cancel_in_one(&context);
        assert!(creator.join().unwrap().is_done(), "lost");
        assert!(context.is_done());
    });
}

#[test]
fn a_guard_dropped_during_a_cancel_returns_with_the_child_done() {
    model("guard against cancel", 3, 60, || {
        let (context, guard) = root().derive(0);
        let leaf = child(&context);
        let other = thread::spawn(move || cancel(&context));
        drop_guard(guard);
        assert!(leaf.is_done(), "the drop of the guard returned early");
        other.join().unwrap();
    });
}

#[test]
fn a_cancel_during_another_returns_with_the_child_done() {
    model("cancel in one against cancel", 3, 60, || {
        let context = child(&root());
        let leaf = child(&context);
        let other = thread::spawn({
            let context = context.clone();
            move || cancel(&context)
        });
        cancel_in_one(&context);
        assert!(leaf.is_done(), "it returned early");
        other.join().unwrap();
    });
}

#[test]
fn overlapping_cancels_both_return_with_the_grandchild_done() {
    model("overlapping cancels with a grandchild", 3, 900, || {
        let top = root();
        let middle = child(&top);
        let leaf = child(&middle);
        let other = thread::spawn({
            let (middle, leaf) = (middle.clone(), leaf.clone());
            move || {
                cancel(&middle);
                assert!(leaf.is_done(), "the cancel of the middle returned early");
            }
        });
        cancel(&top);
        assert!(leaf.is_done(), "the cancel of the top returned early");
        other.join().unwrap();
    });
}

#[test]
fn three_overlapping_cancels_all_return_with_the_leaf_done() {
    model("three overlapping cancels", 1, 100, || {
        let top = root();
        let middle = child(&top);
        let leaf = child(&middle);
        let others: Vec<_> = [top.clone(), middle.clone()]
            .into_iter()
            .map(|node| {
                let leaf = leaf.clone();
                thread::spawn(move || {
                    cancel(&node);
                    assert!(leaf.is_done());
                })
            })
            .collect();
        cancel(&top);
        assert!(leaf.is_done() && middle.is_done());
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn two_causes_at_once_leave_one_for_good() {
    model("cause against cause", 3, 2_000, || {
        let node = root();
        let leaf = child(&node);
        let other = thread::spawn({
            let node = node.clone();
            move || {
                cancel_with(&node, "theirs");
                cause_of(&node)
            }
        });
        cancel_with(&node, "ours");
        let ours = cause_of(&node);
        let theirs = other.join().unwrap();
        assert!(
            matches!(ours.as_deref(), Some("ours" | "theirs")),
            "{ours:?}"
        );
        assert_eq!(ours, theirs, "the cause changed");
        assert_eq!(ours, cause_of(&leaf), "the child says another");
    });
}

#[test]
fn a_cause_against_a_plain_cancel_leaves_one_for_good() {
    model("cause against plain cancel", 4, 9, || {
        let node = root();
        let other = thread::spawn({
            let node = node.clone();
            move || {
                cancel(&node);
                cause_of(&node)
            }
        });
        cancel_with(&node, "ours");
        let ours = cause_of(&node);
        assert!(matches!(ours.as_deref(), Some("ours" | "context canceled")));
        assert_eq!(ours, other.join().unwrap());
    });
}

#[test]
fn a_childs_cause_against_its_parents_leaves_the_first() {
    model("child's cause against parent's", 3, 5_000, || {
        let parent = root();
        let node = child(&parent);
        let leaf = child(&node);
        let other = thread::spawn({
            let node = node.clone();
            move || {
                cancel_with(&node, "child");
                cause_of(&node)
            }
        });
        cancel_with(&parent, "parent");
        let seen = cause_of(&node);
        assert!(matches!(seen.as_deref(), Some("child" | "parent")));
        assert_eq!(
            cause_of(&leaf),
            seen,
            "the leaf follows its parent, not the walk"
        );
        assert_eq!(other.join().unwrap(), seen);
        assert_eq!(cause_of(&parent).as_deref(), Some("parent"));
    });
}

#[test]
fn a_reader_that_sees_the_end_sees_its_cause() {
    model("cause against reader", 4, 7, || {
        let node = root();
        let reader = thread::spawn({
            let node = node.clone();
            move || {
                if node.err().is_some() {
                    assert_eq!(cause_of(&node).as_deref(), Some("ours"));
                }
            }
        });
        cancel_with(&node, "ours");
        assert_eq!(node.err(), Some(Error::Canceled));
        reader.join().unwrap();
    });
}

#[test]
fn inflation_during_a_push_and_a_cancel_loses_nobody() {
    model("inflation against push and cancel", 2, 60_000, || {
        let node = root();
        let before = child(&node);
        let inflater = thread::spawn({
            let node = node.clone();
            move || {
                local::set_index(1);
                node.inflate();
                child(&node)
            }
        });
        let pusher = thread::spawn({
            let node = node.clone();
            move || child(&node)
        });
        cancel(&node);
        assert!(before.is_done());
        assert!(inflater.join().unwrap().is_done());
        assert!(pusher.join().unwrap().is_done());
    });
}

#[test]
fn a_child_pushed_while_its_parent_gets_stripes_and_is_cancelled_is_done() {
    model("push against inflation against cancel", 3, 100, || {
        let node = root();
        let inflater = thread::spawn({
            let node = node.clone();
            move || {
                // The whole of a cancel, once the list is owned and before the stripes are installed.
                at_window("inflating", {
                    let node = node.clone();
                    move || thread::spawn(move || cancel(&node)).join().unwrap()
                });
                node.inflate();
            }
        });
        let late = child(&node);
        inflater.join().unwrap();
        assert!(late.is_done() || !node.is_done(), "lost");
    });
}

#[test]
fn a_striped_parent_ends_once_with_children_on_every_stripe() {
    model("striped parent against its children", 3, 364, || {
        let node = root();
        let plain = child(&node);
        node.inflate();
        let zero = child(&node);
        local::set_index(1);
        let one = child(&node);
        let first = thread::spawn(move || drop(zero));
        let second = thread::spawn(move || {
            drop(one);
            drop(plain);
        });
        drop(node);
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn two_inflations_at_once_leave_one_set_of_stripes() {
    model("inflation against inflation", 3, 100, || {
        let node = root();
        let other = thread::spawn({
            let node = node.clone();
            move || {
                node.inflate();
                child(&node)
            }
        });
        node.inflate();
        let mine = child(&node);
        let theirs = other.join().unwrap();
        assert_eq!(node.child_count(), 2);
        drop((mine, theirs));
        assert_eq!(node.child_count(), 0);
    });
}

#[test]
fn a_block_reused_at_the_same_address_is_not_taken_for_the_one_before() {
    model_with_reuse("address reuse", 3, 1_000, || {
        let parent = root();
        let a = child(&parent);
        let other = thread::spawn({
            let parent = parent.clone();
            move || {
                drop(child(&parent));
                child(&parent)
            }
        });
        drop(a);
        let b = child(&parent);
        let c = other.join().unwrap();
        assert_eq!(parent.child_count(), 2);
        cancel(&parent);
        assert!(b.is_done() && c.is_done());
    });
}

#[test]
fn a_middle_sibling_dropped_during_a_cancel_hides_no_older_one() {
    model("drop of a middle sibling against cancel", 3, 60, || {
        let parent = root();
        let (oldest, middle) = (child(&parent), child(&parent));
        let newest = child(&parent);
        let dropper = thread::spawn(move || drop(middle));
        cancel(&parent);
        assert!(oldest.is_done() && newest.is_done());
        dropper.join().unwrap();
    });
}

#[test]
fn the_newest_sibling_dropped_during_a_cancel_is_freed_once() {
    model("drop of the newest sibling against cancel", 3, 35, || {
        let parent = root();
        let (oldest, newest) = (child(&parent), child(&parent));
        let dropper = thread::spawn(move || drop(newest));
        cancel(&parent);
        assert!(oldest.is_done());
        dropper.join().unwrap();
    });
}

#[test]
fn a_childs_cause_against_its_parents_plain_cancel_leaves_the_first() {
    model("child's cause against a plain cancel", 3, 1_802, || {
        let parent = root();
        let node = child(&parent);
        let leaf = child(&node);
        let other = thread::spawn({
            let node = node.clone();
            move || cancel_with(&node, "child")
        });
        cancel(&parent);
        let seen = cause_of(&leaf);
        assert!(matches!(
            seen.as_deref(),
            Some("child" | "context canceled")
        ));
        assert_eq!(seen, cause_of(&node), "the leaf follows its parent");
        other.join().unwrap();
    });
}

/// A cause that loom watches being read, and being dropped at all.
#[derive(Debug)]
struct Watched {
    read: UnsafeCell<()>,
    _leaks: Alive,
}

impl Watched {
    fn cause() -> Cause {
        Self {
            read: UnsafeCell::new(()),
            _leaks: Alive::new(),
        }
        .into()
    }
}

// SAFETY: for loom to judge.
unsafe impl Send for Watched {}
// SAFETY: as above.
unsafe impl Sync for Watched {}

impl std::fmt::Display for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.read.with(|_| f.write_str("watched"))
    }
}

impl std::error::Error for Watched {}

#[test]
fn a_cause_is_published_by_whoever_ends_its_node() {
    model("cause published by another", 3, 50, || {
        let node = root();
        let other = thread::spawn({
            let node = node.clone();
            move || tell(node.cancel(Some(Watched::cause())))
        });
        tell(node.cancel(Some(Watched::cause())));
        assert_eq!(cause_of(&node).as_deref(), Some("watched"));
        other.join().unwrap();
    });
}

#[test]
fn a_cause_goes_with_its_node_whoever_drops_the_last_handle() {
    model("cause against last handle", 3, 7, || {
        let (ours, theirs) = root().derive(0);
        let other = thread::spawn(move || tell(theirs.cancel(Some(Watched::cause()))));
        drop(ours);
        other.join().unwrap();
    });
}

/// A cause that notes how far down the stack it is dropped.
#[derive(Debug)]
struct Deep(Arc<Mutex<Vec<usize>>>);

impl std::fmt::Display for Deep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("deep")
    }
}

impl std::error::Error for Deep {}

impl Drop for Deep {
    fn drop(&mut self) {
        let here = 0_u8;
        self.0.lock().unwrap().push((&raw const here).addr());
    }
}

#[test]
fn the_end_of_a_chain_goes_no_deeper_on_the_stack_with_each_node() {
    model("end of a chain", 3, 3, || {
        let depths = Arc::new(Mutex::new(Vec::new()));
        let mut chain = vec![root()];
        for _ in 0..3 {
            chain.push(child(chain.last().expect("there is a root")));
        }
        for node in chain.iter().rev() {
            tell(node.cancel(Some(Deep(Arc::clone(&depths)).into())));
        }
        let leaf = chain.pop().expect("it has a leaf");
        drop(chain);
        let other = thread::spawn({
            let leaf = leaf.clone();
            move || drop(leaf)
        });
        drop(leaf);
        other.join().unwrap();
        let depths = depths.lock().unwrap();
        assert_eq!(depths.len(), 4);
        // The leaf, with which it begins, goes by another way than all that end with it.
        assert!(depths[1..].iter().all(|depth| *depth == depths[1]));
    });
}

#[test]
fn a_walker_finds_the_stripes_that_another_has_closed() {
    model("inflation against two cancels", 3, 1_000, || {
        let node = root();
        drop(child(&node));
        let closed = Arc::new(Notify::new());
        at_window("closed", {
            let closed = Arc::clone(&closed);
            move || closed.notify()
        });
        at_window("inflating", move || closed.wait());
        let other = thread::spawn({
            let node = node.clone();
            move || cancel(&node)
        });
        // The other closes the list under this one's hands, and comes to the stripes when this one has closed them.
        node.inflate();
        cancel(&node);
        other.join().unwrap();
    });
}
