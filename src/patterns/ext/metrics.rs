//! What was done under a context: counted for all that is derived from it.

use crate::patterns::lock::lock;
use crate::{Context, Key};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

static METRICS: Key<Metrics> = Key::new("metrics");

/// Counts operations, their errors and their time, of a context and all that is derived from it, until another is attached.
///
/// For what one request did, or one job. For a service's totals, with their labels and histograms, take a metrics crate. Its
/// methods may block: a short lock, under which no code of the caller's runs. A clone counts for the same.
///
/// ```
/// use ripcord::{Context, ext::Metrics};
///
/// let request = Metrics::attach(&Context::background());
/// let (layer, _guard) = request.with_cancel();
/// Metrics::observe(&layer, "parse", || "7".parse::<u32>()).unwrap();
/// Metrics::observe(&layer, "parse", || "x".parse::<u32>()).unwrap_err();
///
/// let parse = Metrics::of(&request).unwrap().snapshot().operations["parse"];
/// assert_eq!((parse.count, parse.errors), (2, 1));
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    since: Instant,
    operations: Arc<Mutex<BTreeMap<Cow<'static, str>, Operation>>>,
}

/// How often an operation was recorded, with what end, and how long it took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// How often, with and without an error.
    pub count: u64,
    /// How often with an error, or a panic.
    pub errors: u64,
    /// How long all of them took together, by the clock of the contexts' engine.
    pub time: Duration,
}

/// What was counted until now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Each operation by its name.
    pub operations: BTreeMap<Cow<'static, str>, Operation>,
}

impl Metrics {
    /// A context like `ctx`, for which, and for what is derived from it, is counted from now on. Allocates.
    #[must_use = "it derives a context, and changes none"]
    pub fn attach(ctx: &Context) -> Context {
        let metrics = Self {
            since: ctx.now(),
            operations: Arc::default(),
        };
        ctx.with_value(&METRICS, metrics)
    }

    /// What counts for `ctx`; `None` where nothing does. Wait-free.
    #[must_use]
    pub fn of(ctx: &Context) -> Option<&Self> {
        ctx.value(&METRICS)
    }

    /// Runs `operation`, and records how it ended and how long it took, where something counts for `ctx`.
    ///
    /// # Errors
    ///
    /// That of `operation`.
    ///
    /// # Panics
    ///
    /// Where `operation` does; it is recorded as an error.
    pub fn observe<T, E>(
        ctx: &Context,
        name: impl Into<Cow<'static, str>>,
        operation: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(metrics) = Self::of(ctx) else {
            return operation();
        };
        let mut recording = Recording {
            metrics,
            ctx,
            name: name.into(),
            began: ctx.now(),
            failed: true,
        };
        let result = operation();
        recording.failed = result.is_err();
        result
    }

    /// Records one operation that took so long: for code that measures by itself. Allocates for a name that is new.
    pub fn record(&self, name: impl Into<Cow<'static, str>>, time: Duration, failed: bool) {
        self.count(name.into(), time, failed);
    }

    fn count(&self, name: Cow<'static, str>, time: Duration, failed: bool) {
        let mut operations = lock(&self.operations);
        let operation = operations.entry(name).or_default();
        operation.count += 1;
        operation.errors += u64::from(failed);
        operation.time = operation.time.saturating_add(time);
    }

    /// What was counted until now. Allocates a copy.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            operations: lock(&self.operations).clone(),
        }
    }

    /// When counting began, by the clock of the engine of the context that it was attached to. Wait-free.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }
}

struct Recording<'a> {
    metrics: &'a Metrics,
    ctx: &'a Context,
    name: Cow<'static, str>,
    began: Instant,
    failed: bool,
}

/// In a panic of the operation, too.
impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let took = self.ctx.now().saturating_duration_since(self.began);
        let name = std::mem::take(&mut self.name);
        self.metrics.count(name, took, self.failed);
    }
}
