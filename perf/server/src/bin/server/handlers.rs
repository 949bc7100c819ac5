//! The routes, written once for all sides.

use super::failure::Failure;
use super::pool::Pool;
use super::scope::Scope;
use hyper::Uri;
use ripcord_server::http::parameter;
use std::net::SocketAddr;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Calls that one `/fanout` makes.
const CALLS: u64 = 3;

/// Of what is left to a request, what a call made for it may take; the rest is for what comes after.
const SHARE: f64 = 0.8;

/// Numbers looked at between two looks at the scope.
const NUMBERS_PER_CHECK: usize = 256;

pub struct Routes {
    upstream: Arc<Pool>,
    /// One for each core, so that CPU work queues here, where it can be given up, and not in the scheduler.
    cores: Arc<Semaphore>,
}

impl Routes {
    pub fn new(upstream: SocketAddr) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            upstream: Arc::new(Pool::new(upstream)),
            cores: Arc::new(Semaphore::new(cores)),
        }
    }

    pub async fn answer<S: Scope>(&self, scope: &S, uri: &Uri) -> Result<String, Failure> {
        match uri.path() {
            "/work" => self.work(scope, required(uri, "n")?).await,
            "/fanout" => {
                let delay = optional(uri, "ms")?.unwrap_or_default();
                self.fanout(scope, delay).await
            }
            "/sleep" => {
                let duration = Duration::from_millis(required(uri, "ms")?);
                scope.sleep(duration).await?;
                Ok(format!("slept {duration:?}\n"))
            }
            "/whoami" => Ok(format!("{}\n", scope.user().unwrap_or("nobody"))),
            other => Err(Failure::NoSuchRoute(other.to_owned())),
        }
    }

    /// Counts primes on a thread where that holds up nobody.
    async fn work<S: Scope>(&self, scope: &S, below: u64) -> Result<String, Failure> {
        let core = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .map_err(|closed| Failure::Internal(closed.to_string()))?;
        let work = scope.clone();
        // A thread cannot be dropped as a future can: it learns by its own handle that its client is gone.
        let primes = tokio::task::spawn_blocking(move || {
            let _core = core;
            count_primes(&work, below)
        })
        .await
        .map_err(|lost| Failure::Internal(lost.to_string()))??;
        Ok(format!("{primes} primes below {below}\n"))
    }

    /// Three calls at once. The first that fails ends the others.
    async fn fanout<S: Scope>(&self, scope: &S, delay: u64) -> Result<String, Failure> {
        let (group, guard) = scope.child();
        let mut guard = Some(guard);
        let mut calls = JoinSet::new();
        for item in 0..CALLS {
            let path = format!("/item?id={item}&ms={delay}");
            calls.spawn(call(group.clone(), Arc::clone(&self.upstream), path));
        }

        let mut answers = Vec::new();
        let mut failure = None;
        // To the end also after a failure: no call outlives the request it was made for.
        while let Some(call) = calls.join_next().await {
            match call.unwrap_or_else(|lost| Err(Failure::Internal(lost.to_string()))) {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    drop(guard.take());
                    failure.get_or_insert(error);
                }
            }
        }
        answers.sort();
        failure.map_or(Ok(answers.concat()), Err)
    }
}

/// One call, under a share of what its group has left.
async fn call<S: Scope>(group: S, upstream: Arc<Pool>, path: String) -> Result<String, Failure> {
    let share = group
        .remaining()
        .map_or(Duration::MAX, |left| left.mul_f64(SHARE));
    let (scope, _guard) = group.within(share);
    scope.run(upstream.get(&scope, &path)).await?
}

fn count_primes<S: Scope>(scope: &S, below: u64) -> Result<usize, Failure> {
    let mut primes = 0;
    // Looking from an outer loop costs the inner one no branch a number.
    for first in (2..below).step_by(NUMBERS_PER_CHECK) {
        scope.check()?;
        primes += primes_in(first..below.min(first + NUMBERS_PER_CHECK as u64));
    }
    Ok(primes)
}

/// Not compiled once a side: the compiler might see to one of them better than to another.
#[inline(never)]
fn primes_in(numbers: Range<u64>) -> usize {
    let is_prime =
        |number: &u64| (2..=number.isqrt()).all(|divisor| !number.is_multiple_of(divisor));
    numbers.filter(is_prime).count()
}

fn optional<T: FromStr>(uri: &Uri, name: &str) -> Result<Option<T>, Failure> {
    parameter(uri.query(), name).map_err(Failure::BadRequest)
}

fn required<T: FromStr>(uri: &Uri, name: &str) -> Result<T, Failure> {
    optional(uri, name)?
        .ok_or_else(|| Failure::BadRequest(format!("{} needs a parameter {name}", uri.path())))
}
