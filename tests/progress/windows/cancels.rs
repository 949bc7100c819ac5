//! Windows of a cancel. What it has marked is done at once and told late; what it has not reached, the next cancel of the
//! same context or of one above it finishes.

use crate::alone;
use crate::cancel::{CancelGuard, CancelHandle};
use crate::context::Context;
use crate::done::Done;
use crate::error::Error;
use crate::rest::{Wakes, goes_on, poll};
use crate::victim::{Victim, returns};
use crossbeam_channel::{Receiver, TryRecvError};
use std::convert::Infallible;
use std::sync::Arc;

/// A context, one above it and one below it; who waits on the two that its cancel ends.
struct Family {
    above: Context,
    above_guard: CancelGuard,
    middle: Context,
    middle_guard: CancelGuard,
    below: Context,
    _below_guard: CancelGuard,
    middle_channel: Receiver<Infallible>,
    done: Done,
    wakes: Arc<Wakes>,
}

impl Family {
    fn new() -> Self {
        let (above, above_guard) = Context::background().with_cancel();
        let (middle, middle_guard) = above.with_cancel();
        let (below, below_guard) = middle.with_cancel();
        let (mut done, wakes) = (below.done(), Arc::default());
        assert!(poll(&mut done, &wakes).is_pending());
        Self {
            middle_channel: middle.done_channel(),
            above,
            above_guard,
            middle,
            middle_guard,
            below,
            _below_guard: below_guard,
            done,
            wakes,
        }
    }

    /// Cancels the one in the middle, and is stopped.
    fn victim(&self, window: &'static str) -> Victim<()> {
        let handle = self.middle_guard.handle();
        Victim::stopped_at(window, move || handle.cancel())
    }

    /// Those whose next cancel has to finish it.
    fn next(&self) -> [fn(&Self) -> CancelHandle; 2] {
        [
            |family| family.middle_guard.handle(),
            |family| family.above_guard.handle(),
        ]
    }

    fn is_told(&self) -> bool {
        self.middle_channel.try_recv() == Err(TryRecvError::Disconnected)
    }

    #[track_caller]
    fn assert_all_done(&mut self) {
        for ctx in [&self.middle, &self.below] {
            assert!(ctx.is_done());
            assert_eq!(ctx.err(), Some(Error::Canceled));
            assert_eq!(
                ctx.cause().expect("it is done").downcast_ref(),
                Some(&Error::Canceled)
            );
        }
        assert!(poll(&mut self.done, &self.wakes).is_ready());
    }
}

/// Of a cancel that is stopped before it has come to what is below.
fn next_cancel_finishes(window: &'static str) {
    let _alone = alone();
    for next in Family::new().next() {
        let mut family = Family::new();
        let victim = family.victim(window);
        assert!(family.middle.is_done(), "what is marked is done at once");
        assert!(!family.below.is_done() && !family.is_told());

        goes_on(&[&family.above, &family.middle]);
        assert!(!family.below.is_done(), "nobody but a cancel comes to it");
        assert_eq!(family.wakes.count(), 0);
        let handle = next(&family);
        returns(move || handle.cancel());
        assert_eq!(family.wakes.count(), 1, "who marks it tells it");
        assert!(!family.is_told(), "who marked it is stopped");
        family.assert_all_done();

        victim.resume();
        assert!(family.is_told());
        assert_eq!(family.wakes.count(), 1);
    }
}

/// Of a cancel that is stopped when all below is marked.
fn is_only_told_late(window: &'static str) {
    let _alone = alone();
    for next in Family::new().next() {
        let mut family = Family::new();
        let victim = family.victim(window);
        assert!(family.middle.is_done() && family.below.is_done());

        goes_on(&[&family.above, &family.middle, &family.below]);
        let handle = next(&family);
        returns(move || handle.cancel());
        assert_eq!(family.wakes.count(), 0, "who marked it is stopped");
        assert!(!family.is_told());
        // A thread that waits from now on need not be told.
        let below = family.below.clone();
        assert_eq!(returns(move || below.wait()), Error::Canceled);

        victim.resume();
        assert!(family.is_told());
        assert_eq!(family.wakes.count(), 1);
        family.assert_all_done();
    }
}

#[test]
fn what_a_cancel_stopped_at_its_first_mark_has_not_reached_the_next_finishes() {
    next_cancel_finishes("marked");
}

#[test]
fn what_a_cancel_stopped_before_a_closed_list_is_walked_has_not_reached_the_next_finishes() {
    next_cancel_finishes("closed");
}

#[test]
fn what_a_cancel_stopped_before_it_propagates_has_marked_is_only_told_late() {
    is_only_told_late("not propagated");
}

#[test]
fn what_a_cancel_stopped_before_it_tells_has_marked_is_only_told_late() {
    is_only_told_late("not told");
}
