//! What there is without contexts: a token, `tokio::time::timeout`, and the rest by hand.

use super::asked::{Asked, Carried};
use super::failure::Failure;
use super::scope::Scope;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

#[derive(Clone)]
pub struct Token {
    token: CancellationToken,
    deadline: Option<Instant>,
    carried: Option<Arc<Carried>>,
}

impl Token {
    fn with_token(&self, token: CancellationToken) -> (Self, Option<DropGuard>) {
        let guard = token.clone().drop_guard();
        let child = Self {
            token,
            deadline: self.deadline,
            carried: self.carried.clone(),
        };
        (child, Some(guard))
    }
}

const TIMED_OUT: Failure = Failure::Ended {
    timed_out: true,
    why: String::new(),
};
const CANCELED: Failure = Failure::Ended {
    timed_out: false,
    why: String::new(),
};

impl Scope for Token {
    type Guard = Option<DropGuard>;
    type Limit = Duration;

    fn root() -> (Self, Self::Guard) {
        let root = Self {
            token: CancellationToken::new(),
            deadline: None,
            carried: None,
        };
        root.with_token(root.token.clone())
    }

    fn limit(limit: Duration) -> Duration {
        limit
    }

    fn child(&self) -> (Self, Self::Guard) {
        self.with_token(self.token.child_token())
    }

    fn request(&self, asked: Asked, &limit: &Duration) -> (Self, Self::Guard) {
        let (mut child, guard) = self.child();
        let budget = asked.budget.map_or(limit, |budget| budget.min(limit));
        child.deadline = Instant::now().checked_add(budget);
        child.carried = Some(Arc::new(asked.into()));
        (child, guard)
    }

    /// A deadline of its own, and the token of its group: there is nothing that would cancel it alone.
    fn within(&self, share: Duration) -> (Self, Self::Guard) {
        let own = Instant::now().checked_add(share);
        let earliest = own.into_iter().chain(self.deadline).min();
        let call = Self {
            deadline: earliest,
            ..self.clone()
        };
        (call, None)
    }

    async fn run<F>(&self, future: F) -> Result<F::Output, Failure>
    where
        F: Future<Output: Send> + Send,
    {
        let canceled = self.token.run_until_cancelled(future);
        match self.deadline {
            Some(deadline) => timeout_at(deadline, canceled)
                .await
                .map_err(|_| TIMED_OUT)?
                .ok_or(CANCELED),
            None => canceled.await.ok_or(CANCELED),
        }
    }

    /// Dropped by the `run` it is under.
    async fn sleep(&self, duration: Duration) -> Result<(), Failure> {
        tokio::time::sleep(duration).await;
        Ok(())
    }

    /// After its deadline too: the request is dropped then, and with it the guard.
    fn check(&self) -> Result<(), Failure> {
        if self.token.is_cancelled() {
            return Err(CANCELED);
        }
        Ok(())
    }

    fn remaining(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    fn id(&self) -> Option<&str> {
        Some(&self.carried.as_ref()?.id)
    }

    fn user(&self) -> Option<&str> {
        self.carried.as_ref()?.user.as_deref()
    }
}
