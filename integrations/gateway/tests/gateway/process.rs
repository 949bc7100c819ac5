//! The gateway as a process, and a client that is a socket.

use rustix::process::{Pid, Signal, kill_process};
use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{self, Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a machine that is busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where it is set, this process is the gateway, with these arguments, a line each.
const ARGUMENTS: &str = "RIPCORD_GATEWAY_ARGUMENTS";

/// The name of the test that calls [`be_the_gateway`].
const SELF: &str = "the_gateway_itself";

/// Does not return where this process was started as the gateway. So it is built as the test is, sanitizers included.
pub fn be_the_gateway(run: impl FnOnce(Vec<OsString>) -> u8) {
    if let Ok(arguments) = env::var(ARGUMENTS) {
        let arguments = ["gateway"].into_iter().chain(arguments.lines());
        process::exit(run(arguments.map(OsString::from).collect()).into());
    }
}

/// One that runs; killed when it is dropped.
pub struct Gateway {
    process: Child,
    stdout: BufReader<ChildStdout>,
    pub addr: SocketAddr,
}

/// What one that has ended left.
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Gateway {
    /// One that listens on a free port.
    pub fn start(arguments: &[&str]) -> Self {
        let mut process = spawn(&[&["--listen", "127.0.0.1:0"], arguments].concat());
        let mut gateway = Self {
            stdout: BufReader::new(process.stdout.take().expect("it is piped")),
            process,
            addr: (Ipv4Addr::UNSPECIFIED, 0).into(),
        };
        let rest = gateway.says("listening on http://");
        let addr = rest.split(',').next().unwrap_or_default();
        gateway.addr = addr.parse().expect("an address");
        gateway
    }

    /// One that is driven by its own clients, which it says nothing about until they are through.
    pub fn under_load(arguments: &[&str]) -> Self {
        let addr = free_addr();
        let mut process = spawn(&[&["--listen", &*addr.to_string()], arguments].concat());
        let gateway = Self {
            stdout: BufReader::new(process.stdout.take().expect("it is piped")),
            process,
            addr,
        };
        eventually("it listens", || TcpStream::connect(addr).is_ok());
        gateway
    }

    /// Waits until it prints that; answers with the rest of the line.
    pub fn says(&mut self, text: &str) -> String {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).expect("it prints text") > 0 {
            if let Some((_, rest)) = line.split_once(text) {
                return rest.to_owned();
            }
            line.clear();
        }
        panic!("it ended and never said {text:?}");
    }

    /// Runs one until it ends by itself.
    pub fn run(arguments: &[&str]) -> Outcome {
        let output = spawn(arguments).wait_with_output().expect("it is ours");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
        Outcome {
            status: output.status,
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// As a supervisor does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it has not been waited for");
    }

    pub fn wait(mut self) -> Outcome {
        let mut status = None;
        eventually("the gateway exits", || {
            status = self.process.try_wait().expect("it is ours");
            status.is_some()
        });
        let mut outcome = Outcome {
            status: status.expect("it has exited"),
            stdout: String::new(),
            stderr: String::new(),
        };
        let stderr = self.process.stderr.as_mut().expect("it is piped");
        stderr
            .read_to_string(&mut outcome.stderr)
            .and_then(|_| self.stdout.read_to_string(&mut outcome.stdout))
            .expect("it prints text");
        outcome
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(path, headers).answer()
    }

    /// Sends a request, and leaves its answer to be read. Dropped, it hangs up.
    pub fn send(&self, path: &str, headers: &[(&str, &str)]) -> Asked {
        self.send_by("GET", path, headers)
    }

    pub fn send_by(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Asked {
        let mut stream = TcpStream::connect(self.addr).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("that is not zero");
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        Asked(stream)
    }

    /// Sends just this; answers with the status, or `None` where the connection was closed on it.
    pub fn send_raw(&self, request: &[u8]) -> Option<u16> {
        let mut stream = TcpStream::connect(self.addr).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("that is not zero");
        // It need not read all of it.
        let _ = stream.write_all(request);
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }

    /// One of the numbers that `/stats` answers with. The request for them is live itself.
    pub fn stat(&self, name: &str) -> u64 {
        let stats = self.get("/stats", &[]).body;
        stats
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {stats}"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Neither has an effect on one that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A request whose answer is still to come.
pub struct Asked(TcpStream);

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Asked {
    pub fn answer(mut self) -> Answer {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            if let Some(answer) = parse(&bytes) {
                return answer;
            }
            let read = self.0.read(&mut buffer).expect("an answer in time");
            assert!(
                read > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.extend_from_slice(&buffer[..read]);
        }
    }
}

/// `None` while there is more to come.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or_else(|| panic!("no length in {head}"));
    (body.len() == length).then(|| Answer {
        status: head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status in {head}")),
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// Where nobody listens, for the moment.
pub fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

/// Looks until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn spawn(arguments: &[&str]) -> Child {
    Command::new(env::current_exe().expect("this program has a path"))
        .args(["--exact", SELF, "--nocapture"])
        .env(ARGUMENTS, arguments.join("\n"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program can be started again")
}
