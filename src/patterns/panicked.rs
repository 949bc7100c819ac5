//! A panic of the caller's code, as an error.

use crate::sync::contain;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Work that was given to a [`Group`](crate::Group) or a [`hedge`](crate::hedge) panicked. It says what the panic said, where that was a string.
///
/// The panic hook has run by then, and has printed where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    message: Box<str>,
}

impl Panicked {
    /// What the panic said; `not a string` where it was no `&str` and no `String`.
    ///
    /// ```
    /// use ripcord::{Context, Group, GroupError};
    ///
    /// let group = Group::new(&Context::background());
    /// group.spawn(|_| -> Result<(), ripcord::Error> { panic!("no such shard") }).unwrap();
    /// let Err(GroupError::Panicked(panic)) = group.join() else { unreachable!("it panics") };
    /// assert_eq!(panic.message(), "no such shard");
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the work panicked: {}", self.message)
    }
}

impl std::error::Error for Panicked {}

/// What `work` gives, or that it panicked. A panic of the payload's drop goes no further.
///
/// What it had in hand is not looked at again: it is dropped, or it is the caller's own to judge.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked {
        message: message(payload, "not a string").into(),
    })
}

/// What a panic says, and drops its payload; `otherwise` where that is no string.
pub(super) fn message(payload: Box<dyn Any + Send>, otherwise: &str) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or(otherwise)
        .to_owned();
    contain(|| drop(payload));
    message
}
