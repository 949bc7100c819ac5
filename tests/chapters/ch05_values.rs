#[path = "../../examples/05_values.rs"]
mod values;

use ripcord::Context;

#[test]
fn values_go_through_the_layers_and_are_missed_and_shadowed() {
    values::main();
    let request = values::accept(&Context::background(), 7, "s-1");
    assert_eq!(
        request.to_string(),
        "context.Background.WithValue(request_id).WithValue(session)"
    );
    let anonymous = values::authenticate(&request, "nonsense");
    assert_eq!(anonymous.value(&values::USER), None);
    let nobody = "request 7, session s-1: nobody is logged in";
    assert_eq!(values::update_profile(&anonymous), nobody);

    let known = values::authenticate(&request, "ada's token");
    let support = values::act_as(&known, "grace");
    for (ctx, line) in [
        (
            &known,
            "request 7, session s-1: ada has updated the profile",
        ),
        (&support, "request 7, session s-1: grace may only read"),
    ] {
        assert_eq!(values::update_profile(ctx), line);
    }
    let without = values::log(&Context::background(), "started");
    assert_eq!(without, "request -, session -: started");
}
