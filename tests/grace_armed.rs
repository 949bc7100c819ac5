//! An engine that is stopped at each step of a shutdown that begins, between its look at the grace and the registration of the
//! grace's end for one: by the allocator, for which this is a binary of its own.

use crossbeam_channel::RecvTimeoutError;
use ripcord::{Engine, Shutdown};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;
use std::time::{Duration, Instant};

thread_local! {
    /// So many allocations are left to the one that stops the engine; 0: none does.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

static STOPPED: Mutex<Option<Engine>> = Mutex::new(None);

struct Hooked;

// SAFETY: all it gives is the system's.
unsafe impl GlobalAlloc for Hooked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let left = LEFT.get();
        LEFT.set(left.saturating_sub(1));
        if left == 1
            && let Some(engine) = STOPPED.lock().unwrap().take()
        {
            engine.shutdown();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Hooked = Hooked;

#[test]
fn a_grace_ends_whenever_its_engine_is_stopped() {
    let mut steps = 0;
    loop {
        let (engine, _clock) = Engine::builder().manual_clock().unwrap();
        let grace = Duration::from_millis(2);
        let shutdown = Shutdown::builder().grace(grace).build(&engine.background());
        let (_ctx, _work) = shutdown.register("w").unwrap();
        *STOPPED.lock().unwrap() = Some(engine);
        let began = Instant::now();
        LEFT.set(steps + 1);
        shutdown.stop();
        LEFT.set(0);
        if STOPPED.lock().unwrap().take().is_some() {
            break;
        }
        steps += 1;
        // By the real time: the clock of the engine stands.
        let ended = shutdown.working().done_channel();
        assert_eq!(
            ended.recv_timeout(Duration::from_secs(30)),
            Err(RecvTimeoutError::Disconnected),
            "stopped in step {steps}, the grace of {grace:?} never ends"
        );
        assert!(began.elapsed() >= grace, "it lasts");
    }
    assert!(steps > 0, "nothing is allocated");
}
