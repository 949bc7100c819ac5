//! Databases: the features `rusqlite` and `tokio-postgres` against the real ones. What there is stands in `examples/` and `tests/`.
