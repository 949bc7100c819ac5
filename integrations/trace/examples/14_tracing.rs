//! A request goes through four functions, the last of them on a thread of the database's. Each has a span, which is a value
//! of the context it is given; what is derived is below it, whoever works on it. A subscriber prints the spans as a tree;
//! and where a context ended before the work did, how, why, and after how long.
//!
//! Run with `cargo run --example 14_tracing`.

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use ripcord::tracing::ContextExt;
use ripcord::{Context, Error};
use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;
use tracing::{Dispatch, dispatcher, info, info_span, warn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_tree::HierarchicalLayer;

pub fn main() {
    let tree = tree_to(io::stdout);
    let database = Database::open(&tree);
    dispatcher::with_default(&tree, || {
        for user in ["ada", "grace", "mallory"] {
            let (request, _guard) = Context::background().with_timeout(Duration::from_millis(100));
            match process_request(&request, &database, user) {
                Ok(profile) => println!("--- {profile:?}"),
                Err(failure) => println!("--- {user}: {failure}"),
            }
            // How a context ended is told on a callback's thread, which has a moment for that here.
            thread::sleep(Duration::from_millis(20));
        }
    });
}

/// A subscriber that writes spans and events as they come, each below its parent.
pub fn tree_to<W>(writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let tree = HierarchicalLayer::new(2)
        .with_ansi(false)
        .with_indent_lines(true)
        .with_bracketed_fields(true)
        .with_writer(writer);
    Dispatch::new(tracing_subscriber::registry().with(tree))
}

#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    pub age: u8,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    Unknown,
    NoSuchRow,
    Ended(Error),
}

/// The first: the whole of the request.
pub fn process_request(ctx: &Context, database: &Database, user: &str) -> Result<Profile, Failure> {
    let ctx = ctx.with_span(info_span!(parent: ctx, "process_request", user));
    let result = authenticate(&ctx, user).and_then(|()| fetch_profile(&ctx, database, user));
    ctx.in_span(|| match &result {
        Ok(_) => info!("answered"),
        Err(failure) => warn!(%failure, "not answered"),
    });
    result
}

/// The second.
fn authenticate(ctx: &Context, user: &str) -> Result<(), Failure> {
    let ctx = ctx.with_span(info_span!(parent: ctx, "authenticate", user));
    ctx.in_span(|| {
        if user == "mallory" {
            warn!("not one of ours");
            return Err(Failure::Unknown);
        }
        info!("known");
        Ok(())
    })
}

/// The third has a share of the time that is left, and a span that the fourth is below. How its context ended is an event
/// there, unless the answer came first.
fn fetch_profile(ctx: &Context, database: &Database, user: &str) -> Result<Profile, Failure> {
    let share = ctx.remaining().map_or(Duration::MAX, |left| left / 2);
    let (ctx, _guard) = ctx.with_timeout(share);
    let ctx = ctx.with_span(info_span!(parent: &ctx, "fetch_profile", service = "users"));
    let end = ctx.trace_end();
    let profile = database.query(&ctx, user);
    end.stop();
    profile
}

/// A table that one thread owns. Who asks gives the context along with the question.
pub struct Database {
    queries: Sender<Query>,
}

struct Query {
    ctx: Context,
    user: String,
    answer: Sender<Result<Profile, Failure>>,
}

impl Database {
    /// Its thread writes to `subscriber` too.
    pub fn open(subscriber: &Dispatch) -> Self {
        let (queries, received) = unbounded();
        let subscriber = subscriber.clone();
        thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || dispatcher::with_default(&subscriber, || serve(&received)))
            .expect("a thread can be started");
        Self { queries }
    }

    fn query(&self, ctx: &Context, user: &str) -> Result<Profile, Failure> {
        let (answer, answered) = bounded(1);
        let query = Query {
            ctx: ctx.clone(),
            user: user.to_owned(),
            answer,
        };
        self.queries.send(query).expect("its thread lives on");
        answered.recv().expect("each query is answered")
    }
}

fn serve(queries: &Receiver<Query>) {
    // Somebody else has locked the row of `grace`, and never lets go.
    let (_lock, unlocked) = bounded(0);
    for query in queries {
        let _ = query
            .answer
            .send(select_row(&query.ctx, &query.user, &unlocked));
    }
}

/// The fourth, on the database's thread.
fn select_row(ctx: &Context, user: &str, unlocked: &Receiver<()>) -> Result<Profile, Failure> {
    let span =
        info_span!(parent: ctx, "select_row", db.statement = "SELECT * FROM users WHERE name = ?");
    ctx.with_span(span).in_span(|| match user {
        "ada" => {
            info!(rows = 1);
            Ok(Profile {
                name: "Ada Lovelace".to_owned(),
                age: 36,
            })
        }
        "grace" => {
            info!("waits for a lock");
            select! {
                recv(unlocked) -> _ => Err(Failure::NoSuchRow),
                recv(ctx.done_channel()) -> _ => {
                    warn!("gives up");
                    Err(Failure::Ended(ctx.err().expect("its channel says it is done")))
                }
            }
        }
        _ => Err(Failure::NoSuchRow),
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("authentication failed"),
            Self::NoSuchRow => f.write_str("no such row"),
            Self::Ended(error) => error.fmt(f),
        }
    }
}
