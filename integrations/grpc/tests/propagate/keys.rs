//! Registered keys: what a peer sends becomes a key's value only where the key was given to the propagator.

use crate::headers;
use http::HeaderMap;
use ripcord::propagate::{BAGGAGE, ExtractError, InjectError, InvalidMember, Propagator};
use ripcord::{Context, Key};

static TENANT: Key<u32> = Key::new("tenant").wire("tenant");
static USER: Key<String> = Key::new("user").wire("user");

fn propagator() -> Propagator {
    Propagator::builder()
        .key(&TENANT, |id| id.to_string(), |text| text.parse().ok())
        .max_header_bytes(100)
        .build()
        .unwrap()
}

#[test]
fn a_registered_key_goes_over_and_another_does_not() {
    let ctx = Context::background()
        .with_value(&TENANT, 7)
        .with_value(&USER, "ada".to_owned());
    let mut map = HeaderMap::new();
    propagator().inject(&ctx, &mut map).unwrap();
    assert_eq!(map["baggage"], "tenant=7");

    // The name of a key is no registration.
    map.append("baggage", "user=mallory".parse().unwrap());
    let (ctx, _guard) = propagator().extract(&map, &Context::background()).unwrap();
    assert_eq!(ctx.value(&TENANT), Some(&7));
    assert_eq!(ctx.value(&USER), None);
    assert_eq!(ctx.value(&BAGGAGE).unwrap().to_string(), "user=mallory");
}

#[test]
fn what_is_in_the_context_is_sent_and_not_what_came() {
    let incoming = headers(&[("baggage", "tenant=1,tenant=2,other=x")]);
    let (ctx, _guard) = propagator()
        .extract(&incoming, &Context::background())
        .unwrap();
    assert_eq!(ctx.value(&TENANT), Some(&2), "the last counts");
    let mut outgoing = HeaderMap::new();
    propagator()
        .inject(&ctx.with_value(&TENANT, 3), &mut outgoing)
        .unwrap();
    assert_eq!(outgoing["baggage"], "tenant=3,other=x");
}

#[test]
fn a_value_that_its_decoder_refuses_is_an_error() {
    for text in ["tenant=-1", "tenant=x", "tenant=", "tenant=4294967296"] {
        let error = propagator()
            .extract(&headers(&[("baggage", text)]), &Context::background())
            .unwrap_err();
        assert_eq!(error, ExtractError::Value { name: "tenant" }, "{text}");
        assert!(
            !error.to_string().contains("4294967296"),
            "it repeats nothing"
        );
    }
}

#[test]
fn a_registered_value_that_is_too_long_is_an_error_and_a_strangers_is_left_out() {
    let long = Propagator::builder()
        .key(&USER, Clone::clone, |text| Some(text.to_owned()))
        .max_header_bytes(20)
        .build()
        .unwrap();
    let ctx = Context::background().with_value(&USER, "u".repeat(15));
    let mut map = headers(&[("baggage", "old=1")]);
    assert_eq!(long.inject(&ctx, &mut map), Ok(()));
    let ctx = ctx.with_value(&USER, "\r\n".repeat(5));
    let error = InjectError::TooLarge {
        header: "baggage",
        limit: 20,
    };
    assert_eq!(long.inject(&ctx, &mut map), Err(error));
    assert_eq!(
        map["baggage"],
        format!("user={}", "u".repeat(15)),
        "they are as they were"
    );
}

#[test]
fn a_key_that_is_registered_has_a_wire_name_of_its_own() {
    static HERE: Key<String> = Key::new("here");
    static SAME: Key<String> = Key::new("another").wire("user");
    let with = |key| Propagator::builder().key(key, Clone::clone, |text| Some(text.to_owned()));
    assert_eq!(with(&HERE).build().map(drop), Err(InvalidMember::NotOnWire));
    let twice = with(&USER).key(&SAME, Clone::clone, |text| Some(text.to_owned()));
    assert_eq!(twice.build().map(drop), Err(InvalidMember::Twice));
}
