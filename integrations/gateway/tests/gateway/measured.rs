//! `/metrics`: it is Prometheus text, and its numbers are those of `/stats`.

use super::NO_LIMIT;
use super::process::{Gateway, eventually};
use std::collections::BTreeMap;

/// What stands in Prometheus's text format, version 0.0.4.
#[derive(Default)]
struct Exposition {
    types: BTreeMap<String, String>,
    helped: BTreeMap<String, String>,
    /// In their order.
    samples: Vec<Sample>,
}

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Exposition {
    fn of(gateway: &Gateway) -> Self {
        let answer = gateway.get("/metrics", &[]);
        assert_eq!(answer.status, 200);
        let content_type = "content-type: text/plain; version=0.0.4; charset=utf-8";
        assert!(answer.head.contains(content_type), "{}", answer.head);
        assert!(answer.body.ends_with('\n'), "{}", answer.body);
        let mut all = Self::default();
        for line in answer.body.lines().filter(|line| !line.is_empty()) {
            all.read(line).unwrap_or_else(|| panic!("{line:?}"));
        }
        all
    }

    /// `None` where the line is none of the format's.
    fn read(&mut self, line: &str) -> Option<()> {
        if let Some(comment) = line.strip_prefix("# ") {
            let (kind, rest) = comment.split_once(' ')?;
            let (name, text) = rest.split_once(' ')?;
            let table = match kind {
                "HELP" => &mut self.helped,
                "TYPE" => &mut self.types,
                _ => return None,
            };
            let known = ["counter", "gauge", "histogram", "summary", "untyped"];
            let sound = is_name(name) && (kind == "HELP" || known.contains(&text));
            // Each once for a name, and before its samples.
            let first = table.insert(name.to_owned(), text.to_owned()).is_none();
            let before = !self.samples.iter().any(|sample| sample.name == name);
            return (sound && first && before).then_some(());
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        let labels = labels
            .split(',')
            .filter(|label| !label.is_empty())
            .map(|label| {
                let (name, value) = label.split_once('=')?;
                let value = value.strip_prefix('"')?.strip_suffix('"')?;
                is_name(name).then(|| (name.to_owned(), value.to_owned()))
            })
            .collect::<Option<_>>()?;
        let value = value.parse().ok()?;
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| {
                let family = name.strip_suffix(part)?;
                (self.types.get(family)? == "histogram").then_some(family)
            })
            .unwrap_or(name);
        let typed = self.types.contains_key(family) && self.helped.contains_key(family);
        self.samples.push(Sample {
            name: name.to_owned(),
            labels,
            value,
        });
        (is_name(name) && typed).then_some(())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.name == name)
    }

    /// The only sample of that name whose labels have that value.
    fn get(&self, name: &str, label: Option<&str>) -> u64 {
        let mut found = self.all(name).filter(|sample| {
            label.is_none_or(|label| sample.labels.values().any(|value| value == label))
        });
        let sample = found
            .next()
            .unwrap_or_else(|| panic!("no {name} {label:?}"));
        assert!(found.next().is_none(), "{name} {label:?} twice");
        assert_eq!(sample.value.fract(), 0.0);
        sample.value as u64
    }
}

fn is_name(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    text.bytes().all(sound)
        && text
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}

#[test]
fn metrics_are_prometheus_text_and_agree_with_stats() {
    let gateway = Gateway::start(&NO_LIMIT);
    // Each kind of end.
    for _ in 0..3 {
        assert_eq!(gateway.get("/healthz", &[]).status, 200);
    }
    assert_eq!(gateway.get("/nothing", &[]).status, 404);
    assert_eq!(
        gateway.get("/healthz", &[("x-timeout-ms", "soon")]).status,
        400
    );
    assert_eq!(gateway.get("/fan?fail=0", &[]).status, 502);
    let query = "/query?n=9223372036854775807";
    assert_eq!(gateway.get(query, &[("x-timeout-ms", "20")]).status, 504);
    let asked = gateway.send("/work?n=18446744073709551615", &[]);
    eventually("a thread works", || gateway.stat("working") == 1);
    drop(asked);
    eventually("all of them have ended", || {
        gateway.stat("client-gone") == 1
            && gateway.stat("interrupted") == 1
            && gateway.stat("calls") == 0
            && gateway.stat("contexts") == 1
    });

    for _ in 0..2 {
        let stats = gateway.get("/stats", &[]).body;
        let stat = |name: &str| -> u64 {
            stats
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {stats}"))
        };
        let metrics = Exposition::of(&gateway);
        let ended = |ending| metrics.get("gateway_requests_total", Some(ending));
        for ending in ["deadline", "client-gone", "bad", "other"] {
            assert_eq!(ended(ending), stat(ending), "{ending}");
            assert!(stat(ending) > 0, "{ending}");
        }
        // And the request for the stats.
        assert_eq!(ended("ok"), stat("ok") + 1);
        let interrupted = metrics.get("gateway_queries_interrupted_total", None);
        assert_eq!(interrupted, stat("interrupted"));
        for (metric, name) in [
            ("gateway_requests_live", "live"),
            ("gateway_loops_live", "working"),
            ("gateway_queries_live", "querying"),
            ("gateway_backend_calls_live", "calls"),
        ] {
            assert_eq!(metrics.get(metric, None), stat(name), "{name}");
        }
        assert_eq!(metrics.all("gateway_requests_total").count(), 5);
        for (name, kind) in [
            ("gateway_requests_total", "counter"),
            ("gateway_queries_interrupted_total", "counter"),
            ("gateway_contexts_live", "gauge"),
            ("gateway_request_duration_seconds", "histogram"),
        ] {
            assert_eq!(metrics.types.get(name).map(String::as_str), Some(kind));
        }
    }
    eventually("no context is left but its own", || {
        Exposition::of(&gateway).get("gateway_contexts_live", None) == 1
    });
}

#[test]
fn the_durations_are_those_of_requests_that_had_a_context() {
    let gateway = Gateway::start(&NO_LIMIT);
    for _ in 0..4 {
        assert_eq!(gateway.get("/sleep?ms=20", &[]).status, 200);
    }
    assert_eq!(
        gateway.get("/healthz", &[("x-timeout-ms", "soon")]).status,
        400
    );
    let metrics = Exposition::of(&gateway);
    let name = "gateway_request_duration_seconds";
    assert_eq!(metrics.get(&format!("{name}_count"), None), 4);
    let bucket = format!("{name}_bucket");
    let buckets: Vec<_> = metrics
        .all(&bucket)
        .map(|sample| {
            let bound: f64 = sample.labels["le"].parse().expect("a number, or +Inf");
            (bound, sample.value)
        })
        .collect();
    assert!(buckets.is_sorted(), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, 4.0)));
    assert_eq!(buckets[0].1, 0.0, "20 ms are more than {}", buckets[0].0);
    let sum: f64 = metrics
        .all(&format!("{name}_sum"))
        .map(|sum| sum.value)
        .sum();
    assert!(sum >= 0.08, "{sum}");
}
