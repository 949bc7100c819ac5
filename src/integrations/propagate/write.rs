//! A context to headers. All of them are made before the first is set.

use super::baggage::{BAGGAGE, Baggage, Member};
use super::builder::Config;
use super::error::InjectError;
use super::json::{self, TRACE_IDS, TraceIds, X_CONTEXT_BAGGAGE, X_TRACE_CONTEXT};
use super::state;
use super::timeout::{GRPC_TIMEOUT, X_TIMEOUT_MS, encode_grpc_timeout, encode_timeout_ms};
use super::trace::{TRACE, TRACEPARENT};
use crate::context::Context;
use crate::error::Error;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use std::time::Duration;

pub(super) fn write(
    config: &Config,
    ctx: &Context,
    headers: &mut HeaderMap,
) -> Result<(), InjectError> {
    let made = Writer { config, ctx }.all()?;
    for (name, value) in made {
        let name = HeaderName::from_static(name);
        match value {
            Some(value) => headers
                .try_insert(name, value)
                .map(drop)
                .map_err(|_| InjectError::Full)?,
            None => drop(headers.remove(name)),
        }
    }
    Ok(())
}

const MILLISECOND: Duration = Duration::from_millis(1);

struct Writer<'a> {
    config: &'a Config,
    ctx: &'a Context,
}

impl Writer<'_> {
    fn all(&self) -> Result<Vec<(&'static str, Option<HeaderValue>)>, InjectError> {
        let left = self.left()?;
        let (baggage, own) = self.baggage();
        let mut made = Vec::new();
        for header in self.config.headers() {
            let text = match header {
                TRACEPARENT => self.ctx.value(&TRACE).map(|trace| trace.parent.to_string()),
                state::TRACESTATE => self
                    .ctx
                    .value(&TRACE)
                    .and_then(|trace| trace.state.header(self.config.tracestate_bytes)),
                GRPC_TIMEOUT => left.map(encode_grpc_timeout),
                X_TIMEOUT_MS => left
                    .filter(|&left| left >= MILLISECOND)
                    .map(encode_timeout_ms),
                X_TRACE_CONTEXT => self.within(header, self.ids().and_then(|ids| ids.json()))?,
                X_CONTEXT_BAGGAGE => {
                    let entries = last_of_each(&baggage)
                        .map(|member| json::entry(member.name(), member.value()));
                    // With the two braces.
                    self.list(header, entries, own, 2)?
                        .map(|entries| json::object(&entries))
                }
                _ => self.list(
                    header,
                    baggage.members().iter().map(Member::to_string),
                    own,
                    0,
                )?,
            };
            let value = text.map(|text| {
                // Ids, states and names are checked where they are made, values are encoded.
                HeaderValue::try_from(text).expect("it is printable ASCII")
            });
            made.push((header, value));
        }
        Ok(made)
    }

    /// What a callee may have. It is not sent as a timeout of zero, which some peers take for none: not of an expired context,
    /// nor of one with less left than the one header that says so can tell.
    fn left(&self) -> Result<Option<Duration>, InjectError> {
        if let Some(error) = self.ctx.err() {
            return Err(InjectError::Done(error));
        }
        let Some(left) = self.ctx.remaining() else {
            return Ok(None);
        };
        let left = left.saturating_sub(self.config.margin);
        if left < self.least() {
            return Err(InjectError::Done(Error::DeadlineExceeded));
        }
        Ok(Some(left))
    }

    /// The least that is not sent as zero.
    fn least(&self) -> Duration {
        let sent = |name| self.config.headers().any(|header| header == name);
        if sent(X_TIMEOUT_MS) && !sent(GRPC_TIMEOUT) {
            MILLISECOND
        } else {
            Duration::from_nanos(1)
        }
    }

    fn ids(&self) -> Option<TraceIds> {
        match self.ctx.value(&TRACE) {
            Some(trace) => Some(TraceIds {
                trace_id: trace.parent.trace_id_hex(),
                span_id: trace.parent.parent_id_hex(),
                parent_id: None,
            }),
            None => self.ctx.value(&TRACE_IDS).cloned(),
        }
    }

    /// Registered keys first, and how many; then what peers sent and nobody registered.
    fn baggage(&self) -> (Baggage, usize) {
        let mut all = Baggage::new();
        for key in &self.config.keys {
            if let Some(value) = key.encode(self.ctx) {
                // The name was looked at when it was registered.
                if let Ok(member) = Member::new(key.name(), &value) {
                    all.push(member);
                }
            }
        }
        let own = all.members().len();
        let forwarded = self
            .ctx
            .value(&BAGGAGE)
            .filter(|_| self.config.forward_baggage);
        for member in forwarded.into_iter().flat_map(Baggage::members) {
            if !self.config.is_registered(member.name()) {
                all.push(member.clone());
            }
        }
        (all, own)
    }

    fn within(
        &self,
        header: &'static str,
        text: Option<String>,
    ) -> Result<Option<String>, InjectError> {
        let limit = self.config.header_bytes;
        match text {
            Some(text) if text.len() > limit => Err(InjectError::TooLarge { header, limit }),
            text => Ok(text),
        }
    }

    /// As many as there is room for, in their order; the first `own` have to be among them.
    fn list(
        &self,
        header: &'static str,
        entries: impl Iterator<Item = String>,
        own: usize,
        around: usize,
    ) -> Result<Option<String>, InjectError> {
        let limit = self.config.header_bytes;
        let mut list = String::new();
        let mut taken = 0;
        for (at, entry) in entries.enumerate() {
            let comma = usize::from(taken > 0);
            let fits = list.len() + comma + entry.len() + around <= limit
                && taken < self.config.baggage_members;
            if fits {
                list.extend([if taken > 0 { "," } else { "" }, &entry]);
                taken += 1;
            } else if at < own {
                return Err(InjectError::TooLarge { header, limit });
            }
        }
        Ok((taken > 0).then_some(list))
    }
}

/// A JSON object has each name once. Registered names stand first, and are nobody else's.
fn last_of_each(baggage: &Baggage) -> impl Iterator<Item = &Member> {
    let members = baggage.members();
    members.iter().enumerate().filter_map(|(at, member)| {
        let again = members[at + 1..]
            .iter()
            .any(|later| later.name() == member.name());
        (!again).then_some(member)
    })
}
