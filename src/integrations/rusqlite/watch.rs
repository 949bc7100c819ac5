//! Interrupts a connection while its context is done and a call is inside it. Owned by one call of `Under`, which drops it before
//! the connection is anybody else's.
//!
//! Invariant: an interrupt is sent with `left` locked and false. Once the drop has set it none is sent any more, and none is under
//! way: that is what a late one cannot get past.

use crate::after_func::AfterFunc;
use crate::context::Context;
use ::rusqlite::InterruptHandle;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// SQLite forgets an interrupt that comes while no statement runs, between two of them say: so it is sent again.
const AGAIN: Duration = Duration::from_millis(1);

pub(super) struct Watch {
    registration: AfterFunc,
    call: Arc<Call>,
}

struct Call {
    handle: InterruptHandle,
    left: Mutex<bool>,
    changed: Condvar,
}

impl Watch {
    pub(super) fn over(ctx: &Context, handle: InterruptHandle) -> Self {
        let call = Arc::new(Call {
            handle,
            left: Mutex::new(false),
            changed: Condvar::new(),
        });
        let interrupted = Arc::clone(&call);
        Self {
            registration: ctx.after_func(move || interrupted.interrupt()),
            call,
        }
    }
}

impl Call {
    fn interrupt(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        while !*left {
            self.handle.interrupt();
            let waited = self.changed.wait_timeout(left, AGAIN);
            left = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.registration.stop() {
            *self
                .call
                .left
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = true;
            self.call.changed.notify_one();
        }
    }
}
