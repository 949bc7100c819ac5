//! What each function takes, as `callgrind_annotate` has it.

use super::Result;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

/// Without what a function calls.
#[derive(Default)]
pub struct Profile(HashMap<String, f64>);

impl Profile {
    pub fn read(found: &Path) -> Result<Self> {
        let done = Command::new("callgrind_annotate")
            .args(["--threshold=100", "--show-percs=no"])
            .arg(found)
            .output()
            .map_err(|error| format!("callgrind_annotate: {error}"))?;
        if !done.status.success() {
            let why = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(format!("callgrind_annotate: {}", why.trim_end()).into());
        }
        let text = String::from_utf8_lossy(&done.stdout);
        let functions = text
            .lines()
            .skip_while(|line| !line.contains("file:function"))
            .filter_map(|line| {
                let (count, place) = line.trim_start().split_once(' ')?;
                let count: f64 = count.replace(',', "").parse().ok()?;
                Some((function(place.trim_start())?, count))
            });
        let mut profile = Self::default();
        for (function, count) in functions {
            *profile.0.entry(function).or_default() += count;
        }
        Ok(profile)
    }

    pub fn less(mut self, other: &Self) -> Self {
        for (function, count) in &other.0 {
            *self.0.entry(function.clone()).or_default() -= count;
        }
        self
    }

    pub fn divided_by(mut self, n: f64) -> Self {
        self.0.values_mut().for_each(|count| *count /= n);
        self
    }

    /// The functions of the greatest counts, up or down.
    pub fn greatest(&self, most: usize) -> Vec<(&str, f64)> {
        let mut all: Vec<_> = self.0.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        all.sort_by(|(a, x), (b, y)| y.abs().total_cmp(&x.abs()).then(a.cmp(b)));
        all.truncate(most);
        all
    }
}

/// `file:function [object]`.
fn function(place: &str) -> Option<String> {
    let (_, function) = place.split_once(':')?;
    let function = function.split(" [").next()?;
    let function = function.split('\'').next()?;
    Some(function.trim_end().to_owned())
}
