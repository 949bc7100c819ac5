//! What allocates nothing, takes no lock and makes no system call, under RealtimeSanitizer: every call here is made from a
//! function in which the sanitizer reports each of these and ends the process.
//!
//! `realtime` runs all of them on a warm pool. `realtime canary NAME` makes the call of that name in such a function, which is
//! to be reported; with no name it lists them. A lock of std's that nobody else has makes no call at all, so that there are
//! none in the library is for the `rules` stage to see.

#![feature(sanitize)]

use ripcord::{CancelGuard, Cause, Context, Error, Key, Light, Pool};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

static USER: Key<u64> = Key::new("user");
static TRACE: Key<u64> = Key::new("trace");

const LONG: Duration = Duration::from_secs(3600);
const ROUNDS: usize = 10_000;

#[derive(Debug)]
struct Reason;

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a reason")
    }
}

impl std::error::Error for Reason {}

#[sanitize(realtime = "nonblocking")]
fn look(ctx: &Context) -> bool {
    let live = ctx.err().is_none() && ctx.check().is_ok() && ctx.cause().is_none();
    let timed = ctx.deadline().is_some() && ctx.remaining().is_some();
    let values = ctx.value(&USER) == Some(&7) && ctx.value(&TRACE).is_none();
    !ctx.is_done() && live && timed && values
}

#[sanitize(realtime = "nonblocking")]
fn look_at_the_end(ctx: &Context) -> bool {
    let cause = ctx.cause();
    let given = cause
        .as_ref()
        .is_some_and(|cause| cause.downcast_ref::<Reason>().is_some());
    let again = cause.clone();
    drop((cause, again));
    ctx.is_done() && ctx.err() == Some(Error::Canceled) && ctx.check().is_err() && given
}

#[sanitize(realtime = "nonblocking")]
fn clone_and_drop(ctx: &Context) {
    let clone = ctx.clone();
    drop(black_box(clone));
}

#[sanitize(realtime = "nonblocking")]
fn create_and_drop(parent: &Context) {
    let (child, guard) = parent.with_cancel();
    drop(black_box((child, guard)));
}

#[sanitize(realtime = "nonblocking")]
fn create_and_cancel(parent: &Context) -> bool {
    let (child, guard) = parent.with_cancel();
    let (below, below_guard) = child.with_cancel();
    let (beside, beside_guard) = child.with_cancel();
    guard.cancel();
    let done = child.is_done() && below.is_done() && beside.is_done();
    // Not in the order they were made in: their list is closed, that of the parent is not.
    drop((child, below, below_guard, beside_guard, guard, beside));
    done
}

/// Older ones beside younger ones: the list has to be owned.
#[sanitize(realtime = "nonblocking")]
fn drop_in_any_order(parent: &Context) {
    let [first, second, third] = [
        parent.with_cancel(),
        parent.with_cancel(),
        parent.with_cancel(),
    ];
    drop(second);
    drop(first);
    drop(third);
}

/// A handle of the guard's, a cause of the caller's.
#[sanitize(realtime = "nonblocking")]
fn cancel_with(guard: &CancelGuard, cause: Cause) {
    let handle = guard.handle();
    handle.cancel_with(cause);
    handle.cancel();
}

/// Where nobody sleeps past its deadline, arming wakes nobody.
#[sanitize(realtime = "nonblocking")]
fn arm_and_disarm(parent: &Context) -> bool {
    let (child, guard) = parent.with_timeout(LONG);
    let armed = child.deadline() < parent.deadline();
    drop((child, guard));
    armed
}

#[sanitize(realtime = "nonblocking")]
fn merge_and_drop(one: &Context, other: &Context) -> bool {
    let (merged, guard) = Context::merge([one, other]);
    let live = !merged.is_done();
    drop((merged, guard));
    live
}

#[sanitize(realtime = "nonblocking")]
fn light() -> bool {
    let light = Light::with_timeout(LONG);
    let live = !light.is_done() && light.remaining().is_some();
    light.cancel();
    live && light.is_done()
}

fn run() -> Result<(), &'static str> {
    // What is made once in a process or a thread: the timer thread, the stock, this thread's place in it.
    let (earlier, _earlier_guard) = Context::background().with_timeout(LONG / 2);
    let (root, _guard) = Context::background().with_timeout(2 * LONG);
    // From then on the thread sleeps no longer than until the earlier one: before, each that is armed wakes it.
    Context::background()
        .with_timeout(Duration::from_millis(1))
        .0
        .wait();
    let (other, _other_guard) = Context::background().with_cancel();
    Pool::fill(1_000);
    drop((root.with_cancel(), root.with_timeout(LONG)));
    let ctx = root.with_value(&USER, 7);
    for _ in 0..ROUNDS {
        let all = [
            (look(&ctx), "a look is wrong"),
            (create_and_cancel(&ctx), "a cancel left something live"),
            (arm_and_disarm(&ctx), "a deadline was not armed"),
            (
                merge_and_drop(&ctx, &other),
                "a merged context was born done",
            ),
            (light(), "a light is wrong"),
        ];
        if let Some((_, wrong)) = all.iter().find(|(right, _)| !right) {
            return Err(wrong);
        }
        clone_and_drop(&ctx);
        create_and_drop(&ctx);
        drop_in_any_order(&ctx);
    }
    for _ in 0..100 {
        let (child, guard) = ctx.with_cancel();
        cancel_with(&guard, Cause::from(Reason));
        if !look_at_the_end(&child) {
            return Err("the end of a context is wrong");
        }
    }
    drop(earlier);
    Ok(())
}

/// Each is to be reported.
const CANARIES: [(&str, fn()); 3] = [
    ("malloc", allocates),
    ("pthread_mutex_lock", locks),
    ("syscall", calls_the_system),
];

#[sanitize(realtime = "nonblocking")]
fn allocates() {
    drop(black_box(Box::new([0_u8; 100])));
}

#[sanitize(realtime = "nonblocking")]
fn locks() {
    let mut mutex = libc::PTHREAD_MUTEX_INITIALIZER;
    // SAFETY: initialized, and of this thread alone.
    unsafe {
        libc::pthread_mutex_lock(&raw mut mutex);
        libc::pthread_mutex_unlock(&raw mut mutex);
    }
}

#[sanitize(realtime = "nonblocking")]
fn calls_the_system() {
    // SAFETY: it takes nothing and touches nothing.
    unsafe { libc::syscall(libc::SYS_gettid) };
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(what) = args.next() else {
        return match run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(wrong) => {
                eprintln!("{wrong}");
                ExitCode::FAILURE
            }
        };
    };
    let name = args.next().unwrap_or_default();
    match CANARIES.iter().find(|(canary, _)| *canary == name) {
        Some((_, canary)) if what == "canary" => canary(),
        _ => CANARIES.iter().for_each(|(canary, _)| println!("{canary}")),
    }
    ExitCode::SUCCESS
}
