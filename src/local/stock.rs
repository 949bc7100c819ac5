//! What there is of blocks, in the process: asked for, made ready, and given back to the allocator.

use super::{
    ALLOCATED, CLASSES, Pair, STOCKED, allocate_many, free_all, give, register, take, with,
};
use crate::raw::pool::Magazine;
use crate::sync::Ordering;
use crate::tuning;

/// Blocks of a class, in the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks {
    pub(crate) size: usize,
    pub(crate) allocated: usize,
    /// In the depot and in the calling thread's magazines.
    pub(crate) stocked: usize,
}

/// What there is of each class. Wait-free.
pub(crate) fn blocks() -> [Blocks; CLASSES] {
    std::array::from_fn(|class| {
        let own = with(|local| {
            let Pair { loaded, spare } = &local.blocks[class];
            loaded.len() + spare.len()
        });
        let in_depot = STOCKED[class].load(Ordering::Relaxed);
        Blocks {
            size: tuning::BLOCKS[class],
            allocated: ALLOCATED[class].load(Ordering::Relaxed),
            stocked: in_depot + own,
        }
    })
}

/// Has as many blocks of a class in stock, as far as there is room; answers with how many there are then. Allocates.
pub(crate) fn stock(class: usize, blocks: usize) -> usize {
    if !register() {
        return 0;
    }
    let missing = blocks.saturating_sub(self::blocks()[class].stocked);
    let room =
        (tuning::DEPOT * tuning::MAGAZINE).saturating_sub(STOCKED[class].load(Ordering::Relaxed));
    let mut left = missing.min(room);
    while left > 0 {
        let magazine = allocate_many(class, left.min(tuning::MAGAZINE));
        left -= magazine.len();
        give(class, magazine);
    }
    self::blocks()[class].stocked
}

/// Gives what is in the depot and in the calling thread's magazines back to the allocator; answers with how many blocks
/// that were.
pub(crate) fn trim(class: usize) -> usize {
    let mut freed = 0;
    let own = with(|local| {
        let empty = || Pair {
            loaded: Magazine::EMPTY,
            spare: Magazine::EMPTY,
        };
        std::mem::replace(&mut local.blocks[class], empty())
    });
    let in_depot = std::iter::from_fn(|| take(class));
    for magazine in [own.loaded, own.spare].into_iter().chain(in_depot) {
        freed += magazine.len();
        free_all(class, magazine);
    }
    freed
}
