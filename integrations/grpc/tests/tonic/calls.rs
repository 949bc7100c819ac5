//! Calls with one answer.

use crate::service::{AT_ONCE, NEVER};
use crate::wire::Ask;
use crate::{BOUND, Fixture, within};
use hyper::body::Frame;
use ripcord::propagate::{BAGGAGE, Baggage, Format, Member, Propagator, TRACE, TraceContext};
use ripcord::tonic::{CallDropped, CallPanicked, ClientLayer, RequestExt, ServerLayer, error};
use ripcord::{Cause, Context, Error};
use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::task::{Context as Task, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, Service};
use tonic::service::LayerExt;
use tonic::{Code, Request, Status};

const MINUTE: Duration = Duration::from_secs(60);

fn ask(how: u64) -> Request<Ask> {
    Request::new(Ask { steps: how })
}

#[tokio::test]
async fn the_callers_deadline_arrives_and_each_call_carries_what_remains() {
    let fixture = Fixture::new().await;
    let (ctx, _guard) = Context::background().with_timeout(MINUTE);
    let mut last = MINUTE;
    for _ in 0..3 {
        let answer = within(fixture.client().ask(ask(AT_ONCE).under(&ctx)))
            .await
            .unwrap();
        let left = Duration::from_micros(answer.numbers[0]);
        assert!(left < last && left > MINUTE - BOUND, "{left:?}");
        last = left;
    }
}

#[tokio::test]
async fn a_caller_without_a_deadline_sends_none() {
    let fixture = Fixture::new().await;
    let answer = within(fixture.client().ask(ask(AT_ONCE))).await.unwrap();
    assert_eq!((answer.numbers, answer.text), (vec![], String::new()));
}

#[tokio::test]
async fn a_timeout_of_the_requests_own_counts_if_it_is_shorter() {
    let fixture = Fixture::new().await;
    let (ctx, _guard) = Context::background().with_timeout(MINUTE);
    for (own, most) in [(MINUTE / 2, MINUTE / 2), (MINUTE * 2, MINUTE)] {
        let mut request = ask(AT_ONCE).under(&ctx);
        request.set_timeout(own);
        let answer = within(fixture.client().ask(request)).await.unwrap();
        assert!(Duration::from_micros(answer.numbers[0]) <= most);
    }
}

#[tokio::test]
async fn the_servers_own_deadline_is_never_lengthened() {
    let (limit, _guard) = Context::background().with_timeout(MINUTE / 2);
    let fixture = Fixture::start(ServerLayer::new(&limit)).await;
    let (ctx, _guard) = Context::background().with_timeout(MINUTE);
    let answer = within(fixture.client().ask(ask(AT_ONCE).under(&ctx)))
        .await
        .unwrap();
    assert!(Duration::from_micros(answer.numbers[0]) <= MINUTE / 2);
}

#[tokio::test]
async fn trace_and_baggage_arrive() {
    let fixture = Fixture::new().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut baggage = Baggage::new();
    baggage.insert(Member::new("user", "ada l").unwrap());
    let ctx = Context::background()
        .with_value(&TRACE, TraceContext::new(parent.parse().unwrap()))
        .with_value(&BAGGAGE, baggage);
    let answer = within(fixture.client().ask(ask(AT_ONCE).under(&ctx)))
        .await
        .unwrap();
    assert_eq!(answer.text, format!("{parent} user=ada%20l"));

    // A client without the layer.
    let mut request = ask(AT_ONCE);
    request.inject(&ctx, &Propagator::default()).unwrap();
    let answer = within(fixture.plain_client().ask(request)).await.unwrap();
    assert_eq!(answer.text, format!("{parent} user=ada%20l"));
}

#[tokio::test]
async fn a_call_that_is_dropped_stops_what_the_handler_started() {
    let mut fixture = Fixture::new().await;
    let mut client = fixture.client();
    let call = tokio::spawn(async move { client.ask(ask(NEVER)).await });
    within(fixture.probe.begun.acquire())
        .await
        .unwrap()
        .forget();
    call.abort();
    let ended = fixture.ended().await;
    assert_eq!(ended.error, Error::Canceled);
    assert!(
        ended.cause.downcast_ref::<CallDropped>().is_some(),
        "{:?}",
        ended.cause
    );
}

/// Panics when it is polled: the call, or its answer's body.
#[derive(Clone)]
struct Panics {
    in_body: bool,
    seen: Arc<Mutex<Context>>,
}

impl Service<http::Request<()>> for Panics {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<()>) -> Self::Future {
        let ctx = request.extensions().get::<Context>().unwrap();
        *self.seen.lock().unwrap() = ctx.clone();
        let in_body = self.in_body;
        Box::pin(async move {
            assert!(in_body, "this handler panics, as a test has it");
            Ok(http::Response::new(Body::new(PanickingBody)))
        })
    }
}

struct PanickingBody;

impl HttpBody for PanickingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        panic!("this body panics, as a test has it");
    }
}

#[tokio::test]
async fn a_panic_is_not_said_to_be_the_clients_end() {
    for in_body in [false, true] {
        let seen = Arc::new(Mutex::new(Context::background()));
        let panics = Panics {
            in_body,
            seen: Arc::clone(&seen),
        };
        let mut service = ServerLayer::new(&Context::background()).named_layer(panics);
        let call = service.call(http::Request::new(()));
        let polls = async move {
            let mut body = call.await.unwrap().into_body();
            poll_fn(|task| Pin::new(&mut body).poll_frame(task)).await
        };
        assert!(tokio::spawn(polls).await.unwrap_err().is_panic());
        let cause = seen.lock().unwrap().cause().unwrap();
        assert!(cause.downcast_ref::<CallPanicked>().is_some(), "{cause:?}");
    }
}

#[tokio::test]
async fn a_caller_that_is_cancelled_has_its_status_and_the_callee_stops() {
    let mut fixture = Fixture::new().await;
    let (ctx, guard) = Context::background().with_cancel();
    let mut client = fixture.client();
    let request = ask(NEVER).under(&ctx);
    let call = tokio::spawn(async move { client.ask(request).await });
    within(fixture.probe.begun.acquire())
        .await
        .unwrap()
        .forget();
    guard.cancel_with(Cause::msg("the user went away"));
    let status = within(call).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Cancelled, "context canceled")
    );
    assert_eq!(error(&status), Some(Error::Canceled));
    assert!(format!("{:?}", status.source().unwrap()).contains("the user went away"));
    assert!(
        fixture
            .ended()
            .await
            .cause
            .downcast_ref::<CallDropped>()
            .is_some()
    );
}

#[tokio::test]
async fn a_deadline_that_passes_is_one_on_both_sides() {
    let mut fixture = Fixture::new().await;
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(100));
    let status = within(fixture.client().ask(ask(NEVER).under(&ctx)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(ctx.done().await, Error::DeadlineExceeded);
    if fixture.probe.calls.load(SeqCst) == 1 {
        // By its own deadline, or by the reset that the caller's sent.
        fixture.ended().await;
    }
}

#[tokio::test]
async fn the_servers_deadline_is_told_to_a_client_that_has_none() {
    let (limit, _guard) = Context::background().with_timeout(Duration::from_millis(50));
    let mut fixture = Fixture::start(ServerLayer::new(&limit)).await;
    let status = within(fixture.plain_client().ask(ask(NEVER)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.message(), "context deadline exceeded");
    if fixture.probe.calls.load(SeqCst) == 1 {
        assert_eq!(fixture.ended().await.error, Error::DeadlineExceeded);
    }
}

#[tokio::test]
async fn a_server_that_is_cancelled_ends_its_calls() {
    let (running, stop) = Context::background().with_cancel();
    let mut fixture = Fixture::start(ServerLayer::new(&running)).await;
    let mut client = fixture.plain_client();
    let call = tokio::spawn(async move { client.ask(ask(NEVER)).await });
    within(fixture.probe.begun.acquire())
        .await
        .unwrap()
        .forget();
    stop.cancel_with(Cause::msg("secret: the disk is full"));
    let status = within(call).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Cancelled, "context canceled")
    );
    assert_eq!(
        fixture.ended().await.cause.to_string(),
        "secret: the disk is full"
    );
}

#[tokio::test]
async fn a_context_is_done_when_its_reply_is_finished() {
    let mut fixture = Fixture::new().await;
    within(fixture.client().ask(ask(AT_ONCE))).await.unwrap();
    let ended = fixture.ended().await;
    assert_eq!(ended.cause.downcast_ref::<Error>(), Some(&Error::Canceled));
}

#[tokio::test]
async fn a_call_under_a_context_that_is_done_is_not_sent() {
    let fixture = Fixture::new().await;
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    let status = fixture
        .client()
        .ask(ask(AT_ONCE).under(&ctx))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    let (ctx, _guard) = Context::background().with_timeout(Duration::ZERO);
    let status = fixture
        .client()
        .ask(ask(AT_ONCE).under(&ctx))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(fixture.probe.calls.load(SeqCst), 0);
}

#[tokio::test]
async fn the_layers_own_context_is_for_calls_without_one() {
    let fixture = Fixture::new().await;
    let (ctx, guard) = Context::background().with_cancel();
    let layer = ClientLayer::new(&ctx);
    let mut client = crate::wire::WorkClient::new(layer.layer(fixture.channel.clone()));
    within(client.ask(ask(AT_ONCE))).await.unwrap();
    guard.cancel();
    assert_eq!(
        client.ask(ask(AT_ONCE)).await.unwrap_err().code(),
        Code::Cancelled
    );
}

#[tokio::test]
async fn hostile_metadata_is_refused_and_the_server_lives_on() {
    let mut fixture = Fixture::new().await;
    let members: Vec<_> = (0..200).map(|n| format!("k{n}=1")).collect();
    let hostile = [
        ("grpc-timeout", "-1S".to_owned(), Code::InvalidArgument),
        (
            "grpc-timeout",
            "999999999999999S".to_owned(),
            Code::InvalidArgument,
        ),
        ("grpc-timeout", String::new(), Code::InvalidArgument),
        (
            "baggage",
            format!("k={}", "v".repeat(9_000)),
            Code::ResourceExhausted,
        ),
        ("baggage", members.join(","), Code::ResourceExhausted),
    ];
    for (header, text, code) in hostile {
        let mut request = ask(AT_ONCE);
        request.metadata_mut().insert(header, text.parse().unwrap());
        let status = within(fixture.plain_client().ask(request))
            .await
            .unwrap_err();
        assert_eq!(status.code(), code, "{header}: {text:.20}");
    }
    let mut request = ask(AT_ONCE);
    request
        .metadata_mut()
        .insert("grpc-timeout", "-1S".parse().unwrap());
    let status = fixture.client().ask(request).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::InvalidArgument,
        "refused before it is sent"
    );
    assert_eq!(fixture.probe.calls.load(SeqCst), 0);
    within(fixture.plain_client().ask(ask(AT_ONCE)))
        .await
        .unwrap();
    fixture.ended().await;
}

#[tokio::test]
async fn a_propagator_of_ones_own_is_used_on_both_sides() {
    let only_time = Propagator::builder()
        .formats([Format::GrpcTimeout])
        .build()
        .unwrap();
    let layer = ServerLayer::new(&Context::background()).propagator(&only_time);
    let fixture = Fixture::start(layer).await;
    let (ctx, _guard) = Context::background().with_timeout(MINUTE);
    let mut request = ask(AT_ONCE).under(&ctx);
    request
        .metadata_mut()
        .insert("baggage", "k=1".parse().unwrap());
    let layer = ClientLayer::new(&Context::background()).propagator(&only_time);
    let mut client = crate::wire::WorkClient::new(layer.layer(fixture.channel.clone()));
    let answer = within(client.ask(request)).await.unwrap();
    assert_eq!((answer.numbers.len(), answer.text.as_str()), (1, ""));
}

#[tokio::test]
async fn no_context_is_left_when_all_calls_have_ended() {
    let (running, _stop) = Context::background().with_cancel();
    let mut fixture = Fixture::start(ServerLayer::new(&running)).await;
    let (ctx, guard) = Context::background().with_cancel();
    let calls: Vec<_> = (0..200)
        .map(|at| {
            let mut client = fixture.client();
            let request = ask(if at % 2 == 0 { NEVER } else { AT_ONCE }).under(&ctx);
            tokio::spawn(async move { client.ask(request).await.is_ok() })
        })
        .collect();
    within(fixture.probe.begun.acquire_many(200))
        .await
        .unwrap()
        .forget();
    guard.cancel();
    for call in calls {
        within(call).await.unwrap();
    }
    for _ in 0..200 {
        fixture.ended().await;
    }
    assert_eq!(running.child_count(), 0);
}
