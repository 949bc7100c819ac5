//! OpenTelemetry's context and spans, which go where a context goes. Feature `opentelemetry`.
//!
//! OpenTelemetry has a context of its own: the current span, baggage and values, on a thread's stack. Here it is a value of
//! ours, so it goes from thread to thread with cancellation and deadline, and is made current only where other code is to
//! find it there: `let _current = ctx.otel().attach();`. That carries our context too, and [`from_otel`] finds it again.
//!
//! A span is started with [`start_span`](ContextExt::start_span), and ended by the guard that comes with it. Where the
//! context ended before the span does, the span says so:
//!
//! | on the span | is |
//! |---|---|
//! | status | an error: `context canceled`, or `context deadline exceeded`. `Status::Ok`, if you set it, stands |
//! | attribute `error.type` | `canceled` or `deadline_exceeded` |
//! | event `context done` | `context.cause`, why; `context.age_us`, microseconds since the span was started |
//!
//! ```
//! use opentelemetry::trace::{TraceContextExt, noop::NoopTracer};
//! use ripcord::Context;
//! use ripcord::opentelemetry::{ContextExt, from_otel};
//! use std::time::Duration;
//!
//! let tracer = NoopTracer::new(); // yours comes from the SDK's provider
//! let (request, _guard) = Context::background().with_timeout(Duration::from_secs(2));
//! let (query, _span) = request.start_span(&tracer, "query");
//! std::thread::spawn(move || {
//!     let _current = query.otel().attach(); // for code that asks OpenTelemetry
//!     let ours = from_otel(&opentelemetry::Context::current()).unwrap();
//!     assert_eq!(ours.deadline(), query.deadline());
//! })
//! .join()
//! .unwrap();
//! ```

use crate::context::Context;
use crate::key::Key;
use ::opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, SpanRef, Status, TraceContextExt, TraceId, Tracer,
};
use ::opentelemetry::{Context as OtelContext, KeyValue};
use std::borrow::Cow;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

static OTEL: Key<OtelContext> = Key::new("otel");

/// Our context inside of OpenTelemetry's. `None` takes it away: an entry can be replaced, and not removed.
struct Carried(Option<Context>);

/// What a [`Context`] can do with OpenTelemetry's.
pub trait ContextExt: Sealed {
    /// The same position with OpenTelemetry's context `otel`: its span, baggage and values.
    /// [`with_value`](Context::with_value) says what it costs. A context of ours that is in it is left out.
    ///
    /// ```
    /// use opentelemetry::baggage::BaggageExt;
    /// use opentelemetry::KeyValue;
    /// use ripcord::Context;
    /// use ripcord::opentelemetry::ContextExt;
    ///
    /// let otel = opentelemetry::Context::new().with_baggage([KeyValue::new("tenant", "7")]);
    /// let request = Context::background().with_otel(otel);
    /// assert_eq!(request.otel().baggage().get("tenant").unwrap().as_str(), "7");
    /// ```
    #[must_use = "it derives a context, and changes none"]
    fn with_otel(&self, otel: OtelContext) -> Context;

    /// As [`with_otel`](Self::with_otel), with this thread's current one: where code that knows only OpenTelemetry's calls
    /// code that has ours.
    ///
    /// ```
    /// use opentelemetry::baggage::BaggageExt;
    /// use opentelemetry::KeyValue;
    /// use ripcord::Context;
    /// use ripcord::opentelemetry::ContextExt;
    ///
    /// let _current = opentelemetry::Context::new()
    ///     .with_baggage([KeyValue::new("tenant", "7")])
    ///     .attach();
    /// let request = Context::background().with_current_otel();
    /// assert!(request.otel().baggage().get("tenant").is_some());
    /// ```
    #[must_use = "it derives a context, and changes none"]
    fn with_current_otel(&self) -> Context {
        self.with_otel(OtelContext::current())
    }

    /// The same position below a span of another process, that a request's headers named: spans that are started under
    /// it are its children. What else OpenTelemetry's context has it keeps. Costs what [`with_otel`](Self::with_otel) does.
    ///
    /// ```
    /// use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
    /// use ripcord::Context;
    /// use ripcord::opentelemetry::ContextExt;
    ///
    /// let caller = SpanContext::new(
    ///     TraceId::from(7),
    ///     SpanId::from(1),
    ///     TraceFlags::SAMPLED,
    ///     true,
    ///     TraceState::default(),
    /// );
    /// let request = Context::background().with_remote_parent(caller);
    /// assert_eq!(request.trace_id(), Some(TraceId::from(7)));
    /// ```
    #[must_use = "it derives a context, and changes none"]
    fn with_remote_parent(&self, parent: SpanContext) -> Context;

    /// OpenTelemetry's context, with this one in it, to be attached to a thread, put around a future (OpenTelemetry's
    /// `FutureExt::with_context`) or handed to a propagator. Without one an empty one. Wait-free; allocates for its map.
    ///
    /// It is a handle on this context. The [module](self) has an example.
    #[must_use]
    fn otel(&self) -> OtelContext;

    /// A span named `name`, started as a child of this context's, or of none: a thread's current one is not asked. And the
    /// same position with it, and the guard that ends it. What it costs is the tracer's, and that of
    /// [`with_otel`](Self::with_otel). The [module](self) has an example.
    fn start_span<T>(&self, tracer: &T, name: impl Into<Cow<'static, str>>) -> (Context, SpanGuard)
    where
        T: Tracer,
        T::Span: Send + Sync + 'static,
    {
        self.build_span(tracer, tracer.span_builder(name))
    }

    /// As [`start_span`](Self::start_span), with what a builder says of it: its kind, attributes, links.
    ///
    /// ```
    /// use opentelemetry::trace::{SpanKind, Tracer, noop::NoopTracer};
    /// use ripcord::Context;
    /// use ripcord::opentelemetry::ContextExt;
    ///
    /// let tracer = NoopTracer::new();
    /// let builder = tracer.span_builder("GET /users").with_kind(SpanKind::Server);
    /// let (request, span) = Context::background().build_span(&tracer, builder);
    /// assert!(!span.span().is_recording() && !request.is_done());
    /// ```
    fn build_span<T>(&self, tracer: &T, builder: SpanBuilder) -> (Context, SpanGuard)
    where
        T: Tracer,
        T::Span: Send + Sync + 'static;

    /// Which span it is under; `None` for none, or for one that is not valid. Allocates only for a trace state.
    /// [`trace_id`](Self::trace_id) and [`span_id`](Self::span_id) are its two ids, for a log line or a header.
    ///
    /// ```
    /// use ripcord::Context;
    /// use ripcord::opentelemetry::ContextExt;
    ///
    /// assert_eq!(Context::background().span_context(), None);
    /// ```
    #[must_use]
    fn span_context(&self) -> Option<SpanContext>;

    /// The id of its trace, 128 bits. Costs what [`span_context`](Self::span_context) does.
    #[must_use]
    fn trace_id(&self) -> Option<TraceId> {
        self.span_context().map(|span| span.trace_id())
    }

    /// The id of its span, 64 bits. Costs what [`span_context`](Self::span_context) does.
    #[must_use]
    fn span_id(&self) -> Option<SpanId> {
        self.span_context().map(|span| span.span_id())
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Context {}
}
use sealed::Sealed;

/// The context that OpenTelemetry's carries, if it came from [`otel`](ContextExt::otel): another handle on it. For code that is
/// given nothing but the thread's current one, and wants to know whether it is still wanted. Wait-free. The
/// [module](self) has an example.
#[must_use]
pub fn from_otel(otel: &OtelContext) -> Option<Context> {
    otel.get::<Carried>()?.0.clone()
}

impl ContextExt for Context {
    fn with_otel(&self, otel: OtelContext) -> Context {
        // Else each would keep the one it came from, and all would stay.
        let otel = match otel.get::<Carried>() {
            Some(_) => otel.with_value(Carried(None)),
            None => otel,
        };
        self.with_value(&OTEL, otel)
    }

    fn with_remote_parent(&self, parent: SpanContext) -> Context {
        self.with_otel(plain(self).with_remote_span_context(parent))
    }

    fn otel(&self) -> OtelContext {
        plain(self).with_value(Carried(Some(self.clone())))
    }

    fn build_span<T>(&self, tracer: &T, builder: SpanBuilder) -> (Context, SpanGuard)
    where
        T: Tracer,
        T::Span: Send + Sync + 'static,
    {
        let parent = plain(self);
        let span = tracer.build_with_context(builder, &parent);
        let ctx = self.with_otel(parent.with_span(span));
        let guard = SpanGuard {
            ctx: ctx.clone(),
            otel: AssertUnwindSafe(plain(&ctx)),
            started: Instant::now(),
        };
        (ctx, guard)
    }

    fn span_context(&self) -> Option<SpanContext> {
        let otel = self.value(&OTEL)?;
        let span = otel.span();
        let context = span.span_context();
        context.is_valid().then(|| context.clone())
    }
}

fn plain(ctx: &Context) -> OtelContext {
    ctx.value(&OTEL).cloned().unwrap_or_default()
}

/// Ends its span when it is dropped, and notes on it how the context ended, if it did before. From
/// [`start_span`](ContextExt::start_span). It keeps its context, with the values.
///
/// Drop it before the guard that cancels the context (bind it after), or that cancel is noted too.
#[must_use = "dropping the guard ends the span; bind it to a name"]
pub struct SpanGuard {
    ctx: Context,
    /// A span is behind a lock of OpenTelemetry's, which a panic poisons: it takes nothing more then, and no half.
    otel: AssertUnwindSafe<OtelContext>,
    started: Instant,
}

impl SpanGuard {
    /// The span: attributes, events, status. Each of its methods takes a lock of OpenTelemetry's. Wait-free itself.
    ///
    /// ```
    /// use opentelemetry::{KeyValue, trace::noop::NoopTracer};
    /// use ripcord::Context;
    /// use ripcord::opentelemetry::ContextExt;
    ///
    /// let (_ctx, span) = Context::background().start_span(&NoopTracer::new(), "query");
    /// span.span().set_attribute(KeyValue::new("db.system.name", "sqlite"));
    /// ```
    #[must_use]
    pub fn span(&self) -> SpanRef<'_> {
        self.otel.span()
    }

    fn note_end(&self) {
        let (Some(error), Some(cause)) = (self.ctx.err(), self.ctx.cause()) else {
            return;
        };
        let kind = if error.is_timeout() {
            "deadline_exceeded"
        } else {
            "canceled"
        };
        let age = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let span = self.span();
        span.set_attribute(KeyValue::new("error.type", kind));
        span.add_event(
            "context done",
            vec![
                KeyValue::new("context.cause", cause.to_string()),
                KeyValue::new("context.age_us", age),
            ],
        );
        span.set_status(Status::error(error.to_string()));
    }
}

impl Drop for SpanGuard {
    fn drop(&mut self) {
        self.note_end();
        self.span().end();
    }
}

impl fmt::Debug for SpanGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanGuard")
            .field("span", self.span().span_context())
            .finish_non_exhaustive()
    }
}
