//! What goes wrong with contexts, and each time the mended twin. What the types rule out is not here, for it does not compile:
//! no context at all in the place of one, a value of another type than its key's (see the page of `Context`). What they cannot
//! rule out is: nobody can tell a guard that was dropped by mistake from one that was dropped to cancel.
//!
//! Run with `cargo run --example 24_anti_patterns`.

use ripcord::Context;

pub fn main() {
    let (request, guard) = Context::background().with_cancel();
    guard.cancel();

    println!("a context kept in a struct:");
    println!("  wrong:  {:?}", stored::wrong());
    println!("  mended: {:?}", stored::mended());
    println!("a loop that does not look, after the cancel:");
    println!("  wrong:  {} steps", deaf_loop::wrong(&request, 1_000));
    println!("  mended: {:?}", deaf_loop::mended(&request, 1_000));
    println!("a new background in the middle of a chain:");
    println!("  wrong:  {:?}", fresh_root::wrong(&request));
    println!("  mended: {:?}", fresh_root::mended(&request));
    println!("a parameter that comes by a value:");
    println!("  wrong:  {:?}", hidden_parameter::wrong(&Context::todo()));
    println!("  mended: {:?}", hidden_parameter::mended(3));
    println!("a guard that is bound to nothing:");
    println!("  wrong:  {:?}", lost_guard::wrong());
    println!("  mended: {:?}", lost_guard::mended());
    println!("a guard that is forgotten, live children after it:");
    println!("  wrong:  {}", forgotten_guard::wrong());
    println!("  mended: {}", forgotten_guard::mended());
    println!("a context that is thought to be changed:");
    println!("  wrong:  {:?}", changed_parent::wrong());
    println!("  mended: {:?}", changed_parent::mended());
    println!("every error taken for the context's:");
    println!("  wrong:  {}", mistaken_error::wrong());
    println!("  mended: {}", mistaken_error::mended());
    println!("a timeout that means nothing:");
    println!("  wrong:  {:?}", absurd_timeout::wrong());
    println!("  mended: {:?}", absurd_timeout::mended());
    println!("a thread that sleeps through the end:");
    println!("  wrong:  {:?}", deaf_sleep::wrong(&request));
    println!("  mended: {:?}", deaf_sleep::mended(&request));
}

/// Who keeps the context of one request in a struct works under that for all others, too.
pub mod stored {
    use ripcord::{Context, Error};

    struct Keeps {
        ctx: Context,
    }

    impl Keeps {
        fn query(&self) -> Result<&'static str, Error> {
            self.ctx.check()?;
            Ok("a row")
        }
    }

    struct Takes;

    impl Takes {
        /// First of all parameters, by reference: whoever calls says for how long.
        fn query(&self, ctx: &Context) -> Result<&'static str, Error> {
            ctx.check()?;
            Ok("a row")
        }
    }

    /// The second request is live, and fails.
    pub fn wrong() -> Result<&'static str, Error> {
        let (first, first_guard) = Context::background().with_cancel();
        let repository = Keeps { ctx: first };
        drop(first_guard); // the first request is over
        let (_second, _guard) = Context::background().with_cancel();
        repository.query()
    }

    pub fn mended() -> Result<&'static str, Error> {
        let (_first, first_guard) = Context::background().with_cancel();
        drop(first_guard);
        let (second, _guard) = Context::background().with_cancel();
        Takes.query(&second)
    }
}

/// A cancel is a request, and ends nobody who does not look.
pub mod deaf_loop {
    use ripcord::{Context, Error};

    pub fn wrong(_ctx: &Context, steps: u64) -> u64 {
        (0..steps).map(|_| 1).sum()
    }

    /// One load a step; where even that is too much, a look every hundred steps.
    pub fn mended(ctx: &Context, steps: u64) -> Result<u64, Error> {
        let mut sum = 0;
        for _ in 0..steps {
            ctx.check()?;
            sum += 1;
        }
        Ok(sum)
    }
}

/// A background in the middle cuts off all that is above: its cancel, its deadline, its values.
pub mod fresh_root {
    use ripcord::{Context, Error};

    fn call(ctx: &Context) -> Result<(), Error> {
        ctx.check()
    }

    /// Goes on, though nobody waits for it.
    pub fn wrong(_request: &Context) -> Result<(), Error> {
        call(&Context::background())
    }

    /// Where work is to outlive its request, say so: `without_cancel` keeps the values, and a timeout of its own bounds it.
    pub fn mended(request: &Context) -> Result<(), Error> {
        call(request)
    }
}

/// What a function needs is a parameter. A value is for what goes with the request through those who do not know it.
pub mod hidden_parameter {
    use ripcord::{Context, Key};

    static RETRIES: Key<u32> = Key::new("retries");

    /// Whether it works shows when it runs.
    pub fn wrong(ctx: &Context) -> Result<u32, &'static str> {
        ctx.value(&RETRIES).copied().ok_or("nobody has set it")
    }

    /// Whether it works shows when it is compiled.
    pub fn mended(retries: u32) -> u32 {
        retries
    }
}

/// `_` binds nothing: the guard is dropped there and then, and cancels. No lint sees it, in a pattern.
pub mod lost_guard {
    use ripcord::{Context, Error};
    use std::time::Duration;

    const MINUTE: Duration = Duration::from_secs(60);

    pub fn wrong() -> Option<Error> {
        let (ctx, _) = Context::background().with_timeout(MINUTE);
        ctx.err()
    }

    pub fn mended() -> Option<Error> {
        let (ctx, _guard) = Context::background().with_timeout(MINUTE);
        ctx.err()
    }
}

/// The other way round: a guard that is kept from its drop leaves its context to the parent, for as long as that lives.
pub mod forgotten_guard {
    use ripcord::{CancelGuard, Context};

    /// How many children the server has after three requests.
    fn after_three(serve: impl Fn(&Context)) -> usize {
        let (server, _guard) = Context::background().with_cancel();
        for _ in 0..3 {
            serve(&server);
        }
        server.child_count()
    }

    pub fn wrong() -> usize {
        after_three(|server| {
            let (_request, guard) = server.with_cancel();
            std::mem::forget(guard);
        })
    }

    /// The guard goes with the scope, whichever way that is left. Who hands a request on hands the guard on with it.
    pub fn mended() -> usize {
        after_three(|server| {
            let (request, guard) = server.with_cancel();
            answer(request, guard);
        })
    }

    fn answer(request: Context, _guard: CancelGuard) {
        drop(request);
    }
}

/// A method never changes the context it is called on. That its answer is thrown away is a warning of the compiler's.
pub mod changed_parent {
    use ripcord::{Context, Key};

    static USER: Key<&str> = Key::new("user");

    pub fn wrong() -> Option<&'static str> {
        let ctx = Context::background();
        let _ = ctx.with_value(&USER, "ada"); // and the `_` has silenced it
        ctx.value(&USER).copied()
    }

    pub fn mended() -> Option<&'static str> {
        let ctx = Context::background().with_value(&USER, "ada");
        ctx.value(&USER).copied()
    }
}

/// That a call failed under a context does not say that it failed because of it: the error says, by its type.
pub mod mistaken_error {
    use ripcord::Error;
    use std::io;

    fn call() -> io::Result<()> {
        Err(io::Error::other("disk full"))
    }

    pub fn wrong() -> &'static str {
        match call() {
            Ok(()) => "done",
            Err(_) => "the client has gone",
        }
    }

    pub fn mended() -> String {
        match call() {
            Ok(()) => "done".to_owned(),
            Err(error) => describe(&error),
        }
    }

    /// An `io::Error` that a context made holds an `Error`.
    pub fn describe(error: &io::Error) -> String {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(Error::Canceled) => "the client has gone".to_owned(),
            Some(Error::DeadlineExceeded) => "it took too long".to_owned(),
            _ => format!("it failed: {error}"),
        }
    }
}

/// A day for what takes a millisecond holds its place for a day when it hangs; a nanosecond for a query is none at all.
pub mod absurd_timeout {
    use ripcord::{Context, Error};
    use std::time::Duration;

    /// How long a call may hang that should take a millisecond.
    pub fn wrong() -> Duration {
        let (ctx, _guard) = Context::background().with_timeout(Duration::from_secs(86_400));
        ctx.remaining().unwrap_or(Duration::MAX)
    }

    /// A part of what the caller has left, and not more than such a call is worth; the caller's deadline holds anyway.
    pub fn mended() -> Result<Duration, Error> {
        let (request, _guard) = Context::background().with_timeout(Duration::from_secs(10));
        let fair = request.remaining().map_or(Duration::MAX, |left| left / 4);
        let (call, _call_guard) = request.with_timeout(fair.min(Duration::from_secs(1)));
        call.check()?;
        Ok(call.remaining().unwrap_or(Duration::MAX))
    }
}

/// A thread that sleeps by itself is not woken; one that waits under its context is.
pub mod deaf_sleep {
    use ripcord::{Context, Error};
    use std::thread;
    use std::time::Duration;

    /// Had it been an hour, it would be an hour.
    pub fn wrong(_ctx: &Context) -> Result<(), Error> {
        thread::sleep(Duration::from_millis(10));
        Ok(())
    }

    pub fn mended(ctx: &Context) -> Result<(), Error> {
        ctx.blocking_sleep(Duration::from_secs(3_600))
    }
}
