//! Traces and runtimes: the features `tracing`, `opentelemetry`, `tokio` and `futures` against the real SDKs. What there is stands in `examples/` and `tests/`.
