#[path = "../../examples/13_cache.rs"]
mod cache;

use cache::{Failure, Origin, Users};
use ripcord::{Context, Error, Shutdown};
use std::future::Future;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn run<F: Future>(work: impl FnOnce(Shutdown, Origin) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = Shutdown::builder().build(&Context::background());
        let origin = Origin::start().await.unwrap();
        work(server, origin).await
    })
}

#[test]
fn many_who_ask_at_once_make_one_fetch() {
    cache::main();
    run(|server, origin| async move {
        let users = Users::new(&server, origin.address, HOUR);
        let asking: Vec<_> = (0..50)
            .map(|_| {
                let users = users.clone();
                tokio::spawn(async move { users.get(&Context::background(), 7).await })
            })
            .collect();
        origin.is_asked(1).await;
        origin.answer(50);
        for asked in asking {
            let user = asked.await.unwrap();
            assert_eq!(user.as_deref(), Ok("user 7 of answer 1"));
        }
        assert_eq!(origin.asked(), 1);
    });
}

#[test]
fn one_callers_cancel_fails_nobody_else_and_loses_no_work() {
    run(|server, origin| async move {
        let users = Users::new(&server, origin.address, HOUR);
        let (request, client) = Context::background().with_cancel();
        let first = tokio::spawn({
            let users = users.clone();
            async move { users.get(&request, 7).await }
        });
        origin.is_asked(1).await; // for the first
        let second = tokio::spawn({
            let users = users.clone();
            async move { users.get(&Context::background(), 7).await }
        });
        client.cancel();
        let gone = first.await.unwrap();
        assert_eq!(gone, Err(Failure::Ended(Error::Canceled)));
        origin.answer(2);
        let user = second.await.unwrap();
        assert_eq!(user.as_deref(), Ok("user 7 of answer 1"));
        assert_eq!(origin.asked(), 1, "it was not begun again");
    });
}

#[test]
fn under_a_context_that_is_done_nothing_is_fetched() {
    run(|server, origin| async move {
        let users = Users::new(&server, origin.address, HOUR);
        let (request, client) = Context::background().with_cancel();
        client.cancel();
        let ended = users.get(&request, 7).await;
        assert_eq!(ended, Err(Failure::Ended(Error::Canceled)));
        assert!(server.registered().is_empty());
        assert_eq!(origin.asked(), 0);
    });
}

#[test]
fn a_refresh_survives_the_request() {
    run(|server, origin| async move {
        let users = Users::new(&server, origin.address, HOUR);
        origin.answer(1);
        let (request, client) = Context::background().with_cancel();
        users.get(&request, 7).await.unwrap();
        let refreshing = users.refresh(&request, 7).unwrap();
        origin.is_asked(2).await;
        client.cancel();
        let root = Context::background();
        let old = users.get(&root, 7).await;
        assert_eq!(old.as_deref(), Ok("user 7 of answer 1"), "meanwhile");
        origin.answer(1);
        let new = refreshing.await.unwrap();
        assert_eq!(new.as_deref(), Ok("user 7 of answer 2"));
        assert_eq!(users.get(&root, 7).await, new);
    });
}

#[test]
fn a_refresh_does_not_survive_the_shutdown() {
    run(|server, origin| async move {
        let users = Users::new(&server, origin.address, HOUR);
        let refreshing = users.refresh(&Context::background(), 7).unwrap();
        origin.is_asked(1).await;
        server.stop_now();
        let ended = refreshing.await.unwrap();
        assert_eq!(ended, Err(Failure::Ended(Error::Canceled)));
        let report = server.wait_async().await.into_result().unwrap();
        assert_eq!(report.canceled, 1);
        let refused = users.refresh(&Context::background(), 7);
        assert_eq!(refused.map(drop), Err(Failure::Stopping));
    });
}

#[test]
fn what_has_lived_its_time_is_fetched_again() {
    run(|server, origin| async move {
        let root = Context::background();
        origin.answer(1_000);
        let users = Users::new(&server, origin.address, Duration::from_millis(20));
        let first = users.get(&root, 7).await.unwrap();
        let mut last = first.clone();
        while last == first {
            last = users.get(&root, 7).await.unwrap();
        }
        assert!(origin.asked() >= 2);

        let long = Users::new(&server, origin.address, HOUR);
        let before = origin.asked();
        for _ in 0..100 {
            long.get(&root, 7).await.unwrap();
        }
        assert_eq!(origin.asked(), before + 1);
    });
}

#[test]
fn an_origin_that_fails_is_asked_again_the_next_time() {
    run(|server, _origin| async move {
        // Where nobody listens.
        let users = Users::new(&server, "127.0.0.1:1".parse().unwrap(), HOUR);
        for _ in 0..2 {
            let refused = users.get(&Context::background(), 7).await;
            let kind = std::io::ErrorKind::ConnectionRefused;
            assert_eq!(refused, Err(Failure::Io(kind)));
        }
        assert!(server.registered().is_empty());
    });
}
