//! SIGINT and SIGTERM begin the phases of a shutdown: by signal-hook, on a thread that does nothing else.

use super::{Shutdown, ShutdownCause};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use std::fmt;
use std::io;
use std::thread;

/// Keeps SIGINT and SIGTERM for a [`Shutdown`]. From [`Shutdown::on_signals`].
///
/// Dropping it ends its thread and leaves the signals without effect: what they did before is not put back.
#[must_use = "dropping it leaves the signals without effect; keep it as long as the program runs"]
pub struct SignalWatch {
    handle: Handle,
}

impl Shutdown {
    /// From now on the first SIGINT (Ctrl-C) or SIGTERM begins the soft phase, the second the hard one, each with
    /// [`ShutdownCause::Signal`] as cause; the third does what it does by itself, and ends the process.
    ///
    /// A signal that finds a phase begun by other means counts for the next. Feature `signals`. Starts a thread, for
    /// which it may block; the handlers themselves are signal-hook's, and take no lock.
    ///
    /// # Errors
    ///
    /// A handler cannot be installed, or the thread cannot be started.
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
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let handle = signals.handle();
        let shutdown = self.clone();
        let watch = move || {
            for signal in signals.forever() {
                let cause = ShutdownCause::Signal(signal);
                if !shutdown.stop_with(cause) && !shutdown.stop_now_with(cause) {
                    // It returns only where there is no such default.
                    let _ = emulate_default_handler(signal);
                }
            }
        };
        thread::Builder::new()
            .name("ripcord-signals".to_owned())
            .spawn(watch)?;
        Ok(SignalWatch { handle })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
    }
}

impl fmt::Debug for SignalWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalWatch").finish_non_exhaustive()
    }
}
