//! PERF.md, as the benches of the library write it.

#[path = "../../../../../benches/report/machine.rs"]
mod machine;
#[path = "../../../../../benches/report/perf_md.rs"]
mod perf_md;
#[path = "../../../../../benches/report/target_lines.rs"]
mod target_lines;

use super::Result;
use machine::Ticks;
use perf_md::PerfMd;

const SECTION: &str = "server";

/// The most that a request with ripcord may take of one with neither.
const TARGET: f64 = 1.01;

/// From the begin of a run.
pub struct Report(Ticks);

impl Report {
    pub fn begin() -> Self {
        Self(Ticks::now())
    }

    pub fn section(&self, command: &str, parts: &[String]) -> String {
        let peers = ["hyper", "tokio", "tokio-util"];
        let provenance = machine::provenance(&self.0, command, &peers);
        let parts = parts.iter().map(|part| part.trim_end());
        let all: Vec<_> = [provenance.as_str()].into_iter().chain(parts).collect();
        all.join("\n\n") + "\n"
    }

    /// `ratio`: of instructions, where they were counted.
    pub fn write(section: &str, ratio: Option<f64>) -> Result<()> {
        let mut perf = PerfMd::read()?;
        perf.replace(SECTION, section)?;
        if let Some(ratio) = ratio {
            let line = target_lines::line(
                SECTION,
                "instructions of a request of the mix, over those without ripcord",
                &format!("{ratio:.4} ×"),
                &format!("≤ {TARGET} ×"),
                ratio <= TARGET,
            );
            target_lines::replace(&mut perf, SECTION, &[line])?;
        }
        Ok(perf.write()?)
    }
}
