//! Platform-wide settings as one environment caches them. A failure to read them neither refuses nor fails a call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::record_cache::is_within;
use super::{Directory, FRESH, SPARED_AFTER_FAILURE};
use crate::accounts::platform::Platform;
use crate::accounts::table::AccountsTableError;
use crate::clock::Timestamp;
use crate::limits::versions::RecordId;
use crate::sync::lock;

const PLATFORM: [RecordId; 1] = [RecordId::Platform];

/// Cached platform-wide settings, and the state of reading them.
#[derive(Default)]
pub(super) struct PlatformCache {
    read: Mutex<Option<(Arc<Platform>, Timestamp)>>,
    // Separate from the directory's own: if only this read fails, keys and owners are still read.
    failed_at: Mutex<Option<Timestamp>>,
    warned_at: Mutex<Option<Timestamp>>,
}

impl Directory {
    /// Returns the platform-wide settings. While the table cannot be read, returns the last ones that were read, or
    /// the defaults if there are none.
    pub async fn platform(&self, now: Timestamp) -> Arc<Platform> {
        // Use the cached settings while they are fresh and no marker names a newer version.
        let held = lock(&self.everyone.read).clone();
        if let Some((platform, read_at)) = &held
            && is_within(*read_at, FRESH, now)
            && self.needs.open(&PLATFORM, |_| platform.version).is_empty()
        {
            return platform.clone();
        }
        let is_lately =
            |moment: Option<Timestamp>, time: Duration| moment.is_some_and(|moment| is_within(moment, time, now));
        let held = held.map(|(platform, _)| platform).unwrap_or_default();
        // After a failed read, use them for a while without trying again.
        if self.failed_lately(now) || is_lately(*lock(&self.everyone.failed_at), SPARED_AFTER_FAILURE) {
            return held;
        }
        // Read them, and warn about failures once a minute at most.
        match self.read_platform(self.timeout, now).await {
            Ok(platform) => platform,
            Err(error) => {
                *lock(&self.everyone.failed_at) = Some(now);
                let mut warned_at = lock(&self.everyone.warned_at);
                if !is_lately(*warned_at, FRESH) {
                    *warned_at = Some(now);
                    tracing::warn!(code = "platform.stale", %error, "the platform's defaults and blocks could not be read again");
                }
                held
            }
        }
    }

    /// Reads the platform-wide settings within `timeout`, and caches them unless a marker names a newer version.
    pub(super) async fn read_platform(
        &self,
        timeout: Duration,
        now: Timestamp,
    ) -> Result<Arc<Platform>, AccountsTableError> {
        let noted = self.needs.noted(&PLATFORM);
        let timed_out = || AccountsTableError::Unanswered(format!("no answer within {timeout:?}"));
        let read = tokio::time::timeout(timeout, self.table.platform()).await;
        let platform = Arc::new(read.unwrap_or_else(|_| Err(timed_out()))?);
        self.needs.answer(&PLATFORM, &noted);
        *lock(&self.everyone.failed_at) = None;
        if self.needs.open(&PLATFORM, |_| platform.version).is_empty() {
            *lock(&self.everyone.read) = Some((platform.clone(), now));
        }
        Ok(platform)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{DOWN, START, after, directory};
    use crate::limits::versions::{RecordId, Version};
    use crate::stores::dynamodb::stub::Stub;

    const DEFAULTS: (u16, &str) = (
        200,
        r#"{"Items":[{"pk":{"S":"PLATFORM"},"sk":{"S":"DEFAULTS"},"version":{"N":"7"},"blocks":{"N":"2"},
        "limits":{"M":{"account":{"M":{"limit":{"N":"90"}}}}}},
        {"pk":{"S":"PLATFORM"},"sk":{"S":"BLOCK#of another time"},"subject":{"M":{"continent":{"S":"x"}}}},
        {"pk":{"S":"PLATFORM"},"sk":{"S":"BLOCK#10.0.0.0/8"},"subject":{"M":{"network":{"S":"10.0.0.0/8"}}},
        "reason":{"S":"r"},"created_at":{"N":"1"}}]}"#,
    );
    const NOTHING: (u16, &str) = (200, r#"{"Items":[]}"#);

    fn marker(version: u64) -> Version {
        Version { of: RecordId::Platform, version, is_stopped: false }
    }

    #[tokio::test]
    async fn it_is_read_once_a_minute_and_an_odd_block_is_left_out() {
        let stub = Stub::start(&[DEFAULTS]).await;
        let directory = directory(&stub);
        for (secs, reads) in [(0, 1), (59, 1), (60, 2), (61, 2)] {
            let platform = directory.platform(after(secs)).await;
            assert_eq!((platform.version, platform.limits["account"].limit), (7, Some(90)));
            assert!(platform.block_of_address([10, 1, 2, 3].into(), START).is_some());
            assert_eq!((platform.blocks.len(), stub.answered()), (1, reads), "after {secs} s");
        }
        assert!(stub.requests()[0].contains(r#""ConsistentRead":true"#), "{:?}", stub.requests());
    }

    #[tokio::test]
    async fn while_the_table_is_down_what_was_read_last_holds_however_long_ago() {
        let stub = Stub::start(&[DEFAULTS, DOWN]).await;
        let directory = directory(&stub);
        for secs in [0, 60, 61, 7200] {
            assert_eq!(directory.platform(after(secs)).await.version, 7, "after {secs} s");
        }
    }

    #[tokio::test]
    async fn without_ever_being_read_nothing_is_changed_and_the_table_is_spared() {
        let stub = Stub::start(&[DOWN]).await;
        let directory = directory(&stub);
        assert_eq!(*directory.platform(START).await, crate::accounts::Platform::default());
        let asked = stub.answered();
        assert_eq!(directory.platform(after(4)).await.version, 0);
        assert_eq!(stub.answered(), asked);
        directory.platform(after(5)).await;
        assert!(stub.answered() > asked);
    }

    #[tokio::test]
    async fn a_newer_version_is_read_at_once_and_one_that_is_not_found_only_once() {
        let stub = Stub::start(&[NOTHING, DEFAULTS]).await;
        let directory = directory(&stub);
        assert_eq!(directory.platform(START).await.version, 0);
        directory.outdated(&marker(7));
        assert_eq!(directory.platform(after(1)).await.version, 7);
        for secs in 2..5 {
            directory.outdated(&marker(9));
            assert_eq!(directory.platform(after(secs)).await.version, 7);
        }
        assert_eq!(stub.answered(), 3, "the ninth version is not there: it was restored from a backup");
    }

    #[tokio::test]
    async fn what_was_read_or_failed_while_the_clock_was_fast_is_read_again_when_it_is_put_right() {
        let stub = Stub::start(&[NOTHING, DEFAULTS]).await;
        let fast = directory(&stub);
        fast.platform(after(3 * 3600)).await;
        assert_eq!((fast.platform(START).await.version, stub.answered()), (7, 2));
        assert_eq!((fast.platform(after(59)).await.version, stub.answered()), (7, 2));

        let stub = Stub::start(&[DOWN]).await;
        let failed = directory(&stub);
        failed.platform(after(3 * 3600)).await;
        let asked = stub.answered();
        failed.platform(START).await;
        assert!(stub.answered() > asked);
    }

    #[tokio::test]
    async fn starting_reads_it_beside_connecting() {
        let stub = Stub::start(&[DEFAULTS]).await;
        let directory = directory(&stub);
        directory.warm_up(START).await;
        assert_eq!((stub.answered(), directory.platform(after(59)).await.version, stub.answered()), (2, 7, 2));
    }
}
