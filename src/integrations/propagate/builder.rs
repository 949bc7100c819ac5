//! What a propagator reads and writes, within what limits: the configuration and its builder.

use super::Propagator;
use super::baggage::BAGGAGE_HEADER;
use super::error::InvalidMember;
use super::json::{X_CONTEXT_BAGGAGE, X_TRACE_CONTEXT};
use super::state::TRACESTATE;
use super::timeout::{GRPC_TIMEOUT, X_TIMEOUT_MS};
use super::trace::TRACEPARENT;
use crate::context::Context;
use crate::key::Key;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a context is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// `traceparent` and `tracestate`: W3C Trace Context.
    TraceContext,
    /// `baggage`: W3C Baggage.
    Baggage,
    /// `grpc-timeout`: gRPC over HTTP/2.
    GrpcTimeout,
    /// `X-Timeout-MS`: whole milliseconds.
    XTimeoutMs,
    /// `X-Trace-Context`: a trace's ids, as a JSON object. Where a `traceparent` came too, that one counts.
    XTraceContext,
    /// `X-Context-Baggage`: baggage, as a JSON object of strings. Of a name that came in both, `baggage`'s counts.
    XContextBaggage,
}

impl Format {
    pub(super) const fn headers(self) -> &'static [&'static str] {
        match self {
            Self::TraceContext => &[TRACEPARENT, TRACESTATE],
            Self::Baggage => &[BAGGAGE_HEADER],
            Self::GrpcTimeout => &[GRPC_TIMEOUT],
            Self::XTimeoutMs => &[X_TIMEOUT_MS],
            Self::XTraceContext => &[X_TRACE_CONTEXT],
            Self::XContextBaggage => &[X_CONTEXT_BAGGAGE],
        }
    }
}

/// What [`extract`](Propagator::extract) does with what it cannot take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnInvalid {
    /// What W3C asks, and no guess about time: a trace that is malformed is no trace, a state that is malformed no state, a
    /// baggage member that is malformed is left out. All else is refused.
    #[default]
    Standard,
    /// Everything is refused.
    Refuse,
    /// Everything is left out: `extract` never fails. A caller whose timeout cannot be read is then served without one.
    Ignore,
}

/// How a registered key goes over the wire.
pub(super) trait Wire: Send + Sync {
    fn name(&self) -> &'static str;
    fn encode(&self, ctx: &Context) -> Option<String>;
    fn decode(&self, text: &str, ctx: &Context) -> Option<Context>;
}

struct WireKey<T: 'static, E, D> {
    key: &'static Key<T>,
    name: &'static str,
    encode: E,
    decode: D,
}

impl<T, E, D> Wire for WireKey<T, E, D>
where
    T: Send + Sync + 'static,
    E: Fn(&T) -> String + Send + Sync,
    D: Fn(&str) -> Option<T> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn encode(&self, ctx: &Context) -> Option<String> {
        ctx.value(self.key).map(&self.encode)
    }

    fn decode(&self, text: &str, ctx: &Context) -> Option<Context> {
        (self.decode)(text).map(|value| ctx.with_value(self.key, value))
    }
}

#[derive(Clone)]
pub(super) struct Config {
    formats: Vec<Format>,
    pub(super) keys: Vec<Arc<dyn Wire>>,
    pub(super) on_invalid: OnInvalid,
    pub(super) header_bytes: usize,
    pub(super) baggage_members: usize,
    pub(super) tracestate_bytes: usize,
    pub(super) longest_timeout: Duration,
    pub(super) margin: Duration,
    pub(super) forward_baggage: bool,
}

impl Config {
    pub(super) fn has(&self, format: Format) -> bool {
        self.formats.contains(&format)
    }

    pub(super) fn is_registered(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name() == name)
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = &'static str> {
        self.formats
            .iter()
            .flat_map(|format| format.headers())
            .copied()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            formats: vec![
                Format::TraceContext,
                Format::Baggage,
                Format::GrpcTimeout,
                Format::XTimeoutMs,
            ],
            keys: Vec::new(),
            on_invalid: OnInvalid::Standard,
            header_bytes: 8_192,
            baggage_members: 180,
            tracestate_bytes: 512,
            longest_timeout: Duration::from_secs(24 * 60 * 60),
            margin: Duration::ZERO,
            forward_baggage: true,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys.iter().map(|key| key.name()).collect();
        f.debug_struct("Propagator")
            .field("formats", &self.formats)
            .field("keys", &keys)
            .field("on_invalid", &self.on_invalid)
            .finish_non_exhaustive()
    }
}

/// Makes a [`Propagator`]. Each of its methods says what holds without it.
///
/// ```
/// use http::HeaderMap;
/// use ripcord::{Context, Key, propagate::{Format, Propagator}};
///
/// static TENANT: Key<u32> = Key::new("tenant").wire("tenant");
///
/// let propagator = Propagator::builder()
///     .formats([Format::Baggage, Format::GrpcTimeout])
///     .key(&TENANT, |id| id.to_string(), |text| text.parse().ok())
///     .build()
///     .unwrap();
/// let ctx = Context::background().with_value(&TENANT, 7);
/// let mut headers = HeaderMap::new();
/// propagator.inject(&ctx, &mut headers).unwrap();
/// assert_eq!(headers["baggage"], "tenant=7");
///
/// let (ctx, _guard) = propagator.extract(&headers, &Context::background()).unwrap();
/// assert_eq!(ctx.value(&TENANT), Some(&7));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder makes nothing before `build`"]
pub struct Builder {
    config: Config,
    error: Option<InvalidMember>,
}

impl Builder {
    /// What is read and written, and no other. Without it: trace context, baggage, `grpc-timeout` and `X-Timeout-MS`.
    pub fn formats(mut self, formats: impl IntoIterator<Item = Format>) -> Self {
        self.config.formats = formats.into_iter().collect();
        self
    }

    /// Sends the values of `key` as the baggage member of its [wire name](Key::wire), and takes them from there. Without it no peer
    /// sets any key, and no key's values leave the process; a key without a wire name is refused by [`build`](Self::build).
    ///
    /// `decode` gets what a stranger wrote, of any length up to that of the header: `None` refuses it. Where the member comes
    /// more than once, the last counts. Neither may panic.
    pub fn key<T: Send + Sync + 'static>(
        mut self,
        key: &'static Key<T>,
        encode: impl Fn(&T) -> String + Send + Sync + 'static,
        decode: impl Fn(&str) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        let Some(name) = key.wire_name() else {
            self.error = Some(InvalidMember::NotOnWire);
            return self;
        };
        if self.config.is_registered(name) {
            self.error = Some(InvalidMember::Twice);
        }
        self.config.keys.push(Arc::new(WireKey {
            key,
            name,
            encode,
            decode,
        }));
        self
    }

    /// What happens to headers that cannot be taken. Without it: [`OnInvalid::Standard`].
    pub const fn on_invalid(mut self, what: OnInvalid) -> Self {
        self.config.on_invalid = what;
        self
    }

    /// The most bytes that are taken, and sent, of all fields of one name, a comma between them counted. Without it: 8,192,
    /// the least that W3C Baggage allows as a limit.
    pub const fn max_header_bytes(mut self, bytes: usize) -> Self {
        self.config.header_bytes = bytes;
        self
    }

    /// The most members of baggage that are taken, and sent. Without it: 180. W3C Baggage asks for 64 at least.
    pub const fn max_baggage_members(mut self, members: usize) -> Self {
        self.config.baggage_members = members;
        self
    }

    /// The most bytes of `tracestate` that are sent on; what is more is shortened by whole entries. Without it: 512, the
    /// least that W3C Trace Context recommends.
    pub const fn max_tracestate_bytes(mut self, bytes: usize) -> Self {
        self.config.tracestate_bytes = bytes;
        self
    }

    /// The longest timeout that a peer is given; one that asks for more gets this. Without it: 24 hours. A peer that names no
    /// timeout is not limited by it: that is for a deadline of the parent's.
    pub const fn longest_timeout(mut self, timeout: Duration) -> Self {
        self.config.longest_timeout = timeout;
        self
    }

    /// What is kept back from the time that a callee is given, for the way there and back. Without it: nothing.
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.config.margin = margin;
        self
    }

    /// Whether the [`BAGGAGE`](super::BAGGAGE) that a peer sent is sent on. Without it: yes, as W3C Baggage asks. It may be for
    /// nobody else's eyes: a propagator for calls to strangers says `false`, and sends registered keys only.
    pub const fn forward_baggage(mut self, forward: bool) -> Self {
        self.config.forward_baggage = forward;
        self
    }

    /// The propagator. Allocates.
    ///
    /// # Errors
    ///
    /// [`InvalidMember`]: a key has no wire name, or two have the same.
    pub fn build(self) -> Result<Propagator, InvalidMember> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(Propagator::of(self.config)),
        }
    }
}
