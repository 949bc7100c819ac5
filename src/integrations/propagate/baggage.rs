//! W3C Baggage: the `baggage` header.

use super::error::{ExtractError, InvalidMember};
use crate::key::{Key, is_token};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use std::fmt;
use std::str::FromStr;

pub(super) const BAGGAGE_HEADER: &str = "baggage";

/// What a peer sent along that no key was registered for: strings, and never anything else. It is sent on as it came, unless
/// the propagator [keeps it](super::Builder::forward_baggage).
///
/// ```
/// use ripcord::{Context, propagate::{BAGGAGE, Baggage}};
///
/// let baggage: Baggage = "userId=alice,serverNode=DF%2028".parse().unwrap();
/// let ctx = Context::background().with_value(&BAGGAGE, baggage);
/// assert_eq!(ctx.value(&BAGGAGE).unwrap().get("serverNode"), Some("DF 28"));
/// ```
pub static BAGGAGE: Key<Baggage> = Key::new("baggage");

/// What has to be written as `%XX` in a value: all that is no `baggage-octet`, and `%` itself.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b',')
    .add(b';')
    .add(b'\\');

/// Names with values, in order. A name may come more than once, as the specification allows: the last counts.
///
/// Source: W3C Baggage, section 3.3. `Debug` shows the names only: values can be secrets.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Baggage {
    members: Vec<Member>,
}

/// One of them: a name, a value, and properties that mean what their sender says they do.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Member {
    name: String,
    value: String,
    properties: Vec<(String, Option<String>)>,
}

impl Baggage {
    /// An empty one. Wait-free; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            members: Vec::new(),
        }
    }

    /// The value of the last member of this name. Wait-free: a step a member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.members
            .iter()
            .rfind(|member| member.name == name)
            .map(Member::value)
    }

    /// The members in their order. Wait-free.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether there are none. Wait-free.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Puts a member at the end, in place of all of its name. Allocates.
    ///
    /// ```
    /// use ripcord::propagate::{Baggage, Member};
    ///
    /// let mut baggage = Baggage::new();
    /// baggage.insert(Member::new("note", "a, b; 100 % \"c\"\r\nX-Admin: yes").unwrap());
    /// assert_eq!(baggage.to_string(), "note=a%2C%20b%3B%20100%20%25%20%22c%22%0D%0AX-Admin:%20yes");
    /// ```
    pub fn insert(&mut self, member: Member) {
        self.remove(&member.name);
        self.members.push(member);
    }

    /// Takes out all of this name. Whether there were any. Wait-free.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.members.len();
        self.members.retain(|member| member.name != name);
        self.members.len() < before
    }

    pub(super) fn push(&mut self, member: Member) {
        self.members.push(member);
    }

    /// Of all fields of the header, in their order. What is no member is left out, unless `strict`.
    pub(super) fn parse<'a>(
        fields: impl Iterator<Item = &'a [u8]>,
        limit: usize,
        strict: bool,
    ) -> Result<Self, ExtractError> {
        let mut baggage = Self::new();
        let mut seen = 0;
        for text in fields.flat_map(|field| field.split(|&byte| byte == b',')) {
            let text = super::trim(text);
            if text.is_empty() {
                continue;
            }
            seen += 1;
            if seen > limit {
                return Err(too_many(limit));
            }
            match Member::parse(text) {
                Some(member) => baggage.push(member),
                None if strict => return Err(MALFORMED),
                None => {}
            }
        }
        Ok(baggage)
    }
}

pub(super) const fn too_many(limit: usize) -> ExtractError {
    ExtractError::TooMany {
        header: BAGGAGE_HEADER,
        limit,
    }
}

const MALFORMED: ExtractError = ExtractError::Malformed {
    header: BAGGAGE_HEADER,
    expected: "name=value members as W3C Baggage has them",
};

impl Member {
    /// A member without properties. Any value will do: what a header cannot hold is percent-encoded. Allocates.
    ///
    /// # Errors
    ///
    /// [`InvalidMember::Name`]: the name is no token of RFC 9110.
    pub fn new(name: &str, value: &str) -> Result<Self, InvalidMember> {
        if !is_token(name.as_bytes()) {
            return Err(InvalidMember::Name);
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
            properties: Vec::new(),
        })
    }

    /// The same with one more property, at the end. Allocates.
    ///
    /// # Errors
    ///
    /// [`InvalidMember::Name`]: the name is no token of RFC 9110.
    ///
    /// ```
    /// use ripcord::propagate::Member;
    ///
    /// let member = Member::new("user", "ada").unwrap();
    /// let member = member.with_property("ttl", Some("3")).unwrap();
    /// assert_eq!(member.to_string(), "user=ada;ttl=3");
    /// ```
    pub fn with_property(mut self, name: &str, value: Option<&str>) -> Result<Self, InvalidMember> {
        if !is_token(name.as_bytes()) {
            return Err(InvalidMember::Name);
        }
        self.properties
            .push((name.to_owned(), value.map(ToOwned::to_owned)));
        Ok(self)
    }

    /// Its name. Wait-free.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value, decoded: any text. Wait-free.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Its properties, decoded. Wait-free.
    pub fn properties(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|&byte| byte == b';').map(entry);
        let (name, value) = parts.next()??;
        let properties = parts.collect::<Option<_>>()?;
        Some(Self {
            name,
            value: value?,
            properties,
        })
    }
}

/// `name` or `name=value`, with spaces around each.
fn entry(text: &[u8]) -> Option<(String, Option<String>)> {
    let (name, value) = match text.iter().position(|&byte| byte == b'=') {
        Some(at) => (&text[..at], Some(super::trim(&text[at + 1..]))),
        None => (text, None),
    };
    let name = super::trim(name);
    if !is_token(name) || !value.is_none_or(|value| value.iter().all(|&byte| is_octet(byte))) {
        return None;
    }
    let name = str::from_utf8(name).ok()?.to_owned();
    // What is no UTF-8 becomes U+FFFD, as section 3.3.1.3 says.
    let decoded = value.map(|value| percent_decode(value).decode_utf8_lossy().into_owned());
    Some((name, decoded))
}

const fn is_octet(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

impl FromStr for Baggage {
    type Err = ExtractError;

    /// The value of one header, of any size, to the letter: a member that is malformed is an error. Allocates.
    fn from_str(text: &str) -> Result<Self, ExtractError> {
        Self::parse(std::iter::once(text.as_bytes()), usize::MAX, true)
    }
}

/// As the header has it, however long.
impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, member) in self.members.iter().enumerate() {
            write!(f, "{}{member}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// As the header has it.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, encode(&self.value))?;
        for (name, value) in self.properties() {
            match value {
                Some(value) => write!(f, ";{name}={}", encode(value))?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

fn encode(value: &str) -> impl fmt::Display {
    utf8_percent_encode(value, ENCODED)
}

impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.members).finish()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Member").field(&self.name).finish()
    }
}
