//! HTTP servers: the features `http` and `tower` against axum and hyper on real sockets. What there is stands in `examples/` and `tests/`.
