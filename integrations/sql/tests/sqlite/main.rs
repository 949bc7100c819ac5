//! `ripcord::rusqlite` against SQLite itself.

mod ended;

use ripcord::rusqlite::{Error, UnderContext};
use ripcord::{CancelGuard, Context, Engine};
use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Minutes, if it is let.
const LONG: &str = "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n LIMIT 4000000000) SELECT count(*) FROM n";

/// What a query that would take minutes is to be stopped within, on a machine as slow as may be.
const SOON: Duration = Duration::from_secs(20);

fn memory() -> Connection {
    Connection::open_in_memory().expect("SQLite opens a database in memory")
}

fn table(db: &Connection) {
    db.execute_batch("CREATE TABLE t (i INTEGER NOT NULL)")
        .expect("it is new");
}

fn count(db: &Connection) -> i64 {
    db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .expect("the connection is usable")
}

/// SQL's `cancel()` cancels the context, in the middle of the statement it stands in.
fn cancels(db: &Connection, guard: CancelGuard) {
    let flags = FunctionFlags::SQLITE_UTF8;
    db.create_scalar_function("cancel", 0, flags, move |_| {
        guard.cancel();
        Ok(1)
    })
    .expect("no statement is active");
}

fn ended<T>(result: Result<T, Error>) -> Option<ripcord::Error> {
    match result {
        Ok(_) => None,
        Err(error) => error.ended(),
    }
}

#[test]
fn a_query_of_minutes_is_stopped_by_a_cancel_and_the_connection_goes_on() {
    let mut db = memory();
    let (ctx, guard) = Context::background().with_cancel();
    cancels(&db, guard);
    let began = Instant::now();
    let sql = format!("SELECT cancel(), ({LONG})");
    let result = db.under(&ctx).query_row(&sql, [], |_| Ok(()));
    assert_eq!(ended(result), Some(ripcord::Error::Canceled));
    assert!(began.elapsed() < SOON);
    assert!(!db.is_interrupted());
    table(&db);
    assert_eq!(count(&db), 0);
}

#[test]
fn a_query_of_minutes_is_stopped_by_a_deadline() {
    let mut db = memory();
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(20));
    let began = Instant::now();
    let result = db.under(&ctx).query(LONG, [], |row| row.get::<_, i64>(0));
    assert_eq!(ended(result), Some(ripcord::Error::DeadlineExceeded));
    assert!(began.elapsed() < SOON);
}

#[test]
fn under_a_context_that_is_done_nothing_runs() {
    let mut db = memory();
    table(&db);
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    let canceled = Some(ripcord::Error::Canceled);
    let insert = "INSERT INTO t VALUES (1)";
    assert_eq!(ended(db.under(&ctx).execute(insert, [])), canceled);
    assert_eq!(ended(db.under(&ctx).execute_batch(insert)), canceled);
    assert_eq!(
        ended(db.under(&ctx).query(insert, [], |_| Ok(()))),
        canceled
    );
    assert_eq!(
        ended(db.under(&ctx).query_row(insert, [], |_| Ok(()))),
        canceled
    );
    let run = db
        .under(&ctx)
        .run(|_| -> rusqlite::Result<()> { panic!("it was called") });
    assert_eq!(ended(run), canceled);
    let tx = db
        .under(&ctx)
        .transaction(|_| -> rusqlite::Result<()> { panic!("it was called") });
    assert_eq!(ended(tx), canceled);
    assert_eq!(count(&db), 0);
}

#[test]
fn what_is_not_cancelled_gives_what_sqlite_gives() {
    let mut db = memory();
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(3_600));
    db.under(&ctx)
        .execute_batch("CREATE TABLE t (i INTEGER UNIQUE); INSERT INTO t VALUES (1), (2)")
        .unwrap();
    assert_eq!(
        db.under(&ctx).execute("UPDATE t SET i = -i", []).unwrap(),
        2
    );
    let rows = db
        .under(&ctx)
        .query("SELECT i FROM t ORDER BY i", [], |row| row.get::<_, i64>(0));
    assert_eq!(rows.unwrap(), [-2, -1]);
    let row = db
        .under(&ctx)
        .query_row("SELECT min(i) FROM t WHERE i < ?1", [0], |row| {
            row.get::<_, i64>(0)
        });
    assert_eq!(row.unwrap(), -2);
    let again = db.under(&ctx).execute("INSERT INTO t VALUES (-1)", []);
    let Err(Error::Failed(error)) = again else {
        panic!("{again:?}")
    };
    assert_eq!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation)
    );
    assert_eq!(ctx.child_count(), 0, "registrations are left");
}

/// An error of a caller's own, which need not be one of std's.
#[derive(Debug)]
enum Mine {
    TooPoor,
    Sqlite,
}

impl From<rusqlite::Error> for Mine {
    fn from(_: rusqlite::Error) -> Self {
        Self::Sqlite
    }
}

#[test]
fn an_error_of_the_closures_own_comes_back_and_rolls_back() {
    let mut db = memory();
    table(&db);
    let ctx = Context::background();
    let result = db.under(&ctx).transaction(|tx| {
        tx.execute("INSERT INTO t VALUES (1)", [])?;
        Err::<(), _>(Mine::TooPoor)
    });
    assert!(matches!(result, Err(Error::Failed(Mine::TooPoor))));
    let result = db
        .under(&ctx)
        .transaction(|tx| Ok::<_, Mine>(tx.execute("no SQL", [])?));
    assert!(matches!(result, Err(Error::Failed(Mine::Sqlite))));
    assert_eq!(count(&db), 0);
    assert!(db.is_autocommit());
}

#[test]
fn a_transaction_commits_and_may_use_savepoints_and_change_the_schema() {
    let mut db = memory();
    table(&db);
    let (ctx, _guard) = Context::background().with_cancel();
    let result = db.under(&ctx).transaction(|tx| {
        tx.execute_batch(
            "INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s; RELEASE s;
             CREATE TABLE u (i); INSERT INTO u SELECT i FROM t; ALTER TABLE u ADD COLUMN j; DROP TABLE u; CREATE INDEX x ON t (i);",
        )?;
        Ok::<_, rusqlite::Error>("done")
    });
    assert_eq!(result.unwrap(), "done");
    assert!(db.is_autocommit());
    assert_eq!(count(&db), 1);
}

#[test]
fn a_cancel_in_the_middle_of_a_transaction_rolls_it_back() {
    let mut db = memory();
    table(&db);
    let (ctx, guard) = Context::background().with_cancel();
    cancels(&db, guard);
    let result = db.under(&ctx).transaction(|tx| {
        tx.execute("INSERT INTO t VALUES (1)", [])?;
        tx.execute(&format!("INSERT INTO t SELECT cancel() + ({LONG})"), [])
    });
    assert_eq!(ended(result), Some(ripcord::Error::Canceled));
    assert!(db.is_autocommit());
    assert_eq!(count(&db), 0);
}

#[test]
fn a_closure_that_says_ok_after_the_end_is_rolled_back() {
    let mut db = memory();
    table(&db);
    let (ctx, guard) = Context::background().with_cancel();
    let result = db.under(&ctx).transaction(|tx| {
        tx.execute("INSERT INTO t VALUES (1)", [])?;
        guard.cancel();
        Ok(())
    });
    assert_eq!(ended(result), Some(ripcord::Error::Canceled));
    assert_eq!(count(&db), 0);
}

#[test]
fn a_closure_that_swallows_the_interrupt_writes_nothing_more() {
    let mut db = memory();
    table(&db);
    let (ctx, guard) = Context::background().with_cancel();
    cancels(&db, guard);
    let result = db.under(&ctx).transaction(|tx| {
        // SQLite itself rolls back where a write is interrupted: what came after would be committed on its own.
        let long = tx.execute(&format!("INSERT INTO t SELECT cancel() + ({LONG})"), []);
        assert!(long.is_err());
        for _ in 0..1_000 {
            assert!(tx.execute("INSERT INTO t VALUES (1)", []).is_err());
        }
        Ok::<_, rusqlite::Error>(())
    });
    assert_eq!(ended(result), Some(ripcord::Error::Canceled));
    assert_eq!(count(&db), 0);
}

#[test]
fn a_panic_rolls_back_and_the_connection_goes_on() {
    let mut db = memory();
    table(&db);
    for cancelled in [false, true] {
        let (ctx, guard) = Context::background().with_cancel();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            db.under(&ctx).transaction(|tx| -> rusqlite::Result<()> {
                tx.execute("INSERT INTO t VALUES (1)", [])?;
                if cancelled {
                    guard.cancel();
                }
                panic!("in the middle")
            })
        }));
        assert!(panicked.is_err());
        assert!(db.is_autocommit());
        assert_eq!(count(&db), 0);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            db.under(&Context::background())
                .query("SELECT 1", [], |_| -> rusqlite::Result<()> {
                    panic!("in a row")
                })
        }));
        assert!(panicked.is_err());
        assert_eq!(ctx.child_count(), 0);
    }
}

#[test]
fn a_cancel_between_two_statements_stops_the_next() {
    let mut db = memory();
    let (ctx, guard) = Context::background().with_cancel();
    let began = Instant::now();
    let result = db.under(&ctx).run(|db| {
        guard.cancel();
        // So that the interrupt comes now, where SQLite forgets it.
        while !db.is_interrupted() {
            thread::yield_now();
        }
        db.query_row(LONG, [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(ended(result), Some(ripcord::Error::Canceled));
    assert!(began.elapsed() < SOON);
}

#[test]
fn no_interrupt_hits_the_next_statement() {
    let mut db = memory();
    let short = "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n LIMIT 300) SELECT count(*) FROM n";
    let sum = |db: &Connection| db.query_row(short, [], |row| row.get::<_, i64>(0));
    let (guards, cancelled) = mpsc::channel::<CancelGuard>();
    let canceller = thread::spawn(move || {
        for guard in cancelled {
            for _ in 0..fastrand::u32(0..400) {
                std::hint::spin_loop();
            }
            guard.cancel();
        }
    });
    let mut stopped = 0;
    for _ in 0..3_000 {
        let (ctx, guard) = Context::background().with_cancel();
        guards.send(guard).unwrap();
        match db.under(&ctx).run(sum) {
            Ok(count) => assert_eq!(count, 300),
            Err(error) => {
                assert_eq!(error.ended(), Some(ripcord::Error::Canceled));
                stopped += 1;
            }
        }
        assert!(!db.is_interrupted());
        for _ in 0..3 {
            assert_eq!(sum(&db).expect("a late interrupt hit it"), 300);
        }
    }
    drop(guards);
    canceller.join().unwrap();
    println!("{stopped} of 3000 were stopped");
}

#[test]
fn a_wait_for_a_lock_ends_with_the_context_and_the_timeout_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locked.db");
    let holder = Connection::open(&path).unwrap();
    table(&holder);
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();

    let mut db = Connection::open(&path).unwrap();
    let hours = Duration::from_secs(3 * 3_600);
    db.busy_timeout(hours).unwrap();
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(20));
    let began = Instant::now();
    let write = db.under(&ctx).execute("INSERT INTO t VALUES (1)", []);
    assert_eq!(ended(write), Some(ripcord::Error::DeadlineExceeded));
    let (ctx, guard) = Context::background().with_cancel();
    let canceller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        guard.cancel();
    });
    let begin = db
        .under(&ctx)
        .transaction_with_behavior(TransactionBehavior::Immediate, |_| {
            Ok::<_, rusqlite::Error>(())
        });
    assert_eq!(ended(begin), Some(ripcord::Error::Canceled));
    canceller.join().unwrap();
    assert!(began.elapsed() < SOON);
    let timeout = db.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, u32>(0));
    assert_eq!(u128::from(timeout.unwrap()), hours.as_millis());

    // A timeout of the connection's own is kept, and so is a lock that comes free in time.
    db.busy_timeout(Duration::from_millis(10)).unwrap();
    let write = db
        .under(&Context::background())
        .execute("INSERT INTO t VALUES (1)", []);
    let Err(Error::Failed(error)) = write else {
        panic!("{write:?}")
    };
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    db.busy_timeout(hours).unwrap();
    let (waits, waiting) = mpsc::channel();
    let releaser = thread::spawn(move || {
        waiting.recv().unwrap();
        holder.execute_batch("COMMIT").unwrap();
    });
    waits.send(()).unwrap();
    let write = db
        .under(&Context::background())
        .execute("INSERT INTO t VALUES (1)", []);
    assert_eq!(write.unwrap(), 1);
    releaser.join().unwrap();
}

#[test]
fn a_busy_handler_of_the_callers_own_is_left_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locked.db");
    let holder = Connection::open(&path).unwrap();
    table(&holder);
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut db = Connection::open(&path).unwrap();
    let (asked, was_asked) = mpsc::channel();
    db.busy_handler(Some(move |_| {
        asked.send(()).unwrap();
        false
    }))
    .unwrap();
    for _ in 0..2 {
        let (ctx, _guard) = Context::background().with_cancel();
        let write = db.under(&ctx).execute("INSERT INTO t VALUES (1)", []);
        assert!(matches!(write, Err(Error::Failed(_))));
        was_asked.try_recv().expect("it was asked");
    }
}

/// Untrusted SQL is let run without pragmas, and under a time limit: that is what both are for.
#[test]
fn a_connection_that_is_denied_pragmas_is_interrupted_and_keeps_its_busy_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locked.db");
    let holder = Connection::open(&path).unwrap();
    table(&holder);
    for answer in [Authorization::Deny, Authorization::Ignore] {
        let mut db = Connection::open(&path).unwrap();
        db.busy_timeout(Duration::from_millis(10)).unwrap();
        db.authorizer(Some(move |it: AuthContext<'_>| match it.action {
            AuthAction::Pragma { .. } => answer,
            _ => Authorization::Allow,
        }))
        .unwrap();
        let ctx = Context::background();
        let two = db
            .under(&ctx)
            .query_row("SELECT 1 + 1", [], |row| row.get::<_, i64>(0));
        assert_eq!(two.unwrap(), 2);
        let (limit, _guard) = ctx.with_timeout(Duration::from_millis(20));
        let long = db
            .under(&limit)
            .query_row(LONG, [], |row| row.get::<_, i64>(0));
        assert_eq!(ended(long), Some(ripcord::Error::DeadlineExceeded));

        holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let write = db.under(&ctx).execute("INSERT INTO t VALUES (1)", []);
        holder.execute_batch("COMMIT").unwrap();
        let Err(Error::Failed(error)) = write else {
            panic!("{write:?}")
        };
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
        let write = db
            .under(&ctx)
            .transaction(|tx| tx.execute("INSERT INTO t VALUES (1)", []));
        assert_eq!(write.unwrap(), 1);
        db.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
            .unwrap();
        let timeout = db.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, u32>(0));
        assert_eq!(timeout.unwrap(), 10);
    }
}

#[test]
fn a_wait_for_a_lock_goes_by_real_time_where_the_contexts_clock_stands_still() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locked.db");
    let holder = Connection::open(&path).unwrap();
    table(&holder);
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut db = Connection::open(&path).unwrap();
    db.busy_timeout(Duration::from_millis(10)).unwrap();
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let (ctx, _guard) = engine.background().with_timeout(Duration::from_secs(1));
    let write = db.under(&ctx).execute("INSERT INTO t VALUES (1)", []);
    let Err(Error::Failed(error)) = write else {
        panic!("{write:?}")
    };
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    let result = db.under(&ctx).run(|db| {
        clock.advance(Duration::from_secs(1));
        db.query_row(LONG, [], |_| Ok(()))
    });
    assert_eq!(ended(result), Some(ripcord::Error::DeadlineExceeded));
}

#[test]
fn vacuum_and_a_change_of_the_journal_run_under_a_context() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Connection::open(dir.path().join("a.db")).unwrap();
    let (ctx, _guard) = Context::background().with_cancel();
    db.under(&ctx).execute_batch("VACUUM").unwrap();
    let mode = db
        .under(&ctx)
        .query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        });
    assert_eq!(mode.unwrap(), "wal");
}

/// The result, and how many rows a new connection finds in the file.
fn reopened(path: &Path) -> i64 {
    count(&Connection::open(path).unwrap())
}

#[test]
fn a_cancel_at_any_moment_leaves_all_or_nothing_in_the_file() {
    for mode in ["DELETE", "WAL"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all_or_nothing.db");
        let mut db = Connection::open(&path).unwrap();
        db.execute_batch(&format!(
            "PRAGMA journal_mode = {mode}; PRAGMA synchronous = OFF"
        ))
        .unwrap();
        table(&db);
        let mut expected = 0;
        let (mut committed, mut rolled_back) = (0, 0);
        // A transaction takes as long as it does here: the moments are spread over that.
        let mut whole = Duration::from_millis(2);
        for round in 0..400 {
            let (ctx, guard) = Context::background().with_cancel();
            let after = whole.mul_f64(1.3 * fastrand::f64());
            let (go, begun) = mpsc::channel();
            let canceller = thread::spawn(move || {
                let began: Instant = begun.recv().unwrap();
                while began.elapsed() < after {
                    std::hint::spin_loop();
                }
                guard.cancel();
            });
            let began = Instant::now();
            go.send(began).unwrap();
            let result = db.under(&ctx).transaction(|tx| {
                let mut insert = tx.prepare_cached("INSERT INTO t VALUES (?1)")?;
                (0..50).try_for_each(|i| insert.execute([i]).map(drop))
            });
            match result {
                Ok(()) => {
                    expected += 50;
                    committed += 1;
                    whole = (whole + began.elapsed()) / 2;
                }
                Err(error) => {
                    assert_eq!(error.ended(), Some(ripcord::Error::Canceled), "{error}");
                    rolled_back += 1;
                }
            }
            canceller.join().unwrap();
            assert!(db.is_autocommit());
            assert_eq!(reopened(&path), expected, "round {round}, {mode}");
        }
        println!("{mode}: {committed} committed, {rolled_back} rolled back");
        assert!(committed > 0 && rolled_back > 0);
    }
}

/// Inside the commit itself, by SQLite's own hook there: as it is about to write, or to roll back.
#[test]
fn a_cancel_inside_the_commit_leaves_what_the_result_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("commit.db");
    let mut db = Connection::open(&path).unwrap();
    table(&db);
    let mut expected = 0;
    for round in 0..200 {
        let (ctx, guard) = Context::background().with_cancel();
        let pause = Duration::from_micros(fastrand::u64(0..3_000));
        db.commit_hook(Some(move || {
            guard.cancel();
            // Gives the interrupt time to come before the commit goes on, or not.
            thread::sleep(pause);
            false
        }))
        .unwrap();
        let result = db.under(&ctx).transaction(|tx| {
            (0..20).try_for_each(|i| tx.execute("INSERT INTO t VALUES (?1)", [i]).map(drop))
        });
        db.commit_hook(None::<fn() -> bool>).unwrap();
        match result {
            Ok(()) => expected += 20,
            Err(error) => assert_eq!(error.ended(), Some(ripcord::Error::Canceled)),
        }
        assert!(ctx.is_done());
        assert_eq!(reopened(&path), expected, "round {round}");
    }
    println!("{expected} rows of 4000 were committed");
}
