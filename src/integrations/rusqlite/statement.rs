//! Statements until SQLite has said what became of them. Each function has the connection to itself, under a watch.
//!
//! Invariant: [`Error::Ended`] is given only where nothing of the call is left.
//!
//! What that rests on, in `sqlite3VdbeHalt` (vdbeaux.c): a statement that writes and is interrupted is rolled back, with all of its
//! transaction; outside a transaction so is one that does not get its lock. Of other errors nothing is known: `OR FAIL` keeps what
//! was done before it, and a WAL hook fails after the commit. A statement with `RETURNING` makes its changes before its first row, and
//! commits them when it is reset, whatever was thought of its rows; an error of that reset nobody sees.

use super::Error;
use crate::context::Context;
use ::rusqlite::fallible_iterator::FallibleIterator;
use ::rusqlite::{Batch, Connection, Error as Theirs, ErrorCode, Params, Row, Rows, Statement};

pub(super) fn execute<P: Params>(
    db: &Connection,
    ctx: &Context,
    sql: &str,
    params: P,
) -> Result<usize, Error> {
    let call = Call::new(db, ctx);
    let mut statement = call.prepare(sql)?;
    let reads = statement.readonly();
    if reads || statement.column_count() == 0 {
        let executed = statement.execute(params);
        return executed.map_err(|error| call.failed(reads, error));
    }
    call.rows(&mut statement, params, |rows| {
        match rows.next().map_err(Stop::Sqlite)? {
            None => Ok(usize::try_from(db.changes()).unwrap_or(usize::MAX)),
            Some(_) => Err(Stop::Caller(Theirs::ExecuteReturnedResults)),
        }
    })
}

/// As [`Connection::execute_batch`], but that a statement with `RETURNING` is brought to its end.
pub(super) fn execute_batch(db: &Connection, ctx: &Context, sql: &str) -> Result<(), Error> {
    let mut call = Call::new(db, ctx);
    let mut batch = Batch::new(db, sql);
    while let Some(mut statement) = batch.next().map_err(|error| call.failed(true, error))? {
        call.rows(&mut statement, [], |rows| {
            rows.next().map(drop).map_err(Stop::Sqlite)
        })?;
        call.goes_on();
    }
    Ok(())
}

pub(super) fn query<T, P: Params>(
    db: &Connection,
    ctx: &Context,
    sql: &str,
    params: P,
    mut f: impl FnMut(&Row<'_>) -> ::rusqlite::Result<T>,
) -> Result<Vec<T>, Error> {
    let call = Call::new(db, ctx);
    call.rows(&mut call.prepare(sql)?, params, |rows| {
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(Stop::Sqlite)? {
            all.push(f(row).map_err(Stop::Caller)?);
        }
        Ok(all)
    })
}

pub(super) fn query_row<T, P: Params>(
    db: &Connection,
    ctx: &Context,
    sql: &str,
    params: P,
    f: impl FnOnce(&Row<'_>) -> ::rusqlite::Result<T>,
) -> Result<T, Error> {
    let call = Call::new(db, ctx);
    call.rows(&mut call.prepare(sql)?, params, |rows| {
        match rows.next().map_err(Stop::Sqlite)? {
            Some(row) => f(row).map_err(Stop::Caller),
            None => Err(Stop::Sqlite(Theirs::QueryReturnedNoRows)),
        }
    })
}

/// Why rows were not read on.
enum Stop {
    Sqlite(Theirs),
    /// There are rows, which are not wanted.
    Caller(Theirs),
}

struct Call<'a> {
    db: &'a Connection,
    ctx: &'a Context,
    autocommit: bool,
    /// No statement of the call has been done.
    first: bool,
}

impl<'a> Call<'a> {
    fn new(db: &'a Connection, ctx: &'a Context) -> Self {
        Self {
            db,
            ctx,
            autocommit: db.is_autocommit(),
            first: true,
        }
    }

    fn goes_on(&mut self) {
        self.autocommit = self.db.is_autocommit();
        self.first = false;
    }

    fn prepare(&self, sql: &str) -> Result<Statement<'a>, Error> {
        let prepared = self.db.prepare(sql);
        prepared.map_err(|error| self.failed(true, error))
    }

    /// What `read` gives, once a statement that writes has come to its end.
    fn rows<T, P: Params>(
        &self,
        statement: &mut Statement<'_>,
        params: P,
        read: impl FnOnce(&mut Rows<'_>) -> Result<T, Stop>,
    ) -> Result<T, Error> {
        let reads = statement.readonly();
        let failed = |error| self.failed(reads, error);
        let mut rows = statement
            .query(params)
            .map_err(|error| self.failed(true, error))?;
        match read(&mut rows) {
            Ok(value) if reads => Ok(value),
            Ok(value) => {
                // The reset commits, or does not; this hears of it.
                while rows.next().map_err(failed)?.is_some() {}
                Ok(value)
            }
            Err(Stop::Sqlite(error)) => Err(failed(error)),
            Err(Stop::Caller(error)) => {
                if !reads && self.ctx.is_done() {
                    // One that writes has not committed while it has rows left: what interrupts it here undoes it.
                    self.db.get_interrupt_handle().interrupt();
                    if let Err(undone) = rows.next() {
                        return Err(self.judge(is_undone(&undone), error));
                    }
                }
                Err(failed(error))
            }
        }
    }

    /// `reads`: what failed does not write. It may begin and end transactions.
    fn failed(&self, reads: bool, error: Theirs) -> Error {
        let unchanged = reads && self.autocommit == self.db.is_autocommit();
        let locked = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        let nothing = unchanged || is_undone(&error) || (locked && self.autocommit);
        self.judge(nothing, error)
    }

    fn judge(&self, nothing: bool, error: Theirs) -> Error {
        match self.ctx.err() {
            None => Error::Failed(error),
            Some(ended) if nothing && self.first => Error::Ended(ended),
            Some(ended) => Error::Unsettled(ended, error),
        }
    }
}

fn is_undone(error: &Theirs) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}
