//! Why a context ended: an `Error` kept inline, anything else shared.

use crate::error::{EngineStopped, Error};
use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

type Shared = dyn std::error::Error + Send + Sync;

/// Why a context ended.
///
/// Any error can be one. A `&str` or a `String` is no error: make one of it with [`Cause::msg`]. Making a cause allocates,
/// unless it is made of an [`Error`] or an [`EngineStopped`]; a clone is wait-free, one atomic operation on a
/// count that all of its clones share, and allocates nothing. One that is given often, to each request say, is built once
/// and cloned.
///
/// Like anyhow's `Error`, a `Cause` is not itself a [`std::error::Error`], but derefs to one, and becomes a boxed one by `?`.
///
/// ```
/// use ripcord::{Cause, Context, Error};
/// use std::io;
///
/// let (ctx, guard) = Context::background().with_cancel();
/// guard.cancel_with(io::Error::other("disk full"));
/// let cause = ctx.cause().expect("it is done");
/// assert_eq!(ctx.err(), Some(Error::Canceled));
/// assert_eq!(cause.downcast_ref::<io::Error>().map(|e| e.kind()), Some(io::ErrorKind::Other));
/// assert_eq!(cause.to_string(), "disk full");
///
/// let (ctx, guard) = Context::background().with_cancel();
/// guard.cancel_with(Cause::msg(format_args!("worker {} gave up", 7)));
/// assert_eq!(ctx.cause().unwrap().to_string(), "worker 7 gave up");
/// ```
#[derive(Clone)]
pub struct Cause(Repr);

#[derive(Clone)]
enum Repr {
    Inline(Error),
    Stopped,
    Shared(Arc<Body>),
}

/// A thin target, so that a cause fits the one word of a node's slot.
#[repr(align(16))]
pub(crate) enum Body {
    Error(Box<Shared>),
    /// In here, and not boxed as other errors are: an allocation less.
    Message(Message),
}

impl Body {
    fn error(&self) -> &Shared {
        match self {
            Self::Error(error) => &**error,
            Self::Message(message) => message,
        }
    }
}

/// A cause taken apart for a node's slot; put together again with [`Cause::from_parts`].
pub(crate) enum Parts {
    Inline(Error),
    Stopped,
    Shared(Arc<Body>),
}

impl Cause {
    pub(crate) const ENGINE_STOPPED: Self = Self(Repr::Stopped);

    /// A cause that only says something: for a `&str`, a `String`, or `format_args!`. Formats at once; there is nothing to
    /// downcast to. Allocates; lock-free but for that, and for what `message` does.
    pub fn msg(message: impl fmt::Display) -> Self {
        let message = Message(message.to_string());
        Self(Repr::Shared(Arc::new(Body::Message(message))))
    }

    /// The error this was made from, if it is an `E`. Wait-free; allocates nothing.
    #[must_use]
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        (**self).downcast_ref()
    }

    pub(crate) fn into_parts(self) -> Parts {
        match self.0 {
            Repr::Inline(error) => Parts::Inline(error),
            Repr::Stopped => Parts::Stopped,
            Repr::Shared(body) => Parts::Shared(body),
        }
    }

    pub(crate) fn from_parts(parts: Parts) -> Self {
        Self(match parts {
            Parts::Inline(error) => Repr::Inline(error),
            Parts::Stopped => Repr::Stopped,
            Parts::Shared(body) => Repr::Shared(body),
        })
    }
}

/// An [`Error`] or an [`EngineStopped`] stays inline; anything else is boxed, which allocates.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Cause {
    fn from(error: E) -> Self {
        let any = &error as &dyn Any;
        if any.is::<EngineStopped>() {
            return Self::ENGINE_STOPPED;
        }
        match any.downcast_ref::<Error>() {
            Some(error) => Self(Repr::Inline(*error)),
            None => Self(Repr::Shared(Arc::new(Body::Error(Box::new(error))))),
        }
    }
}

impl Deref for Cause {
    type Target = dyn std::error::Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        match &self.0 {
            Repr::Inline(error) => error,
            Repr::Stopped => &EngineStopped,
            Repr::Shared(body) => body.error(),
        }
    }
}

/// For `?` in functions that return a boxed error.
///
/// An [`Error`] and an [`EngineStopped`] are boxed as they are. Anything else stays shared: the box prints as the cause does,
/// and its [`source`](std::error::Error::source) is the error that the cause was made from (of a message, `None`). Allocates
/// once.
///
/// ```
/// use ripcord::Context;
/// use std::error::Error;
/// use std::io;
///
/// fn work(ctx: &Context) -> Result<(), Box<dyn Error + Send + Sync>> {
///     match ctx.cause() {
///         None => Ok(()),
///         Some(cause) => Err(cause)?,
///     }
/// }
///
/// let (ctx, guard) = Context::background().with_cancel();
/// assert!(work(&ctx).is_ok());
/// guard.cancel_with(io::Error::other("disk full"));
/// let error = work(&ctx).unwrap_err();
/// assert_eq!(error.to_string(), "disk full");
/// assert!(error.source().is_some_and(|source| source.is::<io::Error>()));
/// ```
impl From<Cause> for Box<dyn std::error::Error + Send + Sync> {
    fn from(cause: Cause) -> Self {
        match cause.0 {
            Repr::Inline(error) => Box::new(error),
            Repr::Stopped => Box::new(EngineStopped),
            Repr::Shared(body) => Box::new(Boxed(body)),
        }
    }
}

/// As above, for a box that need not be `Send`.
impl From<Cause> for Box<dyn std::error::Error> {
    fn from(cause: Cause) -> Self {
        Box::<Shared>::from(cause)
    }
}

// A cause is only ever read, and an error that a panic left half-changed is still an error.
impl UnwindSafe for Cause {}
impl RefUnwindSafe for Cause {}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// A shared cause as an error of its own.
struct Boxed(Arc<Body>);

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.error(), f)
    }
}

impl fmt::Display for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.error(), f)
    }
}

impl std::error::Error for Boxed {
    /// The error itself, so that it is found by its type; a message has none.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Body::Error(error) => Some(&**error),
            Body::Message(_) => None,
        }
    }
}

pub(crate) struct Message(String);

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Message {}
