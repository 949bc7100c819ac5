//! Mutants: that the schedules can fail. Each is a rule of the engine that is broken (`tuning::mutant`; `loom-tests/mutants.rs` has
//! them all), switched on in a run of this program of its own.

use std::env;
use std::process::Command;

/// What random schedules say with that mutant on, from a seed if one is given; fails if they pass.
fn failure(mutant: &str, schedules: usize, seed: Option<&str>) -> String {
    let mut run = Command::new(env::current_exe().expect("this program"));
    run.args(["schedules::random", "--nocapture"])
        .env("RIPCORD_MUTANT", mutant)
        .env("RIPCORD_SCHEDULES", schedules.to_string())
        .env("RUST_BACKTRACE", "0")
        .envs(seed.map(|seed| ("SHUTTLE_RANDOM_SEED", seed)));
    let output = run.output().expect("this program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{mutant} survived");
    assert!(said.contains("panicked at"), "{mutant}: {said}");
    assert!(said.contains("failing schedule:"), "{mutant}: {said}");
    said
}

/// R5: the newest entry is popped from a closed list, under a walker that may stand on it.
#[test]
fn an_entry_freed_under_a_walker_is_seen() {
    failure("R5b", 20_000, None);
}

/// R7: a walker turns back at what another has marked, and returns while that one is at work below.
#[test]
fn a_cancel_that_returns_early_is_seen() {
    failure("R7", 20_000, None);
}

/// R9: a waker is woken while the walk that came to it is marking.
#[test]
fn a_wake_before_all_is_marked_is_seen() {
    failure("R9", 20_000, None);
}

/// R12: a deadline ends what was cancelled. What fails does so again by its seed, as the first.
#[test]
fn an_end_that_changes_is_seen_and_seen_again_by_its_seed() {
    let said = failure("R12c", 20_000, None);
    let seed = said.split("failing seed:\n\"\n").nth(1);
    let seed = seed.and_then(|seed| seed.lines().next());
    failure("R12c", 1, Some(seed.expect("it says its seed")));
}
