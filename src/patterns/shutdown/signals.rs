//! SIGINT and SIGTERM begin the phases of a shutdown: by signal-hook.
//!
//! Threads take turns at waiting for a signal, and each sees to the one it gets: whoever is told of a phase may block the thread
//! that tells, and the next signal gets through to another.

use super::{Shutdown, ShutdownCause};
use crate::patterns::lock::lock;
use crate::sync::spawn;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

/// One for each phase, and the one that ends the process.
const SIGNALS: usize = 3;

/// Keeps SIGINT and SIGTERM for a [`Shutdown`]. From [`Shutdown::on_signals`].
///
/// Dropping it ends its threads and leaves the signals without effect: what they did before is not put back.
#[must_use = "dropping it leaves the signals without effect; keep it as long as the program runs"]
pub struct SignalWatch {
    handle: Handle,
    shutdown: Shutdown,
}

impl Shutdown {
    /// From now on the first SIGINT (Ctrl-C) or SIGTERM begins the soft phase, the second the hard one, each with
    /// [`ShutdownCause::Signal`] as cause; the third does what it does by itself, and ends the process.
    ///
    /// A signal that finds a phase begun by other means counts for the next. Each is seen to on a thread of its own, so none waits
    /// for those whom the one before has told. Feature `signals`. Starts these three threads, for which it may block; the
    /// handlers themselves are signal-hook's, and take no lock.
    ///
    /// # Errors
    ///
    /// A thread cannot be started, and the signals do what they did; a handler cannot be installed; or there is a watch on this shutdown
    /// already, with which each signal would count twice: [`ErrorKind::AlreadyExists`].
    ///
    /// ```standalone_crate
    /// use ripcord::{Context, Shutdown, ShutdownCause};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let shutdown = Shutdown::builder().build(&Context::background());
    /// let _signals = shutdown.on_signals()?;
    /// # signal_hook::low_level::raise(signal_hook::consts::SIGTERM)?; // in place of `kill`
    /// let report = shutdown.wait(); // until somebody says `kill`, or Ctrl-C
    /// assert_eq!(report.cause.downcast_ref(), Some(&ShutdownCause::Signal(15)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_signals(&self) -> io::Result<SignalWatch> {
        // Without a handler yet: one that is installed leaves its signal without effect, also where it is taken back.
        let signals = Signals::new([0; 0])?;
        if !self.inner.begin_watch() {
            let error = "this shutdown has its signals already: keep the first SignalWatch";
            return Err(io::Error::new(ErrorKind::AlreadyExists, error));
        }
        let watch = SignalWatch {
            handle: signals.handle(),
            shutdown: self.clone(),
        };
        let signals = Arc::new(Mutex::new(signals));
        for _ in 0..SIGNALS {
            let (signals, shutdown) = (Arc::clone(&signals), self.clone());
            spawn("ripcord-signals", move || {
                let next = lock(&signals).forever().next();
                if let Some(signal) = next {
                    shutdown.on_signal(signal);
                }
            })?;
        }
        for signal in [SIGINT, SIGTERM] {
            watch.handle.add_signal(signal)?;
        }
        Ok(watch)
    }

    fn on_signal(&self, signal: i32) {
        let cause = ShutdownCause::Signal(signal);
        if !self.stop_with(cause) && !self.stop_now_with(cause) {
            // It returns only where there is no such default.
            let _ = emulate_default_handler(signal);
        }
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        self.shutdown.inner.end_watch();
    }
}

impl fmt::Debug for SignalWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalWatch").finish_non_exhaustive()
    }
}
