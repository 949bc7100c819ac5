//! JSON in `X-Trace-Context` and `X-Context-Baggage`, as services without W3C's headers send each other.

use super::baggage::{Baggage, Member, too_many};
use super::error::ExtractError;
use crate::key::Key;
use serde_json::{Map, Value};
use std::time::Duration;

pub(super) const X_TRACE_CONTEXT: &str = "x-trace-context";
pub(super) const X_CONTEXT_BAGGAGE: &str = "x-context-baggage";

/// The longest id that is taken.
const ID: usize = 128;

/// The trace of a request that came by `X-Trace-Context` with ids that are not W3C's. With ids that are, it is
/// [`TRACE`](super::TRACE).
pub static TRACE_IDS: Key<TraceIds> = Key::new("trace_ids");

/// Ids of a trace in whatever form its callers have: 1 to 128 printable ASCII characters each, without a space. One that is not so
/// would be refused and is not sent; none of them, where that is the trace's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceIds {
    /// The id of the whole trace.
    pub trace_id: String,
    /// The id of the span that calls; empty where it has none.
    pub span_id: String,
    /// The id of the span above that one.
    pub parent_id: Option<String>,
}

/// What an `X-Trace-Context` says. Its `deadline` is an instant of the caller's wall clock, which is not ours, and is not read.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) ids: Option<TraceIds>,
    pub(super) baggage: Baggage,
    pub(super) timeout: Option<Duration>,
}

impl Metadata {
    pub(super) fn parse(text: &[u8], limit: usize, strict: bool) -> Result<Self, ExtractError> {
        Self::read(text, limit, strict).map_err(|error| error.unwrap_or(TRACE_MALFORMED))
    }

    /// `Err(None)`: it is not what it should be.
    fn read(text: &[u8], limit: usize, strict: bool) -> Result<Self, Option<ExtractError>> {
        let mut object: Map<String, Value> = serde_json::from_slice(text).map_err(|_| None)?;
        let ids = match id(&mut object, "trace_id")? {
            None => None,
            Some(trace_id) => Some(TraceIds {
                trace_id,
                span_id: id(&mut object, "span_id")?.unwrap_or_default(),
                parent_id: id(&mut object, "parent_id")?,
            }),
        };
        let baggage = match object.remove("baggage") {
            None | Some(Value::Null) => Baggage::new(),
            Some(Value::Object(members)) => baggage_of(members, limit, strict, TRACE_MALFORMED)?,
            Some(_) => return Err(None),
        };
        let timeout = match object.remove("timeout_ms") {
            None | Some(Value::Null) => None,
            Some(number) => Some(Duration::from_millis(number.as_u64().ok_or(None)?)),
        };
        Ok(Self {
            ids,
            baggage,
            timeout,
        })
    }
}

/// An empty one is none, as writers of such headers have it.
fn id(object: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Option<ExtractError>> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if id.is_empty() => Ok(None),
        Some(Value::String(id)) if is_id(&id) => Ok(Some(id)),
        Some(_) => Err(None),
    }
}

fn is_id(id: &str) -> bool {
    (1..=ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn parse_baggage(
    text: &[u8],
    limit: usize,
    strict: bool,
) -> Result<Baggage, ExtractError> {
    let members = serde_json::from_slice(text).map_err(|_| BAGGAGE_MALFORMED)?;
    baggage_of(members, limit, strict, BAGGAGE_MALFORMED)
}

fn baggage_of(
    members: Map<String, Value>,
    limit: usize,
    strict: bool,
    malformed: ExtractError,
) -> Result<Baggage, ExtractError> {
    if members.len() > limit {
        return Err(too_many(limit));
    }
    let mut baggage = Baggage::new();
    for (name, value) in members {
        match (
            Member::new(&name, value.as_str().unwrap_or_default()),
            value,
        ) {
            (Ok(member), Value::String(_)) => baggage.push(member),
            _ if strict => return Err(malformed),
            _ => {}
        }
    }
    Ok(baggage)
}

const TRACE_MALFORMED: ExtractError = ExtractError::Malformed {
    header: X_TRACE_CONTEXT,
    expected: "a JSON object with trace_id, span_id, parent_id (1 to 128 printable ASCII characters), baggage and timeout_ms",
};

const BAGGAGE_MALFORMED: ExtractError = ExtractError::Malformed {
    header: X_CONTEXT_BAGGAGE,
    expected: "a JSON object of strings",
};

impl TraceIds {
    /// As `X-Trace-Context` has them, if a peer would take them.
    pub(super) fn json(&self) -> Option<String> {
        let ids = [
            ("trace_id", Some(self.trace_id.as_str())),
            ("span_id", Some(self.span_id.as_str())),
            ("parent_id", self.parent_id.as_deref()),
        ];
        let entries = ids
            .into_iter()
            .filter_map(|(name, id)| Some(entry(name, id.filter(|id| is_id(id))?)))
            .collect::<Vec<_>>();
        is_id(&self.trace_id).then(|| object(&entries.join(",")))
    }
}

pub(super) fn object(entries: &str) -> String {
    format!("{{{entries}}}")
}

/// `"name":"value"` in printable ASCII: what is not becomes `\u` and four digits, so that no value can end the header.
pub(super) fn entry(name: &str, value: &str) -> String {
    format!("{}:{}", ascii(name), ascii(value))
}

fn ascii(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 2);
    // A control character is escaped by serde_json already, but for DEL; what else is left is in a string.
    for char in Value::from(text).to_string().chars() {
        if char.is_ascii() && char != '\x7f' {
            escaped.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}
