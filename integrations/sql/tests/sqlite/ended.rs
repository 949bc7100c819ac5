//! What `Ended` says of a statement of SQLite's: that nothing of the call is left.

use crate::{LONG, cancels, count};
use ripcord::rusqlite::{Error, UnderContext};
use ripcord::{CancelGuard, Context};
use rusqlite::{Connection, ErrorCode, Row};
use std::thread;
use std::time::Duration;

const CANCELED: Option<ripcord::Error> = Some(ripcord::Error::Canceled);

fn table() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch("CREATE TABLE t (i INTEGER UNIQUE NOT NULL)")
        .unwrap();
    db
}

fn is_ended<T, E>(result: &Result<T, Error<E>>) -> bool {
    matches!(result, Err(Error::Ended(ripcord::Error::Canceled)))
}

fn is_unsettled<T, E>(result: &Result<T, Error<E>>) -> bool {
    matches!(result, Err(Error::Unsettled(ripcord::Error::Canceled, _)))
}

/// A mapper that has the context end, and looks at it.
fn looks(ctx: &Context, guard: &CancelGuard) -> rusqlite::Result<i64> {
    guard.cancel();
    ctx.check()
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    Ok(1)
}

const RETURNING: &str = "INSERT INTO t VALUES (1), (2) RETURNING i";

#[test]
fn rows_refused_once_the_context_is_done_are_not_there() {
    let mut db = table();
    let (ctx, guard) = Context::background().with_cancel();
    let row = db
        .under(&ctx)
        .query_row(RETURNING, [], |_| looks(&ctx, &guard));
    assert!(is_ended(&row), "{row:?}");
    assert_eq!(count(&db), 0);

    let (ctx, guard) = Context::background().with_cancel();
    let mut seen = 0;
    let rows = db.under(&ctx).query(RETURNING, [], |_| {
        seen += 1;
        if seen < 2 {
            return Ok(0);
        }
        looks(&ctx, &guard)
    });
    assert!(is_ended(&rows), "{rows:?}");
    assert_eq!((seen, count(&db)), (2, 0));
    assert!(db.is_autocommit() && !db.is_interrupted());
}

#[test]
fn an_execute_that_is_refused_for_its_rows_once_the_context_is_done_left_none() {
    let mut db = table();
    let (ctx, guard) = Context::background().with_cancel();
    cancels(&db, guard);
    let inserted = db
        .under(&ctx)
        .execute("INSERT INTO t VALUES (1) RETURNING cancel()", []);
    assert!(is_ended(&inserted), "{inserted:?}");
    assert_eq!(count(&db), 0);

    // As rusqlite has it, where the context is not done.
    let inserted = db.under(&Context::background()).execute(RETURNING, []);
    assert!(matches!(
        inserted,
        Err(Error::Failed(rusqlite::Error::ExecuteReturnedResults))
    ));
    assert_eq!(count(&db), 2);
}

#[test]
fn rows_refused_in_a_transaction_that_was_open_before_roll_it_back_whole() {
    let mut db = table();
    let (ctx, guard) = Context::background().with_cancel();
    db.execute_batch("BEGIN; INSERT INTO t VALUES (9)").unwrap();
    let row = db
        .under(&ctx)
        .query_row(RETURNING, [], |_| looks(&ctx, &guard));
    assert!(is_ended(&row), "{row:?}");
    assert!(db.is_autocommit());
    assert_eq!(count(&db), 0);
}

#[test]
fn a_prepared_statement_in_a_transaction_is_rolled_back_and_in_a_run_is_unsettled() {
    let mut db = table();
    let (ctx, guard) = Context::background().with_cancel();
    let moved = db.under(&ctx).transaction(|tx| {
        tx.prepare(RETURNING)?
            .query_row([], |_| looks(&ctx, &guard))
    });
    assert!(is_ended(&moved), "{moved:?}");
    assert_eq!(count(&db), 0);

    let (ctx, guard) = Context::background().with_cancel();
    let run = db.under(&ctx).run(|db| {
        db.prepare(RETURNING)?
            .query_row([], |_: &Row<'_>| looks(&ctx, &guard))
    });
    assert!(is_unsettled(&run), "{run:?}");
    assert_eq!(run.unwrap_err().ended(), CANCELED);
    assert_eq!(count(&db), 2);
}

#[test]
fn an_insert_without_a_row_to_give_is_there_and_is_not_said_to_have_ended() {
    let mut db = table();
    let (ctx, guard) = Context::background().with_cancel();
    cancels(&db, guard);
    let row = db
        .under(&ctx)
        .query_row("INSERT INTO t VALUES (cancel())", [], |_| Ok(()));
    // Interrupted, or in time: either is told as it was.
    assert_eq!(is_ended(&row), count(&db) == 0, "{row:?}");
    assert_eq!(is_unsettled(&row), count(&db) == 1, "{row:?}");
}

#[test]
fn what_or_fail_keeps_is_not_said_to_have_ended() {
    let mut db = table();
    let (ctx, guard) = Context::background().with_cancel();
    cancels(&db, guard);
    let failed = db
        .under(&ctx)
        .execute("INSERT OR FAIL INTO t VALUES (1), (2), (cancel()), (3)", []);
    assert_eq!(is_ended(&failed), count(&db) == 0, "{failed:?}");
    assert_eq!(is_unsettled(&failed), count(&db) == 2, "{failed:?}");
}

#[test]
fn several_rows_interrupted_in_the_middle_are_rolled_back_with_or_fail_too() {
    let sql = format!("INSERT OR FAIL INTO t VALUES (5), (6), (cancel() + ({LONG}))");
    for begin in ["SELECT 1", "BEGIN; INSERT INTO t VALUES (9)"] {
        let mut db = table();
        let (ctx, guard) = Context::background().with_cancel();
        cancels(&db, guard);
        db.execute_batch(begin).unwrap();
        let result = db.under(&ctx).execute(&sql, []);
        assert!(is_ended(&result), "{result:?}");
        assert!(db.is_autocommit());
        assert_eq!(count(&db), 0);
    }
}

#[test]
fn a_batch_has_ended_only_where_its_first_statement_was_interrupted() {
    for (before, rows) in [("", 0), ("INSERT INTO t VALUES (1); -- done\n", 1)] {
        let mut db = table();
        let (ctx, guard) = Context::background().with_cancel();
        cancels(&db, guard);
        let batch = db.under(&ctx).execute_batch(&format!(
            "{before} INSERT INTO t SELECT cancel() + ({LONG}); INSERT INTO t VALUES (3)"
        ));
        assert_eq!(is_ended(&batch), rows == 0, "{batch:?}");
        assert_eq!(is_unsettled(&batch), rows == 1, "{batch:?}");
        assert_eq!(count(&db), rows);
    }
}

/// SQLite commits a statement with `RETURNING` when it is reset, where rusqlite hears of no error.
#[test]
fn a_row_is_not_given_of_a_commit_that_did_not_get_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("read.db");
    let reader = Connection::open(&path).unwrap();
    reader
        .execute_batch(
            "CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (7); BEGIN; SELECT * FROM t",
        )
        .unwrap();
    let mut db = Connection::open(&path).unwrap();
    db.busy_timeout(Duration::from_secs(3_600)).unwrap();
    let (ctx, guard) = Context::background().with_cancel();
    let row = db.under(&ctx).query_row(RETURNING, [], |_| {
        guard.cancel();
        Ok(())
    });
    assert!(is_ended(&row), "{row:?}");
    db.busy_timeout(Duration::ZERO).unwrap();
    let row = db
        .under(&Context::background())
        .query_row(RETURNING, [], |_| Ok(()));
    let Err(Error::Failed(error)) = row else {
        panic!("{row:?}")
    };
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    drop(reader);
    assert_eq!(count(&db), 1);
    let row = db
        .under(&Context::background())
        .query_row(RETURNING, [], |row| row.get::<_, i64>(0));
    assert_eq!((row.unwrap(), count(&db)), (1, 3));
}

#[test]
fn what_a_wal_hook_fails_after_is_not_said_to_have_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Connection::open(dir.path().join("wal.db")).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (i INTEGER)")
        .unwrap();
    for rows in [1, 2] {
        let (ctx, guard) = Context::background().with_cancel();
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, _| {
            guard.cancel();
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
            Err(rusqlite::Error::SqliteFailure(code, None))
        }))
        .unwrap();
        let insert = "INSERT INTO t VALUES (1)";
        let result = if rows == 1 {
            db.under(&ctx).execute(insert, [])
        } else {
            db.under(&ctx).transaction(|tx| tx.execute(insert, []))
        };
        db.wal_hook(None::<fn(&mut rusqlite::hooks::Wal, i32) -> rusqlite::Result<()>>)
            .unwrap();
        assert!(is_unsettled(&result), "{result:?}");
        assert_eq!(count(&db), rows);
    }
}

/// Whenever the cancel comes: between the rows, before the reset, after it.
#[test]
fn a_cancel_at_any_moment_of_an_insert_leaves_what_the_result_says() {
    let mut db = table();
    let mut expected = 0;
    for _ in 0..300 {
        let (ctx, guard) = Context::background().with_cancel();
        let spins = fastrand::u32(0..20_000);
        let canceller = thread::spawn(move || {
            for _ in 0..spins {
                std::hint::spin_loop();
            }
            guard.cancel();
        });
        let sql = "INSERT INTO t VALUES ((SELECT coalesce(max(i), 0) + 1 FROM t)) RETURNING i";
        let row = db.under(&ctx).query_row(sql, [], |row| {
            ctx.check()
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
            row.get::<_, i64>(0)
        });
        canceller.join().unwrap();
        match row {
            Ok(_) => expected += 1,
            Err(error) => assert!(matches!(error, Error::Ended(_)), "{error:?}"),
        }
        assert_eq!(count(&db), expected);
    }
}
