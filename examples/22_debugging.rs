//! A monitor finds a context that somebody forgot, names it and the line that made it known, and draws the tree it hangs in:
//! as text, for Graphviz, and as JSON.
//!
//! Run with `cargo run --example 22_debugging`; with `--features origin` it also says which line made each context.

use ripcord::{CancelGuard, Context, ContextTree, Engine, Error, Leak, ManualClock};
use ripcord::{Monitor, MonitorStats};
use std::io;
use std::time::Duration;

/// What no request should take.
pub const TOO_LONG: Duration = Duration::from_secs(30);

pub fn main() -> io::Result<()> {
    let found = find_the_leak()?;
    println!("counted: {}", found.stats);
    for leak in &found.leaks {
        println!("leak: {leak}");
    }
    println!("\n{}", found.tree);
    println!("{}", found.tree.to_dot());
    println!("{}", found.tree.to_json());
    println!("the last events:");
    for event in found.events.iter().rev().take(5).rev() {
        println!("  {event}");
    }

    let (deadline, cancel) = who_ended_it();
    println!("\nthe query ended by: {deadline}");
    println!("the query ended by: {cancel}");
    Ok(())
}

/// What the monitor has to say of a service that ran for a minute.
pub struct Found {
    pub stats: MonitorStats,
    pub leaks: Vec<Leak>,
    pub tree: ContextTree,
    pub events: Vec<String>,
}

/// Three requests, of which two end as they should. A clock that is moved by hand makes the minute pass at once.
pub fn find_the_leak() -> io::Result<Found> {
    let monitor = Monitor::start();
    let (engine, clock) = Engine::builder().manual_clock()?;
    monitor.watch("requests", &engine);

    let mut service = Service::start(&engine, &monitor);
    service.answer("GET /fast", &monitor);
    service.time_out("GET /slow", &clock, &monitor);
    service.forget("GET /stream", &monitor);
    clock.advance(Duration::from_secs(60));

    // Before the counts: what was tracked and is over is kept until it is looked at.
    let mut leaks = monitor.leaks(TOO_LONG);
    leaks.retain(|leak| leak.name != "service"); // that is to be there for longer
    let events = monitor.events();
    Ok(Found {
        stats: monitor.engines()[0].1,
        leaks,
        tree: monitor.tree(&service.ctx),
        events: events.iter().map(|entry| entry.event.to_string()).collect(),
    })
}

struct Service {
    ctx: Context,
    _guard: CancelGuard,
    streams: Vec<(Context, CancelGuard)>,
}

impl Service {
    fn start(engine: &Engine, monitor: &Monitor) -> Self {
        let (ctx, guard) = engine.background().with_cancel();
        monitor.track(&ctx, "service");
        Self {
            ctx,
            _guard: guard,
            streams: Vec::new(),
        }
    }

    /// As it should be: the guard goes with the function.
    fn answer(&self, name: &str, monitor: &Monitor) {
        let (request, _guard) = self.ctx.with_timeout(TOO_LONG);
        monitor.track(&request, name);
    }

    /// This too: its deadline ends it.
    fn time_out(&self, name: &str, clock: &ManualClock, monitor: &Monitor) {
        let (request, _guard) = self.ctx.with_timeout(Duration::from_secs(5));
        monitor.track(&request, name);
        clock.advance(Duration::from_secs(5));
        assert_eq!(request.err(), Some(Error::DeadlineExceeded));
    }

    /// The mistake: kept in a list that nobody takes it off again, and without a deadline.
    fn forget(&mut self, name: &str, monitor: &Monitor) {
        let (request, guard) = self.ctx.with_cancel();
        monitor.track(&request, name);
        let (query, query_guard) = request.with_cancel();
        self.streams.push((request, guard));
        self.streams.push((query, query_guard));
    }
}

/// A query that is done says whether that was its own doing, its request's or the server's.
pub fn who_ended_it() -> (String, String) {
    let (request, _request_guard) = Context::background().with_timeout(Duration::from_millis(1));
    let slow = run_query(&request, |query| {
        query.wait();
    });
    let (request, client) = Context::background().with_cancel();
    let given_up = run_query(&request, |_| client.cancel());
    (slow, given_up)
}

/// Request, transaction, query: what the query says of its end.
fn run_query(request: &Context, work: impl FnOnce(&Context)) -> String {
    let (transaction, _guard) = request.with_cancel();
    let (query, _query_guard) = transaction.with_cancel();
    work(&query);
    query.origin().expect("it is done").to_string()
}
