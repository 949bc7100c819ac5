//! A victim, what stops it, and an observer. Shared with `tests/progress`.

use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const STOP: Duration = Duration::from_millis(30);

/// An operation that takes this long has met a stop, or was kept from running.
const SLOW: Duration = Duration::from_millis(15);

/// Nanoseconds; what takes longer is counted as this.
const LONGEST: u64 = 60_000_000_000;

/// How often the victim has come back from a stop.
static STOPS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn stand_still(_: libc::c_int) {
    let stop = libc::timespec {
        tv_sec: 0,
        tv_nsec: STOP.subsec_nanos().into(),
    };
    // SAFETY: the calls touch errno and one timespec, and may be made in a signal handler; errno is as it was after.
    unsafe {
        let errno = *libc::__errno_location();
        libc::nanosleep(&raw const stop, std::ptr::null_mut());
        *libc::__errno_location() = errno;
    }
    STOPS.fetch_add(1, Ordering::SeqCst);
}

pub(super) fn install() {
    // SAFETY: the handler touches an atomic and sleeps, no more.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = stand_still as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(done, 0);
}

/// What this thread has used.
struct Used {
    processor: Duration,
    gave_way: i64,
    slept: i64,
    allocator_calls: usize,
}

impl Used {
    fn now(allocator_calls: fn() -> usize) -> Self {
        // SAFETY: both calls fill in what they are given.
        let (time, usage) = unsafe {
            let mut time: libc::timespec = std::mem::zeroed();
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time);
            libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
            (time, usage)
        };
        Self {
            processor: Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32),
            gave_way: usage.ru_nivcsw,
            slept: usage.ru_nvcsw,
            allocator_calls: allocator_calls(),
        }
    }
}

/// What an observer saw.
pub(super) struct Seen {
    pub(super) times: Histogram<u64>,
    /// Slow operations in which the thread went to sleep: somebody had what it needed.
    pub(super) slept: usize,
    /// Slow operations in which it went to sleep and had called the allocator, which has locks.
    pub(super) at_allocator: usize,
    /// Slow operations that used the processor for more than half their time.
    pub(super) burnt: usize,
    /// Slow operations in which it was ready and others had the processor.
    pub(super) preempted: usize,
}

impl Seen {
    pub(super) fn nothing() -> Self {
        Self {
            times: Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds and digits it allows"),
            slept: 0,
            at_allocator: 0,
            burnt: 0,
            preempted: 0,
        }
    }

    fn record(&mut self, took: Duration, before: &Used, allocator_calls: fn() -> usize) {
        self.times.saturating_record(took.as_nanos() as u64);
        if took < SLOW {
            return;
        }
        let after = Used::now(allocator_calls);
        if after.processor - before.processor > took / 2 {
            self.burnt += 1;
        } else if after.slept > before.slept {
            if after.allocator_calls > before.allocator_calls {
                self.at_allocator += 1;
            } else {
                self.slept += 1;
            }
        } else {
            debug_assert!(after.gave_way >= before.gave_way);
            self.preempted += 1;
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.times.add(&other.times).expect("of one shape");
        self.slept += other.slept;
        self.at_allocator += other.at_allocator;
        self.burnt += other.burnt;
        self.preempted += other.preempted;
    }

    /// Slow operations that were not the scheduler's doing.
    pub(super) fn stalls(&self) -> usize {
        self.slept + self.burnt
    }
}

/// A different time between 0.2 and 1.2 ms for each `n`, by a multiplicative hash.
fn pause(n: usize) -> Duration {
    let hash = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
    Duration::from_nanos(200_000 + hash * 1_000_000 / (1 << 20))
}

/// Stops a victim so many times, while both do `op`; from its `warm_up`th on, for by then what both need is in pools. What
/// piled up behind a stopped thread is more than those hold: `allocator_calls` are how many this thread has made, where they are
/// told apart.
pub(super) fn observe(
    stops: usize,
    warm_up: usize,
    allocator_calls: fn() -> usize,
    op: impl Fn() + Sync,
) -> Seen {
    let over = AtomicBool::new(false);
    let work = |each: &mut dyn FnMut()| {
        while !over.load(Ordering::Relaxed) {
            each();
        }
    };
    let (victim, going) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let (op, work) = (&op, &work);
    thread::scope(|scope| {
        scope.spawn(move || {
            // SAFETY: no argument, and it cannot fail.
            victim.store(unsafe { libc::pthread_self() } as usize, Ordering::SeqCst);
            work(&mut || {
                op();
                going.fetch_add(1, Ordering::Relaxed);
            });
        });
        let observer = scope.spawn(move || {
            let mut seen = Seen::nothing();
            work(&mut || {
                let before = Used::now(allocator_calls);
                let start = Instant::now();
                op();
                seen.record(start.elapsed(), &before, allocator_calls);
            });
            seen
        });
        while going.load(Ordering::Relaxed) < warm_up {
            thread::sleep(Duration::from_millis(1));
        }
        let thread = victim.load(Ordering::SeqCst) as libc::pthread_t;
        for n in 0..stops {
            thread::sleep(pause(n));
            let before = STOPS.load(Ordering::SeqCst);
            // SAFETY: the thread runs until `over`.
            unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
            while STOPS.load(Ordering::SeqCst) == before {
                thread::sleep(Duration::from_micros(200));
            }
        }
        over.store(true, Ordering::Relaxed);
        observer.join().expect("it only works")
    })
}
