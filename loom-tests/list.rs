//! Models of the list: removals, hand-over, close. The entries are waiter records of one node, the smallest there are.

use crate::harness::{large_model, model};
use crate::raw::handle::Handle;
use crate::raw::waiting::Waiting;
use loom::thread;

/// A node with one handle.
pub(crate) fn root() -> Handle {
    child(&Handle::BACKGROUND)
}

pub(crate) fn child(parent: &Handle) -> Handle {
    parent.derive(0).0
}

fn entry(node: &Handle) -> Waiting {
    Waiting::on(node).expect("the node is live")
}

fn entries<const N: usize>(node: &Handle) -> [Waiting; N] {
    std::array::from_fn(|_| entry(node))
}

/// Nothing counts on the node but its handle, and nothing is listed.
pub(crate) fn assert_tidy(node: &Handle) {
    assert_eq!(node.listed(), 0, "an entry was left behind");
    assert_eq!(
        node.registrations(),
        1,
        "a registration was lost or left behind"
    );
}

#[test]
fn two_drops_of_neighbours_leave_a_tidy_list() {
    model("drop against drop", 3, 200, || {
        let node = root();
        let [a, b] = entries(&node);
        let other = thread::spawn(move || drop(a));
        drop(b);
        other.join().unwrap();
        assert_tidy(&node);
    });
}

#[test]
fn three_drops_hand_over_to_one_owner_and_leave_nothing() {
    large_model("three drops", 2, 10_000, || {
        let node = root();
        let [a, b, c] = entries(&node);
        let first = thread::spawn(move || drop(a));
        let second = thread::spawn(move || drop(b));
        drop(c);
        first.join().unwrap();
        second.join().unwrap();
        node.tidy();
        assert_tidy(&node);
    });
}

#[test]
fn an_owner_over_its_budget_puts_one_back_and_the_next_takes_it() {
    // The budget is one: whoever owns while two hand over leaves PENDING set with OWNED clear.
    large_model("bounded drain", 2, 10_000, || {
        let node = root();
        let [a, b, c, d] = entries(&node);
        let first = thread::spawn(move || drop(b));
        let second = thread::spawn(move || drop(c));
        drop(a);
        first.join().unwrap();
        second.join().unwrap();
        drop(d);
        node.tidy();
        assert_tidy(&node);
    });
}

#[test]
fn a_removal_that_finds_pending_without_an_owner_drains() {
    large_model("pending without owner", 2, 5_000, || {
        let node = root();
        let [a, b, c, d] = entries(&node);
        let first = thread::spawn(move || drop(a));
        let second = thread::spawn(move || {
            drop(b);
            drop(c);
        });
        first.join().unwrap();
        drop(d);
        second.join().unwrap();
        node.tidy();
        assert_tidy(&node);
    });
}

#[test]
fn a_push_during_a_drop_is_kept() {
    model("push against drop", 3, 100, || {
        let node = root();
        let [a, b] = entries(&node);
        let pusher = thread::spawn({
            let node = node.clone();
            move || entry(&node)
        });
        drop(b);
        let c = pusher.join().unwrap();
        assert_eq!(node.listed(), 2);
        drop(a);
        drop(c);
        assert_tidy(&node);
    });
}

#[test]
fn remove_then_remove_head_then_push_then_remove_finds_no_stale_back_link() {
    model("stale back-link", 3, 100, || {
        let node = root();
        let [a, b, c] = entries(&node);
        let other = thread::spawn({
            let node = node.clone();
            move || entry(&node)
        });
        drop(a);
        drop(c);
        let d = other.join().unwrap();
        drop(b);
        drop(d);
        assert_tidy(&node);
    });
}

#[test]
fn a_head_that_is_removed_for_another_leaves_no_stale_back_link() {
    model("stale back-link after a hand-over", 3, 130, || {
        let node = root();
        let [a, b, c] = entries(&node);
        let other = thread::spawn(move || drop(c));
        drop(a);
        other.join().unwrap();
        let d = entry(&node);
        drop(b);
        drop(d);
        assert_tidy(&node);
    });
}

#[test]
fn pushes_that_write_back_links_agree_with_drops() {
    model("indexing push against drop", 3, 100, || {
        let node = root();
        let [a, b] = entries(&node);
        let pusher = thread::spawn({
            let node = node.clone();
            // The third push finds two references and owns the list.
            move || entry(&node)
        });
        drop(a);
        let c = pusher.join().unwrap();
        drop(b);
        drop(c);
        node.tidy();
        assert_tidy(&node);
    });
}

#[test]
fn drops_against_a_close_leave_everything_to_the_node() {
    large_model("two drops against close", 2, 5_000, || {
        let node = root();
        let [a, b, c] = entries(&node);
        let first = thread::spawn(move || drop(a));
        let second = thread::spawn(move || drop(b));
        let ended = node.cancel(None);
        crate::raw::waits::tell(ended);
        assert!(c.err().is_some());
        drop(c);
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(node.registrations(), 1);
    });
}

#[test]
fn a_push_and_a_drop_against_a_close_lose_nobody() {
    model("push and drop against close", 2, 10_000, || {
        let node = root();
        let [a, b] = entries(&node);
        let pusher = thread::spawn({
            let node = node.clone();
            move || {
                // Either it is refused, or it is told.
                let waiting = Waiting::on(&node);
                drop(node);
                waiting
            }
        });
        let dropper = thread::spawn(move || drop(a));
        crate::raw::waits::tell(node.cancel(None));
        if let Some(waiting) = pusher.join().unwrap() {
            assert!(waiting.is_marked(), "pushed past the close");
        }
        drop(b);
        dropper.join().unwrap();
        assert_eq!(node.registrations(), 1);
    });
}

#[test]
fn a_count_while_others_drop_is_a_count_and_frees_what_it_unlinked() {
    model("count against drop", 3, 1_000, || {
        let node = root();
        let (a, b) = (child(&node), child(&node));
        let other = thread::spawn(move || drop(a));
        let count = node.child_count();
        assert!((1..=2).contains(&count), "{count}");
        drop(b);
        other.join().unwrap();
        assert_eq!(node.child_count(), 0);
        assert_tidy(&node);
    });
}

#[test]
fn drops_between_which_the_head_word_comes_back_the_same_leave_a_tidy_list() {
    model("drop against drop, no references", 3, 250, || {
        let node = root();
        let [a, b, c] = entries(&node);
        // Counts every reference in the head: after this, `a` can go and leave the head as it was.
        drop(c);
        let other = thread::spawn(move || drop(a));
        drop(b);
        other.join().unwrap();
        assert_tidy(&node);
    });
}

/// Three drops, one of which an owner may put back; `then` before the last handle goes.
fn put_back(name: &str, then: impl Fn(&Handle) + Send + Sync + 'static) {
    model(name, 1, 3_000, move || {
        let node = root();
        let [a, b, c] = entries(&node);
        let first = thread::spawn(move || drop(b));
        let second = thread::spawn(move || drop(c));
        drop(a);
        first.join().unwrap();
        second.join().unwrap();
        then(&node);
    });
}

#[test]
fn what_an_owner_put_back_goes_with_the_node() {
    put_back("end of a list with a stash", |_| {});
}

#[test]
fn what_an_owner_put_back_goes_with_the_node_that_was_closed() {
    put_back("end of a closed list with a stash", crate::tree::cancel);
}
