//! Models of batches: made, cancelled, counted and let go while others are at the tree.

use crate::harness::{large_model, model};
use crate::list::{assert_tidy, child, root};
use crate::raw::batch::Untouched;
use crate::raw::handle::Handle;
use crate::raw::waiting::Waiting;
use crate::raw::waits;
use crate::tree::cancel;
use crate::tuning::at_window;
use loom::thread;

struct Batch {
    node: Handle,
    children: Vec<Handle>,
}

fn batch(parent: &Handle, count: usize) -> Batch {
    let mut children = Vec::with_capacity(count);
    let node = parent.derive_batch(count, 0, |child| children.push(child));
    Batch { node, children }
}

impl Batch {
    fn let_go(mut self) {
        let (untouched, _) = Untouched::take(self.children.iter_mut());
        drop(self.children);
        self.node.let_go_of_batch(untouched);
    }

    /// As the facade does where a child may have been touched.
    fn cancel_and_let_go(self) {
        cancel(&self.node);
        self.let_go();
    }
}

#[test]
fn a_batch_made_during_a_cancel_is_done_all_of_it() {
    model("batch made against cancel", 3, 100, || {
        let parent = root();
        let creator = thread::spawn({
            let parent = parent.clone();
            move || batch(&parent, 2)
        });
        cancel(&parent);
        let late = batch(&parent, 1);
        assert!(late.children[0].is_done());
        let made = creator.join().unwrap();
        assert!(made.children.iter().all(Handle::is_done), "one was missed");
        made.let_go();
        late.let_go();
        assert_eq!(parent.registrations(), 1);
    });
}

#[test]
fn a_batch_let_go_during_a_cancel_is_freed_once() {
    model("batch let go against cancel", 3, 100, || {
        let parent = root();
        let made = batch(&parent, 2);
        let other = thread::spawn(move || made.let_go());
        cancel(&parent);
        other.join().unwrap();
        assert_eq!(parent.registrations(), 1);
    });
}

#[test]
fn a_batch_let_go_while_its_parent_and_a_sibling_go_is_freed_once() {
    model(
        "batch let go against its parent's last handle",
        2,
        100,
        || {
            let parent = root();
            let sibling = child(&parent);
            let made = batch(&parent, 2);
            let other = thread::spawn(move || made.let_go());
            let third = thread::spawn(move || drop(sibling));
            drop(parent);
            other.join().unwrap();
            third.join().unwrap();
        },
    );
}

#[test]
fn a_clone_dropped_while_its_batch_is_let_go_is_freed_once() {
    model("batch let go against a clone's drop", 3, 100, || {
        let parent = root();
        let made = batch(&parent, 2);
        let clone = made.children[0].clone();
        let other = thread::spawn(move || drop(clone));
        made.cancel_and_let_go();
        other.join().unwrap();
        parent.tidy();
        assert_tidy(&parent);
    });
}

#[test]
fn a_clone_dropped_while_its_batch_is_let_go_and_cancelled_is_freed_once() {
    model(
        "batch let go against a clone's drop and cancel",
        2,
        1_000,
        || {
            let parent = root();
            let made = batch(&parent, 2);
            let clone = made.children[0].clone();
            let canceller = thread::spawn({
                let parent = parent.clone();
                move || cancel(&parent)
            });
            let other = thread::spawn(move || drop(clone));
            made.let_go();
            other.join().unwrap();
            canceller.join().unwrap();
            assert_eq!(parent.registrations(), 1);
        },
    );
}

#[test]
fn a_child_dropped_by_itself_while_its_batch_is_cancelled_from_above_hides_no_other() {
    model("a batch's child dropped against cancel", 3, 100, || {
        let parent = root();
        let mut made = batch(&parent, 3);
        let middle = made.children.remove(1);
        let other = thread::spawn(move || drop(middle));
        cancel(&parent);
        assert!(made.children.iter().all(Handle::is_done));
        other.join().unwrap();
        made.let_go();
    });
}

#[test]
fn a_child_waited_on_while_its_batch_is_let_go_is_told() {
    model("batch let go against a wait on a clone", 3, 100, || {
        let parent = root();
        let made = batch(&parent, 2);
        let clone = made.children[1].clone();
        let other = thread::spawn(move || {
            let waiting = Waiting::on(&clone);
            drop(clone);
            waiting
        });
        made.cancel_and_let_go();
        let waiting = other.join().unwrap();
        assert!(waiting.is_none_or(|waiting| waiting.err().is_some()));
        parent.tidy();
        assert_tidy(&parent);
    });
}

#[test]
fn a_count_while_a_batch_is_let_go_counts_no_more_than_there_were() {
    model("batch let go against count", 3, 40, || {
        let parent = root();
        let made = batch(&parent, 2);
        let counter = thread::spawn({
            let parent = parent.clone();
            move || parent.child_count()
        });
        made.let_go();
        let counted = counter.join().unwrap();
        assert!(counted <= 2, "counted {counted}");
        parent.tidy();
        assert_tidy(&parent);
    });
}

#[test]
fn what_was_let_go_with_its_batch_is_not_among_what_a_cancel_has_ended() {
    model(
        "contexts of a cancel after a batch was let go beside a count",
        3,
        20,
        || {
            let parent = root();
            let sibling = child(&parent);
            let made = batch(&parent, 2);
            let counter = thread::spawn({
                let parent = parent.clone();
                move || parent.child_count()
            });
            made.let_go();
            drop(sibling);
            let ended = parent.cancel(None);
            assert_eq!(ended.contexts, 1, "the parent alone");
            waits::tell(ended);
            let _ = counter.join().unwrap();
        },
    );
}

#[test]
fn a_batch_that_was_let_go_is_not_counted() {
    model(
        "count after a batch was let go beside another count",
        3,
        20,
        || {
            let parent = root();
            let sibling = child(&parent);
            let made = batch(&parent, 2);
            let counter = thread::spawn({
                let parent = parent.clone();
                move || parent.child_count()
            });
            made.let_go();
            drop(sibling);
            let _ = counter.join().unwrap();
            assert_eq!(parent.child_count(), 0);
        },
    );
}

#[test]
fn what_a_count_unlinks_of_a_batch_is_freed_while_no_list_is_owned() {
    model("count in a count", 1, 1, || {
        let parent = root();
        let made = batch(&parent, 2);
        // Touched: it is buried by itself.
        drop(child(&made.children[0]));
        let looked_at = parent.clone();
        // The parent's list, then the batch's.
        at_window("owned", move || {
            at_window("owned", move || {
                made.let_go();
                at_window("block freed", move || {
                    assert!(
                        !looked_at.is_owned(),
                        "freed while the parent's list is owned"
                    );
                });
            });
        });
        let _ = parent.child_count();
    });
}

#[test]
fn a_channel_is_disconnected_once_between_the_last_handle_a_cancel_and_an_owner() {
    large_model(
        "channel's last handle against cancel and an owner",
        3,
        50,
        || {
            let parent = root();
            let sibling = child(&parent);
            let node = child(&parent);
            node.channel();
            let canceller = thread::spawn({
                let parent = parent.clone();
                move || cancel(&parent)
            });
            let other = thread::spawn(move || drop(sibling));
            drop(node);
            canceller.join().unwrap();
            other.join().unwrap();
            assert_eq!(parent.registrations(), 1);
        },
    );
}
