//! The directory of keys and their owners within one environment: the accounts table behind bounded in-process caches.
//!
//! What is remembered is used for a minute, or until a marker says that it is out of date ([`Directory::outdated`]).

mod everyone;
mod needs;
mod remembered;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::everyone::Everyone;
use self::needs::Needs;
use self::remembered::{Remembered, Versioned, is_within, without};
use super::records::{KeyRecord, Owner};
use super::table::{AccountsTable, TableError};
use crate::clock::Timestamp;
use crate::limits::markers::{Marked, Version};
use crate::sync::lock;

/// How long a record is taken from the cache without asking the table.
pub const FRESH: Duration = Duration::from_secs(60);
/// How long a record is taken from the cache while the table cannot be read.
pub const KEPT_WHEN_DOWN: Duration = Duration::from_secs(15 * 60);
/// How long an unknown id is remembered as unknown.
pub const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// How long after a failed read records from the cache are served without trying the table again.
pub const SPARED_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long connecting may take while a function starts.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// Keys that were tried with a wrong secret.
    refuted: Remembered<()>,
    everyone: Everyone,
    needs: Needs,
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
            refuted: Remembered::new(),
            everyone: Everyone::default(),
            needs: Needs::new(),
            failed_at: Mutex::new(None),
        }
    }

    /// The key with the given id; `None` where there is none.
    ///
    /// # Errors
    /// [`Unreachable`] when the table cannot be read and the key was last read more than [`KEPT_WHEN_DOWN`] ago.
    pub async fn key(&self, id: &str, now: Timestamp) -> Result<Option<Arc<KeyRecord>>, Unreachable> {
        let of = [Marked::Key(id.to_owned())];
        // Of what is not remembered nothing is known but what a marker said.
        let lacking = || self.needs.open(&of, |_| 0);
        if self.unknown.get(id, now, UNKNOWN_FOR).is_some() && lacking().is_empty() {
            return Ok(None);
        }
        match self.read_through(&self.keys, (id, &of), now, self.table.key(id)).await {
            Ok(None) => {
                self.unknown.put(id, (), now);
                Ok(None)
            }
            Err(_) if lacking().iter().any(|version| version.is_stopped) => Ok(None),
            key => key,
        }
    }

    /// Notes that the key `id` was tried with a wrong secret at `now`, and reads it from the table unless that was done for
    /// this request or for such an attempt within [`UNKNOWN_FOR`]. So a wrong secret costs as many reads as an id that does
    /// not exist, and the time that it takes does not tell which ids exist.
    pub async fn refute(&self, id: &str, now: Timestamp) {
        if self.refuted.get(id, now, UNKNOWN_FOR).is_some() {
            return;
        }
        self.refuted.put(id, (), now);
        if !self.keys.was_read_at(id, now) {
            let _ = tokio::time::timeout(self.timeout, self.table.key(id)).await; // only its time matters
        }
    }

    /// The account and the integration that `key` belongs to; `None` where either is missing.
    ///
    /// # Errors
    /// [`Unreachable`] as for [`Directory::key`].
    pub async fn owner(&self, key: &KeyRecord, now: Timestamp) -> Result<Option<Arc<Owner>>, Unreachable> {
        let KeyRecord { account, integration, .. } = key;
        let id = format!("{account}/{integration}");
        let of = [Marked::Account(account.clone()), Marked::Integration(account.clone(), integration.clone())];
        self.read_through(&self.owners, (&id, &of), now, self.table.owner(account, integration)).await
    }

    /// A marker says that there is a newer version of something: what is remembered is not used before the table was read
    /// again. Where it cannot be read and the newer version stops it, it counts as stopped; otherwise what is remembered is
    /// used as ever.
    pub fn outdated(&self, version: &Version) {
        self.needs.note(version);
    }

    /// Raises `known` to the version that nothing newer is to be found for: what a marker named when the record was read
    /// last, and what is in `told`, which markers said about this very request. A record that was deleted and restored, or
    /// that cannot be read now, would otherwise be out of date for ever.
    pub fn acknowledge(&self, known: &mut Version, told: &[Version]) {
        let told = told.iter().filter(|version| version.of == known.of).map(|version| version.version).max();
        let answered = self.needs.answered(&known.of);
        known.version = known.version.max(told.unwrap_or(0)).max(answered.unwrap_or(0));
    }

    /// Connects to the table ahead of the first call, and reads what holds for everyone. Failing is no harm: the first
    /// call tries again.
    pub async fn warm_up(&self, now: Timestamp) {
        let connect = tokio::time::timeout(WARM_UP_TIMEOUT, self.table.key(""));
        let (connected, read) = tokio::join!(connect, self.read_platform(WARM_UP_TIMEOUT, now));
        if let Err(error) = connected.unwrap_or(Ok(None)).and(read.map(drop)) {
            tracing::warn!(code = "accounts.cold", %error, "the accounts table could not be read while starting");
        }
    }

    /// The value with the given id, which is made of the records `of`.
    async fn read_through<T: Versioned>(
        &self,
        cache: &Remembered<Arc<T>>,
        (id, of): (&str, &[Marked]),
        now: Timestamp,
        read: impl Future<Output = Result<Option<T>, TableError>>,
    ) -> Result<Option<Arc<T>>, Unreachable> {
        let lacking = |value: &T| self.needs.open(of, |of| value.version(of));
        let failed_lately = self.failed_lately(now);
        if let Some(value) = cache.get(id, now, if failed_lately { KEPT_WHEN_DOWN } else { FRESH }) {
            let lacking = lacking(&value);
            if lacking.is_empty() || failed_lately {
                return Ok(Some(without(value, &lacking)));
            }
        }
        let noted = self.needs.noted(of);
        let timed_out = || TableError::Unanswered(format!("no answer within {:?}", self.timeout));
        let result = tokio::time::timeout(self.timeout, read).await.unwrap_or_else(|_| Err(timed_out()));
        match result {
            Ok(found) => {
                *lock(&self.failed_at) = None;
                self.needs.answer(of, &noted);
                let found = found.map(Arc::new);
                match &found {
                    // What was read before a newer version was written must not take that one's place.
                    Some(value) if lacking(value).is_empty() => cache.put(id, value.clone(), now),
                    Some(_) => {}
                    None => cache.forget(id),
                }
                Ok(found)
            }
            Err(error) => {
                // One malformed item says nothing about the table; without an answer, spare the others the wait.
                if matches!(error, TableError::DynamoDb(_) | TableError::Unanswered(_)) {
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
