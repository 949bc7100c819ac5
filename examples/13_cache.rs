//! A cache (moka) before a service: many who ask for the same at once make one fetch; who gives up fails nobody else; a refresh in
//! the background survives the request that asked for it, and not the shutdown.
//!
//! The point: a fetch is a task of the server's and not of a caller's. It has the caller's values and the server's lifetime; the
//! caller only waits for it, under its own context.
//!
//! Run with `cargo run --example 13_cache`.

use moka::future::Cache;
use ripcord::{Context, Error, Shutdown, Stopping};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

pub fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(run()).expect("loopback works");
}

async fn run() -> Result<(), Failure> {
    let origin = Origin::start().await?;
    origin.answer(2);
    let server = Shutdown::builder().build(&Context::background());
    let users = Users::new(&server, origin.address, Duration::from_secs(300));

    let (request, guard) = Context::background().with_timeout(Duration::from_secs(1));
    let (first, second) = tokio::join!(users.get(&request, 7), users.get(&request, 7));
    println!("{} and {}, for one question", first?, second?);

    let refreshing = users.refresh(&request, 7)?;
    drop(guard); // the request is over
    println!("refreshed: {}", refreshing.await.expect("no panic")?);
    let now = users.get(&Context::background(), 7).await?;
    println!("from the cache: {now}; questions: {}", origin.asked());

    let unfinished = users.refresh(&Context::background(), 7)?; // of which nobody answers
    server.stop_now();
    println!("at the shutdown: {:?}", unfinished.await.expect("no panic"));
    println!("{}", server.wait_async().await);
    Ok(())
}

/// Users by their number, kept for a time.
#[derive(Clone)]
pub struct Users {
    cache: Cache<u64, String>,
    origin: SocketAddr,
    server: Shutdown,
    limit: Duration,
}

impl Users {
    pub fn new(server: &Shutdown, origin: SocketAddr, time_to_live: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(10_000)
            .time_to_live(time_to_live)
            .build();
        Self {
            cache,
            origin,
            server: server.clone(),
            limit: Duration::from_secs(60),
        }
    }

    /// From the cache, or fetched; the caller waits as long as its context allows, the fetch goes on for whoever else waits.
    pub async fn get(&self, ctx: &Context, id: u64) -> Result<String, Failure> {
        ctx.check()?;
        if let Some(user) = self.cache.get(&id).await {
            return Ok(user);
        }
        let fetch = self.fetch(ctx, id)?;
        let cache = self.cache.clone();
        // moka runs one of the fetches for a key, and has the others wait for it.
        let task = tokio::spawn(async move { cache.try_get_with(id, fetch).await });
        let fetched = ctx.run(task).await?.expect("a fetch does not panic");
        fetched.map_err(Arc::unwrap_or_clone)
    }

    /// Fetches anew whether it is cached or not, in the background: until then the old one is given out.
    pub fn refresh(
        &self,
        ctx: &Context,
        id: u64,
    ) -> Result<JoinHandle<Result<String, Failure>>, Failure> {
        let fetch = self.fetch(ctx, id)?;
        let cache = self.cache.clone();
        Ok(tokio::spawn(async move {
            let user = fetch.await?;
            cache.insert(id, user.clone()).await;
            Ok(user)
        }))
    }

    /// The request's values, without its cancel; ends with the server, and after a time limit of its own.
    fn fetch(
        &self,
        ctx: &Context,
        id: u64,
    ) -> Result<impl Future<Output = Result<String, Failure>> + use<>, Failure> {
        let name = format!("fetch of user {id}");
        let (ctx, work) = self.server.register_under(&ctx.without_cancel(), name)?;
        let (origin, limit) = (self.origin, self.limit);
        Ok(async move {
            let _work = work; // the shutdown waits for it
            let (ctx, _guard) = ctx.with_timeout(limit);
            let answer = ctx.run(ask(origin, id)).await?;
            answer.map_err(|error| Failure::Io(error.kind()))
        })
    }
}

async fn ask(origin: SocketAddr, id: u64) -> io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(origin).await?);
    stream.write_all(format!("{id}\n").as_bytes()).await?;
    let mut answer = String::new();
    match stream.read_line(&mut answer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer.trim_end().to_owned()),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The caller's context, or the fetch's.
    Ended(Error),
    Stopping,
    Io(io::ErrorKind),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}

impl From<Stopping> for Failure {
    fn from(_: Stopping) -> Self {
        Self::Stopping
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// What is cached: a service over TCP that counts what it is asked, and answers as often as it is told to.
pub struct Origin {
    pub address: SocketAddr,
    answers: Arc<Semaphore>,
    asked: watch::Receiver<usize>,
}

impl Origin {
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let answers = Arc::new(Semaphore::new(0));
        let (asking, asked) = watch::channel(0);
        let asking = Arc::new(asking);
        tokio::spawn({
            let answers = Arc::clone(&answers);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&answers), Arc::clone(&asking)));
                }
            }
        });
        Ok(Self {
            address,
            answers,
            asked,
        })
    }

    /// So many questions more are answered.
    pub fn answer(&self, questions: usize) {
        self.answers.add_permits(questions);
    }

    pub fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Returns when so many questions have come, answered or not.
    pub async fn is_asked(&self, times: usize) {
        let mut asked = self.asked.clone();
        let reached = asked.wait_for(|asked| *asked >= times).await;
        reached.expect("it listens as long as the runtime runs");
    }
}

async fn serve(
    stream: TcpStream,
    answers: Arc<Semaphore>,
    asking: Arc<watch::Sender<usize>>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut id = String::new();
    stream.read_line(&mut id).await?;
    let mut count = 0;
    asking.send_modify(|asked| {
        *asked += 1;
        count = *asked;
    });
    answers.acquire().await.expect("it stays open").forget();
    let answer = format!("user {} of answer {count}\n", id.trim_end());
    stream.write_all(answer.as_bytes()).await
}
