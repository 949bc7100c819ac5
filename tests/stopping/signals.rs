//! Signals go to a process, so each of these runs this very test in a child, which says when it is ready.

use ripcord::{Context, Done, Shutdown, ShutdownCause};
use std::env;
use std::future::Future;
use std::io::{BufRead, BufReader, ErrorKind, Lines};
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::task::{Context as Task, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const PATIENCE: Duration = Duration::from_secs(30);
const IN_CHILD: &str = "RIPCORD_SIGNALS_CHILD";

/// What a child does; nothing, where this is not one.
#[test]
fn child() {
    match env::var(IN_CHILD).as_deref() {
        Ok("watches") => watches(),
        Ok("is held up") => is_held_up(),
        Ok("no longer") => watches_no_longer(),
        _ => {}
    }
}

/// Waits for signals, and says what they did.
fn watches() {
    let shutdown = Shutdown::builder()
        .grace(Duration::MAX)
        .cleanup(Duration::MAX)
        .build(&Context::background());
    let _signals = shutdown.on_signals().unwrap();
    let (ctx, _never_ends) = shutdown.register("job").unwrap();
    println!("\nready");
    shutdown.accepting().wait();
    println!("soft {:?}", cause(shutdown.accepting()));
    ctx.wait();
    println!("hard {:?}", cause(&ctx));
    shutdown.wait();
}

struct Blocks;

impl Wake for Blocks {
    fn wake(self: Arc<Self>) {
        loop {
            thread::park();
        }
    }
}

/// Whoever tells of its end is held up for ever.
fn block_at(ctx: &Context) -> Done {
    let mut done = ctx.done();
    let blocks = Waker::from(Arc::new(Blocks));
    let polled = Pin::new(&mut done).poll(&mut Task::from_waker(&blocks));
    assert!(polled.is_pending());
    done
}

fn wait_until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "it is held up");
        thread::sleep(Duration::from_millis(1));
    }
}

/// As `watches`, and of each phase the first who is told holds the rest up.
fn is_held_up() {
    let shutdown = Shutdown::builder()
        .grace(Duration::MAX)
        .build(&Context::background());
    let _signals = shutdown.on_signals().unwrap();
    let (ctx, _never_ends) = shutdown.register("job").unwrap();
    let _blocked = [block_at(shutdown.accepting()), block_at(&ctx)];
    println!("\nready");
    wait_until(|| shutdown.accepting().is_done());
    println!("soft");
    wait_until(|| ctx.is_done());
    println!("hard");
    wait_until(|| false);
}

/// Says what a signal did that came when nobody watched any more, when its input ends.
fn watches_no_longer() {
    let shutdown = Shutdown::builder().build(&Context::background());
    let watch = shutdown.on_signals().unwrap();
    let second = shutdown.on_signals().map(drop);
    assert_eq!(second.unwrap_err().kind(), ErrorKind::AlreadyExists);
    drop(watch);
    drop(shutdown.on_signals().expect("the first is gone"));
    println!("\nready");
    let mut input = String::new();
    std::io::stdin().read_line(&mut input).unwrap();
    println!("accepting {}", !shutdown.accepting().is_done());
}

fn cause(ctx: &Context) -> Option<ShutdownCause> {
    ctx.cause()?.downcast_ref().copied()
}

struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(what: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["signals::child", "--exact", "--nocapture"])
            .env(IN_CHILD, what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let lines = BufReader::new(stdout).lines();
        let mut program = Self { child, lines };
        program.says("ready");
        program
    }

    fn says(&mut self, what: &str) {
        let said = |line: Result<String, _>| line.unwrap() == what;
        assert!(self.lines.by_ref().any(said), "it never said {what}");
    }

    fn send(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: it sends a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_first_signal_drains_the_second_cancels_and_the_third_ends_the_process() {
    let mut program = Program::start("watches");
    program.send(SIGTERM);
    program.says("soft Some(Signal(15))");
    program.send(SIGINT);
    program.says("hard Some(Signal(2))");
    program.send(SIGTERM);
    let status = program.child.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGTERM));
}

#[test]
fn signals_get_through_while_those_who_are_told_of_the_ones_before_block() {
    let mut program = Program::start("is held up");
    program.send(SIGTERM);
    program.says("soft");
    program.send(SIGTERM);
    program.says("hard");
    program.send(SIGTERM);
    let status = program.child.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGTERM));
}

#[test]
fn once_nobody_watches_a_signal_does_nothing() {
    let mut program = Program::start("no longer");
    program.send(SIGTERM);
    drop(program.child.stdin.take());
    program.says("accepting true");
    assert!(program.child.wait().unwrap().success());
}
