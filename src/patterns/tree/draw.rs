//! A tree written: as text, as a graph for Graphviz, as JSON. Loops, for a tree may be as deep as there are contexts.

use super::{ContextTree, Left, Node};
use crate::error::Error;
use std::fmt::{self, Write};

/// Levels by which text is set in: beyond them it would grow with the square of the depth.
const INDENTED: usize = 64;

impl Node {
    const fn state(&self) -> &'static str {
        match self.ended {
            None => "live",
            Some(Error::Canceled) => "canceled",
            Some(Error::DeadlineExceeded) => "timed out",
        }
    }

    /// What is said of it in one line, but for its names.
    fn line(&self) -> String {
        let mut line = self.kind.to_string();
        let written = match self.deadline {
            Some(Left::In(left)) => write!(line, "(in {left:?})"),
            Some(Left::Ago(past)) => write!(line, "({past:?} ago)"),
            None => Ok(()),
        };
        written.expect("a string takes everything");
        line.push_str(", ");
        line.push_str(self.state());
        if self.others > 0 {
            line.push_str(&format!(", {} more below", self.others));
        }
        if let Some(at) = self.made_at {
            line.push_str(&format!(", made at {at}"));
        }
        line
    }
}

/// A line for each context: its names, what it was made by, with the time until its own deadline or since, how it is, how many
/// more hang on it, and, with the feature `origin`, where it was made. Control characters of names are left out.
impl fmt::Display for ContextTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = self.below_each();
        let mut stack = vec![(0, String::new(), "", 0)];
        while let Some((at, indent, branch, depth)) = stack.pop() {
            let node = &self.nodes[at];
            write!(f, "{indent}{branch}")?;
            let mut names = node.names.join(", ");
            names.retain(|c| !c.is_control());
            if !names.is_empty() {
                write!(f, "{names}: ")?;
            }
            f.write_str(&node.line())?;
            if !node.also_above.is_empty() {
                write!(f, ", merged from {} more", node.also_above.len())?;
            }
            f.write_str("\n")?;
            let indent = match branch {
                "├─ " if depth < INDENTED => indent + "│  ",
                "└─ " if depth < INDENTED => indent + "   ",
                _ => indent,
            };
            for (nth, &child) in below[at].iter().rev().enumerate() {
                let branch = if nth == 0 { "└─ " } else { "├─ " };
                stack.push((child, indent.clone(), branch, depth + 1));
            }
        }
        Ok(())
    }
}

impl ContextTree {
    /// What hangs on each.
    fn below_each(&self) -> Vec<Vec<usize>> {
        let mut below = vec![Vec::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            if let Some(above) = node.above {
                below[above].push(at);
            }
        }
        below
    }

    /// As a directed graph in the language of [Graphviz](https://graphviz.org/doc/info/lang.html), for `dot -Tsvg`: a box a
    /// context, what has ended in grey, and a dashed line from each further parent of a merged one. Names are escaped: they
    /// may be anything. Allocates.
    ///
    /// ```
    /// use ripcord::{Context, ContextTree};
    ///
    /// let (ctx, _guard) = Context::background().with_cancel();
    /// let graph = ContextTree::of(&ctx, [("the \"request\"", &ctx)]).to_dot();
    /// assert!(graph.starts_with("digraph contexts {"));
    /// assert!(graph.contains(r#"label="the \"request\"\n"#));
    /// ```
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut dot = "digraph contexts {\n  node [shape=box];\n".to_owned();
        for (at, node) in self.nodes.iter().enumerate() {
            let mut label = String::new();
            for name in &node.names {
                push_dot(&mut label, name);
                label.push_str("\\n");
            }
            push_dot(&mut label, &node.line());
            let colour = if node.ended.is_some() {
                ", color=grey, fontcolor=grey"
            } else {
                ""
            };
            dot.push_str(&format!("  n{at} [label=\"{label}\"{colour}];\n"));
            if let Some(above) = node.above {
                dot.push_str(&format!("  n{above} -> n{at};\n"));
            }
            for above in &node.also_above {
                dot.push_str(&format!("  n{above} -> n{at} [style=dashed];\n"));
            }
        }
        dot.push_str("}\n");
        dot
    }

    /// As JSON ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)): an object with `nodes`, an array in which each comes
    /// after what it hangs on. It is flat, for a parser's stack has an end. Allocates.
    ///
    /// | of a node | is |
    /// |---|---|
    /// | `id` | its place in the array |
    /// | `parent` | the `id` of what it hangs on; `null` of the root |
    /// | `also_under` | the `id`s of a merged one's further parents |
    /// | `names` | an array of strings |
    /// | `kind` | `Background`, `WithCancel`, `WithDeadline`, `Merge` |
    /// | `state` | `live`, `canceled`, `timed out` |
    /// | `deadline_ms` | milliseconds until its own deadline, negative since; `null`: it has none |
    /// | `more` | how many hang on it beside those that are shown; of what was not named, 0 |
    /// | `made_at` | `file:line:column`; `null` without the feature `origin` |
    ///
    /// ```
    /// use ripcord::{Context, ContextTree};
    ///
    /// let (ctx, _guard) = Context::background().with_cancel();
    /// let tree: serde_json::Value =
    ///     serde_json::from_str(&ContextTree::of(&ctx, [("request", &ctx)]).to_json()).unwrap();
    /// assert_eq!(tree["nodes"][0]["names"][0], "request");
    /// assert_eq!(tree["nodes"][0]["state"], "live");
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = "{\"nodes\":[".to_owned();
        for (id, node) in self.nodes.iter().enumerate() {
            if id > 0 {
                json.push(',');
            }
            let names: Vec<_> = node.names.iter().map(|name| quoted(name)).collect();
            let also: Vec<_> = node.also_above.iter().map(usize::to_string).collect();
            let or_null = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
            let deadline = node.deadline.map(|left| match left {
                Left::In(left) => left.as_millis().to_string(),
                Left::Ago(past) => format!("-{}", past.as_millis()),
            });
            json.push_str(&format!(
                "\n{{\"id\":{id},\"parent\":{},\"also_under\":[{}],\"names\":[{}],\"kind\":\"{}\",\
                 \"state\":\"{}\",\"deadline_ms\":{},\"more\":{},\"made_at\":{}}}",
                or_null(node.above.map(|above| above.to_string())),
                also.join(","),
                names.join(","),
                node.kind,
                node.state(),
                or_null(deadline),
                node.others,
                or_null(node.made_at.map(|at| quoted(&at.to_string()))),
            ));
        }
        json.push_str("\n]}\n");
        json
    }
}

/// Within a quoted string of the dot language, whose backslashes mean something in a label.
fn push_dot(label: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => label.push_str("\\\""),
            '\\' => label.push_str("\\\\"),
            '\n' => label.push_str("\\n"),
            c if c.is_control() => label.push(' '),
            c => label.push(c),
        }
    }
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut json = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            // That is all of ASCII and beyond which is one unit of UTF-16.
            c if c.is_control() => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}
