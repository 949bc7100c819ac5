//! The same waits, for tasks.

use super::{Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError};
use crate::context::Context;

impl<T> Sender<T> {
    /// As [`send`](Self::send), awaited: on any runtime. It holds no thread up.
    ///
    /// Dropped before it is ready, it has not put the value in, and drops it. May block, for a wait: a short lock. Allocates for one.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); and [`SendError::Rendezvous`] where the channel has no room at all.
    ///
    /// ```
    /// use ripcord::{Context, channel};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (sender, receiver) = channel::bounded(1);
    /// let ctx = Context::background();
    /// let task = tokio::spawn(async move {
    ///     for n in 0..10 {
    ///         sender.send_async(&Context::background(), n).await.unwrap();
    ///     }
    /// });
    /// let mut sum = 0;
    /// while let Ok(n) = receiver.recv_async(&ctx).await {
    ///     sum += n;
    /// }
    /// assert_eq!(sum, 45);
    /// # task.await.unwrap();
    /// # });
    /// ```
    pub async fn send_async(&self, ctx: &Context, mut value: T) -> Result<(), SendError<T>> {
        if self.capacity() == Some(0) {
            return Err(SendError::Rendezvous(value));
        }
        let (mut room, mut told) = (None, false);
        loop {
            if let Some(error) = ctx.err() {
                if told {
                    self.events.received();
                }
                return Err(SendError::Done(value, error));
            }
            value = match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(value)) => {
                    return Err(SendError::Disconnected(value));
                }
                Err(TrySendError::Full(value)) => value,
            };
            told = match room.take() {
                None => {
                    room = Some(self.events.room());
                    false
                }
                // Ended: seen at the head of the loop.
                Some(place) => ctx.run(place).await.is_ok(),
            };
        }
    }
}

impl<T> Receiver<T> {
    /// As [`recv`](Self::recv), awaited: on any runtime. It holds no thread up.
    ///
    /// Dropped before it is ready, it has taken nothing; one that is forgotten (`mem::forget`) may be told of a value in the place of
    /// another that waits, which is then told of the next. May block, for a wait: a short lock. Allocates for one.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); and [`RecvError::Rendezvous`] where the channel has no room at all.
    pub async fn recv_async(&self, ctx: &Context) -> Result<T, RecvError> {
        if self.capacity() == Some(0) {
            return Err(RecvError::Rendezvous);
        }
        let (mut value, mut told) = (None, false);
        loop {
            if let Some(error) = ctx.err() {
                if told {
                    self.events.sent();
                }
                return Err(RecvError::Done(error));
            }
            match self.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            told = match value.take() {
                None => {
                    value = Some(self.events.value());
                    false
                }
                Some(place) => ctx.run(place).await.is_ok(),
            };
        }
    }
}
