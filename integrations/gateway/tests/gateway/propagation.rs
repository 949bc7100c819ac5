//! What of a request's headers reaches the backend, and what hostile ones come to.

use super::process::{Gateway, eventually};
use std::collections::BTreeSet;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID: &str = "b7ad6b7169203331";

/// The headers that the backend was sent: those of `/echo`.
struct Echo(String);

impl Echo {
    fn of(gateway: &Gateway, headers: &[(&str, &str)]) -> Self {
        let answer = gateway.get("/echo", headers);
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.body);
        Self(answer.body)
    }

    /// The only header of that name.
    fn get(&self, name: &str) -> Option<&str> {
        let mut values = self
            .0
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice: {}", self.0);
        value
    }

    /// Trace id, span id and flags of a `traceparent` that is well-formed.
    fn trace(&self) -> (&str, &str, &str) {
        let parent = self.get("traceparent").expect("each call is of a trace");
        let fields: Vec<_> = parent.split('-').collect();
        let [version, trace, span, flags] = fields[..] else {
            panic!("not four fields: {parent}");
        };
        for (field, length) in [(version, 2), (trace, 32), (span, 16), (flags, 2)] {
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            assert!(field.len() == length && field.bytes().all(hex), "{parent}");
        }
        assert_eq!(version, "00");
        assert!(trace.bytes().any(|byte| byte != b'0'), "{parent}");
        assert!(span.bytes().any(|byte| byte != b'0'), "{parent}");
        (trace, span, flags)
    }
}

#[test]
fn the_trace_reaches_the_backend_and_each_call_has_a_span_id_of_its_own() {
    let gateway = Gateway::start(&[]);
    for flags in ["00", "01", "02", "03"] {
        let parent = format!("00-{TRACE_ID}-{SPAN_ID}-{flags}");
        let headers = [
            ("traceparent", &*parent),
            ("tracestate", "rojo=1,congo=t61"),
        ];
        let mut spans = BTreeSet::from([SPAN_ID.to_owned()]);
        for calls in 2..5 {
            let echo = Echo::of(&gateway, &headers);
            let (trace, span, sent) = echo.trace();
            assert_eq!((trace, sent), (TRACE_ID, flags));
            assert_eq!(echo.get("tracestate"), Some("rojo=1,congo=t61"));
            spans.insert(span.to_owned());
            assert_eq!(spans.len(), calls, "{spans:?}");
        }
    }
}

#[test]
fn without_a_trace_that_is_one_a_new_one_begins() {
    let gateway = Gateway::start(&[]);
    let zeros = format!("00-{}-{SPAN_ID}-01", "0".repeat(32));
    let no_span = format!("00-{TRACE_ID}-{}-01", "0".repeat(16));
    let version = format!("ff-{TRACE_ID}-{SPAN_ID}-01");
    let capitals = format!("00-{}-{SPAN_ID}-01", TRACE_ID.to_uppercase());
    let long = format!("00-{TRACE_ID}-{SPAN_ID}-01-{}", "0".repeat(9_000));
    let sound = format!("00-{TRACE_ID}-{SPAN_ID}-01");
    let state = ("tracestate", "rojo=1");
    let mut seen = BTreeSet::from([TRACE_ID.to_owned()]);
    for headers in [
        &[][..],
        &[state],
        &[("traceparent", ""), state],
        &[("traceparent", "é"), state],
        &[("traceparent", &*zeros), state],
        &[("traceparent", &no_span), state],
        &[("traceparent", &version), state],
        &[("traceparent", &capitals), state],
        &[("traceparent", &long), state],
        &[("traceparent", &sound), ("traceparent", &sound), state],
    ] {
        let echo = Echo::of(&gateway, headers);
        let (trace, _, flags) = echo.trace();
        assert_eq!(flags, "00");
        assert!(seen.insert(trace.to_owned()), "{headers:?}");
        assert_eq!(echo.get("tracestate"), None, "{headers:?}");
    }
}

#[test]
fn baggage_and_who_asks_reach_the_backend() {
    let gateway = Gateway::start(&[]);
    let echo = Echo::of(
        &gateway,
        &[
            ("baggage", "userId=alice,note=a%2Cb;secret"),
            ("baggage", "node=DF%2028"),
            ("x-request-id", "r-17"),
            ("x-user", "ada"),
        ],
    );
    assert_eq!(
        echo.get("baggage"),
        Some("userId=alice,note=a%2Cb;secret,node=DF%2028")
    );
    assert_eq!(echo.get("x-request-id"), Some("r-17"));
    assert_eq!(echo.get("x-user"), Some("ada"));

    let echo = Echo::of(&gateway, &[]);
    assert_eq!(echo.get("baggage"), None);
    assert_eq!(echo.get("x-user"), None);
    let id = echo.get("x-request-id").expect("it was made up");
    assert!(id.starts_with("gateway-"), "{id}");
}

#[test]
fn the_backend_is_given_a_share_of_the_callers_time() {
    let gateway = Gateway::start(&["--limit", "10m"]);
    for header in [("x-timeout-ms", "60000"), ("grpc-timeout", "1M")] {
        let echo = Echo::of(&gateway, &[header]);
        let left = echo.get("x-timeout-ms").and_then(|left| left.parse().ok());
        assert!((1..=48_000).contains(&left.unwrap_or(0)), "{}", echo.0);
        assert!(echo.get("grpc-timeout").is_some());
    }
}

#[test]
fn what_stands_in_baggage_ends_no_header() {
    let gateway = Gateway::start(&[]);
    for value in [
        "a=b%0D%0Ax-admin:%20yes",
        "a=b%0d%0a%0d%0aGET%20/work",
        "a=%00%7F%ff",
        "a=b;p=%0D%0Ax-admin:%20yes",
    ] {
        let echo = Echo::of(&gateway, &[("baggage", value)]);
        assert_eq!(echo.get("x-admin"), None, "{}", echo.0);
        let sent = echo.get("baggage").expect("it is a member");
        assert!(sent.bytes().all(|byte| byte.is_ascii_graphic()), "{sent}");
    }
    // No members, and no reason to refuse the request.
    for value in ["", ",,,", "=", ";;", "a b=c", "é=1"] {
        let echo = Echo::of(&gateway, &[("baggage", value)]);
        assert_eq!(echo.get("baggage"), None, "{value:?}: {}", echo.0);
    }
}

#[test]
fn headers_that_are_too_much_are_answered_with_431_and_the_server_lives() {
    let gateway = Gateway::start(&[]);
    let members = |count: usize| vec!["a=1"; count].join(",");
    let (most, many, crowd) = (members(180), members(181), members(10_000));
    let long = format!("a={}", "x".repeat(9_000));
    let digits = "9".repeat(9_000);
    assert_eq!(gateway.get("/healthz", &[("baggage", &most)]).status, 200);
    let refused = [
        ("baggage", &*many, "the header baggage has too many members"),
        ("baggage", &crowd, "the header baggage is too long"),
        ("baggage", &long, "the header baggage is too long"),
        (
            "x-timeout-ms",
            &digits,
            "the header x-timeout-ms is too long",
        ),
        (
            "grpc-timeout",
            &digits,
            "the header grpc-timeout is too long",
        ),
    ];
    for (name, value, why) in refused {
        let answer = gateway.get("/healthz", &[(name, value)]);
        assert_eq!(answer.status, 431, "{name}: {}", answer.body);
        assert!(answer.body.starts_with(why), "{}", answer.body);
        assert!(!answer.body.contains(value), "it was repeated");
        assert_eq!(gateway.get("/healthz", &[]).status, 200);
    }
    assert_eq!(gateway.stat("bad"), refused.len() as u64);
    eventually("nothing is left of them", || {
        gateway.stat("contexts") == 1 && gateway.stat("live") == 1
    });
}

/// hyper's answers, which no route sees.
#[test]
fn what_is_no_http_is_refused_and_the_server_lives() {
    let gateway = Gateway::start(&[]);
    let with = |header: &[u8]| {
        [
            b"GET /healthz HTTP/1.1\r\nHost: test\r\n",
            header,
            b"\r\n\r\n",
        ]
        .concat()
    };
    let megabyte = [b"baggage: ", &*vec![b'x'; 1 << 20]].concat();
    let crowd: Vec<u8> = (0..200)
        .flat_map(|nth| format!("x-{nth}: 1\r\n").into_bytes())
        .collect();
    for (header, allowed) in [
        // Closed with the most of it unread, it may be gone before its answer is.
        (&*megabyte, &[Some(431), None][..]),
        (&crowd, &[Some(431)]),
        (b"baggage: a=\x00b", &[Some(400)]),
        (b"baggage: a=\x01b", &[Some(400)]),
        (b"bag gage: a=b", &[Some(400)]),
        (b": a=b", &[Some(400)]),
        (b"x-timeout-ms 5", &[Some(400)]),
    ] {
        let status = gateway.send_raw(&with(header));
        let shown = String::from_utf8_lossy(&header[..header.len().min(20)]);
        assert!(allowed.contains(&status), "{shown:?}: {status:?}");
        assert_eq!(gateway.get("/healthz", &[]).status, 200);
    }
    assert_eq!(gateway.send_raw(&with(b"baggage: a=\xff")), Some(200));
    assert_eq!(gateway.send_raw(&with(b"x-user: \xff")), Some(400));
}

#[test]
fn of_timeouts_given_twice_the_least_counts() {
    let gateway = Gateway::start(&["--limit", "10m"]);
    let answer = gateway.get(
        "/sleep?ms=600000",
        &[("x-timeout-ms", "60000"), ("x-timeout-ms", "50")],
    );
    assert_eq!(
        answer.body,
        "context deadline exceeded: the caller's budget of 50ms\n"
    );
    let answer = gateway.get(
        "/healthz",
        &[("x-timeout-ms", "60000"), ("x-timeout-ms", "soon")],
    );
    assert_eq!(answer.status, 400);
}
