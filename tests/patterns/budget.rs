//! What is left of a context's time, shared out.

use crate::{MS, SECOND, manual};
use ripcord::{Budget, BudgetError, Context};
use std::time::Duration;

fn of(seconds: u32) -> Budget {
    let (engine, _clock) = manual();
    let (ctx, _guard) = engine.background().with_timeout(SECOND * seconds);
    ctx.budget()
}

#[test]
fn it_is_what_the_context_has_left_when_it_is_asked() {
    let (engine, clock) = manual();
    let (ctx, guard) = engine.background().with_timeout(10 * SECOND);
    assert_eq!(ctx.budget().left(), Some(10 * SECOND));
    clock.advance(4 * SECOND);
    assert_eq!(ctx.budget().left(), Some(6 * SECOND));
    assert!(
        ctx.budget().fits(6 * SECOND) && !ctx.budget().fits(6 * SECOND + Duration::from_nanos(1))
    );
    guard.cancel();
    assert_eq!(ctx.budget().left(), Some(Duration::ZERO));
    assert!(!ctx.budget().fits(Duration::from_nanos(1)));
}

#[test]
fn without_a_deadline_all_fits_and_every_share_is_no_limit() {
    let budget = Context::background().budget();
    assert!(budget.fits(Duration::MAX));
    for share in [
        budget.fraction(0.1),
        budget.split(7),
        budget.reserve(Duration::MAX),
    ] {
        assert_eq!(share, Ok(budget));
    }
    let (ctx, _guard) = Context::background().with_timeout(budget.timeout());
    assert_eq!(ctx.deadline(), None);
}

#[test]
fn a_fraction_is_from_none_to_all_of_it() {
    let budget = of(8);
    let part = |share| budget.fraction(share).map(Budget::timeout);
    assert_eq!(part(0.0), Ok(Duration::ZERO));
    assert_eq!(part(0.25), Ok(2 * SECOND));
    assert_eq!(part(1.0), Ok(8 * SECOND));
    assert_eq!(part(f64::MIN_POSITIVE), Ok(Duration::ZERO));
    for absurd in [-0.1, 1.000_001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(part(absurd), Err(BudgetError::Fraction), "{absurd}");
    }
}

#[test]
fn attempts_share_what_is_left_and_zero_of_them_cannot() {
    assert_eq!(of(9).split(3).map(Budget::timeout), Ok(3 * SECOND));
    assert_eq!(
        of(1).split(u32::MAX).map(Budget::timeout),
        Ok(Duration::ZERO)
    );
    assert_eq!(of(9).split(0), Err(BudgetError::NoAttempts));
    assert_eq!(
        Context::background().budget().split(0),
        Err(BudgetError::NoAttempts)
    );
}

#[test]
fn what_is_kept_for_the_end_is_not_shared_out() {
    let budget = of(10);
    let rest = budget.reserve(4 * SECOND).unwrap();
    assert_eq!(rest.left(), Some(6 * SECOND));
    assert_eq!(
        budget.reserve(10 * SECOND).map(Budget::timeout),
        Ok(Duration::ZERO)
    );
    let error = BudgetError::Exceeded {
        asked: 10 * SECOND + MS,
        left: 10 * SECOND,
    };
    assert_eq!(budget.reserve(10 * SECOND + MS), Err(error));
    assert_eq!(
        error.to_string(),
        "10.001s cannot be kept of the 10s that are left"
    );
}
