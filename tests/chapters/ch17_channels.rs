#[path = "../../examples/17_channels.rs"]
mod channels;

use channels::{Alarm, Seen, Sources};
use crossbeam_channel::unbounded;
use ripcord::{Context, Engine, Error};
use std::thread;
use std::time::Duration;

#[test]
fn what_a_producer_had_accepted_is_consumed_or_left_and_never_lost() {
    channels::main();
    let (accepted, consumed) = channels::produce_and_consume(&Context::background(), 100);
    assert_eq!(consumed, 100);
    assert!((100..=105).contains(&accepted), "{accepted}");
}

#[test]
fn what_is_fanned_out_comes_in_again_whole() {
    let root = Context::background();
    assert_eq!(channels::sum_of_squares(&root, 3, 100), Ok(338_350));
    assert_eq!(channels::sum_of_squares(&root, 1, 3), Ok(14));
    assert_eq!(channels::sum_of_squares(&root, 0, 3), Ok(0));
    let (ctx, guard) = root.with_cancel();
    guard.cancel();
    assert_eq!(channels::sum_of_squares(&ctx, 3, 100), Err(Error::Canceled));
}

#[test]
fn three_sources_are_watched_under_one_deadline() {
    let (news, from_news) = unbounded();
    let (prices, from_prices) = unbounded();
    let (alarms, from_alarms) = unbounded();
    let sources = Sources {
        news: from_news,
        prices: from_prices,
        alarms: from_alarms,
    };
    let (engine, clock) = Engine::builder().manual_clock().unwrap();
    let (ctx, _guard) = engine.background().with_timeout(Duration::from_secs(1));
    news.send("rain".to_owned()).unwrap();
    prices.send(7).unwrap();
    let seen = thread::scope(|scope| {
        let watch = scope.spawn(|| sources.watch(&ctx));
        while !(news.is_empty() && prices.is_empty()) {
            thread::yield_now();
        }
        clock.advance(Duration::from_secs(1));
        watch.join().unwrap()
    });
    let [first_two @ .., last] = seen.as_slice() else {
        unreachable!("the end is always seen")
    };
    assert_eq!(*last, Seen::Ended(Error::DeadlineExceeded));
    for expected in [Seen::News("rain".to_owned()), Seen::Price(7)] {
        assert!(first_two.contains(&expected), "{first_two:?}");
    }

    alarms.send(Alarm).unwrap();
    let (_sender, quiet) = unbounded();
    let sources = Sources {
        news: quiet,
        ..sources
    };
    assert_eq!(sources.watch(&Context::background()), [Seen::Alarm]);
}
