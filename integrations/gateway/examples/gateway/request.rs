//! What a request's headers ask for, and the context that comes of it.

use super::failure::{Failure, Reason};
use super::stats::{Ending, Entered, IN_CONTEXT, Stats};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use ripcord::propagate::{Propagator, TRACE, TraceContext, TraceParent};
use ripcord::{CancelGuard, Cause, Context, Error, Key};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub const X_TIMEOUT_MS: &str = "x-timeout-ms";
pub const X_REQUEST_ID: &str = "x-request-id";
pub const X_USER: &str = "x-user";

/// What the request is called in answers, and in calls made for it.
pub static REQUEST_ID: Key<String> = Key::new("request_id");

/// Whom it is made for, where it says so.
pub static USER: Key<String> = Key::new("user");

/// What is the same for all requests of a server.
pub struct Terms {
    pub propagator: Propagator,
    pub limit: Duration,
    /// Made once: a clone of it costs a count.
    pub limit_cause: Cause,
    pub stats: Arc<Stats>,
}

/// A request on its way. Dropped before it is settled, it cancels its context: hyper drops the future that holds it when
/// the client hangs up, and then whoever still works for it, on whatever thread, is to stop.
pub struct InFlight {
    pub ctx: Context,
    pub id: String,
    guard: CancelGuard,
    stats: Arc<Stats>,
    began: Instant,
    settled: bool,
    _live: Entered,
}

impl InFlight {
    /// # Errors
    ///
    /// A header that cannot be understood, or is too long. To go on without it would be to guess how long the client waits.
    pub fn begin(
        connection: &Context,
        headers: &HeaderMap,
        terms: &Terms,
    ) -> Result<Self, Failure> {
        let id = text(headers, X_REQUEST_ID)?.unwrap_or_else(new_id);
        let user = text(headers, X_USER)?;
        let stats = Arc::clone(&terms.stats);
        let (limited, guard) = connection
            .with_value(&REQUEST_ID, id.clone())
            .with_value(&IN_CONTEXT, stats.contexts.enter())
            .with_timeout_cause(terms.limit, terms.limit_cause.clone());
        // No need to compare the caller's time with the limit: the earlier deadline ends the child, with its own cause.
        let (mut ctx, inner) = terms.propagator.extract(headers, &limited)?;
        // The outer guard cancels both.
        inner.disarm();
        if let Some(user) = user {
            ctx = ctx.with_value(&USER, user);
        }
        if ctx.value(&TRACE).is_none() {
            ctx = ctx.with_value(&TRACE, new_trace());
        }
        Ok(Self {
            ctx,
            id,
            guard,
            _live: stats.requests.enter(),
            stats,
            began: Instant::now(),
            settled: false,
        })
    }

    /// The request has its answer, and ended that way.
    pub fn settle(mut self, ending: Ending) {
        self.settled = true;
        if let (Some(Error::DeadlineExceeded), Some(deadline)) =
            (self.ctx.err(), self.ctx.deadline())
        {
            self.stats
                .record_lateness(Instant::now().saturating_duration_since(deadline));
        }
        self.count(ending);
    }

    fn count(&self, ending: Ending) {
        self.stats.count(ending);
        self.stats.metrics.took(self.began.elapsed());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.settled {
            self.guard.cancel_with(Reason::HungUp);
            self.count(Ending::ClientGone);
        }
    }
}

/// A header that is sent on: anything printable.
fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Failure> {
    headers
        .get(name)
        .map(|value: &HeaderValue| match value.to_str() {
            Ok(text) if (1..=128).contains(&text.len()) => Ok(text.to_owned()),
            _ => Err(Failure::BadRequest(format!(
                "{name} is {value:?}, not 1 to 128 printable ASCII characters"
            ))),
        })
        .transpose()
}

fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("gateway-{}", NEXT.fetch_add(1, Relaxed))
}

/// A trace that begins here. Not sampled: nobody records it here, and each service after this one may decide for itself.
fn new_trace() -> TraceContext {
    let trace_id = fastrand::u128(1..).to_be_bytes();
    TraceContext::new(TraceParent::new(trace_id, span_id(), false).expect("no id is zero"))
}

/// The trace as a call is told of it: by an id that is the call's own.
pub fn trace_of_call(ctx: &Context) -> Context {
    let call = ctx.value(&TRACE).and_then(|trace| {
        let sampled = trace.parent.is_sampled();
        trace.child(span_id(), sampled)
    });
    call.map_or_else(|| ctx.clone(), |call| ctx.with_value(&TRACE, call))
}

fn span_id() -> [u8; 8] {
    fastrand::u64(1..).to_be_bytes()
}
