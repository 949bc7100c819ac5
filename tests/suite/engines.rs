//! Engines: who fires what, when they end, and what is left of their contexts then.

use crate::common::{
    Drops, LONG, MS, NS, PATIENCE, Reason, Waiter, Wakes, ahead_of, assert_canceled,
    assert_expired, assert_live, assert_stopped, eventually, in_time, manual, poll_pinned, run_all,
    scaled, timed_and_told, when_told,
};
use crossbeam_channel::TryRecvError;
use ripcord::{Context, Driver, Engine, Error};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

fn threaded() -> Engine {
    Engine::builder().build().expect("a thread can be started")
}

fn driven() -> (Engine, Driver) {
    Engine::builder().driven().expect("it needs no thread")
}

/// An engine and what drives it, whatever that is.
fn of_every_kind() -> Vec<(Engine, Box<dyn std::any::Any>)> {
    let (by_loop, driver) = driven();
    let (by_hand, clock) = manual();
    vec![
        (threaded(), Box::new(())),
        (by_loop, Box::new(driver)),
        (by_hand, Box::new(clock)),
    ]
}

#[test]
fn every_type_of_an_engine_goes_to_any_thread_and_through_any_panic() {
    fn goes_anywhere<T: Send + Sync + UnwindSafe + RefUnwindSafe + 'static>() {}
    goes_anywhere::<Engine>();
    goes_anywhere::<Driver>();
    goes_anywhere::<ripcord::ManualClock>();
    goes_anywhere::<ripcord::EngineBuilder>();
    goes_anywhere::<ripcord::EngineStopped>();
    goes_anywhere::<ripcord::Sleep>();
    goes_anywhere::<ripcord::AfterFunc>();
}

#[test]
fn the_background_of_an_engine_is_never_done_and_prints_as_one() {
    let mut engines = of_every_kind();
    engines.push((Engine::global().clone(), Box::new(())));
    for (engine, _drive) in engines {
        let background = engine.background();
        assert_live(&background);
        engine.shutdown();
        assert_live(&background);
        assert_eq!(background.deadline(), None);
        assert_eq!(background.to_string(), "context.Background");
        assert_eq!(background.child_count(), 0);
        assert!(!format!("{engine:?}").is_empty());
    }
}

#[test]
fn the_global_engine_is_not_shut_down() {
    in_time(|| {
        Engine::global().shutdown();
        Engine::global().clone().shutdown();
        let (ctx, _guard) = Engine::global().background().with_timeout(MS);
        assert_eq!(ctx.wait(), Error::DeadlineExceeded);
        let (ctx, _guard) = Context::background().with_timeout(MS);
        assert_eq!(ctx.wait(), Error::DeadlineExceeded);
    });
}

#[test]
fn a_shutdown_ends_what_has_a_deadline_ahead_and_nothing_else() {
    for (engine, _drive) in of_every_kind() {
        let root = engine.background();
        let (plain, plain_guard) = root.with_cancel();
        let (timed, _timed_guard) = root.with_timeout_cause(LONG, Reason(1));
        let (below, _below_guard) = timed.with_cancel();
        let (later, _later_guard) = timed.with_timeout_cause(2 * LONG, Reason(2));
        let (earlier, _earlier_guard) = timed.with_timeout_cause(LONG / 2, Reason(3));
        let (under_plain, _under_guard) = plain.with_timeout(LONG);
        let (never, _never_guard) = root.with_timeout(Duration::MAX);
        let (canceled, canceled_guard) = root.with_timeout(LONG);
        canceled_guard.cancel_with(Reason(4));
        let (past, _past_guard) = root.with_timeout(Duration::ZERO);
        let (merged, _merged_guard) = Context::merge([&plain, &timed]);
        let waiters = [&timed, &below, &later, &earlier, &under_plain, &merged].map(Waiter::on);
        let mut sleep = root.sleep(LONG);
        let wakes = Arc::new(Wakes::default());
        assert_eq!(
            poll_pinned(&mut sleep, &wakes.clone().into()),
            Poll::Pending
        );
        engine.shutdown();
        // On an engine with a thread, that one may be just at it.
        for ctx in [&timed, &below, &later, &earlier, &under_plain, &merged] {
            eventually("the shutdown ends it", || ctx.is_done());
            assert_stopped(ctx);
        }
        eventually("everybody is told", || {
            waiters.iter().all(|waiter| waiter.wakes() == 1) && wakes.count() == 1
        });
        let slept = poll_pinned(&mut sleep, Waker::noop());
        assert_eq!(slept, Poll::Ready(Err(Error::Canceled)));
        assert_live(&plain);
        assert_live(&never);
        assert_canceled(&canceled, Some(Reason(4)));
        assert_expired(&past, None);
        plain_guard.cancel_with(Reason(5));
        assert_canceled(&plain, Some(Reason(5)));
        engine.shutdown();
        assert_stopped(&timed);
    }
}

#[test]
fn a_deadline_given_after_the_shutdown_is_done_on_return_and_all_else_goes_on() {
    for (engine, _drive) in of_every_kind() {
        let root = engine.background();
        let (before, before_guard) = root.with_cancel();
        engine.shutdown();
        for parent in [&root, &before, &engine.background()] {
            let (timed, _guard) = parent.with_timeout_cause(LONG, Reason(1));
            assert_stopped(&timed);
            let (child, _child_guard) = timed.with_timeout(MS);
            assert_stopped(&child);
            let (past, _past_guard) = parent.with_timeout_cause(Duration::ZERO, Reason(2));
            assert_expired(&past, Some(Reason(2)));
            let (never, never_guard) = parent.with_timeout(Duration::MAX);
            assert_live(&never);
            never_guard.cancel();
            assert_canceled(&never, None);
            let (plain, guard) = parent.with_cancel();
            let waiter = Waiter::on(&plain);
            guard.cancel_with(Reason(3));
            assert_eq!(waiter.wakes(), 1);
            assert_canceled(&plain, Some(Reason(3)));
            let mut sleep = parent.sleep(LONG);
            assert_eq!(
                poll_pinned(&mut sleep, Waker::noop()),
                Poll::Ready(Err(Error::Canceled))
            );
        }
        let waiting = {
            let before = before.clone();
            thread::spawn(move || before.wait())
        };
        let (told, is_told) = mpsc::channel();
        before.after_func(move || told.send(()).expect("the test listens"));
        before_guard.cancel();
        assert_eq!(waiting.join().expect("the waiting thread"), Error::Canceled);
        is_told.recv_timeout(PATIENCE).expect("callbacks go on");
    }
}

#[test]
fn a_shutdown_against_an_arming_leaves_no_deadline_that_never_comes() {
    in_time(|| {
        for _ in 0..scaled(100) {
            for (engine, _drive) in of_every_kind() {
                let root = engine.background();
                let armed = run_all(3, |thread| {
                    if thread == 0 {
                        engine.shutdown();
                        return Vec::new();
                    }
                    (0..10).map(|_| root.with_timeout(LONG)).collect()
                });
                for (ctx, _) in armed.iter().flatten() {
                    eventually("it is stopped", || ctx.is_done());
                    assert_stopped(ctx);
                }
            }
        }
    });
}

#[test]
fn contexts_keep_their_engine_when_its_handles_are_gone() {
    in_time(|| {
        let engine = threaded();
        let (ctx, _guard) = engine.background().with_timeout(20 * MS);
        let later = engine.background();
        drop(engine);
        assert_eq!(ctx.wait(), Error::DeadlineExceeded);
        let (again, _again_guard) = later.with_timeout(MS);
        drop(later);
        assert_eq!(again.wait(), Error::DeadlineExceeded);
        let (child, _child_guard) = ctx.without_cancel().with_timeout(MS);
        assert_eq!(child.wait(), Error::DeadlineExceeded);

        let (engine, clock) = manual();
        let (ctx, _guard) = engine.background().with_timeout(MS);
        drop(engine);
        clock.advance(MS);
        assert_expired(&ctx, None);

        let (engine, driver) = driven();
        let (ctx, _guard) = engine.background().with_timeout(NS);
        drop(engine);
        eventually("a turn fires it", || driver.turn() == 1);
        assert_expired(&ctx, None);
    });
}

#[test]
fn a_wait_a_sleep_and_a_callback_keep_the_engine_too() {
    in_time(|| {
        let engine = threaded();
        let (ctx, guard) = engine.background().with_timeout(20 * MS);
        let (told, is_told) = mpsc::channel();
        ctx.after_func(move || told.send(()).expect("the test listens"));
        drop((guard.disarm(), ctx, engine));
        is_told.recv_timeout(PATIENCE).expect("the deadline comes");

        let engine = threaded();
        let mut sleep = engine.background().sleep(20 * MS);
        drop(engine);
        let wakes = Arc::new(Wakes::default());
        let mut slept = poll_pinned(&mut sleep, &wakes.clone().into());
        if slept.is_pending() {
            eventually("the sleep ends", || wakes.count() == 1);
            slept = poll_pinned(&mut sleep, Waker::noop());
        }
        assert_eq!(slept, Poll::Ready(Ok(())));

        let engine = threaded();
        let (ctx, guard, mut waiter) = ahead_of(20 * MS, |after| {
            let (ctx, guard) = engine.background().with_timeout(after);
            let waiter = Waiter::on(&ctx);
            (!ctx.is_done()).then_some((ctx, guard, waiter))
        });
        drop((guard.disarm(), ctx, engine));
        eventually("the wait is told", || waiter.wakes() == 1);
        assert_eq!(waiter.poll(), Poll::Ready(Error::DeadlineExceeded));
    });
}

#[test]
fn a_dropped_driver_is_a_shutdown() {
    let (engine, driver) = driven();
    let (ctx, _guard) = engine.background().with_timeout(LONG);
    let (plain, guard) = engine.background().with_cancel();
    let waiter = Waiter::on(&ctx);
    drop(driver);
    assert_stopped(&ctx);
    assert_eq!(waiter.wakes(), 1);
    let (late, _late_guard) = engine.background().with_timeout(LONG);
    assert_stopped(&late);
    assert_live(&plain);
    guard.cancel();
    assert_canceled(&plain, None);
}

#[test]
fn a_dropped_manual_clock_leaves_time_standing() {
    let (engine, clock) = manual();
    let root = engine.background();
    let (ctx, _guard) = root.with_timeout(MS);
    let (gone, gone_guard) = root.with_timeout(MS);
    drop(clock);
    assert_live(&ctx);
    assert_eq!(ctx.remaining(), Some(MS));
    let (late, late_guard) = root.with_timeout(NS);
    assert_live(&late);
    let (past, _past_guard) = root.with_timeout(Duration::ZERO);
    assert_expired(&past, None);
    late_guard.cancel_with(Reason(1));
    assert_canceled(&late, Some(Reason(1)));
    drop((gone, gone_guard));
    engine.shutdown();
    assert_stopped(&ctx);
}

#[test]
fn an_engine_dropped_with_all_it_had_drops_every_cause_once() {
    for (engine, drive) in of_every_kind() {
        for drive_first in [true, false] {
            let drops = Drops::default();
            let root = engine.background();
            let kept: Vec<_> = (0..100)
                .map(|_| root.with_timeout_cause(LONG, drops.error()))
                .collect();
            let dropped: Vec<_> = (0..100)
                .map(|_| root.with_timeout_cause(LONG, drops.error()))
                .collect();
            drop(dropped);
            assert_eq!(drops.count(), 100);
            if drive_first {
                engine.shutdown();
            }
            drop((root, kept));
            eventually("every cause is dropped", || drops.count() == 200);
        }
        drop(drive);
    }
}

/// The names of the threads of this process.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        let comm = task.ok()?.path().join("comm");
        // A thread may be gone by now.
        Some(std::fs::read_to_string(comm).ok()?.trim().to_owned())
    };
    tasks.filter_map(name).collect()
}

#[track_caller]
fn assert_runs(name: &str) {
    eventually("the thread runs", || {
        threads().iter().any(|thread| thread == name)
    });
}

#[track_caller]
fn assert_ends(name: &str) {
    eventually("the thread ends", || {
        threads().iter().all(|thread| thread != name)
    });
}

#[test]
fn a_thread_is_named_and_ends_with_the_last_context_and_handle() {
    let name = "rip-last-one";
    let engine = Engine::builder()
        .thread_name(name)
        .build()
        .expect("a thread");
    assert_runs(name);
    let (ctx, guard) = engine.background().with_cancel();
    let other = engine.clone();
    drop(engine);
    drop(other);
    assert_runs(name);
    let (timed, timed_guard) = ctx.with_timeout(MS);
    assert_eq!(in_time(move || timed.wait()), Error::DeadlineExceeded);
    drop((ctx, guard));
    assert_runs(name);
    drop(timed_guard);
    assert_ends(name);
}

#[test]
fn a_thread_ends_with_the_shutdown_though_contexts_are_left() {
    let name = "rip-shutdown";
    let engine = Engine::builder()
        .thread_name(name)
        .build()
        .expect("a thread");
    let (ctx, _guard) = engine.background().with_timeout(LONG);
    assert_runs(name);
    engine.shutdown();
    assert_ends(name);
    assert_stopped(&ctx);
}

#[test]
fn a_name_with_a_nul_or_none_at_all_is_no_error() {
    in_time(|| {
        for name in [
            "",
            "\0",
            "a\0b",
            "a name that is far longer than what the system keeps of it",
        ] {
            let engine = Engine::builder()
                .thread_name(name)
                .build()
                .expect("a thread");
            let (ctx, _guard) = engine.background().with_timeout(MS);
            assert_eq!(ctx.wait(), Error::DeadlineExceeded);
        }
        assert_ends("ab");
    });
}

#[test]
fn engines_that_come_and_go_leave_no_thread() {
    let name = "rip-come-go";
    for _ in 0..scaled(100) {
        let engine = Engine::builder()
            .thread_name(name)
            .build()
            .expect("a thread");
        drop(engine.background().with_timeout(LONG));
    }
    assert_ends(name);
}

#[test]
fn the_last_handle_of_an_engine_may_go_on_its_own_thread() {
    let name = "rip-own-thread";
    let engine = Engine::builder()
        .thread_name(name)
        .build()
        .expect("a thread");
    let holder = Arc::new(Mutex::new(None));
    let (gone, is_gone) = mpsc::channel();
    // The lock keeps the waker waiting until all is in its hands.
    let mut held = holder.lock().expect("nobody panics with it");
    let (ctx, guard, done) = timed_and_told(&engine.background(), 5 * MS, {
        let holder = holder.clone();
        move || {
            drop(holder.lock().expect("nobody panics with it").take());
            gone.send(thread::current().name().map(str::to_owned))
                .expect("the test listens");
        }
    });
    let (far, far_guard) = engine.background().with_timeout(LONG);
    *held = Some((engine, ctx, guard.disarm(), far, far_guard.disarm(), done));
    drop(held);
    let on = is_gone.recv_timeout(PATIENCE).expect("the deadline comes");
    assert_eq!(on.as_deref(), Some(name));
    assert_ends(name);
}

#[test]
fn a_waker_may_shut_its_engine_down() {
    in_time(|| {
        for (engine, drive) in of_every_kind() {
            let (second, _second_guard) = engine.background().with_timeout(LONG);
            let waiter = Waiter::on(&second);
            let (first, _first_guard, _done) = timed_and_told(&engine.background(), 5 * MS, {
                let engine = engine.clone();
                move || engine.shutdown()
            });
            if let Some(driver) = drive.downcast_ref::<Driver>() {
                eventually("a turn fires it", || driver.turn() > 0);
            } else if let Some(clock) = drive.downcast_ref::<ripcord::ManualClock>() {
                clock.advance(5 * MS);
            }
            eventually("the other is stopped", || waiter.wakes() == 1);
            assert_expired(&first, None);
            assert_stopped(&second);
        }
    });
}

#[test]
fn a_turn_fires_what_is_due_and_counts_deadlines_and_sleeps_and_not_descendants() {
    let (engine, driver) = driven();
    let root = engine.background();
    assert_eq!(driver.turn(), 0);
    assert_eq!(driver.next_timeout(), None);
    let (first, _first_guard) = root.with_timeout(MS);
    let (_below, _below_guard) = first.with_cancel();
    let (_same, _same_guard) = first.with_timeout(LONG);
    let (_second, _second_guard) = root.with_timeout(MS);
    let mut sleep = root.sleep(MS);
    assert_eq!(poll_pinned(&mut sleep, Waker::noop()), Poll::Pending);
    let (_far, _far_guard) = root.with_timeout(LONG);
    let (canceled, canceled_guard) = root.with_timeout(MS);
    canceled_guard.cancel();
    drop(root.with_timeout(MS));
    drop(root.sleep(MS));
    thread::sleep(2 * MS);
    assert_eq!(driver.turn(), 3);
    assert_eq!(driver.turn(), 0);
    assert_eq!(poll_pinned(&mut sleep, Waker::noop()), Poll::Ready(Ok(())));
    assert_canceled(&canceled, None);
    assert!(driver.next_timeout().is_some_and(|left| left <= LONG));
}

#[test]
fn after_a_shutdown_a_loop_has_nothing_to_wait_for_and_nothing_to_fire() {
    let (engine, driver) = driven();
    let (ctx, _guard) = engine.background().with_timeout(LONG);
    engine.shutdown();
    assert_stopped(&ctx);
    let (late, _late_guard) = engine.background().with_timeout(MS);
    assert_stopped(&late);
    assert_eq!(driver.next_timeout(), None);
    assert_eq!(driver.turn(), 0);
}

#[test]
fn next_timeout_is_never_more_than_what_is_left() {
    let (engine, driver) = driven();
    let root = engine.background();
    let mut armed = Vec::new();
    for micros in [
        3_600_000_000,
        60_000_000,
        1_000_000,
        17_000,
        16_000,
        70,
        1_000,
        0,
    ] {
        armed.push(root.with_timeout(Duration::from_micros(micros)));
        let live = armed.iter().filter(|(ctx, _)| !ctx.is_done());
        let at = live.filter_map(|(ctx, _)| ctx.deadline()).min();
        let asked = Instant::now();
        let told = driver.next_timeout().expect("one is armed");
        // What is left only shrinks.
        let left = at.expect("one is armed").saturating_duration_since(asked);
        assert!(told <= left, "{told:?} where {left:?} are left");
    }
    armed.clear();
    let (ctx, _guard) = root.with_timeout(20 * MS);
    let at = ctx.deadline().expect("it has one");
    let mut rounds = 0;
    while !ctx.is_done() {
        let asked = Instant::now();
        let told = driver.next_timeout().expect("one is armed");
        assert!(
            told <= at.saturating_duration_since(asked),
            "it would oversleep"
        );
        thread::sleep(told);
        driver.turn();
        rounds += 1;
        assert!(rounds < 10_000, "it is told to look again and again");
    }
    assert!(Instant::now() >= at);
}

#[test]
fn next_timeout_is_little_less_than_what_is_left_of_an_hour() {
    // What the nursery tells deadlines apart by.
    let tick = Duration::from_nanos(1 << 24);
    let (engine, driver) = driven();
    let root = engine.background();
    let (ctx, _guard) = root.with_timeout(LONG);
    let (_far, _far_guard) = root.with_timeout(1_000_000 * LONG);
    for round in 0..20 {
        let before = ctx.remaining().expect("it has a deadline");
        let told = driver.next_timeout().expect("one is armed");
        let after = ctx.remaining().expect("it has a deadline");
        assert!(told <= before, "{told:?} where {before:?} are left");
        assert!(told + tick >= after, "{told:?} where {after:?} are left");
        // Has the nursery looked through, which leaves the others where they are.
        let (soon, _soon_guard) = root.with_timeout(MS / 10);
        thread::sleep(MS / 5);
        assert_eq!(driver.turn(), 1, "round {round}");
        assert!(soon.is_done());
    }
}

#[test]
fn next_timeout_of_what_is_years_ahead_is_hours_at_least() {
    let (engine, driver) = driven();
    let (ctx, _guard) = engine.background().with_timeout(1_000_000 * LONG);
    let left = ctx.remaining().expect("it has a deadline");
    let told = driver.next_timeout().expect("one is armed");
    assert!(told > LONG && told <= left);
    assert_eq!(driver.turn(), 0);
    assert!(driver.next_timeout().is_some_and(|told| told > LONG));
}

#[test]
fn a_loop_that_sleeps_as_told_fires_every_deadline() {
    in_time(|| {
        let (engine, driver) = driven();
        let root = engine.background();
        let armed: Vec<_> = (0..200)
            .map(|index| root.with_timeout(Duration::from_micros(index * 100)))
            .collect();
        let mut fired = armed.iter().filter(|(ctx, _)| ctx.is_done()).count();
        while let Some(left) = driver.next_timeout() {
            thread::sleep(left);
            fired += driver.turn();
            for (ctx, _) in &armed {
                let at = ctx.deadline().expect("it has one");
                assert!(!ctx.is_done() || Instant::now() >= at, "early");
            }
        }
        assert_eq!(fired, 200);
        assert!(armed.iter().all(|(ctx, _)| ctx.is_done()));
    });
}

#[test]
fn the_loop_is_woken_for_a_deadline_below_what_it_was_told_and_for_no_other() {
    in_time(|| {
        let woken = Arc::new(AtomicUsize::new(0));
        let (engine, driver) = Engine::builder()
            .driven_with({
                let woken = woken.clone();
                move || {
                    woken.fetch_add(1, Ordering::SeqCst);
                }
            })
            .expect("it needs no thread");
        let root = engine.background();
        let arm = |after: Duration| {
            let root = root.clone();
            thread::spawn(move || root.with_timeout(after))
                .join()
                .expect("the other thread")
        };
        let count = || woken.load(Ordering::SeqCst);
        let mut armed = vec![arm(2 * LONG)];
        let before = count();
        assert!(driver.next_timeout().is_some_and(|left| left > LONG));
        armed.push(arm(3 * LONG));
        armed.push(arm(Duration::MAX));
        armed.push(arm(Duration::ZERO));
        assert_eq!(count(), before, "nobody need hurry");
        armed.push(arm(LONG));
        let first = count();
        assert!(first > before, "the loop would oversleep");
        assert!(driver.next_timeout().is_some_and(|left| left <= LONG));
        armed.push(arm(LONG + LONG / 2));
        assert_eq!(count(), first);
        let (parent, _parent_guard) = armed.pop().expect("just pushed");
        let under = thread::spawn(move || {
            let under = parent.with_timeout(LONG / 2);
            (under, _parent_guard)
        });
        let _under = under.join().expect("the other thread");
        assert!(count() > first);
        let told = count();
        driver.turn();
        assert!(driver.next_timeout().is_some_and(|left| left <= LONG / 2));
        let sleeper = thread::spawn({
            let root = root.clone();
            move || {
                let mut sleep = root.sleep(LONG / 4);
                assert!(poll_pinned(&mut sleep, Waker::noop()).is_pending());
                sleep
            }
        });
        let _sleep = sleeper.join().expect("the other thread");
        assert!(count() > told, "sleeps count as well");
    });
}

#[test]
fn the_loop_that_was_told_of_nothing_is_woken_by_the_first_deadline() {
    let woken = Arc::new(AtomicUsize::new(0));
    let (engine, driver) = Engine::builder()
        .driven_with({
            let woken = woken.clone();
            move || {
                woken.fetch_add(1, Ordering::SeqCst);
                panic!("the panic of a wake is contained");
            }
        })
        .expect("it needs no thread");
    assert_eq!(driver.next_timeout(), None);
    let root = engine.background();
    let armed = thread::spawn(move || root.with_timeout(LONG)).join();
    let (ctx, _guard) = armed.expect("the panic went no further");
    assert!(woken.load(Ordering::SeqCst) > 0);
    assert_live(&ctx);
    assert!(driver.next_timeout().is_some_and(|left| left <= LONG));
}

#[test]
fn a_loop_in_its_own_thread_serves_deadlines_armed_by_others() {
    in_time(|| {
        let (wake, woken) = crossbeam_channel::bounded(1);
        let (engine, driver) = Engine::builder()
            .driven_with(move || {
                let _ = wake.try_send(());
            })
            .expect("it needs no thread");
        let (stop, stop_guard) = Context::background().with_cancel();
        let serving = thread::spawn(move || {
            while !stop.is_done() {
                let left = driver.next_timeout().unwrap_or(LONG).min(20 * MS);
                let _ = woken.recv_timeout(left);
                driver.turn();
            }
        });
        let root = engine.background();
        run_all(3, |_| {
            for micros in 0..scaled(200) as u64 {
                let (ctx, _guard) = root.with_timeout(Duration::from_micros(micros));
                assert_eq!(ctx.wait(), Error::DeadlineExceeded);
                assert!(Instant::now() >= ctx.deadline().expect("it has one"));
            }
        });
        stop_guard.cancel();
        serving.join().expect("the loop");
    });
}

#[test]
fn an_advance_inside_a_waker_adds_its_time_returns_at_once_and_what_it_made_due_is_fired_by_the_outer()
 {
    in_time(|| {
        let (engine, clock) = manual();
        let clock = Arc::new(clock);
        let start = clock.now();
        let root = engine.background();
        let chain: Vec<_> = (1..=20)
            .map(|index| root.with_timeout(index * LONG))
            .collect();
        let live_after = Arc::new(Mutex::new(Vec::new()));
        let _told: Vec<_> = chain
            .windows(2)
            .map(|pair| {
                let next = pair[1].0.clone();
                let (clock, live_after) = (clock.clone(), live_after.clone());
                when_told(&pair[0].0, move || {
                    clock.advance(LONG);
                    let live = !next.is_done();
                    live_after.lock().expect("nobody panics with it").push(live);
                })
            })
            .collect();
        clock.advance(LONG);
        assert_eq!(clock.now(), start + 20 * LONG);
        assert!(
            chain
                .iter()
                .all(|(ctx, _)| ctx.err() == Some(Error::DeadlineExceeded))
        );
        let live_after = live_after.lock().expect("nobody panics with it");
        assert_eq!(
            *live_after, [true; 19],
            "fired by the outer call, not inside"
        );
    });
}

#[test]
fn a_turn_inside_a_waker_returns_nothing_and_the_outer_fires_what_became_due() {
    in_time(|| {
        let (engine, driver) = driven();
        let driver = Arc::new(driver);
        let root = engine.background();
        let (first, _first_guard) = root.with_timeout(NS);
        let (second, _second_guard) = root.with_timeout(2 * MS);
        let inner = Arc::new(AtomicUsize::new(usize::MAX));
        let _done = when_told(&first, {
            let (driver, inner) = (driver.clone(), inner.clone());
            move || {
                thread::sleep(3 * MS);
                inner.store(driver.turn(), Ordering::SeqCst);
            }
        });
        eventually("a turn fires the first", || {
            driver.turn();
            first.is_done()
        });
        assert_eq!(inner.load(Ordering::SeqCst), 0);
        assert!(second.is_done(), "the outer turn went round once more");
    });
}

#[test]
fn while_an_advance_is_held_up_in_a_waker_another_returns_at_once() {
    in_time(|| {
        let (engine, clock) = manual();
        let clock = Arc::new(clock);
        let root = engine.background();
        let (first, _first_guard) = root.with_timeout(MS);
        let (second, _second_guard) = root.with_timeout(LONG);
        let (entered, is_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let _done = when_told(&first, move || {
            entered.send(()).expect("the test listens");
            let _ = released.lock().expect("nobody panics with it").recv();
        });
        let held_up = thread::spawn({
            let clock = clock.clone();
            move || clock.advance(MS)
        });
        is_entered.recv().expect("the waker runs");
        clock.advance(LONG);
        assert_live(&second);
        // Creating, cancelling, dropping and looking go on meanwhile, on this engine too.
        let (third, third_guard) = root.with_timeout(MS);
        let (fourth, fourth_guard) = root.with_timeout(MS);
        third_guard.cancel();
        assert_canceled(&third, None);
        drop((fourth, fourth_guard));
        clock.advance(MS);
        drop(root.sleep(MS));
        release.send(()).expect("the waker waits");
        held_up.join().expect("the advancing thread");
        assert_expired(&second, None);
    });
}

#[test]
fn while_a_turn_is_held_up_in_a_waker_another_returns_nothing_at_once() {
    in_time(|| {
        let (engine, driver) = driven();
        let driver = Arc::new(driver);
        let root = engine.background();
        let (first, _first_guard) = root.with_timeout(NS);
        let (entered, is_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let _done = when_told(&first, move || {
            entered.send(()).expect("the test listens");
            let _ = released.lock().expect("nobody panics with it").recv();
        });
        let held_up = thread::spawn({
            let driver = driver.clone();
            move || {
                let mut fired = 0;
                while fired == 0 {
                    fired = driver.turn();
                }
                fired
            }
        });
        is_entered.recv().expect("the waker runs");
        let (second, _second_guard) = root.with_timeout(NS);
        thread::sleep(MS);
        assert_eq!(driver.turn(), 0);
        assert_live(&second);
        release.send(()).expect("the waker waits");
        assert_eq!(held_up.join().expect("the turning thread"), 2);
        assert_expired(&second, None);
    });
}

#[test]
fn a_shutdown_while_a_turn_is_held_up_waits_for_nobody() {
    in_time(|| {
        for (engine, drive) in of_every_kind() {
            let root = engine.background();
            let (second, _second_guard) = root.with_timeout(LONG);
            let (entered, is_entered) = mpsc::channel();
            let (release, released) = mpsc::channel::<()>();
            let released = Mutex::new(released);
            let (_first, _first_guard, _done) = timed_and_told(&root, 5 * MS, move || {
                entered.send(()).expect("the test listens");
                let _ = released.lock().expect("nobody panics with it").recv();
            });
            let turning = match drive.downcast::<Driver>() {
                Ok(driver) => Some(thread::spawn(move || {
                    while driver.turn() == 0 {}
                    // Not dropped here, for that would be a shutdown.
                    Some(driver)
                })),
                Err(drive) => drive.downcast::<ripcord::ManualClock>().ok().map(|clock| {
                    thread::spawn(move || {
                        clock.advance(5 * MS);
                        None
                    })
                }),
            };
            is_entered.recv().expect("the waker runs");
            engine.shutdown();
            assert_eq!(second.err(), None, "whoever has the turn does it");
            let (late, _late_guard) = root.with_timeout(LONG);
            release.send(()).expect("the waker waits");
            for ctx in [&second, &late] {
                eventually("it is stopped", || ctx.is_done());
                assert_stopped(ctx);
            }
            if let Some(turning) = turning {
                turning.join().expect("the turning thread");
            }
        }
    });
}

#[test]
fn advances_from_many_threads_add_up_and_fire_everything() {
    in_time(|| {
        let (engine, clock) = manual();
        let root = engine.background();
        let start = clock.now();
        let armed: Vec<_> = (1..=400)
            .map(|index| root.with_timeout(index * MS))
            .collect();
        run_all(4, |_| (0..100).for_each(|_| clock.advance(MS)));
        assert_eq!(clock.now(), start + 400 * MS);
        for (ctx, _) in &armed {
            assert_expired(ctx, None);
        }
    });
}

#[test]
fn an_advance_by_nothing_fires_nothing_and_the_clock_prints() {
    let (engine, clock) = manual();
    let (ctx, _guard) = engine.background().with_timeout(NS);
    let before = clock.now();
    clock.advance(Duration::ZERO);
    assert_eq!(clock.now(), before);
    assert_live(&ctx);
    assert!(format!("{clock:?}").contains("now"));
}

#[test]
fn one_engines_blocked_waker_keeps_no_other_engine_from_firing() {
    in_time(|| {
        let blocked = threaded();
        let (entered, is_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let (_ctx, _guard, _done) = timed_and_told(&blocked.background(), 5 * MS, move || {
            entered.send(()).expect("the test listens");
            let _ = released.lock().expect("nobody panics with it").recv();
        });
        is_entered.recv().expect("the waker runs");
        let other = threaded();
        for root in [other.background(), Context::background()] {
            let (timed, _timed_guard) = root.with_timeout(MS);
            assert_eq!(timed.wait(), Error::DeadlineExceeded);
        }
        // On the one that is held up too, all but deadlines goes on.
        let (plain, guard) = blocked.background().with_cancel();
        let (timed, timed_guard) = plain.with_timeout(LONG);
        let waiter = Waiter::on(&timed);
        guard.cancel();
        assert_eq!(waiter.wakes(), 1);
        assert_canceled(&timed, None);
        drop((timed, timed_guard, plain));
        release.send(()).expect("the waker waits");
    });
}

#[test]
fn a_panic_in_the_drop_of_what_wakes_a_loop_is_contained() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("the drop of what `wake` has captured");
        }
    }

    let panics = Panics;
    let (engine, driver) = Engine::builder()
        .driven_with(move || {
            let _ = &panics;
        })
        .expect("it needs no thread");
    let (ctx, guard) = engine.background().with_cancel();
    drop((driver, engine));
    let waits = Waiter::on(&ctx);
    drop((ctx, guard));
    assert_eq!(waits.wakes(), 1);
    // The last handle of the engine.
    drop(waits);
}

#[test]
fn a_bounded_wait_is_bounded_where_the_timer_thread_is_held_up() {
    in_time(|| {
        let engine = threaded();
        let (go, may_go) = mpsc::channel::<()>();
        let may_go = Mutex::new(may_go);
        let (entered, is_entered) = mpsc::channel();
        let (_first, _first_guard, _done) = timed_and_told(&engine.background(), 5 * MS, {
            move || {
                let _ = entered.send(());
                let _ = may_go.lock().expect("one thread").recv();
            }
        });
        is_entered.recv().expect("the waker runs");
        let (late, _late_guard) = engine.background().with_timeout(10 * MS);
        let (below, _below_guard) = late.with_cancel();
        let waiter = Waiter::on(&late);
        assert_eq!(below.wait_timeout(50 * MS), Some(Error::DeadlineExceeded));
        assert_expired(&late, None);
        assert_eq!(waiter.wakes(), 1, "told by the one that fired it");
        let (other, _other_guard) = engine.background().with_timeout(10 * MS);
        assert_eq!(
            other.blocking_sleep(50 * MS),
            Err(Error::DeadlineExceeded),
            "its own end comes first"
        );
        drop(go);
    });
}

#[test]
fn a_bounded_wait_on_the_timer_thread_is_bounded() {
    let engine = threaded();
    let (second, _second_guard) = engine.background().with_timeout(10 * MS);
    let (waited, has_waited) = mpsc::channel();
    let (_first, _first_guard, _done) = timed_and_told(&engine.background(), 5 * MS, {
        move || {
            waited
                .send(second.wait_timeout(50 * MS))
                .expect("the test listens");
        }
    });
    assert_eq!(
        has_waited.recv_timeout(PATIENCE),
        Ok(Some(Error::DeadlineExceeded))
    );
}

/// Its node stays for as long as the wheel points at it, and the clock may stand for ever.
#[test]
fn a_channel_is_disconnected_with_the_last_handle_of_a_context_in_the_wheel() {
    let (engine, clock) = manual();
    let (ctx, guard) = engine.background().with_timeout(10 * MS);
    let (_near, _near_guard) = engine.background().with_timeout(MS);
    clock.advance(2 * MS);
    let channel = ctx.done_channel();
    assert_eq!(channel.try_recv(), Err(TryRecvError::Empty));
    drop(guard.disarm());
    drop(ctx);
    assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected));
}
