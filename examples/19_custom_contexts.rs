//! What a context of one's own would be for: metrics, priority, a budget of retries, several parents. All are values of an
//! ordinary context here, so what is derived from it, layers down, has them still.
//!
//! Run with `cargo run --example 19_custom_contexts`.

use ripcord::ext::{Metrics, MetricsSnapshot, Priority, Retry, RetryRefused};
use ripcord::{Cause, Context, Error, Key};
use std::collections::BinaryHeap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

static SOURCE: Key<&str> = Key::new("source");

pub fn main() {
    println!("--- metrics\n{:#?}", count_what_was_done().operations);
    println!("--- priority\n{:?}", most_urgent_first());

    let (attempts, refused) = retry_in_two_layers(Duration::from_secs(60));
    println!("--- retry\n{attempts} calls; then {refused}");
    let (attempts, refused) = retry_in_two_layers(Duration::from_millis(5));
    println!("with little time: {attempts} calls; then {refused}");

    let (cause, source) = first_of_three_parents();
    println!("--- several parents\nended by {cause}, from {source}");
    println!("--- all at once\n{}", all_at_once());
}

/// Two layers down, under a deadline and a cancel of their own, they count for the request.
pub fn count_what_was_done() -> MetricsSnapshot {
    let request = Metrics::attach(&Context::background());
    for line in ["7", "eleven", "13"] {
        let _ = handle(&request, line);
    }
    let metrics = Metrics::of(&request).expect("it was attached");
    metrics.snapshot()
}

fn handle(request: &Context, line: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let (ctx, _guard) = request.with_timeout(Duration::from_secs(1));
    let number = Metrics::observe(&ctx, "parse", || line.parse())?;
    let (ctx, _guard) = ctx.with_cancel();
    let factor = Metrics::observe(&ctx, "factor", || smallest_factor(&ctx, number))?;
    Ok(factor)
}

fn smallest_factor(ctx: &Context, number: u64) -> Result<u64, Error> {
    for factor in 2..=number.isqrt() {
        ctx.check()?;
        if number.is_multiple_of(factor) {
            return Ok(factor);
        }
    }
    Ok(number)
}

/// A queue that looks at the contexts of what waits in it; the one that says nothing is of normal priority.
pub fn most_urgent_first() -> Vec<&'static str> {
    let root = Context::background();
    let backup = Priority::LOW.attach(&root);
    let checkout = Priority::HIGH.attach(&root);
    let (checkout, _guard) = checkout.with_timeout(Duration::from_secs(1)); // still urgent
    let jobs = [
        ("backup", &backup),
        ("search", &root),
        ("checkout", &checkout),
    ];

    let queue = jobs.map(|(name, ctx)| (Priority::of(ctx), name));
    let mut queue = BinaryHeap::from(queue);
    let urgent_first = std::iter::from_fn(|| queue.pop());
    urgent_first.map(|(_, name)| name).collect()
}

/// A call that fails is tried again by the layer that made it, and by the one above that. One budget of three is for both.
pub fn retry_in_two_layers(time: Duration) -> (usize, RetryRefused) {
    let retry = Retry::new(3).backoff(Duration::from_millis(2), Duration::from_millis(20));
    let (request, _guard) = retry.attach(&Context::background()).with_timeout(time);
    let mut calls = 0;
    let refused = loop {
        let (layer, _guard) = request.with_cancel();
        if lower_layer(&layer, &mut calls).is_err()
            && let Err(refused) = again(&request)
        {
            break refused;
        }
    };
    (calls, refused)
}

fn lower_layer(ctx: &Context, calls: &mut usize) -> Result<TcpStream, RetryRefused> {
    loop {
        *calls += 1;
        match TcpStream::connect("127.0.0.1:1") {
            Ok(stream) => return Ok(stream), // nobody listens there
            Err(_) => again(ctx)?,
        }
    }
}

fn again(ctx: &Context) -> Result<(), RetryRefused> {
    let delay = Retry::of(ctx).map_or(Ok(Duration::ZERO), |retry| retry.next(ctx))?;
    ctx.blocking_sleep(delay).map_err(RetryRefused::Ended)
}

/// Done with the first of its parents, with its reason; has the values of all.
pub fn first_of_three_parents() -> (Cause, &'static str) {
    let (server, _server) = Context::background().with_cancel();
    let (client, client_guard) = Context::background().with_cancel();
    let job = Context::background().with_value(&SOURCE, "the nightly job");

    let (ctx, _guard) = Context::merge([&server, &client, &job]);
    client_guard.cancel_with(Cause::msg("client hung up"));
    assert!(!server.is_done());
    let cause = ctx.cause().expect("one of its parents is done");
    (
        cause,
        ctx.value(&SOURCE).copied().expect("the third has it"),
    )
}

/// Of a request and a server: urgent, counted, and ended by either. What runs under it finds all of that.
pub fn all_at_once() -> String {
    let (server, shutdown) = Context::background().with_cancel();
    let request = Metrics::attach(&Priority::HIGH.attach(&Context::background()));
    let request = Retry::new(1).attach(&request);
    let (ctx, _guard) = Context::merge([&request, &server]);
    let (ctx, _guard) = ctx.with_timeout(Duration::from_secs(5));

    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback works");
    let connected = Metrics::observe(&ctx, "connect", || -> io::Result<_> {
        ctx.check()?;
        TcpStream::connect(listener.local_addr()?)
    });
    shutdown.cancel_with(Cause::msg("deploy"));
    let refused = Metrics::observe(&ctx, "connect", || ctx.check());

    let connect = Metrics::of(&request).map(|metrics| metrics.snapshot().operations["connect"]);
    let connect = connect.expect("it was attached");
    format!(
        "priority {}, {} retry left, {} connects of which {} failed ({}, {})",
        Priority::of(&ctx),
        Retry::of(&ctx).map_or(0, Retry::left),
        connect.count,
        connect.errors,
        connected.map_or("refused", |_| "connected"),
        refused.map_or(ctx.cause().map_or(String::new(), |c| c.to_string()), |()| {
            String::new()
        }),
    )
}
