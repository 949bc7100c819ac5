//! The gateway's routes.

use super::Said;
use super::client::Pool;
use super::failure::{Failure, Reason};
use super::metrics;
use super::query::Shop;
use super::request::USER;
use super::server::{Answer, Routes};
use super::stats::{Gauge, Stats};
use http::Uri;
use http::request::Parts;
use ripcord::{Context, Error};
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Calls that one `/fan` makes.
const CALLS: u64 = 3;

/// Of what is left to a request, what a call made for it may take; the rest is for what comes after.
const SHARE: f64 = 0.8;

/// Numbers looked at between two looks at the context, which costs one load.
const NUMBERS_PER_CHECK: usize = 256;

/// What the gateway answers.
pub struct Gateway {
    backend: Arc<Pool>,
    /// Calls that the backend is at, where that runs in this process.
    calls: Gauge,
    /// One for each core, so that CPU work queues here, where it can be given up, and not in the scheduler.
    cores: Arc<Semaphore>,
    shop: Shop,
    stats: Arc<Stats>,
}

impl Gateway {
    /// # Errors
    ///
    /// SQLite cannot be opened.
    pub fn new(backend: SocketAddr, calls: Gauge, stats: Arc<Stats>) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shop = Shop::open(cores, Arc::clone(&stats));
        Ok(Self {
            backend: Arc::new(Pool::new(backend)),
            calls,
            cores: Arc::new(Semaphore::new(cores)),
            shop: shop.map_err(|error| io::Error::other(format!("SQLite: {error}")))?,
            stats,
        })
    }

    /// Counts primes on a thread where that holds up nobody.
    async fn work(&self, ctx: &Context, below: u64) -> Result<String, Failure> {
        let core = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .map_err(|closed| Failure::Internal(closed.to_string()))?;
        let working = self.stats.working.clone();
        let work = ctx.clone();
        // A thread cannot be dropped as a future can: it learns by its own handle that its client is gone.
        let primes = tokio::task::spawn_blocking(move || {
            let _core = core;
            count_primes(&work, below, &working)
        })
        .await
        .map_err(|lost| Failure::Internal(lost.to_string()))?
        .map_err(|_| Failure::ended(ctx))?;
        Ok(format!("{primes} primes below {below}\n"))
    }

    /// Three calls at once. The first that fails ends the others.
    async fn fan(
        &self,
        ctx: &Context,
        delay: u64,
        failing: Option<u64>,
    ) -> Result<String, Failure> {
        let (group, guard) = ctx.with_cancel();
        let mut calls = JoinSet::new();
        for item in 0..CALLS {
            let fail = if failing == Some(item) { "&fail=1" } else { "" };
            let path = format!("/item?id={item}&ms={delay}{fail}");
            calls.spawn(call(group.clone(), Arc::clone(&self.backend), path));
        }

        let mut answers = Vec::new();
        let mut failure = None;
        // To the end also after a failure: no call outlives the request it was made for.
        while let Some(call) = calls.join_next().await {
            match call.unwrap_or_else(|lost| Err(Failure::Internal(lost.to_string()))) {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    guard.cancel_with(Reason::SiblingFailed);
                    failure.get_or_insert(error);
                }
            }
        }
        answers.sort();
        failure.map_or(Ok(answers.concat()), Err)
    }
}

impl Routes for Gateway {
    async fn answer(&self, ctx: &Context, head: &Parts) -> Result<Answer, Failure> {
        let uri = &head.uri;
        match uri.path() {
            "/work" => self.work(ctx, required(uri, "n")?).await,
            "/query" => {
                let lines: u64 = required(uri, "n")?;
                let lines = i64::try_from(lines).map_err(|_| {
                    Failure::BadRequest(format!("n is {lines}, more than {}", i64::MAX))
                })?;
                self.shop.order(ctx, lines).await
            }
            "/fan" | "/fanout" => {
                let delay = parameter(uri, "ms")?.unwrap_or(2);
                let failing = parameter(uri, "fail")?;
                if let Some(call) = failing.filter(|&call| call >= CALLS) {
                    let what = format!("fail is {call}, not a call from 0 to {}", CALLS - 1);
                    return Err(Failure::BadRequest(what));
                }
                self.fan(ctx, delay, failing).await
            }
            "/sleep" => {
                let duration = Duration::from_millis(required(uri, "ms")?);
                let slept = ctx.sleep(duration).await;
                slept.map_err(|_| Failure::ended(ctx))?;
                Ok(format!("slept {}\n", Said(duration)))
            }
            "/echo" => {
                let backend = Arc::clone(&self.backend);
                call(ctx.clone(), backend, "/echo".to_owned()).await
            }
            "/healthz" => Ok("ok\n".to_owned()),
            "/whoami" => Ok(format!(
                "{}\n",
                ctx.value(&USER).map_or("nobody", String::as_str)
            )),
            "/stats" => Ok(format!("{}calls {}\n", self.stats, self.calls.get())),
            "/metrics" => {
                let text = self.stats.metrics.text(&self.stats, self.calls.get());
                let content_type = metrics::CONTENT_TYPE;
                return Ok(Answer { text, content_type });
            }
            other => Err(Failure::NoSuchRoute(other.to_owned())),
        }
        .map(Answer::from)
    }
}

/// One call, under a share of what its group has left.
async fn call(group: Context, backend: Arc<Pool>, path: String) -> Result<String, Failure> {
    let share = group
        .remaining()
        .map_or(Duration::MAX, |left| left.mul_f64(SHARE));
    let (ctx, _guard) = group.with_timeout_cause(share, Reason::CallShare(share));
    ctx.run(backend.get(&ctx, &path))
        .await
        .unwrap_or_else(|_| Err(Failure::ended(&ctx)))
}

fn count_primes(ctx: &Context, below: u64, working: &Gauge) -> Result<usize, Error> {
    let _working = working.enter();
    let mut primes = 0;
    // Looking from an outer loop costs the inner one no branch a number.
    for first in (2..below).step_by(NUMBERS_PER_CHECK) {
        ctx.check()?;
        let last = below.min(first + NUMBERS_PER_CHECK as u64);
        primes += (first..last).filter(|&number| is_prime(number)).count();
    }
    Ok(primes)
}

fn is_prime(number: u64) -> bool {
    (2..=number.isqrt()).all(|divisor| !number.is_multiple_of(divisor))
}

/// The parameter of that name in the query; `None` where it is not there.
///
/// # Errors
///
/// It is there and cannot be understood.
pub fn parameter<T: FromStr>(uri: &Uri, name: &str) -> Result<Option<T>, Failure> {
    let query = uri.query().unwrap_or_default();
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value
        .map(|value| {
            let what = std::any::type_name::<T>();
            value
                .parse()
                .map_err(|_| Failure::BadRequest(format!("{name} is {value:?}, not a {what}")))
        })
        .transpose()
}

fn required<T: FromStr>(uri: &Uri, name: &str) -> Result<T, Failure> {
    parameter(uri, name)?
        .ok_or_else(|| Failure::BadRequest(format!("{} needs a parameter {name}", uri.path())))
}
