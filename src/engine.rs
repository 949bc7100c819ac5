//! Engines: whose clock and timers a context uses.

use crate::context::Context;
use crate::monitor;
use crate::raw::engine::Timers;
use crate::raw::handle::Handle;
use std::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// A clock, and the timers that are kept by it.
///
/// The one of the whole process ([`Engine::global`]) is what every context uses that was not derived from the background of
/// another; its thread starts with the first deadline and sleeps while nothing is due. A program can run its own: with a
/// thread, driven by a loop of the program's, or with a clock that a test moves by hand. A clone is another handle on
/// the same; wait-free, it allocates nothing.
///
/// ```
/// use ripcord::{Engine, Error};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let (engine, clock) = Engine::builder().manual_clock()?;
/// let (ctx, _guard) = engine.background().with_timeout(Duration::from_secs(3600));
///
/// clock.advance(Duration::from_secs(3599));
/// assert!(!ctx.is_done());
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(ctx.err(), Some(Error::DeadlineExceeded));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    root: Handle,
}

/// Makes an [`Engine`]. From [`Engine::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct EngineBuilder {
    thread_name: String,
}

/// Fires the deadlines of a driven engine, from a loop of the program's. Dropping it shuts the engine down.
///
/// No deadline fires but inside [`turn`](Self::turn). What is still armed at a
/// [shutdown](Engine::shutdown), or when the driver is dropped, is ended there: with [`Canceled`](crate::Error::Canceled), not as
/// if it were due.
///
/// ```
/// use ripcord::{Engine, Error};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let (engine, driver) = Engine::builder().driven()?;
/// let (ctx, _guard) = engine.background().with_timeout(Duration::from_millis(2));
/// while !ctx.is_done() {
///     // In place of this sleep, a poll of sockets with that timeout.
///     std::thread::sleep(driver.next_timeout().unwrap_or_default());
///     driver.turn();
/// }
/// assert_eq!(ctx.err(), Some(Error::DeadlineExceeded));
/// # Ok(())
/// # }
/// ```
pub struct Driver {
    timers: Timers,
}

/// The clock of a manual engine. It starts at the real present, and then stands until it is moved; so the deadlines of a
/// test are built from [`now`](Self::now), and not from `Instant::now()`, which runs on. Dropping it leaves time standing.
///
/// It moves what was derived from its engine's background, and nothing else: code that starts from
/// [`Context::background`] runs by the process's clock. So code that is to be tested takes its context, or an [`Engine`],
/// and the test passes it [`engine.background()`](Engine::background).
///
/// Each context fires on the nanosecond it is due, and [`advance`](Self::advance) returns when all that was due has
/// ended:
///
/// ```
/// use ripcord::{Engine, Error};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let (engine, clock) = Engine::builder().manual_clock()?;
/// let at = clock.now() + Duration::from_secs(60);
/// let (ctx, _guard) = engine.background().with_deadline(at);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(ctx.err(), Some(Error::DeadlineExceeded));
/// # Ok(())
/// # }
/// ```
///
/// Code that blocks, in [`wait_timeout`](Context::wait_timeout) or [`blocking_sleep`](Context::blocking_sleep), runs on a
/// thread of its own, and the test moves the clock until that has ended. A step may come before the code waits, whose
/// time is counted from then on; so there are as many as it takes, with a moment between them for the other thread:
///
/// ```
/// use ripcord::{Context, Engine, Error};
/// use std::thread;
/// use std::time::Duration;
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// /// Looks once a day, at the most three times.
/// fn look_daily(ctx: &Context, found: impl Fn() -> bool) -> Result<bool, Error> {
///     for _ in 0..3 {
///         if found() {
///             return Ok(true);
///         }
///         ctx.blocking_sleep(DAY)?;
///     }
///     Ok(false)
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let (engine, clock) = Engine::builder().manual_clock()?;
/// let ctx = engine.background();
/// let looking = thread::spawn(move || look_daily(&ctx, || false));
/// while !looking.is_finished() {
///     clock.advance(DAY);
///     thread::sleep(Duration::from_millis(1));
/// }
/// assert_eq!(looking.join().unwrap(), Ok(false));
/// # Ok(())
/// # }
/// ```
pub struct ManualClock {
    timers: Timers,
}

impl Engine {
    /// That of the whole process. Wait-free; allocates nothing, and starts no thread. Its [`shutdown`](Self::shutdown) does
    /// nothing.
    #[must_use]
    pub fn global() -> &'static Self {
        static GLOBAL: Engine = Engine {
            root: Handle::BACKGROUND,
        };
        &GLOBAL
    }

    /// What makes another. Starts nothing; allocates the thread's name.
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            thread_name: "ripcord-timers".to_owned(),
        }
    }

    /// A context whose descendants use this engine's clock and timers. It is never done. Wait-free; allocates nothing.
    #[must_use]
    pub fn background(&self) -> Context {
        Context::of(self.root.clone())
    }

    /// What tells it from others: see [`monitor::EngineId`]. Wait-free; allocates the timers of the process, if they are asked
    /// for the first time.
    ///
    /// ```
    /// use ripcord::Engine;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (engine, _driver) = Engine::builder().driven()?;
    /// assert_eq!(engine.id(), engine.clone().id());
    /// assert_ne!(engine.id(), Engine::global().id());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> monitor::EngineId {
        monitor::EngineId::of(self.root.lend().engine())
    }

    /// Ends its deadlines, and waits for nobody: contexts with one still ahead are then done with
    /// [`Canceled`](crate::Error::Canceled) and [`EngineStopped`](crate::EngineStopped) as cause, and so is one given a
    /// deadline later. Cancels and waits go on working. Where a turn is under way, that one does it.
    ///
    /// Lock-free up to the wakers it runs, whose panics are contained: it tells all who wait on what it ends. One step a
    /// context that has a deadline ahead or hangs below one. Allocates where [`cancel`](crate::CancelGuard::cancel) does. A
    /// system call wakes the engine's thread, which ends.
    ///
    /// ```
    /// use ripcord::{Engine, EngineStopped, Error};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let engine = Engine::builder().thread_name("timers").build()?;
    /// let (ctx, _guard) = engine.background().with_timeout(Duration::from_secs(60));
    /// engine.shutdown();
    /// assert_eq!(ctx.wait(), Error::Canceled);
    /// assert!(ctx.cause().unwrap().downcast_ref::<EngineStopped>().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown(&self) {
        self.root.shut_down();
    }
}

impl EngineBuilder {
    /// What the thread of [`build`](Self::build) is called; NUL bytes are left out. Allocates only where `name` is not a
    /// `String` yet.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// An engine with a thread of its own, which ends with the last context and handle of the engine, or with
    /// [`shutdown`](Engine::shutdown). Allocates the engine, and starts the thread, for which it may block.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn build(self) -> io::Result<Engine> {
        let root = Handle::threaded(&self.thread_name, monitor::ended)?;
        Ok(Engine { root })
    }

    /// An engine without a thread, for loops whose contexts stay on their thread: nobody wakes the loop if another arms an
    /// earlier deadline. Lock-free; allocates the engine.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn driven(self) -> io::Result<(Engine, Driver)> {
        let (root, timers) = Handle::driven(None, monitor::ended);
        Ok((Engine { root }, Driver { timers }))
    }

    /// An engine without a thread; `wake` is called when a deadline is armed that is earlier than the loop was told by
    /// [`next_timeout`](Driver::next_timeout), and when enough contexts were dropped that a turn should free them. It runs
    /// on the thread that arms or drops, a panic contained. Lock-free; allocates the engine.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn driven_with(
        self,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<(Engine, Driver)> {
        let (root, timers) = Handle::driven(Some(Box::new(wake)), monitor::ended);
        Ok((Engine { root }, Driver { timers }))
    }

    /// An engine whose time stands still until it is moved by hand: for tests. Reads the machine's clock once. Lock-free;
    /// allocates the engine.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn manual_clock(self) -> io::Result<(Engine, ManualClock)> {
        let (root, timers) = Handle::manual(monitor::ended);
        Ok((Engine { root }, ManualClock { timers }))
    }
}

impl Driver {
    /// How long the loop may sleep: until the next deadline, and never longer; zero also where a turn has something to free.
    /// `None`: there is none. Reads the clock. Lock-free, a load for each core, and for each 1,024 deadlines that one has had ahead
    /// at a time; allocates nothing and wakes nobody, but that after a shutdown it takes the [`turn`](Self::turn) that ends what is armed.
    /// For one loop, which then sleeps: of two callers the later is the one that is woken, and the other may sleep past what is
    /// armed meanwhile.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.timers.next_timeout()
    }

    /// Fires what is due; answers with how many deadlines and sleeps, and does not count what was derived from them.
    ///
    /// May be called from any thread, and from a waker: while another call runs it returns 0 at once, and that one fires
    /// what became due before it returns. It returns 0, too, where a thread that drops a context of the same engine is just then
    /// sweeping out the thousands that were dropped while no turn came: [`next_timeout`](Self::next_timeout) is zero then, as long
    /// as something is due.
    ///
    /// Lock-free up to the wakers it runs, whose panics are contained: it tells all who wait on what it ends. Allocates where
    /// [`cancel`](crate::CancelGuard::cancel) does.
    pub fn turn(&self) -> usize {
        self.timers.turn()
    }
}

impl Drop for Driver {
    /// As [`Engine::shutdown`].
    fn drop(&mut self) {
        self.timers.shut_down();
    }
}

impl ManualClock {
    /// Moves the clock, and fires what is due before it returns, the earliest first.
    ///
    /// May be called from any thread, and from a waker: while another call runs it adds its time and returns at once, and
    /// that one fires what became due before it returns. So does a thread that drops a context of the same engine, if
    /// it is just then sweeping out the thousands that were dropped: it fires before that drop returns.
    ///
    /// Lock-free up to the wakers it runs, whose panics are contained: it tells all who wait on what it ends, and threads
    /// that are blocked by this clock. Allocates where [`cancel`](crate::CancelGuard::cancel) does.
    ///
    /// Past 292 years time stands: a timeout that is given then is none, and a sleep or a bounded wait does not end by time.
    pub fn advance(&self, by: Duration) {
        self.timers.advance(by);
    }

    /// The instant at which it stands. Wait-free; allocates nothing.
    ///
    /// # Panics
    ///
    /// Never: the clock does not go beyond what an `Instant` can say.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.timers
            .now()
            .instant()
            .expect("a clock stands at a moment")
    }
}

// Their parts are changed by whole operations, which a panic of a waker does not break.
impl UnwindSafe for Driver {}
impl RefUnwindSafe for Driver {}
impl UnwindSafe for ManualClock {}
impl RefUnwindSafe for ManualClock {}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock")
            .field("now", &self.now())
            .finish()
    }
}
