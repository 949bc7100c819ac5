//! What example 21 says of the bytes of a context, in a process in which nobody else makes any.

#[path = "../examples/21_performance.rs"]
#[allow(dead_code, reason = "the rest is for tests/chapters")]
mod performance;

#[test]
fn a_context_has_the_bytes_that_the_example_says() {
    let compared = performance::compare(4_096);
    for (row, bytes) in [
        (&compared[0].plain, 192),
        (&compared[1].plain, 128),
        (&compared[1].other, 128),
    ] {
        let told = row.bytes.expect("it is told");
        // What is in stock already is not allocated anew.
        assert!(
            (bytes * 3 / 4..=bytes * 5 / 4).contains(&told),
            "{}: {told} bytes each, not about {bytes}",
            row.how
        );
    }
}
