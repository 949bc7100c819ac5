//! tracing's spans that go where a context goes, and events that say how one ended. Feature `tracing`.
//!
//! A span is a value of a context: all that is derived from there on has it, on whatever thread. A thread's current span is
//! not asked, for it is left behind when work moves to another thread. `&Context` is taken wherever tracing takes a parent:
//!
//! ```
//! use ripcord::Context;
//! use ripcord::tracing::ContextExt;
//! use tracing::info_span;
//!
//! let request = Context::background().with_span(info_span!("request", id = 7));
//! let query = request.with_span(info_span!(parent: &request, "query"));
//! std::thread::spawn(move || {
//!     query.in_span(|| tracing::info!("under request and query, on a thread that knows of neither"));
//! });
//! ```
//!
//! [`trace_end`](ContextExt::trace_end) gives an event when a context ends: target `ripcord`, a child of its span, with fields
//!
//! | field | is |
//! |---|---|
//! | `error` | how: `context canceled`, at level DEBUG, or `context deadline exceeded`, at WARN |
//! | `cause` | why: the [`Cause`](crate::Cause), an error with its sources |
//! | `age_us` | microseconds of the process's clock since `trace_end` was called |
//! | `context` | which: the context as it prints, with the names of its values and never the values |

use crate::after_func::AfterFunc;
use crate::context::Context;
use crate::key::Key;
use crate::run::Run;
use ::tracing::instrument::{Instrument, Instrumented};
use ::tracing::span::Id;
use ::tracing::{Span, dispatcher};
use std::future::Future;
use std::time::{Duration, Instant};

static SPAN: Key<Span> = Key::new("span");

/// What a [`Context`] can do with spans.
pub trait ContextExt: Sealed {
    /// The same position with this span, for it and all that is derived from it. [`with_value`](Context::with_value) says
    /// what it costs. A span is closed when the last that keeps it goes: here, with the last context that can see it. The
    /// [module](self) has an example.
    #[must_use = "it derives a context, and changes none"]
    fn with_span(&self, span: Span) -> Context;

    /// The span it was last given. Wait-free, as [`value`](Context::value) is. tracing's own methods are on it:
    /// [`record`](https://docs.rs/tracing/0.1/tracing/struct.Span.html#method.record) fills a field in.
    ///
    /// ```
    /// use ripcord::Context;
    /// use ripcord::tracing::ContextExt;
    ///
    /// assert!(Context::background().span().is_none());
    /// let ctx = Context::background().with_span(tracing::info_span!("request", user = tracing::field::Empty));
    /// ctx.span().unwrap().record("user", "ada");
    /// ```
    fn span(&self) -> Option<&Span>;

    /// The id of its span; `None` without one, or where that span is disabled. As a parent it is given by
    /// `parent: &ctx` already. Wait-free; allocates nothing.
    ///
    /// ```
    /// use ripcord::Context;
    /// use ripcord::tracing::ContextExt;
    ///
    /// let request = Context::background().with_span(tracing::info_span!("request"));
    /// let step = tracing::info_span!("step");
    /// step.follows_from(request.span_id()); // caused by it, and not a part of it
    /// ```
    fn span_id(&self) -> Option<Id>;

    /// Calls `f` in the span, on this thread, and gives back what it does; without a span it only calls it. Wait-free
    /// but for `f` and the subscriber.
    ///
    /// For code that does not wait for a future: across an `.await` the span would stay on the thread while others run
    /// there. For futures there is [`run_in_span`](Self::run_in_span).
    ///
    /// # Panics
    ///
    /// If `f` does.
    ///
    /// ```
    /// use ripcord::Context;
    /// use ripcord::tracing::ContextExt;
    ///
    /// let ctx = Context::background().with_span(tracing::info_span!("request"));
    /// let rows = std::thread::spawn(move || ctx.in_span(|| 3)).join().unwrap();
    /// assert_eq!(rows, 3);
    /// ```
    fn in_span<T>(&self, f: impl FnOnce() -> T) -> T;

    /// [`run`](Context::run), with each poll of the future, and its drop, in the span.
    ///
    /// ```
    /// use ripcord::{Context, Error};
    /// use ripcord::tracing::ContextExt;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let ctx = Context::background().with_span(tracing::info_span!("request"));
    /// let task = tokio::spawn(ctx.run_in_span(async {
    ///     tracing::info!("a child of `request`");
    ///     7
    /// }));
    /// assert_eq!(task.await.unwrap(), Ok::<_, Error>(7));
    /// # });
    /// ```
    fn run_in_span<F: Future>(&self, future: F) -> Instrumented<Run<F>>;

    /// Gives one event when this context ends, as the [module](self) says: on a callback's thread, by
    /// [`after_func`](Context::after_func), so that no subscriber runs inside a cancel. It goes to the subscriber that
    /// is this thread's now. Stopping what is returned takes the event back; dropping it does not.
    ///
    /// Costs what `after_func` does, and keeps the context with its values until it ends; of one that can never be done
    /// there is no event, and nothing is kept.
    ///
    /// ```
    /// use ripcord::Context;
    /// use ripcord::tracing::ContextExt;
    /// use std::time::Duration;
    ///
    /// let (request, _guard) = Context::background().with_timeout(Duration::from_secs(2));
    /// let request = request.with_span(tracing::info_span!("request"));
    /// let event = request.trace_end();
    /// assert!(event.stop()); // it was answered in time, and that is no event
    /// ```
    fn trace_end(&self) -> AfterFunc;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Context {}
}
use sealed::Sealed;

impl ContextExt for Context {
    fn with_span(&self, span: Span) -> Context {
        self.with_value(&SPAN, span)
    }

    fn span(&self) -> Option<&Span> {
        self.value(&SPAN)
    }

    fn span_id(&self) -> Option<Id> {
        self.span().and_then(Span::id)
    }

    fn in_span<T>(&self, f: impl FnOnce() -> T) -> T {
        match self.span() {
            Some(span) => span.in_scope(f),
            None => f(),
        }
    }

    fn run_in_span<F: Future>(&self, future: F) -> Instrumented<Run<F>> {
        let span = self.span().cloned().unwrap_or_else(Span::none);
        self.run(future).instrument(span)
    }

    fn trace_end(&self) -> AfterFunc {
        let subscriber = dispatcher::get_default(Clone::clone);
        let asked = Instant::now();
        let ctx = self.clone();
        self.after_func(move || {
            dispatcher::with_default(&subscriber, || event(&ctx, asked.elapsed()));
        })
    }
}

/// The level belongs to the place an event comes from: two places.
fn event(ctx: &Context, age: Duration) {
    let (Some(error), Some(cause)) = (ctx.err(), ctx.cause()) else {
        return;
    };
    let age_us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    let cause: &(dyn std::error::Error + Send + Sync + 'static) = &*cause;
    if error.is_timeout() {
        ::tracing::warn!(
            target: "ripcord",
            parent: ctx,
            error = %error,
            cause,
            age_us,
            context = %ctx,
            "context done"
        );
    } else {
        ::tracing::debug!(
            target: "ripcord",
            parent: ctx,
            error = %error,
            cause,
            age_us,
            context = %ctx,
            "context done"
        );
    }
}

/// Its span's, for `parent: &ctx` in tracing's macros; without a span a root: the thread's current span is no parent.
impl From<&Context> for Option<Id> {
    fn from(ctx: &Context) -> Self {
        ctx.span_id()
    }
}
