//! Hooks for those who watch: what is created, cancelled, expires and goes, seen from outside the tree. What counts and
//! reports by them is [`Monitor`](crate::Monitor).

use arc_swap::ArcSwapOption;
use std::sync::Arc;

use crate::error::Error;
use crate::raw::core::Core;
use crate::raw::handle::{Handle, Lent};
use crate::sync::{AtomicUsize, Ordering, contain};

/// An engine, told from others while it is there. From [`Engine::id`](crate::Engine::id). A later engine may have the id of
/// one that is gone: who keeps ids keeps the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EngineId(usize);

impl EngineId {
    #[inline(always)]
    pub(crate) fn of(core: *const Core) -> Self {
        Self(core.addr())
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A context that can be done was derived; it may be born done.
    Created {
        /// That of the context.
        engine: EngineId,
    },
    /// Contexts ended together, by one cancel or one turn of the deadlines.
    Ended {
        /// That of the context which was cancelled, or whose deadlines fired. What ended with it by way of a merge may be
        /// another's.
        engine: EngineId,
        /// How they ended.
        error: Error,
        /// How many they were.
        contexts: usize,
    },
    /// Contexts have gone, done or not: nobody has a handle of them, and nothing derived from them is left.
    Gone {
        /// That of the contexts.
        engine: EngineId,
        /// How many they were.
        contexts: usize,
    },
    /// A value was set.
    ValueSet {
        /// The name of its key.
        name: &'static str,
    },
}

/// What a watcher is told. Every method has a body to override: [`event`](Self::event) is told everything, and tells the others
/// unless it is overridden.
///
/// Hooks run on the thread that creates, cancels or fires, after all states are set and before anybody is told; a panic in
/// one, or in its drop, is contained. A hook that blocks holds that thread up, and no other; but where that thread fires
/// (see [`expired`](Self::expired)), it holds up the deadlines of its engine.
pub trait Hooks: Send + Sync + 'static {
    /// A context that can be done was derived; it may be born done. Those that are born done, or dropped while they are live,
    /// are in no later count: for how many there are, see [`child_count`](crate::Context::child_count).
    fn created(&self) {}

    /// Deadlines that fired together ended this many contexts: those they were set for and those derived from them.
    ///
    /// Runs on the engine's timer thread, or in [`turn`](crate::Driver::turn) or [`advance`](crate::ManualClock::advance), or
    /// in a wait that fires its own deadline where that thread is held up. A hook that blocks there holds up every
    /// further deadline of that engine, those of the whole process if it is the process's own.
    fn expired(&self, contexts: usize) {
        let _ = contexts;
    }

    /// One call cancelled this many contexts: the one it was made for and those derived from it; or, where it shut an
    /// engine down, those with a deadline ahead and those derived from them.
    fn canceled(&self, contexts: usize) {
        let _ = contexts;
    }

    /// What there is to tell, all of it; where it is told see the others. Who overrides it is not told by them.
    /// [`Gone`](Event::Gone) runs in the drop of the last handle, where nothing is left of the context to be looked at.
    fn event(&self, event: Event) {
        match event {
            Event::Created { .. } => self.created(),
            Event::Ended {
                error: Error::DeadlineExceeded,
                contexts,
                ..
            } => self.expired(contexts),
            Event::Ended { contexts, .. } => self.canceled(contexts),
            Event::Gone { .. } | Event::ValueSet { .. } => {}
        }
    }
}

static HOOKS: ArcSwapOption<Box<dyn Hooks>> = ArcSwapOption::const_empty();

/// 1 while hooks are installed: a line that is only read, so that nobody pays for hooks that are not there.
static INSTALLED: AtomicUsize = AtomicUsize::new(0);

/// Installs hooks for the whole process, in place of any before; `None` takes them away. A call under way may still
/// reach those replaced. Off, they cost one predictable branch where a context is made, ends or goes, and where a value is set; on, a guard that is dropped always cancels
/// first. Lock-free; allocates.
///
/// ```
/// use ripcord::{Context, monitor};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// #[derive(Clone, Default)]
/// struct Created(Arc<AtomicUsize>);
///
/// impl monitor::Hooks for Created {
///     fn created(&self) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// let created = Created::default();
/// monitor::install(Some(Box::new(created.clone())));
/// let _request = Context::background().with_cancel();
/// monitor::install(None);
/// assert_eq!(created.0.load(Ordering::Relaxed), 1);
/// ```
pub fn install(hooks: Option<Box<dyn Hooks>>) {
    put(hooks.map(Arc::new));
}

/// As [`install`], of hooks that can be told from others.
pub(crate) fn put(hooks: Option<Arc<Box<dyn Hooks>>>) {
    let replaced = HOOKS.swap(hooks);
    settle();
    contain(|| drop(replaced));
}

/// Takes these hooks away, if they are still there.
pub(crate) fn remove(hooks: &Arc<Box<dyn Hooks>>) {
    let was = HOOKS.compare_and_swap(hooks, None);
    settle();
    contain(|| drop(was));
}

fn settle() {
    loop {
        let on = HOOKS.load().is_some();
        // ORDERING: SeqCst, so that of two calls at once the one that stores last sees what is installed, and stores
        // again. Readers are Relaxed: who reads it stale misses a hook or finds none, as if it had come a moment before.
        INSTALLED.store(usize::from(on), Ordering::SeqCst);
        if HOOKS.load().is_some() == on {
            return;
        }
    }
}

#[inline(always)]
pub(crate) fn is_off() -> bool {
    INSTALLED.load(Ordering::Relaxed) == 0
}

/// By value what is looked at in here only: a handle whose address is taken is one in memory.
#[inline(always)]
pub(crate) fn created(node: &Handle) {
    if !is_off() {
        created_on(node.lend());
    }
}

#[cold]
#[inline(never)]
fn created_on(node: Lent<'_>) {
    let engine = EngineId::of(node.engine());
    tell(Event::Created { engine });
}

#[inline(always)]
pub(crate) fn canceled(node: &Handle, contexts: usize) {
    if !is_off() && contexts > 0 {
        canceled_on(node.lend(), contexts);
    }
}

#[inline(always)]
pub(crate) fn value_set(name: &'static str) {
    if !is_off() {
        value_set_of(name);
    }
}

#[cold]
#[inline(never)]
fn value_set_of(name: &'static str) {
    tell(Event::ValueSet { name });
}

/// By those who fire: deadlines, or, of stopped timers, all that is armed.
pub(crate) fn ended(core: &Core, contexts: usize, error: Error) {
    if !is_off() {
        ended_on(core, contexts, error);
    }
}

/// By who sees contexts off, or lets go of a batch. The caller has looked whether anybody watches.
#[cold]
pub(crate) fn gone(core: *const Core, contexts: usize) {
    let engine = EngineId::of(core);
    tell(Event::Gone { engine, contexts });
}

#[cold]
#[inline(never)]
fn canceled_on(node: Lent<'_>, contexts: usize) {
    ended_on(node.engine(), contexts, Error::Canceled);
}

fn ended_on(core: *const Core, contexts: usize, error: Error) {
    tell(Event::Ended {
        engine: EngineId::of(core),
        error,
        contexts,
    });
}

#[cold]
fn tell(event: Event) {
    contain(|| {
        // Dropped in here as well: hooks that were replaced meanwhile go with the last that uses them.
        if let Some(hooks) = HOOKS.load_full() {
            hooks.event(event);
        }
    });
}
