//! The directory of callers within one environment: the accounts table behind a bounded in-process cache.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use super::Caller;
use super::table::{AccountsTable, TableError};
use crate::clock::Timestamp;

/// How long a caller is taken from the cache without asking the table.
pub const FRESH: Duration = Duration::from_secs(60);
/// How long a caller is taken from the cache while the table cannot be read.
pub const KEPT_WHEN_DOWN: Duration = Duration::from_secs(15 * 60);
/// How long an unknown id is remembered as unknown.
pub const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// How long after a failed read callers from the cache are served without trying the table again.
pub const SPARED_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How many callers, and how many unknown ids, one environment remembers; the least recently used go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The accounts table cannot be read and the caller was not seen here before.
#[derive(Debug, thiserror::Error)]
#[error("the accounts table cannot be read: {0}")]
pub struct Unreachable(#[from] TableError);

/// Finds callers by key id.
pub struct Directory {
    table: AccountsTable,
    known: Mutex<LruCache<String, Seen<Arc<Caller>>>>,
    // Apart from the known, so that a flood of made-up ids cannot push out the callers that an outage would need.
    unknown: Mutex<LruCache<String, Seen<()>>>,
    failed_at: Mutex<Option<Timestamp>>,
}

struct Seen<T> {
    value: T,
    at: Timestamp,
}

impl Directory {
    /// A directory over the given table, remembering nothing yet.
    pub fn new(table: AccountsTable) -> Self {
        Self {
            table,
            known: Mutex::new(LruCache::new(CAPACITY)),
            unknown: Mutex::new(LruCache::new(CAPACITY)),
            failed_at: Mutex::new(None),
        }
    }

    /// The caller with the given key id; `None` where there is none.
    ///
    /// # Errors
    /// [`Unreachable`] when the table cannot be read and the caller was last read more than [`KEPT_WHEN_DOWN`] ago.
    pub async fn find(&self, key_id: &str, now: Timestamp) -> Result<Option<Arc<Caller>>, Unreachable> {
        let at_most = if self.failed_lately(now) { KEPT_WHEN_DOWN } else { FRESH };
        if let Some(caller) = self.remembered(key_id, now, at_most) {
            return Ok(Some(caller));
        }
        if self.remembered_as_unknown(key_id, now) {
            return Ok(None);
        }
        match self.table.caller(key_id).await {
            Ok(Some(caller)) => {
                let caller = Arc::new(caller);
                lock(&self.known).put(key_id.to_owned(), Seen { value: caller.clone(), at: now });
                Ok(Some(caller))
            }
            Ok(None) => {
                lock(&self.known).pop(key_id);
                lock(&self.unknown).put(key_id.to_owned(), Seen { value: (), at: now });
                Ok(None)
            }
            Err(error) => {
                *lock(&self.failed_at) = Some(now);
                match self.remembered(key_id, now, KEPT_WHEN_DOWN) {
                    Some(caller) => {
                        tracing::warn!(code = "accounts.stale", key.id = key_id, %error, "served from the cache");
                        Ok(Some(caller))
                    }
                    None => Err(Unreachable(error)),
                }
            }
        }
    }

    fn remembered(&self, key_id: &str, now: Timestamp, at_most: Duration) -> Option<Arc<Caller>> {
        let mut known = lock(&self.known);
        let seen = known.get(key_id)?;
        (now < seen.at.plus(at_most)).then(|| seen.value.clone())
    }

    fn failed_lately(&self, now: Timestamp) -> bool {
        lock(&self.failed_at).is_some_and(|failed_at| now < failed_at.plus(SPARED_AFTER_FAILURE))
    }

    fn remembered_as_unknown(&self, key_id: &str, now: Timestamp) -> bool {
        lock(&self.unknown).get(key_id).is_some_and(|seen| now < seen.at.plus(UNKNOWN_FOR))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
