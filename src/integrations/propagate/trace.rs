//! W3C Trace Context: the `traceparent` header, and what of a trace a context carries.

use super::error::ExtractError;
use super::state::TraceState;
use crate::key::Key;
use std::fmt;
use std::str::FromStr;

pub(super) const TRACEPARENT: &str = "traceparent";

/// The trace that a request is part of, as W3C Trace Context has it. [`extract`](super::Propagator::extract) sets it and
/// [`inject`](super::Propagator::inject) sends it. A service that records a span of its own sets a
/// [`child`](TraceContext::child) of it; one that does not passes it on as it came.
///
/// ```
/// use ripcord::{Context, propagate::{TRACE, TraceContext, TraceParent}};
///
/// let parent: TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
/// let ctx = Context::background().with_value(&TRACE, TraceContext::new(parent));
/// assert!(ctx.value(&TRACE).unwrap().parent.is_sampled());
/// ```
pub static TRACE: Key<TraceContext> = Key::new("trace");

/// The ids of the trace and of the span that called, and whether it is recorded: the `traceparent` header.
///
/// Source: W3C Trace Context, level 2, section 3.2. Of the flags there are `sampled` and `random`; the rest are not read and
/// sent as zero, as it asks. A header of a later version is read by its first four fields, and sent on as version 00.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
}

const SAMPLED: u8 = 0b01;
const RANDOM: u8 = 0b10;

impl TraceParent {
    /// `None` where an id is all zeros, which the specification forbids. Wait-free; allocates nothing.
    ///
    /// ```
    /// use ripcord::propagate::TraceParent;
    ///
    /// let parent = TraceParent::new([7; 16], [9; 8], true).unwrap();
    /// assert_eq!(parent.to_string(), "00-07070707070707070707070707070707-0909090909090909-01");
    /// assert_eq!(TraceParent::new([0; 16], [9; 8], true), None);
    /// ```
    #[must_use]
    pub fn new(trace_id: [u8; 16], parent_id: [u8; 8], sampled: bool) -> Option<Self> {
        let some = trace_id != [0; 16] && parent_id != [0; 8];
        some.then_some(Self {
            trace_id,
            parent_id,
            flags: if sampled { SAMPLED } else { 0 },
        })
    }

    /// The id of the whole trace. Wait-free.
    #[must_use]
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The id of the span that called. Wait-free.
    #[must_use]
    pub const fn parent_id(&self) -> [u8; 8] {
        self.parent_id
    }

    /// Whether the caller may have recorded it. It is advice: a stranger can set it. Wait-free.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether the last seven bytes of the trace id are known to be random. Wait-free.
    #[must_use]
    pub const fn is_random(&self) -> bool {
        self.flags & RANDOM != 0
    }

    /// The same trace, seen from a span of one's own. `None` where the id is all zeros. Wait-free; allocates nothing.
    ///
    /// ```
    /// use ripcord::propagate::TraceParent;
    ///
    /// let caller: TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
    /// let own = caller.child(*b"\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", false).unwrap();
    /// assert_eq!(own.to_string(), "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00");
    /// ```
    #[must_use]
    pub fn child(&self, span_id: [u8; 8], sampled: bool) -> Option<Self> {
        let mut child = Self::new(self.trace_id, span_id, sampled)?;
        child.flags |= self.flags & RANDOM;
        Some(child)
    }

    /// Of two ids in lower-case hexadecimal.
    pub(super) fn of_ids(trace_id: &str, span_id: &str) -> Option<Self> {
        let trace_id = hex(trace_id.as_bytes())?;
        Self::new(trace_id, hex(span_id.as_bytes())?, false)
    }

    pub(super) fn trace_id_hex(&self) -> String {
        hex_of(&self.trace_id)
    }

    pub(super) fn parent_id_hex(&self) -> String {
        hex_of(&self.parent_id)
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = super::trim(text);
        let (head, rest) = text.split_at_checked(55)?;
        let [version] = hex(&head[..2])?;
        let later_version = version != 0;
        let ends = rest.is_empty() || (later_version && rest[0] == b'-');
        let dashes = [2, 35, 52].iter().all(|&at| head[at] == b'-');
        if version == 0xff || !ends || !dashes {
            return None;
        }
        let [flags] = hex(&head[53..])?;
        let mut parsed = Self::new(hex(&head[3..35])?, hex(&head[36..52])?, false)?;
        // What another version says by its other bits is not for this one to know.
        parsed.flags = flags
            & if later_version {
                SAMPLED
            } else {
                SAMPLED | RANDOM
            };
        Some(parsed)
    }
}

/// Lower-case hexadecimal of exactly that many bytes.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl FromStr for TraceParent {
    type Err = ExtractError;

    /// Spaces and tabs around it are let go. Wait-free; allocates nothing.
    fn from_str(text: &str) -> Result<Self, ExtractError> {
        Self::parse(text.as_bytes()).ok_or(MALFORMED)
    }
}

pub(super) const MALFORMED: ExtractError = ExtractError::Malformed {
    header: TRACEPARENT,
    expected: "version, trace id, parent id and flags as W3C Trace Context has them",
};

/// As the header has it, version 00.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, parent) = (self.trace_id_hex(), self.parent_id_hex());
        write!(f, "00-{trace}-{parent}-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

/// A `traceparent` and the `tracestate` that goes with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TraceContext {
    /// The ids and the flags.
    pub parent: TraceParent,
    /// What each tracing system on the way keeps for itself.
    pub state: TraceState,
}

impl TraceContext {
    /// Without any state. Wait-free; allocates nothing.
    #[must_use]
    pub const fn new(parent: TraceParent) -> Self {
        Self {
            parent,
            state: TraceState::new(),
        }
    }

    /// The same trace and state, seen from a span of one's own. `None` where the id is all zeros. Allocates where there is a
    /// state.
    ///
    /// ```
    /// use ripcord::propagate::{TraceContext, TraceParent};
    ///
    /// let caller = TraceContext::new(TraceParent::new([7; 16], [9; 8], true).unwrap());
    /// let mut own = caller.child([1; 8], true).unwrap();
    /// own.state.insert("rojo", "0101010101010101").unwrap();
    /// assert_eq!(own.parent.trace_id(), caller.parent.trace_id());
    /// ```
    #[must_use]
    pub fn child(&self, span_id: [u8; 8], sampled: bool) -> Option<Self> {
        Some(Self {
            parent: self.parent.child(span_id, sampled)?,
            state: self.state.clone(),
        })
    }
}
