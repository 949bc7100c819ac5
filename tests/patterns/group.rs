//! Work that succeeds or fails as a whole.

use crate::{block_on, holds, spawnable};
use ripcord::{Cause, Context, Error, Group, GroupError, SpawnError};
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context as Task, Waker};
use std::thread;

#[test]
fn it_goes_anywhere() {
    holds::<Group>();
    holds::<GroupError>();
    let group = Group::new(&Context::background());
    spawnable(group.run(async { Ok::<_, Error>(()) }));
    spawnable(group.join_async());
}

#[test]
fn join_returns_when_all_have_ended() {
    let group = Group::new(&Context::background());
    let ended = Arc::new(AtomicUsize::new(0));
    let (go, wait) = mpsc::channel();
    let first = Arc::clone(&ended);
    group
        .spawn(move |_| {
            wait.recv().map(|()| {
                first.fetch_add(1, Ordering::SeqCst);
            })
        })
        .unwrap();
    let second = Arc::clone(&ended);
    group
        .spawn(move |_| {
            second.fetch_add(1, Ordering::SeqCst);
            go.send(())
        })
        .unwrap();
    group.join().unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 2);
}

#[test]
fn an_empty_group_has_succeeded() {
    Group::new(&Context::background()).join().unwrap();
    block_on(Group::new(&Context::background()).join_async()).unwrap();
}

#[test]
fn the_first_error_cancels_the_rest_and_is_the_cause_and_the_result() {
    let group = Group::new(&Context::background());
    let ctx = group.context().clone();
    for _ in 0..3 {
        group.spawn(|ctx| Err::<(), _>(ctx.wait())).unwrap();
    }
    group.spawn(|_| Err(io::Error::other("disk full"))).unwrap();
    let Err(GroupError::Failed(cause)) = group.join() else {
        unreachable!("one has failed")
    };
    assert_eq!(cause.to_string(), "disk full");
    assert!(ctx.cause().unwrap().downcast_ref::<io::Error>().is_some());
}

#[test]
fn a_panic_is_a_failure_and_cancels_the_rest() {
    let group = Group::new(&Context::background());
    group.spawn(|ctx| Err::<(), _>(ctx.wait())).unwrap();
    group
        .spawn(|_| -> Result<(), Error> { panic!("shard {}", 7) })
        .unwrap();
    let Err(GroupError::Panicked(panic)) = group.join() else {
        unreachable!("one has panicked")
    };
    assert_eq!(panic.message(), "shard 7");
}

#[test]
fn work_that_was_cancelled_from_above_gives_the_reason_of_that() {
    let (parent, guard) = Context::background().with_cancel();
    let group = Group::new(&parent);
    group.spawn(|ctx| Err::<(), _>(ctx.wait())).unwrap();
    guard.cancel_with(Cause::msg("draining"));
    assert!(matches!(
        group.spawn(|_| Ok::<_, Error>(())),
        Err(SpawnError::Done(Error::Canceled))
    ));
    assert_eq!(group.join().unwrap_err().to_string(), "draining");
}

#[test]
fn threads_and_futures_are_one_group() {
    let error = block_on(async {
        let group = Group::new(&Context::background());
        let ended = Arc::new(AtomicUsize::new(0));
        let on_thread = Arc::clone(&ended);
        group
            .spawn(move |ctx| {
                ctx.wait();
                on_thread.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Error>(())
            })
            .unwrap();
        tokio::spawn(group.run(pending::<Result<(), Error>>()));
        tokio::spawn(group.run(async { Err(io::Error::other("refused")) }));
        let error = group.join_async().await.unwrap_err();
        assert_eq!(ended.load(Ordering::SeqCst), 1);
        error
    });
    assert_eq!(error.to_string(), "refused");
}

#[test]
fn a_future_that_panics_or_is_dropped_is_a_failure() {
    block_on(async {
        let group = Group::new(&Context::background());
        group
            .run(async { Err::<(), Error>(std::hint::black_box(None).expect("no such shard")) })
            .await;
        assert!(matches!(
            group.join_async().await,
            Err(GroupError::Panicked(_))
        ));

        let group = Group::new(&Context::background());
        let ctx = group.context().clone();
        drop(group.run(async { Ok::<_, Error>(()) }));
        assert!(ctx.is_done());
        assert!(matches!(group.join(), Err(GroupError::Dropped)));
    });
}

#[test]
fn a_future_is_dropped_before_its_end_is_told() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    block_on(async {
        let group = Group::new(&Context::background());
        let counted = Counted(Arc::clone(&drops));
        tokio::spawn(group.run(async move {
            let _counted = counted;
            pending::<Result<(), Error>>().await
        }));
        group.cancel_with(Cause::msg("enough"));
        assert_eq!(group.join_async().await.unwrap_err().to_string(), "enough");
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_limit_keeps_to_so_many_threads_at_a_time_and_gives_their_places_on() {
    let group = Group::with_limit(&Context::background(), 2).unwrap();
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    for _ in 0..20 {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        group
            .spawn(move |_| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Error>(())
            })
            .unwrap();
    }
    group.join().unwrap();
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    assert!(matches!(
        Group::with_limit(&Context::background(), 0),
        Err(SpawnError::NoThreads)
    ));
}

#[test]
fn who_waits_for_a_place_is_let_go_by_the_end_of_the_context() {
    let (parent, guard) = Context::background().with_cancel();
    let group = Group::with_limit(&parent, 1).unwrap();
    group
        .spawn(|ctx| {
            ctx.wait();
            Ok::<_, Error>(())
        })
        .unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| group.spawn(|_| Ok::<_, Error>(())));
        guard.cancel();
        assert!(matches!(
            waits.join().unwrap(),
            Err(SpawnError::Done(Error::Canceled))
        ));
    });
    group.join().unwrap();
}

#[test]
fn work_that_never_ends_is_not_waited_for_beyond_a_limit() {
    let (limit, guard) = Context::background().with_cancel();
    let group = Group::new(&Context::background());
    let ctx = group.context().clone();
    let (release, never) = mpsc::channel::<()>();
    for _ in 0..2 {
        group.spawn(|ctx| Err::<(), _>(ctx.wait())).unwrap();
    }
    group
        .spawn(move |_| never.recv().or(Ok::<_, Error>(())))
        .unwrap();
    guard.cancel();
    let Err(GroupError::Late { running: 1..=3 }) = group.join_until(&limit) else {
        unreachable!("one cannot have ended")
    };
    assert!(ctx.is_done());
    drop(release);

    let group = Group::new(&Context::background());
    group
        .spawn(|_| Err::<(), _>(io::Error::other("early")))
        .unwrap();
    assert_eq!(
        group
            .join_until(&Context::background())
            .unwrap_err()
            .to_string(),
        "early"
    );
    let group = Group::new(&Context::background());
    group.spawn(|_| Ok::<_, Error>(())).unwrap();
    group.join_until(&Context::background()).unwrap();
}

#[test]
fn dropping_the_group_cancels_what_runs() {
    let group = Group::new(&Context::background());
    let (ended, told) = mpsc::channel();
    group.spawn(move |ctx| ended.send(ctx.wait())).unwrap();
    drop(group);
    assert_eq!(told.recv(), Ok(Error::Canceled));
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a drop panics");
    }
}

#[test]
fn a_panic_whose_payload_panics_in_its_drop_is_a_panic() {
    let group = Group::new(&Context::background());
    group
        .spawn(|_| -> Result<(), Error> { panic_any(Bomb) })
        .unwrap();
    assert!(matches!(group.join(), Err(GroupError::Panicked(_))));

    let group = Group::new(&Context::background());
    block_on(group.run(async {
        panic_any(Bomb);
        #[allow(unreachable_code)]
        Ok::<_, Error>(())
    }));
    assert!(matches!(group.join(), Err(GroupError::Panicked(_))));
}

#[derive(Debug)]
struct Bad;

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bad")
    }
}

impl std::error::Error for Bad {}

impl Drop for Bad {
    fn drop(&mut self) {
        assert!(thread::panicking(), "an error's drop");
    }
}

#[test]
fn the_drop_of_a_later_failure_is_not_the_panic_of_who_polls_it() {
    let group = Group::new(&Context::background());
    let first = group.run(async { Err(std::io::Error::other("first")) });
    let second = group.run(async move {
        first.await;
        Err(Bad)
    });
    let mut second = pin!(second);
    let polled = catch_unwind(AssertUnwindSafe(|| {
        second.as_mut().poll(&mut Task::from_waker(Waker::noop()))
    }));
    assert!(polled.is_ok(), "the poll panicked");
    assert_eq!(group.join().unwrap_err().to_string(), "first");
}

#[test]
fn a_limit_beyond_all_threads_there_can_be_is_none() {
    let group = Group::with_limit(&Context::background(), u32::MAX as usize).unwrap();
    group.spawn(|_| Ok::<_, Error>(())).unwrap();
    group.join().unwrap();
}
