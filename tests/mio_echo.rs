//! `examples/mio_echo` with two thousand connections.

#![cfg(target_os = "linux")]

#[expect(dead_code, reason = "its main, which takes the process's arguments")]
#[path = "../examples/mio_echo/main.rs"]
mod echo;

use echo::server::{EchoServer, Served};
use ripcord::{CancelHandle, Cause, Context};

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 2_000;

/// Twice as long as it takes all to connect and speak, but on a machine that is busy with something else.
const IDLE: Duration = Duration::from_secs(4);

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn who_is_idle_is_closed_who_talks_is_not_and_a_cancel_ends_all() {
    // Both ends of each connection, and what else a process has.
    allow_descriptors(2 * CONNECTIONS as u64 + 200);
    let Crowd {
        ctx,
        stop,
        running,
        mut clients,
    } = Crowd::gather();
    // Not at once: after an echo, the new context is there for a moment beside the old.
    eventually("each connection is one child", || {
        ctx.child_count() == CONNECTIONS
    });

    let mut talkers = clients.split_off(CONNECTIONS / 2);
    let mut idlers = clients;
    let began = Instant::now();
    while !idlers.is_empty() {
        assert!(
            began.elapsed() < PATIENCE,
            "{} idlers are not closed",
            idlers.len()
        );
        talkers.iter_mut().for_each(Client::talk);
        idlers.retain_mut(|idler| !idler.is_closed());
    }
    talkers.iter_mut().for_each(Client::talk);
    eventually("the idle are no children any more", || {
        ctx.child_count() == talkers.len()
    });

    // Who leaves takes its context along.
    drop(talkers.split_off(talkers.len() / 2));
    talkers.iter_mut().for_each(Client::talk);
    eventually("those who left are no children any more", || {
        ctx.child_count() == talkers.len()
    });

    stop.cancel_with(Cause::msg("enough"));
    let served = running
        .join()
        .expect("it does not panic")
        .expect("its poll works");
    assert_eq!(ctx.child_count(), 0);
    assert_eq!(served.accepted, CONNECTIONS as u64);
    assert_eq!(served.idled, CONNECTIONS as u64 / 2);
    assert_eq!(served.stopped, talkers.len() as u64);
    assert_eq!(served.cause, "enough");
    for talker in &mut talkers {
        eventually("what was open is closed", || talker.is_closed());
    }
}

#[test]
fn one_that_sends_and_does_not_read_holds_up_nobody() {
    let server =
        EchoServer::bind(([127, 0, 0, 1], 0).into(), PATIENCE).expect("there is a free port");
    let addr = server.local_addr().expect("it is bound");
    let stop = server.stopper();
    let running = thread::spawn(move || server.run());

    // Sends until both sides' buffers are full.
    let mut flood = TcpStream::connect(addr).expect("it listens");
    flood
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("that is not zero");
    let mut sent = 0;
    while let Ok(written) = flood.write(&[7; 64 * 1024]) {
        sent += written;
    }
    let mut client = Client::new(addr, 1);
    client.talk();

    // And gets it all back when it reads.
    flood
        .set_read_timeout(Some(PATIENCE))
        .expect("that is not zero");
    let mut echoed = vec![0; sent];
    flood.read_exact(&mut echoed).expect("all of it, in time");
    assert!(echoed.iter().all(|byte| *byte == 7));

    stop.cancel();
    let served = running
        .join()
        .expect("it does not panic")
        .expect("its poll works");
    assert_eq!(served.stopped, 2);
    assert_eq!(served.idled, 0);
    assert_eq!(
        served.to_string(),
        format!(
            "served 2: 0 closed for being idle, 2 open at the end (context canceled); {} bytes echoed",
            served.bytes
        )
    );
}

/// A server with all its clients.
struct Crowd {
    ctx: Context,
    stop: CancelHandle,
    running: JoinHandle<io::Result<Served>>,
    clients: Vec<Client>,
}

impl Crowd {
    /// One of which none has been idle for long yet, with patience enough for that.
    fn gather() -> Self {
        let mut idle = IDLE;
        loop {
            let server =
                EchoServer::bind(([127, 0, 0, 1], 0).into(), idle).expect("there is a free port");
            let addr = server.local_addr().expect("it is bound");
            let mut crowd = Self {
                ctx: server.context().clone(),
                stop: server.stopper(),
                running: thread::spawn(move || server.run()),
                clients: Vec::with_capacity(CONNECTIONS),
            };
            let began = Instant::now();
            // Each is answered before the next connects: faster, they would overflow the listener's backlog of 128.
            for number in 0..CONNECTIONS {
                let mut client = Client::new(addr, number);
                client.talk();
                crowd.clients.push(client);
            }
            if began.elapsed() < idle / 2 {
                return crowd;
            }
            crowd.stop.cancel();
            let ended = crowd.running.join().expect("it does not panic");
            ended.expect("its poll works");
            idle *= 2;
        }
    }
}

struct Client {
    stream: TcpStream,
    line: String,
}

impl Client {
    fn new(addr: SocketAddr, number: usize) -> Self {
        let stream = TcpStream::connect(addr).expect("it listens");
        stream.set_nodelay(true).expect("it is a socket");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("that is not zero");
        Self {
            stream,
            line: format!("this is {number}\n"),
        }
    }

    fn talk(&mut self) {
        let mut echo = vec![0; self.line.len()];
        self.stream
            .write_all(self.line.as_bytes())
            .and_then(|()| self.stream.read_exact(&mut echo))
            .unwrap_or_else(|error| panic!("{}: {error}", self.line));
        assert_eq!(echo, self.line.as_bytes());
    }

    /// Looks, and does not wait.
    fn is_closed(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("it is a socket");
        let read = self.stream.read(&mut [0]);
        self.stream.set_nonblocking(false).expect("it is a socket");
        match read {
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Ok(0) => true,
            // Where it was closed with something unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
            other => panic!("{}: {other:?}", self.line),
        }
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Raises the limit on descriptors to that, where it is lower.
fn allow_descriptors(count: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes to `limit`, which is of the type it expects.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(got, 0);
    if limit.rlim_cur < count {
        assert!(
            limit.rlim_max >= count,
            "this needs {count} descriptors, {} are allowed",
            limit.rlim_max
        );
        limit.rlim_cur = count;
        // SAFETY: reads `limit`.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        assert_eq!(set, 0);
    }
}
