//! A monitor: counts what the hooks tell, logs it, and reports what has lived for too long.
//!
//! Counting takes no lock, for hooks run inside cancels and drops: what cannot be written to the log at once is counted as
//! lost. `counts` has the numbers, `log` the events, `tracked` what was named and where it stands.

mod counts;
mod log;
mod tracked;

pub use counts::MonitorStats;
pub use log::{MonitorEntry, MonitorEvent};
pub use tracked::Leak;

use super::tree::ContextTree;
use crate::context::Context;
use crate::engine::Engine;
use crate::monitor::{self, Event, Hooks};
use arc_swap::ArcSwap;
use counts::Counts;
use log::Log;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;
use tracked::Tracked;

/// Watches the contexts of the process: how many there are, what becomes of them, and which have lived for too long.
///
/// While there is none, it costs one predictable branch where a context is made, ends or goes, and where a value is set. While
/// there is one, each of these costs some atomic operations on lines that all threads share, a reading of the clock, and a try
/// of the log's lock; and a guard that is dropped always cancels first. It holds up no cancel: no call that a context makes
/// waits for a lock here.
///
/// It is the hooks of the process ([`monitor::install`]) from its start until it is dropped, or others are installed.
///
/// ```
/// use ripcord::{Context, Monitor};
/// use std::time::Duration;
///
/// let monitor = Monitor::start();
/// let (request, guard) = Context::background().with_cancel();
/// monitor.track(&request, "request 17");
///
/// let stats = monitor.stats();
/// assert_eq!((stats.created, stats.active, stats.canceled), (1, 1, 0));
/// let leaks = monitor.leaks(Duration::ZERO);
/// assert_eq!(leaks[0].name, "request 17");
///
/// drop((request, guard));
/// assert!(monitor.leaks(Duration::ZERO).is_empty());
/// ```
#[must_use = "dropping it stops it"]
pub struct Monitor {
    shared: Arc<Shared>,
    installed: Arc<Box<dyn Hooks>>,
}

/// Events that a monitor keeps, where nothing else is said.
const LOG: usize = 1_024;

struct Shared {
    total: Counts,
    /// Read by every hook, replaced where an engine is watched.
    engines: ArcSwap<Vec<Arc<Watched>>>,
    log: Log,
    tracked: Tracked,
}

/// An engine with counts of its own. It is kept, so that its id is no other's.
struct Watched {
    name: String,
    engine: Engine,
    counts: Counts,
}

impl Monitor {
    /// Starts one, which keeps the last 1,024 events, in place of any hooks there are. Lock-free; allocates the log.
    ///
    /// What was made before is in no count of what was created, and in the others when it ends and goes: start it first.
    pub fn start() -> Self {
        Self::with_log(LOG)
    }

    /// As [`start`](Self::start), with so many events; 0: it keeps none.
    pub fn with_log(events: usize) -> Self {
        let shared = Arc::new(Shared {
            total: Counts::default(),
            engines: ArcSwap::default(),
            log: Log::new(events),
            tracked: Tracked::default(),
        });
        let hooks: Box<dyn Hooks> = Box::new(Watching(Arc::clone(&shared)));
        let installed = Arc::new(hooks);
        monitor::put(Some(Arc::clone(&installed)));
        Self { shared, installed }
    }

    /// The counts of the process. Wait-free, one load each: those of one moment, where nobody is at work.
    #[must_use]
    pub fn stats(&self) -> MonitorStats {
        self.shared.total.stats()
    }

    /// Gives an engine counts of its own, from now on, under this name, and keeps it: its thread does not end before
    /// [`unwatch`](Self::unwatch) or the monitor's drop. An engine that is watched already gets the name. Lock-free; allocates.
    ///
    /// ```
    /// use ripcord::{Engine, Monitor};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (engine, _driver) = Engine::builder().driven()?;
    /// let monitor = Monitor::start();
    /// monitor.watch("sockets", &engine);
    /// let _ctx = engine.background().with_cancel();
    /// assert_eq!(monitor.engines()[0].0, "sockets");
    /// assert_eq!(monitor.engines()[0].1.created, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, name: impl Into<String>, engine: &Engine) {
        let name = name.into();
        self.shared.engines.rcu(|engines| {
            let mut engines = Vec::clone(engines);
            let known = engines
                .iter()
                .position(|watched| watched.engine.id() == engine.id());
            let counts = known.map_or_else(Counts::default, |at| engines.remove(at).counts.clone());
            engines.push(Arc::new(Watched {
                name: name.clone(),
                engine: engine.clone(),
                counts,
            }));
            engines
        });
    }

    /// Counts an engine no longer by itself, and lets it go. Lock-free; allocates.
    pub fn unwatch(&self, engine: &Engine) {
        self.shared.engines.rcu(|engines| {
            let mut engines = Vec::clone(engines);
            engines.retain(|watched| watched.engine.id() != engine.id());
            engines
        });
    }

    /// The engines that are watched, by name, with their counts. A cancel that goes from one engine's contexts to another's,
    /// by a merge, counts for the engine it was made on. Lock-free; allocates.
    #[must_use]
    pub fn engines(&self) -> Vec<(String, MonitorStats)> {
        let engines = self.shared.engines.load();
        let stats = engines
            .iter()
            .map(|watched| (watched.name.clone(), watched.counts.stats()));
        stats.collect()
    }

    /// Names a context, for [`leaks`](Self::leaks) and [`tree`](Self::tree), until it is done or nobody else has a handle of it or
    /// of what was derived from it, or waits on it. The line of source of this call is kept with it.
    ///
    /// Keeps the context, without its values, until it is looked at again after that: by the next look at the leaks or the
    /// tree, or when as many have been tracked as were open. One that is tracked again has both names. May block: a short lock.
    /// Allocates the name and room for it. Of a background there is nothing to track: it is left alone.
    #[track_caller]
    pub fn track(&self, ctx: &Context, name: impl Into<String>) {
        let name = name.into();
        self.shared
            .tracked
            .add(ctx, name, Location::caller(), &self.shared.log);
    }

    /// The tracked contexts that have been open for so long, by the clocks of their engines, the oldest first. What is over is
    /// forgotten on the way. May block: a short lock. Allocates; a step for each that is tracked.
    #[must_use]
    pub fn leaks(&self, older_than: Duration) -> Vec<Leak> {
        self.shared.tracked.leaks(older_than, &self.shared.log)
    }

    /// The tree below a context, as far as it leads to tracked ones; below a background, all there are. May block: a short
    /// lock. Allocates; a step for each that is tracked and each level up.
    #[must_use]
    pub fn tree(&self, root: &Context) -> ContextTree {
        self.shared.tracked.tree(root, &self.shared.log)
    }

    /// The last events, the oldest first, with what they were and when. May block: a short lock. Allocates.
    #[must_use]
    pub fn events(&self) -> Vec<MonitorEntry> {
        self.shared.log.entries()
    }

    /// How many events are not among [`events`](Self::events): the log was full, or another thread was at it. Wait-free.
    #[must_use]
    pub fn events_lost(&self) -> u64 {
        self.shared.log.lost()
    }
}

impl Drop for Monitor {
    /// Takes its hooks away, if they are installed yet.
    fn drop(&mut self) {
        monitor::remove(&self.installed);
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

struct Watching(Arc<Shared>);

impl Hooks for Watching {
    fn event(&self, event: Event) {
        self.0.total.count(event);
        let engine = match event {
            Event::Created { engine }
            | Event::Ended { engine, .. }
            | Event::Gone { engine, .. } => Some(engine),
            Event::ValueSet { .. } => None,
        };
        if let Some(engine) = engine {
            for watched in self.0.engines.load().iter() {
                if watched.engine.id() == engine {
                    watched.counts.count(event);
                }
            }
        }
        self.0.log.write(MonitorEvent::Hook(event));
    }
}
