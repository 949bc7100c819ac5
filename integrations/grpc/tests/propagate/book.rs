//! The headers of the book's chapter on cross-service propagation, without its slips: there an expired deadline is sent as
//! none, and every name in a peer's JSON becomes a key.

use crate::{headers, passed_on};
use http::HeaderMap;
use proptest::prelude::*;
use ripcord::propagate::{
    BAGGAGE, Baggage, ExtractError, Format, Member, OnInvalid, Propagator, TRACE, TRACE_IDS,
    TraceContext, TraceIds, TraceParent,
};
use ripcord::{Context, Engine};
use std::time::Duration;

const BOOK: [Format; 3] = [
    Format::XTraceContext,
    Format::XTimeoutMs,
    Format::XContextBaggage,
];

fn book() -> Propagator {
    Propagator::builder().formats(BOOK).build().unwrap()
}

fn extract(pairs: &[(&'static str, &str)]) -> Result<Context, ExtractError> {
    let (ctx, guard) = book().extract(&headers(pairs), &Context::background())?;
    guard.disarm();
    Ok(ctx)
}

#[test]
fn the_chapters_request_arrives_and_goes_on() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let incoming = headers(&[
        (
            "x-trace-context",
            r#"{"trace_id":"trace-12345","span_id":"span-root","baggage":{"sessionID":"session-abc","userID":"user-999"},"deadline":"2025-01-01T00:00:00Z"}"#,
        ),
        ("x-timeout-ms", "5000"),
        (
            "x-context-baggage",
            r#"{"sessionID":"session-abc","userID":"user-999"}"#,
        ),
    ]);
    let (ctx, _guard) = book().extract(&incoming, &engine.background()).unwrap();
    let ids = ctx.value(&TRACE_IDS).unwrap();
    assert_eq!(
        (ids.trace_id.as_str(), ids.span_id.as_str()),
        ("trace-12345", "span-root")
    );
    assert_eq!(ids.parent_id, None);
    let baggage = ctx.value(&BAGGAGE).unwrap();
    assert_eq!(baggage.members().len(), 2, "the same name in both is one");
    assert_eq!(baggage.get("userID"), Some("user-999"));
    assert_eq!(ctx.remaining(), Some(Duration::from_secs(5)));

    let mut outgoing = HeaderMap::new();
    book().inject(&ctx, &mut outgoing).unwrap();
    assert_eq!(
        outgoing["x-trace-context"],
        r#"{"trace_id":"trace-12345","span_id":"span-root"}"#
    );
    assert_eq!(outgoing["x-timeout-ms"], "5000");
    assert_eq!(
        outgoing["x-context-baggage"],
        r#"{"sessionID":"session-abc","userID":"user-999"}"#
    );
}

#[test]
fn no_more_members_are_taken_in_three_headers_than_in_one() {
    let formats = BOOK.into_iter().chain([Format::Baggage]);
    let builder = Propagator::builder()
        .formats(formats)
        .max_baggage_members(2);
    let incoming = headers(&[
        ("baggage", "a=1"),
        (
            "x-trace-context",
            r#"{"trace_id":"t","baggage":{"b":"2","a":"1"}}"#,
        ),
        ("x-context-baggage", r#"{"c":"3"}"#),
    ]);
    let extract = |on_invalid| {
        let propagator = builder.clone().on_invalid(on_invalid).build().unwrap();
        propagator.extract(&incoming, &Context::background())
    };
    let header = "baggage";
    let refused = extract(OnInvalid::Standard).unwrap_err();
    assert_eq!(refused, ExtractError::TooMany { header, limit: 2 });
    let (ctx, _guard) = extract(OnInvalid::Ignore).unwrap();
    assert_eq!(ctx.value(&BAGGAGE).unwrap().members().len(), 2);
}

#[test]
fn ids_that_are_w3cs_are_a_trace_of_w3cs() {
    let text = r#"{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}"#;
    let ctx = extract(&[("x-trace-context", text)]).unwrap();
    let trace = ctx.value(&TRACE).unwrap();
    let w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    assert_eq!(trace.parent.to_string(), w3c);
    assert!(ctx.value(&TRACE_IDS).is_none());
    let mut outgoing = HeaderMap::new();
    book().inject(&ctx, &mut outgoing).unwrap();
    assert_eq!(outgoing["x-trace-context"], text);
}

#[test]
fn a_traceparent_counts_before_the_books_trace() {
    let all = Propagator::builder()
        .formats(BOOK.into_iter().chain([Format::TraceContext]))
        .build()
        .unwrap();
    let w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let map = headers(&[
        ("traceparent", w3c),
        ("x-trace-context", r#"{"trace_id":"t","span_id":"s"}"#),
    ]);
    let (ctx, _guard) = all.extract(&map, &Context::background()).unwrap();
    assert_eq!(ctx.value(&TRACE).unwrap().parent.to_string(), w3c);
    assert!(ctx.value(&TRACE_IDS).is_none());
}

#[test]
fn a_timeout_in_the_trace_only_shortens() {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let map = headers(&[
        ("x-trace-context", r#"{"timeout_ms":7}"#),
        ("x-timeout-ms", "9"),
    ]);
    let (ctx, _guard) = book().extract(&map, &engine.background()).unwrap();
    assert_eq!(ctx.remaining(), Some(Duration::from_millis(7)));
}

#[test]
fn what_is_sent_in_two_ways_does_not_grow_on_its_way() {
    let both = Propagator::builder()
        .formats([Format::Baggage, Format::XContextBaggage])
        .build()
        .unwrap();
    let mut map = headers(&[("baggage", "a=1,b=2")]);
    for _ in 0..5 {
        map = passed_on(&both, &map);
        assert_eq!(map["baggage"], "a=1,b=2");
        assert_eq!(map["x-context-baggage"], r#"{"a":"1","b":"2"}"#);
    }
}

#[test]
fn of_a_name_in_both_w3cs_counts_and_json_has_each_once() {
    let both = Propagator::builder()
        .formats([Format::Baggage, Format::XContextBaggage])
        .build()
        .unwrap();
    let map = headers(&[
        ("baggage", "a=1,a=2"),
        ("x-context-baggage", r#"{"a":"3","c":"4"}"#),
    ]);
    let outgoing = passed_on(&both, &map);
    assert_eq!(outgoing["baggage"], "a=1,a=2,c=4");
    assert_eq!(outgoing["x-context-baggage"], r#"{"a":"2","c":"4"}"#);
}

#[test]
fn malformed_json_is_refused_or_left_out() {
    let deep = format!("{}1{}", "[".repeat(4_000), "]".repeat(4_000));
    let long = format!(r#"{{"trace_id":"{}"}}"#, "t".repeat(129));
    let trace = [
        "{",
        "[]",
        "null",
        "7",
        r#""x""#,
        r#"{"trace_id":7}"#,
        r#"{"trace_id":"a b"}"#,
        r#"{"trace_id":"a\r\nx: y"}"#,
        r#"{"trace_id":"é"}"#,
        r#"{"trace_id":"t","span_id":"\u0000"}"#,
        r#"{"trace_id":"t","parent_id":[]}"#,
        r#"{"timeout_ms":-1}"#,
        r#"{"timeout_ms":1.5}"#,
        r#"{"timeout_ms":18446744073709551616}"#,
        r#"{"timeout_ms":"1"}"#,
        r#"{"baggage":[]}"#,
        r#"{"trace_id":"t"} x"#,
        &deep,
        &long,
    ];
    let ignore = Propagator::builder()
        .formats(BOOK)
        .on_invalid(OnInvalid::Ignore)
        .build()
        .unwrap();
    for text in trace {
        let error = extract(&[("x-trace-context", text)]).unwrap_err();
        assert!(
            matches!(
                error,
                ExtractError::Malformed {
                    header: "x-trace-context",
                    ..
                }
            ),
            "{text}"
        );
        let map = headers(&[("x-trace-context", text)]);
        let (ctx, _guard) = ignore.extract(&map, &Context::background()).unwrap();
        assert!(ctx.value(&TRACE_IDS).is_none(), "{text}");
    }
    for text in ["{", "[]", r#"["a"]"#, "7", &deep] {
        let error = extract(&[("x-context-baggage", text)]).unwrap_err();
        assert!(
            matches!(
                error,
                ExtractError::Malformed {
                    header: "x-context-baggage",
                    ..
                }
            ),
            "{text}"
        );
    }
    let twice = [("x-context-baggage", "{}"), ("x-context-baggage", "{}")];
    assert_eq!(
        extract(&twice).unwrap_err(),
        ExtractError::Duplicate {
            header: "x-context-baggage"
        }
    );
    assert!(extract(&[("x-context-baggage", ""), ("x-trace-context", "")]).is_ok());
}

#[test]
fn a_member_that_cannot_be_one_is_left_out_or_refused() {
    let text = r#"{"ok":"1","not a token":"2","number":3,"":"4","list":[]}"#;
    let ctx = extract(&[("x-context-baggage", text)]).unwrap();
    assert_eq!(ctx.value(&BAGGAGE).unwrap().to_string(), "ok=1");
    let strict = Propagator::builder()
        .formats(BOOK)
        .on_invalid(OnInvalid::Refuse)
        .build()
        .unwrap();
    assert!(
        strict
            .extract(
                &headers(&[("x-context-baggage", text)]),
                &Context::background()
            )
            .is_err()
    );
}

#[test]
fn the_trace_of_a_context_is_written_from_w3cs() {
    let parent = TraceParent::new([1; 16], [2; 8], true).unwrap();
    let ids = TraceIds {
        trace_id: "t".to_owned(),
        span_id: "s".to_owned(),
        parent_id: Some("p".to_owned()),
    };
    let ctx = Context::background().with_value(&TRACE_IDS, ids);
    let mut map = HeaderMap::new();
    book().inject(&ctx, &mut map).unwrap();
    assert_eq!(
        map["x-trace-context"],
        r#"{"trace_id":"t","span_id":"s","parent_id":"p"}"#
    );
    let ctx = ctx.with_value(&TRACE, TraceContext::new(parent));
    book().inject(&ctx, &mut map).unwrap();
    assert_eq!(
        map["x-trace-context"],
        r#"{"trace_id":"01010101010101010101010101010101","span_id":"0202020202020202"}"#
    );
}

proptest! {
    #[test]
    fn any_value_comes_back_as_it_was(values in proptest::collection::vec(any::<String>(), 1..10)) {
        let mut baggage = Baggage::new();
        for (at, value) in values.iter().enumerate() {
            baggage.insert(Member::new(&format!("k{at}"), value).unwrap());
        }
        let roomy = Propagator::builder().formats(BOOK).max_header_bytes(1 << 20).build().unwrap();
        let mut map = HeaderMap::new();
        roomy.inject(&Context::background().with_value(&BAGGAGE, baggage.clone()), &mut map).unwrap();
        prop_assert!(map["x-context-baggage"].as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~')));
        let (ctx, _guard) = roomy.extract(&map, &Context::background()).unwrap();
        prop_assert_eq!(ctx.value(&BAGGAGE), Some(&baggage));
    }

    #[test]
    fn any_ids_are_sent_as_a_peer_takes_them_or_not(trace_id in ids(), span_id in ids()) {
        let ids = TraceIds { trace_id, span_id, parent_id: None };
        let ctx = Context::background().with_value(&TRACE_IDS, ids.clone());
        let mut map = HeaderMap::new();
        strict().inject(&ctx, &mut map).unwrap();
        let (ctx, _guard) = strict().extract(&map, &Context::background()).unwrap();
        let sent = ctx.value(&TRACE_IDS);
        prop_assert_eq!(sent.is_some(), is_id(&ids.trace_id));
        if let Some(sent) = sent {
            prop_assert_eq!(&sent.trace_id, &ids.trace_id);
            prop_assert_eq!(&sent.span_id, if is_id(&ids.span_id) { &ids.span_id } else { "" });
        }
    }
}

fn strict() -> Propagator {
    let builder = Propagator::builder().formats(BOOK);
    builder.on_invalid(OnInvalid::Refuse).build().unwrap()
}

fn ids() -> impl Strategy<Value = String> {
    prop_oneof!["[!-~]{0,4}", "[a-z]{127,129}", any::<String>()]
}

fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
