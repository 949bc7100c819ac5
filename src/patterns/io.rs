//! Reading, writing and copying that stop when a context is done.
//!
//! [`CtxReader`] and [`CtxWriter`] look at a context before each call to what they wrap; [`copy`] does it chunk by chunk, tells how far
//! it is, and says in its error how far it came. What blocks inside the system (a read from a socket or a pipe that nobody
//! writes to) is not interrupted: give such a socket a read timeout, or read it in async code, where (feature `tokio`) the same
//! two types wrap tokio's [`AsyncRead`](https://docs.rs/tokio/latest/tokio/io/trait.AsyncRead.html) and
//! [`AsyncWrite`](https://docs.rs/tokio/latest/tokio/io/trait.AsyncWrite.html), and the task is woken when the context is done.
//! With the feature `tempfile`, `replace` writes a file that is there whole or not at all.
//!
//! Errors are `std::io::Error`s. Of a context that is done it is the one that [`Error`](crate::Error) converts to: kind `TimedOut` for a
//! deadline, `Other` for a cancel, never one that the loops of std would try again; [`ended`] finds it.
//!
//! ```
//! use ripcord::{Context, Error, io::{self, CtxReader}};
//! use std::io::Read;
//!
//! let (ctx, guard) = Context::background().with_cancel();
//! let mut reader = CtxReader::new(&ctx, &b"hello there"[..]);
//! let mut word = [0; 5];
//! reader.read_exact(&mut word)?;
//! assert_eq!(&word, b"hello");
//!
//! guard.cancel();
//! let error = reader.read(&mut word).unwrap_err();
//! assert_eq!(io::ended(&error), Some(Error::Canceled));
//! # Ok::<_, std::io::Error>(())
//! ```

#[cfg(feature = "tokio")]
mod asynchronous;
mod copy;
#[cfg(feature = "tempfile")]
mod replace;

#[cfg(feature = "tokio")]
pub use asynchronous::copy_async;
pub use copy::{CHUNK, CopyError, copy};
#[cfg(feature = "tempfile")]
pub use replace::replace;

use crate::context::Context;
#[cfg(feature = "tokio")]
use crate::done::Done;
use crate::error::Error;
use std::fmt;
use std::io::{self, BufRead, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};

/// How the context ended, where that is what an I/O error is of. Wait-free; allocates nothing.
///
/// ```
/// use ripcord::{Error, io};
///
/// assert_eq!(io::ended(&Error::DeadlineExceeded.into()), Some(Error::DeadlineExceeded));
/// assert_eq!(io::ended(&std::io::Error::other("disk full")), None);
/// ```
#[must_use]
pub fn ended(error: &io::Error) -> Option<Error> {
    error.get_ref()?.downcast_ref::<Error>().copied()
}

/// Reads from `R` while its context is live. Each call looks at the context first, which is one load, and an error that
/// allocates once it is done.
///
/// With the feature `tokio` also an `AsyncRead` or `AsyncBufRead`, where `R` is one and `Unpin`: its task is woken when the context is done.
pub struct CtxReader<R> {
    inner: R,
    ctx: Context,
    #[cfg(feature = "tokio")]
    done: Option<Done>,
}

/// Writes to `W` while its context is live: as [`CtxReader`].
///
/// ```
/// use ripcord::{Context, io::CtxWriter};
/// use std::io::Write;
///
/// let (ctx, guard) = Context::background().with_cancel();
/// let mut writer = CtxWriter::new(&ctx, Vec::new());
/// writeln!(writer, "kept")?;
/// guard.cancel();
/// assert!(writeln!(writer, "lost").is_err());
/// assert_eq!(writer.into_inner(), b"kept\n");
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// A flush is a write. With the feature `tokio` also an `AsyncWrite`; there a shutdown is let through whatever became of the
/// context, for it belongs to the cleanup.
pub struct CtxWriter<W> {
    inner: W,
    ctx: Context,
    #[cfg(feature = "tokio")]
    done: Option<Done>,
}

macro_rules! wrapper {
    ($name:ident, $inner:ident, $name_str:literal) => {
        impl<$inner> $name<$inner> {
            /// Wraps it, with a handle on the context. Wait-free; allocates nothing.
            pub fn new(ctx: &Context, inner: $inner) -> Self {
                Self {
                    inner,
                    ctx: ctx.clone(),
                    #[cfg(feature = "tokio")]
                    done: None,
                }
            }

            /// The context it looks at.
            pub const fn context(&self) -> &Context {
                &self.ctx
            }

            /// What it wraps.
            pub const fn get_ref(&self) -> &$inner {
                &self.inner
            }

            /// What it wraps, to be used without a look at the context.
            pub const fn get_mut(&mut self) -> &mut $inner {
                &mut self.inner
            }

            /// What it wraps.
            pub fn into_inner(self) -> $inner {
                self.inner
            }

            #[inline]
            fn checked(&mut self) -> io::Result<&mut $inner> {
                self.ctx.check()?;
                Ok(&mut self.inner)
            }
        }

        impl<$inner: Seek> Seek for $name<$inner> {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.checked()?.seek(to)
            }
        }

        impl<$inner: fmt::Debug> fmt::Debug for $name<$inner> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name_str)
                    .field("inner", &self.inner)
                    .field("ctx", &self.ctx)
                    .finish_non_exhaustive()
            }
        }
    };
}

wrapper!(CtxReader, R, "CtxReader");
wrapper!(CtxWriter, W, "CtxWriter");

impl<R: Read> Read for CtxReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.checked()?.read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.checked()?.read_vectored(buffers)
    }
}

impl<R: BufRead> BufRead for CtxReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.checked()?.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
    }
}

impl<W: Write> Write for CtxWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.checked()?.write(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.checked()?.write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.checked()?.flush()
    }
}
