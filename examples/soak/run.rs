//! Phases, quiet points, and what is said of them.

use super::ledger::Ledger;
use super::phase::{self, Shape};
use super::quiet::{self, Bytes, percent};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
const LONGEST_PHASE: Duration = Duration::from_secs(8);
const SHORTEST_PHASE: Duration = Duration::from_millis(250);

/// The first is the warm-up, the second what the others are compared with.
const PERIODS: usize = 3;

/// How far bytes may be from those of the second period.
const WITHIN: f64 = 1.0;

/// Bytes that do not matter, in a build without the pool, where there is little else: a queue that has once been longer.
const SLACK: isize = 4_096;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) length: Duration,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
}

impl Plan {
    /// Time to have minutes to compare.
    fn is_long(&self) -> bool {
        self.length >= PERIODS as u32 * MINUTE
    }

    fn phase(&self) -> Duration {
        (self.length / 8).clamp(SHORTEST_PHASE, LONGEST_PHASE)
    }
}

/// What is compared: the most that was seen at a quiet point of a period.
#[derive(Clone, Copy, Debug)]
struct Period {
    at_rest: isize,
    live: isize,
    pool: isize,
}

impl Period {
    const NOTHING: Self = Self {
        at_rest: 0,
        live: 0,
        pool: 0,
    };

    fn see(&mut self, bytes: Bytes) {
        self.at_rest = self.at_rest.max(bytes.at_rest());
        self.live = self.live.max(bytes.live - bytes.forgotten);
        self.pool = self.pool.max(bytes.pool - bytes.forgotten);
    }

    /// In percent, of each.
    fn growth(&self, since: &Self) -> [f64; 3] {
        [
            percent(self.at_rest, since.at_rest),
            percent(self.live, since.live),
            percent(self.pool, since.pool),
        ]
    }
}

/// Works, and says what it sees.
///
/// # Errors
///
/// What was wrong.
pub(crate) fn run(plan: &Plan, say: impl FnMut(&str)) -> Result<(), String> {
    let ledger = Arc::new(Ledger::default());
    let hook = panic::take_hook();
    ledger.watch_panics();
    let result = run_with(&ledger, plan, say);
    panic::set_hook(hook);
    result
}

/// As [`run`], with the books kept by the caller.
///
/// # Errors
///
/// What was wrong.
pub(crate) fn run_with(
    ledger: &Arc<Ledger>,
    plan: &Plan,
    mut say: impl FnMut(&str),
) -> Result<(), String> {
    say(if plan.is_long() {
        "bytes of a minute are the most at its quiet points, and from the second minute on within 1 %"
    } else {
        "bytes at rest are from the second quiet point on within 1 %: it is too short to compare minutes"
    });
    let mut seeds = fastrand::Rng::with_seed(plan.seed);
    let began = Instant::now();
    let mut second = None;
    let mut period = Period::NOTHING;
    let (mut periods, mut period_ends) = (0, MINUTE);
    for number in 0.. {
        if !phase::run(
            ledger,
            Shape {
                length: plan.phase(),
                threads: plan.threads,
                seed: seeds.u64(..),
                hooks: number % 3 == 2,
                canceled: number % 2 == 1,
            },
        ) {
            break;
        }
        let bytes = quiet::look(ledger);
        period.see(bytes);
        let is_over = began.elapsed() >= plan.length && periods + 1 >= PERIODS;
        if plan.is_long() && began.elapsed() < period_ends && !is_over {
            ledger.verdict()?;
            continue;
        }
        periods += 1;
        period_ends += MINUTE;
        let since = *second.get_or_insert(period);
        say(&line(ledger, began.elapsed(), &period, &since, bytes));
        if periods == 2 {
            second = Some(period);
        } else if periods > 2 {
            compare(ledger, plan, &period, &since);
        }
        ledger.verdict()?;
        if is_over {
            break;
        }
        period = Period::NOTHING;
    }
    ledger.verdict()
}

fn compare(ledger: &Ledger, plan: &Plan, period: &Period, since: &Period) {
    let mut compared = vec![("bytes at rest", period.at_rest, since.at_rest)];
    if plan.is_long() {
        compared.extend([
            ("live bytes", period.live, since.live),
            ("bytes of the pool", period.pool, since.pool),
        ]);
    }
    for (what, now, before) in compared {
        let growth = percent(now, before);
        let within = growth.abs() <= WITHIN || (now - before).abs() <= SLACK;
        ledger.ensure(within, || {
            format!("{what} are {growth:+.2} % from what they were: {period:?}, {since:?}")
        });
    }
}

fn line(ledger: &Ledger, at: Duration, period: &Period, since: &Period, bytes: Bytes) -> String {
    let [at_rest, live, pool] = period.growth(since);
    let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::SeqCst);
    format!(
        "{:4} s: {} operations; at rest {} B ({at_rest:+.2} %), live {} B ({live:+.2} %), pool {} B ({pool:+.2} %), of it in use {} B \
         and forgotten {} B; {} counted and dropped once; {} functions ran, {} were stopped; {} deadlines; {} forgotten futures; \
         {} panics on purpose",
        at.as_secs(),
        ledger.operations.load(Ordering::SeqCst),
        period.at_rest,
        period.live,
        period.pool,
        bytes.in_use,
        bytes.forgotten,
        ledger.made(),
        count(&ledger.ran),
        count(&ledger.stopped),
        ledger.expired.load(Ordering::SeqCst),
        count(&ledger.forgotten),
        count(&ledger.panics),
    )
}
