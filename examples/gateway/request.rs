//! What a request's headers ask for, and the context that comes of it.

use super::failure::{Failure, Reason};
use super::stats::{Ending, Entered, IN_CONTEXT, Stats};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use ripcord::{CancelGuard, Cause, Context, Error, Key};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub const X_TIMEOUT_MS: &str = "x-timeout-ms";
pub const GRPC_TIMEOUT: &str = "grpc-timeout";
pub const X_REQUEST_ID: &str = "x-request-id";
pub const X_USER: &str = "x-user";

/// What the request is called in answers, and in calls made for it.
pub static REQUEST_ID: Key<String> = Key::new("request_id");

/// Whom it is made for, where it says so.
pub static USER: Key<String> = Key::new("user");

/// What the headers ask for.
#[derive(Debug)]
pub struct Asked {
    pub id: String,
    user: Option<String>,
    budget: Option<Duration>,
}

impl Asked {
    /// # Errors
    ///
    /// A header that cannot be understood. To go on without it would be to guess how long the client waits.
    pub fn read(headers: &HeaderMap) -> Result<Self, Failure> {
        Ok(Self {
            id: text(headers, X_REQUEST_ID)?.unwrap_or_else(new_id),
            user: text(headers, X_USER)?,
            budget: budget(headers)?,
        })
    }
}

/// A request on its way. Dropped before it is settled, it cancels its context: hyper drops the future that holds it when
/// the client hangs up, and then whoever still works for it, on whatever thread, is to stop.
pub struct InFlight {
    pub ctx: Context,
    guard: CancelGuard,
    stats: Arc<Stats>,
    settled: bool,
    _live: Entered,
}

impl InFlight {
    pub fn begin(
        connection: &Context,
        asked: Asked,
        limit: Duration,
        limit_cause: Cause,
        stats: Arc<Stats>,
    ) -> Self {
        let mut values = connection
            .with_value(&REQUEST_ID, asked.id)
            .with_value(&IN_CONTEXT, stats.contexts.enter());
        if let Some(user) = asked.user {
            values = values.with_value(&USER, user);
        }
        let (mut ctx, guard) = values.with_timeout_cause(limit, limit_cause);
        if let Some(budget) = asked.budget {
            // No need to compare it with the limit: the earlier deadline ends the child, with its own cause.
            let (under_budget, inner) =
                ctx.with_timeout_cause(budget, Reason::CallerBudget(budget));
            // The outer guard cancels both.
            inner.disarm();
            ctx = under_budget;
        }
        Self {
            ctx,
            guard,
            _live: stats.requests.enter(),
            stats,
            settled: false,
        }
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
        self.stats.count(ending);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.settled {
            self.guard.cancel_with(Reason::HungUp);
            self.stats.count(Ending::ClientGone);
        }
    }
}

/// The least of all that is said, in either header, however often.
fn budget(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    const WHOLE: &str = "a whole number of milliseconds from 0 to 18446744073709551615";
    const GRPC: &str = "1 to 8 digits and one of H, M, S, m, u, n";
    let plain = budgets(headers, X_TIMEOUT_MS, milliseconds, WHOLE);
    let grpc = budgets(headers, GRPC_TIMEOUT, grpc_timeout, GRPC);
    plain
        .chain(grpc)
        .try_fold(None, |least: Option<Duration>, budget| {
            let budget = budget?;
            Ok(Some(least.map_or(budget, |least| least.min(budget))))
        })
}

fn budgets(
    headers: &HeaderMap,
    name: &'static str,
    parse: fn(&str) -> Option<Duration>,
    expected: &'static str,
) -> impl Iterator<Item = Result<Duration, Failure>> {
    headers.get_all(name).into_iter().map(move |value| {
        let parsed = value.to_str().ok().and_then(parse);
        parsed.ok_or_else(|| Failure::BadRequest(format!("{name} is {value:?}, not {expected}")))
    })
}

fn milliseconds(text: &str) -> Option<Duration> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // `parse` alone would take a sign.
    digits
        .then(|| text.parse().ok())
        .flatten()
        .map(Duration::from_millis)
}

/// As gRPC over HTTP/2 has it: `TimeoutValue TimeoutUnit`.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
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
