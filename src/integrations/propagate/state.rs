//! W3C Trace Context: the `tracestate` header, a short list of which the left end is the newest.

use super::error::{ExtractError, InvalidMember};
use std::fmt;
use std::str::FromStr;

pub(super) const TRACESTATE: &str = "tracestate";

/// The most members that a list may have.
const MOST: usize = 32;

/// Entries that are longer go first where a list is too long.
const LONG: usize = 128;

/// What each tracing system that a request came by keeps for itself: up to 32 pairs, each key once, the newest on the left.
///
/// Source: W3C Trace Context, level 2, section 3.3.
///
/// ```
/// use ripcord::propagate::TraceState;
///
/// let mut state: TraceState = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".parse().unwrap();
/// state.insert("congo", "ucfJifl5GOE").unwrap(); // moves to the left
/// assert_eq!(state.to_string(), "congo=ucfJifl5GOE,rojo=00f067aa0ba902b7");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceState {
    members: Vec<(String, String)>,
}

impl TraceState {
    /// An empty one. Wait-free; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            members: Vec::new(),
        }
    }

    /// What stands for `key`. Wait-free: a step a member.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|(own, _)| *own == key)
            .map(|(_, value)| value)
    }

    /// The pairs from the left. Wait-free.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many there are. Wait-free.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none. Wait-free.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Sets it, at the left end, in place of what stood for the key. Of 33 the right-most goes. Allocates.
    ///
    /// # Errors
    ///
    /// [`InvalidMember`]: the header cannot hold the key or the value.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), InvalidMember> {
        if !is_key(key.as_bytes()) {
            return Err(InvalidMember::Name);
        }
        if !is_value(value.as_bytes()) {
            return Err(InvalidMember::Value);
        }
        self.remove(key);
        self.members.truncate(MOST - 1);
        self.members.insert(0, (key.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Takes it out. Whether it was there. To take out what is another system's breaks that one's traces. Wait-free.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.len();
        self.members.retain(|(own, _)| own != key);
        self.len() < before
    }

    /// Of all fields of the header, in their order.
    pub(super) fn parse<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Result<Self, ExtractError> {
        let mut members: Vec<(String, String)> = Vec::new();
        for member in fields.flat_map(|field| field.split(|&byte| byte == b',')) {
            let member = super::trim(member);
            if member.is_empty() {
                continue;
            }
            if members.len() == MOST {
                return Err(ExtractError::TooMany {
                    header: TRACESTATE,
                    limit: MOST,
                });
            }
            let (key, value) = pair(member).ok_or(MALFORMED)?;
            if members.iter().any(|(own, _)| own == key) {
                return Err(MALFORMED);
            }
            members.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { members })
    }

    /// The header in at most `limit` bytes: whole entries are left out, first those that are longer than 128 and then from
    /// the right, as section 3.3.1.5 says. `None` where nothing is left.
    pub(super) fn header(&self, limit: usize) -> Option<String> {
        let size = |(key, value): &(String, String)| key.len() + 1 + value.len();
        let mut kept: Vec<_> = self.members.iter().collect();
        // With a comma each, and one more than there are commas.
        let mut bytes: usize = kept.iter().map(|member| size(member) + 1).sum();
        for long_only in [true, false] {
            let mut at = kept.len();
            while bytes > limit.saturating_add(1) && at > 0 {
                at -= 1;
                if !long_only || size(kept[at]) > LONG {
                    bytes -= size(kept.remove(at)) + 1;
                }
            }
        }
        let list: Vec<_> = kept
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        (!list.is_empty()).then(|| list.join(","))
    }
}

/// All that a value may be is ASCII, so the text is.
fn pair(member: &[u8]) -> Option<(&str, &str)> {
    let at = member.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&member[..at], &member[at + 1..]);
    if !is_key(key) || !is_value(value) {
        return None;
    }
    Some((str::from_utf8(key).ok()?, str::from_utf8(value).ok()?))
}

fn is_key(key: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.len() <= 256
        && key.first().is_some_and(|&first| plain(first))
        && key
            .iter()
            .all(|&byte| plain(byte) || b"_-*/@".contains(&byte))
}

fn is_value(value: &[u8]) -> bool {
    value.len() <= 256
        && value.last().is_some_and(|&last| last != b' ')
        && value
            .iter()
            .all(|&byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
}

const MALFORMED: ExtractError = ExtractError::Malformed {
    header: TRACESTATE,
    expected: "key=value pairs, each key once, as W3C Trace Context has them",
};

impl FromStr for TraceState {
    type Err = ExtractError;

    /// The value of one header. Empty members are let go. Allocates.
    fn from_str(text: &str) -> Result<Self, ExtractError> {
        Self::parse(std::iter::once(text.as_bytes()))
    }
}

/// As the header has it, however long.
impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.header(usize::MAX).unwrap_or_default())
    }
}
