//! How a request ends: the causes, each made once a layer, and the guard that ends its context with one of them.

use crate::cancel::CancelGuard;
use crate::cause::Cause;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why the context of a request ended: the [`cause`](crate::Context::cause) that a [`ContextLayer`](super::ContextLayer) or
/// a [`TimeoutLayer`](super::TimeoutLayer) gives it.
///
/// ```
/// use ripcord::tower::RequestEnded;
/// use ripcord::{Cause, Context};
///
/// let (server, guard) = Context::background().with_cancel();
/// let (request, _guard) = server.with_cancel();
/// guard.cancel_with(RequestEnded::ServerStopped);
///
/// let cause = request.cause().unwrap();
/// assert!(matches!(cause.downcast_ref(), Some(RequestEnded::ServerStopped)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestEnded {
    /// The service's future was dropped before it answered: the client hung up or reset its stream, or an outer layer had
    /// an answer of its own.
    ClientGone,
    /// All of the response's body was taken. The usual end.
    BodyFinished,
    /// The response's body was dropped before its end: the client hung up or reset its stream.
    BodyDropped,
    /// The response's body gave an error.
    BodyFailed,
    /// The service gave an error and no response.
    ServiceFailed,
    /// The service or the response's body panicked.
    Panicked,
    /// The server stops. No layer gives this: it is for who cancels the context that the layer was made under.
    ServerStopped,
}

impl RequestEnded {
    /// In the order of the variants.
    const ALL: [Self; 7] = [
        Self::ClientGone,
        Self::BodyFinished,
        Self::BodyDropped,
        Self::BodyFailed,
        Self::ServiceFailed,
        Self::Panicked,
        Self::ServerStopped,
    ];
}

impl fmt::Display for RequestEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientGone => "the client went away before it was answered",
            Self::BodyFinished => "the response is complete",
            Self::BodyDropped => "the client went away before the end of the response",
            Self::BodyFailed => "the response's body failed",
            Self::ServiceFailed => "the service failed",
            Self::Panicked => "the service panicked",
            Self::ServerStopped => "the server stops",
        })
    }
}

impl std::error::Error for RequestEnded {}

/// Whose deadline it was that ended a request: the [`cause`](crate::Context::cause) that a
/// [`TimeoutLayer`](super::TimeoutLayer) gives the context when its time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimedOut {
    /// The layer's own limit, which was so long.
    Limit(Duration),
    /// What the request itself asked for, and that was less.
    Budget(Duration),
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => write!(f, "the server's limit of {limit:?} has passed"),
            Self::Budget(budget) => write!(f, "the request's own budget of {budget:?} has passed"),
        }
    }
}

impl std::error::Error for TimedOut {}

/// Made once a layer, so that the end of a request allocates nothing.
#[derive(Clone)]
pub(super) struct Causes(Arc<[Cause; RequestEnded::ALL.len()]>);

impl Causes {
    pub(super) fn new() -> Self {
        Self(Arc::new(RequestEnded::ALL.map(Cause::from)))
    }

    fn of(&self, end: RequestEnded) -> Cause {
        self.0[end as usize].clone()
    }
}

/// A request under way. Dropped, it ends its context: as the client's going away, unless it has been told otherwise.
pub(super) struct Live {
    guard: CancelGuard,
    causes: Causes,
    end: RequestEnded,
}

impl Live {
    pub(super) fn new(guard: CancelGuard, causes: &Causes) -> Self {
        Self {
            guard,
            causes: causes.clone(),
            end: RequestEnded::ClientGone,
        }
    }

    /// What it will be if it is dropped from here on.
    pub(super) fn expect(&mut self, end: RequestEnded) {
        self.end = end;
    }

    pub(super) fn end(mut self, end: RequestEnded) {
        self.end = end;
    }

    /// Calls what may panic, and is then what ended the request, whoever drops it after.
    pub(super) fn while_polling<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let end = std::mem::replace(&mut self.end, RequestEnded::Panicked);
        let polled = poll();
        self.end = end;
        polled
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.guard.cancel_with(self.causes.of(self.end));
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.guard, f)
    }
}
