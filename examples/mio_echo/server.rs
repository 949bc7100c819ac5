//! The loop: one thread, one poll, and an engine that it drives.
//!
//! A context with a timeout stands for each connection's patience. Its [`Notifier`] turns its end into a token, like a
//! socket that has become ready, so that the loop has one kind of news: this token, look at it.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use ripcord::mio::{Notifier, Watch};
use ripcord::{CancelGuard, CancelHandle, Context, Driver, Engine, Error};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

const LISTENER: Token = Token(0);
const CONTEXTS: Token = Token(1);
const SERVER: Token = Token(2);
const FIRST_CONNECTION: usize = 3;

const EVENTS: usize = 1024;
const BUFFER: usize = 16 * 1024;

/// Buffers moved for one connection before the others have their turn.
const ROUNDS: usize = 16;

/// How long to wait for descriptors to become free.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// An echo server that is bound, and listens.
pub struct EchoServer {
    poll: Poll,
    listener: TcpListener,
    notifier: Notifier,
    driver: Driver,
    server: Context,
    guard: CancelGuard,
    idle: Duration,
    connections: HashMap<Token, Connection>,
    next_token: usize,
    /// While accepting is put off.
    accept_again: Option<Watched>,
    served: Served,
}

/// What a server did until it was stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    pub accepted: u64,
    /// Closed by their idle timeout.
    pub idled: u64,
    /// Closed because the server was stopped.
    pub stopped: u64,
    pub bytes: u64,
    /// Why it was stopped.
    pub cause: String,
}

impl EchoServer {
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub fn bind(addr: SocketAddr, idle: Duration) -> io::Result<Self> {
        let poll = Poll::new()?;
        let notifier = Notifier::new(poll.registry(), CONTEXTS)?;
        let mut listener = TcpListener::bind(addr)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        // Every deadline is armed by this thread, so nobody else has to be able to wake the poll for one.
        let (engine, driver) = Engine::builder().driven()?;
        let (server, guard) = engine.background().with_cancel();
        Ok(Self {
            poll,
            listener,
            notifier,
            driver,
            server,
            guard,
            idle,
            connections: HashMap::new(),
            next_token: FIRST_CONNECTION,
            accept_again: None,
            served: Served::default(),
        })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Stops the server, from any thread.
    pub fn stopper(&self) -> CancelHandle {
        self.guard.handle()
    }

    /// The parent of each connection's context.
    pub fn context(&self) -> &Context {
        &self.server
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    ///
    /// The poll fails. What goes wrong with a connection closes that connection.
    pub fn run(mut self) -> io::Result<Served> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; BUFFER];
        let _stop = self.notifier.watch(&self.server, SERVER);
        while !self.server.is_done() {
            match self.poll.poll(&mut events, self.driver.next_timeout()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    // What it rang for is drained below.
                    CONTEXTS => {}
                    token => self.echo(token, &mut buffer),
                }
            }
            self.driver.turn();
            for token in self.notifier.drain() {
                self.ended(token);
            }
        }
        self.served.stopped = self.connections.len() as u64;
        self.served.cause = self
            .server
            .cause()
            .map_or_else(String::new, |cause| cause.to_string());
        Ok(self.served)
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    // One that cannot be registered is closed by being dropped.
                    let _ = self.welcome(socket);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // It was gone before it was accepted.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                    ) => {}
                // No more descriptors. Those who wait cause no further event, so a deadline has to remind us.
                Err(_) => {
                    let again =
                        Watched::under(&self.server, ACCEPT_AGAIN, &self.notifier, LISTENER);
                    self.accept_again = Some(again);
                    break;
                }
            }
        }
    }

    fn welcome(&mut self, mut socket: TcpStream) -> io::Result<()> {
        let token = Token(self.next_token);
        self.next_token += 1;
        socket.set_nodelay(true)?;
        self.poll.registry().register(
            &mut socket,
            token,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let connection = Connection {
            socket,
            unsent: Vec::new(),
            patience: Watched::under(&self.server, self.idle, &self.notifier, token),
        };
        self.connections.insert(token, connection);
        self.served.accepted += 1;
        Ok(())
    }

    fn echo(&mut self, token: Token, buffer: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let before = self.served.bytes;
        let open = connection.echo(token, self.poll.registry(), buffer, &mut self.served.bytes);
        if !open.unwrap_or(false) {
            self.connections.remove(&token);
        } else if self.served.bytes > before {
            // A context is never changed: patience starts anew with a new one.
            connection.patience = Watched::under(&self.server, self.idle, &self.notifier, token);
        }
    }

    /// A watched context is done. By now another may have its token: the one that is looked at decides.
    fn ended(&mut self, token: Token) {
        match token {
            SERVER => {}
            LISTENER => {
                self.accept_again = None;
                self.accept();
            }
            token => {
                // All are done when the server is; those are not idle.
                let is_idle = |connection: &Connection| {
                    connection.patience.ctx.err() == Some(Error::DeadlineExceeded)
                };
                if self.connections.get(&token).is_some_and(is_idle) {
                    self.connections.remove(&token);
                    self.served.idled += 1;
                }
            }
        }
    }
}

struct Connection {
    socket: TcpStream,
    /// Read and not written yet.
    unsent: Vec<u8>,
    patience: Watched,
}

impl Connection {
    /// Moves what there is, until the socket blocks; false: the other side has ended it.
    fn echo(
        &mut self,
        token: Token,
        registry: &Registry,
        buffer: &mut [u8],
        bytes: &mut u64,
    ) -> io::Result<bool> {
        for _ in 0..ROUNDS {
            // Nothing is read before all is written: who sends and does not receive fills his own memory, not ours.
            if !self.flush(bytes)? {
                return Ok(true);
            }
            match self.socket.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => self.unsent.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // It has more, and events come once a change: asking again makes it one.
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.reregister(&mut self.socket, token, interest)?;
        Ok(true)
    }

    /// Whether all is written.
    fn flush(&mut self, bytes: &mut u64) -> io::Result<bool> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.unsent.drain(..written);
                    *bytes += written as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// A context with a timeout that rings when it is done.
struct Watched {
    ctx: Context,
    // Dropped in this order: the watch is gone before the guard cancels, so that being replaced is no news.
    _watch: Watch,
    _guard: CancelGuard,
}

impl Watched {
    fn under(parent: &Context, timeout: Duration, notifier: &Notifier, token: Token) -> Self {
        let (ctx, guard) = parent.with_timeout(timeout);
        Self {
            _watch: notifier.watch(&ctx, token),
            _guard: guard,
            ctx,
        }
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            idled,
            stopped,
            bytes,
            cause,
        } = self;
        write!(
            f,
            "served {accepted}: {idled} closed for being idle, {stopped} open at the end ({cause}); {bytes} bytes echoed"
        )
    }
}
