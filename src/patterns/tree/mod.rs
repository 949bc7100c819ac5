//! Where contexts stand, as a tree to look at: built upwards from those that are given, for each keeps what it was derived
//! from, so that nothing is locked and no list walked. `draw` writes it.

mod draw;

use crate::context::Context;
use crate::error::Error;
use crate::origin::{self, ContextKind};
use crate::raw::view::{NodeView, View};
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::time::Duration;

/// A tree of contexts as it was at one time: those that were named, what they were derived from up to a root, and whether each
/// is live. From [`ContextTree::of`], or [`Monitor::tree`](crate::Monitor::tree).
///
/// What hangs on a named context beside those that are shown is counted, and not shown: nobody has a name for it. It prints
/// as text, with a line for each; [`to_dot`](Self::to_dot) and [`to_json`](Self::to_json) write it for programs. Values are
/// not in it: they can be secrets.
///
/// ```
/// use ripcord::{Context, ContextTree};
///
/// let (server, _server_guard) = Context::background().with_cancel();
/// let (request, request_guard) = server.with_cancel();
/// let (query, _query_guard) = request.with_cancel();
/// let (_other, _other_guard) = request.with_cancel();
/// request_guard.cancel();
///
/// let tree = ContextTree::of(&server, [("server", &server), ("query", &query)]);
/// # if !cfg!(feature = "origin") {
/// assert_eq!(
///     tree.to_string(),
///     "\
/// server: WithCancel, live
/// └─ WithCancel, canceled
///    └─ query: WithCancel, canceled
/// "
/// );
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ContextTree {
    /// Each after what it hangs on; the root first.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    names: Vec<String>,
    kind: ContextKind,
    ended: Option<Error>,
    deadline: Option<Left>,
    made_at: Option<&'static Location<'static>>,
    /// What it hangs on; of the root, nothing.
    above: Option<usize>,
    /// Further parents of a merged one, as far as they are shown.
    also_above: Vec<usize>,
    /// What hangs on it and is not shown.
    others: usize,
}

/// How long it is until a deadline, or since.
#[derive(Clone, Copy, Debug)]
enum Left {
    In(Duration),
    Ago(Duration),
}

/// A context with the name it was given.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    pub(crate) name: String,
    pub(crate) ctx: &'a Context,
}

impl ContextTree {
    /// The tree from `root` to each of these contexts that is the root or was derived from it, by whatever of its
    /// parents; below a [`background`](Context::background), to all of them.
    ///
    /// Lock-free; allocates, a step for each context and each level up to the root.
    #[must_use]
    pub fn of<'a>(
        root: &Context,
        named: impl IntoIterator<Item = (impl Into<String>, &'a Context)>,
    ) -> Self {
        let named = named.into_iter().map(|(name, ctx)| Named {
            name: name.into(),
            ctx,
        });
        Self::below(root, &named.collect::<Vec<_>>())
    }

    pub(crate) fn below(root: &Context, named: &[Named<'_>]) -> Self {
        let mut building = Building::new(root);
        for Named { name, ctx } in named {
            building.add(name, ctx);
        }
        building.finish(root, named)
    }
}

/// A tree in the making.
struct Building<'a> {
    nodes: Vec<Node>,
    views: Vec<Option<NodeView<'a>>>,
    /// Where each node is, by its address.
    index: HashMap<usize, usize>,
    /// `None`: the plain background.
    root: Option<usize>,
}

impl<'a> Building<'a> {
    fn new(root: &'a Context) -> Self {
        let mut building = Self {
            nodes: Vec::new(),
            views: Vec::new(),
            index: HashMap::new(),
            root: None,
        };
        match root.node().view() {
            View::Node(node) => {
                building.root = Some(node.address());
                building.push(node, None);
            }
            View::Background | View::Todo => {
                building.nodes.push(Node::background());
                building.views.push(None);
            }
        }
        building
    }

    fn push(&mut self, view: NodeView<'a>, above: Option<usize>) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node::seen(view, above));
        self.views.push(Some(view));
        self.index.insert(view.address(), at);
        at
    }

    fn add(&mut self, name: &str, ctx: &'a Context) {
        let mut at = 0;
        match ctx.node().view() {
            View::Node(node) => {
                let Some(path) = path(node, self.root) else {
                    return;
                };
                for view in path {
                    at = match self.index.get(&view.address()) {
                        Some(&known) => known,
                        None => self.push(view, Some(at)),
                    };
                }
            }
            View::Background | View::Todo if self.root.is_none() => {}
            View::Background | View::Todo => return,
        }
        self.nodes[at].names.push(name.to_owned());
    }

    fn finish(mut self, root: &Context, named: &[Named<'_>]) -> ContextTree {
        let mut shown = vec![0; self.nodes.len()];
        for at in 0..self.nodes.len() {
            let parents = match self.views[at] {
                Some(view) if view.is_merged() => view.parents(),
                _ => Vec::new(),
            };
            let above = self.nodes[at].above;
            let parents = parents.iter().map(NodeView::address);
            let parents = parents.filter_map(|address| self.index.get(&address).copied());
            self.nodes[at].also_above = parents.filter(|&parent| Some(parent) != above).collect();
            if self.nodes[at].ended.is_none() {
                let node = &self.nodes[at];
                for &parent in node.also_above.iter().chain(&above) {
                    shown[parent] += 1;
                }
            }
        }
        for ctx in named.iter().map(|named| named.ctx).chain([root]) {
            if let View::Node(view) = ctx.node().view()
                && let Some(&at) = self.index.get(&view.address())
            {
                self.nodes[at].others = ctx.child_count().saturating_sub(shown[at]);
            }
        }
        ContextTree { nodes: self.nodes }
    }
}

/// The way from a root down to a node, without the root; `None`: it does not come from there.
fn path(node: NodeView<'_>, root: Option<usize>) -> Option<Vec<NodeView<'_>>> {
    // Breadth first, each with the place of the one below it: by the shortest way where merges leave several.
    let mut seen = HashSet::from([node.address()]);
    let mut all = vec![(node, None)];
    let mut next = 0;
    let top = loop {
        let &(node, below) = all.get(next)?;
        if Some(node.address()) == root {
            break below;
        }
        let parents = match node.parent() {
            _ if node.is_merged() => node.parents(),
            View::Node(parent) => vec![parent],
            View::Background | View::Todo if root.is_none() => break Some(next),
            View::Background | View::Todo => Vec::new(),
        };
        for parent in parents {
            if seen.insert(parent.address()) {
                all.push((parent, Some(next)));
            }
        }
        next += 1;
    };
    let way = std::iter::successors(top, |&at| all[at].1);
    Some(way.map(|at| all[at].0).collect())
}

impl Node {
    const fn background() -> Self {
        Self {
            names: Vec::new(),
            kind: ContextKind::Background,
            ended: None,
            deadline: None,
            made_at: None,
            above: None,
            also_above: Vec::new(),
            others: 0,
        }
    }

    fn seen(view: NodeView<'_>, above: Option<usize>) -> Self {
        let deadline = view.deadline().map(|(deadline, now)| {
            if now < deadline {
                Left::In(deadline.since(now))
            } else {
                Left::Ago(now.since(deadline))
            }
        });
        Self {
            kind: ContextKind::of(view.kind()),
            ended: view.err(),
            deadline,
            made_at: origin::location(view),
            above,
            ..Self::background()
        }
    }
}
