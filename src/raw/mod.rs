//! The engine: the tree of nodes, its lists, and the memory they live in.
pub(crate) mod bury;
pub(crate) mod entry;
pub(crate) mod handle;
pub(crate) mod head;
pub(crate) mod list;
pub(crate) mod merge;
pub(crate) mod node;
pub(crate) mod pool;
pub(crate) mod slot;
pub(crate) mod state;
pub(crate) mod stripes;
pub(crate) mod tree;
pub(crate) mod waits;
pub(crate) mod walk;
