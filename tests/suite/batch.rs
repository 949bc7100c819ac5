//! Many children at once: they are contexts like any other, made and let go together.

use crate::common::{
    DropCounter, Drops, LONG, MS, PATIENCE, Reason, Waiter, assert_canceled, assert_expired,
    assert_live, eventually, in_time, manual, on_small_stack, reason, run_all, scaled,
};
use ripcord::{Batch, Context, Error, Key};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

#[test]
fn its_contexts_are_children_of_the_parent_and_done_with_it() {
    for count in [0, 1, 2, 3, 100] {
        let (parent, guard) = Context::background().with_cancel();
        let batch = parent.batch(count);
        assert_eq!(batch.len(), count);
        assert_eq!(parent.child_count(), count);
        batch.iter().for_each(assert_live);
        guard.cancel_with(Reason(1));
        for ctx in &batch {
            assert_canceled(ctx, Some(Reason(1)));
        }
        drop(batch);
        assert_eq!(parent.child_count(), 0);
    }
}

#[test]
fn it_cancels_all_of_its_contexts_and_nothing_else_when_told_to_and_when_dropped() {
    let (parent, _guard) = Context::background().with_cancel();
    let (sibling, _sibling_guard) = parent.with_cancel();
    let batch = parent.batch(10);
    let (below, _below_guard) = batch[3].with_cancel();
    batch.cancel_with(Reason(1));
    batch.cancel_with(Reason(2));
    batch
        .iter()
        .for_each(|ctx| assert_canceled(ctx, Some(Reason(1))));
    assert_canceled(&below, Some(Reason(1)));
    assert_eq!(parent.child_count(), 1);

    let dropped = parent.batch(10);
    let kept: Vec<_> = dropped.iter().step_by(3).cloned().collect();
    let (below, _below_guard) = dropped[1].with_cancel();
    assert_eq!(parent.child_count(), 11);
    drop(dropped);
    kept.iter().for_each(|ctx| assert_canceled(ctx, None));
    assert_canceled(&below, None);
    assert_live(&parent);
    assert_live(&sibling);
    assert_eq!(parent.child_count(), 1);
}

#[test]
fn under_a_parent_that_is_done_all_are_born_done() {
    let (parent, guard) = Context::background().with_cancel();
    guard.cancel_with(Reason(1));
    let batch = parent.batch(3);
    batch
        .iter()
        .for_each(|ctx| assert_canceled(ctx, Some(Reason(1))));
    let kept = batch[1].clone();
    let (below, _below_guard) = batch[2].with_cancel();
    drop(batch);
    assert_canceled(&kept, Some(Reason(1)));
    assert_canceled(&below, Some(Reason(1)));
}

#[test]
fn they_have_the_parents_deadline_values_and_engine_and_print_as_children() {
    static USER: Key<&str> = Key::new("user");
    let (engine, clock) = manual();
    let (timed, _guard) = engine.background().with_timeout(LONG);
    let parent = timed.with_value(&USER, "ada");
    let batch = parent.batch(2);
    for ctx in &batch {
        assert_eq!(ctx.deadline(), parent.deadline());
        assert_eq!(ctx.value(&USER), Some(&"ada"));
        assert_eq!(ctx.to_string(), parent.with_cancel().0.to_string());
    }
    let (sooner, _sooner_guard) = batch[0].with_timeout(LONG / 2);
    clock.advance(LONG / 2);
    assert_expired(&sooner, None);
    assert_live(&batch[0]);
    clock.advance(LONG);
    batch.iter().for_each(|ctx| assert_expired(ctx, None));
    let of_background = Context::todo().batch(1);
    assert_eq!(of_background[0].to_string(), "context.TODO.WithCancel");
    let (merged, _merged_guard) = Context::merge(&of_background);
    of_background.cancel();
    assert_canceled(&merged, None);
}

#[test]
fn waits_on_them_are_told_once_by_the_parent_the_batch_and_its_drop() {
    let (parent, guard) = Context::background().with_cancel();
    for end in 0..3 {
        let batch = parent.batch(20);
        let waiters: Vec<_> = batch.iter().map(Waiter::on).collect();
        let (sent, ran) = mpsc::channel();
        for ctx in &batch {
            let sent = sent.clone();
            ctx.after_func(move || sent.send(()).expect("the test listens"));
        }
        let blocked = thread::spawn({
            let ctx = batch[7].clone();
            move || ctx.wait()
        });
        match end {
            0 => batch.cancel(),
            1 => drop(batch),
            _ => guard.cancel(),
        }
        assert!(waiters.iter().all(|waiter| waiter.wakes() == 1));
        for _ in 0..20 {
            ran.recv_timeout(PATIENCE).expect("the callback runs");
        }
        assert_eq!(blocked.join().expect("no panic"), Error::Canceled);
    }
}

#[test]
fn a_clone_outlives_the_batch_and_the_batch_its_clones() {
    let (parent, _guard) = Context::background().with_cancel();
    for keep in 0..8 {
        let batch = parent.batch(8);
        let kept = batch[keep].clone();
        let early = batch[(keep + 1) % 8].clone();
        drop(early);
        drop(batch);
        assert_canceled(&kept, None);
        assert!(kept.with_cancel().0.is_done());
        drop(kept);
        assert_eq!(parent.child_count(), 0);
    }
}

#[test]
fn values_and_causes_are_dropped_with_the_last_that_sees_them() {
    static COUNTED: Key<DropCounter> = Key::new("counted");
    let drops = Drops::default();
    let batch = {
        let parent = Context::background().with_value(&COUNTED, drops.error());
        parent.batch(100)
    };
    assert_eq!(drops.count(), 0);
    let kept = batch[50].clone();
    drop(batch);
    assert_eq!(drops.count(), 0);
    assert!(kept.value(&COUNTED).is_some());
    drop(kept);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_million_at_once_are_cancelled_and_dropped_on_a_small_stack() {
    on_small_stack(|| {
        let (parent, guard) = Context::background().with_cancel();
        let batch = parent.batch(scaled(1_000_000));
        let kept = batch[batch.len() / 2].clone();
        drop(batch);
        assert!(kept.is_done());
        let batch = parent.batch(scaled(1_000_000));
        guard.cancel();
        assert!(batch.iter().all(Context::is_done));
        drop((parent, guard));
        drop(batch);
    });
}

#[test]
fn batches_dropped_while_their_parent_is_cancelled_and_their_clones_are_dropped() {
    let (rounds, started) = (scaled(2_000), Barrier::new(3));
    let (sent, batches) = mpsc::channel::<(Batch, Vec<Context>)>();
    let dropped = AtomicUsize::new(0);
    let (clones, to_drop) = mpsc::channel::<Vec<Context>>();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (batch, kept) in batches {
                clones.send(kept).expect("it is received");
                started.wait();
                drop(batch);
                dropped.fetch_add(1, Ordering::Relaxed);
            }
            drop(clones);
        });
        scope.spawn(|| {
            for kept in to_drop {
                started.wait();
                drop(kept);
            }
        });
        for round in 0..rounds {
            let (parent, guard) = Context::background().with_cancel();
            let batch = parent.batch(round % 20);
            let kept = batch.iter().step_by(1 + round % 4).cloned().collect();
            sent.send((batch, kept)).expect("it is received");
            started.wait();
            guard.cancel();
            assert!(parent.is_done());
        }
        drop(sent);
    });
    assert_eq!(dropped.into_inner(), rounds);
}

#[test]
fn it_processes_all_in_parallel_and_gives_each_result_in_its_place() {
    in_time(|| {
        let (parent, _guard) = Context::background().with_cancel();
        let batch = parent.batch(100);
        let running = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let results = batch.process(|index, ctx| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            ctx.blocking_sleep(MS)?;
            running.fetch_sub(1, Ordering::SeqCst);
            if index % 7 == 0 {
                return Err(Failed(index));
            }
            Ok(index)
        });
        for (index, result) in results.into_iter().enumerate() {
            let expected = if index % 7 == 0 {
                Err(Failed(index))
            } else {
                Ok(index)
            };
            assert_eq!(result, expected);
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        assert!((1..=cores).contains(&most.into_inner()));
        assert!(
            parent
                .batch(0)
                .process(|_, _| Ok::<_, Failed>(()))
                .is_empty()
        );
    });
}

#[derive(Debug, PartialEq, Eq)]
struct Failed(usize);

impl From<Error> for Failed {
    fn from(_: Error) -> Self {
        Self(usize::MAX)
    }
}

#[test]
fn what_has_not_begun_when_it_is_cancelled_is_not_begun() {
    in_time(|| {
        let batch = Context::background().batch(1_000);
        let begun = AtomicUsize::new(0);
        let results = batch.process(|index, ctx| {
            begun.fetch_add(1, Ordering::Relaxed);
            if index == 3 {
                batch.cancel_with(Reason(3));
            }
            ctx.wait_timeout(Duration::ZERO);
            Ok::<_, Error>(index)
        });
        assert_eq!(results.len(), 1_000);
        let canceled = results.iter().filter(|of| **of == Err(Error::Canceled));
        assert_eq!(canceled.count() + begun.into_inner(), 1_000);
        assert_eq!(results[999], Err(Error::Canceled));
        assert_eq!(reason(&batch[999]), Some(Reason(3)));
    });
}

#[test]
fn a_panic_in_one_is_raised_when_all_others_have_ended() {
    in_time(|| {
        let batch = Context::background().batch(50);
        let ended = AtomicUsize::new(0);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            batch.process(|index, _| {
                assert!(index != 10, "the tenth");
                ended.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Error>(())
            })
        }));
        assert!(caught.is_err());
        assert_eq!(ended.into_inner(), 49);
        batch.iter().for_each(assert_live);
    });
}

#[test]
fn contexts_and_batches_made_by_many_threads_on_one_root_are_all_gone() {
    let (root, _guard) = Context::background().with_cancel();
    run_all(4, |thread| {
        for round in 0..scaled(500) {
            let batch = root.batch((thread + round) % 10);
            let (child, _guard) = root.with_cancel();
            let nested: Vec<_> = batch.iter().map(|ctx| ctx.batch(3)).collect();
            assert!(nested.iter().flatten().all(|ctx| !ctx.is_done()));
            drop(batch);
            assert!(nested.iter().flatten().all(Context::is_done));
            assert_live(&child);
        }
    });
    eventually("all are gone", || root.child_count() == 0);
}

/// What counts, when it is dropped, the children of the context it was given.
struct Witness(Context, mpsc::Sender<usize>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.1.send(self.0.child_count()).unwrap();
    }
}

#[test]
fn its_values_go_before_its_contexts() {
    static WITNESS: Key<Witness> = Key::new("witness");
    let (parent, _guard) = Context::background().with_cancel();
    let (seen, witnessed) = mpsc::channel();
    let valued = parent.with_value(&WITNESS, Witness(parent.clone(), seen));
    let batch = valued.batch(3);
    drop(valued);
    drop(batch);
    assert_eq!(witnessed.recv(), Ok(3));
    assert_eq!(parent.child_count(), 0);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a drop panics");
    }
}

#[test]
fn of_several_panics_it_is_the_first_whatever_the_drop_of_the_others_does() {
    let batch = Context::background().batch(2);
    let work = |index, _: &Context| -> Result<(), Error> {
        match index {
            0 => panic!("the first"),
            _ => std::panic::panic_any(Bomb),
        }
    };
    let panic = std::panic::catch_unwind(|| batch.process(work)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the first"));
}

#[test]
fn of_a_panic_and_results_it_is_the_panic_whatever_the_drop_of_these_does() {
    let batch = Context::background().batch(3);
    let work = |index, _: &Context| -> Result<Bomb, Error> {
        match index {
            0 => panic!("the first"),
            _ => Ok(Bomb),
        }
    };
    let panic = std::panic::catch_unwind(|| batch.process(work).len()).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the first"));
}
