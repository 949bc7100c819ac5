//! W3C Baggage: the examples and the rules of its section 3.

use crate::{extract, headers, passed_on};
use proptest::prelude::*;
use ripcord::Context;
use ripcord::propagate::{
    BAGGAGE, Baggage, ExtractError, InvalidMember, Member, OnInvalid, Propagator,
};

fn baggage(fields: &[&'static str]) -> Baggage {
    let pairs: Vec<_> = fields.iter().map(|field| ("baggage", *field)).collect();
    let (ctx, _guard) = extract(&headers(&pairs)).unwrap();
    ctx.value(&BAGGAGE).cloned().unwrap_or_default()
}

fn plain(baggage: &Baggage) -> Vec<(&str, &str)> {
    let members = baggage.members().iter();
    members
        .map(|member| (member.name(), member.value()))
        .collect()
}

#[test]
fn the_example_with_properties_is_read() {
    let text =
        "key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue";
    let baggage = baggage(&[text]);
    assert_eq!(
        plain(&baggage),
        [("key1", "value1"), ("key2", "value2"), ("key3", "value3")]
    );
    let properties = |at: usize| baggage.members()[at].properties().collect::<Vec<_>>();
    assert_eq!(properties(0), [("property1", None), ("property2", None)]);
    assert_eq!(properties(1), []);
    assert_eq!(properties(2), [("propertyKey", Some("propertyValue"))]);
    let sent = "key1=value1;property1;property2,key2=value2,key3=value3;propertyKey=propertyValue";
    assert_eq!(baggage.to_string(), sent);
}

#[test]
fn one_header_and_several_are_the_same() {
    let one = baggage(&["userId=alice,serverNode=DF%2028,isProduction=false"]);
    assert_eq!(
        plain(&one),
        [
            ("userId", "alice"),
            ("serverNode", "DF 28"),
            ("isProduction", "false")
        ]
    );
    assert_eq!(
        baggage(&["userId=alice", "serverNode=DF%2028,isProduction=false"]),
        one
    );
    assert_eq!(
        baggage(&[
            "userId =   alice",
            "serverNode = DF%2028, isProduction = false"
        ]),
        one
    );
    assert_eq!(
        one.to_string(),
        "userId=alice,serverNode=DF%2028,isProduction=false"
    );
}

#[test]
fn white_space_is_no_part_of_anything() {
    let text = "SomeKey \t = \t SomeValue \t ; \t SomeProp \t = \t PropValue \t , \t SomeKey2 \t = \t SomeValue2 \t ";
    let baggage = baggage(&[text]);
    assert_eq!(
        baggage.to_string(),
        "SomeKey=SomeValue;SomeProp=PropValue,SomeKey2=SomeValue2"
    );
}

#[test]
fn a_value_has_equals_signs_and_encoded_octets() {
    assert_eq!(
        baggage(&["SomeKey=SomeValue=equals"]).get("SomeKey"),
        Some("SomeValue=equals")
    );
    let all = "SomeKey=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29";
    assert_eq!(
        baggage(&[all]).get("SomeKey"),
        Some("\t \"';=asdf!@#$%^&*()")
    );
    assert_eq!(baggage(&["empty="]).get("empty"), Some(""));
    assert_eq!(
        baggage(&["amelie=Am%C3%A9lie"]).get("amelie"),
        Some("Am\u{e9}lie")
    );
}

#[test]
fn octets_that_are_no_utf8_are_replaced() {
    let baggage = baggage(&["k=aa%ffcc;p=d%fff"]);
    assert_eq!(baggage.get("k"), Some("aa\u{fffd}cc"));
    assert_eq!(
        baggage.members()[0].properties().next(),
        Some(("p", Some("d\u{fffd}f")))
    );
}

#[test]
fn duplicates_keep_their_order_and_the_last_counts() {
    let baggage = baggage(&["k=1,other=x", "k=2"]);
    assert_eq!(baggage.to_string(), "k=1,other=x,k=2");
    assert_eq!(baggage.get("k"), Some("2"));
}

#[test]
fn a_malformed_member_is_left_out_or_refused() {
    let bad = [
        "k", "=v", "k k=v", "k=a b", "k=a\"b", "k=a\\b", "k=1;=v", "k=1;p p", "k=1;p=\"", "k=1;",
        "(k)=1",
    ];
    let strict = Propagator::builder()
        .on_invalid(OnInvalid::Refuse)
        .build()
        .unwrap();
    for text in bad {
        let incoming = format!("first=1,{text},last=2");
        let map = headers(&[("baggage", incoming.as_str())]);
        let (ctx, _guard) = extract(&map).unwrap();
        assert_eq!(
            ctx.value(&BAGGAGE).unwrap().to_string(),
            "first=1,last=2",
            "{text}"
        );
        let refused = strict.extract(&map, &Context::background()).unwrap_err();
        assert!(
            matches!(
                refused,
                ExtractError::Malformed {
                    header: "baggage",
                    ..
                }
            ),
            "{text}"
        );
        assert!(text.parse::<Baggage>().is_err(), "{text}");
    }
    assert_eq!(baggage(&["", " , ,", "k=1,,"]).to_string(), "k=1");
}

#[test]
fn what_w3c_asks_at_least_is_passed_on_whole() {
    let members: Vec<_> = (0..64)
        .map(|n| format!("k{n:02}={}", "v".repeat(123)))
        .collect();
    let text = members.join(",");
    assert_eq!(text.len(), 64 * 127 + 63);
    let full = format!("{text}{}", "v".repeat(8_192 - text.len()));
    let outgoing = passed_on(
        &Propagator::default(),
        &headers(&[("baggage", full.as_str())]),
    );
    assert_eq!(outgoing["baggage"], full);
}

#[test]
fn what_does_not_fit_is_left_out_by_whole_members() {
    let reader = Propagator::builder()
        .max_header_bytes(1 << 20)
        .build()
        .unwrap();
    let writer = Propagator::builder().max_header_bytes(20).build().unwrap();
    let map = headers(&[("baggage", "a=1,long=0123456789012345,b=2")]);
    let (ctx, _guard) = reader.extract(&map, &Context::background()).unwrap();
    let mut outgoing = http::HeaderMap::new();
    writer.inject(&ctx, &mut outgoing).unwrap();
    assert_eq!(outgoing["baggage"], "a=1,b=2");
    let two = Propagator::builder()
        .max_baggage_members(2)
        .build()
        .unwrap();
    two.inject(&ctx, &mut outgoing).unwrap();
    assert_eq!(outgoing["baggage"], "a=1,long=0123456789012345");
}

#[test]
fn baggage_can_be_kept_from_strangers() {
    let inside = Propagator::builder()
        .forward_baggage(false)
        .build()
        .unwrap();
    let outgoing = passed_on(&inside, &headers(&[("baggage", "secret=1")]));
    assert_eq!(outgoing.get("baggage"), None);
}

#[test]
fn a_member_is_set_in_place_of_all_of_its_name() {
    let mut baggage: Baggage = "k=1,a=2,k=3".parse().unwrap();
    baggage.insert(Member::new("k", "4").unwrap());
    assert_eq!(baggage.to_string(), "a=2,k=4");
    assert!(baggage.remove("a") && !baggage.remove("a"));
    assert_eq!(Member::new("a b", "1"), Err(InvalidMember::Name));
    assert_eq!(Member::new("", "1"), Err(InvalidMember::Name));
    let member = Member::new("k", "secret").unwrap();
    assert_eq!(
        member.clone().with_property("p\r\n", None),
        Err(InvalidMember::Name)
    );
    assert!(!format!("{member:?}").contains("secret"));
}

proptest! {
    #[test]
    fn any_value_comes_back_as_it_was(
        pairs in proptest::collection::vec(("[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,10}", any::<String>(), proptest::option::of(any::<String>())), 0..20),
    ) {
        let mut baggage = Baggage::new();
        for (name, value, property) in &pairs {
            let member = Member::new(name, value).unwrap();
            baggage.insert(member.with_property("p", property.as_deref()).unwrap());
        }
        let text = baggage.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(text.parse(), Ok(baggage));
    }
}
