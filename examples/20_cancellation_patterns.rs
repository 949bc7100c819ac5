//! Who stops what, and in which order: work that is cancelled by name or by group, a server that stops in two phases, stages
//! that are stopped one after the other, and a circuit breaker that stops asking what is down.
//!
//! Run with `cargo run --example 20_cancellation_patterns`.

use ripcord::cascade::{Cascade, Report};
use ripcord::{
    BreakerError, Cause, CircuitBreaker, CircuitOpen, Context, Coordinator, CoordinatorError,
    Engine, Error, Shutdown, ShutdownReport,
};
use std::io;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub fn main() {
    let exports = cancel_by_group().expect("its ids are its own");
    println!("exports that went on after their tenant was deleted: {exports:?}");

    let (answers, report) = serve_and_stop(5).expect("loopback works");
    println!("the echo server gave {answers} answers; then {report}");
    println!("a job that hangs: {}", stop_with_one_that_hangs());

    println!("a shutdown in stages: {}", stop_in_stages());
    println!("an order in stages: {}", order_in_stages());

    let (asked, refused) = ask_what_is_down(8);
    println!("of 8 questions {asked} were asked, the others refused: {refused}");
}

/// Two tenants export; one is deleted, and its exports with it. Answers with what is live then.
pub fn cancel_by_group() -> Result<Vec<String>, CoordinatorError> {
    let exports = Coordinator::new();
    let server = Context::background();

    thread::scope(|scope| {
        for (tenant, id) in [("ada", "ada-1"), ("ada", "ada-2"), ("grace", "grace-1")] {
            let (ctx, registration) = exports.register_in(&server, tenant, id)?;
            scope.spawn(move || {
                let _registration = registration; // until the export ends, however it does
                ctx.wait()
            });
        }
        let canceled = exports.cancel_group_with("ada", Cause::msg("tenant deleted"))?;
        assert_eq!(canceled, 2);
        let live = exports.live();
        exports.cancel_all();
        Ok(live.iter().map(|export| export.id.to_string()).collect())
    })
}

/// An echo server over TCP. When it is told to stop it takes no more connections, and lets those that there are finish.
pub fn serve_and_stop(clients: usize) -> io::Result<(usize, ShutdownReport)> {
    let shutdown = Shutdown::builder()
        .grace(Duration::from_secs(10))
        .cleanup(Duration::from_secs(1))
        .build(&Context::background());
    // In a program: `let _signals = shutdown.on_signals()?;` (feature `signals`), for SIGTERM and Ctrl-C.

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn({
        let shutdown = shutdown.clone();
        move || accept(&listener, &shutdown)
    });
    // A thread that is blocked in `accept` is woken by a connection.
    let _wake = shutdown.accepting().after_func(move || {
        let _ = TcpStream::connect(address);
    });

    let connected = (0..clients).map(|_| Client::connect(address));
    let mut connected = connected.collect::<io::Result<Vec<_>>>()?;
    for client in &mut connected {
        assert_eq!(client.ask("before")?, "before");
    }
    shutdown.stop();
    // Nothing new is taken on; what is under way is answered.
    let mut answers = 0;
    for mut client in connected {
        answers += usize::from(client.ask("after")? == "after");
    }
    let report = shutdown.wait();
    server.join().expect("it does not panic")?;
    Ok((answers, report))
}

fn accept(listener: &TcpListener, shutdown: &Shutdown) -> io::Result<()> {
    for connection in listener.incoming() {
        let connection = connection?;
        let Ok((_ctx, work)) = shutdown.register("connection") else {
            return Ok(()); // stopping
        };
        thread::spawn(move || {
            let _work = work;
            echo(connection)
        });
    }
    Ok(())
}

fn echo(mut connection: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match connection.read(&mut bytes)? {
            0 => return Ok(()),
            read => connection.write_all(&bytes[..read])?,
        }
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect(address).map(|stream| Self(BufReader::new(stream)))
    }

    fn ask(&mut self, what: &str) -> io::Result<String> {
        writeln!(self.0.get_mut(), "{what}")?;
        let mut answer = String::new();
        self.0.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }
}

/// One job minds its context and puts things in order when it is cancelled; one never returns, and is named.
pub fn stop_with_one_that_hangs() -> ShutdownReport {
    let shutdown = Shutdown::builder()
        .grace(Duration::ZERO)
        .cleanup(Duration::from_millis(100))
        .build(&Context::background());

    let (ctx, work) = shutdown.register("upload").expect("it runs");
    let rolled_back = thread::spawn({
        let shutdown = shutdown.clone();
        move || {
            let _work = work;
            ctx.wait();
            // Its own context is done; this one lasts as long as the shutdown waits.
            let (cleanup, _guard) = shutdown.cleanup(&ctx);
            cleanup.check()
        }
    });
    let _never_ends = shutdown.register("compaction").expect("it runs");

    shutdown.stop();
    let report = shutdown.wait();
    let rolled_back = rolled_back.join().expect("it does not panic");
    assert_eq!(rolled_back, Ok(()));
    report
}

/// First nothing new, then those who work, then what they work with. One fails, one panics, one hangs: the next has its turn.
pub fn stop_in_stages() -> Report {
    let limit = Duration::from_secs(10);
    Cascade::new()
        .patience(Duration::from_millis(10))
        .stage("listener", limit, |ctx| ctx.check())
        .stage("workers", limit, |_| {
            Err(io::Error::other("2 jobs were given back"))
        })
        .stage("metrics", limit, |_| -> io::Result<()> {
            panic!("not connected, on purpose")
        })
        .stage("replica", Duration::from_millis(10), |_| {
            Context::background().wait(); // a call without a limit
            Ok::<_, Error>(())
        })
        .stage("storage", limit, |ctx| ctx.check())
        .run(&Context::background().without_cancel())
}

/// The same with stages that need each other: after one that fails there is none.
pub fn order_in_stages() -> Report {
    let limit = Duration::from_secs(10);
    Cascade::new()
        .stage("reserve", limit, |ctx| ctx.check())
        .stage("charge", Duration::from_millis(10), |ctx| {
            ctx.blocking_sleep(Duration::from_secs(60))
        })
        .stage("ship", limit, |ctx| ctx.check())
        .try_run(&Context::background())
}

/// A service that is down: after three failures it is left alone for a minute, and then asked once.
pub fn ask_what_is_down(questions: usize) -> (usize, CircuitOpen) {
    let (engine, clock) = Engine::builder()
        .manual_clock()
        .expect("it needs no thread");
    let ctx = engine.background();
    let minute = Duration::from_secs(60);
    let breaker = CircuitBreaker::new(3, minute).expect("neither is zero");

    let asked = AtomicUsize::new(0);
    let ask = |_: &Context| {
        asked.fetch_add(1, Ordering::Relaxed);
        TcpStream::connect("127.0.0.1:1") // where nobody listens
    };
    let mut refused = None;
    for _ in 0..questions {
        match breaker.call(&ctx, ask) {
            Ok(_) => unreachable!("port 1 is nobody's"),
            Err(BreakerError::Open(open)) => refused = Some(open),
            Err(_) => {}
        }
    }

    clock.advance(minute);
    assert!(breaker.call(&ctx, |_| Ok::<_, io::Error>(())).is_ok()); // it is up again
    assert!(breaker.acquire(&ctx).is_ok_and(|permit| !permit.is_trial()));
    (asked.into_inner(), refused.expect("more than three"))
}
