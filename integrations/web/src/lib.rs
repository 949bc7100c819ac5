//! HTTP servers: the features `tower` and `axum` against axum and hyper on real sockets. What there is stands in `examples/` and `tests/`.
