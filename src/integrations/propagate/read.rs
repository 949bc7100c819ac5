//! Headers to what they say. Everything here was written by a stranger.

use super::baggage::{BAGGAGE_HEADER, Baggage, too_many};
use super::builder::{Config, Format, OnInvalid};
use super::error::ExtractError;
use super::json::{Metadata, TraceIds, X_CONTEXT_BAGGAGE, X_TRACE_CONTEXT, parse_baggage};
use super::state::{TRACESTATE, TraceState};
use super::timeout::{GRPC_TIMEOUT, X_TIMEOUT_MS, decode_grpc_timeout, decode_timeout_ms};
use super::trace::{self, TRACEPARENT, TraceContext, TraceParent};
use http::HeaderMap;
use http::header::GetAll;
use http::header::HeaderValue;
use std::time::Duration;

/// What a peer's headers say.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) trace: Option<TraceContext>,
    pub(super) ids: Option<TraceIds>,
    pub(super) baggage: Baggage,
    pub(super) timeout: Option<Duration>,
}

pub(super) fn read(config: &Config, headers: &HeaderMap) -> Result<Read, ExtractError> {
    Reader { config, headers }.all()
}

struct Reader<'a> {
    config: &'a Config,
    headers: &'a HeaderMap,
}

impl<'a> Reader<'a> {
    fn all(&self) -> Result<Read, ExtractError> {
        let metadata = self.unless_ignored(self.metadata())?;
        let mut read = Read {
            trace: self.trace()?,
            baggage: self.unless_ignored(self.baggage())?,
            timeout: self.timeout()?.into_iter().chain(metadata.timeout).min(),
            ids: None,
        };
        if let (None, Some(ids)) = (&read.trace, metadata.ids) {
            match TraceParent::of_ids(&ids.trace_id, &ids.span_id) {
                Some(parent) => read.trace = Some(TraceContext::new(parent)),
                None => read.ids = Some(ids),
            }
        }
        let json = self.unless_ignored(self.json_baggage())?;
        for member in json.members().iter().chain(metadata.baggage.members()) {
            // Who sends it in several ways sends it once: it would be one more at each service on the way.
            if read.baggage.get(member.name()).is_some() {
                continue;
            }
            // Each header has been within it, and this is all of them.
            let limit = self.config.baggage_members;
            if read.baggage.members().len() >= limit {
                self.unless_ignored(Err::<(), _>(too_many(limit)))?;
                break;
            }
            read.baggage.push(member.clone());
        }
        Ok(read)
    }

    fn unless_ignored<T: Default>(
        &self,
        result: Result<T, ExtractError>,
    ) -> Result<T, ExtractError> {
        match self.config.on_invalid {
            OnInvalid::Ignore => Ok(result.unwrap_or_default()),
            _ => result,
        }
    }

    fn strict(&self) -> bool {
        self.config.on_invalid == OnInvalid::Refuse
    }

    /// All fields of that name, which are not too long together.
    fn fields(&self, header: &'static str) -> Result<GetAll<'a, HeaderValue>, ExtractError> {
        let fields = self.headers.get_all(header);
        let limit = self.config.header_bytes;
        let bytes: usize = fields.iter().map(|field| field.len() + 1).sum();
        if bytes > limit.saturating_add(1) {
            return Err(ExtractError::TooLarge { header, limit });
        }
        Ok(fields)
    }

    fn only(&self, header: &'static str) -> Result<Option<&'a [u8]>, ExtractError> {
        let fields = self.fields(header)?;
        let mut fields = fields.iter();
        match (fields.next(), fields.next()) {
            (field, None) => Ok(field.map(HeaderValue::as_bytes)),
            _ => Err(ExtractError::Duplicate { header }),
        }
    }

    /// W3C: what is invalid is not there, and without a parent the state is not looked at.
    fn trace(&self) -> Result<Option<TraceContext>, ExtractError> {
        if !self.config.has(Format::TraceContext) {
            return Ok(None);
        }
        let parent = self.only(TRACEPARENT).and_then(|field| {
            field
                .map(|text| TraceParent::parse(text).ok_or(trace::MALFORMED))
                .transpose()
        });
        let parent = match parent {
            Err(error) if self.strict() => return Err(error),
            Err(_) | Ok(None) => return Ok(None),
            Ok(Some(parent)) => parent,
        };
        let state = self
            .fields(TRACESTATE)
            .and_then(|fields| TraceState::parse(fields.iter().map(HeaderValue::as_bytes)));
        let state = match state {
            Err(error) if self.strict() => return Err(error),
            state => state.unwrap_or_default(),
        };
        Ok(Some(TraceContext { parent, state }))
    }

    /// The least of all that is said.
    fn timeout(&self) -> Result<Option<Duration>, ExtractError> {
        let grpc = self.timeouts(Format::GrpcTimeout, GRPC_TIMEOUT, decode_grpc_timeout)?;
        let plain = self.timeouts(Format::XTimeoutMs, X_TIMEOUT_MS, decode_timeout_ms)?;
        Ok(grpc.into_iter().chain(plain).min())
    }

    fn timeouts(
        &self,
        format: Format,
        header: &'static str,
        decode: fn(&str) -> Result<Duration, ExtractError>,
    ) -> Result<Option<Duration>, ExtractError> {
        if !self.config.has(format) {
            return Ok(None);
        }
        let least = self.fields(header).and_then(|fields| {
            fields.iter().try_fold(None, |least, field| {
                // What is no text is no timeout either, and the decoder says so.
                let text = str::from_utf8(super::trim(field.as_bytes())).unwrap_or_default();
                let timeout = decode(text)?;
                Ok(Some(
                    least.map_or(timeout, |least: Duration| least.min(timeout)),
                ))
            })
        });
        self.unless_ignored(least)
    }

    fn metadata(&self) -> Result<Metadata, ExtractError> {
        let limit = self.config.baggage_members;
        match self.json(Format::XTraceContext, X_TRACE_CONTEXT)? {
            Some(text) => Metadata::parse(text, limit, self.strict()),
            None => Ok(Metadata::default()),
        }
    }

    fn json_baggage(&self) -> Result<Baggage, ExtractError> {
        let limit = self.config.baggage_members;
        match self.json(Format::XContextBaggage, X_CONTEXT_BAGGAGE)? {
            Some(text) => parse_baggage(text, limit, self.strict()),
            None => Ok(Baggage::new()),
        }
    }

    /// An empty header is as none, as it is to other readers of such headers.
    fn json(&self, format: Format, header: &'static str) -> Result<Option<&'a [u8]>, ExtractError> {
        if !self.config.has(format) {
            return Ok(None);
        }
        Ok(self.only(header)?.filter(|text| !text.is_empty()))
    }

    fn baggage(&self) -> Result<Baggage, ExtractError> {
        if !self.config.has(Format::Baggage) {
            return Ok(Baggage::new());
        }
        let fields = self.fields(BAGGAGE_HEADER)?;
        let fields = fields.iter().map(HeaderValue::as_bytes);
        Baggage::parse(fields, self.config.baggage_members, self.strict())
    }
}
