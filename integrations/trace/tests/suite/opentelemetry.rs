//! Contexts and OpenTelemetry's: spans of the real SDK, exported to memory and compared.

use crate::{Counted, Drops, block_on};
use opentelemetry::baggage::BaggageExt;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    FutureExt, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context as OtelContext, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracer, SdkTracerProvider, SpanData};
use ripcord::opentelemetry::{ContextExt, from_otel};
use ripcord::{Cause, Context, Engine, Key};
use std::collections::HashMap;
use std::thread;
use std::time::Duration;

struct Sdk {
    tracer: SdkTracer,
    exporter: InMemorySpanExporter,
    _provider: SdkTracerProvider,
}

fn sdk() -> Sdk {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    Sdk {
        tracer: provider.tracer("ripcord"),
        exporter,
        _provider: provider,
    }
}

impl Sdk {
    fn exported(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    fn span(&self, name: &str) -> SpanData {
        let exported = self.exported();
        let found = exported.into_iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("{name} was exported"))
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|kv| kv.key.as_str() == key);
    found.map(|kv| kv.value.to_string())
}

#[test]
fn a_trace_across_threads_and_tasks_is_exported_as_one_tree() {
    let sdk = sdk();
    {
        let (root, _guard) = Context::background().with_cancel();
        let server = sdk
            .tracer
            .span_builder("request")
            .with_kind(SpanKind::Server);
        let (request, _request_span) = root.build_span(&sdk.tracer, server);
        let (authenticate, span) = request.start_span(&sdk.tracer, "authenticate");
        assert_eq!(authenticate.trace_id(), request.trace_id());
        drop(span);

        let (fetch, _fetch_span) = request.start_span(&sdk.tracer, "fetch");
        thread::scope(|scope| {
            scope.spawn(|| {
                let (below, _guard) = fetch.with_timeout(Duration::from_secs(60));
                let (_query, span) = below.start_span(&sdk.tracer, "query");
                span.span().set_attribute(KeyValue::new("db.rows", 3));
            });
        });
        // Code that knows OpenTelemetry only finds its parent, and the context, in a task.
        block_on(
            async {
                let span = sdk.tracer.start("library");
                drop(span);
                assert!(from_otel(&OtelContext::current()).is_some());
            }
            .with_context(fetch.otel()),
        );
    }

    let names: Vec<_> = sdk.exported().into_iter().map(|span| span.name).collect();
    assert_eq!(
        names,
        ["authenticate", "query", "library", "fetch", "request"]
    );
    let request = sdk.span("request");
    assert_eq!(
        (request.parent_span_id, &request.span_kind),
        (SpanId::INVALID, &SpanKind::Server)
    );
    for (name, parent) in [
        ("authenticate", "request"),
        ("fetch", "request"),
        ("query", "fetch"),
        ("library", "fetch"),
    ] {
        let (span, parent) = (sdk.span(name), sdk.span(parent));
        assert_eq!(span.parent_span_id, parent.span_context.span_id(), "{name}");
        assert_eq!(
            span.span_context.trace_id(),
            request.span_context.trace_id()
        );
        assert_eq!(
            (span.status, span.events.len()),
            (Status::Unset, 0),
            "{name} ended well"
        );
    }
    assert_eq!(
        attribute(&sdk.span("query"), "db.rows").as_deref(),
        Some("3")
    );
}

#[test]
fn a_deadline_is_noted_on_the_spans_that_it_met() {
    let sdk = sdk();
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let limit = Cause::msg("the caller's budget");
    let (ctx, _guard) = engine
        .background()
        .with_timeout_cause(Duration::from_secs(2), limit);
    let (request, request_span) = ctx.start_span(&sdk.tracer, "request");
    let (_early, early_span) = request.start_span(&sdk.tracer, "early");
    drop(early_span);
    clock.advance(Duration::from_secs(2));
    drop(request_span);

    assert_eq!(sdk.span("early").status, Status::Unset);
    let span = sdk.span("request");
    assert_eq!(span.status, Status::error("context deadline exceeded"));
    assert_eq!(
        attribute(&span, "error.type").as_deref(),
        Some("deadline_exceeded")
    );
    let [event] = &span.events[..] else {
        panic!("one event: {:?}", span.events);
    };
    assert_eq!(event.name, "context done");
    assert_eq!(
        event.attributes[0],
        KeyValue::new("context.cause", "the caller's budget")
    );
    assert_eq!(event.attributes[1].key.as_str(), "context.age_us");
    assert!(event.attributes[1].value.to_string().parse::<u64>().is_ok());
}

#[test]
fn a_cancel_is_noted_and_a_status_of_ok_stands() {
    let sdk = sdk();
    let (ctx, guard) = Context::background().with_cancel();
    let (_canceled, canceled) = ctx.start_span(&sdk.tracer, "canceled");
    let (_answered, answered) = ctx.start_span(&sdk.tracer, "answered");
    answered.span().set_status(Status::Ok);
    guard.cancel_with(Cause::msg("connection reset"));
    drop((canceled, answered));

    let span = sdk.span("canceled");
    assert_eq!(span.status, Status::error("context canceled"));
    assert_eq!(attribute(&span, "error.type").as_deref(), Some("canceled"));
    assert_eq!(sdk.span("answered").status, Status::Ok);
}

#[test]
fn a_span_is_a_child_of_a_callers_and_goes_on_to_the_next() {
    let sdk = sdk();
    let caller = SpanContext::new(
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        SpanId::from(0xb7ad_6b71_6920_3331),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    let root = Context::background().with_remote_parent(caller.clone());
    assert_eq!(root.span_context(), Some(caller.clone()));
    let (request, span) = root.start_span(&sdk.tracer, "request");

    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&request.otel(), &mut headers);
    let id = request.span_id().unwrap();
    let traceparent = format!("00-0af7651916cd43dd8448eb211c80319c-{id}-01");
    assert_eq!(headers["traceparent"], traceparent);

    drop(span);
    let span = sdk.span("request");
    assert_eq!(span.span_context.trace_id(), caller.trace_id());
    assert_eq!(span.parent_span_id, caller.span_id());
    assert!(span.parent_span_is_remote);
}

#[test]
fn without_a_span_there_is_no_id_and_a_threads_current_one_is_no_parent() {
    let sdk = sdk();
    let background = Context::background();
    assert_eq!((background.trace_id(), background.span_id()), (None, None));
    assert!(!background.otel().has_active_span());

    let other = sdk.tracer.start("other");
    let _current = OtelContext::new().with_span(other).attach();
    let (root, span) = background.start_span(&sdk.tracer, "root");
    assert!(root.trace_id().is_some());
    drop(span);
    assert_eq!(sdk.span("root").parent_span_id, SpanId::INVALID);

    let below = background.with_current_otel();
    let (_child, span) = below.start_span(&sdk.tracer, "child");
    drop(span);
    assert_eq!(Some(sdk.span("child").parent_span_id), below.span_id());
}

#[test]
fn there_and_back_the_same_context_with_baggage_deadline_and_cancel() {
    static USER: Key<&str> = Key::new("user");
    let baggage = OtelContext::new().with_baggage([KeyValue::new("tenant", "7")]);
    let (ctx, guard) = Context::background().with_timeout(Duration::from_secs(3600));
    let ctx = ctx.with_value(&USER, "ada").with_otel(baggage);

    let _current = ctx.otel().attach();
    let found = from_otel(&OtelContext::current()).expect("it is carried");
    assert_eq!(
        (found.value(&USER), found.deadline()),
        (Some(&"ada"), ctx.deadline())
    );
    assert_eq!(found.otel().baggage().get("tenant").unwrap().as_str(), "7");
    guard.cancel();
    assert!(found.is_done());
    assert!(from_otel(&OtelContext::new()).is_none());
}

#[test]
fn a_context_that_was_carried_there_and_back_is_not_kept_by_the_next() {
    static VALUE: Key<Counted> = Key::new("value");
    let drops = Drops::default();
    let first = Context::background().with_value(&VALUE, drops.new_one());
    let next = Context::background().with_otel(first.otel());
    assert!(from_otel(&next.otel()).unwrap().value(&VALUE).is_none());
    drop(first);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_span_left_to_the_last_context_ends_with_it() {
    let sdk = sdk();
    let span = sdk.tracer.start("kept");
    let ctx = Context::background().with_otel(OtelContext::new().with_span(span));
    let (below, _guard) = ctx.with_cancel();
    drop(ctx);
    assert!(sdk.exported().is_empty());
    drop(below);
    assert_eq!(sdk.exported().len(), 1);
}

/// Of both features at once: tracing's spans go with the context, the bridge makes OpenTelemetry's of them, and what knows
/// only those is below them.
#[test]
fn spans_of_tracing_are_exported_below_each_other_and_above_ours() {
    use ripcord::tracing::ContextExt as _;
    use tracing::{dispatcher, info_span};
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::layer::SubscriberExt;

    let sdk = sdk();
    let bridge = tracing_opentelemetry::layer().with_tracer(sdk.tracer.clone());
    let subscriber = tracing::Dispatch::new(tracing_subscriber::registry().with(bridge));
    dispatcher::with_default(&subscriber, || {
        let request = Context::background().with_span(info_span!("request"));
        let query = request.with_span(info_span!(parent: &request, "query"));
        let otel = query.span().unwrap().context();
        let query = query.with_otel(otel);
        thread::scope(|scope| {
            scope.spawn(|| drop(query.start_span(&sdk.tracer, "row")));
        });
    });
    let [row, query, request] = ["row", "query", "request"].map(|name| sdk.span(name));
    assert_eq!(row.parent_span_id, query.span_context.span_id());
    assert_eq!(query.parent_span_id, request.span_context.span_id());
    assert_eq!(row.span_context.trace_id(), request.span_context.trace_id());
}
