//! The future that runs another one under a context.

use crate::done::Done;
use crate::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

pin_project_lite::pin_project! {
    /// Ready with the output of its future, or with the error when its context is done first. From
    /// [`Context::run`](crate::Context::run).
    ///
    /// The context is looked at before each poll of the future, which is dropped before the error is returned.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F> {
        done: Done,
        #[pin]
        future: Option<F>,
    }
}

impl<F> Run<F> {
    pub(crate) fn new(done: Done, future: F) -> Self {
        Self {
            done,
            future: Some(future),
        }
    }
}

impl<F: Future> Future for Run<F> {
    type Output = Result<F::Output, Error>;

    /// Lock-free, but for what the future does.
    ///
    /// # Panics
    ///
    /// If the future does, if cloning the waker does, or if it is polled again after it gave the future's output.
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(error) = Pin::new(this.done).poll(cx) {
            this.future.set(None);
            return Poll::Ready(Err(error));
        }
        let future = this.future.as_mut().as_pin_mut();
        let output = match future
            .expect("`Run` polled after it gave its output")
            .poll(cx)
        {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(output) => output,
        };
        this.future.set(None);
        Poll::Ready(Ok(output))
    }
}

impl<F> fmt::Debug for Run<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
