//! W3C Trace Context, level 2: the examples and the rules of its sections 3.2, 3.3 and 4.

use crate::{extract, headers, passed_on};
use http::HeaderMap;
use proptest::prelude::*;
use ripcord::Context;
use ripcord::propagate::{
    ExtractError, InvalidMember, OnInvalid, Propagator, TRACE, TraceContext, TraceParent,
    TraceState,
};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn trace(pairs: &[(&'static str, &str)]) -> Option<TraceContext> {
    let (ctx, _guard) = extract(&headers(pairs)).expect("a trace is never a reason to refuse");
    ctx.value(&TRACE).cloned()
}

fn parent(text: &str) -> Option<TraceParent> {
    let found = trace(&[("traceparent", text)]).map(|trace| trace.parent);
    assert_eq!(found, text.parse().ok(), "{text}");
    found
}

fn state(fields: &[&'static str]) -> String {
    let mut pairs = vec![("traceparent", PARENT)];
    pairs.extend(fields.iter().map(|field| ("tracestate", *field)));
    let trace = trace(&pairs).expect("the state does not touch the parent");
    trace.state.to_string()
}

#[test]
fn the_examples_of_traceparent_are_read() {
    let sampled = parent(PARENT).unwrap();
    assert_eq!(
        sampled.trace_id(),
        0x4bf92f3577b34da6a3ce929d0e0e4736_u128.to_be_bytes()
    );
    assert_eq!(sampled.parent_id(), 0x00f067aa0ba902b7_u64.to_be_bytes());
    assert!(sampled.is_sampled());
    let not = parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap();
    assert!(!not.is_sampled());
    let random = parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02").unwrap();
    assert!(random.is_random() && !random.is_sampled());
}

#[test]
fn flags_that_nobody_knows_are_sent_as_zero() {
    let all = parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff").unwrap();
    assert_eq!(
        all.to_string(),
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"
    );
    let nine = parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09").unwrap();
    assert!(nine.is_sampled());
}

#[test]
fn a_malformed_traceparent_is_no_trace() {
    let bad = [
        "",
        "00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-.bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b.-01",
        "00-4bf92f3577b34da6a3ce929d0e0e47361-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b71-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-.0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0.",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-001",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "000-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ".0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    for text in bad {
        assert_eq!(parent(text), None, "{text}");
    }
}

#[test]
fn a_later_version_is_read_by_its_first_four_fields_and_sent_as_the_first() {
    for text in [
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what-the-future-brings",
    ] {
        assert_eq!(
            parent(text).map(|parent| parent.to_string()).as_deref(),
            Some(PARENT)
        );
    }
    let dot = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what-the-future-brings";
    assert_eq!(parent(dot), None);
    assert_eq!(
        parent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"),
        None
    );
}

#[test]
fn spaces_and_tabs_around_a_traceparent_are_let_go() {
    for text in [
        format!(" {PARENT}"),
        format!("\t{PARENT}"),
        format!("\t {PARENT} \t"),
    ] {
        assert!(parent(&text).is_some(), "{text:?}");
    }
}

#[test]
fn two_traceparents_are_none_and_a_state_alone_is_none() {
    assert_eq!(
        trace(&[("traceparent", PARENT), ("traceparent", PARENT)]),
        None
    );
    assert_eq!(trace(&[("tracestate", "foo=1")]), None);
    assert_eq!(trace(&[("trace-parent", PARENT)]), None);
}

#[test]
fn the_examples_of_tracestate_are_read() {
    assert_eq!(state(&["rojo=00f067aa0ba902b7"]), "rojo=00f067aa0ba902b7");
    let both = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
    assert_eq!(state(&[both]), both);
}

#[test]
fn several_tracestates_are_one_in_their_order() {
    let joined = state(&["foo=1,bar=2", "", "rojo=1, \t congo=2 ", "\tbaz= 3"]);
    assert_eq!(joined, "foo=1,bar=2,rojo=1,congo=2,baz= 3");
}

#[test]
fn a_malformed_tracestate_is_left_out_and_the_parent_stays() {
    let key257 = format!("{}=1", "k".repeat(257));
    let value257 = format!("k={}", "v".repeat(257));
    let members33: Vec<_> = (0..33).map(|n| format!("k{n}=1")).collect();
    let members33 = members33.join(",");
    let bad = [
        "foo",
        "foo=",
        "=1",
        "foo =1",
        "FOO=1",
        "foo.bar=1",
        "foo=1,foo=1",
        "foo=1,foo=2",
        "foo=bar=baz",
        "_foo=1",
        "@foo=1",
        "foo=1;\u{7f}",
        "foo=\u{e9}",
        &key257,
        &value257,
        &members33,
    ];
    for text in bad {
        let mut map = headers(&[("traceparent", PARENT.as_bytes())]);
        // A header cannot hold DEL at all.
        let Ok(value) = http::HeaderValue::from_bytes(text.as_bytes()) else {
            continue;
        };
        map.append("tracestate", value);
        let (ctx, _guard) = extract(&map).unwrap();
        let trace = ctx.value(&TRACE).expect("the parent is fine");
        assert!(trace.state.is_empty(), "{text}");
        assert!(text.parse::<TraceState>().is_err(), "{text}");
    }
}

#[test]
fn all_characters_that_a_tracestate_may_have_are_taken() {
    let key = "0abcdefghijklmnopqrstuvwxyz123456789_-*/@";
    let value: String = (' '..='~').filter(|char| !",=".contains(*char)).collect();
    let text = format!("{key}={value},{}={}", "k".repeat(256), "v".repeat(256));
    let members: Vec<_> = (0..32).map(|n| format!("k{n}=1")).collect();
    for text in [text, members.join(",")] {
        assert_eq!(text.parse::<TraceState>().unwrap().to_string(), text);
    }
}

#[test]
fn a_service_on_the_way_puts_itself_first_in_the_state() {
    // Section 2: Congo calls Rojo, Rojo calls Congo.
    let congo = headers(&[
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("tracestate", "congo=t61rcWkgMzE"),
    ]);
    let propagator = Propagator::default();
    let hop = |incoming: &HeaderMap, span: u64, key: &str, value: &str| {
        let (ctx, _guard) = propagator
            .extract(incoming, &Context::background())
            .unwrap();
        let caller = ctx.value(&TRACE).unwrap();
        let mut own = caller.child(span.to_be_bytes(), true).unwrap();
        own.state.insert(key, value).unwrap();
        let mut outgoing = HeaderMap::new();
        propagator
            .inject(&ctx.with_value(&TRACE, own), &mut outgoing)
            .unwrap();
        outgoing
    };
    let rojo = hop(&congo, 0x00f067aa0ba902b7, "rojo", "00f067aa0ba902b7");
    assert_eq!(
        rojo["traceparent"],
        "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
    );
    assert_eq!(
        rojo["tracestate"],
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    );
    let back = hop(&rojo, 0xb9c7c989f97918e1, "congo", "ucfJifl5GOE");
    assert_eq!(
        back["traceparent"],
        "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01"
    );
    assert_eq!(
        back["tracestate"],
        "congo=ucfJifl5GOE,rojo=00f067aa0ba902b7"
    );
}

#[test]
fn a_trace_that_is_only_passed_on_is_not_changed() {
    let incoming = headers(&[
        ("traceparent", PARENT),
        ("tracestate", "foo=1,bar= 2"),
        ("tracestate", "baz=3"),
    ]);
    let outgoing = passed_on(&Propagator::default(), &incoming);
    assert_eq!(outgoing["traceparent"], PARENT);
    assert_eq!(outgoing["tracestate"], "foo=1,bar= 2,baz=3");
}

#[test]
fn a_state_that_is_too_long_to_send_loses_long_entries_first_and_then_the_oldest() {
    let long = format!("long={}", "v".repeat(200));
    let short: Vec<_> = (0..6)
        .map(|n| format!("s{n}={}", "v".repeat(100)))
        .collect();
    let text = format!("{},{},{}", short[0], long, short[1..].join(","));
    let incoming = headers(&[("traceparent", PARENT), ("tracestate", text.as_str())]);
    let sent = |limit| {
        let propagator = Propagator::builder()
            .max_tracestate_bytes(limit)
            .build()
            .unwrap();
        let outgoing = passed_on(&propagator, &incoming);
        outgoing
            .get("tracestate")
            .map(|state| state.to_str().unwrap().to_owned())
    };
    assert_eq!(sent(usize::MAX), Some(text.clone()));
    assert_eq!(sent(text.len()), Some(text.clone()));
    assert_eq!(sent(text.len() - 1), Some(short.join(",")));
    assert_eq!(sent(512), Some(short[..4].join(",")));
    assert_eq!(sent(10), None);
}

#[test]
fn a_state_holds_32_members_and_drops_the_oldest() {
    let mut state = TraceState::new();
    for n in 0..40 {
        state.insert(&format!("k{n}"), "1").unwrap();
    }
    assert_eq!(state.len(), 32);
    assert_eq!(state.iter().next(), Some(("k39", "1")));
    assert_eq!((state.get("k8"), state.get("k7")), (Some("1"), None));
    assert!(state.remove("k8") && !state.remove("k8"));
    assert_eq!(state.insert("K", "1"), Err(InvalidMember::Name));
    assert_eq!(state.insert("k", "a,b"), Err(InvalidMember::Value));
    assert_eq!(state.insert("k", "a\r\nx: y"), Err(InvalidMember::Value));
}

#[test]
fn who_wants_to_be_told_is() {
    let strict = Propagator::builder()
        .on_invalid(OnInvalid::Refuse)
        .build()
        .unwrap();
    let refused = |pairs: &[(&'static str, &str)]| {
        strict
            .extract(&headers(pairs), &Context::background())
            .map(drop)
            .unwrap_err()
    };
    assert!(matches!(
        refused(&[("traceparent", "00")]),
        ExtractError::Malformed {
            header: "traceparent",
            ..
        }
    ));
    assert_eq!(
        refused(&[("traceparent", PARENT), ("traceparent", PARENT)]),
        ExtractError::Duplicate {
            header: "traceparent"
        }
    );
    assert!(matches!(
        refused(&[("traceparent", PARENT), ("tracestate", "foo")]),
        ExtractError::Malformed {
            header: "tracestate",
            ..
        }
    ));
}

proptest! {
    #[test]
    fn a_traceparent_comes_back_as_it_was(trace_id: [u8; 16], span: [u8; 8], sampled: bool) {
        match TraceParent::new(trace_id, span, sampled) {
            Some(parent) => prop_assert_eq!(parent.to_string().parse(), Ok(parent)),
            None => prop_assert!(trace_id == [0; 16] || span == [0; 8]),
        }
    }

    #[test]
    fn a_tracestate_comes_back_as_it_was(
        pairs in proptest::collection::vec(("[a-z0-9][a-z0-9_*/@-]{0,20}", "[ -+./0-<>-~-]{0,20}[!-+]"), 0..40),
    ) {
        let mut state = TraceState::new();
        for (key, value) in &pairs {
            state.insert(key, value).unwrap();
        }
        prop_assert_eq!(state.to_string().parse(), Ok(state));
    }

    #[test]
    fn any_text_is_a_traceparent_or_not(text: String) {
        if let Ok(parent) = text.parse::<TraceParent>() {
            prop_assert!(parent.trace_id() != [0; 16] && parent.parent_id() != [0; 8]);
        }
    }
}
