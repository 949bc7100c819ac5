//! One bound for every kind of context.

use crate::SECOND;
use ripcord::{Cancel, Context, Error, Light, Never};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

fn steps(limit: u64, stop: &(impl Cancel + ?Sized)) -> Result<u64, Error> {
    for _ in 0..limit {
        stop.check()?;
    }
    Ok(limit)
}

#[test]
fn one_that_is_never_cancelled_has_no_size_and_checks_at_compile_time() {
    const NOTHING: Result<(), Error> = Never.check();
    assert_eq!(NOTHING, Ok(()));
    assert_eq!(size_of::<Never>(), 0);
    assert_eq!(steps(1_000, &Never), Ok(1_000));
    assert!(!Never.may_cancel());
    assert_eq!(Never.deadline(), None);
}

#[test]
fn contexts_and_lights_stop_what_takes_any_of_them_also_behind_pointers() {
    let (ctx, guard) = Context::background().with_cancel();
    let light = Light::new();
    let pointers: [Box<dyn Cancel>; 4] = [
        Box::new(ctx.clone()),
        Box::new(Arc::new(ctx.clone())),
        Box::new(Rc::new(ctx.clone())),
        Box::new(Box::new(ctx.clone())),
    ];
    assert_eq!(steps(3, &&ctx), Ok(3));
    assert_eq!(steps(3, &light), Ok(3));
    guard.cancel();
    light.cancel();
    for pointer in &pointers {
        assert_eq!(steps(3, pointer), Err(Error::Canceled));
        assert!(pointer.may_cancel());
    }
    assert_eq!(steps(3, &light), Err(Error::Canceled));
}

#[test]
fn who_can_be_cancelled_says_so_and_until_when() {
    static KEY: ripcord::Key<u8> = ripcord::Key::new("key");
    let background = Context::background();
    assert!(!background.may_cancel());
    assert!(!Context::todo().with_value(&KEY, 1).may_cancel());
    let (ctx, _guard) = background.with_timeout(SECOND);
    assert!(ctx.may_cancel() && !ctx.without_cancel().may_cancel());
    assert_eq!(Cancel::deadline(&ctx), ctx.deadline());
    let light = Light::with_timeout(SECOND);
    assert!(light.may_cancel());
    assert_eq!(Cancel::deadline(&light), light.deadline());
}

#[test]
fn a_flag_of_the_callers_own_needs_one_method() {
    struct Steps(Cell<u32>);
    impl Cancel for Steps {
        fn check(&self) -> Result<(), Error> {
            let left = self.0.get().checked_sub(1).ok_or(Error::Canceled)?;
            self.0.set(left);
            Ok(())
        }
    }
    let three = Steps(Cell::new(3));
    assert_eq!(steps(3, &three), Ok(3));
    assert_eq!(steps(1, &three), Err(Error::Canceled));
    assert!(three.may_cancel());
    assert_eq!(three.deadline(), None);
}
