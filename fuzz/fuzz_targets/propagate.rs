//! Bytes become headers, as a peer could send them: they are taken or refused, what is taken can be sent on, and what was sent
//! on is taken again and says the same.
//!
//! A line is a header: its first byte says which, the rest is its value.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use ripcord::propagate::{
    BAGGAGE, Format, InjectError, OnInvalid, Propagator, TRACE, TRACE_IDS, decode_grpc_timeout,
    encode_grpc_timeout,
};
use ripcord::{Context, Engine, Key};
use std::time::Duration;

static TENANT: Key<u32> = Key::new("tenant").wire("tenant");

const FORMATS: [Format; 6] = [
    Format::TraceContext,
    Format::Baggage,
    Format::GrpcTimeout,
    Format::XTimeoutMs,
    Format::XTraceContext,
    Format::XContextBaggage,
];

fn propagator(on_invalid: OnInvalid) -> Propagator {
    Propagator::builder()
        .formats(FORMATS)
        .key(&TENANT, |id| id.to_string(), |text| text.parse().ok())
        .on_invalid(on_invalid)
        .build()
        .expect("the key has a wire name")
}

fuzz_target!(|bytes: &[u8]| {
    let standard = propagator(OnInvalid::Standard);
    let names: Vec<_> = standard.fields().collect();
    let mut headers = HeaderMap::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        if let [which, value @ ..] = line
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            let name = names[usize::from(*which) % names.len()];
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let (engine, _clock) = Engine::builder()
        .manual_clock()
        .expect("no thread is started");
    let (limit, _guard) = engine.background().with_timeout(Duration::from_secs(30));

    let taken = propagator(OnInvalid::Ignore).extract(&headers, &limit);
    assert!(taken.is_ok(), "what cannot be taken is left out");
    let strict = propagator(OnInvalid::Refuse).extract(&headers, &limit);
    match standard.extract(&headers, &limit) {
        Err(_) => assert!(strict.is_err(), "who refuses all refuses this"),
        Ok((ctx, _guard)) => compare(&standard, &ctx, &limit),
    }
    if let Some(Ok(timeout)) = headers
        .get("grpc-timeout")
        .and_then(|text| text.to_str().ok())
        .map(decode_grpc_timeout)
    {
        assert_eq!(
            decode_grpc_timeout(&encode_grpc_timeout(timeout)),
            Ok(timeout)
        );
    }
});

fn compare(propagator: &Propagator, ctx: &Context, limit: &Context) {
    assert!(ctx.deadline() <= limit.deadline(), "a header only shortens");
    let mut sent = HeaderMap::new();
    match propagator.inject(ctx, &mut sent) {
        Err(InjectError::Done(_)) => return,
        // JSON takes more room for what is not ASCII, and a key's value can have come in it.
        Err(InjectError::TooLarge { .. }) => return,
        result => result.expect("nothing else can be wrong"),
    }
    for value in sent.values() {
        assert!(
            value
                .as_bytes()
                .iter()
                .all(|byte| matches!(byte, b' '..=b'~'))
        );
    }
    let (again, _guard) = propagator
        .extract(&sent, limit)
        .expect("what is sent can be taken");
    assert!(again.deadline() <= ctx.deadline());
    assert_eq!(again.value(&TENANT), ctx.value(&TENANT));
    assert_eq!(again.value(&TRACE_IDS), ctx.value(&TRACE_IDS));
    let parent = |ctx: &Context| ctx.value(&TRACE).map(|trace| trace.parent);
    assert_eq!(parent(&again), parent(ctx));
    // What there was no room for is left out, and never altered.
    let members = ctx
        .value(&BAGGAGE)
        .map_or(&[][..], |baggage| baggage.members());
    let kept = again
        .value(&BAGGAGE)
        .map_or(&[][..], |baggage| baggage.members());
    let value = |member| members.iter().any(|own| own.name() == member);
    assert!(kept.len() <= members.len() && kept.iter().all(|member| value(member.name())));
}
