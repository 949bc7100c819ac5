//! A transaction under a context. Owned by its caller; it has the connection for itself until it is committed or dropped.
//!
//! Invariant: no request to cancel is under way while none of its statements is, so none hits the rollback that its drop sends.

use super::Error;
use super::cancel::Cancel;
use std::fmt;
use std::future::Future;
use std::mem;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Socket, ToStatement};

/// A transaction under a context. From [`Under::transaction`](super::Under::transaction).
///
/// Its statements hold what those of [`Under`](super::Under) do. Once the context is done no statement is sent any more, and it cannot be
/// committed. Dropped before it is committed, also by a panic, it is rolled back: the drop sends the `ROLLBACK`, which the server does
/// before anything else on that connection; it does not block.
///
/// What else is awaited between two statements is not looked after: put that under [`Context::run`](crate::Context::run).
#[must_use = "dropped, it is rolled back"]
pub struct Transaction<'a, T> {
    tx: tokio_postgres::Transaction<'a>,
    cancel: Cancel<'a, T>,
}

impl<'a, T: MakeTlsConnect<Socket> + Clone> Transaction<'a, T> {
    pub(super) fn new(tx: tokio_postgres::Transaction<'a>, cancel: Cancel<'a, T>) -> Self {
        Self { tx, cancel }
    }

    /// All rows: as [`Under::query`](super::Under::query).
    ///
    /// # Errors
    ///
    /// As there. After any of them the transaction can only be dropped, but to a savepoint.
    pub async fn query<S: ?Sized + ToStatement>(
        &self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.run(|tx| tx.query(statement, params)).await
    }

    /// The one row there has to be: as [`Under::query_one`](super::Under::query_one).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn query_one<S: ?Sized + ToStatement>(
        &self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        self.run(|tx| tx.query_one(statement, params)).await
    }

    /// The row there may be: as [`Under::query_opt`](super::Under::query_opt).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn query_opt<S: ?Sized + ToStatement>(
        &self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        self.run(|tx| tx.query_opt(statement, params)).await
    }

    /// How many rows it changed: as [`Under::execute`](super::Under::execute).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn execute<S: ?Sized + ToStatement>(
        &self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        self.run(|tx| tx.execute(statement, params)).await
    }

    /// Several statements, savepoints among them: as [`Under::batch_execute`](super::Under::batch_execute).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        self.run(|tx| tx.batch_execute(sql)).await
    }

    /// Anything that a transaction does in one future: as [`Under::run`](super::Under::run).
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// If `f` or its future does.
    pub async fn run<'s, R, F, Fut>(&'s self, f: F) -> Result<R, Error>
    where
        F: FnOnce(&'s tokio_postgres::Transaction<'a>) -> Fut,
        Fut: Future<Output = Result<R, tokio_postgres::Error>>,
    {
        self.cancel.ctx.check().map_err(Error::Ended)?;
        self.cancel.run(self.tx.client(), true, f(&self.tx)).await
    }

    /// Commits it. `Ok` says that it is committed, also where the context ended meanwhile; of a transaction in which a statement
    /// failed, unless that was undone to a savepoint, it fails, where PostgreSQL itself would roll back and call it success.
    ///
    /// # Errors
    ///
    /// [`Ended`](Error::Ended), and [`Failed`](Error::Failed) with an error of the server's: it is rolled back. [`Unsettled`](Error::Unsettled), and
    /// `Failed` with a connection that is closed: nobody told, and it may be committed.
    pub async fn commit(self) -> Result<(), Error> {
        // In one message, of which the rest is not done once a part fails: the first part does in a failed transaction.
        self.batch_execute("SELECT 1; COMMIT").await?;
        // Its drop would roll back. It owns nothing else.
        mem::forget(self.tx);
        Ok(())
    }

    /// Rolls it back, and waits for that. The context is not asked: a rollback takes no longer for it.
    ///
    /// # Errors
    ///
    /// [`Failed`](Error::Failed): the connection is closed, so that the server rolls back by itself.
    pub async fn rollback(self) -> Result<(), Error> {
        self.tx.rollback().await.map_err(Error::Failed)
    }
}

impl<T> fmt::Debug for Transaction<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("ctx", self.cancel.ctx)
            .finish_non_exhaustive()
    }
}
