//! Contexts with a deadline, and merged ones.

use super::clock::{DISTANT, EngineId};
use super::line::{Line, Part};
use super::ops::{Given, When};
use super::play::World;
use super::reference::At;
use super::values::Seen;
use ripcord::{Context, Error};
use std::time::{Duration, Instant};

enum Asked {
    After(Duration),
    /// `None`: there is no such instant.
    At(Option<Instant>),
}

impl World {
    pub(super) fn derive_timed(&mut self, parent: u8, when: When, why: Given) {
        let parent = self.context(parent);
        let At { engine, .. } = parent.at;
        let (why, cause) = self.give(why, Error::DeadlineExceeded);
        let inherited = self.tree.deadline(parent.at);
        let early = self.tree.clocks.now(engine);
        let asked = match when {
            When::After(span) => Asked::After(self.distant(engine, span)),
            When::At(span) => Asked::At(early.checked_add(self.distant(engine, span))),
            When::Ago(span) => Asked::At(early.checked_sub(span)),
            When::Inherited(by) => Asked::At(inherited.map(|at| match by {
                ..0 => at - Duration::from_nanos(1),
                0 => at,
                1.. => at + Duration::from_nanos(1),
            })),
        };
        let ctx = &parent.ctx;
        let (made, at) = match asked {
            Asked::After(span) => {
                let made = match cause {
                    None => ctx.with_timeout(span),
                    Some(cause) => ctx.with_timeout_cause(span, cause),
                };
                let late = self.tree.clocks.after(engine, span);
                let mut at = early.checked_add(span);
                // By a clock that runs, it is what the engine says, if it can be.
                let said = made.0.deadline();
                if said > at && said <= late && said != inherited {
                    at = said;
                }
                (made, at)
            }
            Asked::At(at) => {
                let is_near = |at: &Instant| *at > early && *at < early + DISTANT;
                let at = at.filter(|at| !(self.tree.clocks.runs(engine) && is_near(at)));
                let at = at.unwrap_or(early);
                let made = match cause {
                    None => ctx.with_deadline(at),
                    Some(cause) => ctx.with_deadline_cause(at, cause),
                };
                (made, Some(at))
            }
        };
        let id = self.tree.derive_timed(parent.at, at, why);
        let own = at.filter(|at| inherited.is_none_or(|inherited| *at < inherited));
        let part = match own.filter(|at| self.tree.clocks.can_be(engine, *at)) {
            Some(at) => Part::Deadline(engine, at),
            None => Part::Cancel,
        };
        self.adopt(made, &parent, id, part);
    }

    /// By a clock that runs nothing is to become due.
    pub(super) fn distant(&self, engine: EngineId, span: Duration) -> Duration {
        if self.tree.clocks.runs(engine) && !span.is_zero() {
            span.saturating_add(DISTANT)
        } else {
            span
        }
    }

    pub(super) fn merge(&mut self, named: &[u8]) {
        let parents: Vec<_> = named.iter().map(|n| self.context(*n)).collect();
        let (ctx, guard) = Context::merge(parents.iter().map(|parent| &parent.ctx));
        let ats: Vec<_> = parents.iter().map(|parent| parent.at).collect();
        let at = self.tree.merge(&ats);
        let is_engine = |at: &At| at.engine != 0 && at.node.is_none();
        let lines = parents
            .iter()
            .filter_map(|parent| parent.at.node.map(|id| (id, &parent.line)));
        let seen = Seen::merge(parents.iter().map(|parent| &parent.seen));
        // One born done is not linked to those after the parent it has its end from.
        let is_said = !self.tree.is_done(at)
            && !ats.iter().any(is_engine)
            && (seen == Seen::default() || ats.iter().any(|at| at.node.is_some()));
        let line = Line::merge(is_said.then(|| lines.collect()));
        self.hold_new((ctx, guard), at, seen, line);
    }
}
