#[path = "../../examples/14_tracing.rs"]
mod example;
