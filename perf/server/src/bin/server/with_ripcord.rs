//! A context a request, as in `integrations/gateway`.

use super::asked::Asked;
use super::failure::Failure;
use super::scope::Scope;
use ripcord::{CancelGuard, Cause, Context, Key};
use std::fmt;
use std::future::Future;
use std::time::Duration;

static REQUEST_ID: Key<String> = Key::new("request_id");
static USER: Key<String> = Key::new("user");

/// The causes of deadlines.
#[derive(Clone, Copy, Debug)]
enum Reason {
    ServerLimit,
    CallerBudget(Duration),
    CallShare(Duration),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerLimit => f.write_str("the server's limit"),
            Self::CallerBudget(budget) => write!(f, "the caller's budget of {budget:?}"),
            Self::CallShare(share) => write!(f, "a call's share of {share:?}"),
        }
    }
}

impl std::error::Error for Reason {}

fn ended(ctx: &Context) -> Failure {
    Failure::Ended {
        timed_out: ctx.err().is_some_and(ripcord::Error::is_timeout),
        why: ctx
            .cause()
            .map_or_else(String::new, |cause| cause.to_string()),
    }
}

impl Scope for Context {
    type Guard = CancelGuard;
    type Limit = (Duration, Cause);

    fn root() -> (Self, CancelGuard) {
        Self::background().with_cancel()
    }

    fn limit(limit: Duration) -> Self::Limit {
        (limit, Reason::ServerLimit.into())
    }

    fn child(&self) -> (Self, CancelGuard) {
        self.with_cancel()
    }

    fn request(&self, asked: Asked, (limit, cause): &Self::Limit) -> (Self, CancelGuard) {
        let mut values = self.with_value(&REQUEST_ID, asked.id);
        if let Some(user) = asked.user {
            values = values.with_value(&USER, user);
        }
        match asked.budget.filter(|budget| budget < limit) {
            Some(budget) => values.with_timeout_cause(budget, Reason::CallerBudget(budget)),
            None => values.with_timeout_cause(*limit, cause.clone()),
        }
    }

    fn within(&self, share: Duration) -> (Self, CancelGuard) {
        self.with_timeout_cause(share, Reason::CallShare(share))
    }

    async fn run<F>(&self, future: F) -> Result<F::Output, Failure>
    where
        F: Future<Output: Send> + Send,
    {
        Self::run(self, future).await.map_err(|_| ended(self))
    }

    async fn sleep(&self, duration: Duration) -> Result<(), Failure> {
        Self::sleep(self, duration).await.map_err(|_| ended(self))
    }

    fn check(&self) -> Result<(), Failure> {
        Self::check(self).map_err(|_| ended(self))
    }

    fn remaining(&self) -> Option<Duration> {
        Self::remaining(self)
    }

    fn id(&self) -> Option<&str> {
        self.value(&REQUEST_ID).map(String::as_str)
    }

    fn user(&self) -> Option<&str> {
        self.value(&USER).map(String::as_str)
    }
}
