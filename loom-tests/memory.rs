//! Models of the pool: magazines that pass through the depot.

use crate::harness::model;
use crate::raw::pool::{Depot, Magazine};
use crate::sync::{AtomicUsize, UnsafeCell};
use crate::tuning;
use loom::thread;
use std::sync::Arc;

fn block() -> *mut u8 {
    Box::into_raw(Box::new([0_usize; 2])).cast()
}

/// # Safety
///
/// The address is one that `block` has made and exposed, and given once.
unsafe fn free(block: usize) {
    let block: *mut [usize; 2] = std::ptr::with_exposed_provenance_mut(block);
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(block) });
}

fn magazine(blocks: usize) -> Magazine {
    let mut magazine = Magazine::EMPTY;
    for _ in 0..blocks {
        // SAFETY: made for this, and as large as it needs.
        unsafe { magazine.put(block()) };
    }
    magazine
}

/// Two slots, what is loose, and the hint.
fn words() -> Arc<[AtomicUsize; 4]> {
    Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)))
}

fn depot(words: &[AtomicUsize; 4]) -> Depot<'_> {
    Depot::new(&words[..2], &words[2], &words[3])
}

/// The addresses of what is in it. Not freed before all have been looked at: a block that is given out twice is to be seen.
fn empty(magazine: Magazine) -> Vec<usize> {
    let mut magazine = magazine;
    std::iter::from_fn(|| magazine.take())
        .map(<*mut u8>::expose_provenance)
        .collect()
}

#[test]
fn a_magazine_goes_through_the_depot_whole_and_to_one_taker() {
    model("depot", 3, 60, || each_block_once(2));
}

#[test]
fn what_is_loose_is_filled_up_and_no_block_of_it_lost() {
    model("depot of magazines that are not full", 3, 60, || {
        each_block_once(1)
    });
}

/// Two that each leave so many blocks and take some.
fn each_block_once(blocks: usize) {
    let slots = words();
    let takers: Vec<_> = (0..2)
        .map(|_| {
            let slots = Arc::clone(&slots);
            thread::spawn(move || {
                let depot = depot(&slots);
                let back = depot.put(magazine(blocks));
                let all = back.into_iter().chain(depot.take());
                all.flat_map(empty).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut all: Vec<_> = takers
        .into_iter()
        .flat_map(|taker| taker.join().unwrap())
        .collect();
    let depot = depot(&slots);
    while let Some(magazine) = depot.take() {
        all.extend(empty(magazine));
    }
    assert_eq!(all.len(), 2 * blocks, "a block was lost or given out twice");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * blocks, "a block was given out twice");
    for block in all {
        // SAFETY: made for a magazine, and in none any more.
        unsafe { free(block) };
    }
}

/// A block with a word that loom watches.
#[repr(C)]
struct Watched {
    free: [usize; 2],
    used: UnsafeCell<()>,
}

#[test]
fn a_block_is_handed_on_with_all_that_was_done_to_it() {
    model("use of a block after another's", 3, 4, || {
        let slots = words();
        let other = thread::spawn({
            let slots = Arc::clone(&slots);
            move || {
                let mut magazine = Magazine::EMPTY;
                for _ in 0..tuning::MAGAZINE {
                    let watched = Box::new(Watched {
                        free: [0; 2],
                        used: UnsafeCell::new(()),
                    });
                    // SAFETY: made for this; only its first two words are written.
                    unsafe { magazine.put(Box::into_raw(watched).cast()) };
                }
                depot(&slots)
                    .put(magazine)
                    .iter()
                    .all(|left| left.len() == 0)
            }
        });
        let free = |mut magazine: Magazine| {
            while let Some(block) = magazine.take() {
                // SAFETY: made above, and given out once.
                unsafe { Box::from_raw(block.cast::<Watched>()) }
                    .used
                    .with_mut(|_| ());
            }
        };
        depot(&slots).take().into_iter().for_each(free);
        assert!(other.join().unwrap(), "there is room");
        depot(&slots).take().into_iter().for_each(free);
    });
}
