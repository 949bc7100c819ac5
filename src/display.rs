//! How a context prints: the derivations that led to it, in order, the middle left out past a bound.

use crate::context::Context;
use crate::raw::view::{NodeView, View};
use std::fmt;

/// Derivations printed of one context, at the most.
const PARTS: usize = 64;

/// Merges inside merges printed of a context with more parts than that, at the most.
const NESTED: usize = 4;

/// `context.Background.WithCancel`: the derivations that led here, in order. `context.Merge(…, …)` for a merged one,
/// with those of its parents that can be done. Past 64 parts the middle is left out, with its count. A step for each
/// level; allocates.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.node().view(), f)
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = PARTS;
        if fits(*self, &mut left) {
            write(f, *self, usize::MAX, PARTS)
        } else {
            write(f, *self, PARTS, NESTED)
        }
    }
}

/// Whether all derivations of a view, those of merged parents with them, are within what is left.
fn fits(view: View<'_>, left: &mut usize) -> bool {
    let (origin, derivations) = derivations(view);
    let Some(rest) = left.checked_sub(derivations) else {
        return false;
    };
    *left = rest;
    match origin {
        Origin::Background | Origin::Todo => true,
        Origin::Merge(node) => {
            let parents = node.parents();
            *left > 0 && {
                *left -= 1;
                parents
                    .into_iter()
                    .all(|parent| fits(View::Node(parent), left))
            }
        }
    }
}

/// Its name, as [`Display`](fmt::Display) gives it, and how it ended. Never values: they can be secrets.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &format_args!("{self}"))
            .field("err", &self.err())
            .finish_non_exhaustive()
    }
}

/// `budget`: how many derivations may be printed, `merges`: how many merges one inside the other.
fn write(f: &mut fmt::Formatter<'_>, view: View<'_>, budget: usize, merges: usize) -> fmt::Result {
    let (origin, derivations) = derivations(view);
    let budget = match origin {
        Origin::Background => {
            f.write_str("context.Background")?;
            budget
        }
        Origin::Todo => {
            f.write_str("context.TODO")?;
            budget
        }
        Origin::Merge(node) => {
            let budget = budget / 2;
            write_merge(f, node, budget, merges)?;
            budget
        }
    };
    let shown = derivations.min(budget);
    let left_out = derivations - shown;
    for _ in 0..shown / 2 {
        f.write_str(".WithCancel")?;
    }
    if left_out > 0 {
        write!(f, ".[{left_out} more]")?;
    }
    for _ in shown / 2..shown {
        f.write_str(".WithCancel")?;
    }
    Ok(())
}

fn write_merge(
    f: &mut fmt::Formatter<'_>,
    node: NodeView<'_>,
    budget: usize,
    merges: usize,
) -> fmt::Result {
    let parents = node.parents();
    let shown = if merges > 0 {
        parents.len().min(budget)
    } else {
        0
    };
    f.write_str("context.Merge(")?;
    let left_out = parents.len() - shown;
    for (index, parent) in parents.iter().take(shown).enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write(f, View::Node(*parent), (budget / shown).max(1), merges - 1)?;
    }
    if left_out > 0 {
        let comma = if shown > 0 { ", " } else { "" };
        write!(f, "{comma}[{left_out} more]")?;
    }
    f.write_str(")")
}

enum Origin<'a> {
    Background,
    Todo,
    Merge(NodeView<'a>),
}

/// Where a chain of derivations starts, and how long it is.
fn derivations(mut view: View<'_>) -> (Origin<'_>, usize) {
    let mut count = 0;
    loop {
        view = match view {
            View::Background => return (Origin::Background, count),
            View::Todo => return (Origin::Todo, count),
            View::Node(node) if node.is_background() => return (Origin::Background, count),
            View::Node(node) if node.is_merged() => return (Origin::Merge(node), count),
            View::Node(node) => {
                count += 1;
                node.parent()
            }
        };
    }
}
