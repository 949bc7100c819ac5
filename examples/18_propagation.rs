//! An order service in layers: what its handler knows of a request, all below it know, down to a notification that outlives the
//! request. Orders are files, payments and mail are services over TCP.
//!
//! Run with `cargo run --example 18_propagation`.

use ripcord::{CancelGuard, Context, Error, Key};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

static REQUEST_ID: Key<String> = Key::new("request_id");
static OPERATION: Key<&str> = Key::new("operation");

pub fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(run()).expect("loopback and the disk work");
}

async fn run() -> Result<(), Failure> {
    let payments = Service::start("paid", None).await?;
    let mail = Service::start("sent", None).await?;
    let directory = Directory::create("example")?;
    let service = OrderService::new(&directory.0, payments.address, mail.address);
    for id in ["order-1", "order-2", "order-3"] {
        service.orders.save(&Context::background(), id, "pending")?;
    }

    let handled = handle(&service, &Context::background(), "req-1", "order-1").await?;
    println!("the request is answered: order-1 is paid");
    let notified = handled.await.expect("it does not panic");
    println!("its notification, later: {notified:?}");

    let (batch, _guard) = Context::background().with_timeout(Duration::from_secs(5));
    let paid = process_all(&service, &batch, &["order-2", "order-9", "order-3"]).await;
    println!("in the background: {paid:?} were paid");

    let (client, gone) = Context::background().with_cancel();
    gone.cancel();
    let refused = handle(&service, &client, "req-2", "order-3").await;
    println!("of a client that is gone: {:?}", refused.map(drop));
    Ok(())
}

/// The outermost layer: a request has an id and so much time. When it returns, its context is over.
pub async fn handle(
    service: &OrderService,
    connection: &Context,
    request_id: &str,
    order: &str,
) -> Result<JoinHandle<Result<String, Failure>>, Failure> {
    let (request, _guard) = connection
        .with_value(&REQUEST_ID, request_id.to_owned())
        .with_timeout(Duration::from_secs(3));
    service.process(&request, order).await
}

/// Another outermost layer: a job goes through many orders, each with its own id and its own time; one that fails is left out.
pub async fn process_all(service: &OrderService, job: &Context, orders: &[&str]) -> Vec<String> {
    let mut paid = Vec::new();
    for order in orders {
        let (ctx, _guard) = job
            .with_value(&REQUEST_ID, format!("job-{order}"))
            .with_timeout(Duration::from_secs(2));
        if job.is_done() {
            break;
        }
        if service.process(&ctx, order).await.is_ok() {
            paid.push((*order).to_owned());
        }
    }
    paid
}

/// The layer between: what there is to do for an order, and in which order.
pub struct OrderService {
    pub orders: Orders,
    payments: SocketAddr,
    mail: SocketAddr,
}

impl OrderService {
    pub fn new(directory: &Path, payments: SocketAddr, mail: SocketAddr) -> Self {
        Self {
            orders: Orders(directory.to_owned()),
            payments,
            mail,
        }
    }

    /// Returns when the order is paid; the notification is a task that goes on.
    pub async fn process(
        &self,
        ctx: &Context,
        order: &str,
    ) -> Result<JoinHandle<Result<String, Failure>>, Failure> {
        let ctx = ctx.with_value(&OPERATION, "process_order");
        self.orders.load(&ctx, order)?;

        // The bank has a share of the request's time, and no more of it than there is.
        let (payment, _guard) = ctx.with_timeout(Duration::from_secs(1));
        ask(&payment, self.payments, &format!("charge {order}")).await?;

        // It is paid: to write that down is not the client's to cancel.
        let (record, _guard) = detached(&ctx, Duration::from_secs(1));
        self.orders.save(&record, order, "paid")?;

        let (notification, guard) = detached(&ctx, Duration::from_secs(5));
        let (mail, text) = (self.mail, format!("confirm {order}"));
        Ok(tokio::spawn(async move {
            let _guard = guard;
            ask(&notification, mail, &text).await
        }))
    }
}

/// The values of a context, with a time limit of its own in place of the request's.
fn detached(ctx: &Context, limit: Duration) -> (Context, CancelGuard) {
    ctx.without_cancel().with_timeout(limit)
}

/// The lowest layer on this side: orders are files.
pub struct Orders(PathBuf);

impl Orders {
    pub fn load(&self, ctx: &Context, order: &str) -> Result<String, Failure> {
        ctx.check()?;
        match std::fs::read_to_string(self.0.join(order)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Failure::NotFound(order.to_owned()))
            }
            read => Ok(read?),
        }
    }

    /// Whole or not at all: written beside it, and renamed.
    pub fn save(&self, ctx: &Context, order: &str, state: &str) -> Result<(), Failure> {
        ctx.check()?;
        let beside = self.0.join(format!("{order}.new"));
        std::fs::write(&beside, state)?;
        std::fs::rename(beside, self.0.join(order))?;
        Ok(())
    }
}

/// A line to a service and its answer, under a context: what it carries goes along.
async fn ask(ctx: &Context, service: SocketAddr, what: &str) -> Result<String, Failure> {
    let id = ctx.value(&REQUEST_ID).map_or("none", String::as_str);
    let operation = ctx.value(&OPERATION).copied().unwrap_or("none");
    let line = format!("{what} request={id} operation={operation}\n");
    let exchange = async {
        let mut stream = BufReader::new(TcpStream::connect(service).await?);
        stream.write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        Ok(answer.trim_end().to_owned())
    };
    ctx.run(exchange)
        .await?
        .map_err(|error: io::Error| error.into())
}

/// A service on the other side. It notes each line before it answers; with `hold` it answers when that is done.
pub struct Service {
    pub address: SocketAddr,
    pub lines: UnboundedReceiver<String>,
}

impl Service {
    pub async fn start(answer: &'static str, hold: Option<Context>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (noted, lines) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_one(stream, answer, hold.clone(), noted.clone()));
            }
        });
        Ok(Self { address, lines })
    }
}

async fn answer_one(
    stream: TcpStream,
    answer: &str,
    hold: Option<Context>,
    noted: UnboundedSender<String>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let _ = noted.send(line.trim_end().to_owned());
    if let Some(hold) = hold {
        hold.done().await;
    }
    stream.write_all(format!("{answer}\n").as_bytes()).await
}

/// Of its own, and gone when it is dropped.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn create(name: &str) -> io::Result<Self> {
        let name = format!("ripcord-orders-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Debug)]
pub enum Failure {
    NotFound(String),
    Ended(Error),
    Io(Arc<io::Error>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(order) => write!(f, "no such order: {order}"),
            Self::Ended(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}
