//! Values of a context beside what else carries values by key: OpenTelemetry's `Context`, `http::Extensions`, and a
//! persistent vector (`imbl`) whose slots are numbered by hand.
//!
//! `cargo bench --bench values`; with `RIPCORD_PERF=write` the figures go into PERF.md.

mod common;
mod report;

use criterion::Bencher;
use report::{Figures, Target, sized};
use ripcord::{Context, Key};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

const OTEL: &str = "opentelemetry";
const HTTP: &str = "http";
const IMBL: &str = "imbl";

static KEYS: [Key<u64>; 9] = [const { Key::new("key") }; 9];
static MISSING: Key<u64> = Key::new("missing");

/// For maps whose keys are types.
#[derive(Clone, Debug, PartialEq)]
struct Slot<const N: usize>(u64);

/// Something that carries values by key. A set leaves what it is called on as it was.
trait Carrier: Clone + Default + 'static {
    /// `key` is one of 0 to 8.
    fn set(&self, key: usize, value: u64) -> Self;
    fn first(&self) -> Option<&u64>;
    fn missing(&self) -> Option<&u64>;
}

impl Carrier for Context {
    fn set(&self, key: usize, value: u64) -> Self {
        self.with_value(&KEYS[key], value)
    }

    fn first(&self) -> Option<&u64> {
        self.value(&KEYS[0])
    }

    fn missing(&self) -> Option<&u64> {
        self.value(&MISSING)
    }
}

/// One call for each type a key can be.
macro_rules! by_type {
    ($key:expr, $value:expr, |$slot:ident| $set:expr) => {
        by_type!($key, $value, |$slot| $set, 0 1 2 3 4 5 6 7 8)
    };
    ($key:expr, $value:expr, |$slot:ident| $set:expr, $($n:literal)*) => {
        match $key {
            $($n => { let $slot = Slot::<$n>($value); $set })*
            _ => unreachable!("there are nine keys"),
        }
    };
}

impl Carrier for opentelemetry::Context {
    fn set(&self, key: usize, value: u64) -> Self {
        by_type!(key, value, |slot| self.with_value(slot))
    }

    fn first(&self) -> Option<&u64> {
        self.get::<Slot<0>>().map(|slot| &slot.0)
    }

    fn missing(&self) -> Option<&u64> {
        self.get::<Slot<9>>().map(|slot| &slot.0)
    }
}

impl Carrier for http::Extensions {
    fn set(&self, key: usize, value: u64) -> Self {
        let mut set = self.clone();
        by_type!(key, value, |slot| {
            set.insert(slot);
        });
        set
    }

    fn first(&self) -> Option<&u64> {
        self.get::<Slot<0>>().map(|slot| &slot.0)
    }

    fn missing(&self) -> Option<&u64> {
        self.get::<Slot<9>>().map(|slot| &slot.0)
    }
}

type Slots = imbl::Vector<Option<u64>>;

impl Carrier for Slots {
    fn set(&self, key: usize, value: u64) -> Self {
        let mut set = self.clone();
        while set.len() <= key {
            set.push_back(None);
        }
        set[key] = Some(value);
        set
    }

    fn first(&self) -> Option<&u64> {
        self.get(0)?.as_ref()
    }

    fn missing(&self) -> Option<&u64> {
        self.get(9)?.as_ref()
    }
}

/// Eight keys, and then all but the first set again until there were `depth` sets.
fn carrying<C: Carrier>(depth: usize) -> C {
    (0..depth).fold(C::default(), |carrier, n| {
        let key = if n < 8 { n } else { 1 + n % 7 };
        carrier.set(key, n as u64)
    })
}

fn check<C: Carrier>() {
    let carrier = carrying::<C>(100);
    assert_eq!(carrier.first(), Some(&0));
    assert_eq!(carrier.missing(), None);
    assert_eq!(carrier.set(0, 7).first(), Some(&7));
    assert_eq!(carrier.first(), Some(&0));
}

/// `iter` would not take a reference into what the closure owns.
fn look<'a>(b: &mut Bencher<'_>, find: impl Fn() -> Option<&'a u64>) {
    b.iter_custom(|n| {
        let start = Instant::now();
        for _ in 0..n {
            black_box(find());
        }
        start.elapsed()
    });
}

fn first<C: Carrier>(depth: usize) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    move || {
        let carrier = carrying::<C>(depth);
        Box::new(move |b| look(b, || black_box(&carrier).first()))
    }
}

fn missing<C: Carrier>(depth: usize) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    move || {
        let carrier = carrying::<C>(depth);
        Box::new(move |b| look(b, || black_box(&carrier).missing()))
    }
}

/// One more key, and drop.
fn set<C: Carrier>(on: usize) -> impl Fn() -> Box<dyn FnMut(&mut Bencher<'_>)> {
    move || {
        let carrier = carrying::<C>(on);
        Box::new(move |b| {
            b.iter(|| {
                black_box(&black_box(&carrier).set(on, 1));
            });
        })
    }
}

fn main() -> ExitCode {
    // A key that is set somewhere, as one that is looked for would be.
    assert_eq!(
        Context::background().with_value(&MISSING, 1).missing(),
        Some(&1)
    );
    check::<Context>();
    check::<opentelemetry::Context>();
    check::<http::Extensions>();
    check::<Slots>();
    let mut figures = Figures::new("values", &[OTEL, HTTP, IMBL]);
    let far = sized(100_000, 1_000);
    for (depth, id, label) in [
        (8, "first-8", "oldest of 8 values, 8 sets deep"),
        (100, "first-100", "oldest of 8 values, 100 sets deep"),
        (far, "first-100000", "oldest of 8 values, 100,000 sets deep"),
    ] {
        figures
            .row(id, label)
            .ours(first::<Context>(depth))
            .peer(OTEL, first::<opentelemetry::Context>(depth))
            .peer(HTTP, first::<http::Extensions>(depth))
            .peer(IMBL, first::<Slots>(depth))
            .go()
            .target(Target::AtMost(2.5));
    }
    for (depth, id, label) in [
        (8, "missing-8", "value that is not there, 8 sets deep"),
        (100, "missing-100", "value that is not there, 100 sets deep"),
        (
            far,
            "missing-100000",
            "value that is not there, 100,000 sets deep",
        ),
    ] {
        figures
            .row(id, label)
            .ours(missing::<Context>(depth))
            .peer(OTEL, missing::<opentelemetry::Context>(depth))
            .peer(HTTP, missing::<http::Extensions>(depth))
            .peer(IMBL, missing::<Slots>(depth))
            .go()
            .target(Target::AtMost(1.8));
    }
    for (on, id, label, most) in [
        (8, "set-8", "value set beside 8, and dropped", 28.0),
        (0, "set-0", "value set on none, and dropped", 25.0),
    ] {
        figures
            .row(id, label)
            .ours(set::<Context>(on))
            .peer(OTEL, set::<opentelemetry::Context>(on))
            .peer(HTTP, set::<http::Extensions>(on))
            .peer(IMBL, set::<Slots>(on))
            .go()
            .target(Target::AtMost(most));
    }
    figures.finish()
}
