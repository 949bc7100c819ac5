//! Mutants: faults that are in the engine and switched off (`tuning::mutant`), at least one for each rule of
//! `src/raw/mod.rs`. Each is switched on in a run of this program that has one model to run, and is to fail there: a run of its
//! own, for a model that fails may do so by a panic in the course of another.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fs, thread};

/// A mutant, named for the rule that it breaks; and the model that is to fail by it.
const MUTANTS: &[(&str, &str)] = &[
    ("R1", "list::two_drops_of_neighbours_leave_a_tidy_list"),
    (
        "R2",
        "tree::a_striped_parent_ends_once_with_children_on_every_stripe",
    ),
    (
        "R3",
        "tree::a_middle_sibling_dropped_during_a_cancel_hides_no_older_one",
    ),
    (
        "R4",
        "list::drops_between_which_the_head_word_comes_back_the_same_leave_a_tidy_list",
    ),
    ("R5", "tree::a_child_dropped_during_a_cancel_is_freed_once"),
    (
        "R5b",
        "tree::the_newest_sibling_dropped_during_a_cancel_is_freed_once",
    ),
    (
        "R6",
        "tree::the_end_of_a_chain_goes_no_deeper_on_the_stack_with_each_node",
    ),
    (
        "R7",
        "tree::overlapping_cancels_both_return_with_the_grandchild_done",
    ),
    (
        "R7b",
        "tree::overlapping_cancels_both_return_with_the_grandchild_done",
    ),
    (
        "R8",
        "merge::two_handles_of_a_merged_node_dropped_during_a_parents_cancel_bury_it_once",
    ),
    ("R9", "waits::a_woken_waiter_sees_no_live_descendant"),
    ("R10", "list::two_drops_of_neighbours_leave_a_tidy_list"),
    (
        "R10b",
        "timers::a_node_dropped_in_the_wheel_while_it_fires_is_freed_once",
    ),
    (
        "R11",
        "timers::a_later_arm_does_not_rely_on_the_wake_of_an_earlier_one",
    ),
    (
        "R11b",
        "timers::a_wake_does_not_rely_on_one_that_was_stopped_before_its_system_call",
    ),
    ("R12", "tree::two_causes_at_once_leave_one_for_good"),
    (
        "R12b",
        "merge::a_merge_during_the_cancel_of_its_second_parent_is_done",
    ),
    (
        "R12c",
        "timers::a_fire_against_a_cancel_leaves_one_cause_for_good",
    ),
    (
        "look",
        "tree::a_child_derived_during_a_cancel_with_nobody_to_tell_is_done",
    ),
];

/// What a model said when it failed with that mutant on; `Err` with all it said if it did not.
fn failure(mutant: &str, model: &str) -> Result<String, String> {
    let run = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", model, "--nocapture"])
        .env("RIPCORD_MUTANT", mutant)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("this program runs");
    let said = [run.stdout, run.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let message = said
        .lines()
        .skip_while(|line| !line.contains("panicked at"))
        .nth(1)
        // That it explored little is not that it failed.
        .filter(|message| !message.contains("interleavings, at least"));
    match message {
        Some(message) if !run.status.success() => Ok(message.to_owned()),
        _ => Err(said.into_owned()),
    }
}

#[test]
fn every_mutant_is_caught() {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut survived = Vec::new();
        while let Some((mutant, model)) = MUTANTS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = Instant::now();
            match failure(mutant, model) {
                Ok(message) => println!("mutant {mutant}: {:?}, {message}", began.elapsed()),
                Err(said) => survived.push(format!("{mutant} survived {model}: {said}")),
            }
        }
        survived
    };
    let survived = thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut survived = work();
        survived.extend(other.join().expect("it panics nowhere"));
        survived
    });
    assert!(survived.is_empty(), "{}", survived.join("\n"));
}

/// The names that `mutant("…")` is called with in a folder.
fn named(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the folder is read").path();
        if path.is_dir() {
            named(&path, names);
        } else {
            let source = fs::read_to_string(path).expect("a source file");
            let calls = source.split("mutant(\"").skip(1);
            names.extend(calls.filter_map(|call| Some(call.split_once('"')?.0.to_owned())));
        }
    }
}

#[test]
fn every_mutant_is_listed_and_every_rule_has_one() {
    let mut in_source = BTreeSet::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/raw");
    named(&source, &mut in_source);
    let listed: BTreeSet<String> = MUTANTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed, in_source);
    for rule in 1..=12 {
        assert!(listed.contains(&format!("R{rule}")), "R{rule} has none");
    }
}
