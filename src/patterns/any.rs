//! What a library asks of a context, where it does not care whose it is.

use crate::context::Context;
use crate::error::Error;
use crate::light::Light;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Anything that can say: stop. For a library whose loops can be stopped, and which leaves it to its caller by what.
///
/// Implemented by [`Context`], by [`Light`], by [`Never`] for those who will not stop it, and by references, boxes and
/// counted pointers to any of them. A caller with a flag of its own implements [`check`](Self::check) and has the rest.
///
/// ```
/// use ripcord::{Cancel, Context, Error, Light, Never};
/// use std::time::Duration;
///
/// fn checksum(data: &[u8], stop: &impl Cancel) -> Result<u64, Error> {
///     let mut sum = 0_u64;
///     for chunk in data.chunks(4096) {
///         stop.check()?;
///         sum = chunk.iter().fold(sum, |sum, &byte| sum.rotate_left(5) ^ u64::from(byte));
///     }
///     Ok(sum)
/// }
///
/// let data = [7; 10_000];
/// let sum = checksum(&data, &Never)?;
/// assert_eq!(checksum(&data, &Light::with_timeout(Duration::from_secs(60))), Ok(sum));
///
/// let (request, guard) = Context::background().with_cancel();
/// guard.cancel();
/// assert_eq!(checksum(&data, &request), Err(Error::Canceled));
/// # Ok::<_, Error>(())
/// ```
pub trait Cancel {
    /// `Err` once the work is not wanted any more; from then on always.
    ///
    /// # Errors
    ///
    /// How it ended.
    fn check(&self) -> Result<(), Error>;

    /// Whether [`check`](Self::check) can ever fail. Where not, a loop may leave its checks out. `true` if not said otherwise.
    #[inline]
    fn may_cancel(&self) -> bool {
        true
    }

    /// When it will be done at the latest. `None`, as if not said otherwise: not known, or never.
    #[inline]
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// Never cancelled. It has no size, and a check of it is no code: what is written for any [`Cancel`] costs with this one what it
/// would without.
///
/// ```
/// use ripcord::{Cancel, Never};
///
/// assert_eq!(size_of::<Never>(), 0);
/// const { assert!(Never.check().is_ok()) };
/// assert!(!Never.may_cancel());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Never;

const _: () = assert!(size_of::<Never>() == 0 && Never.check().is_ok());

impl Never {
    /// `Ok`, at compile time too. Wait-free: it does nothing.
    ///
    /// # Errors
    ///
    /// None.
    #[inline(always)]
    pub const fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Cancel for Never {
    #[inline(always)]
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    #[inline(always)]
    fn may_cancel(&self) -> bool {
        false
    }
}

/// As its own methods. Wait-free; allocates nothing. One that can never be done is a background, or what was derived from
/// one by values alone.
impl Cancel for Context {
    #[inline]
    fn check(&self) -> Result<(), Error> {
        self.check()
    }

    #[inline]
    fn may_cancel(&self) -> bool {
        self.node().may_end()
    }

    #[inline]
    fn deadline(&self) -> Option<Instant> {
        self.deadline()
    }
}

/// As its own methods. Wait-free; allocates nothing.
impl Cancel for Light {
    #[inline]
    fn check(&self) -> Result<(), Error> {
        self.check()
    }

    #[inline]
    fn deadline(&self) -> Option<Instant> {
        self.deadline()
    }
}

macro_rules! through_pointers {
    ($($pointer:ty),*) => {$(
        impl<C: Cancel + ?Sized> Cancel for $pointer {
            #[inline]
            fn check(&self) -> Result<(), Error> {
                (**self).check()
            }

            #[inline]
            fn may_cancel(&self) -> bool {
                (**self).may_cancel()
            }

            #[inline]
            fn deadline(&self) -> Option<Instant> {
                (**self).deadline()
            }
        }
    )*};
}

through_pointers!(&C, Box<C>, Rc<C>, Arc<C>);
