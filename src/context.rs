//! The handle every layer carries: derive, look, wait.

use crate::cancel::CancelGuard;
use crate::cause::Cause;
use crate::error::Error;
use crate::key::Key;
use crate::monitor;
use crate::origin;
use crate::raw::handle::Handle;
use crate::raw::values::{MergingValues, Values};

/// A cheap handle on an immutable position in a tree: it says whether the work done under it is still wanted.
///
/// A method never changes the context it is called on: it derives a child. What ends a context ends everything derived
/// from it, at any depth, before the call that ended it returns.
///
/// A context may be used from any number of threads. A clone is another handle on the same position: wait-free, an atomic
/// operation, and one more where there are values; it allocates nothing. A tree's memory goes with its last handle: a
/// drop is lock-free, and frees what nobody else keeps. Dropping contexts never cancels anything: dropping a
/// [`CancelGuard`] does.
///
/// ```
/// use ripcord::{Context, Error};
///
/// let (request, guard) = Context::background().with_cancel();
/// let (query, _query_guard) = request.with_cancel();
///
/// let worker = std::thread::spawn(move || query.wait());
/// guard.cancel();
/// assert_eq!(worker.join().unwrap(), Error::Canceled);
/// assert_eq!(request.check(), Err(Error::Canceled));
/// ```
///
/// # What does not compile
///
/// No context in the place of one. Who has none yet passes [`todo`](Self::todo), and who may do without takes an `Option`:
///
/// ```compile_fail,E0308
/// fn handle(ctx: &ripcord::Context) {}
///
/// handle(None);
/// ```
///
/// A value without a type, or by a name: what is looked up has the type of its [`Key`], and a key is a static.
///
/// ```compile_fail,E0308
/// use ripcord::{Context, Key};
///
/// static USER: Key<u64> = Key::new("user");
/// let name: Option<&String> = Context::background().value(&USER);
/// ```
///
/// ```compile_fail,E0308
/// let ctx = ripcord::Context::background().with_value("user", 7);
/// ```
///
/// A derivation that is thrown away, as if it changed its parent, is a warning:
///
/// ```compile_fail
/// # #![deny(unused_must_use)]
/// use ripcord::{Context, Key};
///
/// static USER: Key<u64> = Key::new("user");
/// let ctx = Context::background();
/// ctx.with_value(&USER, 7);
/// ```
///
/// What compiles and is a mistake: a guard bound to `_`, which is dropped, and cancels, at once. `examples/24_anti_patterns.rs`
/// has more of these.
#[derive(Clone)]
pub struct Context {
    /// Before the node, for it is dropped first: a value's drop may still look at its context, or cancel it.
    values: Values,
    node: Handle,
}

const _: () = assert!(size_of::<Context>() == 16);

impl Context {
    /// The root of every tree: never done. Wait-free; allocates nothing.
    ///
    /// ```
    /// static ROOT: ripcord::Context = ripcord::Context::background();
    /// assert!(!ROOT.is_done());
    /// ```
    #[must_use]
    pub const fn background() -> Self {
        Self {
            values: Values::NONE,
            node: Handle::BACKGROUND,
        }
    }

    /// A background that says so in [`Display`](std::fmt::Display): for code whose caller has no context to give yet.
    /// Wait-free; allocates nothing.
    #[must_use]
    pub const fn todo() -> Self {
        Self {
            values: Values::NONE,
            node: Handle::TODO,
        }
    }

    /// A child, and the guard that cancels it when it is dropped.
    ///
    /// The child of a context that is done is born done, with its error and cause. Lock-free; allocates only where the
    /// pool of nodes is empty, and once in the life of a context that many threads derive from at a time.
    ///
    /// ```
    /// use ripcord::Context;
    ///
    /// let (parent, parent_guard) = Context::background().with_cancel();
    /// let (child, child_guard) = parent.with_cancel();
    /// child_guard.cancel();
    /// assert!(child.is_done() && !parent.is_done());
    ///
    /// let (child, _guard) = parent.with_cancel();
    /// drop(parent_guard);
    /// assert!(child.is_done());
    /// ```
    ///
    /// A guard bound to `_` is dropped, and cancels, at once: bind it to `_guard`.
    #[inline]
    #[cfg_attr(feature = "origin", track_caller)]
    pub fn with_cancel(&self) -> (Self, CancelGuard) {
        let (node, guard) = self.node.derive(self.values.place());
        origin::mark(&node);
        monitor::created(&node);
        (self.with_node(node), CancelGuard::new(guard))
    }

    /// The same values on another node.
    #[inline]
    pub(crate) fn with_node(&self, node: Handle) -> Self {
        Self {
            values: self.values.clone(),
            node,
        }
    }

    /// The same position with a value more, for those who ask it, and all that is derived from it, for this key. One
    /// that was set for the key before is shadowed.
    ///
    /// No child: nothing is registered, and a cancel has nobody more to mark. Lock-free. It takes one block: 80 bytes, the
    /// value and a word for each key that is visible (two more for each 64 keys of the program past the first). Up to 192 bytes
    /// that is one of the pool's, which has it in a steady state; more are allocated. The value is dropped with the last
    /// context that can see it, a panic of its drop contained; shadowed, it may stay until the last that was derived through
    /// it goes, but setting a key in a loop keeps at most 64 of them.
    ///
    /// ```
    /// use ripcord::{Context, Key};
    ///
    /// static USER: Key<&str> = Key::new("user");
    ///
    /// let outer = Context::background().with_value(&USER, "ada");
    /// let (inner, _guard) = outer.with_value(&USER, "grace").with_cancel();
    /// assert_eq!(outer.value(&USER), Some(&"ada"));
    /// assert_eq!(inner.value(&USER), Some(&"grace"));
    /// ```
    #[must_use = "it derives a context, and changes none"]
    pub fn with_value<T: Send + Sync + 'static>(&self, key: &'static Key<T>, value: T) -> Self {
        // First, while there is nothing to be kept across the call.
        monitor::value_set(key.name());
        let place = self.node.place().max(self.values.place());
        Self {
            values: self.values.with(key.typed(), value, place),
            node: self.node.clone(),
        }
    }

    /// The value that was last set for this key on the way here. Wait-free: a few loads, the same at any depth (and
    /// past 4,096 keys, a step for each time their number doubles).
    ///
    /// ```
    /// use ripcord::{Context, Key};
    ///
    /// static USER: Key<String> = Key::new("user");
    /// static TRACE: Key<u128> = Key::new("trace");
    ///
    /// let ctx = Context::background().with_value(&USER, "ada".to_owned());
    /// assert_eq!(ctx.value(&USER).map(String::as_str), Some("ada"));
    /// assert_eq!(ctx.value(&TRACE), None);
    /// ```
    #[inline]
    #[must_use]
    pub fn value<T: Send + Sync + 'static>(&self, key: &'static Key<T>) -> Option<&T> {
        self.values.get(key.typed())
    }

    /// What is left when cancellation and deadline are taken away: the values, on a new tree, which nothing that ends
    /// `self` reaches. For work that outlives the request it was started by. It stays with the engine. Values of a key that
    /// is [`local`](Key::local) stay behind.
    ///
    /// Wait-free; of an engine of one's own lock-free, as [`with_cancel`](Self::with_cancel). Where there are local values,
    /// lock-free: it allocates once, and takes a step for each key that is visible.
    ///
    /// ```
    /// use ripcord::{Context, Key};
    ///
    /// static USER: Key<&str> = Key::new("user");
    ///
    /// let (request, guard) = Context::background().with_value(&USER, "ada").with_cancel();
    /// let notification = request.without_cancel();
    /// guard.cancel();
    /// assert!(!notification.is_done());
    /// assert_eq!(notification.value(&USER), Some(&"ada"));
    /// ```
    #[must_use]
    pub fn without_cancel(&self) -> Self {
        Self {
            values: self.values.without_local(),
            node: self.node.engine_root(),
        }
    }

    /// A context that is done with the first of `parents` that is, with its error and cause; and the guard that cancels
    /// it by itself.
    ///
    /// It takes references: an array of them, or `&parents` of a `Vec`. A parent named twice counts once; one that can
    /// never be done counts for its values and its engine only. With no parent left it is a cancellable child of
    /// background. It uses the engine of the first that is not the plain background; each parent's deadline is fired by
    /// its own engine, and the earliest of them is its own deadline. If a parent is done already, it is born done. It has
    /// the values of all of them, of two for one key the earlier parent's.
    ///
    /// Lock-free, a step for each parent (for each pair of them, up to 32) and each of their values; allocates beyond
    /// 32 parents, for the values of several, and where the pool of nodes is empty.
    ///
    /// # Panics
    ///
    /// Only if the iterator does; nothing is left behind then.
    ///
    /// ```
    /// use ripcord::{Cause, Context};
    ///
    /// let (client, client_guard) = Context::background().with_cancel();
    /// let (server, _server_guard) = Context::background().with_cancel();
    /// let (request, _guard) = Context::merge([&client, &server]);
    ///
    /// client_guard.cancel_with(Cause::msg("connection reset"));
    /// assert_eq!(request.cause().unwrap().to_string(), "connection reset");
    /// assert!(!server.is_done());
    ///
    /// let parents = vec![client, server];
    /// let (late, _late_guard) = Context::merge(&parents);
    /// assert!(late.is_done());
    /// ```
    #[cfg_attr(feature = "origin", track_caller)]
    pub fn merge<'a>(parents: impl IntoIterator<Item = &'a Self>) -> (Self, CancelGuard) {
        let mut values = MergingValues::default();
        let node = Handle::merge(parents.into_iter().map(|parent| {
            values.add(&parent.values);
            &parent.node
        }));
        let values = values.finish();
        let Some(node) = node else {
            let node = Handle::BACKGROUND;
            return Self { values, node }.with_cancel();
        };
        origin::mark(&node);
        monitor::created(&node);
        let guard = CancelGuard::new(node.clone());
        (Self { values, node }, guard)
    }

    /// Whether it is done. Wait-free: one load, no allocation, no system call.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.node.is_done()
    }

    /// How it ended; `None` while it has not. Once set it never changes. Wait-free: one load.
    #[inline]
    #[must_use]
    pub fn err(&self) -> Option<Error> {
        self.node.err()
    }

    /// `Err` once it is done, for `?` in loops. Wait-free: one load.
    ///
    /// # Errors
    ///
    /// How it ended.
    ///
    /// ```
    /// use ripcord::{Context, Error};
    ///
    /// fn sum(ctx: &Context, numbers: &[u64]) -> Result<u64, Error> {
    ///     let mut sum = 0;
    ///     for chunk in numbers.chunks(1024) {
    ///         ctx.check()?;
    ///         sum += chunk.iter().sum::<u64>();
    ///     }
    ///     Ok(sum)
    /// }
    /// assert_eq!(sum(&Context::background(), &[1, 2, 3]), Ok(6));
    /// ```
    #[inline]
    pub fn check(&self) -> Result<(), Error> {
        self.err().map_or(Ok(()), Err)
    }

    /// Why it ended; `None` while it has not: the cause given, else the parent's where the end came from there, else the
    /// [`Error`] itself. Agrees with [`err`](Self::err) and never changes once set. Wait-free, never allocates; a step
    /// for each level up to the context that was cancelled.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.node.cause()
    }

    /// How many children, merged contexts and callbacks hang on it that are not done; 0 on a context that is done or can never be.
    ///
    /// Walks them: for tests and inspection. Lock-free; allocates nothing and wakes nobody. Where another thread is at the
    /// same list for more than about a millisecond (it is stopped in the middle of taking one off, or counts hundreds of thousands),
    /// the answer is how many are registered there, done or not: waits are among them then, and a batch is one.
    #[must_use]
    pub fn child_count(&self) -> usize {
        self.node.child_count()
    }

    pub(crate) const fn of(node: Handle) -> Self {
        Self {
            values: Values::NONE,
            node,
        }
    }

    pub(crate) fn take_values(&mut self) -> Values {
        std::mem::replace(&mut self.values, Values::NONE)
    }

    pub(crate) const fn from_parts(values: Values, node: Handle) -> Self {
        Self { values, node }
    }

    pub(crate) const fn node(&self) -> &Handle {
        &self.node
    }

    pub(crate) const fn node_mut(&mut self) -> &mut Handle {
        &mut self.node
    }

    pub(crate) const fn values(&self) -> &Values {
        &self.values
    }
}

/// The background.
impl Default for Context {
    fn default() -> Self {
        Self::background()
    }
}
