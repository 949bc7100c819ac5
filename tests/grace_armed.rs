//! An engine that is stopped between a shutdown's look at its grace and the registration of the grace's end: by the allocator,
//! for which this is a binary of its own. The thread that stops is of the idle class from there on, so that the callback's, which
//! has another grace in place of the first, mostly comes before it.

#![cfg(target_os = "linux")]

use crossbeam_channel::RecvTimeoutError;
use ripcord::{Context, Engine, Shutdown};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

static STOPPED: Mutex<Option<(Engine, Context)>> = Mutex::new(None);

struct Hooked;

// SAFETY: all it gives is the system's.
unsafe impl GlobalAlloc for Hooked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // The closure of the grace's end, which is one `Weak`.
        if layout.size() == 8 && ARMED.with(|armed| armed.replace(false)) {
            let found = STOPPED.lock().unwrap().take();
            let (engine, parent) = found.unwrap();
            if parent.child_count() == 3 {
                engine.shutdown();
                let none = libc::sched_param { sched_priority: 0 };
                // SAFETY: the call reads one sched_param.
                unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) };
            } else {
                *STOPPED.lock().unwrap() = Some((engine, parent));
                ARMED.with(|armed| armed.set(true));
            }
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
fn a_grace_that_is_renewed_while_it_is_armed_still_ends() {
    let began = Instant::now();
    let mut hit = 0_u32;
    while began.elapsed() < Duration::from_millis(500) {
        let (engine, _clock) = Engine::builder().manual_clock().unwrap();
        let (parent, _parent_guard) = engine.background().with_cancel();
        let grace = Duration::from_millis(2);
        let shutdown = Shutdown::builder().grace(grace).build(&parent);
        let (_ctx, _work) = shutdown.register("w").unwrap();
        *STOPPED.lock().unwrap() = Some((engine.clone(), parent.clone()));
        let stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stopped.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let (shutdown, stopped) = (&shutdown, &stopped);
            scope.spawn(move || {
                ARMED.with(|armed| armed.set(true));
                shutdown.stop();
                ARMED.with(|armed| armed.set(false));
                stopped.store(true, Ordering::Relaxed);
            });
        });
        hit += u32::from(STOPPED.lock().unwrap().take().is_none());
        // By the real time: the clock of the engine stands.
        let ended = shutdown.working().done_channel();
        assert_eq!(
            ended.recv_timeout(Duration::from_millis(1_500)),
            Err(RecvTimeoutError::Disconnected),
            "the grace of {grace:?} never ends"
        );
    }
    assert!(hit > 0, "the allocator saw no closure of that size");
}
