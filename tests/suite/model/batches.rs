//! Batches: a node that nobody has a context of, and contexts below it.

use super::line::{Line, Part};
use super::ops::Op;
use super::play::{Held, World, pick};
use super::reference::{At, Id};
use super::values::Seen;
use ripcord::{Batch, Error};

/// Contexts of one, at the most.
const LARGEST: u8 = 5;

pub(crate) struct Batched {
    pub(super) batch: Batch,
    node: Id,
    /// Those of its contexts.
    pub(super) ats: Vec<At>,
    pub(super) seen: Seen,
    pub(super) line: Line,
}

impl World {
    pub(super) fn play_batch(&mut self, op: Op) {
        match op {
            Op::Batch { parent, count } => {
                let parent = self.context(parent);
                let count = usize::from(count % (LARGEST + 1));
                let batch = parent.ctx.batch(count);
                assert_eq!(batch.len(), count);
                let node = self.tree.derive(parent.at);
                self.tree.set_counts(node, count);
                let under = self.node_of(parent.at, node);
                self.tree.acquire(under);
                let ats = Vec::from_iter((0..count).map(|_| {
                    let id = self.tree.derive(under);
                    let at = self.node_of(under, id);
                    self.tree.acquire(at);
                    at
                }));
                self.batches.push(Batched {
                    batch,
                    node,
                    ats,
                    line: parent.line.with(Part::Cancel),
                    seen: parent.seen,
                });
            }
            Op::TakeFromBatch { which, index } => {
                if let Some(which) = pick(&self.batches, which) {
                    let of = &self.batches[which];
                    if let Some(index) = pick(&of.ats, index) {
                        self.hold(Held {
                            ctx: of.batch[index].clone(),
                            at: of.ats[index],
                            seen: of.seen.clone(),
                            line: of.line.clone(),
                        });
                    }
                }
            }
            Op::CancelBatch { which, why } => {
                if let Some(which) = pick(&self.batches, which) {
                    let (why, cause) = self.give(why, Error::Canceled);
                    let Batched { batch, node, .. } = &self.batches[which];
                    match cause {
                        None => batch.cancel(),
                        Some(cause) => batch.cancel_with(cause),
                    }
                    let node = *node;
                    self.canceled(node, why);
                }
            }
            Op::DropBatch { which } => {
                if let Some(which) = pick(&self.batches, which) {
                    let of = self.batches.swap_remove(which);
                    drop(of.batch);
                    let (why, _) = self.give(super::ops::Given::Nothing, Error::Canceled);
                    self.canceled(of.node, why);
                    self.tree.release(self.node(of.node));
                    for at in of.ats {
                        self.tree.release(at);
                    }
                }
            }
            _ => unreachable!("{op:?} is none of a batch"),
        }
    }
}
