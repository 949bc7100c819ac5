//! How a context of the reference prints: the derivations that led to it.

use super::clock::{Clocks, EngineId};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Instant;

/// Derivations that are printed whole.
const WHOLE: usize = 64;

/// Sets on a way of which none is left out.
const SETS: usize = 32;

/// More than a merged context prints of its parents' sets.
const MERGED_SETS: usize = 48;

#[derive(Clone, Debug)]
pub(crate) struct Line {
    origin: Origin,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Origin {
    Background,
    Todo,
    Merge(Vec<(usize, Line)>),
    /// One that is not said here.
    Unsaid,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Cancel,
    Deadline(EngineId, Instant),
    Value(&'static str),
}

impl Line {
    pub(crate) const BACKGROUND: Self = Self {
        origin: Origin::Background,
        parts: Vec::new(),
    };
    pub(crate) const TODO: Self = Self {
        origin: Origin::Todo,
        parts: Vec::new(),
    };

    pub(crate) fn with(&self, part: Part) -> Self {
        let mut line = self.clone();
        line.parts.push(part);
        line
    }

    /// After `without_cancel`: the values, on a fresh background.
    pub(crate) fn without_cancel(&self) -> Self {
        let mut line = self.clone();
        line.parts.retain(|part| matches!(part, Part::Value(_)));
        line.origin = match self.origin {
            // The values of a merged context are its own affair.
            Origin::Merge(_) | Origin::Unsaid => Origin::Unsaid,
            Origin::Background | Origin::Todo => Origin::Background,
        };
        line
    }

    /// `parents`: those that can be done, each with its number. `None`: how it prints is not said.
    pub(crate) fn merge(parents: Option<Vec<(usize, &Self)>>) -> Self {
        let Some(parents) = parents else {
            return Self {
                origin: Origin::Unsaid,
                parts: Vec::new(),
            };
        };
        let mut seen = BTreeSet::new();
        let merged: Vec<_> = parents
            .into_iter()
            .filter(|(id, _)| seen.insert(*id))
            .map(|(id, line)| (id, line.without_values()))
            .collect();
        if merged.is_empty() {
            return Self::BACKGROUND.with(Part::Cancel);
        }
        Self {
            origin: Origin::Merge(merged),
            parts: Vec::new(),
        }
    }

    fn without_values(&self) -> Self {
        let mut line = self.clone();
        line.parts.retain(|part| !matches!(part, Part::Value(_)));
        line
    }

    /// # Panics
    ///
    /// Where `text` is not what it prints, as far as that is said.
    pub(crate) fn check(&self, text: &str, clocks: &Clocks) {
        assert!(text.starts_with("context."), "{text}");
        let Some(length) = self.length(clocks) else {
            return;
        };
        let is_set = |part: &&Part| matches!(part, Part::Value(_));
        if self.parts.iter().filter(is_set).count() > SETS {
            // Shadowed ones may be missing.
            return;
        }
        if length > WHOLE {
            assert!(text.contains(" more]"), "{text}");
            return;
        }
        if matches!(self.origin, Origin::Merge(_)) {
            // Which of its parents' values there are, and in which order, is not said.
            if length > WHOLE - MERGED_SETS {
                return;
            }
            let expected = self.without_values().text(clocks);
            assert_eq!(strip_values(text), expected);
        } else {
            assert_eq!(text, self.text(clocks));
        }
    }

    /// How many parts are printed; `None`: there is something in it that is not said.
    fn length(&self, clocks: &Clocks) -> Option<usize> {
        let is_said = |part: &Part| match part {
            Part::Deadline(engine, _) => !clocks.runs(*engine),
            Part::Cancel | Part::Value(_) => true,
        };
        let parents = match &self.origin {
            Origin::Unsaid => return None,
            Origin::Background | Origin::Todo => 0,
            Origin::Merge(parents) => parents
                .iter()
                .map(|(_, line)| line.length(clocks))
                .sum::<Option<usize>>()?
                .saturating_add(1),
        };
        let all_said = self.parts.iter().all(is_said);
        all_said.then_some(parents.saturating_add(self.parts.len()))
    }

    fn text(&self, clocks: &Clocks) -> String {
        let mut text = match &self.origin {
            Origin::Background => "context.Background".to_owned(),
            Origin::Todo => "context.TODO".to_owned(),
            Origin::Unsaid => unreachable!("not asked for"),
            Origin::Merge(parents) => {
                let parents: Vec<_> = parents.iter().map(|(_, line)| line.text(clocks)).collect();
                format!("context.Merge({})", parents.join(", "))
            }
        };
        for part in &self.parts {
            let written = match part {
                Part::Cancel => write!(text, ".WithCancel"),
                Part::Value(name) => write!(text, ".WithValue({name})"),
                Part::Deadline(engine, at) => {
                    let now = clocks.now(*engine);
                    if now < *at {
                        write!(text, ".WithDeadline(in {:?})", *at - now)
                    } else {
                        write!(text, ".WithDeadline({:?} ago)", now - *at)
                    }
                }
            };
            written.expect("a String takes it");
        }
        text
    }
}

fn strip_values(text: &str) -> String {
    let mut stripped = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(".WithValue(") {
        stripped.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    stripped + rest
}
