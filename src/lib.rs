//! Cancellation, deadlines and request-scoped values in one cheap handle that goes through every layer: async code on
//! any runtime, blocking threads, crossbeam `select!` and mio loops alike.
//!
//! A [`Context`] is a position in a tree. [`with_cancel`](Context::with_cancel) derives a child and the guard that
//! cancels it, [`with_timeout`](Context::with_timeout) one that ends by itself, [`with_value`](Context::with_value) one that
//! carries something; what ends a context ends all that was derived from it, before the call returns. Looking is one load;
//! deriving and dropping a child takes three atomic operations, four where it has siblings, however many threads do it on
//! one parent.
//!
//! ```
//! use ripcord::{Cause, Context, Error};
//!
//! fn handle(request: &Context) -> Result<u64, Error> {
//!     // The guard ends what was started here when this function returns.
//!     let (query, _guard) = request.with_cancel();
//!     let rows = std::thread::scope(|scope| scope.spawn(|| count(&query)).join().unwrap())?;
//!     Ok(rows)
//! }
//!
//! fn count(ctx: &Context) -> Result<u64, Error> {
//!     let mut rows = 0;
//!     for _ in 0..1_000 {
//!         ctx.check()?;
//!         rows += 1;
//!     }
//!     Ok(rows)
//! }
//!
//! let (request, client) = Context::background().with_cancel();
//! assert_eq!(handle(&request), Ok(1_000));
//!
//! client.cancel_with(Cause::msg("connection reset by peer"));
//! assert_eq!(handle(&request), Err(Error::Canceled));
//! assert_eq!(request.cause().unwrap().to_string(), "connection reset by peer");
//! ```
//!
//! # Waiting
//!
//! | where | how |
//! |---|---|
//! | a loop | [`check`](Context::check), [`is_done`](Context::is_done), [`err`](Context::err) |
//! | async | [`done`](Context::done), [`run`](Context::run), [`sleep`](Context::sleep), on any runtime |
//! | a thread | [`wait`](Context::wait), [`wait_timeout`](Context::wait_timeout), [`blocking_sleep`](Context::blocking_sleep) |
//! | crossbeam's `select!` | [`done_channel`](Context::done_channel) |
//! | a mio loop | `mio::Notifier`, feature `mio` |
//! | not at all | [`after_func`](Context::after_func), a function that is run on another thread |
//!
//! # Deadlines
//!
//! The first deadline starts a thread that serves the whole process and sleeps while nothing is due. A deadline that is
//! over before it comes near, as most are, costs two atomic operations on a line of its core's and a reading of the
//! clock. A program can keep time by an [`Engine`] of its own: with a thread, with a [`Driver`] in its own loop, or, in
//! tests, with a [`ManualClock`]. What is derived from an engine's background uses that engine.
//!
//! # Values
//!
//! What belongs to a request and goes where it goes: its user, its trace. A [`Key`] is a static of one type;
//! [`with_value`](Context::with_value) sets it for what is derived from there on, [`value`](Context::value) looks it up
//! in the same time at any depth. Values are never printed: they can be secrets. A key says what becomes of its values where a
//! request ends or is left: [`local`](Key::local) ones stay behind at [`without_cancel`](Context::without_cancel), and only those
//! with a [`wire`](Key::wire) name may leave the process.
//!
//! # Many at a time
//!
//! A fan-out that starts and ends as a whole takes a [`Batch`]: many children by one registration, in a slice, processed in
//! parallel, cancelled together. Where a context for each step would be too many, in the innermost loop of a search or a
//! parser, a [`Light`] is a deadline and a flag on the stack, polled and nothing more. The nodes of all contexts come from a
//! stock that each thread has at hand; [`Pool`] fills it before the first request, and gives back what a peak took.
//!
//! ```
//! use ripcord::{Context, Error, Light};
//! use std::time::Duration;
//!
//! let (request, _guard) = Context::background().with_timeout(Duration::from_secs(60));
//! let shards = request.batch(4);
//! let sums = shards.process(|shard, ctx| {
//!     let slice = Light::under(ctx, Duration::from_secs(5)); // and not longer than the request has
//!     let mut sum = 0;
//!     for number in 0..1_000 {
//!         if number % 256 == 0 {
//!             ctx.check()?;
//!         }
//!         slice.check()?;
//!         sum += number * shard;
//!     }
//!     Ok::<_, Error>(sum)
//! });
//! assert_eq!(sums[2], Ok(999_000));
//! ```
//!
//! # What servers build on it
//!
//! | for | there is |
//! |---|---|
//! | time that is shared out | [`Budget`] |
//! | queues between threads, and tasks | [`channel`] |
//! | files and sockets | [`io`] |
//! | work that fails or succeeds as a whole | [`Group`] |
//! | attempts | [`hedge`]; `retry`, feature `retry` |
//! | work that is cancelled by id, or by group | [`Coordinator`] |
//! | a program that stops: nothing new, then nothing at all | [`Shutdown`]; stages in order: [`cascade`] |
//! | a service that is down | [`CircuitBreaker`] |
//! | what a request is known by on its way down | [`ext`] |
//! | a library that takes any context | [`Cancel`] |
//!
//! These may take a short lock, where they say so, under which nothing of the caller's runs, and allocate; nothing that derives,
//! ends or looks at a context goes through them.
//!
//! # Features
//!
//! Off by default: `tower` and `axum` (HTTP servers), `http` (`propagate`: contexts in headers), `tonic`, `rusqlite`,
//! `tokio-postgres` (`postgres`), `futures`, `tokio`, `tracing`, `opentelemetry`, each a module that says what it does;
//! `mio`, `signals`, `retry`, `channel-async`, `tempfile`, `origin`. Import by name: with `ripcord::*` a module that is named as a crate
//! is in that crate's way.
//!
//! # Seeing
//!
//! A context prints the derivations that led to it; one that is done tells which one [ended by itself](Context::origin). A
//! [`Monitor`] counts the contexts of a process or an engine, names those that have been open for too long, and draws the
//! [tree](ContextTree) they stand in; a program's own instruments hang on [`monitor::Hooks`]. All of it costs a predictable
//! branch while nobody looks. With the feature `origin` each context knows the line of source that made it.
//!
//! # What holds
//!
//! * When a cancel returns, everything derived before it, at any depth and by whatever thread, is done; also where
//!   cancels overlap. What is derived later is born done.
//! * States are set in the whole subtree first; wakers, channels and threads are told after, by the thread that
//!   cancelled, before its call returns. A woken task never sees a live descendant.
//! * The first reason wins: `err` and `cause` agree and never change.
//! * A child's deadline is the earlier of its own and its parent's. A deadline never fires early, fires without anyone
//!   looking (on a driven or manual engine: in `turn` and `advance`, and only there), and at the instant itself where the
//!   clock stands exactly on it. Looking reads no clock: it says what has fired, not what is due.
//! * A function given to `after_func` runs once, never inside a `cancel`; one that blocks for ever holds up no deadline
//!   and no other callback until 500 block at once: that is how many threads they share.
//! * Cancelling or dropping a child takes it off its parent at once. Nothing is kept for what is gone.
//! * In a steady state a context with its timer and its waits (`done`, `run`, `sleep`, blocked threads) allocates nothing.
//!   What allocates: a value, when it is set, whose size with 80 bytes and a word for each visible key is over 192; a cause when it
//!   is made, not when it is cloned; the function given to `after_func`, and its way to a thread; the channel of
//!   `done_channel`, once a context; a merge of several parents' values, or of more than 32 parents, and a cancel that reaches
//!   one; a mio watch.
//! * No operation waits for another thread: one that is stopped anywhere inside this library keeps no other from
//!   creating, cancelling, dropping or looking at any context, from waiting, or from being woken by a cancel of another or
//!   by a deadline. There are no locks and no spinning on these paths. Outside the promise, because not ours: the
//!   allocator, the kernel, an executor's wakers, crossbeam's channels, the body of a callback.
//! * Nothing recurses: a chain or a fan of a million contexts is cancelled and dropped on a small stack. (A cause or a
//!   value that holds a context whose cause holds a context, and so on, is dropped as deep as it was nested: that is its
//!   owner's.)
//! * A value is dropped with the last context that can see it. One that was shadowed may stay until the last that was
//!   derived through it goes; setting one key in a loop keeps at most 64 of them.
//! * A panic in a waker, a callback, or the drop of a cause, a value or a closure, is left to the panic hook; what was under way goes on and
//!   skips nothing.
//!
//! # Bad input
//!
//! | what | gives |
//! |---|---|
//! | an empty merge | a cancellable child of background |
//! | one parent named twice | it counts once |
//! | a guard that outlives its context | works as before; it keeps the node |
//! | a cancel from inside a waker | allowed, of any context |
//! | a context dropped from inside a waker | allowed, the last handle too |
//! | a zero timeout, a deadline that has passed | a context that is done already |
//! | `Duration::MAX`, a deadline more than 292 years ahead | one without a deadline of its own |
//! | a context that outlives the handle of its engine | works: it keeps the engine |
//! | a deadline on an engine that was shut down | [`Canceled`](Error::Canceled), with [`EngineStopped`] as cause |
//! | a timer thread that cannot be started | [`Canceled`](Error::Canceled), with the `std::io::Error` as cause; the next deadline tries again |
//! | a `turn` or `advance` from inside a waker | the one under way fires what became due, before it returns |
//! | a panic in a callback | left to the panic hook |
//! | a deadline after `fork` without `exec`, in the child | does not fire: it has no timer thread; all else works |
//! | a forgotten [`Done`] or [`Sleep`] | its entry and its node are never freed; nobody else pays |
//! | two keys of one name | two keys |
//! | a guard bound to `_`, or left behind in `with_timeout(d).0` | it is dropped, and cancels, at once: bind it to `_guard` |
//! | a forgotten guard or context | its node, and what that keeps, is never freed |
//! | more than 2^30 handles on one context | the process aborts, as with `Arc` |
//! | a channel of no room | a rendezvous; of absurd room: one without a bound |
//! | a fraction of the time that is none, a split by zero | a [`BudgetError`] |
//! | a group of zero threads, zero attempts, a factor below 1 | a typed error, before anything is begun |
//! | a panic in the work of a group or a hedge | a failure of it, [`Panicked`] |
//! | work that never ends, in a group | is waited for by [`join`](Group::join): it has to look at its context |
//! | an id that live work has, one that nothing has, a group with nothing in it | a [`CoordinatorError`] |
//! | work registered when stopping has begun | [`Stopping`] |
//! | work that never returns | is named in the [`ShutdownReport`]; its stage is [given up](cascade::Outcome::GivenUp) |
//! | a threshold or a cool-down of zero | a [`BreakerConfigError`] |
//! | a trial that panics, or is forgotten | a failure; a place held for one cool-down |
//! | a backoff that overflows, or is longer than what is left | the longest there is; [`RetryRefused`](ext::RetryRefused) |
//!
//! 64-bit only. Linux is tested; other systems park blocked threads in place of a futex and are not.

#![warn(missing_docs, missing_debug_implementations, unreachable_pub)]

#[forbid(unsafe_code)]
mod after_func;
#[forbid(unsafe_code)]
mod batch;
#[forbid(unsafe_code)]
mod cancel;
#[forbid(unsafe_code)]
mod cause;
#[forbid(unsafe_code)]
mod context;
#[forbid(unsafe_code)]
mod deadline;
#[forbid(unsafe_code)]
mod display;
#[forbid(unsafe_code)]
mod done;
#[forbid(unsafe_code)]
mod engine;
#[forbid(unsafe_code)]
mod error;
#[forbid(unsafe_code)]
mod integrations;
#[forbid(unsafe_code)]
mod key;
#[forbid(unsafe_code)]
mod light;
mod local;
#[cfg(feature = "mio")]
#[forbid(unsafe_code)]
pub mod mio;
#[forbid(unsafe_code)]
pub mod monitor;
#[forbid(unsafe_code)]
mod origin;
#[forbid(unsafe_code)]
mod patterns;
#[forbid(unsafe_code)]
mod pool;
mod raw;
#[forbid(unsafe_code)]
mod run;
#[forbid(unsafe_code)]
mod sleep;
mod sync;
#[forbid(unsafe_code)]
mod tuning;
#[forbid(unsafe_code)]
mod wait;

pub use after_func::AfterFunc;
pub use batch::Batch;
pub use cancel::{CancelGuard, CancelHandle};
pub use cause::Cause;
pub use context::Context;
pub use done::Done;
pub use engine::{Driver, Engine, EngineBuilder, ManualClock};
pub use error::{EngineStopped, Error};
#[cfg(feature = "futures")]
pub use integrations::futures;
#[cfg(feature = "opentelemetry")]
pub use integrations::opentelemetry;
#[cfg(feature = "tokio-postgres")]
pub use integrations::postgres;
#[cfg(feature = "http")]
pub use integrations::propagate;
#[cfg(feature = "rusqlite")]
pub use integrations::rusqlite;
#[cfg(feature = "tokio")]
pub use integrations::tokio;
#[cfg(feature = "tonic")]
pub use integrations::tonic;
#[cfg(feature = "tower")]
pub use integrations::tower;
#[cfg(feature = "tracing")]
pub use integrations::tracing;
pub use key::Key;
pub use light::Light;
pub use origin::{ContextKind, EndKind, Origin};
pub use patterns::breaker::{
    BreakerConfigError, BreakerError, CircuitBreaker, CircuitOpen, CircuitState, Permit,
};
pub use patterns::cascade;
pub use patterns::coordinator::{Coordinator, CoordinatorError, Live, Registration};
pub use patterns::ext;
#[cfg(feature = "retry")]
pub use patterns::retry;
#[cfg(feature = "signals")]
pub use patterns::shutdown::SignalWatch;
pub use patterns::shutdown::{
    Late, Shutdown, ShutdownBuilder, ShutdownCause, ShutdownReport, Stopping, Work,
};
pub use patterns::{
    Budget, BudgetError, Cancel, Group, GroupError, GroupRun, Never, Panicked, SpawnError,
};
pub use patterns::{ContextTree, Leak, Monitor, MonitorEntry, MonitorEvent, MonitorStats};
pub use patterns::{channel, hedge, io};
pub use pool::{Pool, Stock};
pub use run::Run;
pub use sleep::Sleep;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
