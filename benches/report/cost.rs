//! Figures and how they read.

use std::fmt::{self, Display, Formatter};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds.
    Time,
    Bytes,
    Count,
}

impl Unit {
    /// The unit that fits a value, and its size.
    fn scale(self, value: f64) -> (f64, &'static str) {
        match self {
            Self::Time if value < 1e3 => (1.0, " ns"),
            Self::Time if value < 1e6 => (1e3, " µs"),
            Self::Time => (1e6, " ms"),
            Self::Bytes => (1.0, " B"),
            Self::Count => (1.0, ""),
        }
    }

    pub(crate) fn show(self, value: f64) -> String {
        let (size, name) = self.scale(value);
        format!("{}{name}", digits(value / size))
    }
}

/// Three digits, as far as they mean something.
pub(crate) fn digits(value: f64) -> String {
    let decimals = match value {
        v if v == v.trunc() && v < 10.0 => 0,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// One turn's figure and its interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Round {
    pub(crate) fn exact(value: f64) -> Self {
        Self {
            median: value,
            low: value,
            high: value,
        }
    }

    pub(crate) fn divided_by(self, n: f64) -> Self {
        Self {
            median: self.median / n,
            low: self.low / n,
            high: self.high / n,
        }
    }
}

/// A subject's figures of all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) unit: Unit,
    pub(crate) rounds: Vec<Round>,
}

impl Cost {
    pub(crate) fn median(&self) -> f64 {
        middle(self.rounds.iter().map(|round| round.median))
    }

    /// The median of the rounds' own ratios.
    pub(crate) fn over(&self, other: &Self) -> f64 {
        let rounds = self.rounds.iter().zip(&other.rounds);
        middle(rounds.map(|(own, other)| own.median / other.median))
    }
}

impl Display for Cost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let median = self.median();
        // The lowest and the highest end of the rounds' intervals: a drift between rounds shows here.
        let low = self.rounds.iter().map(|r| r.low).fold(f64::MAX, f64::min);
        let high = self.rounds.iter().map(|r| r.high).fold(0.0, f64::max);
        let (size, _) = self.unit.scale(median);
        f.write_str(&self.unit.show(median))?;
        if low < high {
            let [low, high] = [low, high].map(|end| digits(end / size));
            write!(f, " ({low} to {high})")?;
        }
        Ok(())
    }
}

pub(crate) fn middle(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
