//! The phases of a shutdown: the contexts that end with each, and who is still there.
//!
//! ```text
//!  parent ─► accepting   done when the soft phase has been noted
//!         ─► working     done when the hard phase begins; every piece of registered work hangs below it
//!  (none) ─► idle        done when stopping has begun and nobody is registered any more
//!         ─► cleaning    done when somebody has waited for the whole of the cleanup
//! ```
//!
//! Limits are each waiter's own, from the instants that are noted: of the grace, which a callback waits for too, under `idle` and
//! `working`; of the cleanup, under `idle`.
//!
//! The lock is held while an entry is put in or taken out and phases are noted, and for nothing else: contexts are cancelled, and
//! entries dropped, after. A phase is noted before anything else is done for it, so nobody can hold that up; who finds the hard
//! one noted cancels too, for who noted it may not have come to that.

use super::{Late, ShutdownBuilder, ShutdownCause, ShutdownReport, Stopping};
use crate::patterns::limit::{Limit, elsewhere, held, is_unkept};
use crate::patterns::lock::lock;
use crate::{CancelGuard, Cause, Context, Error};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

pub(super) struct Inner {
    parent: Context,
    pub(super) limits: ShutdownBuilder,
    pub(super) accepting: Context,
    stop_accepting: CancelGuard,
    pub(super) working: Context,
    stop_working: CancelGuard,
    idle: Context,
    all_ended: CancelGuard,
    cleaning: Context,
    stop_cleaning: CancelGuard,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    next_serial: u64,
    /// When the phase began, and why.
    soft: Option<(Instant, Cause)>,
    hard: Option<(Instant, Cause)>,
    drained: usize,
    canceled: usize,
    panicked: Vec<Arc<str>>,
    /// Signals are kept for it.
    #[cfg(feature = "signals")]
    is_watched: bool,
}

struct Entry {
    name: Arc<str>,
    since: Instant,
}

impl Inner {
    pub(super) fn new(parent: &Context, limits: ShutdownBuilder) -> Self {
        let (accepting, stop_accepting) = parent.with_cancel();
        let (working, stop_working) = parent.with_cancel();
        let (idle, all_ended) = parent.without_cancel().with_cancel();
        let (cleaning, stop_cleaning) = Context::background().with_cancel();
        Self {
            parent: parent.clone(),
            limits,
            accepting,
            stop_accepting,
            working,
            stop_working,
            idle,
            all_ended,
            cleaning,
            stop_cleaning,
            state: Mutex::default(),
        }
    }

    /// `false`: another has begun one, and not ended it.
    #[cfg(feature = "signals")]
    pub(super) fn begin_watch(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).is_watched, true)
    }

    #[cfg(feature = "signals")]
    pub(super) fn end_watch(&self) {
        lock(&self.state).is_watched = false;
    }

    /// Answers with the entry's serial, for `leave`.
    pub(super) fn enter(&self, name: &Arc<str>) -> Result<u64, Stopping> {
        if self.accepting.is_done() {
            return Err(Stopping);
        }
        let entry = Entry {
            name: Arc::clone(name),
            since: self.parent.now(),
        };
        let mut state = lock(&self.state);
        if state.soft.is_some() {
            return Err(Stopping);
        }
        let serial = state.next_serial;
        state.next_serial += 1;
        state.entries.insert(serial, entry);
        Ok(serial)
    }

    pub(super) fn begin_soft(self: &Arc<Self>, cause: Cause) -> bool {
        let Some((begins, nobody)) = self.note_soft(&cause) else {
            return false;
        };
        let grace = self.limits.grace;
        if !nobody && grace.is_zero() {
            self.end_grace();
        } else if !nobody && grace < Duration::MAX {
            end_after(Arc::downgrade(self), self.grace());
        }
        self.tell_soft();
        begins
    }

    pub(super) fn stop_now(&self, cause: Cause) -> bool {
        self.note_soft(&cause);
        let begins = self.begin_hard(cause, true);
        self.tell_soft();
        begins
    }

    /// Last of all: whoever is told here may hold the stop up, and what else there is to see of it is there by then. Also where
    /// another has noted the phase, which may be held up before it comes to this.
    fn tell_soft(&self) {
        let noted = lock(&self.state).soft.clone();
        if let Some((_, cause)) = noted {
            self.stop_accepting.cancel_with(cause);
        }
    }

    /// Answers whether the phase begins by this, and whether nobody is registered; `None`: it was noted before.
    fn note_soft(&self, cause: &Cause) -> Option<(bool, bool)> {
        // Where the parent's end came first, that has begun it, and is the cause.
        let parents = self.accepting.cause();
        let begins = parents.is_none();
        let cause = parents.unwrap_or_else(|| cause.clone());
        let nobody = {
            let mut state = lock(&self.state);
            if state.soft.is_some() {
                return None;
            }
            state.soft = Some((self.parent.now(), cause));
            state.entries.is_empty()
        };
        if nobody {
            // Before anybody is told who may hold this up: there is nothing to wait for.
            self.all_ended.cancel();
        }
        Some((begins, nobody))
    }

    /// What is left of the grace; over too when there is nothing to wait for any more.
    fn grace(&self) -> Limit {
        let began = lock(&self.state).soft.as_ref().map(|(began, _)| *began);
        let (waiting, guard) = Context::merge([&self.idle, &self.working]);
        guard.disarm();
        Limit::new(
            &waiting,
            self.limits.grace.saturating_sub(self.since(began)),
        )
    }

    /// Begins the hard phase where somebody is still there.
    fn end_grace(&self) {
        let over = || ShutdownCause::GraceOver(self.limits.grace).into();
        self.begin_hard(self.working.cause().unwrap_or_else(over), false);
    }

    /// The work is cancelled when it returns, also where another has noted the phase and is on the way. Answers whether it begins
    /// by this.
    fn begin_hard(&self, cause: Cause, asked: bool) -> bool {
        let (begins, cause) = {
            let mut state = lock(&self.state);
            match &state.hard {
                Some((_, noted)) => (false, noted.clone()),
                // The last may have ended since the grace was over.
                None if !asked && state.entries.is_empty() => return false,
                None => {
                    state.hard = Some((self.parent.now(), cause.clone()));
                    state.canceled = state.entries.len();
                    // Else the parent's end has begun it.
                    (!self.working.is_done(), cause)
                }
            }
        };
        self.stop_working.cancel_with(cause);
        begins
    }

    /// What is done when stopping has begun. In a hard stop that is `working` first, whose wakers may hold the rest up.
    pub(super) fn stops(&self) -> Context {
        let (stops, guard) = Context::merge([&self.accepting, &self.working]);
        guard.disarm();
        stops
    }

    /// Over when the soft phase is. Notes that it has begun, where the parent's end began it.
    pub(super) fn soft_ends(self: &Arc<Self>) -> Limit {
        let cause = self.accepting.cause().or_else(|| self.working.cause());
        if let Some(cause) = cause {
            self.begin_soft(cause);
        }
        self.grace()
    }

    /// Over when the hard phase is, which begins now at the latest; where all work has ended, there is none. The callback that
    /// waits for the grace may not have come to its end.
    pub(super) fn hard_ends(&self) -> Limit {
        self.end_grace();
        Limit::new(&self.idle, self.cleanup_left())
    }

    pub(super) fn cleanup(&self, ctx: &Context) -> (Context, CancelGuard) {
        self.note_parents_end();
        let ctx = ctx.without_cancel();
        let left = self.cleanup_left();
        // The time is the same there, and nobody stops it.
        let standing = ctx.has_own_timer_thread().then(|| elsewhere(&ctx));
        let by = standing.iter().chain([&ctx]);
        by.map(|ctx| held(ctx, |ctx| ctx.with_timeout(left)))
            .find(|(cleanup, _)| !is_unkept(cleanup))
            .unwrap_or_else(|| Context::merge([&ctx, &self.cleaning]))
    }

    fn cleanup_left(&self) -> Duration {
        // The clock of an engine that is shut down may stand, and says nothing of this.
        if self.cleaning.is_done() {
            return Duration::ZERO;
        }
        let began = lock(&self.state).hard.as_ref().map(|(began, _)| *began);
        self.limits.cleanup.saturating_sub(self.since(began))
    }

    fn since(&self, began: Option<Instant>) -> Duration {
        began.map_or(Duration::ZERO, |began| {
            self.parent.now().saturating_duration_since(began)
        })
    }

    pub(super) fn registered(&self) -> Vec<Late> {
        let now = self.parent.now();
        lock(&self.state).registered(now)
    }

    /// How it went, for who has waited for the whole of it.
    pub(super) fn report(&self) -> ShutdownReport {
        let now = self.parent.now();
        let report = {
            let state = lock(&self.state);
            let soft = state.soft.clone();
            let (began, cause) = soft.unwrap_or_else(|| (now, ShutdownCause::Requested.into()));
            ShutdownReport {
                cause,
                drained: state.drained,
                canceled: state.canceled,
                panicked: state.panicked.clone(),
                late: state.registered(now),
                took: now.saturating_duration_since(began),
            }
        };
        if !report.late.is_empty() {
            self.stop_cleaning.cancel_with(Error::DeadlineExceeded);
        }
        report
    }

    /// The parent's end began both phases, and nobody may have noted them yet.
    fn note_parents_end(&self) {
        if let Some(cause) = self.working.cause() {
            let noted = lock(&self.state).hard.is_some();
            if !noted {
                self.stop_now(cause);
            }
        }
    }

    pub(super) fn leave(&self, serial: u64, name: &Arc<str>) {
        // This is part of how they went.
        self.note_parents_end();
        let panicked = std::thread::panicking();
        {
            let mut state = lock(&self.state);
            state.entries.remove(&serial);
            if state.soft.is_none() {
                return;
            }
            if state.hard.is_none() {
                state.drained += 1;
            }
            if panicked {
                state.panicked.push(Arc::clone(name));
            }
            if !state.entries.is_empty() {
                return;
            }
        }
        self.all_ended.cancel();
    }
}

/// Has the grace ended whether anybody waits for it or not, as long as the shutdown is there.
fn end_after(inner: Weak<Inner>, mut grace: Limit) {
    let end = grace.end().clone();
    end.after_func(move || {
        if grace.goes_on() {
            end_after(inner, grace);
        } else if let Some(inner) = inner.upgrade() {
            inner.end_grace();
        }
    });
}

impl State {
    fn registered(&self, now: Instant) -> Vec<Late> {
        let late = |entry: &Entry| Late {
            name: Arc::clone(&entry.name),
            age: now.saturating_duration_since(entry.since),
        };
        self.entries.values().map(late).collect()
    }
}
