//! Where the end of a context came from, and where contexts were made.

use crate::context::Context;
use crate::error::Error;
use crate::raw::entry::Kind;
use crate::raw::handle::Handle;
use crate::raw::state::{CauseAt, End};
use crate::raw::view::{NodeView, View};
use std::fmt;
use std::panic::Location;

/// What a context was made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextKind {
    /// `background`, `todo`, or the background of an engine.
    Background,
    /// `with_cancel`; or a deadline that was not earlier than the parent's, or was none.
    Cancel,
    /// `with_deadline` or `with_timeout`, with a deadline of its own.
    Deadline,
    /// `merge`.
    Merge,
    /// `batch`: what its contexts are children of.
    Batch,
}

impl ContextKind {
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Engine => Self::Background,
            Kind::Deadline | Kind::Sleep | Kind::Wait => Self::Deadline,
            Kind::Merged => Self::Merge,
            Kind::Batch => Self::Batch,
            Kind::Cancel | Kind::Waiter | Kind::Callback | Kind::Link => Self::Cancel,
        }
    }
}

/// As the derivation is called: `WithCancel`.
impl fmt::Display for ContextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Background => "Background",
            Self::Cancel => "WithCancel",
            Self::Deadline => "WithDeadline",
            Self::Merge => "Merge",
            Self::Batch => "Batch",
        })
    }
}

/// What ended the context that an [`Origin`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndKind {
    /// It was cancelled: by its guard, by a handle or as a batch; or its timer thread could not be started, which its cause
    /// tells.
    Cancel,
    /// Its own deadline fired, or had passed as it was made.
    Deadline,
    /// It had a deadline, and its engine was shut down.
    EngineStopped,
}

impl EndKind {
    fn of(end: End) -> Self {
        match (end.error, end.cause_at) {
            (Error::DeadlineExceeded, _) => Self::Deadline,
            (Error::Canceled, CauseAt::Own) => Self::EngineStopped,
            (Error::Canceled, _) => Self::Cancel,
        }
    }
}

/// In one word or two: `cancel`.
impl fmt::Display for EndKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancel => "cancel",
            Self::Deadline => "deadline",
            Self::EngineStopped => "engine's shutdown",
        })
    }
}

/// Which context ended by itself, where another is done because of it. From [`Context::origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    kind: ContextKind,
    end: EndKind,
    depth: usize,
    parent: Option<usize>,
    location: Option<&'static Location<'static>>,
}

impl Context {
    /// Where its end came from; `None` while it is not done. Agrees with [`err`](Self::err) and [`cause`](Self::cause), and
    /// never changes once set.
    ///
    /// A context on the way whose deadline is not earlier than its parent's has none of its own: it is the parent's that
    /// fires, and that is named.
    ///
    /// Wait-free but for the allocator; a step for each level up to the context that ended by itself, allocates where one of
    /// them is merged. It is found when it is asked for, so it costs nothing else; only the line of source has to be kept,
    /// and is with the feature `origin`.
    ///
    /// ```
    /// use ripcord::{Context, ContextKind, EndKind};
    /// use std::time::Duration;
    ///
    /// let (request, _guard) = Context::background().with_timeout(Duration::from_millis(1));
    /// let (query, _query_guard) = request.with_cancel();
    /// let (row, _row_guard) = query.with_cancel();
    /// assert_eq!(row.origin(), None);
    ///
    /// row.wait();
    /// let origin = row.origin().unwrap();
    /// assert_eq!(origin.kind(), ContextKind::Deadline);
    /// assert_eq!(origin.end(), EndKind::Deadline);
    /// assert_eq!(origin.depth(), 2); // the request's
    /// ```
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        let View::Node(node) = self.node().view() else {
            return None;
        };
        let source = node.source()?;
        Some(Origin {
            kind: ContextKind::of(source.node.kind()),
            end: EndKind::of(source.end),
            depth: source.above,
            parent: source.by_parent,
            location: location(source.node),
        })
    }
}

impl Origin {
    /// What the context that ended by itself was made by. Wait-free, as are all of these; they allocate nothing.
    #[must_use]
    pub fn kind(&self) -> ContextKind {
        self.kind
    }

    /// What ended it.
    #[must_use]
    pub fn end(&self) -> EndKind {
        self.end
    }

    /// How many levels up it is from the context that was asked: 0 is that one itself. Sets of values are no level; a batch is,
    /// where it was itself cancelled.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether it is the context that was asked: its own deadline, or its own cancel.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.depth == 0
    }

    /// Where the end came by way of a merged context, by which of its parents: their place among those that
    /// [`Display`](fmt::Display) of the context names, from 0. Of several merged ones the nearest.
    #[must_use]
    pub fn parent(&self) -> Option<usize> {
        self.parent
    }

    /// The line of source that made the context. `None` without the feature `origin`; and of what was made at a place
    /// beyond the first 4,096 of a program, about.
    #[must_use]
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }
}

/// `deadline of WithDeadline 2 levels up, made at src/main.rs:10:5`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.end, self.kind)?;
        match self.depth {
            0 => f.write_str(" itself")?,
            1 => f.write_str(" one level up")?,
            levels => write!(f, " {levels} levels up")?,
        }
        if let Some(parent) = self.parent {
            write!(f, ", by parent {parent} of a merge")?;
        }
        if let Some(location) = self.location {
            write!(f, ", made at {location}")?;
        }
        Ok(())
    }
}

/// The line of source that made a context.
pub(crate) fn location(node: NodeView<'_>) -> Option<&'static Location<'static>> {
    at(node.site())
}

/// Notes where the caller's caller is, as where a context was made.
#[cfg(feature = "origin")]
#[inline]
#[track_caller]
pub(crate) fn mark(node: &Handle) {
    node.set_site(places::number(Location::caller()));
}

#[cfg(not(feature = "origin"))]
#[inline(always)]
pub(crate) fn mark(_: &Handle) {}

#[cfg(feature = "origin")]
pub(crate) use places::at;

#[cfg(not(feature = "origin"))]
pub(crate) fn at(_: u16) -> Option<&'static Location<'static>> {
    None
}

/// The lines of source that make contexts, by number: a node has room for two bytes, and not for a pointer.
#[cfg(feature = "origin")]
mod places {
    use crate::sync::Lasting;
    use std::panic::Location;

    type Place = &'static Location<'static>;

    /// Arbitrary: a large program has some hundreds.
    const PLACES: usize = 1 << 12;

    /// Looks before a place goes without a number.
    const PROBES: usize = 16;

    static PLACE: [Lasting<Location<'static>>; PLACES] = [const { Lasting::new() }; PLACES];

    /// The number of a place, from 1; 0: there is none left. Wait-free: a load and a multiplication where it is known.
    #[inline]
    pub(super) fn number(place: Place) -> u16 {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4): the upper bits of the product. A `Location` is aligned to a word.
        let hash = (std::ptr::from_ref(place).addr() >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let first = hash >> (usize::BITS - PLACES.ilog2());
        let there = PLACE[first].get();
        if there.is_some_and(|there| std::ptr::eq(there, place)) {
            return first as u16 + 1;
        }
        search(place, first)
    }

    #[cold]
    fn search(place: Place, first: usize) -> u16 {
        (first..first + PROBES)
            .map(|index| index % PLACES)
            .find(|&index| std::ptr::eq(PLACE[index].get_or_fill(place), place))
            .map_or(0, |index| index as u16 + 1)
    }

    /// The place of a number.
    pub(crate) fn at(number: u16) -> Option<Place> {
        PLACE.get(usize::from(number).checked_sub(1)?)?.get()
    }
}
