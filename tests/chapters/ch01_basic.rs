#[path = "../../examples/01_basic.rs"]
mod basic;

use ripcord::Context;

#[test]
fn neither_root_is_ever_done_and_work_runs_under_both() {
    basic::main();
    for ctx in [Context::background(), Context::todo()] {
        assert_eq!(basic::count_words(&ctx, "a b c"), Ok(3));
        assert!(!ctx.is_done());
    }
}
