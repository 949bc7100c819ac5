//! Good practice, a function for each. The types make most of it the way of least effort: a function that takes a
//! `&Context` first says that it can be stopped, a key has its type, a guard cancels when it goes.
//!
//! Run with `cargo run --example 23_best_practices`.

use ripcord::{Cause, Context, Error, Key};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// Typed keys, each a static: no other module's `request_id` is this one. Few of them, for what belongs to a request and
/// goes through everything; what a function needs to do its work is an argument.
pub static REQUEST_ID: Key<String> = Key::new("request_id");
pub static USER: Key<User> = Key::new("user");

#[derive(Debug, PartialEq, Eq)]
pub struct User(pub String);

/// `background` once, at the top; all else is derived from it, or is given it.
pub fn main() {
    let root = Context::background();
    let service = Service::new();

    println!("{:?}", service.handle(&root, &request("/users/ada", "r-1")));
    println!(
        "{:?}",
        service.handle(&root, &request("/users/nobody", "r-2"))
    );
    println!("sum: {:?}", sum(&root, &[1, 2, 3]));
    println!("left behind: {:?}", clean_up(&root));
    println!(
        "user: {:?}",
        required_user(&root).map_err(|error| error.to_string())
    );
    println!("profile: {:?}", service.profile(&root, "ada"));
}

pub fn request(path: &str, id: &str) -> http::Request<()> {
    http::Request::get(path)
        .header("x-request-id", id)
        .body(())
        .expect("it is well-formed")
}

/// A struct that lives longer than a request has no context in it: each of its methods is given one.
#[derive(Default)]
pub struct Service {
    users: HashMap<&'static str, &'static str>,
    cache: HashMap<&'static str, &'static str>,
    /// As if the cache were down: it never answers.
    pub cache_is_stuck: bool,
}

/// Errors say what was being done, and keep as source what it failed of.
#[derive(Debug)]
pub enum Failed {
    NoSuchUser(String),
    Ended { doing: String, error: Error },
}

impl Service {
    /// What a handler may take, whatever its caller says.
    pub const LIMIT: Duration = Duration::from_secs(30);

    pub fn new() -> Self {
        Self {
            users: HashMap::from([("ada", "wrote the first program")]),
            ..Self::default()
        }
    }

    /// The context comes first, is borrowed, and is looked at before anything is begun.
    pub fn user(&self, ctx: &Context, name: &str) -> Result<&'static str, Failed> {
        ctx.check()
            .map_err(|error| Failed::while_doing(format!("looking {name} up"), error))?;
        let found = self.users.get(name).copied();
        found.ok_or_else(|| Failed::NoSuchUser(name.to_owned()))
    }

    /// A handler adds its values and its limit, passes the context on, and tells a deadline from other ends.
    pub fn handle(&self, ctx: &Context, request: &http::Request<()>) -> http::Response<String> {
        let id = request.headers().get("x-request-id");
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or("-").to_owned();
        let name = request.uri().path().trim_start_matches("/users/");

        // The limit has a cause, so that a log can tell it from the caller's own deadline.
        let limit = Cause::msg("the handler's own limit");
        let (ctx, _guard) = ctx
            .with_value(&REQUEST_ID, id.clone())
            .with_timeout_cause(Self::LIMIT, limit);

        let (status, body) = match self.profile(&ctx, name) {
            Ok(profile) => (200, profile.to_owned()),
            Err(Failed::NoSuchUser(name)) => (404, format!("{name} is unknown")),
            Err(Failed::Ended { error, .. }) if error.is_timeout() => (504, "timeout".to_owned()),
            Err(failed) => (503, failed.to_string()),
        };
        http::Response::builder()
            .status(status)
            .header("x-request-id", id)
            .body(body)
            .expect("it is well-formed")
    }

    /// Graceful degradation: the cache may have a little of the time, and when that is over there is some for the truth.
    pub fn profile(&self, ctx: &Context, name: &str) -> Result<&'static str, Failed> {
        let (quick, _guard) = ctx.with_timeout(Duration::from_millis(100));
        match self.cached(&quick, name) {
            Ok(Some(profile)) => Ok(profile),
            // It was missing, or late. Whether it is the caller who is gone, the next step sees for itself.
            Ok(None) | Err(_) => self.user(ctx, name),
        }
    }

    fn cached(&self, ctx: &Context, name: &str) -> Result<Option<&'static str>, Error> {
        if self.cache_is_stuck {
            return Err(ctx.wait());
        }
        Ok(self.cache.get(name).copied())
    }
}

/// A loop looks at its context: each turn if a turn is long, and every thousand or so if it is a few instructions.
pub fn sum(ctx: &Context, numbers: &[u64]) -> Result<u64, Failed> {
    let mut sum = 0;
    for (turn, numbers) in numbers.chunks(1_024).enumerate() {
        ctx.check()
            .map_err(|error| Failed::while_doing(format!("adding chunk {turn}"), error))?;
        sum += numbers.iter().sum::<u64>();
    }
    Ok(sum)
}

/// What is started in a scope ends with it: the guard has a name, and whichever way the function is left, it cancels.
/// How many contexts hang on the parent then.
pub fn clean_up(ctx: &Context) -> usize {
    let (parent, _parent_guard) = ctx.with_cancel();
    let leave_early = |fail: bool| -> Result<(), Error> {
        let (child, _guard) = parent.with_timeout(Duration::from_secs(5));
        if fail {
            return Err(Error::Canceled);
        }
        child.check()
    };
    assert!(leave_early(true).is_err() && leave_early(false).is_ok());
    parent.child_count()
}

/// A value can be missing, or be of no use: where it is needed that is said at once, and not where it is used.
pub fn required_user(ctx: &Context) -> Result<&User, MissingUser> {
    match ctx.value(&USER) {
        None => Err(MissingUser::NotSet),
        Some(User(name)) if name.is_empty() => Err(MissingUser::Empty),
        Some(user) => Ok(user),
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum MissingUser {
    NotSet,
    Empty,
}

impl Failed {
    fn while_doing(doing: impl Into<String>, error: Error) -> Self {
        Self::Ended {
            doing: doing.into(),
            error,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchUser(name) => write!(f, "there is no user {name}"),
            Self::Ended { doing, .. } => write!(f, "ended while {doing}"),
        }
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSuchUser(_) => None,
            Self::Ended { error, .. } => Some(error),
        }
    }
}

impl fmt::Display for MissingUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSet => "no user in the context",
            Self::Empty => "the user in the context has no name",
        })
    }
}

impl std::error::Error for MissingUser {}
