//! Bytes become a history of a tree, three a step, played on the engine and on the reference of the model test.

#![no_main]

#[path = "../../tests/suite/model/ops.rs"]
mod ops;
#[path = "../../tests/suite/model/reference.rs"]
mod reference;

use libfuzzer_sys::fuzz_target;
use ops::Op;

fuzz_target!(|bytes: &[u8]| {
    let (steps, _) = bytes.as_chunks::<3>();
    ops::run(steps.iter().copied().map(Op::decode));
});
