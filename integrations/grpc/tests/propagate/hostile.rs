//! Headers that were made to harm: too long, too many, or with something in them that would end a header.

use crate::{extract, headers};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use ripcord::propagate::{
    BAGGAGE, Baggage, ExtractError, Format, InjectError, Member, OnInvalid, Propagator, TRACE,
};
use ripcord::{Context, Key};

const ALL: [Format; 6] = [
    Format::TraceContext,
    Format::Baggage,
    Format::GrpcTimeout,
    Format::XTimeoutMs,
    Format::XTraceContext,
    Format::XContextBaggage,
];

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_header_of_a_megabyte_is_refused() {
    let megabyte = "a".repeat(1 << 20);
    let all = Propagator::builder().formats(ALL).build().unwrap();
    for header in [
        "baggage",
        "grpc-timeout",
        "x-timeout-ms",
        "x-trace-context",
        "x-context-baggage",
    ] {
        let map = headers(&[(header, megabyte.as_str())]);
        let error = all.extract(&map, &Context::background()).unwrap_err();
        assert_eq!(
            error,
            ExtractError::TooLarge {
                header,
                limit: 8_192
            }
        );
        assert_eq!(error.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    // As one that is malformed: W3C has no other rule for these.
    let (ctx, _guard) = extract(&headers(&[("traceparent", megabyte.as_str())])).unwrap();
    assert!(ctx.value(&TRACE).is_none());
    let map = headers(&[("traceparent", PARENT), ("tracestate", megabyte.as_str())]);
    let (ctx, _guard) = extract(&map).unwrap();
    assert!(ctx.value(&TRACE).unwrap().state.is_empty());
}

#[test]
fn the_limit_is_for_all_fields_of_a_name_together() {
    let fields = |count| headers(&vec![("baggage", "k=123456789012"); count]);
    let propagator = |bytes| {
        Propagator::builder()
            .max_header_bytes(bytes)
            .build()
            .unwrap()
    };
    let whole = 4 * 14 + 3;
    assert!(
        propagator(whole)
            .extract(&fields(4), &Context::background())
            .is_ok()
    );
    let error = propagator(whole - 1)
        .extract(&fields(4), &Context::background())
        .unwrap_err();
    assert_eq!(
        error,
        ExtractError::TooLarge {
            header: "baggage",
            limit: whole - 1
        }
    );
    assert!(
        propagator(usize::MAX)
            .extract(&fields(4), &Context::background())
            .is_ok()
    );
}

#[test]
fn ten_thousand_members_are_refused() {
    let members: Vec<_> = (0..10_000).map(|n| format!("k{n}=1")).collect();
    let roomy = Propagator::builder().max_header_bytes(1 << 20);
    let map = headers(&[("baggage", members.join(",").as_str())]);
    let error = roomy
        .clone()
        .build()
        .unwrap()
        .extract(&map, &Context::background())
        .unwrap_err();
    assert_eq!(
        error,
        ExtractError::TooMany {
            header: "baggage",
            limit: 180
        }
    );
    assert_eq!(error.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);

    // In fields of their own, and malformed.
    let mut map = HeaderMap::new();
    for _ in 0..10_000 {
        map.append("baggage", HeaderValue::from_static("no-member"));
    }
    assert!(
        roomy
            .clone()
            .build()
            .unwrap()
            .extract(&map, &Context::background())
            .is_err()
    );

    // Who wants them all has them.
    let map = headers(&[("baggage", members.join(",").as_str())]);
    let all = roomy.max_baggage_members(10_000).build().unwrap();
    let (ctx, _guard) = all.extract(&map, &Context::background()).unwrap();
    assert_eq!(ctx.value(&BAGGAGE).unwrap().members().len(), 10_000);
}

#[test]
fn nothing_in_a_context_adds_a_header_or_ends_one() {
    static NOTE: Key<String> = Key::new("note").wire("note");
    let injection = "x\r\nX-Admin: yes\r\n\r\nGET / HTTP/1.1\0\u{7f}\u{2028}";
    let propagator = Propagator::builder()
        .formats(ALL)
        .key(&NOTE, Clone::clone, |text| Some(text.to_owned()))
        .build()
        .unwrap();
    let mut baggage = Baggage::new();
    baggage.insert(Member::new("other", injection).unwrap());
    let ctx = Context::background()
        .with_value(&NOTE, injection.to_owned())
        .with_value(&BAGGAGE, baggage);
    let mut map = HeaderMap::new();
    propagator.inject(&ctx, &mut map).unwrap();
    let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["baggage", "x-context-baggage"]);
    for value in map.values() {
        assert!(
            value
                .as_bytes()
                .iter()
                .all(|byte| matches!(byte, b' '..=b'~')),
            "{value:?}"
        );
    }
    let (ctx, _guard) = propagator.extract(&map, &Context::background()).unwrap();
    assert_eq!(ctx.value(&NOTE).map(String::as_str), Some(injection));
    assert_eq!(ctx.value(&BAGGAGE).unwrap().get("other"), Some(injection));
}

#[test]
fn an_error_repeats_nothing_of_what_was_sent() {
    let secret = headers(&[("grpc-timeout", "hunter2")]);
    let error = extract(&secret).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn a_map_that_is_full_is_an_error() {
    let mut map = HeaderMap::new();
    let mut number = 0;
    while let Ok(name) = HeaderName::try_from(format!("x-{number}")) {
        if map.try_insert(name, HeaderValue::from_static("1")).is_err() {
            break;
        }
        number += 1;
    }
    let parent = PARENT.parse().unwrap();
    let ctx =
        Context::background().with_value(&TRACE, ripcord::propagate::TraceContext::new(parent));
    assert_eq!(
        Propagator::default().inject(&ctx, &mut map),
        Err(InjectError::Full)
    );
}

proptest! {
    #[test]
    fn any_headers_are_taken_or_refused_and_what_is_taken_can_be_sent(
        fields in proptest::collection::vec((0_usize..7, proptest::collection::vec(any::<u8>(), 0..200)), 0..8),
        policy in 0_usize..3,
    ) {
        let names = ["traceparent", "tracestate", "baggage", "grpc-timeout", "x-timeout-ms", "x-trace-context", "x-context-baggage"];
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(names[name], value);
            }
        }
        let on_invalid = [OnInvalid::Standard, OnInvalid::Refuse, OnInvalid::Ignore][policy];
        let propagator = Propagator::builder().formats(ALL).on_invalid(on_invalid).build().unwrap();
        match propagator.extract(&map, &Context::background()) {
            Err(_) => prop_assert!(on_invalid != OnInvalid::Ignore),
            Ok((ctx, _guard)) => {
                let sent = propagator.inject(&ctx, &mut map);
                prop_assert!(matches!(sent, Ok(()) | Err(InjectError::Done(_))));
            }
        }
    }
}
