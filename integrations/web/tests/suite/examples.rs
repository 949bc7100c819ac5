//! The book's chapters on servers and middleware: what the examples show.

#[path = "../../examples/07_http_server.rs"]
mod http_server;
#[path = "../../examples/15_middleware.rs"]
mod middleware;

use crate::support::within;
use http_server::Work;
use middleware::Settings;
use ripcord::{CancelGuard, Context};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn both_run() {
    http_server::main().unwrap();
    middleware::main().unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_the_work_for_it() {
    let server = http_server::Server::start("127.0.0.1:0", LONG, LONG)
        .await
        .unwrap();
    within(http_server::client_that_hangs_up(&server))
        .await
        .unwrap();
    let work = http_server::work_becomes(&server.counters, |work| work.client_gone == 1);
    let work = within(work).await;
    assert_eq!(work.running, 0);
    let looked_at = server.counters.looked_at.load(Relaxed);
    assert!(looked_at >= 1_000, "{looked_at}");
    assert_eq!(server.ctx.child_count(), 0);

    // The next is answered, and what it counts is all that is counted.
    let asked = http_server::client_that_waits(server.addr, "/primes/100");
    let (status, found) = within(asked).await.unwrap();
    assert_eq!((status.as_str(), found.as_str()), ("HTTP/1.1 200 OK", "25"));
    assert_eq!(server.counters.looked_at.load(Relaxed), looked_at + 98);
}

#[tokio::test]
async fn a_client_that_wants_too_much_is_answered_408_and_its_thread_stops() {
    let limit = Duration::from_millis(50);
    let server = http_server::Server::start("127.0.0.1:0", limit, LONG)
        .await
        .unwrap();
    let asked = http_server::client_that_waits(server.addr, "/primes");
    let (status, _) = within(asked).await.unwrap();
    assert_eq!(status, "HTTP/1.1 408 Request Timeout");
    let work = http_server::work_becomes(&server.counters, |work| work.timed_out == 1);
    assert_eq!(within(work).await.running, 0);
}

#[tokio::test]
async fn a_server_that_stops_answers_who_is_connected_and_after_its_grace_takes_the_work_with_it() {
    let server = http_server::Server::start("127.0.0.1:0", LONG, Duration::from_millis(50))
        .await
        .unwrap();
    let asked = tokio::spawn(http_server::client_that_waits(server.addr, "/primes"));
    within(http_server::work_becomes(&server.counters, |work| {
        work.running == 1
    }))
    .await;
    server.shutdown.stop();
    let report = within(server.shutdown.wait_async()).await;
    assert_eq!((report.drained, report.canceled), (0, 1), "{report}");
    assert!(report.late.is_empty(), "{report}");
    let stopped = Work {
        server_stopped: 1,
        ..Work::default()
    };
    assert_eq!(*server.counters.work.borrow(), stopped);
    let (status, _) = within(asked).await.unwrap().unwrap();
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    let refused = http_server::client_that_waits(server.addr, "/counters");
    assert!(within(refused).await.is_err(), "it accepts no more");
}

#[tokio::test]
async fn a_server_that_stops_drains() {
    let server = http_server::Server::start("127.0.0.1:0", LONG, LONG)
        .await
        .unwrap();
    let asked = tokio::spawn(http_server::client_that_waits(server.addr, "/primes/20000"));
    within(http_server::work_becomes(&server.counters, |work| {
        work.running + work.finished == 1
    }))
    .await;
    server.shutdown.stop();
    let report = within(server.shutdown.wait_async()).await;
    assert_eq!((report.drained, report.canceled), (1, 0), "{report}");
    let (status, found) = within(asked).await.unwrap().unwrap();
    assert_eq!(
        (status.as_str(), found.as_str()),
        ("HTTP/1.1 200 OK", "2262")
    );
}

/// The router of 15.
async fn start(limit: Duration, per_second: u32) -> (SocketAddr, CancelGuard, Settings) {
    let (server, stop) = Context::background().with_cancel();
    let settings = Settings {
        limit,
        requests_per_second: NonZeroU32::new(per_second).unwrap(),
        late_writes: Arc::default(),
    };
    let addr = middleware::serve("127.0.0.1:0", &server, &settings);
    (addr.await.unwrap(), stop, settings)
}

async fn ask(addr: SocketAddr, requests: &[(&str, &str)]) -> String {
    within(middleware::ask(addr, requests)).await.unwrap()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_request_id_is_taken_or_made_sent_back_and_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let (addr, _stop, _) = start(LONG, 100).await;
    let answer = ask(addr, &[("/health", "X-Request-Id: mine\r\n")]).await;
    assert!(answer.contains("x-request-id: mine\r\n"), "{answer}");
    assert!(answer.ends_with("OK (request mine)\n"), "{answer}");

    let answer = ask(addr, &[("/health", "")]).await;
    let (_, id) = answer.split_once("x-request-id: ").unwrap();
    let id = id.split("\r\n").next().unwrap();
    assert_eq!(id.len(), 36, "{id}");
    assert!(
        answer.ends_with(&format!("OK (request {id})\n")),
        "{answer}"
    );

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for id in ["mine", id] {
        let line = log
            .lines()
            .find(|line| line.contains(&format!("id={id:?}")));
        let line = line.unwrap_or_else(|| panic!("no line of {id} in {log}"));
        assert!(line.contains("answered status=200"), "{line}");
    }
}

#[tokio::test]
async fn who_has_no_token_is_turned_away_and_who_has_one_is_known() {
    let (addr, _stop, _) = start(LONG, 100).await;
    for headers in ["", "Authorization: Bearer guessed\r\n"] {
        let answer = ask(addr, &[("/user", headers)]).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    let answer = ask(addr, &[("/user", "Authorization: Bearer valid-token\r\n")]).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("profile of user123"), "{answer}");
}

#[tokio::test]
async fn more_than_the_rate_is_told_to_come_again() {
    let (addr, _stop, _) = start(LONG, 1).await;
    let answers = ask(addr, &[("/health", ""); 3]).await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 3, "{answers}");
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(answers.contains("HTTP/1.1 429"), "{answers}");
    assert!(answers.contains("retry-after: 1\r\n"), "{answers}");
}

#[tokio::test]
async fn a_late_handler_writes_no_second_response() {
    let limit = Duration::from_millis(50);
    let (addr, _stop, settings) = start(limit, 100).await;
    let answers = ask(addr, &[("/stubborn", ""), ("/slow", ""), ("/health", "")]).await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 3, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 408").count(), 2, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    assert!(!answers.contains("written twice"), "{answers}");
    // Its time to write has come by now, if it could: on the same clock, twice as long after.
    let _ = Context::background().sleep(limit * 4).await;
    assert_eq!(settings.late_writes.load(Relaxed), 0);
}
