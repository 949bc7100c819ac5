//! What belongs to a request goes with it: its id, its session and its user, through three layers of which none hands
//! them on by name. A key has a type, so a value comes back as what it was set as; one that was not set is `None`, and one
//! that is set again is shadowed for what is derived from there on.
//!
//! Values are for what goes along. What a function needs to do its work is better an argument of it.
//!
//! Run with `cargo run --example 05_values`.

use ripcord::{Context, Key};

/// Keys are statics, and each is itself: another module's `Key::new("user")` is another key.
pub static REQUEST_ID: Key<u64> = Key::new("request_id");
pub static SESSION: Key<String> = Key::new("session");
pub static USER: Key<User> = Key::new("user");

#[derive(Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub may_write: bool,
}

pub fn main() {
    let request = accept(&Context::background(), 7, "s-1f3a");
    println!("{request}"); // names of keys, and never their values

    let known = authenticate(&request, "ada's token");
    println!("{}", update_profile(&known));
    println!("{}", update_profile(&authenticate(&request, "no token")));

    let support = act_as(&known, "grace");
    println!("{}", update_profile(&support));
    println!("{}", update_profile(&known)); // as before: nothing is ever changed
}

/// The first layer knows the connection.
pub fn accept(root: &Context, id: u64, session: &str) -> Context {
    root.with_value(&REQUEST_ID, id)
        .with_value(&SESSION, session.to_owned())
}

/// The second knows who is who. Of an unknown token there is no user.
pub fn authenticate(ctx: &Context, token: &str) -> Context {
    match token.strip_suffix("'s token") {
        None => ctx.clone(),
        Some(name) => ctx.with_value(
            &USER,
            User {
                name: name.to_owned(),
                may_write: true,
            },
        ),
    }
}

/// For what is derived from here on it is another's request; for all else it stays what it was.
pub fn act_as(ctx: &Context, name: &str) -> Context {
    ctx.with_value(
        &USER,
        User {
            name: name.to_owned(),
            may_write: false,
        },
    )
}

/// The third knows neither connections nor tokens.
pub fn update_profile(ctx: &Context) -> String {
    match ctx.value(&USER) {
        Some(User {
            name,
            may_write: true,
        }) => log(ctx, &format!("{name} has updated the profile")),
        Some(User { name, .. }) => log(ctx, &format!("{name} may only read")),
        None => log(ctx, "nobody is logged in"),
    }
}

/// Looks values up where they are needed, at whatever depth: in the same few loads.
pub fn log(ctx: &Context, what: &str) -> String {
    let id = ctx
        .value(&REQUEST_ID)
        .map_or("-".to_owned(), u64::to_string);
    let session = ctx.value(&SESSION).map_or("-", String::as_str);
    format!("request {id}, session {session}: {what}")
}
