//! Loops over timeouts that more than one bench times.

use super::{LONG, Ripcord, Subject, Token, noop};
use pingora_timeout::fast_timeout::fast_timeout;
use std::future::{Future, Pending, pending};
use std::hint::black_box;
use std::pin::{Pin, pin};
use tokio::runtime::Runtime;
use tokio::time::Timeout;

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O")
}

pub(crate) fn timeout_ours(root: &Ripcord, n: u64) {
    for _ in 0..n {
        black_box(&root.0.with_timeout(LONG));
    }
}

/// Tokio's timer is in its wheel from the first poll on.
pub(crate) fn timeout_tokio(runtime: &Runtime, n: u64) {
    let _entered = runtime.enter();
    let mut cx = noop();
    for _ in 0..n {
        let timeout = pin!(tokio::time::timeout(LONG, pending::<()>()));
        assert!(black_box(timeout).poll(&mut cx).is_pending());
    }
}

/// A root, and contexts that stay armed beside what is measured.
pub(crate) fn crowd_ours(armed: usize) -> (Ripcord, Vec<Ripcord>) {
    let root = Ripcord::root();
    let crowd = (0..armed).map(|_| root.0.with_timeout(LONG)).collect();
    (root, crowd)
}

pub(crate) type Armed = Pin<Box<Timeout<Pending<()>>>>;

pub(crate) type TokioCrowd = (Vec<Armed>, Runtime);

/// Within a runtime.
pub(crate) fn arm_tokio() -> Armed {
    let mut timeout = Box::pin(tokio::time::timeout(LONG, pending()));
    assert!(timeout.as_mut().poll(&mut noop()).is_pending());
    timeout
}

pub(crate) fn crowd_tokio(armed: usize) -> TokioCrowd {
    let runtime = runtime();
    let entered = runtime.enter();
    let crowd = (0..armed).map(|_| arm_tokio()).collect();
    drop(entered);
    (crowd, runtime)
}

/// What a server does with a context for a request.
pub(crate) fn request_ours(root: &Ripcord, n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        let (ctx, guard) = root.0.with_timeout(LONG);
        assert!(Pin::new(&mut ctx.done()).poll(&mut cx).is_pending());
        drop(guard);
        drop(ctx);
    }
}

pub(crate) type Server = (Token, Runtime);

pub(crate) fn server() -> Server {
    (Token::new(), runtime())
}

pub(crate) fn request_tokio((root, runtime): &Server, n: u64) {
    let _entered = runtime.enter();
    let mut cx = noop();
    for _ in 0..n {
        let token = root.child_token();
        {
            let wait = pin!(tokio::time::timeout(LONG, token.cancelled()));
            assert!(black_box(wait).poll(&mut cx).is_pending());
        }
        token.cancel();
    }
}

pub(crate) fn request_pingora(root: &Token, n: u64) {
    let mut cx = noop();
    for _ in 0..n {
        let token = root.child_token();
        {
            let wait = pin!(fast_timeout(LONG, token.cancelled()));
            assert!(black_box(wait).poll(&mut cx).is_pending());
        }
        token.cancel();
    }
}
