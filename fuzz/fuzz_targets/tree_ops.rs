//! Bytes become a history of contexts, four a step, played on the engine and on the reference of the model test.

#![no_main]

#[path = "../../tests/suite/model"]
mod model {
    mod batches;
    mod callbacks;
    mod clock;
    mod compare;
    mod derive;
    mod futures;
    mod ledger;
    mod line;
    pub(crate) mod ops;
    pub(crate) mod play;
    mod reference;
    mod values;
}

use libfuzzer_sys::fuzz_target;
use model::ops::Op;
use model::play;

fuzz_target!(|bytes: &[u8]| {
    let (steps, _) = bytes.as_chunks::<4>();
    play::run(steps.iter().copied().map(Op::decode));
});
