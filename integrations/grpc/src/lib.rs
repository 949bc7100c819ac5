//! gRPC and two services: the features `http` and `tonic` against a real client and server. What there is stands in `examples/` and `tests/`.
