//! What others feel of a thread that is stopped: a victim works on a tree and its timers, a signal stops it for 30 ms wherever
//! it is, and an observer that does the same work records how long each of its own operations takes.
//!
//! `cargo bench --bench stall`; with `RIPCORD_PERF=write` the figures go into PERF.md.

#[cfg(target_os = "linux")]
#[path = "../common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
mod observe;
#[cfg(target_os = "linux")]
#[path = "../report/mod.rs"]
mod report;
#[cfg(target_os = "linux")]
mod sides;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    sides::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: its signals and clocks are Linux's");
}
