//! What a caller may do though nobody should: it costs the caller what it must, and nobody else anything.

use crate::common::{
    Drops, Reason, Waiter, Wakes, assert_canceled, assert_live, in_time, poll, poll_pinned, reason,
    scaled, when_told,
};
use crossbeam_channel::TryRecvError;
use ripcord::{CancelGuard, CancelHandle, Cause, Context, Done, Error};
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::Duration;

const READY: Poll<Error> = Poll::Ready(Error::Canceled);

#[test]
fn an_empty_merge_is_a_context_like_any_other() {
    let (empty, guard) = Context::merge([]);
    assert_live(&empty);
    let (child, _child_guard) = empty.with_cancel();
    let (merged, _merged_guard) = Context::merge([&empty, &child]);
    assert_eq!(empty.child_count(), 2);
    drop(guard);
    for ctx in [&empty, &child, &merged] {
        assert_canceled(ctx, None);
    }
}

#[test]
fn one_parent_named_twice_is_one_parent() {
    let (parent, guard) = Context::background().with_cancel();
    let (merged, merged_guard) = Context::merge([&parent, &parent, &parent.clone()]);
    assert_eq!(parent.child_count(), 1);
    let waiter = Waiter::on(&merged);
    guard.cancel();
    assert_eq!(waiter.wakes(), 1);
    drop((merged, merged_guard));
    assert_canceled(&parent, None);
}

#[test]
fn an_iterator_that_panics_leaves_nothing_on_the_parents_it_named() {
    let (first, _first_guard) = Context::background().with_cancel();
    let (second, _second_guard) = Context::background().with_cancel();
    let parents = [Some(&first), Some(&second), None, Some(&first)];
    let merge = || Context::merge(parents.into_iter().map(|parent| parent.expect("a hole")));
    assert!(catch_unwind(AssertUnwindSafe(merge)).is_err());
    for parent in [&first, &second] {
        assert_live(parent);
        assert_eq!(parent.child_count(), 0);
    }
}

#[test]
fn an_iterator_that_cancels_a_parent_it_has_named_gives_a_context_born_done() {
    for ends in 0..3 {
        let (parents, guards): (Vec<_>, Vec<_>) =
            (0..3).map(|_| Context::background().with_cancel()).unzip();
        let named = parents.iter().enumerate().inspect(|(index, _)| {
            if *index == 2 {
                guards[ends].cancel_with(Reason(1));
            }
        });
        let (merged, _guard) = Context::merge(named.map(|(_, parent)| parent));
        assert_canceled(&merged, Some(Reason(1)));
        assert!(parents.iter().all(|parent| parent.child_count() == 0));
    }
}

#[test]
fn an_iterator_may_use_the_tree_it_walks() {
    let (root, guard) = Context::background().with_cancel();
    let children: Vec<_> = (0..10).map(|_| root.with_cancel()).collect();
    let named = children.iter().map(|(child, _)| {
        let (grandchild, _guard) = child.with_cancel();
        let (inner, _inner_guard) = Context::merge([&grandchild, &root]);
        assert_live(&inner);
        child
    });
    let (merged, _guard) = Context::merge(named);
    assert_live(&merged);
    assert_eq!(root.child_count(), 10);
    guard.cancel();
    assert_canceled(&merged, None);
}

#[test]
fn a_guard_that_outlives_its_context_still_cancels_what_was_derived() {
    let (parent, _parent_guard) = Context::background().with_cancel();
    let (ctx, guard) = parent.with_cancel();
    let (child, _child_guard) = ctx.with_cancel();
    drop(ctx);
    assert_eq!(parent.child_count(), 1);
    guard.cancel_with(Reason(1));
    assert_canceled(&child, Some(Reason(1)));
    assert_eq!(parent.child_count(), 0);
    drop(child);
    guard.cancel();
}

#[test]
fn a_guard_that_outlives_the_whole_tree_does_no_harm() {
    let (root, root_guard) = Context::background().with_cancel();
    let (ctx, guard) = root.with_cancel();
    drop((root, root_guard.disarm(), ctx));
    guard.cancel_with(Reason(1));
    guard.cancel();
    drop(guard);
}

#[test]
fn a_guard_bound_to_nothing_cancels_at_once() {
    let (ctx, _) = Context::background().with_cancel();
    assert_canceled(&ctx, None);
}

#[test]
fn a_handle_cancels_though_everything_else_is_gone() {
    let (root, root_guard) = Context::background().with_cancel();
    let (ctx, guard) = root.with_cancel();
    let handle = guard.handle();
    drop((ctx, guard, root, root_guard));
    handle.cancel_with(Reason(1));
    handle.cancel();

    let (ctx, guard) = Context::background().with_cancel();
    let (handle, drops) = (guard.disarm(), Drops::default());
    drop(ctx);
    handle.clone().cancel_with(drops.error());
    handle.cancel_with(drops.error());
    assert_eq!(drops.count(), 1, "the second came too late");
    drop(handle);
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_cause_of_sixteen_megabytes_is_a_cause() {
    let huge = "x".repeat(16 << 20);
    let (ctx, guard) = Context::background().with_cancel();
    let (child, _child_guard) = ctx.with_cancel();
    guard.cancel_with(Cause::msg(&huge));
    guard.cancel_with(Cause::msg(&huge));
    let cause = child.cause().expect("it is done");
    assert!(cause.to_string() == huge, "the message was changed");
    assert!(cause.downcast_ref::<Error>().is_none());
    drop((ctx, guard, child));
    assert!(cause.to_string() == huge, "the message went with the tree");
}

#[test]
fn a_message_is_formatted_at_once_and_may_be_empty() {
    let mut name = String::from("first");
    let cause = Cause::msg(format_args!("{name} gave up"));
    name.clear();
    assert_eq!(cause.to_string(), "first gave up");
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel_with(Cause::msg(&name));
    assert_eq!(ctx.cause().map(|cause| cause.to_string()), Some(name));
}

#[test]
fn a_deadline_error_given_as_cause_does_not_change_how_the_context_ended() {
    let (ctx, guard) = Context::background().with_cancel();
    let (child, _child_guard) = ctx.with_cancel();
    let (merged, _merged_guard) = Context::merge([&Context::background(), &child]);
    guard.cancel_with(Error::DeadlineExceeded);
    for ctx in [&ctx, &child, &merged] {
        assert_eq!(ctx.err(), Some(Error::Canceled));
        let cause = ctx.cause().expect("it is done");
        assert_eq!(cause.downcast_ref(), Some(&Error::DeadlineExceeded));
    }
}

#[test]
fn a_cause_taken_from_one_tree_ends_another() {
    let (first, first_guard) = Context::background().with_cancel();
    let (second, second_guard) = Context::background().with_cancel();
    let drops = Drops::default();
    first_guard.cancel_with(drops.error());
    second_guard.cancel_with(first.cause().expect("it is done"));
    drop((first, first_guard));
    assert_eq!(drops.count(), 0);
    assert_eq!(second.err(), Some(Error::Canceled));
    drop((second, second_guard));
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_waker_may_cancel_its_own_context_its_parent_its_sibling_and_its_child() {
    in_time(|| {
        let (parent, parent_guard) = Context::background().with_cancel();
        let (ctx, guard) = parent.with_cancel();
        let (sibling, sibling_guard) = parent.with_cancel();
        let (child, child_guard) = ctx.with_cancel();
        let told = Arc::new(Wakes::default());
        let _waiting: Vec<_> = [&parent, &ctx, &sibling, &child]
            .map(|on| {
                let handles = [&guard, &sibling_guard, &child_guard, &parent_guard];
                let handles = handles.map(CancelGuard::handle);
                let told = told.clone();
                when_told(on, move || {
                    told.wake_by_ref();
                    for handle in &handles {
                        handle.cancel_with(Reason(2));
                    }
                })
            })
            .into();
        guard.cancel_with(Reason(1));
        assert_eq!(told.count(), 4);
        assert_canceled(&ctx, Some(Reason(1)));
        assert_canceled(&child, Some(Reason(1)));
        assert_canceled(&sibling, Some(Reason(2)));
        assert_canceled(&parent, Some(Reason(2)));
    });
}

#[test]
fn wakers_that_each_cancel_the_next_tree_reach_the_last() {
    in_time(|| {
        let (last, last_guard) = Context::background().with_cancel();
        let mut next = last_guard.handle();
        let mut kept = Vec::new();
        for _ in 0..100 {
            let (ctx, guard) = Context::background().with_cancel();
            kept.push(when_told(&ctx, move || next.cancel()));
            next = guard.disarm();
        }
        next.cancel();
        assert_canceled(&last, None);
    });
}

#[test]
fn a_waker_may_derive_merge_wait_and_look_anywhere_in_the_tree() {
    in_time(|| {
        let (parent, _parent_guard) = Context::background().with_cancel();
        let (ctx, guard) = parent.with_cancel();
        let told = Arc::new(Wakes::default());
        let _waiting = when_told(&ctx, {
            let (parent, ctx, told) = (parent.clone(), ctx.clone(), told.clone());
            move || {
                let (born_done, _guard) = ctx.with_cancel();
                assert_canceled(&born_done, Some(Reason(1)));
                let (fresh, _fresh_guard) = parent.with_cancel();
                assert_live(&fresh);
                let (merged, _merged_guard) = Context::merge([&fresh, &parent, &ctx]);
                assert_canceled(&merged, Some(Reason(1)));
                assert_eq!(parent.child_count(), 1);
                assert_eq!(ctx.wait(), Error::Canceled);
                assert!(!format!("{ctx} {parent:?}").is_empty());
                told.wake_by_ref();
            }
        });
        guard.cancel_with(Reason(1));
        assert_eq!(told.count(), 1, "an assertion in the waker failed");
        assert_eq!(parent.child_count(), 0);
    });
}

#[test]
fn a_waker_may_drop_the_last_handles_of_what_it_is_told_about_and_of_its_relatives() {
    in_time(|| {
        let (root, _root_guard) = Context::background().with_cancel();
        let (parent, parent_guard) = root.with_cancel();
        let (ctx, guard) = parent.with_cancel();
        let (sibling, sibling_guard) = parent.with_cancel();
        let (child, child_guard) = ctx.with_cancel();
        let on_sibling = Waiter::on(&sibling);
        let (merged, merged_guard) = Context::merge([&child, &sibling]);
        let told = Arc::new(Wakes::default());
        let waiting = when_told(&child.clone(), {
            let dropped = Mutex::new(Some((
                (ctx, guard),
                (sibling, sibling_guard.disarm()),
                (child, child_guard),
                (merged, merged_guard),
            )));
            let told = told.clone();
            move || {
                drop(dropped.lock().expect("nobody panics").take());
                told.wake_by_ref();
            }
        });
        drop(parent);
        parent_guard.cancel();
        assert_eq!(told.count(), 1);
        assert_eq!(on_sibling.wakes(), 1);
        drop((waiting, on_sibling, parent_guard));
        assert_eq!(root.child_count(), 0);
        assert_live(&root);
    });
}

#[test]
fn a_waker_may_drop_the_done_it_was_polled_with_and_those_told_after_it() {
    in_time(|| {
        let (ctx, guard) = Context::background().with_cancel();
        let dones: Arc<Mutex<Vec<Done>>> = Arc::default();
        let told = Arc::new(Wakes::default());
        for _ in 0..10 {
            let (dones_in, told) = (dones.clone(), told.clone());
            let done = when_told(&ctx, move || {
                told.wake_by_ref();
                let all = mem::take(&mut *dones_in.lock().expect("nobody panics"));
                drop(all);
            });
            dones.lock().expect("nobody panics").push(done);
        }
        guard.cancel();
        // How many the cancel had taken when the first was told is its own affair.
        assert!((1..=10).contains(&told.count()));
        assert!(dones.lock().expect("nobody panics").is_empty());
    });
}

#[test]
fn a_waker_that_goes_may_take_the_whole_tree_with_it() {
    struct Holds {
        family: Mutex<Option<(Context, CancelGuard, Context, CancelGuard)>>,
    }
    impl Wake for Holds {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Holds {
        fn drop(&mut self) {
            drop(self.family.lock().expect("nobody panics").take());
        }
    }
    in_time(|| {
        let ends: [fn(Done, &CancelHandle); 4] = [
            |done, _| drop(done),
            |done, root| {
                root.cancel();
                drop(done);
            },
            |mut done, _| {
                // The waker that goes cancels, before or after this poll looks.
                let _ = poll(&mut done, Waker::noop());
                assert_eq!(poll(&mut done, Waker::noop()), READY);
            },
            |mut done, root| {
                root.cancel();
                assert_eq!(poll(&mut done, Waker::noop()), READY);
            },
        ];
        for end in ends {
            let (root, root_guard) = Context::background().with_cancel();
            let (parent, parent_guard) = root.with_cancel();
            let (ctx, guard) = parent.with_cancel();
            let mut done = ctx.done();
            let handle = root_guard.handle();
            let waker = Waker::from(Arc::new(Holds {
                family: Mutex::new(Some((parent, parent_guard, ctx, guard))),
            }));
            assert_eq!(poll(&mut done, &waker), Poll::Pending);
            drop(waker);
            end(done, &handle);
            assert_eq!(root.child_count(), 0);
        }
    });
}

#[test]
fn a_waker_may_poll_its_own_done_inside_its_wake() {
    in_time(|| {
        let (root, guard) = Context::background().with_cancel();
        let (ctx, _guard) = root.with_cancel();
        let slot: Arc<Mutex<Option<Done>>> = Arc::default();
        let answers: Arc<Mutex<Vec<Poll<Error>>>> = Arc::default();
        let done = when_told(&ctx, {
            let (slot, answers) = (slot.clone(), answers.clone());
            move || {
                let done = slot.lock().expect("nobody panics").take();
                let mut done = done.expect("it was put there");
                let answer = poll(&mut done, Waker::noop());
                answers.lock().expect("nobody panics").push(answer);
            }
        });
        *slot.lock().expect("nobody panics") = Some(done);
        guard.cancel();
        assert_eq!(*answers.lock().expect("nobody panics"), [READY]);
    });
}

#[test]
fn a_conversion_into_a_cause_that_panics_cancels_nothing() {
    struct Unconvertible;
    impl From<Unconvertible> for Cause {
        fn from(_: Unconvertible) -> Self {
            panic!("a conversion panics");
        }
    }
    let (ctx, guard) = Context::background().with_cancel();
    let waiter = Waiter::on(&ctx);
    let cancel = || guard.cancel_with(Unconvertible);
    assert!(catch_unwind(AssertUnwindSafe(cancel)).is_err());
    assert_live(&ctx);
    assert_eq!(waiter.wakes(), 0);
    guard.cancel_with(Reason(1));
    assert_canceled(&ctx, Some(Reason(1)));
    assert!(catch_unwind(AssertUnwindSafe(|| guard.cancel_with(Unconvertible))).is_err());
    assert_canceled(&ctx, Some(Reason(1)));
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

/// Its panic is of a type whose own drop panics.
struct PanicsTwice;

impl Wake for PanicsTwice {
    fn wake(self: Arc<Self>) {
        panic_any(PanicsWhenDropped);
    }
}

struct PanicsWhenDropped;

impl Wake for PanicsWhenDropped {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a drop panics");
    }
}

impl fmt::Debug for PanicsWhenDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanicsWhenDropped")
    }
}

impl fmt::Display for PanicsWhenDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("panics when it is dropped")
    }
}

impl std::error::Error for PanicsWhenDropped {}

#[test]
fn wakers_that_panic_keep_nobody_else_from_being_told() {
    type MakeWaker = fn() -> Waker;
    let bad: [MakeWaker; 3] = [
        || Arc::new(Panics).into(),
        || Arc::new(PanicsTwice).into(),
        || Arc::new(PanicsWhenDropped).into(),
    ];
    in_time(move || {
        for make in bad {
            let (root, guard) = Context::background().with_cancel();
            let (child, _child_guard) = root.with_cancel();
            let mut waiters = Vec::new();
            let mut panicking = Vec::new();
            for on in [&root, &child, &root, &child] {
                waiters.push(Waiter::on(on));
                let mut done = on.done();
                assert_eq!(poll(&mut done, &make()), Poll::Pending);
                panicking.push(done);
                waiters.push(Waiter::on(on));
            }
            let channel = child.done_channel();
            guard.cancel_with(Reason(1));
            for waiter in &mut waiters {
                assert_eq!(waiter.wakes(), 1);
                assert_eq!(waiter.poll(), READY);
            }
            assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
            assert_canceled(&child, Some(Reason(1)));
            for done in &mut panicking {
                assert_eq!(poll(done, Waker::noop()), READY);
            }
        }
    });
}

#[test]
fn a_waker_that_panics_does_not_raise_it_again_where_a_guard_is_dropped() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut done = ctx.done();
    assert_eq!(poll(&mut done, &Arc::new(Panics).into()), Poll::Pending);
    let unwound = std::thread::spawn(move || {
        let _guard = guard;
        panic!("the worker fails: a second panic that got out would abort");
    });
    assert!(unwound.join().is_err());
    assert_canceled(&ctx, None);
}

#[test]
fn a_waker_whose_drop_panics_is_let_go_by_poll_and_by_drop() {
    let (ctx, guard) = Context::background().with_cancel();
    let mut done = ctx.done();
    let bad: Waker = Arc::new(PanicsWhenDropped).into();
    assert_eq!(poll(&mut done, &bad), Poll::Pending);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(bad)));
    assert!(dropped.is_ok(), "the library has clones of it");
    // Whoever lets the last clone go meets the panic; from here on that is the library.
    let mut second = Waiter::on(&ctx);
    let mut third = Waiter {
        done,
        wakes: Arc::default(),
    };
    assert_eq!(third.poll(), Poll::Pending);

    let mut done = ctx.done();
    let bad: Waker = Arc::new(PanicsWhenDropped).into();
    assert_eq!(poll(&mut done, &bad), Poll::Pending);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(bad)));
    assert!(dropped.is_ok(), "the library has clones of it");
    drop(done);

    guard.cancel();
    for waiter in [&mut second, &mut third] {
        assert_eq!(waiter.poll(), READY);
        assert_eq!(waiter.wakes(), 1);
    }
}

#[test]
fn a_waker_whose_clone_panics_is_its_pollers_own_problem() {
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| {}, |_| {}, |_| {});
    fn clone(_: *const ()) -> RawWaker {
        panic!("a clone panics");
    }
    // SAFETY: the table's functions use no data, and there is never a clone.
    let waker = unsafe { Waker::new(std::ptr::null(), &VTABLE) };

    let (ctx, guard) = Context::background().with_cancel();
    let neighbour = Waiter::on(&ctx);
    let mut done = ctx.done();
    let polled = catch_unwind(AssertUnwindSafe(|| poll(&mut done, &waker)));
    assert!(polled.is_err(), "the panic is the poller's");
    let mut again = Waiter {
        done,
        wakes: Arc::default(),
    };
    assert_eq!(again.poll(), Poll::Pending);
    let polled = catch_unwind(AssertUnwindSafe(|| poll(&mut again.done, &waker)));
    assert!(polled.is_err(), "the panic is the poller's");
    guard.cancel();
    assert_eq!(neighbour.wakes(), 1);
    assert_eq!(again.poll(), READY);
}

#[test]
fn a_waker_is_cloned_once_and_one_whose_clone_panics_leaves_the_one_before() {
    static CLONES: AtomicUsize = AtomicUsize::new(0);
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| {}, |_| {}, |_| {});
    fn clone(data: *const ()) -> RawWaker {
        let clones = CLONES.fetch_add(1, Ordering::SeqCst);
        assert!(clones == 0, "the second clone panics");
        RawWaker::new(data, &VTABLE)
    }
    // SAFETY: the table's functions use no data.
    let waker = unsafe { Waker::new(std::ptr::null(), &VTABLE) };

    let (ctx, guard) = Context::background().with_cancel();
    let mut done = ctx.done();
    let mut sleep = ctx.sleep(Duration::from_secs(3_600));
    assert_eq!(poll(&mut done, &waker), Poll::Pending);
    assert_eq!(poll(&mut done, &waker), Poll::Pending);
    assert_eq!(CLONES.load(Ordering::SeqCst), 1);

    let mut waiter = Waiter::on(&ctx);
    assert_eq!(waiter.poll(), Poll::Pending);
    let wakes = Arc::new(Wakes::default());
    assert_eq!(
        poll_pinned(&mut sleep, &Arc::clone(&wakes).into()),
        Poll::Pending
    );
    for polled in [
        catch_unwind(AssertUnwindSafe(|| {
            poll(&mut waiter.done, &waker).is_ready()
        })),
        catch_unwind(AssertUnwindSafe(|| {
            poll_pinned(&mut sleep, &waker).is_ready()
        })),
    ] {
        assert!(polled.is_err(), "pending would be for ever");
    }
    guard.cancel();
    assert_eq!((waiter.wakes(), wakes.count()), (1, 1));
    assert_eq!(poll(&mut done, Waker::noop()), READY);
    assert_eq!(
        poll_pinned(&mut sleep, Waker::noop()),
        Poll::Ready(Err(Error::Canceled))
    );
}

#[test]
fn a_cause_whose_drop_panics_is_dropped_by_the_library_without_a_word() {
    let (parent, parent_guard) = Context::background().with_cancel();
    let (ctx, guard) = parent.with_cancel();
    guard.cancel_with(PanicsWhenDropped);
    guard.cancel_with(PanicsWhenDropped);
    guard.handle().cancel_with(PanicsWhenDropped);
    assert_eq!(
        ctx.cause().map(|cause| cause.to_string()).as_deref(),
        Some("panics when it is dropped")
    );
    drop(guard);
    drop(ctx);
    assert_live(&parent);
    assert_eq!(parent.child_count(), 0);

    parent_guard.cancel_with(PanicsWhenDropped);
    let family: Vec<_> = (0..10).map(|_| parent.with_cancel()).collect();
    drop((parent, parent_guard));
    drop(family);
}

#[test]
fn a_cause_whose_drop_panics_costs_a_chain_that_goes_with_it_nothing() {
    let (root, _root_guard) = Context::background().with_cancel();
    let drops = Drops::default();
    let mut at = root.clone();
    let mut guards = Vec::new();
    for level in 0..10 {
        let (next, guard) = at.with_cancel();
        guards.push((guard.disarm(), level));
        at = next;
    }
    // Leaf first, so that each keeps its own cause.
    for (handle, level) in guards.into_iter().rev() {
        match level % 2 {
            0 => handle.cancel_with(PanicsWhenDropped),
            _ => handle.cancel_with(drops.error()),
        }
    }
    drop(at);
    assert_eq!(drops.count(), 5);
    assert_eq!(root.child_count(), 0);
    assert_live(&root);
}

/// A cause that uses the tree when it is dropped.
struct ActsWhenDropped(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl ActsWhenDropped {
    fn new(f: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(f))))
    }
}

impl Drop for ActsWhenDropped {
    fn drop(&mut self) {
        if let Some(f) = self.0.get_mut().expect("nobody panics").take() {
            f();
        }
    }
}

impl fmt::Debug for ActsWhenDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActsWhenDropped")
    }
}

impl fmt::Display for ActsWhenDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("acts when it is dropped")
    }
}

impl std::error::Error for ActsWhenDropped {}

#[test]
fn a_cause_that_lost_may_use_the_tree_when_it_is_dropped() {
    in_time(|| {
        let (root, root_guard) = Context::background().with_cancel();
        let (ctx, guard) = root.with_cancel();
        let (child, _child_guard) = ctx.with_cancel();
        let acted = Arc::new(AtomicUsize::new(0));
        guard.cancel_with(Reason(1));
        guard.cancel_with(ActsWhenDropped::new({
            let (root, child, acted) = (root.clone(), child.clone(), acted.clone());
            move || {
                assert_canceled(&child, Some(Reason(1)));
                root_guard.cancel_with(Reason(2));
                assert_canceled(&root, Some(Reason(2)));
                acted.fetch_add(1, Ordering::SeqCst);
            }
        }));
        assert_eq!(acted.load(Ordering::SeqCst), 1);
        assert_canceled(&root, Some(Reason(2)));
    });
}

#[test]
fn a_cause_may_hold_the_last_handles_of_its_relatives() {
    in_time(|| {
        let (root, _root_guard) = Context::background().with_cancel();
        let (parent, parent_guard) = root.with_cancel();
        let (ctx, guard) = parent.with_cancel();
        let (other, other_guard) = Context::background().with_cancel();
        let (elsewhere, elsewhere_guard) = other.with_cancel();
        guard.cancel_with(ActsWhenDropped::new(move || {
            drop((parent, parent_guard, other, elsewhere_guard));
        }));
        assert_eq!(root.child_count(), 1);
        assert_live(&elsewhere);
        drop((ctx, guard));
        assert_canceled(&elsewhere, None);
        assert_live(&root);
        assert_eq!(root.child_count(), 0);
        drop(other_guard);
    });
}

#[test]
fn causes_that_each_hold_the_next_context_go_one_by_one() {
    in_time(|| {
        let drops = Drops::default();
        let (last, last_guard) = Context::background().with_cancel();
        last_guard.cancel_with(drops.error());
        let mut holds = (last, last_guard);
        for _ in 0..100 {
            let (ctx, guard) = Context::background().with_cancel();
            let held = mem::replace(&mut holds, (ctx, guard));
            holds
                .1
                .cancel_with(ActsWhenDropped::new(move || drop(held)));
        }
        assert_eq!(drops.count(), 0);
        drop(holds);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_forgotten_done_costs_nobody_else_anything() {
    let (parent, parent_guard) = Context::background().with_cancel();
    let (ctx, guard) = parent.with_cancel();
    let before = Waiter::on(&ctx);
    let Waiter { done, wakes } = Waiter::on(&ctx);
    mem::forget(done);
    mem::forget(ctx.done());
    let after = Waiter::on(&ctx);
    drop((before, ctx, guard.disarm()));
    assert_eq!(parent.child_count(), 1, "it keeps its context");

    let siblings: Vec<_> = (0..10).map(|_| parent.with_cancel()).collect();
    assert_eq!(parent.child_count(), 11);
    drop(siblings);
    assert_eq!(parent.child_count(), 1);
    parent_guard.cancel_with(Reason(1));
    assert_eq!((wakes.count(), after.wakes()), (1, 1));
    drop(after);
    assert_canceled(&parent, Some(Reason(1)));
}

#[test]
fn a_forgotten_guard_never_cancels_and_costs_nobody_else_anything() {
    let (parent, parent_guard) = Context::background().with_cancel();
    let (ctx, guard) = parent.with_cancel();
    mem::forget(guard);
    assert_live(&ctx);
    drop(ctx);
    assert_eq!(parent.child_count(), 1, "the guard is a handle");
    let (child, _child_guard) = parent.with_cancel();
    parent_guard.cancel();
    assert_canceled(&child, None);
}

#[test]
fn a_forgotten_context_costs_nobody_else_anything() {
    let (first, first_guard) = Context::background().with_cancel();
    let (second, second_guard) = Context::background().with_cancel();
    let (merged, merged_guard) = Context::merge([&first, &second]);
    drop(merged_guard.disarm());
    mem::forget(merged);
    for parent in [&first, &second] {
        drop([(); 10].map(|()| parent.with_cancel()));
        assert_eq!(parent.child_count(), 1);
    }
    second_guard.cancel_with(Reason(1));
    assert_canceled(&second, Some(Reason(1)));
    assert_live(&first);
    assert_eq!(first.child_count(), 0);
    first_guard.cancel();
    assert_canceled(&first, None);
}

#[test]
fn a_thousand_cancels_of_one_context_are_one() {
    let (ctx, guard) = Context::background().with_cancel();
    let waiter = Waiter::on(&ctx);
    let drops = Drops::default();
    guard.cancel_with(Reason(1));
    for _ in 0..scaled(1_000) {
        guard.cancel();
        guard.cancel_with(drops.error());
        guard.handle().cancel();
    }
    assert_eq!(drops.count(), scaled(1_000));
    assert_eq!(reason(&ctx), Some(Reason(1)));
    assert_eq!(waiter.wakes(), 1);
}
