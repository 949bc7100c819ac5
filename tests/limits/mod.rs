//! The address space this process may have, so small that no thread can be started. For a binary with one test.

use std::thread;

fn limit() -> libc::rlimit {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call writes one rlimit.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    assert_eq!(got, 0);
    limit
}

pub(crate) fn set_limit(limit: libc::rlimit) {
    // SAFETY: the call reads one rlimit.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(set, 0);
}

/// Leaves room for small allocations, and none for the stack of a thread. Answers with the limit there was.
pub(crate) fn let_no_thread_start() -> libc::rlimit {
    let before = limit();
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .expect("statm begins with the size");
    set_limit(libc::rlimit {
        rlim_cur: pages * 4096 + (1 << 20),
        ..before
    });
    let started = thread::Builder::new().stack_size(4 << 20).spawn(|| {});
    assert!(started.is_err(), "a thread was started all the same");
    before
}
