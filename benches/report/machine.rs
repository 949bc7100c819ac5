//! Where and how a section was measured.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// Processor time since boot, in the kernel's ticks.
pub(super) struct Ticks {
    all: f64,
    others: f64,
}

impl Ticks {
    pub(super) fn now() -> Self {
        let numbers = |path, skipped: &str| -> Vec<f64> {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().next().unwrap_or_default();
            let fields = line.rsplit_once(skipped).map_or("", |(_, rest)| rest);
            fields
                .split_whitespace()
                .filter_map(|field| field.parse().ok())
                .collect()
        };
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
        let kinds = numbers("/proc/stat", "cpu");
        let all: f64 = kinds.iter().take(8).sum();
        let idle: f64 = kinds.iter().skip(3).take(2).sum();
        // Of what follows `comm` and the letter of the state: the eleventh is utime, then stime, and those of children.
        let own: f64 = numbers("/proc/self/stat", ")")
            .iter()
            .skip(10)
            .take(4)
            .sum();
        let others = all - idle - own;
        Self { all, others }
    }

    /// The share since `self`, in percent. Threads that ought to run side by side take turns on a busy machine, and
    /// then a lock looks cheaper than it is.
    fn taken_by_others(&self) -> f64 {
        let now = Self::now();
        // Ticks are rounded, one by one.
        (100.0 * (now.others - self.others) / (now.all - self.all)).max(0.0)
    }
}

/// `command` is what writes the section; `peers` are packages of Cargo.lock.
pub(super) fn provenance(ticks: &Ticks, command: &str, peers: &[&str]) -> String {
    let date = output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    let kernel = output("uname", &["-sr"]);
    let rustc = output("rustc", &["--version"]);
    let cpu = cpu_model();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let versions: String = peers
        .iter()
        .map(|peer| format!(", {peer} {}", locked_version(peer)))
        .collect();
    format!(
        "{date}, commit {}, by `{command}`.\n\
         {cpu}, {cores} cores, {kernel}, {rustc}{versions}.\n\
         Others (processes and the hypervisor) took {:.0} % of the processors meanwhile.",
        commit(),
        ticks.taken_by_others(),
    )
}

/// Short, for a line of the targets.
pub(super) fn commit_and_date() -> String {
    format!("{}, {}", commit(), output("date", &["-u", "+%Y-%m-%d"]))
}

/// The first line that a command prints.
pub(super) fn output(program: &str, args: &[&str]) -> String {
    let done = Command::new(program)
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match done {
        Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
        _ => format!("({program} failed)"),
    }
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model
        .map_or("unknown processor", |(_, name)| name)
        .to_owned()
}

/// What a run writes does not count as a change.
fn commit() -> String {
    let head = output("git", &["rev-parse", "--short", "HEAD"]);
    let changed = output(
        "git",
        &[
            "status",
            "--porcelain",
            "--",
            ":/",
            ":(top,exclude)PERF.md",
            ":(top,exclude,glob)perf/*.svg",
        ],
    );
    if changed.is_empty() {
        head
    } else {
        head + "-dirty"
    }
}

fn locked_version(package: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = fs::read_to_string(path).unwrap_or_default();
    let entry = lock.split_once(&format!("name = \"{package}\"\nversion = \""));
    let version = entry.and_then(|(_, rest)| rest.split_once('"'));
    version
        .map_or("of unknown version", |(version, _)| version)
        .to_owned()
}
