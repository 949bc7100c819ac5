//! The phases of a shutdown: the contexts that end with each, and who is still there.
//!
//! ```text
//!  parent ─► accepting   done when the soft phase has been noted
//!         ─► working     done when the hard phase begins; every piece of registered work hangs below it
//!         ─► grace       there when the soft phase is noted; its end begins the hard phase
//!  (none) ─► idle        done when stopping has begun and nobody is registered any more
//! ```
//!
//! The lock is held while an entry is put in or taken out and phases are noted, and for nothing else: contexts are cancelled, and
//! entries dropped, after. Whoever noted a phase first is who cancels for it; who finds the hard one noted cancels too.

use super::{Late, ShutdownBuilder, ShutdownCause, ShutdownReport, Stopping};
use crate::patterns::limit::{held, is_cut_short};
use crate::patterns::lock::lock;
use crate::{AfterFunc, CancelGuard, Cause, Context};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
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
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    next_serial: u64,
    /// Of the soft phase, there with it.
    cause: Option<Cause>,
    soft: Option<Instant>,
    hard: Option<Instant>,
    /// Of the hard phase, there with it.
    hard_cause: Option<Cause>,
    /// Somebody has waited for the whole of it. The clock of an engine that is shut down may stand, and says nothing of that.
    cleanup_over: bool,
    grace: Option<Grace>,
    /// How many were made.
    graces: u64,
    drained: usize,
    canceled: usize,
    panicked: Vec<Arc<str>>,
}

struct Entry {
    name: Arc<str>,
    since: Instant,
}

struct Grace {
    /// Which of those there have been.
    number: u64,
    /// Armed after the soft phase was noted.
    end: Option<AfterFunc>,
    ctx: Context,
    _guard: CancelGuard,
}

impl Inner {
    pub(super) fn new(parent: &Context, limits: ShutdownBuilder) -> Self {
        let (accepting, stop_accepting) = parent.with_cancel();
        let (working, stop_working) = parent.with_cancel();
        let (idle, all_ended) = parent.without_cancel().with_cancel();
        Self {
            parent: parent.clone(),
            limits,
            accepting,
            stop_accepting,
            working,
            stop_working,
            idle,
            all_ended,
            state: Mutex::default(),
        }
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

    pub(super) fn begin_soft(self: &Arc<Self>, cause: Cause, grace: Duration) -> bool {
        let Some(nobody) = self.note_soft(&cause, grace) else {
            return false;
        };
        self.arm();
        if !nobody && grace.is_zero() {
            self.begin_hard(ShutdownCause::GraceOver(grace).into());
        }
        self.tell_soft(cause, nobody);
        true
    }

    pub(super) fn stop_now(&self, cause: Cause) -> bool {
        let soft = self.note_soft(&cause, Duration::MAX);
        let begun = self.begin_hard(cause.clone());
        if let Some(nobody) = soft {
            self.tell_soft(cause, nobody);
        }
        begun
    }

    /// Last of all: whoever is told here may hold the stop up, and what else there is to see of it is there by then.
    fn tell_soft(&self, cause: Cause, nobody: bool) {
        if nobody {
            self.all_ended.cancel();
        }
        self.stop_accepting.cancel_with(cause);
    }

    /// Notes the soft phase together with its grace, so that whoever sees the one finds the other. Answers whether nobody is
    /// registered; `None`: it was noted before.
    fn note_soft(&self, cause: &Cause, length: Duration) -> Option<bool> {
        let mut made = None;
        loop {
            {
                let mut state = lock(&self.state);
                if state.soft.is_some() {
                    break None;
                }
                let nobody = state.entries.is_empty();
                let needed = !nobody && !length.is_zero() && length < Duration::MAX;
                if !needed || made.is_some() {
                    state.soft = Some(self.parent.now());
                    state.cause = Some(cause.clone());
                    state.grace = if needed { made.take() } else { None };
                    break Some(nobody);
                }
            }
            // Not under the lock: to arm may tell others that their time has come.
            made = Some(self.grace(length));
        }
    }

    fn grace(&self, length: Duration) -> Grace {
        let cause = || ShutdownCause::GraceOver(self.limits.grace);
        let (ctx, guard) = held(&self.parent, |parent| {
            parent.with_timeout_cause(length, cause())
        });
        let number = {
            let mut state = lock(&self.state);
            state.graces += 1;
            state.graces
        };
        Grace {
            number,
            end: None,
            ctx,
            _guard: guard,
        }
    }

    /// Somebody begins the hard phase when the grace is over, whether anybody waits or not.
    fn arm(self: &Arc<Self>) {
        let of = lock(&self.state)
            .grace
            .as_ref()
            .map(|grace| (grace.ctx.clone(), grace.number));
        let Some((grace, number)) = of else {
            return;
        };
        let inner = Arc::downgrade(self);
        let end = grace.after_func(move || {
            if let Some(inner) = inner.upgrade()
                && !inner.renew_grace()
            {
                inner.after_grace();
            }
        });
        let late = match &mut lock(&self.state).grace {
            Some(grace) if grace.number == number => grace.end.replace(end),
            // Another is in its place, and is armed by who put it there.
            _ => Some(end),
        };
        if let Some(end) = late {
            end.stop();
        }
    }

    /// Where the engine was shut down before the grace was over, has the rest of it kept elsewhere, and answers that it has.
    pub(super) fn renew_grace(self: &Arc<Self>) -> bool {
        let is_cut_short = |state: &State| {
            let grace = state.grace.as_ref();
            grace.is_some_and(|grace| is_cut_short(&grace.ctx, &self.parent))
        };
        let used = {
            let state = lock(&self.state);
            if !is_cut_short(&state) {
                return false;
            }
            self.since(state.soft)
        };
        let rest = self.grace(self.limits.grace.saturating_sub(used));
        let other = {
            let mut state = lock(&self.state);
            if is_cut_short(&state) {
                state.grace.replace(rest)
            } else {
                Some(rest)
            }
        };
        drop(other);
        self.arm();
        true
    }

    fn after_grace(&self) {
        // Under the lock: one that was taken out is ended by its guard, and that is no end of the grace.
        let cause = {
            let state = lock(&self.state);
            let noted = state.hard_cause.clone();
            noted.or_else(|| state.grace.as_ref()?.ctx.cause())
        };
        if let Some(cause) = cause {
            self.begin_hard(cause);
        }
    }

    fn grace_ctx(&self) -> Option<Context> {
        lock(&self.state).grace.as_ref().map(|it| it.ctx.clone())
    }

    pub(super) fn begin_hard(&self, cause: Cause) -> bool {
        let (begun, cause, grace) = {
            let mut state = lock(&self.state);
            match &state.hard_cause {
                Some(noted) => (false, noted.clone(), None),
                None => {
                    state.hard = Some(self.parent.now());
                    state.hard_cause = Some(cause.clone());
                    state.canceled = state.entries.len();
                    (true, cause, state.grace.take())
                }
            }
        };
        // Who noted it may not have come to this, and whoever is here goes by it.
        self.stop_working.cancel_with(cause);
        drop(grace);
        begun
    }

    /// Whether what is done when the soft phase is over is to be asked for again: of several who wait, one has had the grace
    /// renewed, and the others find it so.
    pub(super) fn soft_goes_on(self: &Arc<Self>) -> bool {
        if self.idle.is_done() || self.working.is_done() {
            return false;
        }
        self.renew_grace() || self.grace_ctx().is_some_and(|grace| !grace.is_done())
    }

    /// What is done when stopping has begun. In a hard stop that is `working` first, whose wakers may hold the rest up.
    pub(super) fn stops(&self) -> (Context, CancelGuard) {
        Context::merge([&self.accepting, &self.working])
    }

    /// What is done when the soft phase is over. Notes that it has begun, where the parent's end began it.
    pub(super) fn soft_ends(self: &Arc<Self>) -> (Context, CancelGuard) {
        let cause = self.accepting.cause().or_else(|| self.working.cause());
        if let Some(cause) = cause {
            self.begin_soft(cause, self.limits.grace);
        }
        let grace = self.grace_ctx();
        Context::merge([&self.idle, &self.working].into_iter().chain(&grace))
    }

    /// What is done when the hard phase is over; where all work has ended, there is none. The end of the grace that
    /// `soft_ends` saw may not have come to its callback.
    pub(super) fn hard_ends(&self) -> (Context, CancelGuard) {
        if !self.idle.is_done() {
            match self.working.cause() {
                Some(cause) => {
                    self.begin_hard(cause);
                }
                None => self.after_grace(),
            }
        }
        held(&self.idle, |idle| idle.with_timeout(self.cleanup_left()))
    }

    /// Whether that is to be asked for again: the engine was shut down before the limit was over.
    pub(super) fn hard_goes_on(&self, end: &Context) -> bool {
        if is_cut_short(end, &self.idle) {
            return true;
        }
        if !self.idle.is_done() {
            lock(&self.state).cleanup_over = true;
        }
        false
    }

    pub(super) fn cleanup_left(&self) -> Duration {
        let began = {
            let state = lock(&self.state);
            if state.cleanup_over {
                return Duration::ZERO;
            }
            state.hard
        };
        let used = self.since(began);
        match self.limits.cleanup {
            Duration::MAX => Duration::MAX,
            limit => limit.saturating_sub(used),
        }
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

    pub(super) fn report(&self) -> ShutdownReport {
        let now = self.parent.now();
        let cause = self.accepting.cause();
        let state = lock(&self.state);
        let cause = cause.or_else(|| state.cause.clone());
        let late = state.registered(now);
        ShutdownReport {
            cause: cause.unwrap_or_else(|| ShutdownCause::Requested.into()),
            drained: state.drained,
            canceled: state.canceled,
            panicked: state.panicked.clone(),
            late,
            took: state
                .soft
                .map_or(Duration::ZERO, |began| now.saturating_duration_since(began)),
        }
    }

    pub(super) fn leave(&self, serial: u64, name: &Arc<str>) {
        // The parent's end began both phases, and nobody may have noted them yet: this is part of how they went.
        if let Some(cause) = self.working.cause() {
            let noted = lock(&self.state).hard.is_some();
            if !noted {
                self.stop_now(cause);
            }
        }
        let panicked = std::thread::panicking();
        let grace = {
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
            state.grace.take()
        };
        self.all_ended.cancel();
        drop(grace);
    }
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

/// Its callback is kept from running, before its guard ends the context that runs it.
impl Drop for Grace {
    fn drop(&mut self) {
        if let Some(end) = &self.end {
            end.stop();
        }
    }
}
