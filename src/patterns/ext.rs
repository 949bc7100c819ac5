//! Common things that a request carries, as values: how urgent it is, what it did, how often it may still try.
//!
//! Each is attached to a context and found again from any that was derived from it, however far down: by
//! [`with_cancel`](crate::Context::with_cancel), a deadline, [`merge`](crate::Context::merge), or
//! [`without_cancel`](crate::Context::without_cancel).
//!
//! ```
//! use ripcord::Context;
//! use ripcord::ext::{Metrics, Priority, Retry};
//! use std::time::Duration;
//!
//! let request = Priority::HIGH.attach(&Context::background());
//! let request = Metrics::attach(&request);
//! let request = Retry::new(3).attach(&request);
//!
//! let (query, _guard) = request.with_timeout(Duration::from_secs(1)); // a layer down
//! assert_eq!(Priority::of(&query), Priority::HIGH);
//! let rows = Metrics::observe(&query, "query", || Ok::<_, std::io::Error>(7));
//! assert_eq!(rows.unwrap(), 7);
//! assert_eq!(Retry::of(&query).unwrap().left(), 3);
//!
//! let seen = Metrics::of(&request).unwrap().snapshot();
//! assert_eq!(seen.operations["query"].count, 1);
//! ```

mod metrics;
mod priority;
mod retry;

pub use metrics::{Metrics, MetricsSnapshot, Operation};
pub use priority::Priority;
pub use retry::{Retry, RetryRefused};
