//! The example `gateway` as a process, over real sockets and with real signals.

#![cfg(target_os = "linux")]

mod measured;
mod process;
mod propagation;
mod query;

#[expect(dead_code, reason = "its main: see `process::be_the_gateway`")]
#[path = "../../examples/gateway/main.rs"]
mod gateway;

use process::{Gateway, Outcome, PATIENCE, eventually, free_addr};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Beside which nothing else ends a request.
const NO_LIMIT: [&str; 2] = ["--limit", "10m"];

/// So much that it would take years.
const ENDLESS: [&str; 5] = [
    "/work?n=18446744073709551615",
    "/sleep?ms=18446744073709551615",
    "/fanout?ms=18446744073709551615",
    "/fan?ms=18446744073709551615",
    "/query?n=9223372036854775807",
];

#[test]
fn the_gateway_itself() {
    process::be_the_gateway(gateway::run);
}

#[test]
fn a_deadline_in_a_header_ends_the_request_at_its_time() {
    let gateway = Gateway::start(&NO_LIMIT);
    for path in ENDLESS {
        for header in [("X-Timeout-MS", "300"), ("grpc-timeout", "300000u")] {
            let began = Instant::now();
            let answer = gateway.get(path, &[header]);
            let took = began.elapsed();
            assert_eq!(answer.status, 504, "{path}: {}", answer.body);
            assert!(answer.body.contains("deadline exceeded"), "{}", answer.body);
            // A call may take 8 tenths of it. Late is for the machine to be; never to come would be for us.
            let least = if path.starts_with("/fan") { 235 } else { 300 };
            assert!(took >= Duration::from_millis(least), "{path}: {took:?}");
            assert!(took < PATIENCE / 4, "{path}: {took:?}");
        }
    }
    eventually("the work has stopped", || gateway.stat("working") == 0);
}

#[test]
fn the_smaller_of_header_and_limit_wins_and_says_so() {
    let gateway = Gateway::start(&["--limit", "200ms"]);
    for (headers, reason) in [
        (&[][..], "the server's limit of 200ms"),
        (&[("X-Timeout-MS", "60000")], "the server's limit of 200ms"),
        (
            &[("grpc-timeout", "99999999H")],
            "the server's limit of 200ms",
        ),
        (&[("X-Timeout-MS", "50")], "the caller's budget of 50ms"),
        (&[("grpc-timeout", "50m")], "the caller's budget of 50ms"),
        (
            &[("X-Timeout-MS", "60"), ("grpc-timeout", "50m")],
            "the caller's budget of 50ms",
        ),
        (&[("X-Timeout-MS", "0")], "the caller's budget of 0ms"),
    ] {
        let answer = gateway.get("/sleep?ms=60000", headers);
        assert_eq!(answer.status, 504);
        assert!(answer.body.contains(reason), "{headers:?}: {}", answer.body);
    }
}

#[test]
fn what_cannot_be_understood_is_answered_with_400_and_why() {
    let gateway = Gateway::start(&[]);
    let long = "u".repeat(200);
    let answer = gateway.get("/healthz", &[("x-timeout-ms", "18446744073709551616")]);
    assert!(
        answer.body.contains("to 18446744073709551615"),
        "{}",
        answer.body
    );
    for (name, value) in [
        ("x-timeout-ms", "soon"),
        ("x-timeout-ms", "-1"),
        ("x-timeout-ms", "+1"),
        ("x-timeout-ms", "1.5"),
        ("x-timeout-ms", ""),
        ("x-timeout-ms", "18446744073709551616"),
        ("grpc-timeout", "S"),
        ("grpc-timeout", "5"),
        ("grpc-timeout", "5s"),
        ("grpc-timeout", "123456789S"),
        ("grpc-timeout", "-5S"),
        ("grpc-timeout", "5é"),
        ("x-user", "é"),
        ("x-request-id", &long),
    ] {
        let answer = gateway.get("/healthz", &[(name, value)]);
        assert_eq!(answer.status, 400, "{name}: {value}");
        assert!(answer.body.starts_with(name), "{}", answer.body);
    }
    for (path, part) in [
        ("/work", "/work needs a parameter n"),
        ("/work?n=many", "\"many\""),
        ("/sleep?ms=-1", "\"-1\""),
        ("/fanout?ms=&fail=1", "\"\""),
        ("/fanout?fail=3", "fail is 3, not a call from 0 to 2"),
        ("/fan?fail=3", "fail is 3, not a call from 0 to 2"),
    ] {
        let answer = gateway.get(path, &[]);
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
    assert_eq!(gateway.get("/nothing", &[]).status, 404);
}

#[test]
fn another_method_than_get_is_told_which_there_is() {
    let gateway = Gateway::start(&[]);
    let answer = gateway.send_by("POST", "/healthz", &[]).answer();
    assert_eq!(
        (answer.status, &*answer.body),
        (405, "only GET is answered\n")
    );
    assert!(answer.head.contains("allow: GET"), "{}", answer.head);
    let answer = gateway.get("/healthz", &[]);
    assert!(!answer.head.contains("allow:"), "{}", answer.head);
}

#[test]
fn a_backend_that_is_not_there_is_named() {
    let addr = free_addr().to_string();
    let gateway = Gateway::start(&["--backend", &addr]);
    let answer = gateway.get("/fanout", &[]);
    assert_eq!(answer.status, 502);
    let named = format!("the backend {addr} cannot be reached");
    assert!(answer.body.contains(&named), "{}", answer.body);
}

#[test]
fn no_time_at_all_is_said_in_milliseconds() {
    let gateway = Gateway::start(&[]);
    assert_eq!(gateway.get("/sleep?ms=0", &[]).body, "slept 0ms\n");
}

#[test]
fn values_go_with_the_request() {
    let gateway = Gateway::start(&[]);
    let answer = gateway.get("/whoami", &[("x-user", "ada"), ("x-request-id", "r-17")]);
    assert_eq!(answer.body, "ada\n");
    assert!(
        answer.head.contains("x-request-id: r-17"),
        "{}",
        answer.head
    );
    let answer = gateway.get("/whoami", &[]);
    assert_eq!(answer.body, "nobody\n");
    assert!(answer.head.contains("x-request-id: "), "{}", answer.head);
}

#[test]
fn a_client_that_hangs_up_ends_the_work_done_for_it() {
    let gateway = Gateway::start(&NO_LIMIT);
    for (gone, path) in (1..).zip(ENDLESS) {
        let asked = gateway.send(path, &[]);
        // The request that asks for the numbers is one of them.
        eventually("it is under way", || gateway.stat("live") == 2);
        if path.starts_with("/work") {
            eventually("a thread works", || gateway.stat("working") == 1);
        } else if path.starts_with("/query") {
            eventually("SQLite works", || gateway.stat("querying") == 1);
        } else if path.starts_with("/fan") {
            eventually("the backend works", || gateway.stat("calls") == 3);
        }
        drop(asked);
        eventually("it is over", || {
            gateway.stat("live") == 1
                && gateway.stat("working") == 0
                && gateway.stat("querying") == 0
                && gateway.stat("calls") == 0
                && gateway.stat("contexts") == 1
        });
        assert_eq!(gateway.stat("client-gone"), gone);
    }
}

#[test]
fn the_first_call_that_fails_ends_the_others() {
    let gateway = Gateway::start(&NO_LIMIT);
    let began = Instant::now();
    for route in ["/fan", "/fanout"] {
        let answer = gateway.get(&format!("{route}?ms=600000&fail=1"), &[]);
        assert_eq!(answer.status, 502);
        assert!(answer.body.contains("item 1 is broken"), "{}", answer.body);
        assert!(began.elapsed() < PATIENCE);
        assert_eq!(gateway.get(route, &[]).body, "item 0\nitem 1\nitem 2\n");
    }
}

#[test]
fn ctrl_c_lets_requests_finish() {
    lets_requests_finish(Gateway::interrupt);
}

#[test]
fn sigterm_lets_requests_finish_as_ctrl_c_does() {
    lets_requests_finish(Gateway::terminate);
}

fn lets_requests_finish(stop: fn(&Gateway)) {
    let mut gateway = Gateway::start(&["--limit", "10m", "--grace", "10m"]);
    let asked = gateway.send("/sleep?ms=2000", &[]);
    eventually("it is under way", || gateway.stat("live") == 2);
    stop(&gateway);
    gateway.says("draining");
    let answer = asked.answer();
    assert_eq!((answer.status, &*answer.body), (200, "slept 2s\n"));
    let outcome = gateway.wait();
    assert!(outcome.stdout.contains("0 connections had to be cut"));
    assert_ended_well(&outcome);
}

#[test]
fn ctrl_c_cancels_requests_that_outlast_the_grace_and_says_why() {
    let gateway = Gateway::start(&["--limit", "10m", "--grace", "200ms"]);
    let asked = ENDLESS.map(|path| gateway.send(path, &[]));
    eventually("all are under way", || {
        gateway.stat("live") == 1 + ENDLESS.len() as u64
            && gateway.stat("working") == 1
            && gateway.stat("querying") == 1
    });
    gateway.interrupt();
    for asked in asked {
        let answer = asked.answer();
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(answer.body, "context canceled: shutting down\n");
    }
    let outcome = gateway.wait();
    assert!(
        !outcome.stdout.contains(" 0 connections"),
        "{}",
        outcome.stdout
    );
    assert_ended_well(&outcome);
}

#[test]
fn ctrl_c_again_leaves_at_once() {
    let mut gateway = Gateway::start(&["--limit", "10m", "--grace", "10m"]);
    let _asked = gateway.send(ENDLESS[0], &[]);
    eventually("a thread works", || gateway.stat("working") == 1);
    gateway.interrupt();
    gateway.says("draining");
    gateway.interrupt();
    assert_eq!(gateway.wait().status.code(), Some(130));
}

#[test]
fn a_port_that_is_taken_is_a_message_and_no_panic() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let addr = taken.local_addr().expect("it is bound").to_string();
    for arguments in [
        &["--listen", &*addr][..],
        &["--listen", &addr, "--load", "1"],
    ] {
        let outcome = Gateway::run(arguments);
        assert_failed(&outcome, 1, &format!("cannot listen on {addr}"));
    }
}

#[test]
fn a_bad_flag_is_a_message_and_no_panic() {
    for (arguments, part) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["--limit", "2"], "say it as 250ms, 2s or 1m"),
        (&["--limit", "1441m"], "a day (1440m) at the most"),
        (
            &["--limit", "99999999999999999999s"],
            "a day (1440m) at the most",
        ),
        (&["--limit", "0ms"], "1ms at the least"),
        (&["--grace", "long"], "say it as 250ms, 2s or 1m"),
        (&["--listen", "8080"], "say it as 127.0.0.1:8080"),
        (&["--backend", "there"], "say it as 127.0.0.1:8080"),
        (&["--load", "0"], "seconds from 1 to 86400"),
        (&["--load", "abc"], "seconds from 1 to 86400"),
        (&["--load", "10s"], "without a unit"),
        (&["--load", "86401"], "seconds from 1 to 86400"),
        (&["--clients", "0"], "from 1 to 10000"),
        (&["--clients", "65537"], "from 1 to 10000"),
    ] {
        let outcome = Gateway::run(arguments);
        assert_failed(&outcome, 2, arguments[0]);
        assert_failed(&outcome, 2, part);
    }
}

#[test]
fn help_names_all_that_a_request_may_say() {
    let outcome = Gateway::run(&["--help"]);
    assert_ended_well(&outcome);
    for part in [
        "X-Timeout-MS",
        "grpc-timeout",
        "X-Request-ID",
        "X-User",
        "/work?n=N",
        "/query?n=N",
        "/fan?ms=MS&fail=I",
        "/fanout?ms=MS&fail=I",
        "/echo",
        "/metrics",
        "traceparent",
        "baggage",
        "/sleep?ms=MS",
        "/whoami",
        "/healthz",
        "/stats",
        "250ms",
        "[::1]:8080",
    ] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
    let outcome = Gateway::run(&["--version"]);
    assert_ended_well(&outcome);
    let version = concat!("gateway ", env!("CARGO_PKG_VERSION"));
    assert!(outcome.stdout.contains(version), "{}", outcome.stdout);
}

#[test]
fn under_load_nothing_is_left_behind() {
    let outcome = Gateway::run(&["--load", "2", "--clients", "32"]);
    assert!(
        outcome.stdout.contains("contexts live      0"),
        "{}",
        outcome.stdout
    );
    assert_ended_well(&outcome);
}

#[test]
fn ctrl_c_ends_a_load_early_and_reports_on_it() {
    let gateway = Gateway::under_load(&["--load", "3600", "--clients", "4"]);
    eventually("some are answered", || gateway.stat("ok") > 20);
    gateway.interrupt();
    let outcome = gateway.wait();
    assert!(
        outcome.stdout.contains("requests in "),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stdout.contains("contexts live      0"),
        "{}",
        outcome.stdout
    );
    assert_ended_well(&outcome);
}

fn assert_ended_well(outcome: &Outcome) {
    assert!(
        outcome.status.success(),
        "{}: {}",
        outcome.status,
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
}

fn assert_failed(outcome: &Outcome, code: i32, part: &str) {
    assert_eq!(outcome.status.code(), Some(code), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
}
