use ripcord::{Cause, Context, Coordinator, CoordinatorError, Error, Key, Registration};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Wake, Waker};
use std::thread;
use std::time::Duration;

fn ids(coordinator: &Coordinator) -> Vec<String> {
    let live = coordinator.live();
    live.iter().map(|live| live.id.to_string()).collect()
}

#[test]
fn what_was_dropped_cancelled_or_timed_out_leaves_by_itself() {
    let (root, clock) = super::stopped_time();
    let jobs = Coordinator::new();
    let (_dropped, registration) = jobs.register(&root, "dropped").unwrap();
    let (_canceled, _canceled_entry) = jobs.register(&root, "cancelled").unwrap();
    let (short, _short) = root.with_timeout(Duration::from_secs(1));
    let (_timed_out, _timed_out_entry) = jobs.register(&short, "timed out").unwrap();
    let (_live, _live_entry) = jobs.register(&root, "live").unwrap();

    drop(registration);
    jobs.cancel("cancelled").unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(ids(&jobs), ["live"]);
    for id in ["dropped", "cancelled", "timed out"] {
        let unknown = CoordinatorError::UnknownId(id.into());
        assert_eq!(jobs.cancel(id), Err(unknown));
        let _again = jobs.register(&root, id).expect("the id is free");
    }
    assert_eq!(jobs.cancel_all(), 1);
}

#[test]
fn a_duplicate_id_changes_nothing() {
    let jobs = Coordinator::new();
    let root = Context::background();
    let (first, _first) = jobs.register_in(&root, "a", "job").unwrap();
    let duplicate = CoordinatorError::DuplicateId("job".into());
    assert_eq!(jobs.register(&root, "job").unwrap_err(), duplicate);
    assert_eq!(jobs.register_in(&root, "b", "job").unwrap_err(), duplicate);
    assert!(!first.is_done());
    assert_eq!(ids(&jobs), ["job"]);
}

#[test]
fn an_old_registration_does_not_take_its_successor_out() {
    let jobs = Coordinator::new();
    let (_old, old_entry) = jobs.register(&Context::background(), "job").unwrap();
    jobs.cancel("job").unwrap();
    let (new, _new_entry) = jobs.register(&Context::background(), "job").unwrap();
    drop(old_entry);
    assert_eq!(ids(&jobs), ["job"]);
    jobs.cancel("job").unwrap();
    assert!(new.is_done());
}

#[test]
fn a_group_is_cancelled_with_its_cause_and_is_gone() {
    let jobs = Coordinator::new();
    let root = Context::background();
    let missing = CoordinatorError::UnknownGroup("batch".into());
    assert_eq!(jobs.cancel_group("batch"), Err(missing.clone()));

    let (one, _one) = jobs.register_in(&root, "batch", "1").unwrap();
    let (two, _two) = jobs.register_in(&root, "batch", "2").unwrap();
    let (other, _other) = jobs.register_in(&root, "other", "3").unwrap();
    let cause = Cause::msg("superseded");
    assert_eq!(jobs.cancel_group_with("batch", cause), Ok(2));
    for ctx in [&one, &two] {
        assert_eq!(ctx.cause().unwrap().to_string(), "superseded");
    }
    assert!(!other.is_done());
    assert_eq!(jobs.cancel_group("batch"), Err(missing));
}

#[test]
fn nothing_is_registered_under_a_context_that_is_done() {
    let jobs = Coordinator::new();
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    let ended = CoordinatorError::Ended(Error::Canceled);
    assert_eq!(jobs.register(&ctx, "late").unwrap_err(), ended);
    assert!(jobs.live().is_empty());
}

#[test]
fn a_panic_in_the_work_takes_its_entry_out() {
    let jobs = Coordinator::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _job = jobs.register(&Context::background(), "job").unwrap();
        panic!("in the work");
    }));
    assert!(panic.is_err());
    assert!(jobs.live().is_empty());
}

#[test]
fn entries_whose_registration_is_forgotten_are_swept_out() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    static VALUE: Key<CountsItsDrop> = Key::new("value");

    struct CountsItsDrop;

    impl Drop for CountsItsDrop {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    let jobs = Coordinator::new();
    for id in 0..1_000 {
        let root = Context::background().with_value(&VALUE, CountsItsDrop);
        let (_job, registration) = jobs.register(&root, id.to_string()).unwrap();
        std::mem::forget(registration);
        jobs.cancel(&id.to_string()).unwrap();
    }
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1_000);
}

/// A waker that uses the coordinator, as would one under whose lock it ran dead-lock.
struct Reenters(Coordinator, AtomicUsize);

impl Wake for Reenters {
    fn wake(self: Arc<Self>) {
        let left = self.0.live().len();
        let _entry = self.0.register(&Context::background(), "from a waker");
        self.1.store(left + 1, Ordering::Relaxed);
    }
}

#[test]
fn wakers_may_use_the_coordinator_that_woke_them() {
    let jobs = Coordinator::new();
    let (job, _entry) = jobs
        .register_in(&Context::background(), "g", "job")
        .unwrap();
    let waker = Arc::new(Reenters(jobs.clone(), AtomicUsize::new(0)));
    let mut done = pin!(job.done());
    let task = Waker::from(Arc::clone(&waker));
    assert!(
        done.as_mut()
            .poll(&mut Task::from_waker(&task))
            .is_pending()
    );
    assert_eq!(jobs.cancel_group("g"), Ok(1));
    assert_eq!(
        waker.1.load(Ordering::Relaxed),
        1,
        "it ran, and saw nothing live"
    );
}

#[test]
fn a_value_is_dropped_with_its_entry_and_may_use_the_coordinator() {
    static VALUE: Key<LooksWhenDropped> = Key::new("value");
    static SAW_NOTHING_LIVE: AtomicUsize = AtomicUsize::new(0);

    struct LooksWhenDropped(Coordinator);

    impl Drop for LooksWhenDropped {
        fn drop(&mut self) {
            let nothing = self.0.live().is_empty();
            SAW_NOTHING_LIVE.fetch_add(usize::from(nothing), Ordering::Relaxed);
        }
    }

    let jobs = Coordinator::new();
    let ends: [fn(&Coordinator, Registration); 2] = [
        |_, registration| drop(registration),
        |jobs, registration| {
            std::mem::forget(registration);
            assert_eq!(jobs.cancel_all(), 1);
        },
    ];
    for end in ends {
        let root = Context::background().with_value(&VALUE, LooksWhenDropped(jobs.clone()));
        let (ctx, registration) = jobs.register_in(&root, "group", "job").unwrap();
        drop((ctx, root));
        let before = SAW_NOTHING_LIVE.load(Ordering::Relaxed);
        end(&jobs, registration);
        assert_eq!(SAW_NOTHING_LIVE.load(Ordering::Relaxed), before + 1);
    }
}

#[test]
fn when_cancel_all_returns_nothing_is_live_whoever_cancels_beside_it() {
    for _ in 0..100 {
        let jobs = Coordinator::new();
        let work: Vec<_> = (0..8)
            .map(|id| {
                let id = id.to_string();
                jobs.register(&Context::background(), id).unwrap()
            })
            .collect();
        thread::scope(|scope| {
            for id in 0..4 {
                let jobs = &jobs;
                scope.spawn(move || {
                    let _ = jobs.cancel(&id.to_string());
                });
            }
            jobs.cancel_all();
            assert!(work.iter().all(|(ctx, _)| ctx.is_done()));
        });
    }
}
