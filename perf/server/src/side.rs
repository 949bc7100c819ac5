//! Who carries cancellation, deadline and values.

use clap::ValueEnum;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Side {
    /// A context a request.
    Ripcord,
    /// A `CancellationToken` a request, `tokio::time::timeout`, and the values beside them.
    Tokio,
    /// The values alone: nothing is cancelled, nothing has a deadline.
    Neither,
}

impl Side {
    pub const ALL: [Self; 3] = [Self::Ripcord, Self::Tokio, Self::Neither];

    /// As `server --with` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ripcord => "ripcord",
            Self::Tokio => "tokio",
            Self::Neither => "neither",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
