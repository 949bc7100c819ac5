//! What is counted is in `benches/`.
