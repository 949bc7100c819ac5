//! PostgreSQL under a context, by tokio-postgres. Feature `tokio-postgres`.
//!
//! [`under`](UnderContext::under) puts the next call on a [`Client`][theirs] under a context: a statement, a transaction, or
//! [anything else](Under::run). When the context is done the server is asked to cancel what it runs for that connection, by a
//! connection of its own as the protocol has it (<https://www.postgresql.org/docs/current/protocol-flow.html>, "Canceling
//! Requests in Progress"), and the call returns when it knows what became of it. So the connection can be used on: see [`Under`].
//!
//! ```no_run
//! use ripcord::Context;
//! use ripcord::postgres::{Error, UnderContext};
//! use std::time::Duration;
//! use tokio_postgres::{Client, NoTls};
//!
//! async fn report(request: &Context, client: &mut Client) -> Result<i64, Error> {
//!     let (query, _guard) = request.with_timeout(Duration::from_millis(200));
//!     let row = client.under(&query, NoTls).query_one("SELECT count(*) FROM orders", &[]).await?;
//!     Ok(row.get(0))
//! }
//!
//! async fn transfer(request: &Context, client: &mut Client) -> Result<(), Error> {
//!     let tx = client.under(request, NoTls).transaction().await?;
//!     tx.execute("UPDATE accounts SET cents = cents - 300 WHERE name = $1", &[&"ada"]).await?;
//!     tx.execute("UPDATE accounts SET cents = cents + 300 WHERE name = $1", &[&"bob"]).await?;
//!     tx.commit().await // dropped before: rolled back
//! }
//! ```
//!
//! [theirs]: https://docs.rs/tokio-postgres/0.7/tokio_postgres/struct.Client.html

mod cancel;
mod transaction;

use crate::context::Context;
use cancel::Cancel;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Socket, ToStatement, TransactionBuilder};

pub use transaction::Transaction;

/// How long a call waits for the server once the context is done, if [`grace`](Under::grace) does not say otherwise.
pub const GRACE: Duration = Duration::from_secs(5);

/// Why there is no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The context ended, before or in the middle: the server cancelled the statement, which had no effect; a transaction is, or
    /// will be with its drop, rolled back. The connection can be used on.
    Ended(crate::Error),
    /// The context ended, and in the time of grace the server did not say what became of the statement: it may be running, or have
    /// had its effect. Drop the connection.
    Unsettled(crate::Error),
    /// tokio-postgres's own: the server's error, or a connection that is closed.
    Failed(tokio_postgres::Error),
}

impl Error {
    /// How the context ended, if that is what it was. Wait-free; allocates nothing.
    #[must_use]
    pub const fn ended(&self) -> Option<crate::Error> {
        match self {
            Self::Ended(error) | Self::Unsettled(error) => Some(*error),
            Self::Failed(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(error) => error.fmt(f),
            Self::Unsettled(error) => write!(
                f,
                "{error}, and the server did not answer since; drop the connection"
            ),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ended(_) | Self::Unsettled(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}

/// A context for the next call on a [`Client`][theirs].
///
/// [theirs]: https://docs.rs/tokio-postgres/0.7/tokio_postgres/struct.Client.html
pub trait UnderContext {
    /// What is called on the result is done under `ctx`. `tls` is for the connection by which the server is asked to cancel:
    /// what this one was made with. Wait-free; allocates nothing.
    ///
    /// It takes the client for itself, because the server cancels whatever the connection is at: a statement of another task would be
    /// hit as well.
    fn under<'a, T: MakeTlsConnect<Socket> + Clone>(
        &'a mut self,
        ctx: &'a Context,
        tls: T,
    ) -> Under<'a, T>;
}

impl UnderContext for Client {
    fn under<'a, T: MakeTlsConnect<Socket> + Clone>(
        &'a mut self,
        ctx: &'a Context,
        tls: T,
    ) -> Under<'a, T> {
        let token = self.cancel_token();
        let grace = GRACE;
        Under {
            client: self,
            cancel: Cancel {
                ctx,
                token,
                tls,
                grace,
            },
        }
    }
}

/// A client for one call under a context. From [`under`](UnderContext::under).
///
/// What holds for each call:
///
/// * A context that is done already sends nothing.
/// * Once the context is done the server is asked to cancel, again every 250 ms, until the statement's outcome is there: a
///   request that came too early, or could not be sent, is made good.
/// * The outcome is what is told. [`Ended`](Error::Ended): cancelled, without effect. `Ok`: it had come to its end before the
///   request did, and had its effect.
/// * A request that comes late does not hit the next statement: after the outcome the call goes on with a `pg_sleep`, for it to hit.
///   Where the outcome was that of the request, that is for the second of the two signals that a server may make of it, and takes four
///   times as long as the request did (10 ms at least). Where the statement ended by itself meanwhile, or several requests
///   were made, it takes a second without a hit. What is *not* promised: a signal that comes later than that may hit what
///   runs then, for the protocol does not say when it came. Through a pooler that gives a session to others between transactions
///   (pgbouncer's transaction mode), all this is the pooler's to keep.
/// * All that takes no longer than the [`grace`](Self::grace). After it the call gives [`Unsettled`](Error::Unsettled).
///
/// So drive a call to its end, and do not put [`Context::run`] around it: a future that is dropped in the middle leaves the server at
/// its work, as tokio-postgres's do, with later statements waiting behind it. A timeout of the server's own (`statement_timeout`) ends
/// a statement with the same code as a cancel; where it comes in the same moment, it is taken for one.
///
/// The futures run on tokio, in whatever runtime the connection is in. A registration with the context, no allocation of ours
/// until it ends.
#[must_use = "nothing is done until a method is called"]
pub struct Under<'a, T> {
    client: &'a mut Client,
    cancel: Cancel<'a, T>,
}

impl<'a, T: MakeTlsConnect<Socket> + Clone> Under<'a, T> {
    /// How long it may take, once the context is done, until the server has ended the statement, by real time: 5 s ([`GRACE`]) if
    /// this is not called. Zero: the server is not asked, and left with the statement.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.cancel.grace = grace;
        self
    }

    /// All rows: as [`Client::query`][theirs].
    ///
    /// # Errors
    ///
    /// [`Ended`](Error::Ended): the context ended, and the statement had no effect. [`Unsettled`](Error::Unsettled): the context ended,
    /// and so did the time of grace. [`Failed`](Error::Failed): the server's, or the connection's.
    ///
    /// [theirs]: https://docs.rs/tokio-postgres/0.7/tokio_postgres/struct.Client.html#method.query
    pub async fn query<S: ?Sized + ToStatement>(
        self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.run(|client| client.query(statement, params)).await
    }

    /// The one row there has to be: as [`Client::query_one`][theirs].
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); `Failed` also where there is not one row.
    ///
    /// [theirs]: https://docs.rs/tokio-postgres/0.7/tokio_postgres/struct.Client.html#method.query_one
    pub async fn query_one<S: ?Sized + ToStatement>(
        self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        self.run(|client| client.query_one(statement, params)).await
    }

    /// The row there may be: as [`Client::query_opt`][theirs].
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); `Failed` also where there are several rows.
    ///
    /// [theirs]: https://docs.rs/tokio-postgres/0.7/tokio_postgres/struct.Client.html#method.query_opt
    pub async fn query_opt<S: ?Sized + ToStatement>(
        self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        self.run(|client| client.query_opt(statement, params)).await
    }

    /// How many rows it changed: as [`Client::execute`][theirs].
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    ///
    /// [theirs]: https://docs.rs/tokio-postgres/0.7/tokio_postgres/struct.Client.html#method.execute
    pub async fn execute<S: ?Sized + ToStatement>(
        self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        self.run(|client| client.execute(statement, params)).await
    }

    /// Several statements, all or none of them unless they say otherwise by `BEGIN` and `COMMIT`: as [`Client::batch_execute`][theirs].
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    ///
    /// [theirs]: https://docs.rs/tokio-postgres/0.7/tokio_postgres/struct.Client.html#method.batch_execute
    pub async fn batch_execute(self, sql: &str) -> Result<(), Error> {
        self.run(|client| client.batch_execute(sql)).await
    }

    /// Anything that a client does in one future: a `COPY`, a stream of rows that is read in it, several statements. The outcome is
    /// that future's, so it should fail where one of its statements does.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query), for the statement it failed at; those before it had their effect.
    ///
    /// # Panics
    ///
    /// If `f` or its future does.
    pub async fn run<R, F, Fut>(self, f: F) -> Result<R, Error>
    where
        F: FnOnce(&'a Client) -> Fut,
        Fut: Future<Output = Result<R, tokio_postgres::Error>>,
    {
        let client: &'a Client = self.client;
        self.cancel.ctx.check().map_err(Error::Ended)?;
        self.cancel.run(client, false, f(client)).await
    }

    /// A transaction whose statements, and whose commit, are under the context. Dropped before it is committed it is rolled back, also
    /// by a panic.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); there is no transaction then.
    pub async fn transaction(self) -> Result<Transaction<'a, T>, Error> {
        self.transaction_with(|builder| builder).await
    }

    /// As [`transaction`](Self::transaction), with an isolation level, read only, or deferrable, as `with` says.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn transaction_with(
        self,
        with: impl FnOnce(TransactionBuilder<'a>) -> TransactionBuilder<'a>,
    ) -> Result<Transaction<'a, T>, Error> {
        let Self { client, cancel } = self;
        // Where it is dropped in the middle, tokio-postgres rolls back. A begin is nothing to cancel.
        let begin = with(client.build_transaction()).start();
        let begun = cancel.ctx.run(begin).await.map_err(Error::Ended)?;
        Ok(Transaction::new(begun.map_err(Error::Failed)?, cancel))
    }
}

impl<T> fmt::Debug for Under<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Under")
            .field("ctx", self.cancel.ctx)
            .field("grace", &self.cancel.grace)
            .finish_non_exhaustive()
    }
}
