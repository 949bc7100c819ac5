//! The keys of values.

use crate::raw::values::TypedKey;
use crate::sync::AtomicUsize;
use std::any::type_name;
use std::fmt;

/// A key of the values of one type that contexts carry. A static, for what it is, is where it is: two keys of one name
/// and type are two keys.
///
/// ```
/// use ripcord::{Context, Key};
///
/// static USER: Key<String> = Key::new("user");
///
/// let request = Context::background().with_value(&USER, "ada".to_owned());
/// assert_eq!(request.value(&USER).map(String::as_str), Some("ada"));
/// assert_eq!(request.to_string(), "context.Background.WithValue(user)");
/// ```
///
/// A constant would be another key at each use, and does not compile:
///
/// ```compile_fail,E0716
/// use ripcord::{Context, Key};
///
/// const USER: Key<u64> = Key::new("user");
/// let request = Context::background().with_value(&USER, 7); // temporary value dropped while borrowed
/// ```
///
/// Nor does another type:
///
/// ```compile_fail,E0308
/// use ripcord::{Context, Key};
///
/// static USER: Key<u64> = Key::new("user");
/// let request = Context::background().with_value(&USER, "ada");
/// ```
///
/// A key takes a number when it is first set, and keeps it as long as the program runs: keys are for statics, or for
/// what is made once.
pub struct Key<T>(TypedKey<T>);

impl<T> Key<T> {
    /// A key. The name is for people: it is what [`Display`](fmt::Display) of a context prints. Wait-free; allocates nothing.
    ///
    /// ```
    /// static USER: ripcord::Key<u64> = ripcord::Key::new("user");
    /// static OTHER: ripcord::Key<u64> = ripcord::Key::new("user");
    ///
    /// let ctx = ripcord::Context::background().with_value(&USER, 7);
    /// assert_eq!(ctx.value(&OTHER), None);
    /// ```
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(TypedKey::new(name, AtomicUsize::new(0)))
    }

    /// The name it was made with. Wait-free; allocates nothing.
    ///
    /// ```
    /// static USER: ripcord::Key<u64> = ripcord::Key::new("user");
    /// assert_eq!(USER.name(), "user");
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.0.name()
    }

    pub(crate) const fn typed(&self) -> &TypedKey<T> {
        &self.0
    }
}

/// Its name and type; it has no value of its own.
impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name())
            .field("type", &format_args!("{}", type_name::<T>()))
            .finish()
    }
}
