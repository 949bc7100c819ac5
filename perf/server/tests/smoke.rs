//! Both binaries do what they say, on numbers too small to measure anything.

use std::process::{Command, Output, Stdio};

const SERVER: &str = env!("CARGO_BIN_EXE_server");

fn compare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command.args(args).args(["--server", SERVER]);
    command
}

fn run(mut command: Command) -> (bool, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().expect("it runs");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (status.success(), text(&stdout), text(&stderr))
}

#[test]
fn compares_the_three_sides() {
    let small = "--requests 3 --repeats 1 --rounds 1 --seconds 1 --connections 4";
    let (ok, out, err) = run(compare(&small.split(' ').collect::<Vec<_>>()));
    assert!(ok, "{err}");
    assert!(out.contains("| requests a second |"), "{out}");
    let counted = out.contains("| the mix |") && out.contains("| `/fanout?ms=2` |");
    assert!(counted || out.contains("no `valgrind`"), "{out}");
}

#[test]
fn says_that_there_is_no_valgrind() {
    let mut command = compare(&["--rounds", "0", "--repeats", "1"]);
    command.env("PATH", "");
    let (ok, out, err) = run(command);
    assert!(ok, "{err}");
    assert!(out.contains("There was no `valgrind` on the PATH"), "{out}");
}

#[test]
fn says_what_is_wrong_with_its_arguments() {
    for (args, complaint) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--requests", "0"], "--requests"),
        (&["--write", "--rounds", "0"], "--write"),
    ] {
        let (ok, _, err) = run(compare(args));
        assert!(!ok && err.contains(complaint), "{err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    let mut elsewhere = Command::new(env!("CARGO_BIN_EXE_compare"));
    elsewhere.args(["--server", "/nowhere"]);
    let (ok, _, err) = run(elsewhere);
    assert!(!ok && err.contains("/nowhere"), "{err}");

    let mut server = Command::new(SERVER);
    server.args(["--with", "nonsense"]);
    let (ok, _, err) = run(server);
    assert!(!ok && err.contains("nonsense"), "{err}");
}
