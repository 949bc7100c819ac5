#[path = "../examples/08_database.rs"]
mod database;

use database::Refused;
use ripcord::rusqlite::Error;
use ripcord::{Context, Error as Ended};
use rusqlite::Connection;
use std::time::{Duration, Instant};

/// What an hour, or minutes, are to be stopped within on a machine as slow as may be.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn the_example_runs() {
    database::main().unwrap();
}

#[test]
fn a_query_of_minutes_ends_with_its_deadline() {
    let mut db = Connection::open_in_memory().unwrap();
    let began = Instant::now();
    let ended = database::count_for_minutes(&mut db, Duration::from_millis(20)).unwrap_err();
    assert_eq!(ended.ended(), Some(Ended::DeadlineExceeded));
    assert!(began.elapsed() < SOON);
}

#[test]
fn a_transfer_is_done_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let bank = dir.path().join("bank.db");
    let has = |ada, bob| {
        let expected = [("ada".to_owned(), ada), ("bob".to_owned(), bob)];
        assert_eq!(database::balances(&bank).unwrap(), expected);
    };
    database::open_bank(&bank).unwrap();
    let cause = database::transfer_without_end(&bank).unwrap();
    assert_eq!(cause.to_string(), "connection reset by peer");
    has(500, 0);

    let mut db = Connection::open(&bank).unwrap();
    let ctx = Context::background();
    database::transfer(&ctx, &mut db, 300).unwrap();
    has(200, 300);
    let refused = database::transfer(&ctx, &mut db, 300);
    assert!(matches!(refused, Err(Error::Failed(Refused::NotEnough))));
    let (ctx, guard) = ctx.with_cancel();
    drop(guard);
    let ended = database::transfer(&ctx, &mut db, 100).unwrap_err();
    assert_eq!(ended.ended(), Some(Ended::Canceled));
    has(200, 300);
}

#[tokio::test]
async fn a_query_of_an_hour_is_cancelled_on_the_server() {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        use std::io::Write;
        let _ = std::io::stderr().write_all(b"SKIPPED: DATABASE_URL is not set\n");
        return;
    };
    let began = Instant::now();
    let (ended, answer) = database::sleep_for_an_hour(&url, Duration::from_millis(20))
        .await
        .unwrap();
    assert_eq!(ended, Some(Ended::DeadlineExceeded));
    assert_eq!(answer, 42);
    assert!(began.elapsed() < SOON);
}
