#[path = "../../examples/23_best_practices.rs"]
mod best_practices;

use best_practices::{Failed, MissingUser, Service, USER, User, request};
use ripcord::{Context, Engine, Error};
use std::error::Error as _;
use std::thread;
use std::time::Duration;

fn canceled() -> Context {
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel();
    ctx
}

#[test]
fn the_best_practices_run() {
    best_practices::main();
}

#[test]
fn a_handler_answers_with_its_requests_id_and_leaves_nothing() {
    let (root, _guard) = Context::background().with_cancel();
    let service = Service::new();
    let found = service.handle(&root, &request("/users/ada", "r-7"));
    assert_eq!(found.status(), 200);
    assert_eq!(found.headers()["x-request-id"], "r-7");
    assert_eq!(found.body(), "wrote the first program");
    let missing = service.handle(&root, &request("/users/nobody", "r-8"));
    assert_eq!(
        (missing.status().as_u16(), missing.body().as_str()),
        (404, "nobody is unknown")
    );
    assert_eq!(root.child_count(), 0);
}

#[test]
fn a_caller_that_is_late_or_gone_is_told_so() {
    let service = Service::new();
    let (late, _guard) = Context::background().with_timeout(Duration::ZERO);
    let answer = service.handle(&late, &request("/users/ada", "r-9"));
    assert_eq!(answer.status(), 504);
    let answer = service.handle(&canceled(), &request("/users/ada", "r-9"));
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_str()),
        (503, "ended while looking ada up")
    );
}

/// In no time of ours: the engine's clock is moved until the cache has had its share.
#[test]
fn a_cache_that_is_stuck_takes_its_share_of_the_time_and_no_more() {
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let mut service = Service::new();
    service.cache_is_stuck = true;
    let (request, _guard) = engine.background().with_timeout(Duration::from_secs(3600));
    thread::scope(|scope| {
        let answer = scope.spawn(|| service.profile(&request, "ada"));
        while !answer.is_finished() {
            clock.advance(Duration::from_millis(1));
            thread::yield_now();
        }
        assert_eq!(answer.join().unwrap().unwrap(), "wrote the first program");
    });
}

#[test]
fn a_loop_stops_where_it_is_and_says_where_that_was() {
    assert_eq!(
        best_practices::sum(&Context::background(), &[1; 5_000]).unwrap(),
        5_000
    );
    let failed = best_practices::sum(&canceled(), &[1; 5_000]).unwrap_err();
    assert_eq!(failed.to_string(), "ended while adding chunk 0");
    let source = failed
        .source()
        .and_then(|source| source.downcast_ref::<Error>());
    assert_eq!(source, Some(&Error::Canceled));
    assert!(matches!(failed, Failed::Ended { .. }));
}

#[test]
fn guards_leave_nothing_on_either_way_out() {
    assert_eq!(best_practices::clean_up(&Context::background()), 0);
}

#[test]
fn a_value_that_is_missing_or_of_no_use_is_an_error() {
    let root = Context::background();
    assert_eq!(
        best_practices::required_user(&root),
        Err(MissingUser::NotSet)
    );
    let nameless = root.with_value(&USER, User(String::new()));
    assert_eq!(
        best_practices::required_user(&nameless),
        Err(MissingUser::Empty)
    );
    let ada = root.with_value(&USER, User("ada".to_owned()));
    assert_eq!(
        best_practices::required_user(&ada),
        Ok(&User("ada".to_owned()))
    );
}
