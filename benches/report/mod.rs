//! Runs figures under criterion and writes them, with where and how they were measured, into a section of PERF.md.

use criterion::{Bencher, BenchmarkId, Criterion, SamplingMode};
use serde_json::Value;
use std::env;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, SystemTime};

/// Peers take turns this many times, so that a slow second of the machine does not hit one of them alone.
const ROUNDS: usize = 3;

const OURS: &str = "ripcord";
const SCALE: &str = "scale";

pub(crate) type Workload = fn(&mut Bencher<'_>);

/// Whether criterion will run each workload once and measure nothing.
pub(crate) fn test_mode() -> bool {
    let given = |flag| env::args().any(|arg| arg == flag);
    given("--test") || !given("--bench")
}

/// A line of the table: `subjects` are the names its workloads ran under.
struct Row {
    id: &'static str,
    label: &'static str,
    subjects: Vec<&'static str>,
}

pub(crate) struct Figures {
    section: &'static str,
    peer: &'static str,
    criterion: Criterion,
    home: PathBuf,
    started: SystemTime,
    ticks: Ticks,
    few_samples: bool,
    write: bool,
    rows: Vec<Row>,
}

impl Figures {
    /// The figures of the section of PERF.md between `<!-- section:begin -->` and `<!-- section:end -->`.
    pub(crate) fn new(section: &'static str, peer: &'static str) -> Self {
        let write = match env::var("RIPCORD_PERF") {
            Ok(word) if word == "write" => true,
            Ok(word) => panic!("RIPCORD_PERF={word}: only `write` is known"),
            Err(_) => false,
        };
        let home = criterion_home();
        let criterion = Criterion::default()
            .output_directory(&home)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(600))
            .sample_size(30)
            .nresamples(10_000)
            .configure_from_args();
        Self {
            section,
            peer,
            criterion,
            home,
            started: SystemTime::now(),
            ticks: Ticks::now(),
            few_samples: false,
            write,
            rows: Vec::new(),
        }
    }

    /// The figures that follow take long to prepare: criterion's minimum of samples has to do for them.
    /// It warns that even these take longer than they were given.
    pub(crate) fn few_samples(&mut self) {
        self.few_samples = true;
    }

    pub(crate) fn pair(
        &mut self,
        id: &'static str,
        label: &'static str,
        ours: Workload,
        peers: Workload,
    ) {
        self.run(id, label, &[(OURS, ours), (self.peer, peers)]);
    }

    pub(crate) fn ours(&mut self, id: &'static str, label: &'static str, work: Workload) {
        self.run(id, label, &[(OURS, work)]);
    }

    /// A cost of the machine, by which the others are read.
    pub(crate) fn scale(&mut self, id: &'static str, label: &'static str, work: Workload) {
        self.run(id, label, &[(SCALE, work)]);
    }

    fn run(&mut self, id: &'static str, label: &'static str, work: &[(&'static str, Workload)]) {
        let mut group = self.criterion.benchmark_group(id);
        group.sampling_mode(SamplingMode::Flat);
        if self.few_samples {
            group.sample_size(10);
        }
        for round in 1..=ROUNDS {
            for &(subject, workload) in work {
                group.bench_function(BenchmarkId::new(subject, round), workload);
            }
        }
        group.finish();
        let subjects = work.iter().map(|&(subject, _)| subject).collect();
        self.rows.push(Row {
            id,
            label,
            subjects,
        });
    }

    /// Prints the table if all of it was measured, and with `RIPCORD_PERF=write` puts it into PERF.md, or fails.
    pub(crate) fn finish(self) -> ExitCode {
        let table = self.table();
        if let Ok(table) = &table {
            println!("{table}");
        }
        if !self.write {
            return ExitCode::SUCCESS;
        }
        match table.and_then(|table| self.replace_section(&table)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("PERF.md is left as it was: {why}");
                ExitCode::FAILURE
            }
        }
    }

    /// Markdown, or what is lacking. A figure from an earlier run is lacking too: a table is of one run.
    fn table(&self) -> Result<String, String> {
        let peer = self.peer;
        let mut compared = vec![
            format!("| | {OURS} | 95 % interval | {peer} | 95 % interval | {peer} / {OURS} |"),
            "|---|--:|--:|--:|--:|--:|".to_owned(),
        ];
        let mut scale = vec![
            "| for scale | median | 95 % interval |".to_owned(),
            "|---|--:|--:|".to_owned(),
        ];
        let mut lacking = Vec::new();
        for Row {
            id,
            label,
            subjects,
        } in &self.rows
        {
            let costs: Option<Vec<_>> = subjects.iter().map(|s| self.cost(id, s)).collect();
            match costs.as_deref() {
                None => lacking.push(*id),
                Some([cost]) if subjects[0] == SCALE => scale.push(format!("| {label} | {cost} |")),
                Some([ours]) => compared.push(format!("| {label} | {ours} | | | |")),
                Some([ours, theirs]) => {
                    let rounds = ours.rounds.iter().zip(&theirs.rounds);
                    let ratio = middle(rounds.map(|(ours, theirs)| theirs / ours).collect());
                    compared.push(format!("| {label} | {ours} | {theirs} | {ratio:.2} |"));
                }
                Some(_) => unreachable!("a row has one or two subjects"),
            }
        }
        if !lacking.is_empty() {
            return Err(format!("not measured in this run: {}", lacking.join(", ")));
        }
        let provenance = provenance(peer, self.ticks.taken_by_others());
        Ok(format!(
            "{provenance}\n\n{}\n\n{}\n",
            compared.join("\n"),
            scale.join("\n")
        ))
    }

    /// What criterion found in this run, or `None` if it did not run all the rounds.
    fn cost(&self, id: &str, subject: &str) -> Option<Cost> {
        let mut cost = Cost {
            median: 0.0,
            low: f64::INFINITY,
            high: 0.0,
            rounds: Vec::new(),
        };
        for round in 1..=ROUNDS {
            let path = self
                .home
                .join(format!("{id}/{subject}/{round}/new/estimates.json"));
            if fs::metadata(&path).ok()?.modified().ok()? < self.started {
                return None;
            }
            let estimates: Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            let median = &estimates["median"];
            let interval = &median["confidence_interval"];
            cost.rounds.push(median["point_estimate"].as_f64()?);
            cost.low = cost.low.min(interval["lower_bound"].as_f64()?);
            cost.high = cost.high.max(interval["upper_bound"].as_f64()?);
        }
        cost.median = middle(cost.rounds.clone());
        Some(cost)
    }

    /// Puts `table` between the section's marks; all else in PERF.md is written by hand and stays.
    fn replace_section(&self, table: &str) -> Result<(), String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("PERF.md");
        let old = fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let marker = |edge| format!("<!-- {}:{edge} -->", self.section);
        let (begin, end) = (marker("begin"), marker("end"));
        let (before, rest) = old.split_once(&begin).ok_or(format!("no line `{begin}`"))?;
        let (_, after) = rest
            .split_once(&end)
            .ok_or(format!("no line `{end}` after `{begin}`"))?;
        fs::write(&path, format!("{before}{begin}\n{table}{end}{after}")).map_err(|e| e.to_string())
    }
}

/// Nanoseconds.
struct Cost {
    /// Of the rounds' medians.
    median: f64,
    /// The lowest and the highest end of the rounds' intervals: a drift between rounds shows here.
    low: f64,
    high: f64,
    rounds: Vec<f64>,
}

impl Display for Cost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [median, low, high] = [self.median, self.low, self.high].map(duration);
        write!(f, "{median} | {low} to {high}")
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Three digits, as far as they mean something.
fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n => (n / 1e6, "ms"),
    };
    let decimals = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// Processor time since boot, in the kernel's ticks.
struct Ticks {
    all: f64,
    others: f64,
}

impl Ticks {
    fn now() -> Self {
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
        // Of what follows `comm` and the letter of the state: the eleventh is utime, then stime.
        let own: f64 = numbers("/proc/self/stat", ")")
            .iter()
            .skip(10)
            .take(2)
            .sum();
        let others = all - idle - own;
        Self { all, others }
    }

    /// The share since `self`, in percent. Threads that ought to run side by side take turns on a busy machine, and
    /// then a lock looks cheaper than it is.
    fn taken_by_others(&self) -> f64 {
        let now = Self::now();
        100.0 * (now.others - self.others) / (now.all - self.all)
    }
}

fn provenance(peer: &str, others: f64) -> String {
    let date = output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    let kernel = output("uname", &["-sr"]);
    let rustc = output("rustc", &["--version"]);
    let cpu = cpu_model();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let commit = commit();
    let command = command();
    let version = locked_version(peer);
    format!(
        "{date}, commit {commit}, by `{command}`.\n\
         {cpu}, {cores} cores, {kernel}, {rustc}, {peer} {version}.\n\
         Others (processes and the hypervisor) took {others:.0} % of the processors meanwhile.\n\n\
         The median of {ROUNDS} rounds in which the peers take turns; the interval spans those of all rounds."
    )
}

/// The first line that a command prints.
fn output(program: &str, args: &[&str]) -> String {
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

/// PERF.md does not count as a change: writing it is what this is for.
fn commit() -> String {
    let head = output("git", &["rev-parse", "--short", "HEAD"]);
    let changed = output("git", &["status", "--porcelain", "--", ".", ":!PERF.md"]);
    if changed.is_empty() {
        head
    } else {
        head + "-dirty"
    }
}

/// Cargo gives us `--bench`; what the user gave after `--` narrows or changes the measurement, so it is told.
fn command() -> String {
    let own: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let own = if own.is_empty() {
        String::new()
    } else {
        format!(" -- {}", own.join(" "))
    };
    format!(
        "RIPCORD_PERF=write cargo bench --bench {}{own}",
        env!("CARGO_CRATE_NAME")
    )
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

/// Where criterion would put its results by itself: this binary lies in `<target>/<profile>/deps`.
fn criterion_home() -> PathBuf {
    if let Some(home) = env::var_os("CRITERION_HOME") {
        return home.into();
    }
    let exe = env::current_exe().unwrap_or_default();
    exe.ancestors()
        .nth(3)
        .unwrap_or(Path::new("target"))
        .join("criterion")
}
