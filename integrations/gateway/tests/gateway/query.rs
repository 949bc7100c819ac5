//! `/query`: SQLite on blocking threads, under the request's context.

use super::ENDLESS;
use super::NO_LIMIT;
use super::process::{Gateway, eventually};
use std::thread::available_parallelism;

const ENDLESS_QUERY: &str = ENDLESS[4];

/// How many queries run at once.
fn connections() -> u64 {
    available_parallelism().map_or(1, usize::from) as u64
}

#[test]
fn the_row_is_what_the_items_come_to() {
    let gateway = Gateway::start(&NO_LIMIT);
    for lines in [0, 1, 2, 1_000, 1_001, 2_500] {
        let cents: u64 = (0..lines).map(|line| 100 + line % 1_000).sum();
        let answer = gateway.get(&format!("/query?n={lines}"), &[]);
        let expected = format!("{lines} items, {cents} cents\n");
        assert_eq!((answer.status, answer.body), (200, expected));
    }
    assert_eq!(gateway.stat("interrupted"), 0);
}

#[test]
fn a_query_is_interrupted_at_its_deadline_and_its_connection_is_used_on() {
    let gateway = Gateway::start(&NO_LIMIT);
    // Each connection is interrupted at least once.
    for nth in 1..=3 * connections() {
        let answer = gateway.get(ENDLESS_QUERY, &[("x-timeout-ms", "50")]);
        assert_eq!(answer.status, 504);
        assert_eq!(
            answer.body,
            "context deadline exceeded: the caller's budget of 50ms\n"
        );
        eventually("SQLite has stopped", || {
            gateway.stat("querying") == 0 && gateway.stat("interrupted") == nth
        });
        assert_eq!(gateway.get("/query?n=3", &[]).body, "3 items, 303 cents\n");
    }
    eventually("no context is left", || gateway.stat("contexts") == 1);
}

#[test]
fn a_query_is_interrupted_when_its_client_hangs_up() {
    let gateway = Gateway::start(&NO_LIMIT);
    for nth in 1..=3 {
        let asked = gateway.send(ENDLESS_QUERY, &[]);
        eventually("SQLite works", || gateway.stat("querying") == 1);
        drop(asked);
        eventually("SQLite has stopped", || {
            gateway.stat("querying") == 0 && gateway.stat("interrupted") == nth
        });
        assert_eq!(gateway.stat("client-gone"), nth);
    }
}

#[test]
fn queries_beyond_the_connections_wait_and_can_give_up() {
    let gateway = Gateway::start(&NO_LIMIT);
    let asked: Vec<_> = (0..connections())
        .map(|_| gateway.send(ENDLESS_QUERY, &[]))
        .collect();
    eventually("all connections are in use", || {
        gateway.stat("querying") == connections()
    });
    let answer = gateway.get("/query?n=1", &[("x-timeout-ms", "50")]);
    assert_eq!(answer.status, 504);
    assert_eq!(gateway.stat("querying"), connections());
    assert_eq!(gateway.stat("interrupted"), 0);
    drop(asked);
    eventually("all are interrupted", || {
        gateway.stat("interrupted") == connections()
    });
    assert_eq!(gateway.get("/query?n=1", &[]).status, 200);
}

#[test]
fn a_number_that_is_none_is_answered_with_400() {
    let gateway = Gateway::start(&[]);
    for (path, part) in [
        ("/query", "/query needs a parameter n"),
        ("/query?n=", "\"\""),
        ("/query?n=-1", "\"-1\""),
        ("/query?n=1.5", "\"1.5\""),
        (
            "/query?n=1;DROP%20TABLE%20item",
            "\"1;DROP%20TABLE%20item\"",
        ),
        (
            "/query?n=9223372036854775808",
            "n is 9223372036854775808, more than 9223372036854775807",
        ),
        ("/query?n=18446744073709551616", "\"18446744073709551616\""),
    ] {
        let answer = gateway.get(path, &[]);
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
    assert_eq!(gateway.get("/query?n=1", &[]).body, "1 items, 100 cents\n");
}
