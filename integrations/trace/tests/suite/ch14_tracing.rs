#[path = "../../examples/14_tracing.rs"]
mod example;

use crate::PATIENCE;
use example::{Database, Failure, Profile, process_request, tree_to};
use ripcord::{Context, Error};
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
use tracing::dispatcher;

#[derive(Clone)]
struct Tree(Sender<String>);

impl io::Write for Tree {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let text_sent = String::from_utf8_lossy(text).into_owned();
        self.0.send(text_sent).map_err(io::Error::other)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the request was answered with, and what was written until `last` was.
fn tree_of(user: &str, budget: Duration, last: &str) -> (Result<Profile, Failure>, String) {
    let (sender, written): (_, Receiver<String>) = mpsc::channel();
    let subscriber = tree_to(move || Tree(sender.clone()));
    let database = Database::open(&subscriber);
    let answer = dispatcher::with_default(&subscriber, || {
        let (request, _guard) = Context::background().with_timeout(budget);
        process_request(&request, &database, user)
    });
    let mut tree = String::new();
    while !tree.contains(last) {
        tree += &written
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("{last} is missing: {tree}"));
    }
    tree.extend(written.try_iter());
    (answer, tree)
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_example_runs() {
    example::main();
}

#[test]
fn a_request_through_four_functions_and_two_threads_is_one_tree() {
    let (answer, tree) = tree_of("ada", HOUR, "answered");
    assert_eq!(answer.unwrap().name, "Ada Lovelace");
    let expected = r#"
┐process_request{user="ada"}
└─┐authenticate{user="ada"}
  ├─ INFO known
┌─┘
└─┐fetch_profile{service="users"}
  └─┐select_row{db.statement="SELECT * FROM users WHERE name = ?"}
    ├─ INFO rows=1
  ┌─┘
┌─┘
├─ INFO answered
┘"#;
    let lines: Vec<_> = tree.lines().map(str::trim_end).collect();
    assert_eq!(lines, expected.lines().skip(1).collect::<Vec<_>>());
}

#[test]
fn a_stranger_gets_no_further_than_the_second_function() {
    let (answer, tree) = tree_of("mallory", HOUR, "not answered");
    assert_eq!(answer, Err(Failure::Unknown));
    assert!(
        tree.contains("WARN not one of ours") && !tree.contains("fetch_profile"),
        "{tree}"
    );
}

#[test]
fn a_share_of_the_budget_that_is_over_is_an_event_with_its_cause() {
    let (answer, tree) = tree_of("grace", Duration::from_millis(20), "context done");
    assert_eq!(answer, Err(Failure::Ended(Error::DeadlineExceeded)));
    let event = tree
        .lines()
        .find(|line| line.contains("context done"))
        .unwrap();
    assert!(event.contains("error=context deadline exceeded"), "{event}");
    assert!(event.contains("age_us="), "{event}");
    assert!(event.starts_with("  ├─"), "below fetch_profile: {event}");
    assert!(tree.contains("WARN gives up"), "{tree}");
}
