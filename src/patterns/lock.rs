//! The short lock of the patterns: around a map or a handful of fields, never around code of the caller's.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is behind it is changed by whole operations, so one that panicked (the allocator, say) left it as it should be.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
