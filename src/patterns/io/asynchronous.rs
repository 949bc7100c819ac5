//! The same over tokio's traits: no task, no runtime asked for; the waker that is waiting is woken when the context is done.

use super::{CHUNK, CopyError, CtxReader, CtxWriter};
use crate::context::Context;
use crate::done::Done;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// `Err` when the context is done; else the waker will be called when it is.
fn poll_live(ctx: &Context, done: &mut Option<Done>, cx: &mut TaskContext<'_>) -> io::Result<()> {
    let done = done.get_or_insert_with(|| ctx.done());
    match Pin::new(done).poll(cx) {
        Poll::Ready(error) => Err(error.into()),
        Poll::Pending => Ok(()),
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for CtxReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        poll_live(&this.ctx, &mut this.done, cx)?;
        Pin::new(&mut this.inner).poll_read(cx, buffer)
    }
}

impl<R: AsyncBufRead + Unpin> AsyncBufRead for CtxReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        poll_live(&this.ctx, &mut this.done, cx)?;
        Pin::new(&mut this.inner).poll_fill_buf(cx)
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        Pin::new(&mut self.get_mut().inner).consume(count);
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for CtxWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        poll_live(&this.ctx, &mut this.done, cx)?;
        Pin::new(&mut this.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        poll_live(&this.ctx, &mut this.done, cx)?;
        Pin::new(&mut this.inner).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        poll_live(&this.ctx, &mut this.done, cx)?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// As [`copy`](super::copy), over tokio's traits: it is woken when the context is done, also in the middle of a read or a write.
///
/// Dropped before it is ready, it leaves written what was. Allocates one buffer.
///
/// # Errors
///
/// As [`copy`](super::copy).
///
/// ```
/// use ripcord::{Context, Error, io};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(5));
/// let (_silent, mut socket) = tokio::io::duplex(64);
/// let stopped = io::copy_async(&ctx, &mut socket, tokio::io::sink(), |_| {}).await;
/// assert_eq!(stopped.unwrap_err().ended(), Some(Error::DeadlineExceeded));
/// # });
/// ```
pub fn copy_async<R, W, P>(
    ctx: &Context,
    reader: R,
    writer: W,
    mut progress: P,
) -> impl Future<Output = Result<u64, CopyError>> + use<R, W, P>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    P: FnMut(u64),
{
    let (mut reader, mut writer) = (CtxReader::new(ctx, reader), CtxWriter::new(ctx, writer));
    async move {
        let mut written = 0;
        let copied = copy_all(&mut reader, &mut writer, |count| {
            written += count;
            progress(written);
        });
        match copied.await {
            Ok(()) => Ok(written),
            Err(error) => Err(CopyError::new(written, error)),
        }
    }
}

async fn copy_all(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    mut wrote: impl FnMut(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = reader.read(&mut buffer).await?;
        let Some(mut rest) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            return writer.flush().await;
        };
        while !rest.is_empty() {
            let count = writer.write(rest).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(count..).unwrap_or_default();
            wrote(count as u64);
        }
    }
}
