//! The book's chapter 25, on the functions of its example.

#[path = "../examples/25_cross_service.rs"]
#[allow(dead_code)] // its `main`
mod cross_service;

use cross_service::{Counts, Services, TENANT, call, describe, request};
use ripcord::propagate::{Baggage, Member, TRACE};
use ripcord::{Context, Error};
use std::time::Duration;
use tokio::time::timeout;

const BOUND: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_callers_deadline_trace_and_baggage_arrive_at_the_far_end() {
    let (running, _stop) = Context::background().with_cancel();
    let services = Services::start(&running).await.unwrap();
    let (ctx, _guard) = request(&running).with_timeout(BOUND);
    let own = ctx.value(&TRACE).unwrap().parent;
    let answer = call(&ctx, services.orders, "/price").await.unwrap();
    let [orders, stock] = answer.lines().collect::<Vec<_>>()[..] else {
        panic!("a line of each service: {answer}");
    };
    let left = |line: &str| {
        let text = line
            .split_once("Some(")
            .unwrap()
            .1
            .split_once("s)")
            .unwrap()
            .0;
        text.parse::<f64>().unwrap()
    };
    assert!(left(stock) < left(orders) && left(orders) < BOUND.as_secs_f64());
    for line in [orders, stock] {
        assert!(line.contains("tenant Some(7)"), "{line}");
        assert!(
            line.contains("baggage campaign=spring%20sale%2C%2020%20%25"),
            "{line}"
        );
        // The caller's trace, and not its span: `orders` has one of its own.
        let trace = own.to_string()[..36].to_owned();
        assert!(
            line.contains(&trace) && !line.contains(&own.to_string()),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_stops_the_callee_two_hops_away() {
    let (running, _stop) = Context::background().with_cancel();
    let services = Services::start(&running).await.unwrap();
    let (ctx, guard) = request(&running).with_cancel();
    let waiting = tokio::spawn(async move { call(&ctx, services.orders, "/count").await });
    let mut counts = services.counts.clone();
    let begun = counts.wait_for(|counts| counts.begun == 1);
    timeout(BOUND, begun).await.unwrap().unwrap();
    guard.cancel();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.downcast_ref::<Error>(), Some(&Error::Canceled));
    let stopped = counts.wait_for(|counts| counts.stopped == 1);
    let stopped = *timeout(BOUND, stopped).await.unwrap().unwrap();
    assert_eq!(
        stopped,
        Counts {
            begun: 1,
            stopped: 1
        }
    );
}

#[tokio::test]
async fn the_callers_deadline_stops_the_callee_too() {
    let (running, _stop) = Context::background().with_cancel();
    let services = Services::start(&running).await.unwrap();
    let (ctx, _guard) = request(&running).with_timeout(Duration::from_millis(300));
    let answer = timeout(BOUND, call(&ctx, services.orders, "/count"))
        .await
        .unwrap();
    assert!(answer.is_err(), "it would take for ever");
    assert_eq!(ctx.done().await, Error::DeadlineExceeded);
    // Also where the deadline came before the far end had begun.
    let mut counts = services.counts.clone();
    let all = counts.wait_for(|counts| counts.begun == counts.stopped);
    timeout(BOUND, all).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_value_that_was_tampered_with_is_refused() {
    let (running, _stop) = Context::background().with_cancel();
    let services = Services::start(&running).await.unwrap();
    let mut baggage = Baggage::new();
    baggage.insert(Member::new("tenant", "seven").unwrap());
    let mallory = running.with_value(&ripcord::propagate::BAGGAGE, baggage);
    assert_eq!(mallory.value(&TENANT), None);
    // One's own propagator sends no stranger's value by a registered name.
    let answer = call(&mallory, services.orders, "/price").await.unwrap();
    assert!(answer.contains("tenant None"), "{answer}");
    assert!(describe(&mallory).contains("tenant=seven"));
}
