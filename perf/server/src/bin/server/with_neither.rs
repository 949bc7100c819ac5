//! Nothing ends anything. What a caller says of its time is passed on as it came, and nobody is held to it: requests to
//! the upstream are the same bytes for all sides.

use super::asked::{Asked, Carried};
use super::failure::Failure;
use super::scope::Scope;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Default)]
pub struct Bare {
    budget: Option<Duration>,
    carried: Option<Arc<Carried>>,
}

impl Scope for Bare {
    type Guard = ();
    type Limit = Duration;

    fn root() -> (Self, ()) {
        (Self::default(), ())
    }

    fn limit(limit: Duration) -> Duration {
        limit
    }

    fn child(&self) -> (Self, ()) {
        (self.clone(), ())
    }

    fn request(&self, asked: Asked, &limit: &Duration) -> (Self, ()) {
        let request = Self {
            budget: Some(asked.budget.map_or(limit, |budget| budget.min(limit))),
            carried: Some(Arc::new(asked.into())),
        };
        (request, ())
    }

    fn within(&self, share: Duration) -> (Self, ()) {
        let call = Self {
            budget: Some(share),
            ..self.clone()
        };
        (call, ())
    }

    async fn run<F>(&self, future: F) -> Result<F::Output, Failure>
    where
        F: Future<Output: Send> + Send,
    {
        Ok(future.await)
    }

    async fn sleep(&self, duration: Duration) -> Result<(), Failure> {
        tokio::time::sleep(duration).await;
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn remaining(&self) -> Option<Duration> {
        self.budget
    }

    fn id(&self) -> Option<&str> {
        Some(&self.carried.as_ref()?.id)
    }

    fn user(&self) -> Option<&str> {
        self.carried.as_ref()?.user.as_deref()
    }
}
