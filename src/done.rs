//! The future that waits for a context's end, on any runtime.

use crate::error::Error;
use crate::raw::handle::Handle;
use crate::raw::waiting::Waiting;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

/// Ready, with the error, when its context is done; polled again, ready again. From [`Context::done`].
///
/// It is `'static`, needs no runtime, and keeps its context as any handle does. A poll that finds the waker it has
/// already writes nothing. The waker is called once, by the thread that ends the context, inside that thread's
/// `cancel` (or by the poll that is just leaving it there, where the two meet); a panic in it is contained. Dropping the `Done` takes its waker back before the drop returns, unless a
/// cancel is just taking it.
///
/// A `Done` that is forgotten keeps its entry and its node for ever, and costs nobody else anything.
///
/// [`Context::done`]: crate::Context::done
#[must_use = "futures do nothing unless polled"]
pub struct Done {
    state: State,
}

enum State {
    Never,
    Ready(Error),
    Waiting(Waiting),
}

impl Done {
    pub(crate) fn new(node: &Handle) -> Self {
        let state = match Waiting::on(node) {
            Some(waiting) => State::Waiting(waiting),
            None => node.err().map_or(State::Never, State::Ready),
        };
        Self { state }
    }
}

impl Future for Done {
    type Output = Error;

    /// Lock-free. Clones the waker where it is another than before.
    ///
    /// # Panics
    ///
    /// If cloning the waker does.
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Error> {
        let error = match &mut self.state {
            State::Never => return Poll::Pending,
            State::Ready(error) => return Poll::Ready(*error),
            State::Waiting(waiting) => {
                let mut error = waiting.err();
                if error.is_none() {
                    waiting.register(cx.waker());
                    error = waiting.err();
                }
                match error {
                    None => return Poll::Pending,
                    Some(error) => error,
                }
            }
        };
        // Lets go of the entry and the node: from here on it only remembers.
        self.state = State::Ready(error);
        Poll::Ready(error)
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match &self.state {
            State::Never => None,
            State::Ready(error) => Some(*error),
            State::Waiting(waiting) => waiting.err(),
        };
        f.debug_tuple("Done").field(&error).finish()
    }
}
