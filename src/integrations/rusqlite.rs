//! SQLite under a context. Feature `rusqlite`; whether SQLite is bundled is a feature of the rusqlite crate, and its user's choice.
//!
//! [`under`](UnderContext::under) puts the next call on a [`Connection`][theirs] under a context: a statement, a query, a transaction, or
//! [a closure](Under::run) of them. When the context is done SQLite is interrupted (`sqlite3_interrupt`), by a thread of those that
//! serve [`after_func`](Context::after_func), within milliseconds of work; a wait for another connection's lock ends at once. The
//! connection can be used on, and no interrupt comes late: see [`Under`].
//!
//! ```
//! use ripcord::Context;
//! use ripcord::rusqlite::{Error, UnderContext};
//! use rusqlite::Connection;
//! use std::time::Duration;
//!
//! let mut db = Connection::open_in_memory()?;
//! let (request, _guard) = Context::background().with_timeout(Duration::from_millis(50));
//! let endless = "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
//! let ended = db.under(&request).query_row(endless, [], |row| row.get::<_, i64>(0));
//! assert!(matches!(ended, Err(Error::Ended(ripcord::Error::DeadlineExceeded))));
//!
//! let two = db.under(&Context::background()).query_row("SELECT 1 + 1", [], |row| row.get::<_, i64>(0));
//! assert_eq!(two?, 2);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! [theirs]: https://docs.rs/rusqlite/0.43/rusqlite/struct.Connection.html

mod busy;
mod statement;
mod watch;

use crate::context::Context;
use ::rusqlite::{Connection, Params, Row, Transaction, TransactionBehavior};
use busy::Busy;
use std::fmt;
use watch::Watch;

/// Why there is no result. `E` is what the closure fails with, SQLite's own error where there is none.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E = ::rusqlite::Error> {
    /// The context ended, before or in the middle, and nothing of the call is left: no statement ran, or what ran changed nothing, or
    /// SQLite has rolled it back.
    Ended(crate::Error),
    /// The context had ended when the call failed, and what it had changed by then may be there: the error is not the interrupt's,
    /// or not that of the first statement. Look before it is done again.
    Unsettled(crate::Error, E),
    /// SQLite's own error, or the closure's. What is changed by then is what rusqlite leaves.
    Failed(E),
}

impl<E> Error<E> {
    /// How the context ended, if it had; that nothing was done only [`Ended`](Self::Ended) says. Wait-free; allocates nothing.
    #[must_use]
    pub const fn ended(&self) -> Option<crate::Error> {
        match self {
            Self::Ended(error) | Self::Unsettled(error, _) => Some(*error),
            Self::Failed(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(error) => error.fmt(f),
            Self::Unsettled(ended, error) => write!(f, "{ended}, in the middle: {error}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// It prints as what it holds, and its source is that one's source.
impl<E: std::error::Error> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ended(_) => None,
            Self::Unsettled(_, error) | Self::Failed(error) => error.source(),
        }
    }
}

/// A context for the next call on a [`Connection`][theirs].
///
/// [theirs]: https://docs.rs/rusqlite/0.43/rusqlite/struct.Connection.html
pub trait UnderContext {
    /// What is called on the result is done under `ctx`. Wait-free; allocates nothing.
    ///
    /// It takes the connection for itself, so that there is no other statement on it that an interrupt would hit as well.
    fn under<'a>(&'a mut self, ctx: &'a Context) -> Under<'a>;
}

impl UnderContext for Connection {
    fn under<'a>(&'a mut self, ctx: &'a Context) -> Under<'a> {
        Under { db: self, ctx }
    }
}

/// A connection for one call under a context. From [`under`](UnderContext::under).
///
/// What holds for each call:
///
/// * A context that is done already runs nothing.
/// * When the context ends, SQLite is interrupted, again and again until the call has left it: what lies between two statements
///   is no gap, and a closure that goes on to another statement is interrupted there.
/// * No interrupt comes after the call has returned or unwound: the next statement of the connection is never hit.
/// * Where SQLite waits for a lock of another connection (`busy_timeout`; rusqlite's default is 5 s), the wait ends with the
///   context; the timeout is afterwards what it was before. A handler of your own (`busy_handler`) is left as it is, and should look
///   at the context by itself. So is a timeout where an authorizer refuses `PRAGMA busy_timeout`, with which each call asks for it: a
///   wait for a lock then ends with the timeout, and not with the context. Work is interrupted all the same.
/// * [`Ended`](Error::Ended) says that nothing of the call is left. SQLite rolls back a statement that is interrupted, `OR FAIL` and several
///   rows or not, and [`execute`](Self::execute) and the queries have it roll back one with `RETURNING` whose rows are refused once the context
///   is done. Where it is not known, the call gives [`Unsettled`](Error::Unsettled). What is outside of SQLite's transactions does not come
///   back: what a `PRAGMA` sets, a file that is written, what a function defined in Rust does.
/// * The connection can be used on. A transaction that was open *before* the call is rolled back by SQLite, whole, where a write inside
///   it is interrupted ([`is_autocommit`][autocommit] tells): [`transaction`](Self::transaction) has one of its own.
///
/// Each blocks as SQLite does. Each allocates a registration with the context, which nothing is left of afterwards.
/// The interrupt is sent from a thread that callbacks share: with 500 others blocked, it waits for one of them.
///
/// A function defined in Rust (`create_scalar_function`) is not stopped in the middle: SQLite is at its end.
///
/// [autocommit]: https://docs.rs/rusqlite/0.43/rusqlite/struct.Connection.html#method.is_autocommit
#[must_use = "nothing is done until a method is called"]
pub struct Under<'a> {
    db: &'a mut Connection,
    ctx: &'a Context,
}

impl Under<'_> {
    /// Executes one statement, and gives the number of rows it changed: as [`Connection::execute`][theirs].
    ///
    /// # Errors
    ///
    /// [`Ended`](Error::Ended): the context ended, and the statement changed nothing. [`Unsettled`](Error::Unsettled): the context had ended, but
    /// a statement that writes failed for another reason, a constraint say. [`Failed`](Error::Failed): SQLite's.
    ///
    /// [theirs]: https://docs.rs/rusqlite/0.43/rusqlite/struct.Connection.html#method.execute
    pub fn execute<P: Params>(self, sql: &str, params: P) -> Result<usize, Error> {
        self.within(|db, ctx| statement::execute(db, ctx, sql, params))
    }

    /// Executes several statements, each for itself, up to the one that fails: as [`Connection::execute_batch`][theirs].
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute), of the first; [`Unsettled`](Error::Unsettled) where those before the one that was interrupted have been done.
    ///
    /// [theirs]: https://docs.rs/rusqlite/0.43/rusqlite/struct.Connection.html#method.execute_batch
    pub fn execute_batch(self, sql: &str) -> Result<(), Error> {
        self.within(|db, ctx| statement::execute_batch(db, ctx, sql))
    }

    /// All rows, each by `f`. Allocates for them.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute), and what `f` fails with. Where that is with the context done, what a statement with `RETURNING` changed
    /// is rolled back, as by an interrupt; where it is not, it stays: SQLite has made all changes by the first row.
    ///
    /// # Panics
    ///
    /// If `f` does; the connection can be used on.
    pub fn query<T, P: Params>(
        self,
        sql: &str,
        params: P,
        f: impl FnMut(&Row<'_>) -> ::rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        self.within(|db, ctx| statement::query(db, ctx, sql, params, f))
    }

    /// The first row, by `f`: as [`Connection::query_row`][theirs], but that a statement that writes is brought to its end, and `Ok` says
    /// that it was.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query), and `QueryReturnedNoRows`.
    ///
    /// # Panics
    ///
    /// As [`query`](Self::query).
    ///
    /// [theirs]: https://docs.rs/rusqlite/0.43/rusqlite/struct.Connection.html#method.query_row
    pub fn query_row<T, P: Params>(
        self,
        sql: &str,
        params: P,
        f: impl FnOnce(&Row<'_>) -> ::rusqlite::Result<T>,
    ) -> Result<T, Error> {
        self.within(|db, ctx| statement::query_row(db, ctx, sql, params, f))
    }

    /// Anything on the connection: each statement for itself, and no transaction around them.
    ///
    /// What `f` gives is the result, also where the context has ended by then.
    ///
    /// # Errors
    ///
    /// [`Ended`](Error::Ended): the context has ended, and `f` was not called. [`Unsettled`](Error::Unsettled): it has ended, and `f` failed; what
    /// its statements had done stays, for which [`transaction`](Self::transaction) is the remedy. [`Failed`](Error::Failed): `f` failed.
    ///
    /// # Panics
    ///
    /// If `f` does; nothing is left behind.
    ///
    /// ```
    /// use ripcord::{Context, rusqlite::UnderContext};
    /// use rusqlite::Connection;
    ///
    /// let mut db = Connection::open_in_memory()?;
    /// let (ctx, _guard) = Context::background().with_cancel();
    /// let sum = db.under(&ctx).run(|db| {
    ///     let mut squares = db.prepare("SELECT ?1 * ?1")?;
    ///     (1..=3).map(|n| squares.query_row([n], |row| row.get::<_, i64>(0))).sum::<rusqlite::Result<i64>>()
    /// });
    /// assert_eq!(sum?, 14);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn run<T, E: From<::rusqlite::Error>>(
        self,
        f: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, Error<E>> {
        self.within(|db, ctx| {
            f(db).map_err(|error| match ctx.err() {
                Some(ended) => Error::Unsettled(ended, error),
                None => Error::Failed(error),
            })
        })
    }

    fn within<T, E: From<::rusqlite::Error>>(
        self,
        f: impl FnOnce(&Connection, &Context) -> Result<T, Error<E>>,
    ) -> Result<T, Error<E>> {
        let Self { db, ctx } = self;
        ctx.check().map_err(Error::Ended)?;
        let busy = Busy::of(db, ctx).map_err(|error| failed(ctx, error.into()))?;
        // Dropped before `busy` is, also by a panic.
        let _watch = Watch::over(ctx, busy.get_interrupt_handle());
        f(&busy, ctx)
    }

    /// A transaction around `f`, that takes no lock before it needs one (`DEFERRED`): as
    /// [`transaction_with_behavior`](Self::transaction_with_behavior).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// If `f` does; the transaction is rolled back.
    ///
    /// ```
    /// use ripcord::rusqlite::{Error, UnderContext};
    /// use ripcord::Context;
    /// use rusqlite::Connection;
    ///
    /// let mut db = Connection::open_in_memory()?;
    /// db.execute_batch("CREATE TABLE accounts (name TEXT, cents INTEGER); INSERT INTO accounts VALUES ('ada', 500), ('bob', 0)")?;
    ///
    /// let (request, guard) = Context::background().with_cancel();
    /// let moved = db.under(&request).transaction(|tx| {
    ///     tx.execute("UPDATE accounts SET cents = cents - 300 WHERE name = 'ada'", [])?;
    ///     guard.cancel(); // the client hangs up in the middle
    ///     tx.execute("UPDATE accounts SET cents = cents + 300 WHERE name = 'bob'", [])
    /// });
    /// assert_eq!(moved.unwrap_err().ended(), Some(ripcord::Error::Canceled));
    ///
    /// let ada = db.query_row("SELECT cents FROM accounts WHERE name = 'ada'", [], |row| row.get::<_, i64>(0))?;
    /// assert_eq!(ada, 500);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn transaction<T, E: From<::rusqlite::Error>>(
        self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, Error<E>> {
        self.transaction_with_behavior(TransactionBehavior::Deferred, f)
    }

    /// A transaction around `f`: committed where `f` gives `Ok` and the context is not done, rolled back else.
    ///
    /// The result tells which. `Ok`: it was committed, even where the context ended while it was. `Err`: nothing of it was done, for a
    /// commit that is interrupted has no effect; but where a WAL hook of the connection fails (`wal_hook`), it does so after the commit, and
    /// its error is `Failed`, or `Unsettled` once the context is done. What was interrupted stays so: no further statement of `f` runs, whatever `f` makes
    /// of the error. That is done by a statement held open through the transaction, which is why a function or a collation
    /// cannot be defined anew meanwhile.
    ///
    /// `f` must not end the transaction by itself; savepoints it may use. Nor may it go on after an error with which SQLite has ended it,
    /// that of an `OR ROLLBACK` or of a full disk say ([`is_autocommit`][autocommit] tells): what it did then would be done for good.
    ///
    /// [autocommit]: https://docs.rs/rusqlite/0.43/rusqlite/struct.Connection.html#method.is_autocommit
    ///
    /// # Errors
    ///
    /// [`Ended`](Error::Ended): the context ended; nothing was done. [`Failed`](Error::Failed): `f` failed, or SQLite at the begin, the commit or
    /// the rollback; nothing was done, but for a WAL hook's error. [`Unsettled`](Error::Unsettled): the context had ended when the commit failed
    /// in a way that does not tell.
    ///
    /// # Panics
    ///
    /// If `f` does; the transaction is rolled back.
    pub fn transaction_with_behavior<T, E: From<::rusqlite::Error>>(
        self,
        behavior: TransactionBehavior,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, Error<E>> {
        let Self { db, ctx } = self;
        ctx.check().map_err(Error::Ended)?;
        let mut busy = Busy::of(db, ctx).map_err(|error| failed(ctx, error.into()))?;
        let begin = Watch::over(ctx, busy.get_interrupt_handle());
        let tx = busy
            .transaction_with_behavior(behavior)
            .map_err(|error| failed(ctx, error.into()))?;
        // Dropped before `tx` is, also by a panic: a rollback is not to be interrupted.
        let watch = begin;
        let result = held(&tx, ctx, f);
        drop(watch);
        let Err(error) = result else {
            return result;
        };
        // SQLite may have rolled back by itself.
        if !tx.is_autocommit() {
            tx.rollback().map_err(|error| Error::Failed(error.into()))?;
        }
        Err(error)
    }
}

/// `f` and the commit, with a statement open all the while. An interrupt stays in force until no statement is open
/// (<https://www.sqlite.org/c3ref/interrupt.html>): so none that begins after it runs, the commit neither.
fn held<T, E: From<::rusqlite::Error>>(
    tx: &Transaction<'_>,
    ctx: &Context,
    f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, Error<E>> {
    let of_sqlite = |error: ::rusqlite::Error| failed(ctx, error.into());
    // Two rows, of which one is taken. It reads no table, and so holds up no commit and no change of the schema.
    let mut open = tx.prepare("VALUES (1), (2)").map_err(of_sqlite)?;
    let mut rows = open.query([]).map_err(of_sqlite)?;
    rows.next().map_err(of_sqlite)?;
    ctx.check().map_err(Error::Ended)?;
    let value = f(tx).map_err(|error| failed(ctx, error))?;
    ctx.check().map_err(Error::Ended)?;
    tx.execute_batch("COMMIT")
        .map_err(|error| match ctx.err() {
            // Over, and not by us: SQLite rolled back, or committed and then had a WAL hook fail.
            Some(ended) if tx.is_autocommit() => Error::Unsettled(ended, error.into()),
            _ => of_sqlite(error),
        })?;
    Ok(value)
}

/// Of what is rolled back: what fails once the context is done failed for that, by an interrupt, a wait that was given up, the closure's
/// own look.
fn failed<E>(ctx: &Context, error: E) -> Error<E> {
    ctx.err().map_or(Error::Failed(error), Error::Ended)
}

impl fmt::Debug for Under<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Under")
            .field("ctx", self.ctx)
            .finish_non_exhaustive()
    }
}
