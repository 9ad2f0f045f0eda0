//! Directory of keys and their owners within one environment: the accounts table behind bounded in-process caches.
//!
//! A cached record is used for [`FRESH`], or until a marker names a newer version ([`Directory::outdated`]). While
//! the table cannot be read, it is used for [`KEPT_WHEN_DOWN`]. Start reading at [`Directory::key`].

mod platform_cache;
mod record_cache;
mod required_versions;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::platform_cache::PlatformCache;
use self::record_cache::{RecordCache, Versioned, is_within, without};
use self::required_versions::RequiredVersions;
use super::records::{KeyRecord, Owner};
use super::table::{AccountsTable, AccountsTableError};
use crate::clock::Timestamp;
use crate::limits::versions::{RecordId, Version};
use crate::sync::lock;

/// Time for which a cached record is used without reading the table.
pub const FRESH: Duration = Duration::from_secs(60);
/// Time for which a cached record is used while the table cannot be read.
pub const KEPT_WHEN_DOWN: Duration = Duration::from_secs(15 * 60);
/// Time for which an unknown id is remembered as unknown.
pub const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Time after a failed read for which cached records are served without reading the table again.
pub const SPARED_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Deadline for connecting while a function starts.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// Error for a record that is not cached while the accounts table cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the accounts table cannot be read: {0}")]
pub struct Unreachable(#[from] AccountsTableError);

/// Cache of keys, their owners and platform-wide settings in front of the accounts table.
pub struct Directory {
    table: AccountsTable,
    timeout: Duration,
    keys: RecordCache<Arc<KeyRecord>>,
    owners: RecordCache<Arc<Owner>>,
    // Separate from the known keys, so that a flood of made-up ids cannot evict keys that are needed in an outage.
    unknown: RecordCache<()>,
    /// Keys that were presented with a wrong secret.
    refuted: RecordCache<()>,
    everyone: PlatformCache,
    needs: RequiredVersions,
    failed_at: Mutex<Option<Timestamp>>,
}

impl Directory {
    /// Creates an empty directory over the given table. No read takes longer than `timeout`.
    pub fn new(table: AccountsTable, timeout: Duration) -> Self {
        Self {
            table,
            timeout,
            keys: RecordCache::new(),
            owners: RecordCache::new(),
            unknown: RecordCache::new(),
            refuted: RecordCache::new(),
            everyone: PlatformCache::default(),
            needs: RequiredVersions::new(),
            failed_at: Mutex::new(None),
        }
    }

    /// Returns the key with the given id; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Unreachable`] if the table cannot be read and the key was last read more than [`KEPT_WHEN_DOWN`] ago.
    pub async fn key(&self, id: &str, now: Timestamp) -> Result<Option<Arc<KeyRecord>>, Unreachable> {
        let of = [RecordId::Key(id.to_owned())];
        // For a key that is not cached, markers are the only source of a version.
        let lacking = || self.needs.open(&of, |_| 0);
        if self.unknown.get(id, now, UNKNOWN_FOR).is_some() && lacking().is_empty() {
            return Ok(None);
        }
        // Read it, or take it from the cache.
        match self.read_through(&self.keys, (id, &of), now, self.table.key(id)).await {
            Ok(None) => {
                self.unknown.put(id, (), now);
                Ok(None)
            }
            Err(_) if lacking().iter().any(|version| version.is_stopped) => Ok(None),
            key => key,
        }
    }

    /// Records that the key `id` was presented with a wrong secret at `now`. Reads the key from the table, unless
    /// this request has read it or such an attempt was recorded within [`UNKNOWN_FOR`]. So a wrong secret costs as
    /// many reads as an unknown id, and the response time does not reveal which ids exist.
    pub async fn refute(&self, id: &str, now: Timestamp) {
        if self.refuted.get(id, now, UNKNOWN_FOR).is_some() {
            return;
        }
        self.refuted.put(id, (), now);
        if !self.keys.was_read_at(id, now) {
            let _ = tokio::time::timeout(self.timeout, self.table.key(id)).await; // only its time matters
        }
    }

    /// Returns the account and the integration that `key` belongs to; `None` if either is missing.
    ///
    /// # Errors
    /// [`Unreachable`] as for [`Directory::key`].
    pub async fn owner(&self, key: &KeyRecord, now: Timestamp) -> Result<Option<Arc<Owner>>, Unreachable> {
        let KeyRecord { account, integration, .. } = key;
        let id = format!("{account}/{integration}");
        let of = [
            RecordId::Account(account.clone()),
            RecordId::Integration(account.clone(), integration.clone()),
            RecordId::Grants(account.clone()),
        ];
        self.read_through(&self.owners, (&id, &of), now, self.table.owner(account, integration)).await
    }

    /// Records that a marker names a newer version of a record. The cached record is then read again before its next
    /// use. If the table cannot be read, the record counts as stopped if the newer version stops it, and is otherwise
    /// used as cached.
    pub fn outdated(&self, version: &Version) {
        self.needs.note(version);
    }

    /// Raises `known` to the newest version that no read has to be made for: the version that a marker named before
    /// the record was last read, and those in `told`, which markers named during this request. Otherwise, a record
    /// that was deleted or restored, or that cannot be read at present, would stay stale for ever.
    pub fn acknowledge(&self, known: &mut Version, told: &[Version]) {
        let told = told.iter().filter(|version| version.of == known.of).map(|version| version.version).max();
        let answered = self.needs.answered(&known.of);
        known.version = known.version.max(told.unwrap_or(0)).max(answered.unwrap_or(0));
    }

    /// Connects to the table ahead of the first call, and reads the platform-wide settings. A failure is logged and
    /// has no other effect, because the first call tries again.
    pub async fn warm_up(&self, now: Timestamp) {
        let connect = tokio::time::timeout(WARM_UP_TIMEOUT, self.table.key(""));
        let (connected, read) = tokio::join!(connect, self.read_platform(WARM_UP_TIMEOUT, now));
        if let Err(error) = connected.unwrap_or(Ok(None)).and(read.map(drop)) {
            tracing::warn!(code = "accounts.cold", %error, "the accounts table could not be read while starting");
        }
    }

    /// Returns the value with the given id, built from the records `of`, from the cache or by `read`.
    async fn read_through<T: Versioned>(
        &self,
        cache: &RecordCache<Arc<T>>,
        (id, of): (&str, &[RecordId]),
        now: Timestamp,
        read: impl Future<Output = Result<Option<T>, AccountsTableError>>,
    ) -> Result<Option<Arc<T>>, Unreachable> {
        // Serve from the cache if the value is fresh and no marker names a newer version, or the table failed lately.
        let lacking = |value: &T| self.needs.open(of, |of| value.version(of));
        let failed_lately = self.failed_lately(now);
        if let Some(value) = cache.get(id, now, if failed_lately { KEPT_WHEN_DOWN } else { FRESH }) {
            let lacking = lacking(&value);
            if lacking.is_empty() || failed_lately {
                return Ok(Some(without(value, &lacking)));
            }
        }
        // Read the table, and note the versions needed before the read began.
        let noted = self.needs.noted(of);
        let timed_out = || AccountsTableError::Unanswered(format!("no answer within {:?}", self.timeout));
        let result = tokio::time::timeout(self.timeout, read).await.unwrap_or_else(|_| Err(timed_out()));
        match result {
            Ok(found) => {
                *lock(&self.failed_at) = None;
                self.needs.answer(of, &noted);
                let found = found.map(Arc::new);
                match &found {
                    // A value older than a version written meanwhile must not replace that version in the cache.
                    Some(value) if lacking(value).is_empty() => cache.put(id, value.clone(), now),
                    Some(_) => {}
                    None => cache.forget(id),
                }
                Ok(found)
            }
            Err(error) => {
                // A malformed item does not mean that the table is down. After other errors, spare later requests the
                // wait.
                if matches!(error, AccountsTableError::DynamoDb(_) | AccountsTableError::Unanswered(_)) {
                    *lock(&self.failed_at) = Some(now);
                }
                match cache.get(id, now, KEPT_WHEN_DOWN) {
                    Some(value) => {
                        tracing::warn!(code = "accounts.stale", %error, "an account is served from the cache");
                        let lacking = lacking(&value);
                        Ok(Some(without(value, &lacking)))
                    }
                    None => Err(Unreachable(error)),
                }
            }
        }
    }

    fn failed_lately(&self, now: Timestamp) -> bool {
        lock(&self.failed_at).is_some_and(|failed_at| is_within(failed_at, SPARED_AFTER_FAILURE, now))
    }
}
