//! The tables.

use super::instructions::Counts;
use super::profile::Profile;
use super::rounds::Round;
use super::route::{ROUTES, mixed};
use super::spread::{Spread, times, whole};
use ripcord_server::Side;
use std::time::Duration;

/// Rows of a profile.
const FUNCTIONS: usize = 8;

/// The figures of a row: those of all repeats, by side.
fn row(label: &str, figures: impl Fn(Side) -> Vec<f64>) -> String {
    let [ripcord, tokio, neither] = Side::ALL.map(&figures);
    let over = |side: &[f64]| Spread::of(side.iter().zip(&neither).map(|(a, b)| a / b));
    format!(
        "| {label} | {} | {} | {} | {} | {} |\n",
        Spread::of(neither.iter().copied()).show(whole),
        Spread::of(ripcord.iter().copied()).show(whole),
        Spread::of(tokio.iter().copied()).show(whole),
        over(&ripcord).show(times),
        over(&tokio).show(times),
    )
}

fn of_the_mix(counts: &Counts, side: Side) -> Vec<f64> {
    let repeats = counts.of(side, &ROUTES[0]).len();
    let of = |repeat: usize| {
        mixed(
            ROUTES
                .each_ref()
                .map(|route| counts.of(side, route)[repeat]),
        )
    };
    (0..repeats).map(of).collect()
}

const HEAD: &str = "| | neither | ripcord | tokio-util and tokio | ripcord over neither | tokio over neither |\n\
                    |---|--:|--:|--:|--:|--:|\n";

pub fn instructions(counts: &Counts, requests: u32) -> String {
    let repeats = counts.of(Side::Neither, &ROUTES[0]).len();
    let rows: String = ROUTES
        .iter()
        .map(|route| {
            let label = format!("`{}`", route.path);
            row(&label, |side| counts.of(side, route).to_vec())
        })
        .collect();
    let mix = row("the mix", |side| of_the_mix(counts, side));
    format!("Instructions a request, of {requests} requests, {repeats} times:\n\n{HEAD}{rows}{mix}")
}

/// Of the mix, ripcord over neither: the median.
pub fn ratio(counts: &Counts) -> f64 {
    let ripcord = of_the_mix(counts, Side::Ripcord);
    let neither = of_the_mix(counts, Side::Neither);
    Spread::of(ripcord.iter().zip(&neither).map(|(a, b)| a / b)).median
}

pub fn profile(path: &str, ours: Profile, theirs: &Profile) -> String {
    let rows: String = ours
        .less(theirs)
        .greatest(FUNCTIONS)
        .iter()
        .map(|(function, count)| format!("| `{function}` | {count:+.0} |\n"))
        .collect();
    format!(
        "Where it goes, `{path}`: instructions a request with ripcord, less those with neither.\n\n\
         | function, without what it calls | |\n|---|--:|\n{rows}"
    )
}

pub fn throughput(rounds: &[Round], duration: Duration, connections: u16) -> String {
    let of = |figure: fn(&super::load::Throughput) -> f64| {
        move |side: Side| {
            let at = Side::ALL.iter().position(|&other| other == side);
            let at = at.unwrap_or_default();
            rounds.iter().map(|round| figure(&round[at])).collect()
        }
    };
    let rate = row("requests a second", of(|it| it.rate));
    let slow = row(
        "99.9 % of requests within, µs",
        of(|it| it.slow.as_micros() as f64),
    );
    format!(
        "The mix, from {connections} connections, {} rounds of {duration:?} a side, in turns:\n\n{HEAD}{rate}{slow}",
        rounds.len()
    )
}
