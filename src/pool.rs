//! The stock of nodes that contexts are made from.

use crate::local;

/// The process's stock of nodes, which contexts come from and go back to: what is in it, and how to fill and empty it.
///
/// There is nothing to do for it to work: each thread keeps up to 128 nodes of a kind at hand, what is more passes
/// through a depot that all share, and what finds no room there goes back to the allocator. So a service in a steady
/// state allocates nothing for contexts. Filled before the first request, it does not allocate for those either; emptied
/// after a peak, it gives back what the peak took. Where deadlines are kept is no part of it: see
/// [`with_deadline`](crate::Context::with_deadline).
///
/// Magazines as in Bonwick and Adams, "Magazines and Vmem" (USENIX 2001).
///
/// ```standalone_crate
/// use ripcord::{Context, Pool};
///
/// let stocked = Pool::fill(1_000);
/// assert!(stocked.contexts >= 1_000 && stocked.timed >= 1_000);
/// let (ctx, guard) = Context::background().with_cancel(); // of what is in stock
/// drop((ctx, guard));
/// assert!(Pool::trim() >= 1_000 * (128 + 192));
/// assert_eq!(Pool::stats().bytes, 0);
/// ```
#[derive(Debug)]
pub enum Pool {}

/// What is in stock, from [`Pool::stats`]: what the depot and the calling thread have. What other threads have at hand
/// counts as in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stock {
    /// Nodes of contexts without a deadline of their own, of waits, of callbacks and of values of few bytes.
    pub contexts: usize,
    /// Nodes of contexts with a deadline of their own or with several parents, of sleeps and of values of some more bytes.
    pub timed: usize,
    /// Bytes of both.
    pub bytes: usize,
    /// Bytes of all nodes there are, in use or in stock.
    pub allocated_bytes: usize,
}

const PLAIN: usize = 0;
const TIMED: usize = 1;

impl Pool {
    /// What is in stock. Wait-free, and allocates nothing; exact where no other thread is at it.
    #[must_use]
    pub fn stats() -> Stock {
        let blocks = local::blocks();
        Stock {
            contexts: blocks[PLAIN].stocked,
            timed: blocks[TIMED].stocked,
            bytes: blocks.iter().map(|of| of.stocked * of.size).sum(),
            allocated_bytes: blocks.iter().map(|of| of.allocated * of.size).sum(),
        }
    }

    /// Has nodes for so many contexts, with a deadline or without, in stock; answers with what is there then. Beyond
    /// 4,096 of a kind there is no room: the rest is not allocated. Lock-free but for the allocator, which it asks for each
    /// node that is missing.
    pub fn fill(contexts: usize) -> Stock {
        local::stock(PLAIN, contexts);
        local::stock(TIMED, contexts);
        Self::stats()
    }

    /// Gives what is in stock back to the allocator; answers with how many bytes that were. What other threads have at
    /// hand stays. Lock-free but for the allocator; allocates nothing.
    pub fn trim() -> usize {
        let blocks = local::blocks();
        let freed = [PLAIN, TIMED].map(|class| local::trim(class) * blocks[class].size);
        freed.iter().sum()
    }
}
