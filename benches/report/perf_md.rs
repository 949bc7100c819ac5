//! PERF.md: what lies between the marks of a section is a run's; all else is written by hand and stays.

use std::fs;
use std::path::{Path, PathBuf};

/// In the crate that measures, or above it.
fn path() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut paths = crates.map(|home| home.join("PERF.md"));
    paths
        .find(|path| path.exists())
        .unwrap_or_else(|| "PERF.md".into())
}

pub(super) struct PerfMd(String);

impl PerfMd {
    pub(super) fn read() -> Result<Self, String> {
        fs::read_to_string(path())
            .map(Self)
            .map_err(|e| e.to_string())
    }

    /// What is before a section's text, the text, and what is after it.
    fn split(&self, section: &str) -> Result<[&str; 3], String> {
        let begin = format!("<!-- {section}:begin -->\n");
        let end = format!("<!-- {section}:end -->");
        let at = self.0.find(&begin).ok_or(format!("no line `{begin}`"))? + begin.len();
        let length = self.0[at..]
            .find(&end)
            .ok_or(format!("no line `{end}` after `{begin}`"))?;
        let (before, rest) = self.0.split_at(at);
        let (text, after) = rest.split_at(length);
        Ok([before, text, after])
    }

    pub(super) fn section(&self, section: &str) -> Result<&str, String> {
        self.split(section).map(|[_, text, _]| text)
    }

    pub(super) fn replace(&mut self, section: &str, text: &str) -> Result<(), String> {
        let [before, _, after] = self.split(section)?;
        self.0 = format!("{before}{text}{after}");
        Ok(())
    }

    pub(super) fn write(&self) -> Result<(), String> {
        fs::write(path(), &self.0).map_err(|e| e.to_string())
    }
}
