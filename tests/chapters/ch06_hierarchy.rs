#[path = "../../examples/06_hierarchy.rs"]
mod hierarchy;

#[test]
fn a_cancel_in_the_middle_ends_what_is_below_and_nothing_else() {
    hierarchy::main();
    let mut service = hierarchy::Service::start();
    assert_eq!(service.ended(), []);
    service.lose_database("gone");
    let gone = |name| (name, "gone".to_owned());
    assert_eq!(service.ended(), [gone("database"), gone("query")]);
}
