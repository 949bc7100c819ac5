//! Channels and contexts: a producer and a consumer, a fan-out and a fan-in, and a `select!` over three sources under one deadline.
//!
//! Run with `cargo run --example 17_channels`.

use crossbeam_channel as crossbeam;
use crossbeam_channel::select;
use ripcord::channel::{self, Receiver, RecvError, Sender};
use ripcord::{Context, Error};
use std::thread;
use std::time::Duration;

pub fn main() {
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(20));
    let (accepted, consumed) = produce_and_consume(&ctx, usize::MAX);
    println!("until the deadline {accepted} were produced and {consumed} consumed");

    let sum = sum_of_squares(&Context::background(), 3, 10);
    println!("squares of 1 to 10 from three workers: {sum:?}");

    let (news, from_news) = crossbeam::unbounded();
    let (prices, from_prices) = crossbeam::unbounded();
    let (_alarms, from_alarms) = crossbeam::unbounded();
    news.send("rain".to_owned()).expect("it is received");
    prices.send(7).expect("it is received");
    let (ctx, _guard) = Context::background().with_timeout(Duration::from_millis(20));
    let sources = Sources {
        news: from_news,
        prices: from_prices,
        alarms: from_alarms,
    };
    println!("seen under one deadline: {:?}", sources.watch(&ctx));
}

/// Numbers, until nobody wants them; with how many were accepted.
fn produce(ctx: &Context, output: &Sender<u64>) -> usize {
    (1..).take_while(|&n| output.send(ctx, n).is_ok()).count()
}

/// Takes up to `enough`. What was accepted and is not consumed by then is left in the channel, and counted.
pub fn produce_and_consume(ctx: &Context, enough: usize) -> (usize, usize) {
    let (ctx, guard) = ctx.with_cancel();
    let (output, input) = channel::bounded(5);
    thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let output = output; // goes when the producer ends
            produce(&ctx, &output)
        });
        let consumed = input.iter(&ctx).take(enough).count();
        guard.cancel();
        let accepted = producer.join().expect("it does not panic");
        let left = input.drain().count();
        assert_eq!(
            accepted,
            consumed + left,
            "nothing that was accepted is lost"
        );
        (accepted, consumed)
    })
}

/// Each worker takes what comes from one channel, and has an output of its own.
pub fn fan_out(ctx: &Context, input: &Receiver<u64>, workers: usize) -> Vec<Receiver<u64>> {
    (0..workers)
        .map(|_| {
            let (output, results) = channel::bounded(1);
            let (ctx, input) = (ctx.clone(), input.clone());
            thread::spawn(move || {
                for n in input.iter(&ctx) {
                    if output.send(&ctx, n * n).is_err() {
                        break;
                    }
                }
            });
            results
        })
        .collect()
}

/// What comes from any of them, until all have ended or the context has.
pub fn fan_in(
    ctx: &Context,
    inputs: &[Receiver<u64>],
    mut each: impl FnMut(u64),
) -> Result<(), Error> {
    let inputs: Vec<_> = inputs.iter().collect();
    loop {
        match channel::recv_any(ctx, &inputs) {
            Ok((_worker, value)) => each(value),
            Err(RecvError::Done(error)) => return Err(error),
            Err(_) => return Ok(()),
        }
    }
}

pub fn sum_of_squares(ctx: &Context, workers: usize, numbers: u64) -> Result<u64, Error> {
    let (output, input) = channel::unbounded();
    for n in 1..=numbers {
        output.try_send(n).expect("there is room, and a receiver");
    }
    drop(output);
    let mut sum = 0;
    fan_in(ctx, &fan_out(ctx, &input, workers), |square| sum += square)?;
    Ok(sum)
}

/// Three sources of three types: crossbeam's own channels, for crossbeam's `select!`.
pub struct Sources {
    pub news: crossbeam::Receiver<String>,
    pub prices: crossbeam::Receiver<u64>,
    pub alarms: crossbeam::Receiver<Alarm>,
}

#[derive(Debug)]
pub struct Alarm;

#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    News(String),
    Price(u64),
    Alarm,
    Ended(Error),
}

impl Sources {
    /// What comes before the context is done, an alarm, or the end of a source; and that.
    pub fn watch(&self, ctx: &Context) -> Vec<Seen> {
        let done = ctx.done_channel();
        let mut seen = Vec::new();
        loop {
            let last = select! {
                recv(self.news) -> line => match line {
                    Ok(line) => { seen.push(Seen::News(line)); continue }
                    Err(_) => return seen,
                },
                recv(self.prices) -> price => match price {
                    Ok(price) => { seen.push(Seen::Price(price)); continue }
                    Err(_) => return seen,
                },
                recv(self.alarms) -> alarm => match alarm {
                    Ok(Alarm) => Seen::Alarm,
                    Err(_) => return seen,
                },
                recv(done) -> _ => Seen::Ended(ctx.err().expect("its channel says it is done")),
            };
            seen.push(last);
            return seen;
        }
    }
}
