//! A context prints how it was derived: exactly while that is short, bounded and with a count when it is not.

use crate::common::in_time;
use ripcord::{CancelGuard, Context};

/// What is printed whole; past it the middle is left out.
const PARTS: usize = 64;

/// Room for everything that is ever printed of one context.
const BOUND: usize = 4 * 1024;

fn chain(origin: Context, derivations: usize) -> (Context, Vec<CancelGuard>) {
    let mut ctx = origin;
    let mut guards = Vec::new();
    for _ in 0..derivations {
        let (next, guard) = ctx.with_cancel();
        ctx = next;
        guards.push(guard);
    }
    (ctx, guards)
}

#[test]
fn every_derivation_is_printed_in_order_up_to_sixty_four_parts() {
    for origin in [Context::background(), Context::todo()] {
        for derivations in [0, 1, 2, 10, PARTS - 1] {
            let expected = format!("{origin}{}", ".WithCancel".repeat(derivations));
            let (ctx, _guards) = chain(origin.clone(), derivations);
            assert_eq!(ctx.to_string(), expected);
        }
    }
}

#[test]
fn past_sixty_four_parts_the_middle_is_left_out_with_its_count() {
    for derivations in [PARTS + 1, 100, 1_000, 12_345] {
        let (ctx, mut guards) = chain(Context::background(), derivations);
        let text = ctx.to_string();
        assert!(text.starts_with("context.Background.WithCancel"), "{text}");
        assert!(text.ends_with(".WithCancel"), "{text}");
        assert!(text.len() < BOUND, "{} bytes", text.len());
        let printed = text.matches(".WithCancel").count();
        let left_out: String = text.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(
            left_out.parse::<usize>().map(|count| count + printed),
            Ok(derivations),
            "{text}"
        );
        while guards.pop().is_some() {}
    }
}

#[test]
fn a_merged_context_prints_its_parents_in_order() {
    let (background, _g1) = Context::background().with_cancel();
    let (todo, _g2) = Context::todo().with_cancel();
    let (deeper, _g3) = background.with_cancel();
    let (merged, _g4) = Context::merge([&background, &todo, &deeper]);
    assert_eq!(
        merged.to_string(),
        "context.Merge(context.Background.WithCancel, context.TODO.WithCancel, \
         context.Background.WithCancel.WithCancel)"
    );
    let (child, _g5) = merged.with_cancel();
    assert_eq!(child.to_string(), format!("{merged}.WithCancel"));
    let (outer, _g6) = Context::merge([&todo, &child]);
    assert_eq!(
        outer.to_string(),
        format!("context.Merge(context.TODO.WithCancel, {child})")
    );
}

#[test]
fn a_merge_and_what_was_derived_from_it_are_printed_in_full_up_to_sixty_four_parts() {
    let (a, _a_guards) = chain(Context::background(), 10);
    let (b, _b_guards) = chain(Context::todo(), 3);
    let (merged, _guard) = Context::merge([&a, &b]);
    let (leaf, _guards) = chain(merged.clone(), 50);
    assert_eq!(
        leaf.to_string(),
        format!("{merged}{}", ".WithCancel".repeat(50))
    );
    let (longer, _longer_guard) = leaf.with_cancel();
    assert!(
        longer.to_string().len() < leaf.to_string().len(),
        "{longer}"
    );
}

#[test]
fn what_is_left_out_of_a_merge_of_many_merges_is_counted() {
    let (a, _a_guards) = chain(Context::background(), 1);
    let (b, _b_guards) = chain(Context::background(), 1);
    let (parents, _guards): (Vec<_>, Vec<_>) = (0..40)
        .map(|_| {
            let (merged, guard) = Context::merge([&a, &b]);
            let (child, child_guard) = merged.with_cancel();
            (child, [guard, child_guard])
        })
        .unzip();
    let (merged, _guard) = Context::merge(&parents);
    let text = merged.to_string();
    assert!(text.ends_with("[8 more])"), "{text}");
    assert_eq!(
        text.matches("context.Merge([2 more]).[1 more]").count(),
        32,
        "{text}"
    );
}

#[test]
fn parents_that_cannot_end_a_merged_context_are_not_printed() {
    let (a, _guard_a) = Context::background().with_cancel();
    let (b, _guard_b) = Context::todo().with_cancel();
    let never = [Context::background(), Context::todo()];
    let (merged, _guard) = Context::merge([&never[0], &a, &never[1], &b, &a]);
    assert_eq!(merged.to_string(), format!("context.Merge({a}, {b})"));
    let (none, _none_guard) = Context::merge(&never);
    assert_eq!(none.to_string(), "context.Background.WithCancel");
}

#[test]
fn what_is_printed_does_not_change_with_the_end_or_with_other_handles() {
    let (parent, guard) = Context::background().with_cancel();
    let (ctx, _ctx_guard) = parent.with_cancel();
    let before = ctx.to_string();
    drop(parent);
    assert_eq!(ctx.to_string(), before);
    guard.cancel();
    assert_eq!(ctx.to_string(), before);
    assert_eq!(ctx.clone().to_string(), before);
}

#[test]
fn a_context_born_done_prints_how_it_was_derived() {
    let (parent, guard) = Context::background().with_cancel();
    guard.cancel();
    let (child, _child_guard) = parent.with_cancel();
    assert_eq!(child.to_string(), format!("{parent}.WithCancel"));
}

#[test]
fn no_shape_makes_it_print_without_end() {
    in_time(|| {
        let (wide, _wide_guards): (Vec<_>, Vec<_>) = (0..1_000)
            .map(|_| chain(Context::background(), 100))
            .unzip();
        let (merged, _merged_guard) = Context::merge(&wide);

        let mut above = [wide[0].clone(), wide[1].clone()];
        let mut ladder_guards = Vec::new();
        for _ in 0..60 {
            let (rung, guard) = Context::merge(&above);
            above.swap(0, 1);
            above[1] = rung;
            ladder_guards.push(guard);
        }
        let mut nested = merged.clone();
        for _ in 0..1_000 {
            let (next, guard) = Context::merge([&nested, &wide[2]]);
            nested = next;
            ladder_guards.push(guard);
        }
        for ctx in [&merged, &above[1], &nested] {
            let text = format!("{ctx}");
            assert!(text.starts_with("context.Merge("), "{text}");
            assert!(text.len() < 16 * BOUND, "{} bytes", text.len());
            assert!(format!("{ctx:?}").len() < 16 * BOUND);
        }
    });
}

#[test]
fn debug_says_something_of_every_handle() {
    let (ctx, guard) = Context::background().with_cancel();
    let handle = guard.handle();
    let all = [
        format!("{ctx:?}"),
        format!("{guard:?}"),
        format!("{handle:?}"),
        format!("{:?}", ctx.done()),
        format!("{:?}", Context::todo()),
    ];
    assert!(
        all.iter()
            .all(|text| !text.is_empty() && text.len() < BOUND)
    );
    assert!(all[0].contains("context.Background.WithCancel"));
}

#[test]
fn a_deadline_prints_what_is_left_and_then_what_has_passed() {
    static USER: ripcord::Key<&str> = ripcord::Key::new("user_id");
    let (engine, clock) = ripcord::Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    let (child, _guard) = engine.background().with_cancel();
    let (ctx, _ctx_guard) = child
        .with_value(&USER, "secret")
        .with_timeout(std::time::Duration::from_millis(1_500));
    let (longer, _longer_guard) = ctx.with_timeout(std::time::Duration::from_secs(60));
    let _nap = ctx.sleep(std::time::Duration::from_secs(1));
    assert_eq!(
        ctx.to_string(),
        "context.Background.WithCancel.WithValue(user_id).WithDeadline(in 1.5s)"
    );
    assert_eq!(longer.to_string(), format!("{ctx}.WithCancel"));
    clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(
        ctx.to_string(),
        "context.Background.WithCancel.WithValue(user_id).WithDeadline(1.5s ago)"
    );
    assert!(!format!("{ctx:?}").contains("secret"));
}
