//! Work under names: cancelled one by one, by group, or all of it.
//!
//! The registry's lock is held while entries are looked up, put in and taken out, and for nothing else: what is to be
//! cancelled is collected first and cancelled after, and entries, which may own values of the caller's, are dropped after.
//! An entry whose context is done is not there any more: nobody is shown it, and it is swept out by whoever comes next.

use super::lock::lock;
use crate::{CancelGuard, CancelHandle, Cause, Context, Error};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Work that is registered under an id, and in a group if it likes, so that others can cancel it by that.
///
/// An entry leaves by itself: when its [`Registration`] is dropped, or its context is done, whatever ended it. From then on
/// its id is free, and a group is there as long as something live is in it. A clone is another handle on the same entries.
///
/// Methods may block: they take a short lock, under which no waker, no cause and no value of the caller's is run or dropped.
///
/// ```
/// use ripcord::{Cause, Context, Coordinator};
///
/// let exports = Coordinator::new();
/// let server = Context::background();
/// let (first, _first) = exports.register_in(&server, "tenant-7", "export-1")?;
/// let (second, _second) = exports.register_in(&server, "tenant-7", "export-2")?;
/// let (other, done) = exports.register(&server, "export-3")?;
///
/// assert_eq!(exports.cancel_group_with("tenant-7", Cause::msg("tenant deleted"))?, 2);
/// assert!(first.is_done() && second.is_done() && !other.is_done());
/// assert_eq!(first.cause().unwrap().to_string(), "tenant deleted");
///
/// drop(done); // its work has ended
/// assert!(exports.live().is_empty());
/// # Ok::<(), ripcord::CoordinatorError>(())
/// ```
#[derive(Clone, Default)]
pub struct Coordinator {
    registry: Arc<Mutex<Registry>>,
}

#[derive(Default)]
struct Registry {
    entries: HashMap<Arc<str>, Entry>,
    next_serial: u64,
    /// At how many entries the next one to come sweeps. Twice what was left by the last sweep, so a sweep is a step for each
    /// entry that came since.
    sweep_at: usize,
}

struct Entry {
    serial: u64,
    group: Option<Arc<str>>,
    since: Instant,
    ctx: Context,
    cancel: CancelHandle,
}

/// Keeps the work registered. Dropping it cancels the work's context, as a [`CancelGuard`] does, and takes the entry out. From
/// [`Coordinator::register`].
#[must_use = "dropping the registration cancels its context; bind it to a name"]
pub struct Registration {
    guard: CancelGuard,
    registry: Arc<Mutex<Registry>>,
    id: Arc<str>,
    serial: u64,
}

/// What is registered and live. From [`Coordinator::live`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Live {
    /// What it was registered under.
    pub id: Arc<str>,
    /// The group it is in.
    pub group: Option<Arc<str>>,
    /// How long ago it was registered, by the clock of its context's engine.
    pub age: Duration,
}

/// Why a [`Coordinator`] did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoordinatorError {
    /// Live work has this id: take another, or cancel that first.
    DuplicateId(Arc<str>),
    /// Nothing live has this id: it was never registered, or has ended.
    UnknownId(Arc<str>),
    /// Nothing live is in this group: there never was, or all of it has ended.
    UnknownGroup(Arc<str>),
    /// The context that work was to be registered under is done: nothing was registered.
    Ended(Error),
}

impl Coordinator {
    /// One with nothing registered. Allocates.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A child of `ctx` for work that can be cancelled by `id`; and its registration.
    ///
    /// May block: a short lock. Allocates the entry, and where [`Context::with_cancel`] does. Wakes nobody.
    ///
    /// # Errors
    ///
    /// [`DuplicateId`](CoordinatorError::DuplicateId) where live work has the id,
    /// [`Ended`](CoordinatorError::Ended) where `ctx` is done.
    ///
    /// ```
    /// use ripcord::{Context, Coordinator, CoordinatorError};
    ///
    /// let jobs = Coordinator::new();
    /// let (job, _registration) = jobs.register(&Context::background(), "nightly")?;
    /// let again = jobs.register(&Context::background(), "nightly").unwrap_err();
    /// assert_eq!(again, CoordinatorError::DuplicateId("nightly".into()));
    ///
    /// jobs.cancel("nightly")?;
    /// assert!(job.is_done());
    /// let (_job, _registration) = jobs.register(&Context::background(), "nightly")?; // the id is free again
    /// # Ok::<(), CoordinatorError>(())
    /// ```
    pub fn register(
        &self,
        ctx: &Context,
        id: impl Into<Arc<str>>,
    ) -> Result<(Context, Registration), CoordinatorError> {
        self.add(ctx, None, id.into())
    }

    /// As [`register`](Self::register), in a group. An id is one for all groups.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn register_in(
        &self,
        ctx: &Context,
        group: impl Into<Arc<str>>,
        id: impl Into<Arc<str>>,
    ) -> Result<(Context, Registration), CoordinatorError> {
        self.add(ctx, Some(group.into()), id.into())
    }

    fn add(
        &self,
        ctx: &Context,
        group: Option<Arc<str>>,
        id: Arc<str>,
    ) -> Result<(Context, Registration), CoordinatorError> {
        ctx.check().map_err(CoordinatorError::Ended)?;
        let (child, guard) = ctx.with_cancel();
        let entry = |serial| Entry {
            serial,
            group,
            since: child.now(),
            ctx: child.clone(),
            cancel: guard.handle(),
        };
        let (serial, gone) = lock(&self.registry).insert(&id, entry)?;
        drop(gone);
        let registry = Arc::clone(&self.registry);
        let registration = Registration {
            guard,
            registry,
            id,
            serial,
        };
        Ok((child, registration))
    }

    /// Cancels the work of an id, and returns when its context and everything derived from it is done. Its wakers run in this
    /// call, under no lock.
    ///
    /// May block: a short lock.
    ///
    /// # Errors
    ///
    /// [`UnknownId`](CoordinatorError::UnknownId) where nothing live has the id.
    pub fn cancel(&self, id: &str) -> Result<(), CoordinatorError> {
        self.cancel_with(id, Error::Canceled)
    }

    /// As [`cancel`](Self::cancel), and says why.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    pub fn cancel_with(&self, id: &str, cause: impl Into<Cause>) -> Result<(), CoordinatorError> {
        let found = lock(&self.registry).find(id);
        let Some((serial, handle)) = found else {
            return Err(CoordinatorError::UnknownId(id.into()));
        };
        handle.cancel_with(cause);
        let entry = lock(&self.registry).remove(id, serial);
        drop(entry);
        Ok(())
    }

    /// Cancels all that is live in a group, as [`cancel`](Self::cancel) does one; answers with how many.
    ///
    /// May block: a short lock, a step for each entry of the coordinator.
    ///
    /// # Errors
    ///
    /// [`UnknownGroup`](CoordinatorError::UnknownGroup) where nothing live is in the group.
    pub fn cancel_group(&self, group: &str) -> Result<usize, CoordinatorError> {
        self.cancel_group_with(group, Error::Canceled)
    }

    /// As [`cancel_group`](Self::cancel_group), and says why.
    ///
    /// # Errors
    ///
    /// As [`cancel_group`](Self::cancel_group).
    pub fn cancel_group_with(
        &self,
        group: &str,
        cause: impl Into<Cause>,
    ) -> Result<usize, CoordinatorError> {
        let in_group = |entry: &Entry| entry.group.as_deref() == Some(group);
        match self.cancel_where(in_group, cause.into()) {
            0 => Err(CoordinatorError::UnknownGroup(group.into())),
            canceled => Ok(canceled),
        }
    }

    /// Cancels all that is live, as [`cancel`](Self::cancel) does one; answers with how many.
    ///
    /// May block: a short lock, a step for each entry.
    pub fn cancel_all(&self) -> usize {
        self.cancel_all_with(Error::Canceled)
    }

    /// As [`cancel_all`](Self::cancel_all), and says why.
    pub fn cancel_all_with(&self, cause: impl Into<Cause>) -> usize {
        self.cancel_where(|_| true, cause.into())
    }

    fn cancel_where(&self, wanted: impl Fn(&Entry) -> bool, cause: Cause) -> usize {
        let handles: Vec<_> = lock(&self.registry)
            .live()
            .filter(|(_, entry)| wanted(entry))
            .map(|(_, entry)| entry.cancel.clone())
            .collect();
        for handle in &handles {
            handle.cancel_with(cause.clone());
        }
        let gone = lock(&self.registry).sweep();
        drop(gone);
        handles.len()
    }

    /// What is registered and live, the oldest first.
    ///
    /// May block: a short lock, a step for each entry. Allocates the list; wakes nobody.
    ///
    /// ```
    /// use ripcord::{Coordinator, Engine};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (engine, clock) = Engine::builder().manual_clock()?;
    /// let jobs = Coordinator::new();
    /// let _job = jobs.register_in(&engine.background(), "batch", "import")?;
    /// clock.advance(Duration::from_secs(90));
    ///
    /// let live = jobs.live();
    /// assert_eq!((&*live[0].id, live[0].group.as_deref()), ("import", Some("batch")));
    /// assert_eq!(live[0].age, Duration::from_secs(90));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn live(&self) -> Vec<Live> {
        let mut live: Vec<_> = lock(&self.registry)
            .live()
            .map(|(id, entry)| {
                let age = entry.ctx.now().saturating_duration_since(entry.since);
                let (id, group) = (Arc::clone(id), entry.group.clone());
                (entry.serial, Live { id, group, age })
            })
            .collect();
        live.sort_unstable_by_key(|(serial, _)| *serial);
        live.into_iter().map(|(_, live)| live).collect()
    }
}

impl Registry {
    fn live(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.is_live())
    }

    fn find(&self, id: &str) -> Option<(u64, CancelHandle)> {
        let entry = self.entries.get(id).filter(|entry| entry.is_live())?;
        Some((entry.serial, entry.cancel.clone()))
    }

    /// Answers with the entry's serial, and with what is to be dropped when the lock is not held.
    fn insert(
        &mut self,
        id: &Arc<str>,
        entry: impl FnOnce(u64) -> Entry,
    ) -> Result<(u64, Vec<Entry>), CoordinatorError> {
        if self.entries.get(id).is_some_and(Entry::is_live) {
            return Err(CoordinatorError::DuplicateId(Arc::clone(id)));
        }
        let mut gone = Vec::new();
        if self.entries.len() >= self.sweep_at {
            gone = self.sweep();
            self.sweep_at = 2 * self.entries.len().max(16);
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        gone.extend(self.entries.insert(Arc::clone(id), entry(serial)));
        Ok((serial, gone))
    }

    fn sweep(&mut self) -> Vec<Entry> {
        let gone = self.entries.extract_if(|_, entry| !entry.is_live());
        gone.map(|(_, entry)| entry).collect()
    }

    fn remove(&mut self, id: &str, serial: u64) -> Option<Entry> {
        let entry = self.entries.get(id)?;
        (entry.serial == serial).then(|| self.entries.remove(id))?
    }
}

impl Entry {
    fn is_live(&self) -> bool {
        !self.ctx.is_done()
    }
}

impl Registration {
    /// What the work is registered under. Wait-free; allocates nothing.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.guard.cancel();
        let entry = lock(&self.registry).remove(&self.id, self.serial);
        drop(entry);
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Coordinator").field(&self.live()).finish()
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.id).finish()
    }
}

impl fmt::Display for CoordinatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId(id) => {
                write!(
                    f,
                    "live work has the id {id:?}: take another, or cancel it first"
                )
            }
            Self::UnknownId(id) => write!(f, "nothing live has the id {id:?}"),
            Self::UnknownGroup(group) => write!(f, "nothing live is in the group {group:?}"),
            Self::Ended(error) => write!(f, "nothing can be registered: {error}"),
        }
    }
}

impl std::error::Error for CoordinatorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ended(error) => Some(error),
            _ => None,
        }
    }
}
