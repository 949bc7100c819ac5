//! Contexts over the wire: what a caller's context says, in the headers of its request. Feature `http`.
//!
//! A [`Propagator`] writes a context into an [`http::HeaderMap`](https://docs.rs/http/1/http/header/struct.HeaderMap.html), and
//! makes one of what a peer wrote. What travels: the time that is left; the trace, as W3C Trace Context has it; W3C Baggage, and
//! in it the values of the keys that were [registered](Builder::key). Cancellation does not: a caller that gives up closes
//! its connection or resets its stream, and the server's guard is dropped with the request.
//!
//! ```
//! use http::HeaderMap;
//! use ripcord::{Context, propagate::Propagator};
//! use std::time::Duration;
//!
//! let propagator = Propagator::default();
//!
//! // The caller:
//! let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(2));
//! let mut headers = HeaderMap::new();
//! propagator.inject(&ctx, &mut headers)?;
//!
//! // The callee, under a limit of its own:
//! let (limit, _limit_guard) = Context::background().with_timeout(Duration::from_secs(30));
//! let (request, _request_guard) = propagator.extract(&headers, &limit)?;
//! assert!(request.remaining() <= Some(Duration::from_secs(2)));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! A header only ever shortens a deadline: a context that is extracted is a child of its parent. Timeouts are durations, are
//! counted from where they are read, and are rounded down: a callee never has longer than its caller, and at most one unit
//! less. An instant of a peer's clock is not read.
//!
//! No value that a peer sends becomes a key's that was not registered: it stays a string in [`BAGGAGE`].
//!
//! What is in a context and cannot stand in a header is encoded, so nothing can add a header or end one.
//!
//! | a peer sends | and gets ([`OnInvalid::Standard`]) |
//! |---|---|
//! | a timeout with a sign, a fraction, non-ASCII digits, an unknown unit, too many digits | [`Malformed`](ExtractError::Malformed) |
//! | a timeout of zero | a context that is done already |
//! | a timeout beyond [the longest](Builder::longest_timeout) | the longest |
//! | several timeouts, in one header or in two | the least of them |
//! | a `traceparent` that is malformed, of version `ff`, with an id of zeros, or twice | no trace, and its `tracestate` is not read |
//! | a `traceparent` of a later version | what its first four fields say |
//! | a `tracestate` that is malformed, of more than 32 members, with a key twice, too long | the trace without it |
//! | a `tracestate` or `baggage` in several fields | them joined, in their order |
//! | a baggage member that is malformed | the others |
//! | baggage octets that are no UTF-8 | U+FFFD in their place |
//! | a baggage member twice | both sent on; to `get` and for a key the last counts |
//! | more baggage members [than are taken](Builder::max_baggage_members) | [`TooMany`](ExtractError::TooMany) |
//! | a header, but for the trace's, longer [than is taken](Builder::max_header_bytes) | [`TooLarge`](ExtractError::TooLarge) |
//! | JSON that is malformed or nested too deeply; an id that is not 1 to 128 printable ASCII characters | [`Malformed`](ExtractError::Malformed) |
//! | JSON headers twice | [`Duplicate`](ExtractError::Duplicate) |
//! | a value that a key's decoder refuses | [`Value`](ExtractError::Value) |

mod baggage;
mod builder;
mod error;
mod json;
mod read;
mod state;
mod timeout;
mod trace;
mod write;

pub use baggage::{BAGGAGE, Baggage, Member};
pub use builder::{Builder, Format, OnInvalid};
pub use error::{CallerTimeout, ExtractError, InjectError, InvalidMember};
pub use json::{TRACE_IDS, TraceIds};
pub use state::TraceState;
pub use timeout::{decode_grpc_timeout, decode_timeout_ms, encode_grpc_timeout, encode_timeout_ms};
pub use trace::{TRACE, TraceContext, TraceParent};

use crate::cancel::CancelGuard;
use crate::context::Context;
use builder::Config;
use http::HeaderMap;
use std::fmt;
use std::sync::Arc;

/// Writes contexts into headers and makes contexts of them. A clone is another handle on the same: wait-free, it allocates
/// nothing.
#[derive(Clone, Default)]
pub struct Propagator {
    config: Arc<Config>,
}

impl Propagator {
    fn of(config: Config) -> Self {
        Self {
            config: Arc::new(config),
        }
    }

    /// A builder with what [`default`](Self::default) has. Allocates.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The names of the headers it reads and writes: for proxies that strip them, and for `Access-Control-Allow-Headers`.
    /// Wait-free; allocates nothing.
    ///
    /// ```
    /// use ripcord::propagate::Propagator;
    ///
    /// let fields: Vec<_> = Propagator::default().fields().collect();
    /// assert_eq!(fields, ["traceparent", "tracestate", "baggage", "grpc-timeout", "x-timeout-ms"]);
    /// ```
    pub fn fields(&self) -> impl Iterator<Item = &'static str> {
        self.config.headers()
    }

    /// Writes `ctx` into `headers`, in place of what stood there: a header that it has nothing for is taken out, so that what
    /// was copied from another request does not go on. Reads the clock; lock-free but for the encoders; allocates.
    ///
    /// Registered keys come first; what peers sent along is left out, by whole members, where there is no more room.
    ///
    /// # Errors
    ///
    /// [`InjectError`]: the context is done, or no more is left of its time than the [margin](Builder::margin), or less than
    /// a millisecond more where `X-Timeout-MS` is the one header that says so; a registered key's value is too long; the
    /// map is full. But for the last, `headers` are then as they were.
    ///
    /// ```
    /// use http::HeaderMap;
    /// use ripcord::{Context, Error, propagate::{InjectError, Propagator}};
    /// use std::time::Duration;
    ///
    /// let propagator = Propagator::default();
    /// let (ctx, _guard) = Context::background().with_timeout(Duration::ZERO);
    /// let sent = propagator.inject(&ctx, &mut HeaderMap::new());
    /// assert_eq!(sent, Err(InjectError::Done(Error::DeadlineExceeded)));
    /// ```
    pub fn inject(&self, ctx: &Context, headers: &mut HeaderMap) -> Result<(), InjectError> {
        write::write(&self.config, ctx, headers)
    }

    /// A child of `parent` that has what `headers` say, with the guard that cancels it when it is dropped. Its deadline is
    /// the earlier of the parent's and of theirs; where theirs fires, the cause is a [`CallerTimeout`].
    ///
    /// Keep the guard as long as the request is worked on: a server that drops it with the request's future, because the
    /// peer hung up, has cancelled all that was started for it.
    ///
    /// Reads the clock. Lock-free but for the decoders; a step a byte; allocates at most a few times what the headers
    /// hold. To have it on an engine, give that engine's background for `parent`.
    ///
    /// # Errors
    ///
    /// [`ExtractError`]: what the peer sent cannot be taken; what that is, is a matter of [`OnInvalid`]. Answer with
    /// [its status](ExtractError::status).
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use ripcord::{Engine, propagate::{Propagator, TRACE}};
    /// use std::time::Duration;
    ///
    /// let (engine, _clock) = Engine::builder().manual_clock()?;
    /// let mut headers = HeaderMap::new();
    /// headers.insert("grpc-timeout", HeaderValue::from_static("250m"));
    /// headers.insert("traceparent", HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    /// let (ctx, _guard) = Propagator::default().extract(&headers, &engine.background())?;
    /// assert_eq!(ctx.remaining(), Some(Duration::from_millis(250)));
    /// assert!(ctx.value(&TRACE).is_some_and(|trace| trace.parent.is_sampled()));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn extract(
        &self,
        headers: &HeaderMap,
        parent: &Context,
    ) -> Result<(Context, CancelGuard), ExtractError> {
        let mut read = read::read(&self.config, headers)?;
        let mut ctx = parent.clone();
        for key in &self.config.keys {
            let name = key.name();
            if let Some(text) = read.baggage.get(name) {
                match key.decode(text, &ctx) {
                    Some(with_value) => ctx = with_value,
                    None if self.config.on_invalid == OnInvalid::Ignore => {}
                    None => return Err(ExtractError::Value { name }),
                }
                // The key is what it is sent from again.
                read.baggage.remove(name);
            }
        }
        if let Some(trace) = read.trace {
            ctx = ctx.with_value(&TRACE, trace);
        }
        if let Some(ids) = read.ids {
            ctx = ctx.with_value(&TRACE_IDS, ids);
        }
        if !read.baggage.is_empty() {
            ctx = ctx.with_value(&BAGGAGE, read.baggage);
        }
        Ok(match read.timeout {
            None => ctx.with_cancel(),
            Some(timeout) => {
                let timeout = timeout.min(self.config.longest_timeout);
                ctx.with_timeout_cause(timeout, CallerTimeout(timeout))
            }
        })
    }
}

impl fmt::Debug for Propagator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// Without the spaces and tabs around it: RFC 9110's optional white space.
fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !blank(byte));
    let end = text.iter().rposition(|byte| !blank(byte));
    match (start, end) {
        (Some(start), Some(end)) => &text[start..=end],
        _ => &[],
    }
}
