//! A copy that can be stopped, and says how far it came.

use super::ended;
use crate::context::Context;
use crate::error::Error;
use std::fmt;
use std::io::{self, Read, Write};

/// Bytes that are copied between two looks at the context, at most: 64 KiB.
pub const CHUNK: usize = 64 * 1024;

/// Copies all that `reader` gives to `writer`, in chunks of at most [`CHUNK`] bytes, and flushes. `progress` is told, after each
/// write, how many bytes have been written by then. Answers with how many there were.
///
/// Before each read, each write and the flush it looks at the context. Blocks as the two do; allocates one buffer. A call that was
/// interrupted by a signal is made again.
///
/// # Errors
///
/// [`CopyError`], with the bytes that were written: when the context is done, when either side fails, or when the writer takes
/// nothing.
///
/// ```
/// use ripcord::{Context, Error, io};
///
/// let mut target = Vec::new();
/// let ctx = Context::background();
/// assert_eq!(io::copy(&ctx, &b"hello"[..], &mut target, |_| {})?, 5);
///
/// let (ctx, guard) = Context::background().with_cancel();
/// let endless = std::io::repeat(7);
/// let stopped = io::copy(&ctx, endless, std::io::sink(), |written| {
///     if written >= 1_000_000 {
///         guard.cancel();
///     }
/// });
/// let error = stopped.unwrap_err();
/// assert_eq!(error.ended(), Some(Error::Canceled));
/// assert!(error.written >= 1_000_000);
/// # Ok::<_, io::CopyError>(())
/// ```
pub fn copy(
    ctx: &Context,
    mut reader: impl Read,
    mut writer: impl Write,
    mut progress: impl FnMut(u64),
) -> Result<u64, CopyError> {
    let mut written = 0;
    let mut chunk = || {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = uninterrupted(ctx, || reader.read(&mut buffer))?;
            let Some(mut rest) = buffer.get(..count).filter(|read| !read.is_empty()) else {
                return uninterrupted(ctx, || writer.flush());
            };
            while !rest.is_empty() {
                let count = uninterrupted(ctx, || writer.write(rest))?;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                rest = rest.get(count..).unwrap_or_default();
                written += count as u64;
                progress(written);
            }
        }
    };
    match chunk() {
        Ok(()) => Ok(written),
        Err(error) => Err(CopyError::new(written, error)),
    }
}

fn uninterrupted<T>(ctx: &Context, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        ctx.check()?;
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Why a copy ended early, and how far it came.
///
/// Becomes an `io::Error` by `?`: the one it has, without the count.
#[derive(Debug)]
#[non_exhaustive]
pub struct CopyError {
    /// Bytes that the writer has taken. What a buffer in it still holds may not have been written further.
    pub written: u64,
    /// What went wrong.
    pub error: io::Error,
}

impl CopyError {
    pub(super) const fn new(written: u64, error: io::Error) -> Self {
        Self { written, error }
    }

    /// How the context ended, where that was why. Wait-free.
    #[must_use]
    pub fn ended(&self) -> Option<Error> {
        ended(&self.error)
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped after {} bytes: {}", self.written, self.error)
    }
}

impl std::error::Error for CopyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<CopyError> for io::Error {
    fn from(error: CopyError) -> Self {
        error.error
    }
}
