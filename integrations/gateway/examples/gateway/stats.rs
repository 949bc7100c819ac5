//! What a server counts.

use super::metrics::Metrics;
use hyper::StatusCode;
use ripcord::Key;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Ok,
    Deadline,
    ClientGone,
    Bad,
    /// Whatever else: a shutdown, a backend that failed.
    Other,
}

impl Ending {
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::Deadline,
        Self::ClientGone,
        Self::Bad,
        Self::Other,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Deadline => "deadline",
            Self::ClientGone => "client-gone",
            Self::Bad => "bad",
            Self::Other => "other",
        }
    }

    pub fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::OK => Self::Ok,
            StatusCode::GATEWAY_TIMEOUT => Self::Deadline,
            StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::Bad,
            _ => Self::Other,
        }
    }
}

/// Counters, and where the lateness of deadlines goes.
#[derive(Debug, Default)]
pub struct Stats {
    /// Requests that are not answered yet.
    pub requests: Gauge,
    /// CPU loops that run.
    pub working: Gauge,
    /// Queries that SQLite is at.
    pub querying: Gauge,
    /// Request contexts of which somebody has a handle.
    pub contexts: Gauge,
    /// Queries that ended with their context, and not by themselves.
    pub interrupted: Counter,
    pub metrics: Metrics,
    ended: [Counter; Ending::ALL.len()],
    lateness: Option<Sender<Duration>>,
}

impl Stats {
    /// Stats that send on how late after its deadline each request was seen to be done. Somebody has to receive it.
    pub fn with_lateness(lateness: Sender<Duration>) -> Self {
        Self {
            lateness: Some(lateness),
            ..Self::default()
        }
    }

    pub fn count(&self, ending: Ending) {
        self.ended[ending as usize].add();
    }

    pub fn ended(&self, ending: Ending) -> u64 {
        self.ended[ending as usize].get()
    }

    pub fn record_lateness(&self, late: Duration) {
        if let Some(lateness) = &self.lateness {
            // Nobody receives any more when the report is written.
            let _ = lateness.send(late);
        }
    }
}

/// One `name value` a line: what `/stats` answers.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "live {}", self.requests.get())?;
        writeln!(f, "working {}", self.working.get())?;
        writeln!(f, "querying {}", self.querying.get())?;
        writeln!(f, "contexts {}", self.contexts.get())?;
        for ending in Ending::ALL {
            writeln!(f, "{} {}", ending.name(), self.ended(ending))?;
        }
        writeln!(f, "interrupted {}", self.interrupted.get())
    }
}

/// How many there have been of something.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many there are of something.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Counts one for as long as the answer lives.
    pub fn enter(&self) -> Entered {
        self.0.fetch_add(1, Relaxed);
        Entered(self.clone())
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug)]
pub struct Entered(Gauge);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// What [`Stats::contexts`] counts: a value lives as long as any context that can see it, so one that leaks shows.
pub static IN_CONTEXT: Key<Entered> = Key::new("counted");
