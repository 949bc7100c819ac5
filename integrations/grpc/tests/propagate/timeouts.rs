//! `grpc-timeout` and `X-Timeout-MS`: to the letter, and never a longer time for the callee.

use crate::{extract, headers};
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use ripcord::propagate::{
    CallerTimeout, ExtractError, Format, InjectError, OnInvalid, Propagator, decode_grpc_timeout,
    decode_timeout_ms, encode_grpc_timeout, encode_timeout_ms,
};
use ripcord::{Context, Engine, Error};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a context on a clock that stands still is given.
fn given(propagator: &Propagator, pairs: &[(&'static str, &str)]) -> Option<Duration> {
    let (engine, _clock) = Engine::builder().manual_clock().unwrap();
    let (ctx, _guard) = propagator
        .extract(&headers(pairs), &engine.background())
        .unwrap();
    ctx.remaining()
}

#[test]
fn each_unit_is_read() {
    let read = [
        ("1H", Duration::from_secs(3_600)),
        ("2M", Duration::from_secs(120)),
        ("3S", Duration::from_secs(3)),
        ("4m", Duration::from_millis(4)),
        ("5u", Duration::from_micros(5)),
        ("99999999n", Duration::from_nanos(99_999_999)),
        ("00000001S", Duration::from_secs(1)),
        ("0n", Duration::ZERO),
        ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
    ];
    for (text, timeout) in read {
        assert_eq!(decode_grpc_timeout(text), Ok(timeout), "{text}");
    }
}

#[test]
fn what_is_no_timeout_is_refused() {
    let grpc = [
        "",
        "S",
        "1",
        "-1S",
        "+1S",
        "1.5S",
        "1s",
        "1h",
        "1 S",
        "100000000n",
        "1SS",
        "٣S",
        "1µ",
        "0x1S",
        "1e3S",
    ];
    for text in grpc {
        let error = decode_grpc_timeout(text).unwrap_err();
        assert!(
            matches!(
                error,
                ExtractError::Malformed {
                    header: "grpc-timeout",
                    ..
                }
            ),
            "{text}"
        );
        assert_eq!(
            extract(&headers(&[("grpc-timeout", text)])).unwrap_err(),
            error,
            "{text}"
        );
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    }
    let plain = [
        "",
        "-1",
        "+1",
        "1.5",
        "1ms",
        "1 000",
        "18446744073709551616",
        "٣",
        "NaN",
    ];
    for text in plain {
        let error = decode_timeout_ms(text).unwrap_err();
        assert!(
            matches!(
                error,
                ExtractError::Malformed {
                    header: "x-timeout-ms",
                    ..
                }
            ),
            "{text}"
        );
        assert_eq!(
            extract(&headers(&[("x-timeout-ms", text)])).unwrap_err(),
            error,
            "{text}"
        );
    }
    let raw = headers(&[("grpc-timeout", b"\xff\xfeS")]);
    assert!(extract(&raw).is_err());
}

#[test]
fn the_least_of_all_that_is_said_counts() {
    let default = Propagator::default();
    let both = [
        ("grpc-timeout", "2S"),
        ("x-timeout-ms", "1500"),
        ("x-timeout-ms", "1600"),
    ];
    assert_eq!(given(&default, &both), Some(Duration::from_millis(1_500)));
    assert_eq!(
        given(&default, &[("grpc-timeout", " 2S\t")]),
        Some(Duration::from_secs(2))
    );
    assert_eq!(given(&default, &[]), None);
    let grpc_only = Propagator::builder()
        .formats([Format::GrpcTimeout])
        .build()
        .unwrap();
    assert_eq!(given(&grpc_only, &both), Some(Duration::from_secs(2)));
}

#[test]
fn a_header_never_lengthens_a_deadline() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let (limit, _limit_guard) = engine.background().with_timeout(Duration::from_secs(1));
    let extract = |text| {
        let map = headers(&[("grpc-timeout", text)]);
        Propagator::default().extract(&map, &limit).unwrap()
    };
    let (longer, _longer_guard) = extract("99999999H");
    let (shorter, _shorter_guard) = extract("999m");
    assert_eq!(longer.deadline(), limit.deadline());
    assert!(shorter.deadline() < limit.deadline());
    clock.advance(Duration::from_millis(999));
    assert_eq!(
        (shorter.err(), longer.err()),
        (Some(Error::DeadlineExceeded), None)
    );
    let cause = shorter.cause().unwrap();
    let timeout = cause
        .downcast_ref::<CallerTimeout>()
        .map(|cause| cause.timeout());
    assert_eq!(timeout, Some(Duration::from_millis(999)));
}

#[test]
fn who_asks_for_more_than_the_longest_gets_the_longest() {
    assert_eq!(
        given(&Propagator::default(), &[("grpc-timeout", "25H")]),
        Some(DAY)
    );
    assert_eq!(
        given(
            &Propagator::default(),
            &[("x-timeout-ms", "18446744073709551615")]
        ),
        Some(DAY)
    );
    let second = Propagator::builder()
        .longest_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    assert_eq!(
        given(&second, &[("grpc-timeout", "1M")]),
        Some(Duration::from_secs(1))
    );
    let endless = Propagator::builder()
        .longest_timeout(Duration::MAX)
        .build()
        .unwrap();
    assert_eq!(
        given(&endless, &[("grpc-timeout", "99999999H")]),
        None,
        "beyond 292 years"
    );
}

#[test]
fn no_time_is_done_already() {
    for pair in [("grpc-timeout", "0n"), ("x-timeout-ms", "0")] {
        let (ctx, _guard) = extract(&headers(&[pair])).unwrap();
        assert_eq!(ctx.err(), Some(Error::DeadlineExceeded));
    }
}

#[test]
fn a_call_that_comes_too_late_is_not_sent() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let background = engine.background();
    let sent = |propagator: &Propagator, ctx: &Context| {
        let mut map = headers(&[("grpc-timeout", "old")]);
        let result = propagator.inject(ctx, &mut map);
        (result, map["grpc-timeout"].to_str().unwrap().to_owned())
    };
    let (ctx, guard) = background.with_timeout(Duration::from_secs(2));
    assert_eq!(
        sent(&Propagator::default(), &ctx),
        (Ok(()), "2000000u".to_owned())
    );
    clock.advance(Duration::from_millis(500));
    assert_eq!(
        sent(&Propagator::default(), &ctx),
        (Ok(()), "1500000u".to_owned())
    );

    let margin = |by| Propagator::builder().margin(by).build().unwrap();
    assert_eq!(
        sent(&margin(Duration::from_millis(1_450)), &ctx),
        (Ok(()), "50000000n".to_owned())
    );
    let late = (
        Err(InjectError::Done(Error::DeadlineExceeded)),
        "old".to_owned(),
    );
    assert_eq!(sent(&margin(Duration::from_millis(1_500)), &ctx), late);

    guard.cancel();
    let canceled = (Err(InjectError::Done(Error::Canceled)), "old".to_owned());
    assert_eq!(sent(&Propagator::default(), &ctx), canceled);
}

#[test]
fn a_timeout_that_was_copied_from_another_request_does_not_go_on() {
    let mut map = headers(&[
        ("grpc-timeout", "1S"),
        ("x-timeout-ms", "1"),
        ("baggage", "a=1"),
        ("other", "kept"),
    ]);
    Propagator::default()
        .inject(&Context::background(), &mut map)
        .unwrap();
    assert_eq!(map, headers(&[("other", "kept")]));
}

#[test]
fn who_ignores_what_is_invalid_serves_without_it() {
    let ignore = Propagator::builder()
        .on_invalid(OnInvalid::Ignore)
        .build()
        .unwrap();
    assert_eq!(given(&ignore, &[("grpc-timeout", "-1S")]), None);
    let one = given(&ignore, &[("grpc-timeout", "soon"), ("x-timeout-ms", "7")]);
    assert_eq!(one, Some(Duration::from_millis(7)));
}

fn unit_of(text: &str) -> Duration {
    let unit = text.chars().next_back().unwrap();
    decode_grpc_timeout(&format!("1{unit}")).unwrap()
}

/// Of each magnitude as many, up to beyond what a context can have.
fn timeouts() -> impl Strategy<Value = Duration> {
    (0_u32..64, any::<u64>(), 0_u32..1_000_000_000)
        .prop_map(|(shift, seconds, nanos)| Duration::new((seconds >> shift) >> 1, nanos))
}

const MOST: Duration = Duration::from_secs(99_999_999 * 3_600 + 3_599);

proptest! {
    #[test]
    fn what_is_decoded_is_never_later_and_at_most_a_unit_earlier(timeout in timeouts()) {
        let text = encode_grpc_timeout(timeout);
        let decoded = decode_grpc_timeout(&text).unwrap();
        prop_assert!(decoded <= timeout);
        if timeout <= MOST {
            prop_assert!(timeout - decoded < unit_of(&text), "{}", text);
        }
        prop_assert_eq!(encode_grpc_timeout(decoded), encode_grpc_timeout(timeout));

        let decoded = decode_timeout_ms(&encode_timeout_ms(timeout)).unwrap();
        prop_assert!(decoded <= timeout);
        if timeout.as_millis() <= u64::MAX.into() {
            prop_assert!(timeout - decoded < Duration::from_millis(1));
        }
    }

    #[test]
    fn a_callee_on_the_same_clock_never_has_longer_than_its_caller(nanos in 1_u64..DAY.as_nanos() as u64) {
        let (engine, _clock) = Engine::builder().manual_clock().unwrap();
        let (caller, _guard) = engine.background().with_timeout(Duration::from_nanos(nanos));
        for format in [Format::GrpcTimeout, Format::XTimeoutMs] {
            let propagator = Propagator::builder().formats([format]).build().unwrap();
            let mut map = HeaderMap::new();
            let sent = propagator.inject(&caller, &mut map);
            if matches!(format, Format::XTimeoutMs) && nanos < 1_000_000 {
                prop_assert!(matches!(sent, Err(InjectError::Done(Error::DeadlineExceeded))));
                prop_assert!(map.is_empty());
                continue;
            }
            sent.unwrap();
            let unit = match map.get("grpc-timeout") {
                Some(text) => unit_of(text.to_str().unwrap()),
                None => Duration::from_millis(1),
            };
            let (callee, _guard) = propagator.extract(&map, &engine.background()).unwrap();
            let (callee, caller) = (callee.deadline().unwrap(), caller.deadline().unwrap());
            prop_assert!(callee <= caller && caller - callee < unit);
        }
    }

    #[test]
    fn no_timeout_of_zero_is_sent(nanos in 1_u64..2_000_000) {
        let (engine, _clock) = Engine::builder().manual_clock().unwrap();
        let (caller, _guard) = engine.background().with_timeout(Duration::from_nanos(nanos));
        let mut map = HeaderMap::new();
        Propagator::default().inject(&caller, &mut map).unwrap();
        prop_assert!(map.contains_key("grpc-timeout"));
        prop_assert_eq!(map.contains_key("x-timeout-ms"), nanos >= 1_000_000);
    }

    #[test]
    fn any_text_is_a_timeout_or_refused(text: String) {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if decode_grpc_timeout(&text).is_ok() {
            prop_assert!(text.len() <= 9 && digits(&text[..text.len() - 1]));
        }
        prop_assert!(decode_timeout_ms(&text).is_err() || digits(&text));
    }
}
