//! Mutants: that the schedules can fail. Each is a rule of the engine that is broken (`tuning::mutant`; `loom-tests/mutants.rs` has
//! them all), switched on in a run of this program of its own.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// What random schedules say with that mutant on, or the one schedule in a file; fails if they pass.
fn failure(mutant: &str, replayed: Option<&Path>) -> String {
    let mut run = Command::new(env::current_exe().expect("this program"));
    run.args(["schedules::random", "--nocapture"])
        .env("RIPCORD_MUTANT", mutant)
        .env("RIPCORD_SCHEDULES", "20000")
        .env("RUST_BACKTRACE", "0")
        .envs(replayed.map(|file| ("RIPCORD_SCHEDULE", file)));
    let output = run.output().expect("this program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{mutant} survived");
    said
}

/// The message of the first panic.
fn message(said: &str) -> &str {
    said.lines()
        .skip_while(|line| !line.contains("panicked at"))
        .nth(1)
        .expect("it panicked")
}

/// R5: the newest entry is popped from a closed list, under a walker that may stand on it. It fails by a tripwire, or by what
/// the machine says to such an access.
#[test]
fn an_entry_freed_under_a_walker_is_seen() {
    failure("R5b", None);
}

/// R12: a deadline ends what was cancelled, perhaps with the cause of a deadline that it never had, so as above.
#[test]
fn an_end_that_changes_is_seen() {
    failure("R12c", None);
}

/// R9: a waker is woken while the walk that came to it is marking.
#[test]
fn a_wake_before_all_is_marked_is_seen() {
    assert_eq!(message(&failure("R9", None)), "woken before all was marked");
}

/// R7: a node is taken for walked once it is marked, so a cancel returns while another is at work below. What fails does so again
/// by the schedule that it prints.
#[test]
fn a_cancel_that_returns_early_is_seen_and_seen_again_by_its_schedule() {
    let said = failure("R7b", None);
    let schedule = said.split('"').nth(1).expect("it prints its schedule");
    let file = env::temp_dir().join(format!("ripcord-schedule-{}", std::process::id()));
    fs::write(&file, schedule.trim()).expect("there is room for a file");
    let again = failure("R7b", Some(&file));
    fs::remove_file(&file).expect("it was written");
    assert_eq!(message(&again), message(&said));
}
