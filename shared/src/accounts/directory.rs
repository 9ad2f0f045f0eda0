//! The directory of keys and their owners within one environment: the accounts table behind bounded in-process caches.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;

use super::records::{KeyRecord, Owner};
use super::table::{AccountsTable, TableError};
use crate::clock::Timestamp;
use crate::sync::lock;

/// How long a record is taken from the cache without asking the table.
pub const FRESH: Duration = Duration::from_secs(60);
/// How long a record is taken from the cache while the table cannot be read.
pub const KEPT_WHEN_DOWN: Duration = Duration::from_secs(15 * 60);
/// How long an unknown id is remembered as unknown.
pub const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// How long after a failed read records from the cache are served without trying the table again.
pub const SPARED_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How many records of each kind one environment remembers; the least recently used go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The accounts table cannot be read and the record was not seen here before.
#[derive(Debug, thiserror::Error)]
#[error("the accounts table cannot be read: {0}")]
pub struct Unreachable(#[from] TableError);

/// Finds keys and their owners.
pub struct Directory {
    table: AccountsTable,
    timeout: Duration,
    keys: Remembered<Arc<KeyRecord>>,
    owners: Remembered<Arc<Owner>>,
    // Apart from the known, so that a flood of made-up ids cannot push out the keys that an outage would need.
    unknown: Remembered<()>,
    failed_at: Mutex<Option<Timestamp>>,
}

impl Directory {
    /// A directory over the given table, remembering nothing yet. No read takes longer than `timeout`.
    pub fn new(table: AccountsTable, timeout: Duration) -> Self {
        Self {
            table,
            timeout,
            keys: Remembered::new(),
            owners: Remembered::new(),
            unknown: Remembered::new(),
            failed_at: Mutex::new(None),
        }
    }

    /// The key with the given id; `None` where there is none.
    ///
    /// # Errors
    /// [`Unreachable`] when the table cannot be read and the key was last read more than [`KEPT_WHEN_DOWN`] ago.
    pub async fn key(&self, id: &str, now: Timestamp) -> Result<Option<Arc<KeyRecord>>, Unreachable> {
        if self.unknown.get(id, now, UNKNOWN_FOR).is_some() {
            return Ok(None);
        }
        let key = self.read_through(&self.keys, id, now, self.table.key(id)).await?;
        if key.is_none() {
            self.unknown.put(id, (), now);
        }
        Ok(key)
    }

    /// The account and the integration that `key` belongs to; `None` where either is missing.
    ///
    /// # Errors
    /// [`Unreachable`] as for [`Directory::key`].
    pub async fn owner(&self, key: &KeyRecord, now: Timestamp) -> Result<Option<Arc<Owner>>, Unreachable> {
        let KeyRecord { account, integration, .. } = key;
        let id = format!("{account}/{integration}");
        self.read_through(&self.owners, &id, now, self.table.owner(account, integration)).await
    }

    /// Connects to the table ahead of the first call. Failing is no harm: the first call tries again.
    pub async fn warm_up(&self) {
        if let Err(error) = tokio::time::timeout(WARM_UP_TIMEOUT, self.table.key("")).await.unwrap_or(Ok(None)) {
            tracing::warn!(code = "accounts.cold", %error, "the accounts table could not be read while starting");
        }
    }

    async fn read_through<T>(
        &self,
        cache: &Remembered<Arc<T>>,
        id: &str,
        now: Timestamp,
        read: impl Future<Output = Result<Option<T>, TableError>>,
    ) -> Result<Option<Arc<T>>, Unreachable> {
        let at_most = if self.failed_lately(now) { KEPT_WHEN_DOWN } else { FRESH };
        if let Some(value) = cache.get(id, now, at_most) {
            return Ok(Some(value));
        }
        let timed_out = || TableError::DynamoDb(format!("no answer within {:?}", self.timeout));
        let result = tokio::time::timeout(self.timeout, read).await.unwrap_or_else(|_| Err(timed_out()));
        match result {
            Ok(found) => {
                *lock(&self.failed_at) = None;
                let found = found.map(Arc::new);
                match &found {
                    Some(value) => cache.put(id, value.clone(), now),
                    None => cache.forget(id),
                }
                Ok(found)
            }
            Err(error) => {
                // One malformed item says nothing about the table; without an answer, spare the others the wait.
                if matches!(error, TableError::DynamoDb(_)) {
                    *lock(&self.failed_at) = Some(now);
                }
                match cache.get(id, now, KEPT_WHEN_DOWN) {
                    Some(value) => {
                        tracing::warn!(code = "accounts.stale", %error, "an account is served from the cache");
                        Ok(Some(value))
                    }
                    None => Err(Unreachable(error)),
                }
            }
        }
    }

    fn failed_lately(&self, now: Timestamp) -> bool {
        lock(&self.failed_at).is_some_and(|failed_at| now < failed_at.plus(SPARED_AFTER_FAILURE))
    }
}

/// How long connecting may take while a function starts.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// Values by id with the moment at which they were read.
struct Remembered<T>(Mutex<LruCache<String, (T, Timestamp)>>);

impl<T: Clone> Remembered<T> {
    fn new() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }

    /// The value, unless it was read longer ago than `at_most`.
    fn get(&self, id: &str, now: Timestamp, at_most: Duration) -> Option<T> {
        let mut values = lock(&self.0);
        let (value, read_at) = values.get(id)?;
        (now < read_at.plus(at_most)).then(|| value.clone())
    }

    fn put(&self, id: &str, value: T, now: Timestamp) {
        lock(&self.0).put(id.to_owned(), (value, now));
    }

    fn forget(&self, id: &str) {
        lock(&self.0).pop(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::dynamodb::stub::{Stub, TIMEOUT};

    const KEY: (u16, &str) = (
        200,
        r#"{"Item":{"pk":{"S":"KEY#k"},"sk":{"S":"KEY"},"id":{"S":"k"},"account":{"S":"acme"},"integration":{"S":"crm"},
        "name":{"S":"n"},"hash":{"S":"h"},"pepper":{"N":"1"},"scopes":{"L":[{"S":"ai"}]},"status":{"S":"active"}}}"#,
    );
    const NO_ITEM: (u16, &str) = (200, "{}");
    const BAD_ITEM: (u16, &str) = (200, r#"{"Item":{"pk":{"S":"KEY#bad"},"sk":{"S":"KEY"}}}"#);
    const DOWN: (u16, &str) = (500, r#"{"__type":"InternalServerError","message":"down"}"#);
    const START: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn directory(stub: &Stub) -> Directory {
        Directory::new(AccountsTable::new(stub.client.clone(), "accounts"), TIMEOUT)
    }

    fn after(secs: u64) -> Timestamp {
        START.plus(Duration::from_secs(secs))
    }

    #[tokio::test]
    async fn a_key_is_read_once_a_minute() {
        let stub = Stub::start(&[KEY]).await;
        let directory = directory(&stub);
        for (secs, reads) in [(0, 1), (59, 1), (60, 2), (61, 2)] {
            assert!(directory.key("k", after(secs)).await.unwrap().is_some());
            assert_eq!(stub.answered(), reads, "after {secs} s");
        }
    }

    #[tokio::test]
    async fn an_unknown_id_is_remembered_for_ten_seconds() {
        let stub = Stub::start(&[NO_ITEM, NO_ITEM, KEY]).await;
        let directory = directory(&stub);
        for (secs, known, reads) in [(0, false, 1), (9, false, 1), (10, false, 2), (20, true, 3)] {
            assert_eq!(directory.key("k", after(secs)).await.unwrap().is_some(), known, "after {secs} s");
            assert_eq!(stub.answered(), reads, "after {secs} s");
        }
    }

    #[tokio::test]
    async fn while_the_table_is_down_a_known_key_works_for_fifteen_minutes() {
        let stub = Stub::start(&[KEY, DOWN]).await;
        let directory = directory(&stub);
        for (secs, works) in [(0, true), (60, true), (899, true), (900, false)] {
            assert_eq!(directory.key("k", after(secs)).await.is_ok(), works, "after {secs} s");
        }
        assert!(directory.key("other", after(901)).await.is_err());
    }

    #[tokio::test]
    async fn after_a_failure_known_keys_do_not_wait_for_the_table() {
        let stub = Stub::start(&[KEY, DOWN]).await;
        let directory = directory(&stub);
        directory.key("k", START).await.unwrap();
        directory.key("k", after(60)).await.unwrap();
        let asked = stub.answered();
        directory.key("k", after(64)).await.unwrap();
        assert_eq!(stub.answered(), asked);
        directory.key("k", after(65)).await.unwrap();
        assert!(stub.answered() > asked);
    }

    #[tokio::test]
    async fn one_malformed_item_stops_no_other_from_being_read_anew() {
        let stub = Stub::start(&[KEY, BAD_ITEM, KEY]).await;
        let directory = directory(&stub);
        directory.key("k", START).await.unwrap();
        assert!(directory.key("bad", after(60)).await.is_err());
        directory.key("k", after(61)).await.unwrap();
        assert_eq!(stub.answered(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_time_out_for_a_table_that_says_nothing() {
        let stub = Stub::start(&[]).await;
        let began = tokio::time::Instant::now();
        assert!(directory(&stub).key("k", START).await.is_err());
        assert!(began.elapsed() <= TIMEOUT, "{:?}", began.elapsed());
    }
}
