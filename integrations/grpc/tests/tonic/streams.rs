//! Calls with a stream of answers.

use crate::wire::{Answer, Ask};
use crate::{Fixture, within};
use ripcord::tonic::{CallDropped, RequestExt, ServerLayer};
use ripcord::{Context, Error};
use tonic::{Code, Request, Status, Streaming};

fn follow(steps: u64) -> Request<Ask> {
    Request::new(Ask { steps })
}

/// Reads so many, each in its turn.
async fn read(stream: &mut Streaming<Answer>, steps: u64) {
    for step in 0..steps {
        let answer = within(stream.message()).await.unwrap().unwrap();
        assert_eq!(answer.numbers, [step]);
    }
}

async fn next(stream: &mut Streaming<Answer>) -> Status {
    within(stream.message()).await.unwrap_err()
}

#[tokio::test]
async fn a_stream_that_is_dropped_stops_the_callee() {
    let mut fixture = Fixture::new().await;
    let mut stream = within(fixture.client().follow(follow(3))).await.unwrap();
    read(&mut stream, 3).await;
    drop(stream);
    let ended = fixture.ended().await;
    assert!(
        ended.cause.downcast_ref::<CallDropped>().is_some(),
        "{:?}",
        ended.cause
    );
}

#[tokio::test]
async fn a_caller_that_is_cancelled_in_the_middle_has_its_status_and_the_callee_stops() {
    let mut fixture = Fixture::new().await;
    let (ctx, guard) = Context::background().with_cancel();
    let mut stream = within(fixture.client().follow(follow(3).under(&ctx)))
        .await
        .unwrap();
    read(&mut stream, 3).await;
    guard.cancel();
    assert_eq!(next(&mut stream).await.code(), Code::Cancelled);
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
async fn a_server_that_is_cancelled_in_the_middle_tells_the_client() {
    let (running, stop) = Context::background().with_cancel();
    let mut fixture = Fixture::start(ServerLayer::new(&running)).await;
    let mut stream = within(fixture.plain_client().follow(follow(3)))
        .await
        .unwrap();
    read(&mut stream, 3).await;
    stop.cancel();
    let status = next(&mut stream).await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::Cancelled, "context canceled")
    );
    assert_eq!(fixture.ended().await.error, Error::Canceled);
}

#[tokio::test]
async fn a_deadline_ends_a_stream() {
    let fixture = Fixture::new().await;
    let (ctx, _guard) = Context::background().with_timeout(std::time::Duration::from_millis(300));
    // On a machine that is held up the head may be late already.
    let status = match within(fixture.client().follow(follow(0).under(&ctx))).await {
        Ok(mut stream) => next(&mut stream).await,
        Err(status) => status,
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);
}
