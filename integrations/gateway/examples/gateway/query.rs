//! SQLite behind `/query`: a few connections, each used on a thread where it holds up nobody.

use super::failure::Failure;
use super::stats::Stats;
use crossbeam_channel::{Receiver, Sender, bounded};
use ripcord::Context;
use ripcord::rusqlite::{Error, UnderContext};
use rusqlite::Connection;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Items in the shop; item I costs 100 + I cents.
const ITEMS: i64 = 1_000;

const TABLE: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, cents INTEGER NOT NULL)";

const FILLED: &str = "
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
    INSERT INTO item SELECT i, 100 + i FROM n";

/// The first `?1` lines of an order that goes through the shop again and again. `CROSS` has SQLite make them one by one, and keep
/// none.
const ORDER: &str = "
    WITH RECURSIVE line(at) AS (SELECT 0 WHERE ?1 > 0 UNION ALL SELECT at + 1 FROM line WHERE at + 1 < ?1)
    SELECT count(*), coalesce(sum(item.cents), 0) FROM line CROSS JOIN item ON item.id = line.at % ?2";

/// Connections to SQLite. Nothing is written to, so each has a database of its own in memory, and all of them are alike.
pub struct Shop {
    idle: (Sender<Connection>, Receiver<Connection>),
    /// One for each of them, so that queries queue here, where they can be given up, and not on threads.
    free: Arc<Semaphore>,
    stats: Arc<Stats>,
}

impl Shop {
    /// # Errors
    ///
    /// SQLite has no memory.
    pub fn open(connections: usize, stats: Arc<Stats>) -> rusqlite::Result<Self> {
        let idle = bounded(connections);
        for _ in 0..connections {
            // There is room for all.
            let _ = idle.0.try_send(open()?);
        }
        Ok(Self {
            idle,
            free: Arc::new(Semaphore::new(connections)),
            stats,
        })
    }

    /// What an order of so many lines comes to. SQLite is interrupted when the context is done, also where nobody waits for
    /// this any more.
    pub async fn order(&self, ctx: &Context, lines: i64) -> Result<String, Failure> {
        let free = Arc::clone(&self.free)
            .acquire_owned()
            .await
            .map_err(|closed| Failure::Internal(closed.to_string()))?;
        let (put_back, idle) = self.idle.clone();
        let stats = Arc::clone(&self.stats);
        let query = ctx.clone();
        let (count, cents) = tokio::task::spawn_blocking(move || {
            let _free = free;
            let _querying = stats.querying.enter();
            // One is missing only where a thread panicked with it.
            let mut shop = idle.try_recv().or_else(|_| open()).map_err(Error::Failed)?;
            let row = shop.under(&query).query_row(ORDER, [lines, ITEMS], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            });
            let _ = put_back.try_send(shop);
            if matches!(row, Err(Error::Ended(_))) {
                stats.interrupted.add();
            }
            row
        })
        .await
        .map_err(|lost| Failure::Internal(lost.to_string()))?
        .map_err(|error| match error {
            Error::Ended(_) => Failure::ended(ctx),
            error => Failure::Internal(format!("SQLite: {error}")),
        })?;
        Ok(format!("{count} items, {cents} cents\n"))
    }
}

fn open() -> rusqlite::Result<Connection> {
    let shop = Connection::open_in_memory()?;
    shop.execute(TABLE, [])?;
    shop.execute(FILLED, [ITEMS])?;
    Ok(shop)
}
