//! The future that waits for a time to come, or for a context's end before it.

use crate::error::Error;
use crate::raw::handle::Handle;
use crate::raw::waiting::Sleeping;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

/// Ready when its time has come, or with the error when its context is done; polled again, ready again. From
/// [`Context::sleep`](crate::Context::sleep).
///
/// It is `'static`, needs no runtime, and keeps its context as any handle does. A poll that finds the waker it has already
/// writes nothing. The waker is called once, by whoever fires the deadline or ends the context. Dropping the `Sleep`
/// takes its waker and its timer back.
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    state: State,
}

enum State {
    Ready(Result<(), Error>),
    Waiting { node: Handle, sleeping: Sleeping },
}

impl Sleep {
    pub(crate) fn new(node: &Handle, duration: Duration) -> Self {
        let state = match node.err() {
            Some(error) => State::Ready(Err(error)),
            None => State::Waiting {
                node: node.clone(),
                sleeping: Sleeping::under(node, duration),
            },
        };
        Self { state }
    }

    fn result(&self, end_of: impl Fn(&Handle) -> Option<Error>) -> Option<Result<(), Error>> {
        match &self.state {
            State::Ready(result) => Some(*result),
            State::Waiting { node, sleeping } => match sleeping.result() {
                Some(result) => Some(end_of(node).map_or(result, Err)),
                // A cancel that is under way may have come to the context and not to the sleep.
                None => node.err().map(Err),
            },
        }
    }
}

impl Future for Sleep {
    type Output = Result<(), Error>;

    /// Lock-free. Clones the waker where it is another than before.
    ///
    /// # Panics
    ///
    /// If cloning the waker does.
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut result = self.result(Handle::err_due);
        if result.is_none()
            && let State::Waiting { sleeping, .. } = &mut self.state
        {
            sleeping.register(cx.waker());
            result = self.result(Handle::err_due);
        }
        match result {
            None => Poll::Pending,
            Some(result) => {
                self.state = State::Ready(result);
                Poll::Ready(result)
            }
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sleep")
            .field(&self.result(Handle::err))
            .finish()
    }
}
