//! What is wrong with headers that came, and why some cannot be sent.

use crate::error::Error;
use http::StatusCode;
use std::fmt;
use std::time::Duration;

/// What is wrong with a peer's headers. It names the header and never repeats what the peer wrote: that may be a secret, or
/// made to be found in a log.
///
/// ```
/// use http::{HeaderMap, HeaderValue, StatusCode};
/// use ripcord::{Context, propagate::{ExtractError, Propagator}};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("grpc-timeout", HeaderValue::from_static("-5S"));
/// let error = Propagator::default().extract(&headers, &Context::background()).unwrap_err();
/// assert!(matches!(error, ExtractError::Malformed { header: "grpc-timeout", .. }));
/// assert_eq!(error.status(), StatusCode::BAD_REQUEST);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtractError {
    /// It is not written as its specification says.
    Malformed {
        /// Its name.
        header: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// It came more than once, and may come only once.
    Duplicate {
        /// Its name.
        header: &'static str,
    },
    /// All fields of this name together are longer than is accepted.
    TooLarge {
        /// Its name.
        header: &'static str,
        /// The most that is accepted, in bytes.
        limit: usize,
    },
    /// It has more members than are accepted.
    TooMany {
        /// Its name.
        header: &'static str,
        /// The most that are accepted.
        limit: usize,
    },
    /// The decoder of a registered key refused what was sent for it.
    Value {
        /// The name the key was registered by.
        name: &'static str,
    },
}

impl ExtractError {
    /// What an HTTP server answers: 431 for what is too large or too many, 400 for the rest. Wait-free.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } | Self::TooMany { .. } => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for ExtractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { header, expected } => {
                write!(f, "the header {header} is malformed; send {expected}")
            }
            Self::Duplicate { header } => {
                write!(f, "the header {header} came more than once; send one")
            }
            Self::TooLarge { header, limit } => write!(
                f,
                "the header {header} is too long; send at most {limit} bytes"
            ),
            Self::TooMany { header, limit } => write!(
                f,
                "the header {header} has too many members; send at most {limit}"
            ),
            Self::Value { name } => write!(
                f,
                "the baggage member {name} is not what its key holds; send it as the key's encoder does"
            ),
        }
    }
}

impl std::error::Error for ExtractError {}

/// Why a context cannot be sent on. The headers are then as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InjectError {
    /// The context is done, or nothing is left of its time: the call is not worth making.
    Done(Error),
    /// What has to be sent is longer than is accepted: the values of registered keys, or the ids of a trace.
    TooLarge {
        /// The header's name.
        header: &'static str,
        /// The most that is sent, in bytes.
        limit: usize,
    },
    /// The map cannot hold any more headers.
    Full,
}

impl fmt::Display for InjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(error) => write!(f, "{error}; do not make the call"),
            Self::TooLarge { header, limit } => write!(
                f,
                "the header {header} would be longer than {limit} bytes; send less, or raise the limit on both sides"
            ),
            Self::Full => f.write_str("the header map is full; send fewer headers"),
        }
    }
}

impl std::error::Error for InjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Done(error) => Some(error),
            _ => None,
        }
    }
}

/// A name or a value that cannot be written in a header of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidMember {
    /// Baggage: a token of RFC 9110. A state's key: a lower-case letter or a digit, then up to 255 of those and `_-*/@`.
    Name,
    /// A state's value: 1 to 256 printable ASCII characters without `,` and `=`, the last of them no space.
    Value,
    /// A name was registered twice.
    Twice,
    /// A key that has no [wire name](crate::Key::wire) was registered: its values are not to leave the process.
    NotOnWire,
}

impl fmt::Display for InvalidMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the name cannot be a member's; see InvalidMember::Name",
            Self::Value => "the value cannot be a member's; see InvalidMember::Value",
            Self::Twice => "two keys were registered by one name; give each its own",
            Self::NotOnWire => "a key without a wire name was registered; give it one by Key::wire",
        })
    }
}

impl std::error::Error for InvalidMember {}

/// The [cause](crate::Context::cause) of a context that ended because the time its caller gave it was over.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use ripcord::{Context, propagate::{CallerTimeout, Propagator}};
/// use std::time::Duration;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("grpc-timeout", HeaderValue::from_static("1m"));
/// let (ctx, _guard) = Propagator::default().extract(&headers, &Context::background()).unwrap();
/// ctx.wait();
/// let cause = ctx.cause().unwrap();
/// assert_eq!(cause.downcast_ref::<CallerTimeout>().map(|c| c.timeout()), Some(Duration::from_millis(1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerTimeout(pub(super) Duration);

impl CallerTimeout {
    /// How long the caller gave, counted from where its headers were read. Wait-free.
    #[must_use]
    pub const fn timeout(self) -> Duration {
        self.0
    }
}

impl fmt::Display for CallerTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the caller's timeout of {:?} has passed", self.0)
    }
}

impl std::error::Error for CallerTimeout {}
