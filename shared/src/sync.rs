//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. The data stays usable after a holder has panicked: a panic fails one request, not the environment.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
