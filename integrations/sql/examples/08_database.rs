//! Databases under a context. SQLite: a query that would take minutes is stopped by a deadline, in milliseconds; a transaction whose
//! client hangs up in the middle leaves nothing half-written in the file. PostgreSQL, where `DATABASE_URL` names one: the query is
//! cancelled on the server, and the connection goes on.
//!
//! Run with `cargo run --example 08_database`.

use ripcord::postgres::{self, UnderContext as _};
use ripcord::rusqlite::{self as sqlite, UnderContext as _};
use ripcord::{CancelGuard, Cause, Context};
use rusqlite::Connection;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

pub fn main() -> Result<(), Box<dyn Error>> {
    let limit = Duration::from_millis(100);
    let mut db = Connection::open_in_memory()?;
    let began = Instant::now();
    let ended = count_for_minutes(&mut db, limit);
    println!("SQLite: {ended:?} after {:?} of {limit:?}", began.elapsed());

    let dir = tempfile::tempdir()?;
    let bank = dir.path().join("bank.db");
    open_bank(&bank)?;
    println!("before: {:?}", balances(&bank)?);
    let hung_up = transfer_without_end(&bank)?;
    println!(
        "the client hangs up in the middle: {hung_up}, {:?}",
        balances(&bank)?
    );
    let mut db = Connection::open(&bank)?;
    for cents in [300, 900] {
        let said = match transfer(&Context::background(), &mut db, cents) {
            Ok(()) => "done".to_owned(),
            Err(error) => error.to_string(),
        };
        println!("{cents} from ada to bob: {said}, {:?}", balances(&bank)?);
    }

    match std::env::var("DATABASE_URL") {
        Err(_) => println!("PostgreSQL: skipped, DATABASE_URL is not set"),
        Ok(url) => {
            let began = Instant::now();
            let (ended, answer) = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(sleep_for_an_hour(&url, limit))?;
            println!(
                "PostgreSQL: {ended:?} after {:?}; then {answer}",
                began.elapsed()
            );
        }
    }
    Ok(())
}

/// Ten thousand million rows, one at a time, if there were time for that.
pub fn count_for_minutes(db: &mut Connection, limit: Duration) -> Result<i64, sqlite::Error> {
    let (query, _guard) = Context::background().with_timeout(limit);
    let sql = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 10000000000)
               SELECT count(*) FROM n";
    db.under(&query).query_row(sql, [], |row| row.get(0))
}

pub fn open_bank(path: &Path) -> rusqlite::Result<()> {
    Connection::open(path)?.execute_batch(
        "CREATE TABLE accounts (name TEXT PRIMARY KEY, cents INTEGER NOT NULL);
         INSERT INTO accounts VALUES ('ada', 500), ('bob', 0)",
    )
}

/// As a process that opens the file now finds them.
pub fn balances(path: &Path) -> rusqlite::Result<Vec<(String, i64)>> {
    Connection::open(path)?
        .prepare("SELECT name, cents FROM accounts ORDER BY name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// What a transfer fails with, of its own.
#[derive(Debug)]
pub enum Refused {
    NotEnough,
    Sqlite(rusqlite::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnough => f.write_str("there is not enough on the account"),
            Self::Sqlite(error) => error.fmt(f),
        }
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Both updates or none: what `Err` says was not done.
pub fn transfer(
    ctx: &Context,
    db: &mut Connection,
    cents: i64,
) -> Result<(), sqlite::Error<Refused>> {
    db.under(ctx).transaction(|tx| {
        let take = "UPDATE accounts SET cents = cents - ?1 WHERE name = 'ada' AND cents >= ?1";
        if tx.execute(take, [cents])? == 0 {
            return Err(Refused::NotEnough);
        }
        tx.execute(
            "UPDATE accounts SET cents = cents + ?1 WHERE name = 'bob'",
            [cents],
        )?;
        Ok(())
    })
}

/// A transfer whose client hangs up when ada's cents are taken and bob has not got them: in the middle of a statement that never ends.
pub fn transfer_without_end(path: &Path) -> Result<Cause, Box<dyn Error>> {
    let mut db = Connection::open(path)?;
    let (request, client) = Context::background().with_cancel();
    let moved = db.under(&request).transaction(|tx| {
        tx.execute(
            "UPDATE accounts SET cents = cents - 300 WHERE name = 'ada'",
            [],
        )?;
        let hanging_up = std::thread::spawn(move || hang_up(&client));
        let moved = tx.execute(
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n)
             UPDATE accounts SET cents = cents + (SELECT count(*) FROM n) WHERE name = 'bob'",
            [],
        );
        hanging_up.join().expect("a cancel does not panic");
        moved
    });
    match moved {
        Err(error) if error.ended().is_some() => Ok(request.cause().expect("it has ended")),
        other => Err(format!("a statement without an end gave {other:?}"))?,
    }
}

fn hang_up(client: &CancelGuard) {
    client.cancel_with(Cause::msg("connection reset by peer"));
}

/// The error of the query, and what the same connection answers to the next.
pub async fn sleep_for_an_hour(
    url: &str,
    limit: Duration,
) -> Result<(Option<ripcord::Error>, i32), Box<dyn Error>> {
    let (mut client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let (query, _guard) = Context::background().with_timeout(limit);
    let hour = client
        .under(&query, NoTls)
        .execute("SELECT pg_sleep(3600)", &[])
        .await;
    let ended = hour.err().and_then(|error| error.ended());
    let answer = answer(&mut client).await?;
    drop(client);
    connection.await??;
    Ok((ended, answer))
}

async fn answer(client: &mut Client) -> Result<i32, postgres::Error> {
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(60));
    let row = client
        .under(&ctx, NoTls)
        .query_one("SELECT 6 * 7", &[])
        .await?;
    Ok(row.get(0))
}
