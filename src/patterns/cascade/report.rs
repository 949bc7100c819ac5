//! How the stages went. Plain data.

use crate::Cause;
use std::fmt;
use std::time::Duration;

/// How the stages of a [`Cascade`](super::Cascade) went, in order; printed, it is a line for a log.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "it says which stages failed"]
pub struct Report {
    /// Each stage.
    pub stages: Vec<Stage>,
}

/// How one stage went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it had its turn.
    pub took: Duration,
}

/// How a stage ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Well.
    Ended,
    /// With an error: its own, that of its context, or that of a thread that could not be started for it.
    Failed(Cause),
    /// With a panic, that said this.
    Panicked(String),
    /// It had not returned when its limit and the patience were over. Its thread goes on.
    GivenUp,
    /// It had no turn.
    Skipped,
}

impl Report {
    /// The stages that did not end well. Wait-free.
    pub fn failed(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(|stage| !stage.outcome.is_ended())
    }

    /// The report, where every stage ended well.
    ///
    /// # Errors
    ///
    /// The report, where one did not. Wait-free.
    pub fn into_result(self) -> Result<Self, Self> {
        if self.stages.iter().all(|stage| stage.outcome.is_ended()) {
            Ok(self)
        } else {
            Err(self)
        }
    }
}

impl Stage {
    pub(super) fn new(name: String, outcome: Outcome, took: Duration) -> Self {
        Self {
            name,
            outcome,
            took,
        }
    }

    pub(super) fn skipped(name: String) -> Self {
        Self::new(name, Outcome::Skipped, Duration::ZERO)
    }
}

impl Outcome {
    pub(super) fn of(result: Result<(), Cause>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Ended)
    }

    /// Whether the stage ended well. Wait-free.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Stage { name, outcome, .. }) in self.stages.iter().enumerate() {
            let before = if index == 0 { "" } else { "; " };
            write!(f, "{before}{name}: {outcome}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("ended"),
            Self::Failed(cause) => write!(f, "failed: {cause}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::GivenUp => f.write_str("given up"),
            Self::Skipped => f.write_str("skipped"),
        }
    }
}

impl std::error::Error for Report {}
