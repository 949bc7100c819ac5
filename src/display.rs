//! How a context prints: the derivations that led to it, in order, the middle left out past a bound.

use crate::context::Context;
use crate::raw::time::Time;
use crate::raw::view::{NodeView, View};
use std::fmt;

/// Derivations printed of one context, at the most.
const PARTS: usize = 64;

/// Merges inside merges printed of a context with more parts than that, at the most.
const NESTED: usize = 4;

/// `context.Background.WithCancel.WithValue(user)`: the derivations that led here, in order. `context.Merge(…, …)` for
/// a merged one, with those of its parents that can be done or have an engine of their own; then the values it has from all of them, then what was
/// derived from it. Past 64 parts the middle is left out, with its count. A step for each level; allocates.
///
/// A deadline of its own prints with the time that is left by the clock of its engine, `WithDeadline(in 1.5s)`, or that has
/// passed since, `WithDeadline(1.5s ago)`.
///
/// Of values only the names of the keys are printed, as they are. A set that was shadowed may be missing where many
/// came after it, and always where its context was merged.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = self.values().path();
        write_whole(f, Parts::new(self.node().view(), &sets))
    }
}

/// A context without its values prints as with them: they were `sets`.
pub(crate) struct Path<'a> {
    pub(crate) view: View<'a>,
    pub(crate) sets: &'a [(u32, &'static str)],
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_whole(f, Parts::new(self.view, self.sets))
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_whole(f, Parts::new(*self, &[]))
    }
}

fn write_whole(f: &mut fmt::Formatter<'_>, parts: Parts<'_>) -> fmt::Result {
    let mut left = PARTS;
    if fits(parts, &mut left) {
        write(f, parts, usize::MAX, PARTS)
    } else {
        write(f, parts, PARTS, NESTED)
    }
}

/// One derivation.
#[derive(Clone, Copy)]
enum Part {
    Cancel,
    /// The deadline, and the present.
    Deadline(Time, Time),
    Value(&'static str),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancel => f.write_str(".WithCancel"),
            Self::Deadline(deadline, now) if now < deadline => {
                write!(f, ".WithDeadline(in {:?})", deadline.since(*now))
            }
            Self::Deadline(deadline, now) => {
                write!(f, ".WithDeadline({:?} ago)", now.since(*deadline))
            }
            Self::Value(name) => write!(f, ".WithValue({name})"),
        }
    }
}

/// The derivations up to where the chain starts, the newest first: of two the one with the larger place is the newer.
#[derive(Clone, Copy)]
struct Parts<'a> {
    view: View<'a>,
    /// Place and name of each value set, the newest first.
    sets: &'a [(u32, &'static str)],
}

impl<'a> Parts<'a> {
    fn new(view: View<'a>, sets: &'a [(u32, &'static str)]) -> Self {
        Self { view, sets }
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let set = self.sets.first();
        match self.view {
            View::Node(node)
                if !node.is_merged()
                    && !node.is_background()
                    && set.is_none_or(|&(place, _)| node.place() > place) =>
            {
                self.view = node.parent();
                Some(match node.deadline() {
                    Some((deadline, now)) => Part::Deadline(deadline, now),
                    None => Part::Cancel,
                })
            }
            _ => {
                let &(_, name) = set?;
                self.sets = &self.sets[1..];
                Some(Part::Value(name))
            }
        }
    }
}

/// Whether all parts, those of merged parents with them, are within what is left.
fn fits(parts: Parts<'_>, left: &mut usize) -> bool {
    let (origin, derivations) = derivations(parts);
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
                    .all(|parent| fits(Parts::new(View::Node(parent), &[]), left))
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
fn write(
    f: &mut fmt::Formatter<'_>,
    parts: Parts<'_>,
    budget: usize,
    merges: usize,
) -> fmt::Result {
    let (origin, derivations) = derivations(parts);
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
    let (oldest, newest) = (shown / 2, shown - shown / 2);
    let mut kept: Vec<_> = parts
        .enumerate()
        .filter(|&(index, _)| index < newest || index >= newest + left_out)
        .map(|(_, part)| part)
        .collect();
    kept.reverse();
    for (index, part) in kept.iter().enumerate() {
        if index == oldest && left_out > 0 {
            write!(f, ".[{left_out} more]")?;
        }
        write!(f, "{part}")?;
    }
    if kept.is_empty() && left_out > 0 {
        write!(f, ".[{left_out} more]")?;
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
        let parts = Parts::new(View::Node(*parent), &[]);
        write(f, parts, (budget / shown).max(1), merges - 1)?;
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
fn derivations(parts: Parts<'_>) -> (Origin<'_>, usize) {
    let mut rest = parts;
    let count = rest.by_ref().count();
    let origin = match rest.view {
        View::Background => Origin::Background,
        View::Todo => Origin::Todo,
        View::Node(node) if node.is_background() => Origin::Background,
        View::Node(node) => Origin::Merge(node),
    };
    (origin, count)
}
