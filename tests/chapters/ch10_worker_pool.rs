#[path = "../../examples/10_worker_pool.rs"]
mod pool;

use pool::{Job, Outcome, Pool, Report, StartError};
use ripcord::channel::SendError;
use ripcord::{Context, Engine, Error};
use std::sync::mpsc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn by_id(mut reports: Vec<Report>) -> Vec<Outcome> {
    reports.sort_by_key(|report| report.id);
    let ids: Vec<u64> = reports.iter().map(|report| report.id).collect();
    assert_eq!(ids, (0..ids.len() as u64).collect::<Vec<_>>());
    reports.into_iter().map(|report| report.outcome).collect()
}

#[test]
fn the_example_runs() {
    pool::main();
}

#[test]
fn a_graceful_end_does_all_that_was_accepted_and_a_panic_harms_nobody() {
    let root = Context::background();
    let pool = Pool::start(&root, 2, 1, 60 * SECOND).unwrap();
    for id in 0..20 {
        let job = match id {
            7 => Job::new(id, |_| panic!("a bug")),
            _ => Job::new(id, |ctx| pool::count_primes(ctx, 1_000)),
        };
        pool.submit(&root, job).unwrap();
    }
    for (id, outcome) in by_id(pool.finish(600 * SECOND)).into_iter().enumerate() {
        match id {
            7 => assert_eq!(outcome, Outcome::Panicked("a bug".to_owned())),
            _ => assert_eq!(outcome, Outcome::Answered(168)),
        }
    }
}

#[test]
fn a_job_has_its_own_time_and_the_next_one_runs() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let pool = Pool::start(&engine.background(), 1, 2, SECOND).unwrap();
    let (begun, wait) = mpsc::channel();
    let hangs = Job::new(0, move |ctx| {
        begun.send(()).unwrap();
        Err(ctx.wait())
    });
    pool.submit(&Context::background(), hangs).unwrap();
    pool.submit(&Context::background(), Job::new(1, |_| Ok(1)))
        .unwrap();
    wait.recv().unwrap();
    clock.advance(SECOND);
    let outcomes = [
        Outcome::Ended(Error::DeadlineExceeded),
        Outcome::Answered(1),
    ];
    assert_eq!(by_id(pool.finish(600 * SECOND)), outcomes);
}

#[test]
fn a_job_for_a_full_pool_whose_parent_has_ended_comes_back() {
    let (parent, guard) = Context::background().with_cancel();
    let pool = Pool::start(&parent, 1, 0, 60 * SECOND).unwrap();
    guard.cancel();
    let refused = pool.submit(&Context::background(), Job::new(0, |_| Ok(0)));
    assert_eq!(refused.unwrap_err().ended(), Some(Error::Canceled));
    assert!(pool.finish(600 * SECOND).is_empty());
}

#[test]
fn a_forced_end_reports_what_ran_and_what_never_began_and_refuses_the_rest() {
    let root = Context::background();
    let pool = Pool::start(&root, 1, 2, 60 * SECOND).unwrap();
    let (begun, wait) = mpsc::channel();
    let hangs = Job::new(0, move |ctx| {
        begun.send(()).unwrap();
        Err(ctx.wait())
    });
    pool.submit(&root, hangs).unwrap();
    wait.recv().unwrap();
    for id in 1..=2 {
        pool.submit(&root, Job::new(id, |_| Ok(0))).unwrap();
    }
    let (impatient, _guard) = root.with_timeout(Duration::from_millis(1));
    let refused = pool.submit(&impatient, Job::new(9, |_| Ok(9))).unwrap_err();
    assert!(matches!(
        refused,
        SendError::Done(Job { id: 9, .. }, Error::DeadlineExceeded)
    ));
    let outcomes = [
        Outcome::Ended(Error::Canceled),
        Outcome::NotBegun,
        Outcome::NotBegun,
    ];
    assert_eq!(by_id(pool.stop("enough")), outcomes);
}

#[test]
fn a_graceful_end_has_a_limit() {
    let root = Context::background();
    let pool = Pool::start(&root, 1, 2, 600 * SECOND).unwrap();
    for id in 0..2 {
        pool.submit(&root, Job::new(id, |ctx| Err(ctx.wait())))
            .unwrap();
    }
    let outcomes = by_id(pool.finish(Duration::from_millis(1)));
    assert_eq!(outcomes.len(), 2);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Ended(Error::Canceled) | Outcome::NotBegun))
    );
}

#[test]
fn no_room_is_a_rendezvous_and_no_workers_an_error() {
    let root = Context::background();
    assert!(matches!(
        Pool::start(&root, 0, 1, SECOND),
        Err(StartError::NoWorkers)
    ));
    let pool = Pool::start(&root, 2, 0, 60 * SECOND).unwrap();
    for id in 0..4 {
        pool.submit(&root, Job::new(id, |_| Ok(1))).unwrap();
    }
    assert_eq!(
        by_id(pool.finish(600 * SECOND)),
        [(); 4].map(|()| Outcome::Answered(1))
    );
}
