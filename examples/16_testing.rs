//! A service that takes its time, and tests of it that take none. The tests are at the end, and are what this page is
//! about: a clock that they move by hand, a table of cases, a mock behind a trait, a cancel in the middle, and a day that
//! passes at once.
//!
//! What makes it testable is that the service takes its context from its caller and has every wait follow that: a test
//! gives it one of an engine whose time stands still.
//!
//! Run the service with `cargo run --example 16_testing`, its tests with `cargo test --example 16_testing`.

use ripcord::{Context, Error};
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

pub fn main() {
    let service = Service {
        users: Remote {
            names: HashMap::from([(1, "ada")]),
            latency: Duration::from_millis(10),
        },
        budget: Duration::from_secs(1),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be started");
    for id in [1, 2] {
        let greeting = runtime.block_on(service.greet(&Context::background(), id));
        println!("{greeting:?}");
    }
}

/// Where users are looked up. A trait, so that a test can answer in its place.
pub trait Users {
    fn find(
        &self,
        ctx: &Context,
        id: u64,
    ) -> impl Future<Output = Result<Option<String>, Error>> + Send;
}

/// A table that is far away.
pub struct Remote {
    pub names: HashMap<u64, &'static str>,
    pub latency: Duration,
}

impl Users for Remote {
    async fn find(&self, ctx: &Context, id: u64) -> Result<Option<String>, Error> {
        ctx.sleep(self.latency).await?;
        Ok(self.names.get(&id).map(|name| (*name).to_owned()))
    }
}

/// What is tested: it greets users, and gives a look-up so much time and no more.
pub struct Service<U> {
    pub users: U,
    pub budget: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    NotFound(u64),
    Ended(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}

impl<U: Users> Service<U> {
    pub async fn greet(&self, ctx: &Context, id: u64) -> Result<String, Failure> {
        let (lookup, _guard) = ctx.with_timeout(self.budget);
        let name = self.users.find(&lookup, id).await?;
        name.map(|name| format!("hello, {name}"))
            .ok_or(Failure::NotFound(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcord::{Engine, ManualClock};
    use std::pin::{Pin, pin};
    use std::task::{Context as Task, Poll, Waker};

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn stopped_time() -> (Context, ManualClock) {
        let (engine, clock) = Engine::builder()
            .manual_clock()
            .expect("it needs no thread");
        (engine.background(), clock)
    }

    fn service(latency: Duration, budget: Duration) -> Service<Remote> {
        let names = HashMap::from([(1, "ada")]);
        Service {
            users: Remote { names, latency },
            budget,
        }
    }

    /// Nothing wakes in a test of one thread: it moves the clock, and looks.
    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Task::from_waker(Waker::noop()))
    }

    /// To the end, a step of time whenever it waits.
    fn finish<F: Future>(future: F, clock: &ManualClock, step: Duration) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = poll(future.as_mut()) {
                return output;
            }
            clock.advance(step);
        }
    }

    #[test]
    fn each_case_of_a_table_ends_as_it_says() {
        struct Case {
            name: &'static str,
            id: u64,
            latency: Duration,
            budget: Duration,
            expected: Result<&'static str, Failure>,
        }

        let cases = [
            Case {
                name: "a user in time",
                id: 1,
                latency: 5 * SECOND,
                budget: 10 * SECOND,
                expected: Ok("hello, ada"),
            },
            Case {
                name: "no such user",
                id: 2,
                latency: 5 * SECOND,
                budget: 10 * SECOND,
                expected: Err(Failure::NotFound(2)),
            },
            Case {
                name: "too slow by a second",
                id: 1,
                latency: 11 * SECOND,
                budget: 10 * SECOND,
                expected: Err(Failure::Ended(Error::DeadlineExceeded)),
            },
            Case {
                name: "no time at all",
                id: 1,
                latency: SECOND,
                budget: Duration::ZERO,
                expected: Err(Failure::Ended(Error::DeadlineExceeded)),
            },
        ];
        for case in cases {
            let (ctx, clock) = stopped_time();
            let service = service(case.latency, case.budget);
            let greeting = finish(service.greet(&ctx, case.id), &clock, SECOND);
            assert_eq!(greeting, case.expected.map(str::to_owned), "{}", case.name);
        }
    }

    #[test]
    fn a_cancel_in_the_middle_ends_the_look_up() {
        let (root, _clock) = stopped_time();
        let (ctx, guard) = root.with_cancel();
        let service = service(HOUR, DAY);
        let mut greeting = pin!(service.greet(&ctx, 1));
        assert_eq!(poll(greeting.as_mut()), Poll::Pending);
        guard.cancel();
        let ended = Err(Failure::Ended(Error::Canceled));
        assert_eq!(poll(greeting.as_mut()), Poll::Ready(ended));
        assert_eq!(root.child_count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_budget_of_a_day_is_over_after_a_day_and_not_before() {
        let (ctx, clock) = stopped_time();
        let service = service(2 * DAY, DAY);
        let mut greeting = pin!(service.greet(&ctx, 1));
        assert_eq!(poll(greeting.as_mut()), Poll::Pending);
        clock.advance(DAY - Duration::from_nanos(1));
        assert_eq!(poll(greeting.as_mut()), Poll::Pending);
        clock.advance(Duration::from_nanos(1));
        let ended = Err(Failure::Ended(Error::DeadlineExceeded));
        assert_eq!(poll(greeting.as_mut()), Poll::Ready(ended));
    }

    /// Answers at once, and only where it is asked as it should be.
    struct Mock;

    impl Users for Mock {
        async fn find(&self, ctx: &Context, id: u64) -> Result<Option<String>, Error> {
            assert_eq!(ctx.remaining(), Some(SECOND), "it is given the budget");
            ctx.check()?;
            Ok(Some(format!("user {id}")))
        }
    }

    #[test]
    fn a_mock_answers_in_place_of_the_table() {
        let (ctx, clock) = stopped_time();
        let service = Service {
            users: Mock,
            budget: SECOND,
        };
        let greeting = finish(service.greet(&ctx, 7), &clock, SECOND);
        assert_eq!(greeting.as_deref(), Ok("hello, user 7"));

        let (done, guard) = ctx.with_cancel();
        guard.cancel();
        let greeting = finish(service.greet(&done, 7), &clock, SECOND);
        assert_eq!(greeting, Err(Failure::Ended(Error::Canceled)));
    }
}
