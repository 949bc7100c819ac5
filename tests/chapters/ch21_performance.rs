#[path = "../../examples/21_performance.rs"]
mod performance;

use performance::{Compared, Failed};

/// That one is faster is for PERF.md: here machines are shared. And the bytes are for `tests/context_bytes.rs`: here other tests make
/// and drop contexts meanwhile.
#[test]
fn each_way_is_timed_beside_the_plain_one() {
    performance::main();
    let compared = performance::compare(4_096);
    assert_eq!(compared.len(), 4);
    for Compared { what, plain, other } in &compared {
        for row in [plain, other] {
            assert!(!row.each.is_zero(), "{what}: {} was not done", row.how);
        }
    }
    assert_eq!(compared[2].other.bytes, Some(16));
}

#[test]
fn a_batch_answers_for_each_of_its_contexts() {
    let results = performance::square_in_a_batch(5);
    assert_eq!(results, [Ok(0), Ok(1), Err(Failed::Unlucky), Ok(9), Ok(16)]);
    assert!(performance::square_in_a_batch(0).is_empty());
}
