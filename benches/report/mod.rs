//! Runs figures under criterion and writes them, with where and how they were measured, into a section of PERF.md.

#![allow(dead_code, unused_imports, reason = "each bench uses a part")]

mod chart;
mod cost;
mod go;
mod machine;
mod perf_md;
mod row;
mod target_lines;
mod targets;

pub(crate) use chart::{Chart, Series};
pub(crate) use cost::{Unit, middle};
pub(crate) use row::Row;
pub(crate) use targets::Target;

use cost::{Cost, Round};
use criterion::{BenchmarkId, Criterion, SamplingMode};
use go::Go;
use machine::Ticks;
use perf_md::PerfMd;
use row::{FLOOR, GO, OURS, SCALE, Work};
use serde_json::Value;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use targets::Reached;

/// All rows are measured, then all again: a slow second of the machine does not hit one of them alone, and rows that
/// are held against each other are measured near each other.
const ROUNDS: usize = 3;

/// Criterion's flags that take no value: what stands alone after another is a value, else it is a filter.
const SWITCHES: [&str; 10] = [
    "--bench",
    "--discard-baseline",
    "--exact",
    "--list",
    "--nocapture",
    "--noplot",
    "--quick",
    "--quiet",
    "--test",
    "--verbose",
];

/// Whether each workload runs once and nothing is measured.
pub(crate) fn test_mode() -> bool {
    let given = |flag| env::args().any(|arg| arg == flag);
    given("--test") || !given("--bench")
}

/// `full`, or `small` where nothing is measured: a test does not wait for large trees.
pub(crate) fn sized<T>(full: T, small: T) -> T {
    if test_mode() { small } else { full }
}

pub(crate) struct Figures {
    section: &'static str,
    peers: &'static [&'static str],
    criterion: Criterion,
    home: PathBuf,
    started: SystemTime,
    ticks: Ticks,
    write: bool,
    rows: Vec<Row>,
    charts: Vec<Chart>,
    notes: Option<String>,
    asked: bool,
    measured: HashMap<(String, &'static str), Cost>,
    go: Option<Go>,
}

impl Figures {
    /// The figures of the section of PERF.md between `<!-- section:begin -->` and `<!-- section:end -->`. `peers` are
    /// packages, in the order of their columns.
    pub(crate) fn new(section: &'static str, peers: &'static [&'static str]) -> Self {
        let write = match env::var("RIPCORD_PERF") {
            Ok(word) if word == "write" => true,
            Ok(word) => panic!("RIPCORD_PERF={word}: only `write` is known"),
            Err(_) => false,
        };
        let home = criterion_home();
        let criterion = Criterion::default()
            .output_directory(&home)
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(400))
            .sample_size(30)
            .nresamples(10_000)
            .configure_from_args();
        Self {
            section,
            peers,
            criterion,
            home,
            started: SystemTime::now(),
            ticks: Ticks::now(),
            write,
            rows: Vec::new(),
            charts: Vec::new(),
            notes: None,
            asked: true,
            measured: HashMap::new(),
            go: None,
        }
    }

    /// `id` names the row in criterion's filter, in targets and in Go's program.
    pub(crate) fn row(&mut self, id: impl Into<String>, label: impl Into<String>) -> &mut Row {
        self.rows.push(Row::new(id.into(), label.into()));
        self.rows.last_mut().expect("just pushed")
    }

    /// A row of what so many threads at once pay each, as its id and its label say.
    pub(crate) fn row_on(&mut self, threads: usize, id: &str, label: &str) -> &mut Row {
        match threads {
            1 => self.row(format!("{id}-1-thread"), format!("{label}, 1 thread")),
            _ => self.row(
                format!("{id}-{threads}-threads"),
                format!("{label}, {threads} threads, each"),
            ),
        }
    }

    /// What a bench finds by itself, in Markdown.
    pub(crate) fn note(&mut self, text: String) {
        self.notes = Some(text);
    }

    /// Whether a bench that is no row is to run; if not, the section lacks it.
    pub(crate) fn asks_for(&mut self, id: &str) -> bool {
        self.asked &= asked_for(id, OURS);
        self.asked
    }

    /// Drawn when the section is written.
    pub(crate) fn chart(&mut self, chart: Chart) {
        self.charts.push(chart);
    }

    /// Measures all rows, prints the tables if nothing lacks, and with `RIPCORD_PERF=write` puts them into PERF.md, or
    /// fails.
    pub(crate) fn finish(mut self) -> ExitCode {
        let rows = std::mem::take(&mut self.rows);
        if rows.iter().any(Row::asks_go) {
            self.go = Go::find(&self.home);
            if self.go.is_none() {
                println!("no `go` on the PATH: its rows are left out");
            }
        }
        for round in 1..=sized(ROUNDS, 1) {
            for row in &rows {
                self.take_turns(row, round);
            }
        }
        self.rows = rows;
        let tables = self.tables();
        if let Ok((section, targets)) = &tables {
            println!("{section}\n{}", targets.concat());
        }
        if !self.write {
            return ExitCode::SUCCESS;
        }
        match tables.and_then(|(section, targets)| self.put(&section, &targets)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("PERF.md is left as it was: {why}");
                ExitCode::FAILURE
            }
        }
    }

    fn take_turns(&mut self, row: &Row, round: usize) {
        for (subject, work) in &row.work {
            let figure = match work {
                Work::Timed(make) => {
                    let mut group = self.criterion.benchmark_group(&row.id);
                    group.sampling_mode(SamplingMode::Flat);
                    if row.slow {
                        group.sample_size(10);
                    }
                    // Not set up where the filter leaves it out.
                    let mut turn = None;
                    group.bench_function(BenchmarkId::new(*subject, round), |b| {
                        turn.get_or_insert_with(make)(b);
                    });
                    group.finish();
                    self.estimate(&row.id, subject, round)
                }
                Work::Found(find) if asked_for(&row.id, subject) => Some(Round::exact(find())),
                Work::Go if asked_for(&row.id, subject) => self.go.as_ref().map(|go| {
                    let row = format!("{}/{}", self.section, row.id);
                    go.measure(&row, test_mode())
                }),
                Work::Found(_) | Work::Go => None,
            };
            if let Some(figure) = figure {
                if !matches!(work, Work::Timed(_)) && !test_mode() {
                    let shown = row.unit.show(figure.median / row.per);
                    println!("{}/{subject}/{round}: {shown}", row.id);
                }
                let empty = || Cost {
                    unit: row.unit,
                    rounds: Vec::new(),
                };
                let cost = self.measured.entry((row.id.clone(), *subject));
                let rounds = &mut cost.or_insert_with(empty).rounds;
                rounds.push(figure.divided_by(row.per));
            }
        }
    }

    /// What criterion found in this run, if it measured.
    fn estimate(&self, id: &str, subject: &str, round: usize) -> Option<Round> {
        let path = self
            .home
            .join(format!("{id}/{subject}/{round}/new/estimates.json"));
        if fs::metadata(&path).ok()?.modified().ok()? < self.started {
            return None;
        }
        let estimates: Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        let median = &estimates["median"];
        let interval = &median["confidence_interval"];
        Some(Round {
            median: median["point_estimate"].as_f64()?,
            low: interval["lower_bound"].as_f64()?,
            high: interval["upper_bound"].as_f64()?,
        })
    }

    /// `None` if it was not measured in every round.
    fn cost(&self, id: &str, subject: &'static str) -> Option<&Cost> {
        let cost = self.measured.get(&(id.to_owned(), subject))?;
        (cost.rounds.len() == ROUNDS).then_some(cost)
    }

    /// The section and the lines of the targets, in Markdown, or what is lacking: a table is of one run.
    fn tables(&self) -> Result<(String, Vec<String>), String> {
        let no_go = |subject: &&str| *subject == GO && self.go.is_none();
        if !self.asked || test_mode() {
            return Err("it was not measured in this run".to_owned());
        }
        let lacking: Vec<_> = self
            .rows
            .iter()
            .filter(|row| {
                let mut subjects = row.work.iter().map(|(subject, _)| subject);
                subjects.any(|subject| !no_go(subject) && self.cost(&row.id, subject).is_none())
            })
            .map(|row| row.id.as_str())
            .collect();
        if !lacking.is_empty() {
            return Err(format!("not measured in this run: {}", lacking.join(", ")));
        }
        let used = |subject: &str| {
            let mut names = self.rows.iter().flat_map(|row| &row.work);
            names.any(|(name, _)| *name == subject)
        };
        let mut columns = vec![OURS];
        columns.extend(self.peers);
        columns.extend(self.go.as_ref().map(|_| GO));
        columns.extend(used(FLOOR).then_some(FLOOR));

        let mut compared = format!(
            "| | {} |\n|---|{}\n",
            columns.join(" | "),
            "--:|".repeat(columns.len())
        );
        let mut scale = "| for scale | |\n|---|--:|\n".to_owned();
        let mut targets = Vec::new();
        for row in &self.rows {
            let cell = |column: &&'static str| self.cell(row, column);
            if let Some(cost) = self.cost(&row.id, SCALE) {
                scale += &format!("| {} | {cost} |\n", row.label);
            } else {
                let cells: Vec<_> = columns.iter().map(cell).collect();
                compared += &format!("| {} | {} |\n", row.label, cells.join(" | "));
            }
            for &target in &row.targets {
                targets.push(self.target_line(row, target)?);
            }
        }
        if !used(SCALE) {
            scale.clear();
        }
        if !used(OURS) {
            compared.clear();
        }
        let mut provenance = machine::provenance(&self.ticks, &command(), self.peers);
        if !self.rows.is_empty() {
            provenance += &format!(" {ROUNDS} rounds.");
        }
        match &self.go {
            Some(go) => provenance += &format!(" Go is {}.", go.version),
            None if used(GO) => {
                provenance += " There was no `go` on the PATH: its column is left out."
            }
            None => {}
        }
        let plots = self
            .charts
            .iter()
            .map(|c| format!("![{}](perf/{}.svg)\n", c.title, c.file));
        let parts = [
            provenance,
            plots.collect(),
            compared,
            scale,
            self.notes.clone().unwrap_or_default(),
        ];
        let parts = parts.iter().map(|part| part.trim_end());
        let section: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        Ok((section.join("\n\n") + "\n", targets))
    }

    fn cell(&self, row: &Row, column: &'static str) -> String {
        let (Some(cost), Some(ours)) = (self.cost(&row.id, column), self.cost(&row.id, OURS))
        else {
            return String::new();
        };
        let ratio = cost.over(ours);
        match column {
            OURS => cost.to_string(),
            _ if !ratio.is_finite() => cost.to_string(),
            FLOOR => format!("{}: {cost}, ×{ratio:.2}", row.floor_name),
            _ => format!("{cost}, ×{ratio:.2}"),
        }
    }

    fn target_line(&self, row: &Row, target: Target) -> Result<String, String> {
        let ours = self.cost(&row.id, OURS).expect("nothing lacks");
        let other = match target {
            Target::TimesRow(_, id) => self.rows.iter().find(|row| row.id == id),
            _ => None,
        };
        let other = other.and_then(|row| Some((row.label.as_str(), self.cost(&row.id, OURS)?)));
        let reached = Reached {
            ours,
            floor: self.cost(&row.id, FLOOR),
            other,
        };
        target.line(self.section, &row.label, &reached)
    }

    fn series(&self, chart: &Chart) -> Vec<Series> {
        let subjects = [OURS].into_iter().chain(self.peers.iter().copied());
        let all = subjects.map(|subject| {
            let point = |(x, id): &(f64, String)| Some((*x, self.cost(id, subject)?.median()));
            let points = chart.points.iter().filter_map(point).collect();
            Series { subject, points }
        });
        let measured = all.filter(|series| !series.points.is_empty());
        measured.chain(chart.drawn.iter().cloned()).collect()
    }

    fn put(&self, section: &str, targets: &[String]) -> Result<(), String> {
        for chart in &self.charts {
            chart.draw(&self.series(chart))?;
        }
        let mut perf = PerfMd::read()?;
        perf.replace(self.section, section)?;
        if !targets.is_empty() {
            target_lines::replace(&mut perf, self.section, targets)?;
        }
        perf.write()
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

/// Criterion filters what it times; this is for what it does not.
fn asked_for(id: &str, subject: &str) -> bool {
    let args: Vec<String> = env::args().skip(1).collect();
    let is_value = |at: usize| {
        let before = at.checked_sub(1).map(|before| args[before].as_str());
        before.is_some_and(|flag| flag.starts_with('-') && !SWITCHES.contains(&flag))
    };
    let filter = (0..args.len()).find(|&at| !args[at].starts_with('-') && !is_value(at));
    filter.is_none_or(|at| format!("{id}/{subject}").contains(&args[at]))
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
