//! A tree of four levels, and what a cancel in its middle ends: all below, nothing beside or above.
//!
//! Run with `cargo run --example 06_hierarchy`.

use ripcord::{CancelGuard, Cause, Context};

pub fn main() {
    let mut service = Service::start();
    println!("before:\n{}", service.render());
    service.lose_database("primary is gone");
    println!("after the database was cancelled:\n{}", service.render());
}

/// server ─► request ─► { database ─► query, cache }
pub struct Service {
    pub layers: Vec<(&'static str, Context)>,
    database: Option<CancelGuard>,
    _others: Vec<CancelGuard>,
}

impl Service {
    pub fn start() -> Self {
        let (server, server_guard) = Context::background().with_cancel();
        let (request, request_guard) = server.with_cancel();
        let (database, database_guard) = request.with_cancel();
        let (query, query_guard) = database.with_cancel();
        let (cache, cache_guard) = request.with_cancel();
        Self {
            layers: vec![
                ("server", server),
                ("request", request),
                ("database", database),
                ("query", query),
                ("cache", cache),
            ],
            database: Some(database_guard),
            _others: vec![server_guard, request_guard, query_guard, cache_guard],
        }
    }

    pub fn lose_database(&mut self, why: &str) {
        if let Some(guard) = self.database.take() {
            guard.cancel_with(Cause::msg(why));
        }
    }

    /// The contexts that are done, with their causes.
    pub fn ended(&self) -> Vec<(&'static str, String)> {
        self.layers
            .iter()
            .filter_map(|(name, ctx)| Some((*name, ctx.cause()?.to_string())))
            .collect()
    }

    pub fn render(&self) -> String {
        self.layers
            .iter()
            .map(|(name, ctx)| {
                let state = ctx
                    .cause()
                    .map_or("live".to_owned(), |cause| cause.to_string());
                format!("  {name:<9} {:<62} {state}\n", ctx.to_string())
            })
            .collect()
    }
}
