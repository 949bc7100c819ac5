//! What is known of a context without asking the engine: why it may be done, why it has to be, and what it has said.

use crate::error::Error;
use crate::raw::handle::Handle;
use crate::raw::time::Time;
use crate::raw::values::{TypedKey, Values};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A value that says what it is, and counts that it is dropped.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) number: u64,
    alive: Arc<AtomicUsize>,
}

impl Value {
    pub(crate) fn new(number: u64, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self {
            number,
            alive: Arc::clone(alive),
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) type Key = &'static TypedKey<Value>;

/// One position in the tree. None of these is shuttle's: to look at them changes no thread.
#[derive(Debug)]
pub(crate) struct Known {
    /// A cancel of it has begun.
    begun: AtomicBool,
    /// One has returned.
    returned: AtomicBool,
    deadline: Time,
    /// All that it was derived from, at any distance.
    above: Vec<Arc<Known>>,
    said: Mutex<Option<(Error, String)>>,
}

impl Known {
    pub(crate) fn below(parents: &[&Arc<Self>], deadline: Time) -> Arc<Self> {
        let mut above: Vec<Arc<Self>> = Vec::new();
        for parent in parents {
            above.push(Arc::clone(parent));
            above.extend(parent.above.iter().cloned());
        }
        above.sort_by_key(|known| Arc::as_ptr(known).addr());
        above.dedup_by_key(|known| Arc::as_ptr(known).addr());
        Arc::new(Self {
            begun: AtomicBool::new(false),
            returned: AtomicBool::new(false),
            deadline,
            above,
            said: Mutex::new(None),
        })
    }

    /// Around a cancel of it.
    pub(crate) fn cancelling<R>(&self, cancel: impl FnOnce() -> R) -> R {
        self.begun.store(true, Ordering::Relaxed);
        let answer = cancel();
        self.returned.store(true, Ordering::Relaxed);
        answer
    }

    fn any(&self, is: impl Fn(&Self) -> bool) -> bool {
        is(self) || self.above.iter().any(|known| is(known))
    }

    /// A cancel of it, or of what it was derived from, has returned.
    pub(crate) fn must_be_done(&self) -> bool {
        self.any(|known| known.returned.load(Ordering::Relaxed))
    }

    /// A deadline of it, or of what it was derived from, had come by then.
    pub(crate) fn is_due(&self, then: Time) -> bool {
        self.any(|known| known.deadline <= then)
    }

    fn may_be_done(&self, now: Time) -> bool {
        self.any(|known| known.begun.load(Ordering::Relaxed)) || self.is_due(now)
    }
}

/// A handle of a context, and what is known of that.
#[derive(Clone, Debug)]
pub(crate) struct Ctx {
    pub(crate) handle: Handle,
    pub(crate) values: Values,
    /// What the values are to be, the latest set last.
    pub(crate) set: Vec<(Key, u64)>,
    pub(crate) known: Arc<Known>,
}

impl Ctx {
    pub(crate) fn with(&self, handle: Handle, known: Arc<Known>) -> Self {
        Self {
            handle,
            values: self.values.clone(),
            set: self.set.clone(),
            known,
        }
    }

    /// Looks at it, as its user does: whether it is done when it has to be and only if it may be, whether it sticks to what it
    /// has said, and what its values are.
    pub(crate) fn check(&self, keys: &[Key]) {
        let has_to = self.known.must_be_done();
        let err = self.handle.err();
        assert!(
            err.is_some() || !has_to,
            "live, and a cancel above has returned"
        );
        if let Some(error) = err {
            let now = self.handle.core().now();
            assert!(self.known.may_be_done(now), "done for no reason");
            let cause = self.handle.cause().expect("it is done").to_string();
            let agrees = match error {
                Error::Canceled => cause == "context canceled" || cause.starts_with("given"),
                Error::DeadlineExceeded => {
                    cause == "context deadline exceeded" || cause.starts_with("late")
                }
            };
            assert!(agrees, "{error:?} because of {cause:?}");
            let mut said = self.known.said.lock().unwrap();
            let said = said.get_or_insert_with(|| (error, cause.clone()));
            assert_eq!(*said, (error, cause), "it says another thing than before");
        }
        for key in keys {
            let set = self
                .set
                .iter()
                .rev()
                .find(|(set, _)| std::ptr::eq(*set, *key));
            let got = self.values.get(key).map(|value| value.number);
            assert_eq!(got, set.map(|(_, number)| *number));
        }
    }
}
