//! The gateway, and its tests: the integrations at once, in one server. What there is stands in `examples/` and `tests/`.
