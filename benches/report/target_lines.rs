//! The table of targets in PERF.md, of which each section has its own lines.

use super::machine;
use super::perf_md::PerfMd;

/// The order of their lines in the table.
const SECTIONS: [&str; 6] = ["tree", "timers", "values", "waits", "memory", "server"];

const HEAD: &str = "| | | reached | target | | measured at |\n|---|---|--:|--:|---|---|\n";

pub(super) fn line(section: &str, label: &str, figure: &str, target: &str, met: bool) -> String {
    let met = if met { "met" } else { "**not met**" };
    let at = machine::commit_and_date();
    format!("| {section} | {label} | {figure} | {target} | {met} | {at} |\n")
}

/// Puts a section's lines in the place of those it had.
pub(super) fn replace(perf: &mut PerfMd, section: &str, lines: &[String]) -> Result<(), String> {
    let old = perf.section("targets")?;
    let of = |name: &str| -> String {
        if name == section {
            return lines.concat();
        }
        let start = format!("| {name} |");
        old.lines()
            .filter(|line| line.starts_with(&start))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let table: String = SECTIONS.map(of).concat();
    perf.replace("targets", &format!("{HEAD}{table}"))
}
