//! Futures and streams under a context.

use crate::{Counted, Drops, Wakes, block_on};
use futures_util::stream::{self, FusedStream};
use futures_util::{Stream, StreamExt as _, TryStreamExt, select_biased};
use ripcord::futures::{FutureExt, StreamExt};
use ripcord::{Context, Engine, Error};
use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// A stream that has an item at every poll, counts the polls, and says when it goes.
struct Hot {
    polls: Rc<Cell<u32>>,
    _drop: Counted,
}

impl Stream for Hot {
    type Item = u32;

    fn poll_next(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<u32>> {
        self.polls.set(self.polls.get() + 1);
        Poll::Ready(Some(self.polls.get()))
    }
}

fn hot() -> (Hot, Rc<Cell<u32>>, Drops) {
    let (polls, drops) = (Rc::default(), Drops::default());
    let hot = Hot {
        polls: Rc::clone(&polls),
        _drop: drops.new_one(),
    };
    (hot, polls, drops)
}

#[test]
fn a_stream_that_is_always_ready_does_not_starve_the_cancel() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        let (hot, polls, drops) = hot();
        let mut items = pin!(hot.under(&ctx));
        assert_eq!(items.next().await, Some(Ok(1)));
        assert_eq!(items.next().await, Some(Ok(2)));
        guard.cancel();
        assert_eq!(items.next().await, Some(Err(Error::Canceled)));
        assert_eq!(
            (polls.get(), drops.count()),
            (2, 1),
            "not polled, and gone before it is said"
        );
        assert_eq!(items.next().await, None);
        assert_eq!(items.next().await, None);
        assert!(items.is_terminated());
    });
}

#[test]
fn take_until_done_ends_and_drops_the_stream_before() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        let (hot, polls, drops) = hot();
        let mut items = pin!(hot.take_until_done(&ctx));
        assert_eq!(items.next().await, Some(1));
        guard.cancel();
        assert_eq!(items.next().await, None);
        assert_eq!((polls.get(), drops.count()), (1, 1));
        assert!(items.is_terminated());
        assert_eq!(items.next().await, None);
    });
}

#[test]
fn under_a_context_that_is_done_a_stream_is_never_polled() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        guard.cancel();
        let (hot, polls, _) = hot();
        assert_eq!(
            hot.under(&ctx).collect::<Vec<_>>().await,
            [Err(Error::Canceled)]
        );
        assert_eq!(polls.get(), 0);
    });
}

#[test]
fn a_stream_that_waits_is_woken_once_by_the_end() {
    let (ctx, guard) = Context::background().with_cancel();
    let (wakes, waker) = Wakes::new();
    let mut items = pin!(stream::pending::<u32>().under(&ctx));
    let mut task = TaskContext::from_waker(&waker);
    assert_eq!(items.as_mut().poll_next(&mut task), Poll::Pending);
    assert_eq!(wakes.count(), 0);
    guard.cancel();
    assert_eq!(wakes.count(), 1);
    let error = Poll::Ready(Some(Err(Error::Canceled)));
    assert_eq!(items.as_mut().poll_next(&mut task), error);
}

#[test]
fn a_stream_at_its_own_end_is_dropped_and_no_later_cancel_is_told() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        let (hot, _, drops) = hot();
        let mut items = pin!(hot.take(2).under(&ctx));
        assert_eq!(items.size_hint(), (0, Some(3)));
        assert_eq!(items.by_ref().collect::<Vec<_>>().await, [Ok(1), Ok(2)]);
        assert_eq!(drops.count(), 1);
        guard.cancel();
        assert_eq!(items.next().await, None);
        assert_eq!(items.size_hint(), (0, Some(0)));
    });
}

#[test]
fn size_hints_allow_for_an_early_end_and_for_our_error() {
    let (ctx, _guard) = Context::background().with_cancel();
    let four = || stream::iter([1, 2, 3, 4]);
    assert_eq!(four().take_until_done(&ctx).size_hint(), (0, Some(4)));
    assert_eq!(four().under(&ctx).size_hint(), (0, Some(5)));
    assert_eq!(stream::repeat(1).under(&ctx).size_hint(), (0, None));
}

#[test]
fn a_deadline_ends_a_stream() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    block_on(async {
        let (ctx, _guard) = engine.background().with_timeout(Duration::from_secs(1));
        let mut items = pin!(stream::repeat(7).under(&ctx));
        assert_eq!(items.next().await, Some(Ok(7)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(items.next().await, Some(Err(Error::DeadlineExceeded)));
    });
}

#[test]
fn a_stream_of_results_has_one_level_of_them() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        let lines = stream::iter([Ok("a"), Err(io::Error::other("torn")), Ok("b")]);
        let mut lines = pin!(lines.chain(stream::pending()).try_under(&ctx));
        assert_eq!(lines.try_next().await.unwrap(), Some("a"));
        assert_eq!(lines.try_next().await.unwrap_err().to_string(), "torn");
        assert_eq!(lines.try_next().await.unwrap(), Some("b"));
        guard.cancel();
        let error = lines.try_next().await.unwrap_err();
        let ours = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
        assert_eq!(ours, Some(&Error::Canceled));
        assert!(lines.try_next().await.unwrap().is_none() && lines.is_terminated());
    });
}

#[test]
fn a_future_is_dropped_before_its_context_is_said_to_be_done() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        let drops = Drops::default();
        let held = drops.new_one();
        let task = async move {
            let _held = held;
            std::future::pending::<io::Result<()>>().await
        };
        let mut task = pin!(task.try_under(&ctx));
        let (_, waker) = Wakes::new();
        assert!(
            task.as_mut()
                .poll(&mut TaskContext::from_waker(&waker))
                .is_pending()
        );
        guard.cancel();
        assert_eq!(task.await.unwrap_err().to_string(), "context canceled");
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_futures_own_result_comes_through() {
    block_on(async {
        let ctx = Context::background();
        assert_eq!(async { 7 }.under(&ctx).await, Ok(7));
        let fails = async { Err::<(), _>(io::Error::other("full")) };
        assert_eq!(fails.try_under(&ctx).await.unwrap_err().to_string(), "full");
    });
}

/// What a server's loop looks like: a channel that always has more, and a request to stop among it.
#[test]
fn a_channel_that_never_runs_dry_is_left_when_told() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        let (sender, mut receiver) = mpsc::channel(8);
        let producer = tokio::spawn(async move {
            let mut sent = 0_u32;
            while sender.send(sent).await.is_ok() {
                sent += 1;
            }
        });
        let queue = stream::poll_fn(move |task| receiver.poll_recv(task));
        let mut seen = 0;
        let mut items = pin!(queue.take_until_done(&ctx));
        while let Some(item) = items.next().await {
            assert_eq!(item, seen);
            seen += 1;
            if seen == 1_000 {
                guard.cancel();
            }
        }
        assert_eq!(seen, 1_000);
        producer.await.unwrap(); // the receiver is gone with the stream
    });
}

#[test]
fn done_stands_in_the_futures_crates_select() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        let mut done = ctx.done();
        let mut hot = stream::repeat(1).fuse();
        let mut seen = 0;
        let error = loop {
            select_biased! {
                error = done => break error,
                item = hot.select_next_some() => {
                    seen += item;
                    if seen == 3 {
                        guard.cancel();
                    }
                }
            }
        };
        assert_eq!((seen, error), (3, Error::Canceled));
    });
}
