//! The clocks of the reference: that of the process, which runs, and two that stand until they are moved.

use super::ops::NEVER;
use std::time::{Duration, Instant};

/// Which engine; 0: the one of the process.
pub(crate) type EngineId = usize;

/// Longer than a history is played for: on the engine of the process, what is so far ahead never comes.
pub(crate) const DISTANT: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub(crate) struct Clocks {
    engines: Vec<Clock>,
}

#[derive(Debug)]
struct Clock {
    start: Instant,
    /// `None`: it runs.
    stands_at: Option<Instant>,
    is_stopped: bool,
}

impl Clocks {
    /// `manual`: where the clocks of the engines from 1 on stand.
    pub(crate) fn new(manual: &[Instant]) -> Self {
        let clock = |start, stands_at| Clock {
            start,
            stands_at,
            is_stopped: false,
        };
        let mut engines = vec![clock(Instant::now(), None)];
        engines.extend(manual.iter().map(|at| clock(*at, Some(*at))));
        Self { engines }
    }

    pub(crate) fn now(&self, engine: EngineId) -> Instant {
        self.engines[engine].stands_at.unwrap_or_else(Instant::now)
    }

    /// How far it has come.
    pub(crate) fn age(&self, engine: EngineId) -> Duration {
        self.now(engine) - self.engines[engine].start
    }

    pub(crate) fn runs(&self, engine: EngineId) -> bool {
        self.engines[engine].stands_at.is_none()
    }

    pub(crate) fn advance(&mut self, engine: EngineId, by: Duration) {
        if let Some(at) = &mut self.engines[engine].stands_at {
            *at += by;
        }
    }

    pub(crate) fn stop(&mut self, engine: EngineId) {
        self.engines[engine].is_stopped = true;
    }

    pub(crate) fn is_stopped(&self, engine: EngineId) -> bool {
        self.engines[engine].is_stopped
    }

    /// So long after the present; `None`: never.
    pub(crate) fn after(&self, engine: EngineId, span: Duration) -> Option<Instant> {
        self.now(engine)
            .checked_add(span)
            .filter(|at| self.can_be(engine, *at))
    }

    /// Whether it is near enough to be a deadline: no span is between 292 years and [`NEVER`].
    pub(crate) fn can_be(&self, engine: EngineId, at: Instant) -> bool {
        at.saturating_duration_since(self.engines[engine].start) < NEVER
    }
}
