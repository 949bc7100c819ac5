//! The models' side of `src/tuning.rs`: bounds small enough for a model to cross them, and faults that are on.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

/// Loom's types are larger than the machine's.
pub(crate) const BLOCKS: [usize; 2] = [1024, 1536];
/// One block is less than a magazine.
pub(crate) const MAGAZINE: usize = 2;
/// Two pushes, and the third writes back-links.
pub(crate) const INDEX_AT: usize = 2;
/// An owner that was handed two entries puts one back.
pub(crate) const DRAIN_BUDGET: usize = 1;
pub(crate) const COUNT_TRIES: usize = 1;
pub(crate) const STRIPES_MAX: usize = 2;
/// Three parents make two nodes.
pub(crate) const LINKS_MAX: usize = 1;
pub(crate) const HANDLES_MAX: usize = 1 << 30;
/// The third set in a row makes a flat node.
pub(crate) const VALUES_MAX: u32 = 1;
/// Never: a model that wants shards of values asks for them.
pub(crate) const VALUES_HOT: usize = 1 << 20;
/// Two deadlines on a stripe, and the third spills, or makes a segment.
pub(crate) const NURSERY: usize = 2;
pub(crate) const SEGMENTS: usize = 2;
pub(crate) const PROBES: usize = 2;
pub(crate) const SEARCHED: usize = 1;
/// In nanoseconds: a deadline that is further ahead stays in the nursery.
pub(crate) const NEAR: u64 = 10;
pub(crate) const FURTHER: u64 = 10;
/// The first that is dropped while it is in the wheel has it swept.
pub(crate) const ABANDONED: usize = 1;
/// Never.
pub(crate) const BEHIND: usize = 1 << 20;
pub(crate) const GIVE_WAY: usize = 1;
/// Never: that it wakes would hide that something else does not.
pub(crate) const SPILLED: usize = 1 << 20;
/// A tick is a nanosecond.
pub(crate) const TICK: u32 = 0;

thread_local! {
    /// A std thread-local: loom runs all threads of a model on one.
    static MAY_GROW: Cell<bool> = const { Cell::new(false) };
}

/// Never, but in a model that asks for it: others are about what finds no slot.
pub(crate) fn may_grow() -> bool {
    MAY_GROW.get()
}

/// In this execution, nurseries grow.
pub(crate) fn grow() {
    MAY_GROW.set(true);
}

type Hook = Box<dyn FnOnce()>;

thread_local! {
    /// A std thread-local: loom runs all threads of a model on one.
    static HOOKS: RefCell<Vec<(&'static str, Hook)>> = const { RefCell::new(Vec::new()) };
}

/// Starts an execution.
pub(crate) fn reset() {
    HOOKS.take();
    MAY_GROW.set(false);
}

/// Has whichever thread comes to that window next run `hook` there. A model stops threads everywhere, but at the price of a
/// preemption each.
pub(crate) fn at_window(name: &'static str, hook: impl FnOnce() + 'static) {
    HOOKS.with_borrow_mut(|hooks| hooks.push((name, Box::new(hook))));
}

pub(crate) fn window(name: &str) {
    let hook = HOOKS.with_borrow_mut(|hooks| {
        let at = hooks.iter().position(|(window, _)| *window == name)?;
        Some(hooks.swap_remove(at).1)
    });
    if let Some(hook) = hook {
        hook();
    }
}

/// The fault that is on in this process, named by the variable `RIPCORD_MUTANT`: see `mutants`.
pub(crate) fn mutant(name: &str) -> bool {
    static ON: OnceLock<Option<String>> = OnceLock::new();
    let on = ON.get_or_init(|| std::env::var("RIPCORD_MUTANT").ok());
    on.as_deref() == Some(name)
}
