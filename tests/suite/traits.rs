//! What the types themselves promise: where they may go, how large they are, what an error says.

use ripcord::{
    AfterFunc, BreakerError, CancelGuard, CancelHandle, Cause, CircuitBreaker, Context,
    Coordinator, Done, Driver, Engine, EngineBuilder, EngineStopped, Error, Key, ManualClock,
    Permit, Registration, Run, Shutdown, ShutdownReport, Sleep, Work, cascade, ext,
};
use std::collections::HashSet;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

const CONTEXT: Context = Context::background();
static TODO: Context = Context::todo();

fn goes_anywhere<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}

#[test]
fn every_type_goes_to_any_thread_and_through_any_panic() {
    goes_anywhere::<Context>();
    goes_anywhere::<CancelGuard>();
    goes_anywhere::<CancelHandle>();
    goes_anywhere::<Cause>();
    goes_anywhere::<Done>();
    goes_anywhere::<Error>();
    goes_anywhere::<AfterFunc>();
    goes_anywhere::<Sleep>();
    goes_anywhere::<Run<std::future::Ready<()>>>();
    goes_anywhere::<Engine>();
    goes_anywhere::<EngineBuilder>();
    goes_anywhere::<Driver>();
    goes_anywhere::<ManualClock>();
    goes_anywhere::<EngineStopped>();
    goes_anywhere::<Coordinator>();
    goes_anywhere::<Registration>();
    goes_anywhere::<Shutdown>();
    goes_anywhere::<ShutdownReport>();
    goes_anywhere::<Work>();
    goes_anywhere::<CircuitBreaker>();
    goes_anywhere::<BreakerError<Error>>();
    goes_anywhere::<Permit<'static>>();
    goes_anywhere::<cascade::Report>();
    goes_anywhere::<ext::Metrics>();
    goes_anywhere::<ext::Priority>();
    goes_anywhere::<ext::Retry>();
    // Send and Sync are all that a value is asked for.
    goes_anywhere::<Key<Box<dyn Fn() + Send + Sync>>>();
}

/// Every name and shape that callers rely on compiles.
#[test]
fn the_fixed_interface_is_there() {
    use crossbeam_channel::Receiver;
    use std::convert::Infallible;
    use std::time::{Duration, Instant};

    static KEY: Key<u32> = Key::new("number");

    let engine: &'static Engine = Engine::global();
    engine.shutdown();
    let root: Context = engine.background();
    let (ctx, guard): (Context, CancelGuard) = root.with_value(&KEY, 7).with_cancel();
    let _: (Context, CancelGuard) = ctx.with_deadline(Instant::now());
    let _: (Context, CancelGuard) = ctx.with_timeout(Duration::ZERO);
    let _: (Context, CancelGuard) = ctx.with_deadline_cause(Instant::now(), Error::Canceled);
    let _: (Context, CancelGuard) = ctx.with_timeout_cause(Duration::ZERO, io::Error::other("x"));
    let _: (Context, CancelGuard) = Context::merge([&ctx, &root]);
    let _: (Context, CancelGuard) = Context::merge(&vec![ctx.clone()]);
    let _: (Option<Instant>, Option<Duration>) = (ctx.deadline(), ctx.remaining());
    let _: Option<&u32> = ctx.value(&KEY);
    let _: Receiver<Infallible> = ctx.done_channel();
    let futures: (Done, Sleep, Run<_>) = (ctx.done(), ctx.sleep(Duration::ZERO), ctx.run(async {}));
    drop(futures);
    assert_eq!(ctx.wait_timeout(Duration::ZERO), None);
    assert_eq!(ctx.blocking_sleep(Duration::ZERO), Ok(()));
    let callback: AfterFunc = ctx.after_func(|| {});
    assert!(callback.stop() && !callback.stop());
    assert_eq!((KEY.name(), ctx.child_count()), ("number", 0));
    let handle: CancelHandle = guard.handle();
    handle.cancel_with(Cause::msg("enough"));
    let _: CancelHandle = guard.disarm();
    assert_eq!(ctx.wait(), Error::Canceled);
}

#[test]
fn every_type_has_the_traits_callers_rely_on() {
    fn is_context<T: Clone + Debug + Display + Default>() {}
    fn is_handle<T: Clone + Debug>() {}
    fn is_guard<T: Debug>() {}
    fn is_error<T: Copy + Eq + std::hash::Hash + std::error::Error>() {}
    fn is_cause<T: Clone + Debug + Display + From<Error> + From<io::Error>>() {}
    fn is_behind<T: Deref<Target = dyn std::error::Error + Send + Sync>>() {}
    fn is_done<T: Future<Output = Error> + Debug>() {}
    is_context::<Context>();
    is_handle::<CancelHandle>();
    is_guard::<CancelGuard>();
    is_error::<Error>();
    is_cause::<Cause>();
    is_behind::<Cause>();
    is_done::<Done>();
}

#[test]
fn a_context_is_two_words_at_most() {
    assert!(size_of::<Context>() <= 16);
    // Null is a background, so there is no room for `None` in the pointer.
    assert!(size_of::<Option<Context>>() <= 24);
    assert!(size_of::<CancelGuard>() <= 16);
    assert!(size_of::<CancelHandle>() <= 16);
    assert!(size_of::<Cause>() <= 16);
    assert_eq!(size_of::<Error>(), 1);
}

#[test]
fn a_background_can_be_a_constant_and_a_static() {
    let (ctx, guard) = CONTEXT.with_cancel();
    let (todo, _todo_guard) = TODO.with_cancel();
    assert!(!ctx.is_done() && !todo.is_done() && !CONTEXT.is_done() && !TODO.is_done());
    drop(guard);
    assert!(ctx.is_done() && !CONTEXT.is_done());
    assert_eq!(TODO.to_string(), "context.TODO");
}

#[test]
fn an_error_says_how_the_context_ended() {
    let all = [
        (Error::Canceled, "context canceled", false),
        (Error::DeadlineExceeded, "context deadline exceeded", true),
    ];
    for (error, text, is_timeout) in all {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.is_timeout(), is_timeout);
        assert!(std::error::Error::source(&error).is_none());
    }
    assert_ne!(Error::Canceled, Error::DeadlineExceeded);
    assert_eq!(HashSet::from(all.map(|(error, ..)| error)).len(), 2);
}

#[test]
fn an_io_error_has_a_kind_that_nobody_retries_and_the_error_inside() {
    for (error, kind) in [
        (Error::Canceled, io::ErrorKind::Other),
        (Error::DeadlineExceeded, io::ErrorKind::TimedOut),
    ] {
        let io_error = io::Error::from(error);
        assert_eq!(io_error.kind(), kind);
        assert_eq!(io_error.to_string(), error.to_string());
        let inside = io_error.get_ref().and_then(|e| e.downcast_ref::<Error>());
        assert_eq!(inside, Some(&error));
    }
}

#[test]
fn a_question_mark_turns_a_check_into_any_of_the_usual_errors() {
    fn io(ctx: &Context) -> io::Result<()> {
        Ok(ctx.check()?)
    }
    fn boxed(ctx: &Context) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(ctx.check()?)
    }
    let (ctx, guard) = Context::background().with_cancel();
    assert!(io(&ctx).is_ok() && boxed(&ctx).is_ok());
    guard.cancel();
    assert_eq!(
        io(&ctx).map_err(|e| e.kind()),
        Err(io::ErrorKind::Other),
        "never Interrupted or WouldBlock"
    );
    let boxed = boxed(&ctx).expect_err("it is done");
    assert_eq!(boxed.downcast_ref(), Some(&Error::Canceled));
}

#[test]
fn a_cause_is_the_error_it_was_made_from() {
    let cause = Cause::from(io::Error::other("disk full"));
    assert_eq!(cause.to_string(), "disk full");
    assert!(format!("{cause:?}").contains("disk full"));
    let found = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    assert_eq!(found, Some(io::ErrorKind::Other));
    assert!(cause.downcast_ref::<Error>().is_none());

    let as_error: &(dyn std::error::Error + Send + Sync) = &*cause;
    assert!(as_error.source().is_none());
    assert_eq!(as_error.to_string(), cause.clone().to_string());
}

#[test]
fn a_cause_made_from_an_error_of_ours_is_that_error() {
    for error in [Error::Canceled, Error::DeadlineExceeded] {
        let cause = Cause::from(error);
        assert_eq!(cause.downcast_ref(), Some(&error));
        assert_eq!(cause.to_string(), error.to_string());
        assert_eq!(format!("{cause:?}"), format!("{error:?}"));
    }
}

#[test]
fn a_cause_keeps_the_chain_of_sources() {
    #[derive(Debug)]
    struct Outer(io::Error);
    impl Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let (ctx, guard) = Context::background().with_cancel();
    guard.cancel_with(Outer(io::Error::other("inner")));
    let cause = ctx.cause().expect("it is done");
    assert_eq!(
        cause.source().map(ToString::to_string).as_deref(),
        Some("inner")
    );
    assert!(cause.downcast_ref::<Outer>().is_some());
}

#[test]
fn a_message_is_nothing_to_downcast_to() {
    let cause = Cause::msg(42);
    assert_eq!(cause.to_string(), "42");
    assert!(cause.downcast_ref::<Error>().is_none());
    assert!(cause.downcast_ref::<io::Error>().is_none());
}

#[test]
fn a_cause_goes_to_a_function_that_takes_anything_that_becomes_one() {
    fn fail(guard: &CancelGuard, why: impl Into<Cause>) {
        guard.cancel_with(why);
    }
    let (ctx, guard) = Context::background().with_cancel();
    fail(&guard, Cause::msg("a message"));
    fail(&guard, io::Error::other("too late"));
    fail(&guard, Error::Canceled);
    assert_eq!(
        ctx.cause().map(|cause| cause.to_string()).as_deref(),
        Some("a message")
    );
}
