//! The example `two_services`, as it is run: two processes and their counters.

use std::path::PathBuf;
use std::process::Command;

/// Examples stand beside the folder that tests are in, and are built before them.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("it is in deps/ of a profile");
    profile.join("examples").join("two_services")
}

#[test]
fn who_gives_up_stops_the_callees_work_in_another_process() {
    let output = Command::new(program())
        .arg("10")
        .output()
        .expect("the example is built");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "caller: 10 called, 5 answered, 5 given up\ncallee: 10 begun, 5 finished, 5 stopped\n"
    );
}
