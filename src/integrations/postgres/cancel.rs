//! One statement until its outcome is known: under its context, and, once that is done, with requests to the server to cancel it.
//! Owned by a call of `Under` or of `Transaction`, which have the connection for themselves.
//!
//! Invariant: when `run` has returned, but for `Unsettled`, the statement is over on the server, or is being tidied up after,
//! and no request that was made for it can hit another, unless it takes longer to come there than `settle` waits.

use super::Error;
use crate::context::Context;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Socket};

/// A request that comes while no statement runs, because it overtook the one it is for or came between two, is ignored by the
/// server: so it is sent again.
const AGAIN: Duration = Duration::from_millis(250);

/// How long a request is waited for that nothing was seen of: what comes later than this may hit another statement.
const LATE: Duration = Duration::from_secs(1);

/// How long, at least, the second signal of one that was seen.
const SOON: Duration = Duration::from_millis(10);

pub(super) struct Cancel<'a, T> {
    pub(super) ctx: &'a Context,
    pub(super) token: CancelToken,
    pub(super) tls: T,
    pub(super) grace: Duration,
}

impl<T: MakeTlsConnect<Socket> + Clone> Cancel<'_, T> {
    /// `within`: the statement is one of a transaction of ours, which is over once the context is done.
    pub(super) async fn run<R>(
        &self,
        client: &Client,
        within: bool,
        statement: impl Future<Output = Result<R, tokio_postgres::Error>>,
    ) -> Result<R, Error> {
        let mut statement = pin!(statement);
        let mut begun = false;
        let polled = std::future::poll_fn(|task| {
            begun = true;
            statement.as_mut().poll(task)
        });
        let ended = match self.ctx.run(polled).await {
            Ok(outcome) => return outcome.map_err(Error::Failed),
            Err(ended) => ended,
        };
        if !begun {
            return Err(Error::Ended(ended));
        }
        // By the process's own clock: that of the context may stand still, or be shut down.
        let (grace, _guard) = Context::background().with_timeout(self.grace);
        grace
            .run(self.cancel(client, within, statement, ended))
            .await
            .unwrap_or(Err(Error::Unsettled(ended)))
    }

    async fn cancel<R>(
        &self,
        client: &Client,
        within: bool,
        mut statement: Pin<&mut impl Future<Output = Result<R, tokio_postgres::Error>>>,
        ended: crate::Error,
    ) -> Result<R, Error> {
        let asked = Instant::now();
        let mut requests = 0_u32;
        let outcome = loop {
            let request = pin!(async {
                requests += 1;
                // One that could not be sent is sent again, too.
                let _ = self.token.cancel_query(self.tls.clone()).await;
                let _ = Context::background().sleep(AGAIN).await;
            });
            if let Some(outcome) = before(statement.as_mut(), request).await {
                break outcome;
            }
        };
        let hit = is_hit(&outcome);
        // The last one may be under way still, or not have been sent at all.
        if requests > 0 {
            settle(client, within, asked, requests, hit).await;
        }
        outcome.map_err(|error| {
            let aborted = error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
            if hit || aborted {
                Error::Ended(ended)
            } else {
                Error::Failed(error)
            }
        })
    }
}

fn is_hit<R>(outcome: &Result<R, tokio_postgres::Error>) -> bool {
    let error = outcome.as_ref().err();
    error.and_then(tokio_postgres::Error::code) == Some(&SqlState::QUERY_CANCELED)
}

/// Gives a signal that is under way something to hit, until there is none for as long as one may take.
///
/// A request whose hit was seen is not used up by that: the server sends the signal twice, to the process and to its group
/// (`signal_child` in postmaster.c). The two are as far apart as the load makes them, of which the time until the first is a measure.
async fn settle(client: &Client, within: bool, asked: Instant, requests: u32, mut seen: bool) {
    // After as many hits there is none under way, whatever looks like one.
    for _ in 0..requests.saturating_mul(2) {
        let wait = if seen && requests == 1 {
            (asked.elapsed() * 4).clamp(SOON, LATE)
        } else {
            LATE
        };
        // First, for in a transaction that has failed nothing waits.
        let mut hit = within && is_hit(&client.batch_execute("ROLLBACK").await);
        // What fails for another reason is a connection that is closed, or a transaction of the caller's that has failed.
        hit = hit || is_hit(&client.batch_execute(&bait(wait)).await);
        if !hit {
            return;
        }
        seen = true;
    }
}

/// A sleep without the session's `statement_timeout`, whose end of it could not be told from a hit. In one message, and so in one
/// transaction, at the end of which that is as before; in one of the caller's it is put back by the last part, or with the abort by a hit.
fn bait(wait: Duration) -> String {
    format!(
        "SELECT set_config('ripcord.timeout', current_setting('statement_timeout'), true), \
                set_config('statement_timeout', '0', true); \
         SELECT pg_sleep({}); \
         SELECT set_config('statement_timeout', current_setting('ripcord.timeout'), true)",
        wait.as_secs_f64()
    )
}

/// What `one` gives, if it is not later than `other`.
async fn before<A: Future>(
    mut one: Pin<&mut A>,
    mut other: Pin<&mut impl Future<Output = ()>>,
) -> Option<A::Output> {
    std::future::poll_fn(|task| {
        if let Poll::Ready(output) = one.as_mut().poll(task) {
            return Poll::Ready(Some(output));
        }
        other.as_mut().poll(task).map(|()| None)
    })
    .await
}
