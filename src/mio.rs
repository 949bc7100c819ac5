//! Wakes a [`mio::Poll`][Poll] when a context is done. Feature `mio`.
//!
//! A [`Notifier`] has one mio waker and a lock-free stack of the tokens whose contexts are done. Ending a watched
//! context pushes its token and then rings the waker, unless it was rung since the stack was last taken: a cancel that
//! ends a thousand watched contexts wakes the poll once. No ring is skipped for one that has not been made yet.
//!
//! [Poll]: https://docs.rs/mio/1/mio/struct.Poll.html
//!
//! ```
//! use mio::{Events, Poll, Token};
//! use ripcord::{Context, mio::Notifier};
//!
//! const CONTEXTS: Token = Token(0);
//!
//! # fn main() -> std::io::Result<()> {
//! let mut poll = Poll::new()?;
//! let notifier = Notifier::new(poll.registry(), CONTEXTS)?;
//!
//! let (ctx, guard) = Context::background().with_cancel();
//! let _watch = notifier.watch(&ctx, Token(7));
//! std::thread::spawn(move || guard.cancel());
//!
//! let mut events = Events::with_capacity(8);
//! poll.poll(&mut events, None)?;
//! assert!(events.iter().all(|event| event.token() == CONTEXTS));
//! assert_eq!(notifier.drain().collect::<Vec<_>>(), [Token(7)]);
//! # Ok(())
//! # }
//! ```

use crate::context::Context;
use crate::done::Done;
use crate::sync::{AtomicUsize, Ordering};
use arc_swap::ArcSwapOption;
use mio::{Registry, Token, Waker};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Wake};

/// Rings a [`mio::Poll`][Poll] when a context it watches is done, and says which. A clone is another handle on the same;
/// wait-free, it allocates nothing.
///
/// [Poll]: https://docs.rs/mio/1/mio/struct.Poll.html
#[derive(Clone)]
pub struct Notifier {
    shared: Arc<Shared>,
}

struct Shared {
    waker: Waker,
    fired: ArcSwapOption<Entry>,
    /// How often the stack was taken, and RUNG.
    rounds: AtomicUsize,
}

/// The waker was rung after the stack was last taken.
const RUNG: usize = 1;
const ONE_ROUND: usize = 2;

/// One watched context.
struct Entry {
    token: Token,
    older: ArcSwapOption<Entry>,
    /// Weak, for what has fired hangs on the notifier.
    shared: Weak<Shared>,
}

/// Keeps a context watched, and keeps it as any handle does; dropping it ends that. A token already fired stays.
#[must_use = "dropping the watch ends it"]
pub struct Watch {
    _done: Done,
}

impl Notifier {
    /// A notifier that wakes the poll of `registry` with `token`. mio allows one waker a poll. System calls, which do not
    /// block; allocates.
    ///
    /// # Errors
    ///
    /// As [`mio::Waker::new`][new]: the system has no more descriptors.
    ///
    /// [new]: https://docs.rs/mio/1/mio/struct.Waker.html#method.new
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared {
                waker: Waker::new(registry, token)?,
                fired: ArcSwapOption::empty(),
                rounds: AtomicUsize::new(0),
            }),
        })
    }

    /// Rings when `ctx` is done, at once if it is; [`drain`](Self::drain) then gives `token`. Lock-free; allocates. The
    /// ring is a system call of whoever ends the context, and does not block.
    pub fn watch(&self, ctx: &Context, token: Token) -> Watch {
        let mut done = ctx.done();
        let waker = self.entry(token).into();
        if Pin::new(&mut done)
            .poll(&mut TaskContext::from_waker(&waker))
            .is_ready()
        {
            // Whoever ended it before the waker was there has rung nothing.
            self.entry(token).fire();
        }
        Watch { _done: done }
    }

    /// Wakes the poll. For those who share it, a poll having one waker: a driven engine in the same loop is built with
    /// [`driven_with`](crate::EngineBuilder::driven_with) and a closure that calls this. A system call, which does not block;
    /// allocates nothing.
    ///
    /// # Errors
    ///
    /// As [`mio::Waker::wake`][wake].
    ///
    /// [wake]: https://docs.rs/mio/1/mio/struct.Waker.html#method.wake
    pub fn wake(&self) -> io::Result<()> {
        self.shared.waker.wake()
    }

    fn entry(&self, token: Token) -> Arc<Entry> {
        Arc::new(Entry {
            token,
            older: ArcSwapOption::empty(),
            shared: Arc::downgrade(&self.shared),
        })
    }

    /// The tokens of the contexts that were done since the last call, the latest first. Where a context ended while it
    /// was being watched, its token may come twice. Lock-free, one step a token; allocates for them, and wakes nobody.
    pub fn drain(&self) -> impl Iterator<Item = Token> + use<> {
        self.shared.take_fired().into_iter()
    }
}

impl Shared {
    fn take_fired(&self) -> Vec<Token> {
        let mut tokens = Vec::new();
        // ORDERING: AcqRel on one word with `ring`. Who comes before it there is seen below; who comes after it rings.
        let mut seen = self.rounds.load(Ordering::Relaxed);
        while let Err(now) = self.rounds.compare_exchange(
            seen,
            (seen & !RUNG).wrapping_add(ONE_ROUND),
            Ordering::AcqRel,
            Ordering::Relaxed,
        ) {
            seen = now;
        }
        let mut next = self.fired.swap(None);
        while let Some(entry) = next {
            tokens.push(entry.token);
            next = entry.older.swap(None);
        }
        tokens
    }
}

impl Shared {
    /// R11: RUNG says that a ring has been made in this round, by somebody who came to its end.
    fn ring(&self) {
        // An RMW: it orders the push before the next time the stack is taken.
        let seen = self.rounds.fetch_or(0, Ordering::AcqRel);
        if seen & RUNG != 0 {
            return;
        }
        // A ring that fails leaves the token to the next poll that wakes for another reason.
        if self.waker.wake().is_ok() {
            let rung = seen | RUNG;
            let _ = self
                .rounds
                .compare_exchange(seen, rung, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

impl Drop for Shared {
    /// By a loop: dropping the first entry would drop the next inside it, and so on.
    fn drop(&mut self) {
        self.take_fired();
    }
}

impl Entry {
    /// Called once for each entry: it is on the stack once.
    fn fire(self: Arc<Self>) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        shared.fired.rcu(|top| {
            self.older.store(top.clone());
            Some(Arc::clone(&self))
        });
        shared.ring();
    }
}

impl Wake for Entry {
    fn wake(self: Arc<Self>) {
        self.fire();
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
