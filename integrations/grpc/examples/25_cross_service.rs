//! Two services, `orders` and `stock`, each on a socket of its own. A caller asks `orders`, which asks `stock`: the caller's
//! deadline, its trace and its baggage arrive at the far end, each hop with what is left of the time, and `orders` with a span of its own; and
//! a caller that hangs up stops the work at the far end, which runs on a thread.
//!
//! Who calls writes its context into the headers with [`Propagator::inject`], who is called makes one of them with
//! [`Propagator::extract`] and keeps the guard as long as the request lasts. The server drops the handler's future when its
//! client hangs up, the guard goes with it, and all that was started for the request is done.
//!
//! Run it with `cargo run --example 25_cross_service`.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use ripcord::propagate::{BAGGAGE, Baggage, Member, Propagator, TRACE, TraceContext, TraceParent};
use ripcord::{Context, Error, Key};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The one value that these services agreed to exchange by type.
pub static TENANT: Key<u32> = Key::new("tenant").wire("tenant");

pub fn propagator() -> Propagator {
    Propagator::builder()
        .key(&TENANT, |id| id.to_string(), |text| text.parse().ok())
        .build()
        .expect("the key has a wire name")
}

/// What the far end has seen of its work: begun and stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub begun: u64,
    pub stopped: u64,
}

#[tokio::main]
pub async fn main() -> Result<(), Failure> {
    let (running, _stop) = Context::background().with_cancel();
    let services = Services::start(&running).await?;

    let (request, _guard) = request(&running).with_timeout(Duration::from_secs(5));
    println!("the caller has      {}", describe(&request));
    println!(
        "orders and stock had\n{}",
        call(&request, services.orders, "/price").await?
    );

    let (given_up, guard) = request.with_cancel();
    let waiting = tokio::spawn(async move { call(&given_up, services.orders, "/count").await });
    let mut counts = services.counts.clone();
    counts.wait_for(|counts| counts.begun == 1).await?;
    guard.cancel();
    println!(
        "the caller gave up: {}",
        waiting.await?.expect_err("it would take for ever")
    );
    counts.wait_for(|counts| counts.stopped == 1).await?;
    println!("and stock stopped");
    Ok(())
}

/// A caller's context: a trace, a value by type, and one that only passes through.
pub fn request(parent: &Context) -> Context {
    let trace = TraceParent::new(fastrand::u128(1..).to_be_bytes(), span_id(), true);
    let trace = TraceContext::new(trace.expect("no id is zero"));
    let mut baggage = Baggage::new();
    baggage.insert(Member::new("campaign", "spring sale, 20 %").expect("the key has a wire name"));
    parent
        .with_value(&TRACE, trace)
        .with_value(&TENANT, 7)
        .with_value(&BAGGAGE, baggage)
}

fn span_id() -> [u8; 8] {
    fastrand::u64(1..).to_be_bytes()
}

pub fn describe(ctx: &Context) -> String {
    format!(
        "time left: {:?}, {:?}, tenant {:?}, baggage {}",
        ctx.remaining(),
        ctx.value(&TRACE).map(|trace| trace.parent),
        ctx.value(&TENANT),
        ctx.value(&BAGGAGE).cloned().unwrap_or_default(),
    )
}

/// Both services, which stop with their context.
pub struct Services {
    pub orders: SocketAddr,
    pub counts: watch::Receiver<Counts>,
}

#[derive(Clone)]
struct Service {
    running: Context,
    stock: SocketAddr,
    counts: watch::Sender<Counts>,
}

impl Services {
    pub async fn start(running: &Context) -> Result<Self, Failure> {
        let stock = TcpListener::bind("127.0.0.1:0").await?;
        let orders = TcpListener::bind("127.0.0.1:0").await?;
        let service = Service {
            running: running.clone(),
            stock: stock.local_addr()?,
            counts: watch::Sender::new(Counts::default()),
        };
        let services = Self {
            orders: orders.local_addr()?,
            counts: service.counts.subscribe(),
        };
        let at_stock = Router::new()
            .route("/price", get(price))
            .route("/count", get(count))
            .with_state(service.clone());
        let at_orders = Router::new()
            .route(
                "/price",
                get(|state, headers| pass_on(state, headers, "/price")),
            )
            .route(
                "/count",
                get(|state, headers| pass_on(state, headers, "/count")),
            )
            .with_state(service);
        for (listener, router) in [(stock, at_stock), (orders, at_orders)] {
            let running = running.clone();
            tokio::spawn(async move {
                running
                    .run(axum::serve(listener, router).into_future())
                    .await
            });
        }
        Ok(services)
    }
}

type Answer = Result<String, (StatusCode, String)>;

/// At `orders`: a span of its own under the caller's, and the rest as it came.
async fn pass_on(State(service): State<Service>, headers: HeaderMap, path: &str) -> Answer {
    let (ctx, _guard) = propagator()
        .extract(&headers, &service.running)
        .map_err(|error| (error.status(), error.to_string()))?;
    let own = ctx
        .value(&TRACE)
        .and_then(|caller| caller.child(span_id(), true));
    let ctx = own.map_or_else(|| ctx.clone(), |own| ctx.with_value(&TRACE, own));
    let arrived = describe(&ctx);
    let answer = call(&ctx, service.stock, path).await.map_err(|error| {
        let late = ctx.err().is_some_and(Error::is_timeout);
        let status = if late {
            StatusCode::GATEWAY_TIMEOUT
        } else {
            StatusCode::BAD_GATEWAY
        };
        (status, error.to_string())
    })?;
    Ok(format!("{arrived}\n{answer}"))
}

/// At `stock`: what arrived.
async fn price(State(service): State<Service>, headers: HeaderMap) -> Answer {
    let (ctx, _guard) = propagator()
        .extract(&headers, &service.running)
        .map_err(|error| (error.status(), error.to_string()))?;
    Ok(describe(&ctx))
}

/// At `stock`: counts on a thread until the request is done.
async fn count(State(service): State<Service>, headers: HeaderMap) -> Answer {
    let (ctx, _guard) = propagator()
        .extract(&headers, &service.running)
        .map_err(|error| (error.status(), error.to_string()))?;
    let counts = service.counts.clone();
    let counting = tokio::task::spawn_blocking(move || {
        counts.send_modify(|counts| counts.begun += 1);
        let mut number = 0_u64;
        while ctx.check().is_ok() {
            number = std::hint::black_box(number + 1);
        }
        counts.send_modify(|counts| counts.stopped += 1);
        number
    });
    match counting.await {
        Ok(number) => Err((StatusCode::GATEWAY_TIMEOUT, format!("counted to {number}"))),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// A GET under a context, on a connection of its own, which is closed when the context is done.
pub async fn call(ctx: &Context, to: SocketAddr, path: &str) -> Result<String, Failure> {
    let mut request = hyper::Request::get(path)
        .header("host", to.to_string())
        .body(Empty::<Bytes>::new())?;
    propagator().inject(ctx, request.headers_mut())?;
    let answer = ctx.run(async {
        let socket = TokioIo::new(TcpStream::connect(to).await?);
        let (mut client, connection) = hyper::client::conn::http1::handshake(socket).await?;
        // It ends with the call or its context, whichever is first.
        tokio::spawn(ctx.run(connection));
        let answer = client.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        match status {
            StatusCode::OK => Ok(text),
            status => Err(Failure::from(format!("{status}: {text}"))),
        }
    });
    answer.await?
}
