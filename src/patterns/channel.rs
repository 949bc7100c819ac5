//! Channels whose waits end with a context.
//!
//! [`bounded`] and [`unbounded`] give the two ends of a queue, each of which may be cloned and used from any number of
//! threads. [`send`](Sender::send) and [`recv`](Receiver::recv) block until there is room, or a value, *or the context given is
//! done*; with the feature `channel-async` the same is awaited. It is crossbeam-channel's queue.
//!
//! Who puts a value in, or takes one out, wakes the task that has awaited that for longest, on its own thread; where tasks wait, that
//! takes a short lock, which the waker does not run under. A waker that panics has woken nobody, and its panic goes no further.
//!
//! Nothing that was accepted is lost: a value that was not accepted comes back in the error, and one that was stays in the
//! queue, whatever becomes of the contexts, until it is received or the last receiver goes. To see what is left after a
//! cancel, let the senders go and [`drain`](Receiver::drain).
//!
//! A capacity of zero is a rendezvous: a send returns when a receiver has taken the value.
//!
//! To select over channels of several types, and a context with them, there is crossbeam's own `select!` on its own channels with
//! [`done_channel`](Context::done_channel); over several of one type, [`recv_any`].
//!
//! ```
//! use ripcord::{Context, Error, channel};
//!
//! let (jobs, queue) = channel::bounded(1);
//! let (ctx, guard) = Context::background().with_cancel();
//! jobs.send(&ctx, "first").unwrap();
//!
//! let worker = std::thread::spawn({
//!     let ctx = ctx.clone();
//!     move || jobs.send(&ctx, "second") // there is no room
//! });
//! guard.cancel();
//! let refused = worker.join().unwrap().unwrap_err();
//! assert_eq!(refused.ended(), Some(Error::Canceled));
//! assert_eq!(refused.into_value(), "second");
//!
//! assert_eq!(queue.recv(&ctx), Err(channel::RecvError::Done(Error::Canceled)));
//! assert_eq!(queue.drain().collect::<Vec<_>>(), ["first"]);
//! ```

#[cfg(feature = "channel-async")]
mod asynchronous;
mod errors;
#[cfg_attr(feature = "channel-async", path = "channel/events.rs")]
#[cfg_attr(not(feature = "channel-async"), path = "channel/no_events.rs")]
mod events;

pub use errors::{RecvError, SendError, TryRecvError, TrySendError};

use self::events::Events;
use crate::context::Context;
use crate::error::Error;
use crossbeam_channel as crossbeam;
use crossbeam_channel::{Select, select_biased};
use std::fmt;

/// More than that is no bound: its room would be allocated at once.
const MOST: usize = u32::MAX as usize;

/// A channel with room for `capacity` values; zero: for none, so that each send meets a receive. More than 2^32 is
/// [`unbounded`]. Allocates the room at once.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ends(if capacity > MOST {
        crossbeam::unbounded()
    } else {
        crossbeam::bounded(capacity)
    })
}

/// A channel that always has room: a send never waits. Allocates as it grows.
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    ends(crossbeam::unbounded())
}

fn ends<T>(
    (sender, receiver): (crossbeam::Sender<T>, crossbeam::Receiver<T>),
) -> (Sender<T>, Receiver<T>) {
    let events = Events::default();
    let sender = Sender {
        queue: sender,
        events: events.clone(),
    };
    let receiver = Receiver {
        queue: receiver,
        events,
    };
    (sender, receiver)
}

/// The end that values are put in at. When the last is dropped, receivers get what is left, and are then told.
pub struct Sender<T> {
    // Before the events, whose drop has those who wait look at what became of it.
    queue: crossbeam::Sender<T>,
    events: Events,
}

/// The end that values come out of. When the last is dropped, what is left is dropped, and senders are told.
pub struct Receiver<T> {
    queue: crossbeam::Receiver<T>,
    events: Events,
}

impl<T> Sender<T> {
    /// Puts a value in, when there is room. May block, until there is or the context is done. Allocates where the queue is
    /// unbounded and grows, for a wait, and where [`done_channel`](Context::done_channel) does.
    ///
    /// Under a context that is done nothing is put in, also where there is room. Where both come while it waits, either may be.
    ///
    /// # Errors
    ///
    /// With the value: [`SendError::Done`] when the context is done first, [`SendError::Disconnected`] when no receiver is left.
    pub fn send(&self, ctx: &Context, value: T) -> Result<(), SendError<T>> {
        if let Some(error) = ctx.err() {
            return Err(SendError::Done(value, error));
        }
        let value = match self.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(value)) => return Err(SendError::Disconnected(value)),
            Err(TrySendError::Full(value)) => value,
        };
        let sent = select_biased! {
            recv(ctx.done_channel()) -> _ => return Err(SendError::Done(value, ended(ctx))),
            send(self.queue, value) -> sent => sent,
        };
        sent.map_err(|refused| SendError::Disconnected(refused.into_inner()))?;
        self.events.sent();
        Ok(())
    }

    /// Puts a value in, if there is room. Of a rendezvous: if a thread is blocked in a receive. Does not block, but for
    /// crossbeam-channel's own short waits.
    ///
    /// # Errors
    ///
    /// With the value: [`TrySendError::Full`] or [`TrySendError::Disconnected`].
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.queue.try_send(value)?;
        self.events.sent();
        Ok(())
    }

    /// How many values are in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// For how many values there is room at most; `None`: for any number.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.queue.capacity()
    }
}

impl<T> Receiver<T> {
    /// Takes the next value. May block, until there is one or the context is done. Allocates for a wait, and where
    /// [`done_channel`](Context::done_channel) does.
    ///
    /// Under a context that is done nothing is taken, also where there is a value: it stays. Where both come while it waits,
    /// either may be.
    ///
    /// # Errors
    ///
    /// [`RecvError::Done`] when the context is done first, [`RecvError::Disconnected`] when no sender and no value is left.
    pub fn recv(&self, ctx: &Context) -> Result<T, RecvError> {
        ctx.check()?;
        match self.try_recv() {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        let received = select_biased! {
            recv(ctx.done_channel()) -> _ => return Err(RecvError::Done(ended(ctx))),
            recv(self.queue) -> received => received,
        };
        let value = received.map_err(|_| RecvError::Disconnected)?;
        self.events.received();
        Ok(value)
    }

    /// Takes the next value, if there is one. Does not block, but for crossbeam-channel's own short waits. It asks no context:
    /// this is how to get at what is left after one is done.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`], or [`TryRecvError::Disconnected`] when no sender is left either.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let value = self.queue.try_recv()?;
        self.events.received();
        Ok(value)
    }

    /// The values as they come, until the context is done or no sender is left. Each step may block, as [`recv`](Self::recv).
    ///
    /// ```
    /// use ripcord::{Context, channel};
    ///
    /// let (sender, receiver) = channel::unbounded();
    /// for n in 1..=3 {
    ///     sender.try_send(n).unwrap();
    /// }
    /// drop(sender);
    /// assert_eq!(receiver.iter(&Context::background()).sum::<i32>(), 6);
    /// ```
    pub fn iter<'a>(&'a self, ctx: &'a Context) -> impl Iterator<Item = T> + 'a {
        std::iter::from_fn(move || self.recv(ctx).ok())
    }

    /// What is in the queue, until there is nothing; it does not block, and asks no context. What a sender puts in meanwhile
    /// comes too: to have all, let the senders go before.
    pub fn drain(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(move || self.try_recv().ok())
    }

    /// How many values are in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// For how many values there is room at most; `None`: for any number.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.queue.capacity()
    }
}

/// Takes the next value that comes from any of the receivers, and says from which. May block, until there is one or the context
/// is done. Of several that have one, it is one at random. Allocates, for each receiver.
///
/// A receiver without senders is left out, once it is empty.
///
/// # Errors
///
/// [`RecvError::Done`] when the context is done first; [`RecvError::Disconnected`] when all are empty and without senders, or
/// there are no receivers.
///
/// ```
/// use ripcord::{Context, channel};
///
/// let (news, from_news) = channel::unbounded();
/// let (_mail, from_mail) = channel::unbounded();
/// news.try_send("rain")?;
/// let (source, line) = channel::recv_any(&Context::background(), &[&from_mail, &from_news])?;
/// assert_eq!((source, line), (1, "rain"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn recv_any<T>(ctx: &Context, receivers: &[&Receiver<T>]) -> Result<(usize, T), RecvError> {
    ctx.check()?;
    let done = ctx.done_channel();
    let mut select = Select::new();
    let mut left = receivers.len();
    for receiver in receivers {
        select.recv(&receiver.queue);
    }
    let done_index = select.recv(&done);
    while left > 0 {
        let ready = select.select();
        let index = ready.index();
        if index == done_index {
            // The operation has to be completed.
            let _ = ready.recv(&done);
            return Err(RecvError::Done(ended(ctx)));
        }
        let receiver = receivers[index];
        if let Ok(value) = ready.recv(&receiver.queue) {
            receiver.events.received();
            return Ok((index, value));
        }
        select.remove(index);
        left -= 1;
    }
    Err(RecvError::Disconnected)
}

/// How a context ended whose channel was disconnected while a handle on it was held.
fn ended(ctx: &Context) -> Error {
    ctx.err().unwrap_or(Error::Canceled)
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            events: self.events.clone(),
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            events: self.events.clone(),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
