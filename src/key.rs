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

    /// The same key, whose values stay behind at [`without_cancel`](crate::Context::without_cancel): for what belongs to the
    /// request itself, a connection or a transaction, and is of no use, or does harm, once that has ended. Without this
    /// a value goes along. Wait-free; allocates nothing.
    ///
    /// ```
    /// use ripcord::{Context, Key};
    ///
    /// static USER: Key<&str> = Key::new("user");
    /// static TRANSACTION: Key<u64> = Key::new("transaction").local();
    ///
    /// let request = Context::background()
    ///     .with_value(&USER, "ada")
    ///     .with_value(&TRANSACTION, 7);
    /// let notification = request.without_cancel();
    /// assert_eq!(notification.value(&USER), Some(&"ada"));
    /// assert_eq!(notification.value(&TRANSACTION), None);
    /// ```
    #[must_use]
    pub const fn local(self) -> Self {
        Self(self.0.local())
    }

    /// The same key, whose values may go to other services, under this name: those of a key that is registered with a propagator
    /// (feature `http`), which refuses a key without one. Wait-free; allocates nothing.
    ///
    /// The name is a token, as a header's name is and a key of W3C baggage
    /// ([RFC 9110, 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)): letters, digits and ``!#$%&'*+-.^_`|~``,
    /// one at the least. Two keys of one wire name would be taken for one by the other side.
    ///
    /// ```
    /// static TENANT: ripcord::Key<String> = ripcord::Key::new("tenant").wire("tenant-id");
    /// assert_eq!(TENANT.wire_name(), Some("tenant-id"));
    /// ```
    ///
    /// # Panics
    ///
    /// If it is no token: in a static, which is made by the compiler, it does not compile.
    ///
    /// ```compile_fail,E0080
    /// static TENANT: ripcord::Key<String> = ripcord::Key::new("tenant").wire("tenant id");
    /// ```
    ///
    /// ```compile_fail,E0080
    /// static TENANT: ripcord::Key<String> = ripcord::Key::new("tenant").wire("");
    /// ```
    ///
    /// ```compile_fail,E0080
    /// static TENANT: ripcord::Key<String> = ripcord::Key::new("tenant").wire("x\r\nSet-Cookie");
    /// ```
    #[must_use]
    pub const fn wire(self, name: &'static str) -> Self {
        assert!(
            is_token(name.as_bytes()),
            "the wire name of a key is a token: letters, digits and !#$%&'*+-.^_`|~, one at the least"
        );
        Self(self.0.wire(name))
    }

    /// Whether its values stay behind at [`without_cancel`](crate::Context::without_cancel): see [`local`](Self::local).
    /// Wait-free; allocates nothing.
    ///
    /// ```
    /// static USER: ripcord::Key<u64> = ripcord::Key::new("user");
    /// assert!(!USER.is_local());
    /// ```
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.0.is_local()
    }

    /// What it is called on the wire; `None`: it does not go there. See [`wire`](Self::wire). Wait-free; allocates nothing.
    ///
    /// ```
    /// static USER: ripcord::Key<u64> = ripcord::Key::new("user");
    /// assert_eq!(USER.wire_name(), None);
    /// ```
    #[must_use]
    pub const fn wire_name(&self) -> Option<&'static str> {
        self.0.wire_name()
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

/// A token of RFC 9110, section 5.6.2.
pub(crate) const fn is_token(name: &[u8]) -> bool {
    let mut index = 0;
    while index < name.len() {
        let is_allowed = name[index].is_ascii_alphanumeric()
            || matches!(
                name[index],
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        if !is_allowed {
            return false;
        }
        index += 1;
    }
    !name.is_empty()
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
