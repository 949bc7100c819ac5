//! Random histories of contexts, played on the engine and on a reference that is obviously right, agree after every
//! step.

mod batches;
mod callbacks;
mod clock;
mod compare;
mod derive;
mod futures;
mod ledger;
mod line;
mod ops;
mod play;
mod reference;
mod values;

use crate::common::{Rng, in_time, scaled};
use ops::Op;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};

fn op() -> impl Strategy<Value = Op> {
    any::<[u8; 4]>().prop_map(Op::decode)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(u32::try_from(scaled(512)).unwrap_or(1)))]

    #[test]
    fn short_histories_agree(ops in vec(op(), 0..40)) {
        play::run(ops);
    }

    #[test]
    fn histories_agree(ops in vec(op(), 0..200)) {
        play::run(ops);
    }
}

#[test]
fn long_histories_agree() {
    for seed in 0..scaled(4) {
        in_time(move || {
            let mut rng = Rng::new(seed as u64);
            let ops = (0..2_000).map(|_| {
                let [kind, a, b, c, ..] = rng.number().to_le_bytes();
                Op::decode([kind, a, b, c])
            });
            play::run(ops);
        });
    }
}
