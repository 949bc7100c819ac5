//! Contexts beside tokens, streams, spans and OpenTelemetry's context, each the real one.

mod ch14_tracing;
mod opentelemetry;
mod streams;
mod tokens;
mod tracing;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

/// Far more than anything here takes; whoever waits this long has hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// A value that says when it is dropped.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicUsize>);

struct Counted(Drops);

impl Drops {
    fn new_one(&self) -> Counted {
        Counted(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::<Self>::default();
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn every_type_goes_to_any_thread_and_through_any_panic() {
    use std::panic::{RefUnwindSafe, UnwindSafe};
    fn goes_anywhere<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
    type Stream = futures_util::stream::Empty<Result<u8, ripcord::Error>>;
    goes_anywhere::<ripcord::tokio::FollowGuard>();
    goes_anywhere::<ripcord::tokio::TokenGuard>();
    goes_anywhere::<ripcord::tokio::TokenCanceled>();
    goes_anywhere::<ripcord::opentelemetry::SpanGuard>();
    goes_anywhere::<ripcord::futures::Under<Stream>>();
    goes_anywhere::<ripcord::futures::TryUnder<Stream>>();
    goes_anywhere::<ripcord::futures::TakeUntilDone<Stream>>();
    goes_anywhere::<ripcord::futures::TryRun<std::future::Ready<()>>>();
}

/// Runs a test's future to its end.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime can be started").block_on(future)
}
