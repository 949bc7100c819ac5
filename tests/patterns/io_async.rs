//! The same, over tokio's traits.

use crate::{MS, block_on, manual, spawnable};
use ripcord::io::{self, CHUNK, CtxReader, CtxWriter};
use ripcord::{Context, Error};
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, duplex};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_read_that_waits_is_woken_when_the_context_is_done() {
    let (ctx, guard) = Context::background().with_cancel();
    let (_silent, socket) = duplex(8);
    let mut reader = CtxReader::new(&ctx, socket);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = TaskContext::from_waker(&waker);
    let mut byte = [0];
    let mut read = pin!(reader.read(&mut byte));
    assert!(read.as_mut().poll(&mut cx).is_pending());
    guard.cancel();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(Err(error)) = read.poll(&mut cx) else {
        unreachable!("the context is done")
    };
    assert_eq!(io::ended(&error), Some(Error::Canceled));
}

#[test]
fn a_write_that_waits_ends_with_the_deadline_and_the_shutdown_goes_through() {
    block_on(async {
        let (engine, clock) = manual();
        let (ctx, _guard) = engine.background().with_timeout(MS);
        let (mut peer, socket) = duplex(4);
        let mut writer = CtxWriter::new(&ctx, socket);
        let mut writing = Box::pin(writer.write_all(b"hello"));
        let mut cx = TaskContext::from_waker(Waker::noop());
        assert!(writing.as_mut().poll(&mut cx).is_pending());
        clock.advance(MS);
        let error = writing.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(writer.flush().await.is_err());
        writer.shutdown().await.unwrap();
        let mut text = String::new();
        peer.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hell");
    });
}

#[test]
fn a_copy_is_whole_or_says_how_far_it_came() {
    block_on(async {
        let source: Vec<u8> = (0..2 * CHUNK + 3).map(|n| n as u8).collect();
        let (mut target, mut last) = (Vec::new(), 0);
        let ctx = Context::background();
        let copied = io::copy_async(&ctx, &source[..], &mut target, |n| last = n)
            .await
            .unwrap();
        assert_eq!((copied, last), (source.len() as u64, source.len() as u64));
        assert_eq!(target, source);

        let (ctx, guard) = ctx.with_cancel();
        let stopped = io::copy_async(&ctx, tokio::io::repeat(7), tokio::io::sink(), |n| {
            if n >= CHUNK as u64 {
                guard.cancel();
            }
        });
        let error = stopped.await.unwrap_err();
        assert_eq!(
            (error.written, error.ended()),
            (CHUNK as u64, Some(Error::Canceled))
        );
    });
}

#[test]
fn lines_are_read_until_the_context_is_done() {
    block_on(async {
        let (ctx, guard) = Context::background().with_cancel();
        let text = tokio::io::BufReader::new(&b"one\ntwo\n"[..]);
        let mut lines = CtxReader::new(&ctx, text).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("one"));
        guard.cancel();
        let error = lines.next_line().await.unwrap_err();
        assert_eq!(io::ended(&error), Some(Error::Canceled));
        spawnable(io::copy_async(
            &ctx,
            tokio::io::empty(),
            tokio::io::sink(),
            |_| {},
        ));
    });
}

#[test]
fn a_copy_ends_with_the_error_of_either_side() {
    block_on(async {
        let ctx = Context::background();
        let reset = three_bytes_and_a_reset();
        let error = io::copy_async(&ctx, reset, tokio::io::sink(), |_| {})
            .await
            .unwrap_err();
        assert_eq!(
            (error.written, error.error.kind()),
            (3, ErrorKind::ConnectionReset)
        );
        let nowhere = std::io::Cursor::new(vec![0; 2].into_boxed_slice());
        let error = io::copy_async(&ctx, &b"abc"[..], nowhere, |_| {})
            .await
            .unwrap_err();
        assert_eq!(
            (error.written, error.error.kind()),
            (2, ErrorKind::WriteZero)
        );
    });
}

fn three_bytes_and_a_reset() -> impl tokio::io::AsyncRead + Unpin {
    struct Reset;
    impl tokio::io::AsyncRead for Reset {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut TaskContext<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
        }
    }
    (&b"abc"[..]).chain(Reset)
}
