//! A context carries values: found at any depth, shadowed and merged as they were set, dropped once and in time, and
//! never shown.

use crate::common::{Rng, in_time, on_small_stack, run_all, scaled};
use crossbeam_channel::unbounded;
use ripcord::{CancelGuard, CancelHandle, Context, Engine, Key};
use std::collections::HashMap;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

static NUMBER: Key<usize> = Key::new("number");
static OTHER: Key<usize> = Key::new("other");
static TEXT: Key<&str> = Key::new("text");
static COUNTED: Key<Counted> = Key::new("counted");
static COUNTED_TOO: Key<Counted> = Key::new("counted too");

/// More than are found by bits: the last of them are searched for.
static MANY: LazyLock<Vec<Key<usize>>> =
    LazyLock::new(|| (0..5_000).map(|_| Key::new("one of many")).collect());

/// A value that counts those of its kind that there are.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(live))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "dropped twice");
    }
}

fn live(count: &Arc<AtomicUsize>) -> usize {
    count.load(Ordering::SeqCst)
}

/// Runs code when it is dropped.
struct OnDrop(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl OnDrop {
    fn new(f: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(f))))
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        let f = self.0.get_mut().expect("nobody panics with it").take();
        f.expect("dropped once")();
    }
}

static ON_DROP: Key<OnDrop> = Key::new("on drop");
static ON_DROP_TOO: Key<OnDrop> = Key::new("on drop too");

#[test]
fn a_key_goes_to_any_thread_and_through_any_panic_whatever_its_type() {
    fn goes_anywhere<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
    goes_anywhere::<Key<u8>>();
    goes_anywhere::<Key<Mutex<std::cell::Cell<u8>>>>();
    goes_anywhere::<Key<Box<dyn Fn() + Send + Sync>>>();
    assert_eq!(size_of::<Context>(), 16);
}

#[test]
fn a_value_is_seen_by_the_context_it_was_set_on_and_by_what_is_derived_from_it() {
    let (parent, _g1) = Context::background().with_cancel();
    let set = parent.with_value(&NUMBER, 7);
    let (child, _g2) = set.with_cancel();
    let grandchild = child.with_value(&TEXT, "seven");
    for ctx in [&set, &child, &grandchild, &grandchild.clone()] {
        assert_eq!(ctx.value(&NUMBER), Some(&7));
    }
    assert_eq!(grandchild.value(&TEXT), Some(&"seven"));
    assert_eq!(child.value(&TEXT), None);
    assert_eq!(parent.value(&NUMBER), None);
    assert_eq!(Context::background().value(&NUMBER), None);
}

#[test]
fn a_context_with_a_value_is_the_same_position_in_the_tree() {
    let (ctx, guard) = Context::background().with_cancel();
    let set = ctx.with_value(&NUMBER, 1);
    assert_eq!(ctx.child_count(), 0, "no child");
    let (_child, _child_guard) = set.with_cancel();
    assert_eq!(ctx.child_count(), 1);
    guard.cancel();
    assert!(set.is_done());
    let late = set.with_value(&NUMBER, 2);
    assert!(late.is_done());
    assert_eq!(late.value(&NUMBER), Some(&2), "an end takes no values away");
}

#[test]
fn a_key_that_was_never_set_anywhere_finds_nothing() {
    static NEVER: Key<usize> = Key::new("number");
    assert_eq!(Context::background().value(&NEVER), None);
    let mut ctx = Context::background();
    for key in &MANY[..200] {
        ctx = ctx.with_value(key, 1);
        assert_eq!(ctx.value(&NEVER), None);
    }
}

#[test]
fn the_newer_value_of_a_key_shadows_the_older() {
    let outer = Context::background()
        .with_value(&NUMBER, 1)
        .with_value(&OTHER, 10);
    let inner = outer.with_value(&NUMBER, 2);
    let innermost = inner.with_value(&OTHER, 20).with_value(&NUMBER, 3);
    assert_eq!(
        [1, 2, 3].map(Some),
        [&outer, &inner, &innermost].map(|ctx| ctx.value(&NUMBER).copied())
    );
    assert_eq!(
        [10, 10, 20].map(Some),
        [&outer, &inner, &innermost].map(|ctx| ctx.value(&OTHER).copied())
    );
}

#[test]
fn two_keys_of_one_name_and_type_are_two_keys() {
    static FIRST: Key<u8> = Key::new("name");
    static SECOND: Key<u8> = Key::new("name");
    let ctx = Context::background().with_value(&FIRST, 1);
    assert_eq!((ctx.value(&FIRST), ctx.value(&SECOND)), (Some(&1), None));
    let ctx = ctx.with_value(&SECOND, 2);
    assert_eq!(
        (ctx.value(&FIRST), ctx.value(&SECOND)),
        (Some(&1), Some(&2))
    );
}

#[test]
fn a_value_is_found_at_a_depth_of_a_hundred_thousand_as_at_one() {
    let top = Context::background().with_value(&NUMBER, 7);
    let mut leaf = top.clone();
    let mut between = Vec::new();
    for depth in 0..scaled(100_000) {
        let next = match depth % 2 {
            0 => leaf.with_value(&OTHER, depth),
            _ => {
                let (next, guard) = leaf.with_cancel();
                drop(guard.disarm());
                next
            }
        };
        between.push(std::mem::replace(&mut leaf, next));
        assert_eq!(leaf.value(&OTHER), Some(&(depth - depth % 2)));
    }
    assert_eq!(top.value(&NUMBER), Some(&7));
    assert_eq!(leaf.value(&NUMBER), Some(&7));
    let (address, at_top) = (leaf.value(&NUMBER), top.value(&NUMBER));
    assert!(
        address.zip(at_top).is_some_and(|(a, b)| std::ptr::eq(a, b)),
        "one value, not copies"
    );
}

#[test]
fn any_number_of_keys_in_any_order_agree_with_a_map() {
    for (seed, keys, steps) in [(1, 60, 2_000), (2, 300, 4_000), (3, 5_000, 3_000)] {
        let mut rng = Rng::new(seed);
        let mut all = vec![(Context::background(), HashMap::new())];
        for step in 0..scaled(steps) {
            let (ctx, map): &(Context, HashMap<usize, usize>) = &all[rng.below(all.len())];
            let key = rng.below(keys);
            let (ctx, mut map) = (ctx.with_value(&MANY[key], step), map.clone());
            map.insert(key, step);
            if step % 10 == 0 {
                for (index, key) in MANY[..keys].iter().enumerate() {
                    assert_eq!(ctx.value(key), map.get(&index));
                }
            }
            let looked = rng.below(keys);
            assert_eq!(ctx.value(&MANY[looked]), map.get(&looked));
            if all.len() < 20 {
                all.push((ctx, map));
            } else {
                let at = 1 + rng.below(all.len() - 1);
                all[at] = (ctx, map);
            }
        }
    }
}

#[test]
fn ids_beyond_sixty_four_and_beyond_four_thousand_and_ninety_six_are_found() {
    let mut ctx = Context::background();
    for (value, key) in MANY.iter().enumerate() {
        ctx = ctx.with_value(key, value);
    }
    for (value, key) in MANY.iter().enumerate() {
        assert_eq!(ctx.value(key), Some(&value));
    }
    // In place of those that are there, from the last to the first.
    for (value, key) in MANY.iter().enumerate().rev().step_by(7) {
        ctx = ctx.with_value(key, value + 1);
    }
    let last = MANY.len() - 1;
    for (value, key) in MANY.iter().enumerate() {
        let shadowed = usize::from((last - value).is_multiple_of(7));
        assert_eq!(ctx.value(key), Some(&(value + shadowed)));
    }
    // The last first.
    let sparse = Context::background()
        .with_value(&MANY[last], 1)
        .with_value(&NUMBER, 2);
    let sparse = sparse.with_value(&MANY[200], 3);
    assert_eq!(sparse.value(&MANY[last]), Some(&1));
    assert_eq!(sparse.value(&MANY[last - 1]), None);
    assert_eq!(sparse.value(&MANY[200]), Some(&3));
    assert_eq!(sparse.value(&MANY[201]), None);
    assert_eq!(sparse.value(&NUMBER), Some(&2));
}

#[test]
fn a_value_may_be_of_any_size_and_alignment() {
    #[derive(Debug, PartialEq)]
    struct Nothing;
    #[derive(Debug, PartialEq)]
    #[repr(align(128))]
    struct Aligned(u8);
    #[derive(Debug, PartialEq)]
    #[repr(align(4096))]
    struct Page;
    static NOTHING: Key<Nothing> = Key::new("nothing");
    static ALIGNED: Key<Aligned> = Key::new("aligned");
    static PAGE: Key<Page> = Key::new("page");
    static BIG: Key<[u64; 10_000]> = Key::new("big");
    static BYTE: Key<u8> = Key::new("byte");
    static WIDE: Key<u128> = Key::new("wide");
    for before in [0, 1, 2, 3, 70] {
        let mut ctx = Context::background();
        for key in &MANY[..before] {
            ctx = ctx.with_value(key, 1);
        }
        let ctx = ctx
            .with_value(&NOTHING, Nothing)
            .with_value(&ALIGNED, Aligned(3));
        let ctx = ctx
            .with_value(&BYTE, 4)
            .with_value(&PAGE, Page)
            .with_value(&WIDE, u128::MAX);
        let ctx = ctx.with_value(&BIG, [5; 10_000]);
        assert_eq!(ctx.value(&NOTHING), Some(&Nothing));
        assert_eq!(ctx.value(&ALIGNED), Some(&Aligned(3)));
        assert_eq!(ctx.value(&PAGE), Some(&Page));
        assert_eq!(ctx.value(&BIG).map(|big| big.iter().sum()), Some(50_000));
        assert_eq!(
            (ctx.value(&BYTE), ctx.value(&WIDE)),
            (Some(&4), Some(&u128::MAX))
        );
        let aligned = ctx
            .value(&ALIGNED)
            .map(|value| (&raw const *value).addr() % 128);
        let page = ctx
            .value(&PAGE)
            .map(|value| (&raw const *value).addr() % 4096);
        assert_eq!((aligned, page), (Some(0), Some(0)));
    }
}

#[test]
fn a_value_is_dropped_once_with_the_last_context_that_can_see_it() {
    let count = Arc::default();
    let set = Context::background().with_value(&COUNTED, Counted::new(&count));
    let clone = set.clone();
    let (child, guard) = set.with_cancel();
    let handle = guard.handle();
    drop(set);
    drop(clone);
    assert_eq!(live(&count), 1);
    drop(child);
    assert_eq!(live(&count), 0, "a guard keeps no values");
    guard.cancel();
    drop(handle);

    let set = Context::background().with_value(&COUNTED, Counted::new(&count));
    let (merged, _guard) = Context::merge([&set]);
    let free = merged.without_cancel();
    let deeper = free.with_value(&NUMBER, 1);
    let done = merged.done();
    drop((set, merged, free));
    assert_eq!(live(&count), 1);
    drop(deeper);
    assert_eq!(live(&count), 0, "a wait keeps no values");
    drop(done);
}

#[test]
fn a_value_that_was_shadowed_goes_with_those_that_were_derived_through_it() {
    let count = Arc::default();
    let outer = Context::background().with_value(&COUNTED, Counted::new(&count));
    let inner = outer.with_value(&COUNTED, Counted::new(&count));
    drop(outer);
    drop(inner);
    assert_eq!(live(&count), 0);
}

#[test]
fn setting_a_key_in_a_loop_keeps_at_most_sixty_four_values() {
    const KEPT: usize = 64;
    let count = Arc::default();
    let other = Arc::default();
    let mut ctx = Context::background().with_value(&COUNTED_TOO, Counted::new(&other));
    for round in 0..scaled(10_000) {
        ctx = ctx.with_value(&COUNTED, Counted::new(&count));
        assert!(live(&count) <= KEPT, "{} in round {round}", live(&count));
        if round % 3 == 0 {
            let (child, guard) = ctx.with_cancel();
            drop(guard.disarm());
            ctx = child.without_cancel();
        }
        if round % 100 == 99 {
            let (merged, guard) = Context::merge([&ctx, &Context::background()]);
            drop(guard.disarm());
            ctx = merged;
        }
    }
    assert_eq!(live(&other), 1);
    assert!(ctx.value(&COUNTED_TOO).is_some());
    drop(ctx);
    assert_eq!((live(&count), live(&other)), (0, 0));
}

#[test]
fn setting_several_keys_in_a_loop_keeps_a_bounded_number_too() {
    let count = Arc::default();
    let keys: Vec<_> = (0..10).map(|_| Key::new("in turn")).collect();
    // Kept by a static, so that no tool takes them for leaked.
    static KEYS: Mutex<Vec<&'static [Key<Counted>]>> = Mutex::new(Vec::new());
    let keys: &'static [Key<Counted>] = Vec::leak(keys);
    KEYS.lock().expect("nobody panics with it").push(keys);
    let mut ctx = Context::background();
    for round in 0..scaled(10_000) {
        ctx = ctx.with_value(&keys[round % keys.len()], Counted::new(&count));
        assert!(
            live(&count) <= 64 + keys.len(),
            "{} in round {round}",
            live(&count)
        );
    }
    assert!(keys.iter().all(|key| ctx.value(key).is_some()));
    drop(ctx);
    assert_eq!(live(&count), 0);
}

#[test]
fn setting_and_merging_in_a_loop_keeps_a_bounded_number_too() {
    let count = Arc::default();
    let text = Context::background().with_value(&TEXT, "kept");
    let mut ctx = Context::background();
    for round in 0..scaled(10_000) {
        ctx = ctx.with_value(&COUNTED, Counted::new(&count));
        let (merged, guard) = Context::merge([&ctx, &text.with_value(&NUMBER, round)]);
        drop(guard.disarm());
        ctx = merged.without_cancel();
        assert!(live(&count) <= 64, "{} in round {round}", live(&count));
    }
    assert_eq!(ctx.value(&TEXT), Some(&"kept"));
    drop(ctx);
    assert_eq!(live(&count), 0);
}

#[test]
fn a_value_below_many_others_stays_while_only_the_newest_context_does() {
    let count = Arc::default();
    for depth in 0..150 {
        let mut ctx = Context::background().with_value(&COUNTED, Counted::new(&count));
        let first = ctx.clone();
        for round in 0..depth {
            ctx = ctx.with_value(&OTHER, round);
        }
        drop(first);
        assert_eq!(live(&count), 1);
        let found = ctx.value(&COUNTED).map(|value| live(&value.0));
        assert_eq!(found, Some(1));
        drop(ctx);
        assert_eq!(live(&count), 0, "at depth {depth}");
    }
}

#[test]
fn a_million_values_are_dropped_without_recursion_in_any_order() {
    on_small_stack(|| {
        let million = scaled(1_000_000) / if cfg!(debug_assertions) { 4 } else { 1 };
        let count = Arc::default();
        for order in 0..3 {
            let mut all = vec![Context::background()];
            for round in 0..million {
                let last = &all[all.len() - 1];
                let key = if round % 2 == 0 {
                    &COUNTED
                } else {
                    &COUNTED_TOO
                };
                all.push(last.with_value(key, Counted::new(&count)));
            }
            assert_eq!(live(&count), million);
            match order {
                0 => all.reverse(),
                1 => Rng::new(1).shuffle(&mut all),
                _ => {}
            }
            while all.pop().is_some() {}
            assert_eq!(live(&count), 0);
        }
    });
}

#[test]
fn the_drop_of_a_value_that_panics_is_contained_and_the_others_are_dropped() {
    let count = Arc::default();
    for depth in [1, 20, 40, 100] {
        let mut ctx = Context::background().with_value(&COUNTED, Counted::new(&count));
        for _ in 0..depth {
            ctx = ctx.with_value(
                &ON_DROP,
                OnDrop::new(|| panic!("the drop of a value panics")),
            );
            ctx = ctx.with_value(&COUNTED_TOO, Counted::new(&count));
        }
        let (child, guard) = ctx.with_cancel();
        drop(ctx);
        drop(child);
        assert_eq!(live(&count), 0, "at depth {depth}");
        guard.cancel();
    }
}

#[test]
fn the_drop_of_a_value_may_still_look_at_its_context_and_cancel_it() {
    let (node, guard) = Context::background().with_cancel();
    let (watched, watched_guard) = node.with_cancel();
    let seen = Arc::new(AtomicBool::new(false));
    let handle: CancelHandle = guard.disarm();
    let ctx = node.with_value(
        &ON_DROP,
        OnDrop::new({
            let (seen, watched) = (Arc::clone(&seen), watched.clone());
            move || {
                assert!(!watched.is_done());
                handle.cancel();
                assert!(watched.is_done());
                seen.store(true, Ordering::SeqCst);
            }
        }),
    );
    drop(node);
    drop(watched_guard.disarm());
    drop(ctx);
    assert!(seen.load(Ordering::SeqCst) && watched.is_done());
}

#[test]
fn the_drop_of_a_value_runs_before_its_context_lets_the_node_go() {
    let seen = Arc::new(AtomicUsize::new(0));
    let (parent, _parent_guard) = Context::background().with_cancel();
    let (node, guard) = parent.with_cancel();
    let ctx = node.with_value(
        &ON_DROP,
        OnDrop::new({
            let (seen, parent) = (Arc::clone(&seen), parent.clone());
            move || seen.store(1 + parent.child_count(), Ordering::SeqCst)
        }),
    );
    drop((node, guard.disarm()));
    drop(ctx);
    assert_eq!(seen.load(Ordering::SeqCst), 2, "its node was still there");
    assert_eq!(parent.child_count(), 0);
}

#[test]
fn the_drop_of_a_value_may_drop_other_contexts_and_set_values() {
    on_small_stack(|| {
        let count = Arc::default();
        let mut long = Vec::from([Context::background()]);
        for _ in 0..scaled(100_000) {
            long.push(long[long.len() - 1].with_value(&COUNTED, Counted::new(&count)));
        }
        let inner = Context::background().with_value(&ON_DROP, OnDrop::new(move || drop(long)));
        let outer = Context::background().with_value(
            &ON_DROP,
            OnDrop::new(move || {
                let ctx = inner.with_value(&ON_DROP_TOO, OnDrop::new(|| ()));
                drop(inner);
                drop(ctx);
            }),
        );
        drop(outer);
        assert_eq!(live(&count), 0);
    });
}

#[test]
fn a_value_that_names_its_own_context_weakly_is_dropped() {
    static ITSELF: Key<Mutex<Weak<Context>>> = Key::new("itself");
    let ctx = Arc::new(Context::background().with_value(&ITSELF, Mutex::default()));
    if let Some(itself) = ctx.value(&ITSELF) {
        *itself.lock().expect("nobody panics with it") = Arc::downgrade(&ctx);
    }
    drop(ctx);
}

#[test]
fn a_merged_context_has_the_values_of_all_and_of_two_the_earlier_parents() {
    let (a, _ga) = Context::background().with_cancel();
    let (b, _gb) = Context::background().with_cancel();
    let a = a.with_value(&NUMBER, 1).with_value(&MANY[100], 10);
    let b = b
        .with_value(&OTHER, 2)
        .with_value(&NUMBER, 3)
        .with_value(&MANY[4_999], 30);
    let never = Context::background()
        .with_value(&TEXT, "never")
        .with_value(&OTHER, 4);
    let look = |parents: &[&Context]| {
        let (merged, _guard) = Context::merge(parents.iter().copied());
        let child = merged.with_value(&MANY[0], 5);
        assert_eq!(child.value(&NUMBER), merged.value(&NUMBER));
        let found = (
            merged.value(&NUMBER).copied(),
            merged.value(&OTHER).copied(),
        );
        let many = [100, 4_999, 0].map(|index| child.value(&MANY[index]).copied());
        (found.0, found.1, merged.value(&TEXT).copied(), many)
    };
    let own = Some(5);
    assert_eq!(
        look(&[&a, &b]),
        (Some(1), Some(2), None, [Some(10), Some(30), own])
    );
    assert_eq!(
        look(&[&b, &a]),
        (Some(3), Some(2), None, [Some(10), Some(30), own])
    );
    assert_eq!(
        look(&[&never, &b, &a]),
        (Some(3), Some(4), Some("never"), [Some(10), Some(30), own])
    );
    assert_eq!(look(&[&a]), (Some(1), None, None, [Some(10), None, own]));
    assert_eq!(
        look(&[&never]),
        (None, Some(4), Some("never"), [None, None, own])
    );
    assert_eq!(
        look(&[&a, &a, &a]),
        (Some(1), None, None, [Some(10), None, own])
    );
    assert_eq!(look(&[]), (None, None, None, [None, None, own]));
}

#[test]
fn the_values_of_merged_parents_are_dropped_once_with_the_last_that_sees_them() {
    let count = Arc::default();
    let parents: Vec<_> = (0..5)
        .map(|index| {
            let (ctx, guard) = Context::background().with_cancel();
            let key = if index % 2 == 0 {
                &COUNTED
            } else {
                &COUNTED_TOO
            };
            (ctx.with_value(key, Counted::new(&count)), guard)
        })
        .collect();
    let (merged, guard) = Context::merge(parents.iter().map(|(ctx, _)| ctx));
    let (child, child_guard) = merged.with_value(&NUMBER, 1).with_cancel();
    drop((merged, guard));
    drop(parents);
    assert_eq!(live(&count), 2, "the two that are visible");
    assert!(child.value(&COUNTED).is_some() && child.value(&COUNTED_TOO).is_some());
    drop((child, child_guard));
    assert_eq!(live(&count), 0);
}

#[test]
fn a_merge_of_parents_of_which_one_sees_all_values_sees_what_that_one_does() {
    let top = Context::background().with_value(&NUMBER, 1);
    let deeper = top.with_value(&OTHER, 2);
    for parents in [[&top, &deeper], [&deeper, &top]] {
        let (merged, _guard) = Context::merge(parents);
        assert_eq!(
            (merged.value(&NUMBER), merged.value(&OTHER)),
            (Some(&1), Some(&2))
        );
    }
    let shadowing = deeper.with_value(&NUMBER, 3);
    let (merged, _guard) = Context::merge([&top, &shadowing]);
    assert_eq!(
        (merged.value(&NUMBER), merged.value(&OTHER)),
        (Some(&1), Some(&2))
    );
    let (merged, _guard) = Context::merge([&shadowing, &top]);
    assert_eq!(merged.value(&NUMBER), Some(&3));
}

#[test]
fn what_is_left_without_cancel_keeps_the_values() {
    let (ctx, guard) = Context::background().with_value(&NUMBER, 1).with_cancel();
    let (ctx, _guard) = ctx.with_value(&TEXT, "two").with_cancel();
    let free = ctx.without_cancel();
    guard.cancel();
    drop(ctx);
    assert!(!free.is_done());
    assert_eq!(
        (free.value(&NUMBER), free.value(&TEXT)),
        (Some(&1), Some(&"two"))
    );
    let (child, child_guard) = free.with_cancel();
    child_guard.cancel();
    assert!(child.is_done() && !free.is_done());
    assert_eq!(child.value(&NUMBER), Some(&1));
}

static LOCAL: Key<usize> = Key::new("local").local();
static LOCAL_COUNTED: Key<Counted> = Key::new("local and counted").local();

#[test]
fn a_local_value_stays_behind_and_all_others_go_along() {
    let ctx = Context::background()
        .with_value(&NUMBER, 1)
        .with_value(&LOCAL, 2)
        .with_value(&TEXT, "three")
        .with_value(&LOCAL, 4);
    let free = ctx.without_cancel();
    assert_eq!((ctx.value(&LOCAL), free.value(&LOCAL)), (Some(&4), None));
    assert_eq!(
        (free.value(&NUMBER), free.value(&TEXT)),
        (Some(&1), Some(&"three"))
    );
    assert_eq!(
        free.to_string(),
        "context.Background.WithValue(number).WithValue(text)"
    );
    let anew = free.with_value(&LOCAL, 5);
    assert_eq!(anew.value(&LOCAL), Some(&5));
    assert_eq!(anew.without_cancel().value(&LOCAL), None);
    assert_eq!(free.without_cancel().value(&NUMBER), Some(&1));

    let alone = Context::background().with_value(&LOCAL, 6).without_cancel();
    assert_eq!(alone.to_string(), "context.Background");
}

#[test]
fn a_local_value_stays_behind_where_it_was_merged_or_set_long_ago() {
    let local = Context::background().with_value(&LOCAL, 1);
    let other = Context::background().with_value(&NUMBER, 2);
    let (merged, _guard) = Context::merge([&local, &other]);
    assert_eq!(merged.value(&LOCAL), Some(&1));
    let free = merged.without_cancel();
    assert_eq!((free.value(&LOCAL), free.value(&NUMBER)), (None, Some(&2)));

    let mut ctx = local;
    for number in 0..100 {
        ctx = ctx.with_value(&NUMBER, number);
        assert_eq!(ctx.value(&LOCAL), Some(&1));
        let free = ctx.without_cancel();
        assert_eq!(free.value(&LOCAL), None, "after {number} sets");
        assert_eq!(free.value(&NUMBER), Some(&number));
    }
}

#[test]
fn a_local_value_goes_with_its_request_and_not_with_what_outlives_that() {
    let count = Arc::new(AtomicUsize::new(0));
    let ctx = Context::background()
        .with_value(&COUNTED, Counted::new(&count))
        .with_value(&LOCAL_COUNTED, Counted::new(&count))
        .with_value(&TEXT, "x");
    let free = ctx.without_cancel();
    assert_eq!(live(&count), 2);
    drop(ctx);
    assert_eq!(live(&count), 1, "the local one went");
    assert!(free.value(&COUNTED).is_some());
    drop(free);
    assert_eq!(live(&count), 0);
}

#[test]
#[should_panic(expected = "is a token")]
fn a_key_that_is_made_while_the_program_runs_refuses_a_wire_name_that_is_no_token() {
    let _ = Key::<u8>::new("tenant").wire("tenant: id");
}

#[test]
fn names_are_printed_in_the_order_of_derivation() {
    let a = Context::background().with_value(&NUMBER, 1);
    let (b, _gb) = a.with_cancel();
    let c = b.with_value(&TEXT, "x").with_value(&NUMBER, 2);
    let (d, _gd) = c.with_cancel();
    assert_eq!(a.to_string(), "context.Background.WithValue(number)");
    assert_eq!(
        b.to_string(),
        "context.Background.WithValue(number).WithCancel"
    );
    assert_eq!(
        d.to_string(),
        "context.Background.WithValue(number).WithCancel.WithValue(text).WithValue(number).WithCancel"
    );
    let todo = Context::todo().with_value(&TEXT, "x");
    assert_eq!(todo.to_string(), "context.TODO.WithValue(text)");
    let (todo, _todo_guard) = todo.with_cancel();
    assert_eq!(todo.to_string(), "context.TODO.WithValue(text).WithCancel");
}

#[test]
fn what_is_left_without_cancel_prints_its_values_on_a_background() {
    let (ctx, _guard) = Context::todo().with_value(&NUMBER, 1).with_cancel();
    let free = ctx.with_value(&TEXT, "x").without_cancel();
    assert_eq!(
        free.to_string(),
        "context.Background.WithValue(number).WithValue(text)"
    );
    let (child, _child_guard) = free.with_cancel();
    let last = child.with_value(&OTHER, 3);
    assert_eq!(
        last.to_string(),
        format!("{free}.WithCancel.WithValue(other)")
    );
}

#[test]
fn a_merged_context_prints_its_values_after_its_parents_and_then_its_own() {
    let (a, _ga) = Context::background().with_cancel();
    let (b, _gb) = Context::background().with_cancel();
    let (plain, _gp) = Context::merge([&a, &b]);
    let own = plain.with_value(&OTHER, 3);
    assert_eq!(
        own.to_string(),
        format!("context.Merge({a}, {b}).WithValue(other)")
    );
    let (child, _gc) = own.with_cancel();
    assert_eq!(child.to_string(), format!("{own}.WithCancel"));

    let (with, _gw) = Context::merge([
        &a.with_value(&NUMBER, 1),
        &b.with_value(&NUMBER, 1).with_value(&TEXT, "x"),
    ]);
    assert_eq!(
        with.to_string(),
        format!("context.Merge({a}, {b}).WithValue(number).WithValue(text)")
    );
    let (child, _gc) = with.with_cancel();
    let set = child.with_value(&OTHER, 1);
    assert_eq!(
        set.to_string(),
        format!("{with}.WithCancel.WithValue(other)")
    );
}

#[test]
fn past_sixty_four_parts_the_middle_is_left_out_with_its_count_values_counted() {
    let mut ctx = Context::background();
    let mut guards: Vec<CancelGuard> = Vec::new();
    for (round, key) in MANY[..60].iter().enumerate() {
        let (next, guard) = ctx.with_value(key, round).with_cancel();
        guards.push(guard);
        ctx = next;
    }
    let text = ctx.to_string();
    assert!(
        text.starts_with("context.Background.WithValue(one of many).WithCancel"),
        "{text}"
    );
    assert!(
        text.ends_with(".WithValue(one of many).WithCancel"),
        "{text}"
    );
    assert!(text.contains(".[56 more]."), "{text}");
    assert_eq!(text.matches(".With").count(), 64);
    while guards.pop().is_some() {}
}

#[test]
fn visible_values_keep_their_place_in_what_is_printed_however_many_came_after() {
    let (ctx, _guard) = Context::background().with_value(&TEXT, "x").with_cancel();
    let mut last = ctx.with_value(&NUMBER, 0);
    for round in 0..200 {
        last = last.with_value(&OTHER, round);
        let text = last.to_string();
        assert!(
            text.starts_with(
                "context.Background.WithValue(text).WithCancel.WithValue(number).WithValue(other)"
            ),
            "{text}"
        );
        assert!(text.ends_with(".WithValue(other)"), "{text}");
    }
}

#[test]
fn a_value_is_never_printed() {
    #[derive(Debug)]
    struct Secret(#[expect(dead_code, reason = "would be printed")] &'static str);
    static SECRET: Key<Secret> = Key::new("token");
    let (ctx, guard) = Context::background()
        .with_value(&SECRET, Secret("hunter2"))
        .with_cancel();
    let (merged, merged_guard) =
        Context::merge([&ctx, &ctx.with_value(&SECRET, Secret("hunter2"))]);
    for text in [
        format!("{ctx} {ctx:?} {ctx:#?}"),
        format!("{merged} {merged:?} {merged:#?}"),
        format!(
            "{guard:?} {:?} {:?} {merged_guard:?}",
            guard.handle(),
            ctx.done()
        ),
        format!("{SECRET:?} {:?}", ctx.cause()),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let text = format!("{SECRET:?}");
    assert!(text.contains("token") && text.contains("Secret"), "{text}");
    assert!(format!("{ctx:?}").contains("WithValue(token)"));
}

#[test]
fn threads_that_set_a_key_for_the_first_time_at_once_agree_on_it() {
    static KEYS: LazyLock<Vec<Key<usize>>> =
        LazyLock::new(|| (0..1_000).map(|_| Key::new("raced for")).collect());
    in_time(|| {
        for key in KEYS.iter().take(scaled(1_000)) {
            let all = run_all(2, |thread| Context::background().with_value(key, thread));
            for (thread, ctx) in all.iter().enumerate() {
                assert_eq!(ctx.value(key), Some(&thread));
                let both = ctx.with_value(&NUMBER, 1).with_value(key, 7);
                assert_eq!(both.value(key), Some(&7));
                assert_eq!(both.value(&NUMBER), Some(&1));
            }
            let (merged, _guard) = Context::merge([&all[1], &all[0]]);
            assert_eq!(
                merged.value(key),
                Some(&1),
                "one key, of which the earlier parent's"
            );
        }
    });
}

#[test]
fn threads_that_derive_set_merge_look_and_drop_at_once_leave_nothing() {
    in_time(|| {
        let count = Arc::default();
        let (root, _guard) = Context::background().with_cancel();
        let root = root.with_value(&COUNTED, Counted::new(&count));
        // By crossbeam's channel, whose order ThreadSanitizer sees; a std lock's it does not.
        let (sender, receiver) = unbounded();
        for _ in 0..16 {
            sender.send(root.clone()).expect("there is a receiver");
        }
        let (sender, receiver) = (&sender, &receiver);
        run_all(4, |thread| {
            let mut rng = Rng::new(thread as u64);
            let take = || receiver.recv().expect("there is a sender");
            for round in 0..scaled(10_000) {
                let (ctx, other): (Context, Context) = (take(), take());
                assert!(ctx.value(&COUNTED).is_some_and(|value| live(&value.0) > 0));
                let next = match rng.below(6) {
                    0 => ctx.with_value(&COUNTED, Counted::new(&count)),
                    1 => ctx.with_value(&COUNTED_TOO, Counted::new(&count)),
                    2 => ctx.with_value(&MANY[rng.below(200)], round),
                    3 => Context::merge([&ctx, &other]).0.without_cancel(),
                    4 => ctx.with_cancel().0.without_cancel(),
                    _ => root.clone(),
                };
                // So that the next two who derive from one context are two threads.
                let again = if rng.below(2) == 0 { ctx } else { other };
                for ctx in [next, again] {
                    sender.send(ctx).expect("there is a receiver");
                }
            }
        });
        receiver.try_iter().for_each(drop);
        assert_eq!(live(&count), 1);
        drop(root);
        assert_eq!(live(&count), 0);
    });
}

#[test]
fn the_last_contexts_of_one_value_dropped_by_many_threads_at_once_drop_it_once() {
    for depth in [0, 1, 31, 32, 33, 34, 70] {
        for _ in 0..scaled(100) {
            in_time(move || {
                let count = Arc::default();
                let first = Context::background().with_value(&COUNTED, Counted::new(&count));
                let mut ctx = first.clone();
                for _ in 0..depth {
                    ctx = ctx.with_value(&COUNTED_TOO, Counted::new(&count));
                }
                let all =
                    [first, ctx.with_cancel().0, ctx.clone(), ctx].map(|ctx| Mutex::new(Some(ctx)));
                run_all(all.len(), |thread| {
                    drop(all[thread].lock().expect("nobody panics with it").take());
                });
                assert_eq!(live(&count), 0);
            });
        }
    }
}

/// Clones and drops until what is behind the context counts as a hot context's does, and not as one's that is new.
fn heat(ctx: &Context) {
    for _ in 0..100 {
        drop(ctx.clone());
    }
}

#[test]
fn a_value_of_a_hot_context_goes_at_once_with_the_last_of_its_clones_wherever_that_is() {
    for round in 0..scaled(200) {
        in_time(move || {
            let count = Arc::default();
            let root = Context::background().with_value(&COUNTED, Counted::new(&count));
            heat(&root);
            // Cloned here and on each thread, and handed on: each lets go what another cloned.
            let (sender, receiver) = unbounded();
            let threads = 4;
            for _ in 0..threads {
                sender.send(root.clone()).expect("there is a receiver");
            }
            run_all(threads, |_| {
                for _ in 0..50 {
                    let ctx: Context = receiver.recv().expect("there is a sender");
                    let (child, _guard) = ctx.with_cancel();
                    drop(ctx);
                    assert!(
                        child
                            .value(&COUNTED)
                            .is_some_and(|value| live(&value.0) > 0)
                    );
                    sender.send(child).expect("there is a receiver");
                }
            });
            let mut left: Vec<Context> = receiver.try_iter().collect();
            assert_eq!(left.len(), threads);
            // The first one made goes before the others, or after them.
            if round % 2 == 0 {
                drop(root);
            } else {
                left.push(root);
            }
            while let Some(ctx) = left.pop() {
                assert_eq!(live(&count), 1, "one sees it yet");
                drop(ctx);
            }
            assert_eq!(live(&count), 0, "nobody sees it");
        });
    }
}

#[test]
fn the_last_clones_of_a_hot_context_dropped_by_many_threads_at_once_drop_its_value_once() {
    for round in 0..scaled(300) {
        in_time(move || {
            let count = Arc::default();
            let root = Context::background().with_value(&COUNTED, Counted::new(&count));
            heat(&root);
            let mut all: Vec<_> = (0..3).map(|_| Mutex::new(Some(root.clone()))).collect();
            if round % 2 == 0 {
                all.push(Mutex::new(Some(root)));
            } else {
                drop(root);
            }
            run_all(all.len(), |thread| {
                let last = all[thread].lock().expect("nobody panics with it").take();
                let again = last.clone();
                drop(last);
                heat(again.as_ref().expect("it was there"));
                drop(again);
            });
            assert_eq!(live(&count), 0);
        });
    }
}

#[test]
fn a_hot_context_whose_first_handle_went_long_ago_keeps_its_value_for_those_that_are_left() {
    let count = Arc::default();
    let first = Context::background().with_value(&COUNTED, Counted::new(&count));
    heat(&first);
    let mut ctx = first.clone();
    drop(first);
    for round in 0..1_000 {
        let (child, _guard) = ctx.with_cancel();
        let set = child.with_value(&NUMBER, round);
        drop(ctx);
        assert_eq!(live(&count), 1);
        assert_eq!(set.value(&NUMBER), Some(&round));
        ctx = child;
    }
    drop(ctx);
    assert_eq!(live(&count), 0);
}

#[test]
fn a_batch_of_a_hot_context_lets_its_value_go_with_the_last() {
    let count = Arc::default();
    let root = Context::background().with_value(&COUNTED, Counted::new(&count));
    heat(&root);
    let batch = root.batch(100);
    drop(root);
    let kept = batch[7].clone();
    drop(batch);
    assert!(
        kept.value(&COUNTED)
            .is_some_and(|value| live(&value.0) == 1)
    );
    drop(kept);
    assert_eq!(live(&count), 0);
}

#[test]
fn threads_that_come_and_go_leave_what_they_counted_of_a_hot_context_to_those_after_them() {
    let count = Arc::default();
    let root = Context::background().with_value(&COUNTED, Counted::new(&count));
    heat(&root);
    let mut kept = Vec::new();
    for _ in 0..scaled(200) {
        let (sender, receiver) = unbounded();
        run_all(2, |_| {
            heat(&root);
            sender.send(root.clone()).expect("there is a receiver");
        });
        kept.extend(receiver.try_iter());
    }
    drop(root);
    while let Some(ctx) = kept.pop() {
        assert_eq!(live(&count), 1);
        drop(ctx);
    }
    assert_eq!(live(&count), 0);
}

#[test]
fn a_context_with_a_deadline_and_one_of_an_engine_have_the_values_they_were_derived_with() {
    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("no thread is started");
    for top in [Context::background(), engine.background()] {
        let set = top.with_value(&NUMBER, 1);
        let (timed, _guard) = set.with_timeout(Duration::from_secs(3_600));
        let last = timed.with_value(&TEXT, "x");
        let free = last.without_cancel();
        for ctx in [&timed, &last, &free] {
            assert_eq!(ctx.value(&NUMBER), Some(&1));
        }
        assert_eq!(free.value(&TEXT), Some(&"x"));
        assert_eq!(free.deadline(), None);
        assert_eq!(set.to_string(), "context.Background.WithValue(number)");
        assert_eq!(free.to_string(), format!("{set}.WithValue(text)"));
        let text = last.to_string();
        assert!(text.starts_with(&format!("{set}.With")), "{text}");
        assert!(
            text.ends_with(").WithValue(text)") || text.ends_with(".WithCancel.WithValue(text)"),
            "{text}"
        );
    }
    let (timed, _guard) = engine
        .background()
        .with_value(&NUMBER, 1)
        .with_timeout(Duration::from_secs(1));
    clock.advance(Duration::from_secs(1));
    assert!(timed.is_done());
    assert_eq!(
        timed.value(&NUMBER),
        Some(&1),
        "an end takes no values away"
    );
}
