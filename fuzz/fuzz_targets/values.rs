//! Bytes become sets, look-ups, derivations, merges and drops of values, on the engine and on a map for each context.
//!
//! More keys than `tree_ops` has, for a map holds those below 64, those below 4,096 and those beyond in three ways.

#![no_main]

#[path = "../../tests/suite/model"]
mod model {
    pub(crate) mod ledger;
    pub(crate) mod values;
}

use libfuzzer_sys::fuzz_target;
use model::ledger::{Ledger, Token};
use model::values::{Kept, Seen};
use ripcord::{CancelGuard, Context, Key};
use std::sync::Once;

const COUNT: usize = 4_200;

static KEYS: [Key<Token>; COUNT] = [const { Key::new("key") }; COUNT];

/// Of another type: its values are in nobody's map.
static NUMBER: Key<u64> = Key::new("key");

/// Contexts there are at a time.
const MOST: usize = 24;

/// The first of each way of holding a key, and its neighbours.
const EDGES: [usize; 12] = [0, 1, 62, 63, 64, 65, 127, 128, 4_094, 4_095, 4_096, 4_199];

struct World {
    contexts: Vec<(Context, Seen)>,
    guards: Vec<CancelGuard>,
    values: Ledger,
    kept: Kept,
}

fuzz_target!(|bytes: &[u8]| {
    // A key takes its number with the first set.
    static NUMBERED: Once = Once::new();
    NUMBERED.call_once(|| {
        let ledger = Ledger::default();
        for key in &KEYS {
            drop(Context::background().with_value(key, ledger.issue()));
        }
    });
    let mut world = World {
        contexts: vec![(Context::background(), Seen::default())],
        guards: Vec::new(),
        values: Ledger::default(),
        kept: Kept::default(),
    };
    let (steps, _) = bytes.as_chunks::<4>();
    for (step, bytes) in steps.iter().enumerate() {
        let key = world.play(*bytes);
        world.compare(step, key);
    }
    let World {
        contexts,
        guards,
        values,
        ..
    } = world;
    drop((contexts, guards));
    assert!(values.is_settled(), "values dropped when all is gone");
});

impl World {
    /// Answers with the key it was about.
    fn play(&mut self, [kind, a, b, c]: [u8; 4]) -> usize {
        let key = if b < 128 {
            EDGES[usize::from(b) % EDGES.len()]
        } else {
            usize::from(b) * 32 + usize::from(c) % 32
        };
        let key = key % COUNT;
        let of = usize::from(a) % self.contexts.len();
        let (ctx, seen) = &self.contexts[of];
        let made = match kind % 16 {
            0..=4 => {
                let value = self.values.issue();
                let mut seen = seen.clone();
                seen.set(key, value.number());
                (ctx.with_value(&KEYS[key], value), seen)
            }
            5 => {
                let (mut ctx, mut seen) = (ctx.clone(), seen.clone());
                for n in 0..usize::from(c) % 100 {
                    let value = self.values.issue();
                    // One key again and again, or many in turn.
                    let key = (key + n * usize::from(c % 2)) % COUNT;
                    seen.set(key, value.number());
                    ctx = ctx.with_value(&KEYS[key], value);
                }
                (ctx, seen)
            }
            6 => (ctx.with_value(&NUMBER, u64::from(b)), seen.clone()),
            7 => {
                let (child, guard) = ctx.with_cancel();
                self.guards.push(guard);
                (child, seen.clone())
            }
            8 => (ctx.without_cancel(), seen.clone()),
            9 => (ctx.batch(3)[1].clone(), seen.clone()),
            10 | 11 => {
                let named =
                    [a, b, c, a.wrapping_add(c)].map(|n| usize::from(n) % self.contexts.len());
                let named = &named[..usize::from(kind / 16) % 4 + 1];
                let parents = || named.iter().map(|n| &self.contexts[*n]);
                let (ctx, guard) = Context::merge(parents().map(|(ctx, _)| ctx));
                self.guards.push(guard);
                (ctx, Seen::merge(parents().map(|(_, seen)| seen)))
            }
            12 => {
                self.guards.clear();
                return key;
            }
            _ => {
                if of > 0 {
                    self.contexts.swap_remove(of);
                }
                return key;
            }
        };
        self.contexts.push(made);
        if self.contexts.len() > MOST {
            self.contexts.swap_remove(1);
        }
        key
    }

    fn compare(&mut self, step: usize, last: usize) {
        // All keys of all contexts are too many: the last, the edges, and in turn the others.
        let in_turn = (0..64).map(|n| (step * 64 + n) % COUNT);
        let keys = EDGES.into_iter().chain([last]).chain(in_turn);
        for key in keys {
            for (ctx, seen) in &self.contexts {
                let value = ctx.value(&KEYS[key]).map(Token::number);
                assert_eq!(value, seen.get(key), "key {key} after step {step}");
            }
        }
        let held = self.contexts.iter().map(|(_, seen)| seen);
        self.kept.check(&self.values, held);
    }
}
