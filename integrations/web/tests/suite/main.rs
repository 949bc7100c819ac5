//! `ripcord::tower` behind hyper and axum, on sockets.

mod ends;
mod support;
mod timeout;
