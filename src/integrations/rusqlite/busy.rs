//! A connection that waits for locks of others no longer than its context lasts. Owned by one call of `Under`, whose watch goes
//! first; the drop puts back what the connection had: its timeout, and no interrupt.

use crate::context::Context;
use ::rusqlite::{Connection, Result};
use crossbeam_channel::RecvTimeoutError;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

/// Milliseconds between two looks at a lock, those of SQLite's own handler (`sqliteDefaultBusyCallback` in main.c); the last goes on.
const DELAYS: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100];

pub(super) struct Busy<'a> {
    db: &'a mut Connection,
    /// The timeout to put back. None where there was none, a handler that is not ours to replace, or an authorizer that does not let us
    /// ask.
    timeout: Option<Duration>,
}

impl<'a> Busy<'a> {
    pub(super) fn of(db: &'a mut Connection, ctx: &Context) -> Result<Self> {
        // An authorizer may refuse it, and so what the connection has cannot be put back: it keeps that.
        let asked = db.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, u32>(0));
        let millis = asked.unwrap_or(0);
        let timeout = (millis > 0).then(|| Duration::from_millis(millis.into()));
        if let Some(timeout) = timeout {
            db.busy_handler(Some(waiter(ctx.clone(), timeout)))?;
        }
        Ok(Self { db, timeout })
    }
}

/// Whether to look at the lock again, after a wait. The channel's time is the real one, whatever clock the context goes by.
fn waiter(ctx: Context, timeout: Duration) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut began = Instant::now();
    move |looks| {
        if looks == 0 {
            began = Instant::now();
        }
        let left = timeout.saturating_sub(began.elapsed());
        let look = usize::try_from(looks).unwrap_or(0).min(DELAYS.len() - 1);
        let delay = Duration::from_millis(DELAYS[look]).min(left);
        let waited = ctx.done_channel().recv_timeout(delay);
        !left.is_zero() && waited == Err(RecvTimeoutError::Timeout)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        // An interrupt that no statement was there for is forgotten by the next that is prepared. Not by a checkpoint.
        if self.db.is_interrupted() {
            let _ = self.db.prepare("SELECT 1");
        }
        if let Some(timeout) = self.timeout {
            // It only fails on a connection that is closed.
            let _ = self.db.busy_timeout(timeout);
        }
    }
}

impl Deref for Busy<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.db
    }
}

impl DerefMut for Busy<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.db
    }
}
