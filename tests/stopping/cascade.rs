use ripcord::cascade::{Cascade, Outcome};
use ripcord::{Context, Engine, Error};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Longer than any machine is held up.
const MINUTE: Duration = Duration::from_secs(60);

fn fine(_: &Context) -> Result<(), Error> {
    Ok(())
}

#[test]
fn stages_run_in_order_and_whatever_becomes_of_one_the_next_has_its_turn() {
    let (order, seen) = mpsc::channel();
    let (second, third, fourth) = (order.clone(), order.clone(), order.clone());
    let report = Cascade::new()
        .stage("accept", MINUTE, move |_| order.send(1))
        .stage("workers", MINUTE, move |_| {
            let _ = second.send(2);
            Err(io::Error::other("jobs were lost"))
        })
        .stage("cache", MINUTE, move |_| -> Result<(), Error> {
            let _ = third.send(3);
            panic!("torn page {}", 7)
        })
        .stage("storage", MINUTE, move |_| fourth.send(4))
        .run(&Context::background());
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(
        report.to_string(),
        "accept: ended; workers: failed: jobs were lost; cache: panicked: torn page 7; storage: ended"
    );
    let failed = report.into_result().unwrap_err();
    let kind = match &failed.stages[1].outcome {
        Outcome::Failed(cause) => cause.downcast_ref::<io::Error>().map(io::Error::kind),
        _ => None,
    };
    assert_eq!(kind, Some(io::ErrorKind::Other));
}

#[test]
fn a_stage_that_never_returns_is_given_up_and_the_rest_is_stopped() {
    let (let_go, blocks) = mpsc::channel::<()>();
    let report = Cascade::new()
        .patience(Duration::from_millis(1))
        .stage("hangs", Duration::from_millis(1), move |_| blocks.recv())
        .stage("storage", MINUTE, fine)
        .run(&Context::background());
    assert_eq!(report.to_string(), "hangs: given up; storage: ended");
    drop(let_go);
}

#[test]
fn each_stage_has_its_own_limit_by_the_clock_of_its_context() {
    let (ctx, clock) = super::stopped_time();
    let clock = Arc::new(clock);
    let takes = |time: Duration, of: Option<Duration>| {
        let clock = Arc::clone(&clock);
        move |ctx: &Context| {
            assert_eq!(ctx.remaining(), of);
            clock.advance(time);
            ctx.check()
        }
    };
    let report = Cascade::new()
        .patience(MINUTE)
        .stage("slow", SECOND, takes(SECOND, Some(SECOND)))
        .stage("fast", 2 * SECOND, takes(SECOND, Some(2 * SECOND)))
        .stage("zero", Duration::ZERO, Context::check)
        .stage("endless", Duration::MAX, takes(MINUTE, None))
        .run(&ctx);
    assert_eq!(
        report.to_string(),
        "slow: failed: context deadline exceeded; fast: ended; \
         zero: failed: context deadline exceeded; endless: ended"
    );
    let took: Vec<_> = report.stages.iter().map(|stage| stage.took).collect();
    assert_eq!(took, [SECOND, SECOND, Duration::ZERO, MINUTE]);
}

#[test]
fn try_run_skips_what_comes_after_a_failure_or_the_contexts_end() {
    let report = Cascade::new()
        .stage("reserve", MINUTE, fine)
        .stage("charge", MINUTE, |_| Err(io::Error::other("declined")))
        .stage("ship", MINUTE, fine)
        .try_run(&Context::background());
    assert_eq!(
        report.to_string(),
        "reserve: ended; charge: failed: declined; ship: skipped"
    );

    let (ctx, guard) = Context::background().with_cancel();
    let report = Cascade::new()
        .stage("first", MINUTE, move |_| {
            guard.cancel();
            Ok::<_, Error>(())
        })
        .stage("second", MINUTE, fine)
        .try_run(&ctx);
    assert_eq!(report.to_string(), "first: ended; second: skipped");
}

#[test]
fn under_a_context_that_is_done_each_stage_has_its_turn() {
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    let report = Cascade::new()
        .stage("looks", MINUTE, Context::check)
        .stage("does not", MINUTE, fine)
        .run(&ctx);
    assert_eq!(
        report.to_string(),
        "looks: failed: context canceled; does not: ended"
    );
}

#[test]
fn limits_and_patience_hold_though_a_stage_stops_the_engine() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let ctx = engine.background();
    let (hangs, hung) = mpsc::channel::<()>();
    let report = Cascade::new()
        .patience(MINUTE)
        .stage("timers", MINUTE, move |ctx| {
            engine.shutdown();
            // It minds its context, and what it does then takes longer than to give a stage up.
            ctx.wait();
            clock.advance(SECOND);
            std::thread::sleep(Duration::from_millis(10));
            Ok::<_, Error>(())
        })
        .stage("storage", MINUTE, |ctx| {
            std::thread::sleep(Duration::from_millis(10));
            ctx.check()
        })
        .stage_async("flush", MINUTE, |ctx| async move { ctx.check() })
        .run(&ctx);
    assert_eq!(
        report.to_string(),
        "timers: ended; storage: ended; flush: ended"
    );
    let report = Cascade::new()
        .patience(Duration::ZERO)
        .stage("hangs", Duration::from_millis(1), move |_| hung.recv())
        .run(&ctx);
    assert_eq!(report.to_string(), "hangs: given up");
    drop(hangs);
}

#[tokio::test]
async fn limits_hold_in_a_task_though_the_engine_is_stopped() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let ctx = engine.background();
    let report = Cascade::new()
        .stage("timers", MINUTE, move |_| {
            engine.shutdown();
            std::thread::sleep(Duration::from_millis(10));
            Ok::<_, Error>(())
        })
        .stage_async("flush", MINUTE, |ctx| async move { ctx.check() })
        .run_async(&ctx)
        .await;
    assert_eq!(report.to_string(), "timers: ended; flush: ended");
}

#[test]
fn a_stage_may_have_any_name() {
    let report = Cascade::new()
        .stage("a\0b", MINUTE, fine)
        .stage("", MINUTE, fine)
        .run(&Context::background());
    assert_eq!(report.to_string(), "a\0b: ended; : ended");
}

#[test]
fn none_is_an_empty_report() {
    let report = Cascade::new().run(&Context::background());
    assert!(report.into_result().unwrap().stages.is_empty());
}

fn futures(dropped: &Arc<AtomicBool>) -> Cascade {
    struct Drops(Arc<AtomicBool>);

    impl Drop for Drops {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let drops = Drops(Arc::clone(dropped));
    Cascade::new()
        .stage_async("fine", MINUTE, |ctx| async move { ctx.check() })
        .stage_async("hangs", Duration::from_millis(1), |_| async move {
            let _drops = drops;
            std::future::pending::<Result<(), Error>>().await
        })
        .stage_async("panics", MINUTE, |ctx| async move {
            ctx.sleep(Duration::from_millis(1)).await?;
            panic!("in a poll");
            #[allow(unreachable_code)]
            Ok::<_, Error>(())
        })
        .stage("thread", MINUTE, fine)
}

const OF_FUTURES: &str = "fine: ended; hangs: failed: context deadline exceeded; \
                          panics: panicked: in a poll; thread: ended";

#[test]
fn futures_are_stages_too_on_a_thread() {
    let dropped = Arc::new(AtomicBool::new(false));
    let report = futures(&dropped).run(&Context::background());
    assert_eq!(report.to_string(), OF_FUTURES);
    assert!(dropped.load(Ordering::Relaxed));
}

#[tokio::test]
async fn futures_are_stages_too_in_a_task() {
    let dropped = Arc::new(AtomicBool::new(false));
    let report = futures(&dropped).run_async(&Context::background()).await;
    assert_eq!(report.to_string(), OF_FUTURES);
    assert!(dropped.load(Ordering::Relaxed));
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a drop panics");
    }
}

#[test]
fn what_a_stage_without_a_turn_panics_with_in_its_drop_does_not_take_the_report_away() {
    let bomb = Bomb;
    let report = Cascade::new()
        .stage("fails", MINUTE, |_| Err(io::Error::other("no")))
        .stage("skipped", MINUTE, move |_| {
            let _bomb = &bomb;
            Ok::<_, Error>(())
        })
        .try_run(&Context::background());
    assert!(matches!(report.stages[1].outcome, Outcome::Skipped));
}
