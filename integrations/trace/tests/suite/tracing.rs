//! Spans that go with a context, events of its end; written as JSON by tracing's own subscriber and read back.

use crate::{Counted, Drops, PATIENCE, block_on};
use ripcord::tracing::ContextExt;
use ripcord::{Cause, Context, Engine, Error, Key};
use serde_json::Value;
use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;
use tracing::{Dispatch, dispatcher, info, info_span};

/// A subscriber, and what it writes: an event each.
fn subscriber() -> (Dispatch, Events) {
    let (lines, received) = mpsc::channel();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || Lines(lines.clone()))
        .finish();
    (Dispatch::new(subscriber), Events(received))
}

struct Lines(Sender<Vec<u8>>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.send(line.to_vec()).map_err(io::Error::other)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Events(Receiver<Vec<u8>>);

impl Events {
    fn next(&self) -> Value {
        let line = self.0.recv_timeout(PATIENCE).expect("an event comes");
        serde_json::from_slice(&line).expect("an event is a line of JSON")
    }

    fn none_came(&self) -> bool {
        self.0.try_recv().is_err()
    }
}

fn spans(event: &Value) -> Vec<&str> {
    let spans = event["spans"].as_array().expect("a list of spans");
    spans
        .iter()
        .map(|span| span["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_deadline_is_an_event_in_the_contexts_span() {
    static USER: Key<&str> = Key::new("user");
    let (subscriber, events) = subscriber();
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let guard = dispatcher::with_default(&subscriber, || {
        let root = engine.background().with_value(&USER, "secret");
        let limit = Cause::msg("the caller's budget");
        let (request, guard) = root.with_timeout_cause(Duration::from_secs(2), limit);
        let request = request.with_span(info_span!("request", id = 7));
        request.trace_end();
        guard
    });
    assert!(events.none_came());
    clock.advance(Duration::from_secs(2));

    let event = events.next();
    assert_eq!(
        (&event["level"], &event["target"]),
        (&"WARN".into(), &"ripcord".into())
    );
    let fields = &event["fields"];
    assert_eq!(fields["message"], "context done");
    assert_eq!(fields["error"], "context deadline exceeded");
    assert_eq!(fields["cause"], "the caller's budget");
    assert!(fields["age_us"].is_u64());
    let context = fields["context"].as_str().unwrap();
    assert!(
        context.contains("WithValue(user)") && !context.contains("secret"),
        "{context}"
    );
    assert_eq!(
        (&event["span"]["name"], &event["span"]["id"]),
        (&"request".into(), &7.into())
    );
    drop(guard);
    assert!(events.none_came(), "one event, for one end");
}

#[test]
fn a_cancel_is_an_event_with_its_cause_and_its_sources() {
    #[derive(Debug)]
    struct Closed(io::Error);
    impl fmt::Display for Closed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the client is gone")
        }
    }
    impl std::error::Error for Closed {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    let (subscriber, events) = subscriber();
    let (root, guard) = Context::background().with_cancel();
    let (child, _child_guard) = root.with_cancel();
    dispatcher::with_default(&subscriber, || child.trace_end());
    guard.cancel_with(Closed(io::Error::other("reset by peer")));
    let event = events.next();
    assert_eq!(event["level"], "DEBUG");
    assert_eq!(event["fields"]["error"], "context canceled");
    let cause = event["fields"]["cause"].as_str().unwrap();
    assert!(cause.starts_with("the client is gone"), "{cause}");
    assert!(event["span"].is_null());
}

#[test]
fn an_age_is_counted_from_the_call() {
    let (subscriber, events) = subscriber();
    let (ctx, guard) = Context::background().with_cancel();
    let began = std::time::Instant::now();
    dispatcher::with_default(&subscriber, || ctx.trace_end());
    Context::background()
        .blocking_sleep(Duration::from_millis(2))
        .unwrap();
    guard.cancel();
    let age = events.next()["fields"]["age_us"].as_u64().unwrap();
    let most = began.elapsed().as_micros();
    assert!(age >= 2_000 && u128::from(age) <= most, "{age} of {most}");
}

#[test]
fn a_context_done_already_gives_its_event_and_one_that_is_stopped_or_never_done_none() {
    let (subscriber, events) = subscriber();
    dispatcher::with_default(&subscriber, || {
        assert!(Context::background().trace_end().stop());
        let (ctx, guard) = Context::background().with_cancel();
        assert!(ctx.trace_end().stop());
        guard.cancel();
        assert!(events.none_came());
        assert!(!ctx.trace_end().stop());
    });
    assert_eq!(events.next()["fields"]["error"], "context canceled");
    assert!(events.none_came());
}

#[test]
fn a_span_goes_to_another_thread_with_its_context() {
    let (subscriber, events) = subscriber();
    let query = dispatcher::with_default(&subscriber, || {
        let request = Context::background().with_span(info_span!("request", id = 7));
        request.with_span(info_span!(parent: &request, "query"))
    });
    let (below, _guard) = query.with_cancel();
    thread::spawn(move || {
        dispatcher::with_default(&subscriber, || {
            assert_eq!(
                below.in_span(|| {
                    info!("found");
                    3
                }),
                3
            );
            info!("after");
        });
    })
    .join()
    .unwrap();
    assert_eq!(spans(&events.next()), ["request", "query"]);
    assert!(
        events.next()["span"].is_null(),
        "the thread is left as it was"
    );
}

#[test]
fn a_context_without_a_span_makes_roots_wherever_it_is() {
    let (subscriber, events) = subscriber();
    dispatcher::with_default(&subscriber, || {
        info_span!("of the thread").in_scope(|| {
            let ctx = Context::background();
            assert!(ctx.span().is_none() && ctx.span_id().is_none());
            ctx.in_span(|| info!("here"));
            info_span!(parent: &ctx, "root").in_scope(|| info!("there"));
        });
    });
    assert_eq!(spans(&events.next()), ["of the thread"]);
    assert_eq!(spans(&events.next()).last(), Some(&"root"));
}

#[test]
fn ids_and_fields_are_those_of_the_last_span_given() {
    let (subscriber, events) = subscriber();
    dispatcher::with_default(&subscriber, || {
        let outer = Context::background().with_span(info_span!("outer"));
        let inner = outer.with_span(info_span!("inner", user = tracing::field::Empty));
        assert!(outer.span_id().is_some() && inner.span_id().is_some());
        assert_ne!(outer.span_id(), inner.span_id());
        inner.span().unwrap().record("user", "ada");
        inner.in_span(|| info!("known"));
    });
    assert_eq!(events.next()["span"]["user"], "ada");
    let disabled = Context::background().with_span(tracing::Span::none());
    assert_eq!(disabled.span_id(), None);
}

#[test]
fn a_future_is_polled_and_dropped_in_the_span() {
    struct SaysSo;
    impl Drop for SaysSo {
        fn drop(&mut self) {
            info!("dropped");
        }
    }

    let (subscriber, events) = subscriber();
    dispatcher::with_default(&subscriber, || {
        block_on(async {
            let (ctx, guard) = Context::background().with_cancel();
            let ctx = ctx.with_span(info_span!("request"));
            let task = tokio::spawn(ctx.run_in_span(async {
                let _held = SaysSo;
                info!("polled");
                std::future::pending::<()>().await
            }));
            tokio::task::yield_now().await;
            info!("between");
            guard.cancel();
            assert_eq!(task.await.unwrap(), Err(Error::Canceled));
        });
    });
    let (polled, between, dropped) = (events.next(), events.next(), events.next());
    assert_eq!(spans(&polled), ["request"]);
    assert!(between["span"].is_null());
    assert_eq!(dropped["fields"]["message"], "dropped");
    assert_eq!(spans(&dropped), ["request"]);
}

#[test]
fn a_context_whose_event_was_given_is_kept_no_longer() {
    static VALUE: Key<Counted> = Key::new("value");
    let drops = Drops::default();
    let (subscriber, events) = subscriber();
    let (ctx, guard) = Context::background().with_cancel();
    let ctx = ctx.with_value(&VALUE, drops.new_one());
    let event = dispatcher::with_default(&subscriber, || ctx.trace_end());
    drop(ctx);
    assert_eq!(drops.count(), 0);
    assert!(event.stop());
    assert_eq!(drops.count(), 1);
    guard.cancel();
    assert!(events.none_came());
}
