//! What [`Stats`] counts, as Prometheus reads it: `/metrics`.
//!
//! The numbers are copied when they are asked for, so they are those of `/stats`, and counting costs a request nothing more. Only
//! how long requests take is recorded here, as they end.

use super::stats::{Ending, Stats};
use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::fmt;
use std::time::Duration;

/// The type of what [`Metrics::text`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0];

/// A recorder of its own, and not the process's: gateway and backend count apart.
pub struct Metrics {
    recorder: PrometheusHandle,
    ended: [Counter; Ending::ALL.len()],
    interrupted: Counter,
    live: Gauge,
    working: Gauge,
    querying: Gauge,
    contexts: Gauge,
    calls: Gauge,
    took: Histogram,
}

impl Metrics {
    /// A request has ended, after so long.
    pub fn took(&self, duration: Duration) {
        self.took.record(duration);
    }

    /// Has what was recorded added up. Until then each is kept; [`text`](Self::text) does it too, but may never be asked for.
    pub fn add_up(&self) {
        self.recorder.run_upkeep();
    }

    /// The numbers as they are now; `calls` are those that the backend is at.
    pub fn text(&self, stats: &Stats, calls: u64) -> String {
        for ending in Ending::ALL {
            self.ended[ending as usize].absolute(stats.ended(ending));
        }
        self.interrupted.absolute(stats.interrupted.get());
        for (gauge, now) in [
            (&self.live, stats.requests.get()),
            (&self.working, stats.working.get()),
            (&self.querying, stats.querying.get()),
            (&self.contexts, stats.contexts.get()),
            (&self.calls, calls),
        ] {
            gauge.set(now as f64);
        }
        self.recorder.render()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)
            .expect("there are some")
            .build_recorder();
        metrics::with_local_recorder(&recorder, || Self {
            recorder: recorder.handle(),
            ended: {
                let name = "gateway_requests_total";
                metrics::describe_counter!(name, "Requests by how they ended.");
                Ending::ALL.map(|ending| metrics::counter!(name, "ending" => ending.name()))
            },
            interrupted: {
                let name = "gateway_queries_interrupted_total";
                metrics::describe_counter!(name, "Queries that ended with their context.");
                metrics::counter!(name)
            },
            live: gauge(
                "gateway_requests_live",
                "Requests that are not answered yet.",
            ),
            working: gauge("gateway_loops_live", "Loops that count primes."),
            querying: gauge("gateway_queries_live", "Queries that SQLite is at."),
            contexts: gauge(
                "gateway_contexts_live",
                "Contexts of requests of which somebody has a handle.",
            ),
            calls: gauge(
                "gateway_backend_calls_live",
                "Calls that the backend is at, where it runs here.",
            ),
            took: {
                let name = "gateway_request_duration_seconds";
                metrics::describe_histogram!(
                    name,
                    Unit::Seconds,
                    "From a request's headers to its answer, or its hang-up."
                );
                metrics::histogram!(name)
            },
        })
    }
}

fn gauge(name: &'static str, help: &'static str) -> Gauge {
    metrics::describe_gauge!(name, help);
    metrics::gauge!(name)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
