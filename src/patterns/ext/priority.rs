//! How urgent a request is.

use crate::{Context, Key};
use std::fmt;

static PRIORITY: Key<Priority> = Key::new("priority");

/// How urgent a request is: the higher, the more. What that means is for those to say who look: a queue, a pool, a limiter.
///
/// ```
/// use ripcord::{Context, ext::Priority};
///
/// assert!(Priority::LOW < Priority::NORMAL && Priority::NORMAL < Priority::HIGH);
///
/// let ctx = Context::background();
/// assert_eq!(Priority::of(&ctx), Priority::NORMAL); // where nobody said
/// let urgent = Priority(9).attach(&ctx);
/// let (child, _guard) = urgent.with_cancel();
/// assert_eq!(Priority::of(&child), Priority(9));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u8);

impl Priority {
    /// Work that can wait.
    pub const LOW: Self = Self(2);
    /// What a request has of which nobody said otherwise.
    pub const NORMAL: Self = Self(5);
    /// Work that somebody waits for.
    pub const HIGH: Self = Self(8);

    /// A context like `ctx`, with this priority. Lock-free; allocates as [`Context::with_value`] does.
    #[must_use = "it derives a context, and changes none"]
    pub fn attach(self, ctx: &Context) -> Context {
        ctx.with_value(&PRIORITY, self)
    }

    /// The priority that was last attached on the way to `ctx`; [`NORMAL`](Self::NORMAL) where none was. Wait-free.
    #[must_use]
    pub fn of(ctx: &Context) -> Self {
        ctx.value(&PRIORITY).copied().unwrap_or_default()
    }
}

/// [`NORMAL`](Self::NORMAL).
impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
