//! What the load saw, in a few lines.

use super::stats::{Ending, Stats};
use hdrhistogram::Histogram;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What one client saw, or all of them.
#[derive(Default)]
pub struct Tally {
    /// Of the requests that were answered with 200.
    pub latency: Durations,
    ended: [u64; Ending::ALL.len()],
}

impl Tally {
    pub fn count(&mut self, ending: Ending) {
        self.ended[ending as usize] += 1;
    }

    pub fn add(&mut self, other: Self) {
        self.latency.0 += other.latency.0;
        for (sum, count) in self.ended.iter_mut().zip(other.ended) {
            *sum += count;
        }
    }
}

/// A histogram of durations, to the microsecond and to three digits.
pub struct Durations(Histogram<u64>);

impl Default for Durations {
    fn default() -> Self {
        Self(Histogram::new(3).expect("it can keep three digits"))
    }
}

impl Extend<Duration> for Durations {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, durations: I) {
        for duration in durations {
            let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            // Fails only where the histogram must not grow.
            let _ = self.0.record(micros);
        }
    }
}

/// The whole.
pub struct Report {
    pub elapsed: Duration,
    pub clients: u16,
    pub tally: Tally,
    /// From the deadline to where the request's task saw its context done.
    pub lateness: Durations,
    /// What the gateway counted.
    pub stats: Arc<Stats>,
    /// Contexts that somebody still has when all clients are gone.
    pub live: u64,
}

impl Report {
    /// What is wrong with it; `None`: nothing is left, and the gateway did answer.
    pub fn fault(&self) -> Option<String> {
        if self.live > 0 {
            Some(format!("{} contexts are still live", self.live))
        } else if self.tally.ended[Ending::Ok as usize] == 0 {
            Some("no request ended ok".to_owned())
        } else {
            None
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests: u64 = self.tally.ended.iter().sum();
        let rate = requests as f64 / self.elapsed.as_secs_f64();
        writeln!(
            f,
            "{requests} requests in {:.1} s by {} clients: {rate:.0} requests/s",
            self.elapsed.as_secs_f64(),
            self.clients
        )?;
        let latency = Quantiles(&self.tally.latency, &[0.5, 0.99, 0.999]);
        writeln!(f, "latency of the ok  {latency}")?;
        write!(f, "clients saw        ")?;
        endings(f, |ending| self.tally.ended[ending as usize])?;
        write!(f, "gateway counted    ")?;
        endings(f, |ending| self.stats.ended(ending))?;
        let late = Quantiles(&self.lateness, &[0.5, 0.99]);
        write!(f, "deadline lateness  {late}")?;
        match self.lateness.0.len() {
            0 => writeln!(f)?,
            count => writeln!(f, ", of {count}")?,
        }
        write!(f, "contexts live      {}", self.live)
    }
}

fn endings(f: &mut fmt::Formatter<'_>, count: impl Fn(Ending) -> u64) -> fmt::Result {
    for ending in Ending::ALL {
        write!(f, "{} {}  ", ending.name(), count(ending))?;
    }
    writeln!(f)
}

/// Prints these quantiles, and the greatest; of nothing, `none`.
struct Quantiles<'a>(&'a Durations, &'a [f64]);

impl fmt::Display for Quantiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Durations(histogram), quantiles) = self;
        if histogram.is_empty() {
            return f.write_str("none");
        }
        for quantile in *quantiles {
            let value = histogram.value_at_quantile(*quantile);
            let percent = (quantile * 1000.0).round() / 10.0;
            write!(f, "p{percent} {:.2?}  ", Duration::from_micros(value))?;
        }
        write!(f, "max {:.2?}", Duration::from_micros(histogram.max()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(endings: &[Ending], live: u64) -> Report {
        let mut tally = Tally::default();
        for ending in endings {
            tally.count(*ending);
        }
        Report {
            elapsed: Duration::from_secs(1),
            clients: 1,
            tally,
            lateness: Durations::default(),
            stats: Arc::default(),
            live,
        }
    }

    #[test]
    fn a_load_of_which_nothing_is_ok_or_something_is_left_is_at_fault() {
        let none_ok = report(&[Ending::Bad, Ending::Deadline], 0);
        assert_eq!(none_ok.fault().as_deref(), Some("no request ended ok"));
        let left = report(&[Ending::Ok], 2);
        assert_eq!(left.fault().as_deref(), Some("2 contexts are still live"));
        assert_eq!(report(&[Ending::Ok, Ending::Other], 0).fault(), None);
    }

    #[test]
    fn what_was_never_measured_is_none() {
        let report = report(&[Ending::Bad], 0).to_string();
        for line in ["latency of the ok  none\n", "deadline lateness  none\n"] {
            assert!(report.contains(line), "{report}");
        }
    }
}
