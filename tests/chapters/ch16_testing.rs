#[path = "../../examples/16_testing.rs"]
mod testing;

/// Its page has the tests of the service.
#[test]
fn the_service_that_is_tested_runs() {
    testing::main();
}
