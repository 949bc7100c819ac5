//! What a handler knows of the request it works for: whether it is still wanted, how long, and for whom.

use super::asked::Asked;
use super::failure::Failure;
use std::future::Future;
use std::time::Duration;

/// A handle that goes with a request through all layers. A clone is another handle on the same scope.
pub trait Scope: Clone + Send + Sync + 'static {
    /// Ends its scope, and what is below it, when it is dropped.
    type Guard: Send;

    /// The server's own limit on a request, made once.
    type Limit: Send + Sync + 'static;

    /// Of a server.
    fn root() -> (Self, Self::Guard);

    fn limit(limit: Duration) -> Self::Limit;

    /// A connection of a server, a group of calls of a request.
    fn child(&self) -> (Self, Self::Guard);

    /// A request of a connection, under its own budget or the server's limit, whichever is less.
    fn request(&self, asked: Asked, limit: &Self::Limit) -> (Self, Self::Guard);

    /// A call that may take so long.
    fn within(&self, share: Duration) -> (Self, Self::Guard);

    /// The future's output, unless the scope ends first.
    fn run<F>(&self, future: F) -> impl Future<Output = Result<F::Output, Failure>> + Send
    where
        F: Future<Output: Send> + Send;

    fn sleep(&self, duration: Duration) -> impl Future<Output = Result<(), Failure>> + Send;

    /// # Errors
    ///
    /// The scope has ended: what works for it is to stop.
    fn check(&self) -> Result<(), Failure>;

    fn remaining(&self) -> Option<Duration>;

    fn id(&self) -> Option<&str>;

    fn user(&self) -> Option<&str>;
}
