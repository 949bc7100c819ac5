//! A thread that is stopped in a window, and calls that have to come back meanwhile.

use crate::tuning::{Stop, Stopped};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What has not come by then never will.
pub(crate) const HANG: Duration = Duration::from_secs(60);

impl Stopped {
    /// Returns when the thread is there.
    #[track_caller]
    pub(crate) fn wait(&self) {
        match self.reached.recv_timeout(HANG) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => panic!("the thread never came to its window"),
            Err(RecvTimeoutError::Timeout) => panic!("the thread hangs before its window"),
        }
    }
}

/// A thread of a test's that is stopped. Dropped, it goes on.
pub(crate) struct Victim<T> {
    thread: JoinHandle<T>,
    stopped: Stopped,
}

impl<T: Send + 'static> Victim<T> {
    /// Has a new thread do `work`, and returns when it has come to that window and is stopped there.
    #[track_caller]
    pub(crate) fn stopped_at(
        window: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Self {
        let (stop, stopped) = Stop::at(window);
        let thread = thread::spawn(move || {
            stop.arm();
            work()
        });
        stopped.wait();
        Self { thread, stopped }
    }

    /// Lets it go on, to its end.
    #[track_caller]
    pub(crate) fn resume(self) -> T {
        assert!(!self.thread.is_finished(), "it was stopped all the time");
        self.stopped.go.send(()).expect("it is stopped");
        self.thread.join().expect("it only works")
    }
}

/// Has another thread make a call, which is to come back although somebody is stopped.
#[track_caller]
pub(crate) fn returns<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (answer, answered) = channel();
    thread::spawn(move || answer.send(call()));
    match answered.recv_timeout(HANG) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => panic!("it waits for the thread that is stopped"),
        Err(RecvTimeoutError::Disconnected) => panic!("it panicked"),
    }
}
