//! Hooks for those who watch: what is created, cancelled and expires, seen from outside the tree.

use arc_swap::ArcSwapOption;
use std::sync::Arc;

use crate::error::Error;
use crate::sync::{AtomicUsize, Ordering, contain};

/// What a watcher is told. Every method has an empty body to override.
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
}

static HOOKS: ArcSwapOption<Box<dyn Hooks>> = ArcSwapOption::const_empty();

/// 1 while hooks are installed: a line that is only read, so that nobody pays for hooks that are not there.
static INSTALLED: AtomicUsize = AtomicUsize::new(0);

/// Installs hooks for the whole process, in place of any before; `None` takes them away. A call under way may still
/// reach those replaced. Off, they cost one predictable branch a context; on, a guard that is dropped always cancels
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
    let replaced = HOOKS.swap(hooks.map(Arc::new));
    loop {
        let on = HOOKS.load().is_some();
        // ORDERING: SeqCst, so that of two calls at once the one that stores last sees what is installed, and stores
        // again. Readers are Relaxed: who reads it stale misses a hook or finds none, as if it had come a moment before.
        INSTALLED.store(usize::from(on), Ordering::SeqCst);
        if HOOKS.load().is_some() == on {
            break;
        }
    }
    contain(|| drop(replaced));
}

#[inline(always)]
pub(crate) fn is_off() -> bool {
    INSTALLED.load(Ordering::Relaxed) == 0
}

#[inline(always)]
pub(crate) fn created() {
    if !is_off() {
        tell(|hooks| hooks.created());
    }
}

#[inline(always)]
pub(crate) fn canceled(contexts: usize) {
    if !is_off() && contexts > 0 {
        tell(|hooks| hooks.canceled(contexts));
    }
}

/// By those who fire: deadlines, or, of stopped timers, all that is armed.
pub(crate) fn ended(contexts: usize, error: Error) {
    if !is_off() {
        tell(|hooks| match error {
            Error::DeadlineExceeded => hooks.expired(contexts),
            Error::Canceled => hooks.canceled(contexts),
        });
    }
}

#[cold]
fn tell(f: impl FnOnce(&dyn Hooks)) {
    contain(|| {
        // Dropped in here as well: hooks that were replaced meanwhile go with the last that uses them.
        if let Some(hooks) = HOOKS.load_full() {
            f(&**hooks);
        }
    });
}
