//! The future that waits for a context's end, on any runtime.

use crate::error::Error;
use crate::raw::handle::Handle;
use crate::raw::waiting::Waiting;
use crate::sync::contain;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};

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
    Waiting {
        entry: Waiting,
        /// A clone of the waker the entry has: an address alone could be another's by now.
        registered: Option<Waker>,
    },
}

impl Done {
    pub(crate) fn new(node: &Handle) -> Self {
        let state = match Waiting::on(node) {
            Some(entry) => State::Waiting {
                entry,
                registered: None,
            },
            None => node.err().map_or(State::Never, State::Ready),
        };
        Self { state }
    }

    /// Drops what it held, the panics of a waker's drop contained.
    fn end(&mut self, state: State) {
        if let State::Waiting { entry, registered } = std::mem::replace(&mut self.state, state) {
            contain(|| drop(registered));
            drop(entry);
        }
    }
}

impl Future for Done {
    type Output = Error;

    /// Lock-free. Clones the waker, twice, where it is another than before.
    ///
    /// # Panics
    ///
    /// If cloning the waker does.
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Error> {
        let error = match &mut self.state {
            State::Never => return Poll::Pending,
            State::Ready(error) => *error,
            State::Waiting { entry, registered } => {
                let mut error = entry.err();
                if error.is_none() {
                    leave(registered, cx.waker(), |waker| entry.register(waker));
                    error = entry.err();
                }
                match error {
                    None => return Poll::Pending,
                    Some(error) => error,
                }
            }
        };
        // Lets go of the entry and the node: from here on it only remembers.
        self.end(State::Ready(error));
        Poll::Ready(error)
    }
}

/// Leaves the waker of a poll, unless it is there already. `registered`: a clone of the one that is.
///
/// # Panics
///
/// If cloning the waker does.
pub(crate) fn leave(
    registered: &mut Option<Waker>,
    waker: &Waker,
    register: impl FnOnce(&Waker) -> bool,
) {
    let same = |registered: &Waker| registered.will_wake(waker);
    if registered.as_ref().is_some_and(same) {
        return;
    }
    let clone = waker.clone();
    let old = registered.take();
    contain(|| drop(old));
    assert!(
        register(waker),
        "the clone of a waker panicked: this future cannot be woken, drop it"
    );
    *registered = Some(clone);
}

impl Drop for Done {
    fn drop(&mut self) {
        self.end(State::Never);
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match &self.state {
            State::Never => None,
            State::Ready(error) => Some(*error),
            State::Waiting { entry, .. } => entry.err(),
        };
        f.debug_tuple("Done").field(&error).finish()
    }
}
