//! `ripcord::tower` behind hyper and axum, on sockets.

mod connections;
mod crowd;
mod ends;
mod examples;
mod hostile;
mod support;
mod timeout;
