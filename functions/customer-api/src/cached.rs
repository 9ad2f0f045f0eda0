//! Cache of one value that is the same for all callers.

use std::sync::Mutex;
use std::time::Duration;

use levee::clock::Timestamp;
use levee::sync::lock;

/// Lifetime of a cached value.
pub(crate) const FRESH: Duration = Duration::from_secs(2);

/// The value that was read last, and the time of the read. An environment serves one request at a time, so reads do not
/// overlap.
#[derive(Debug)]
pub(crate) struct Cached<T>(Mutex<Option<(T, Timestamp)>>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Cached<T> {
    /// Returns the cached value if it was read less than [`FRESH`] before `now`, else reads it anew. Errors are not
    /// cached. A value from the future, read before the clock was set back, is not used.
    pub(crate) async fn get_or_read<E>(
        &self,
        now: Timestamp,
        read: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(fresh) = self.get(now) {
            return Ok(fresh);
        }
        let value = read().await?;
        *lock(&self.0) = Some((value.clone(), now));
        Ok(value)
    }

    fn get(&self, now: Timestamp) -> Option<T> {
        let last = lock(&self.0);
        last.as_ref().filter(|(_, at)| *at <= now && now < at.plus(FRESH)).map(|(value, _)| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[tokio::test]
    async fn what_was_read_is_told_for_two_seconds_and_then_read_anew() {
        let (cached, reads) = (Cached::default(), AtomicU32::new(0));
        let get = async |at: Timestamp| {
            cached.get_or_read(at, async || Ok::<_, ()>(reads.fetch_add(1, Ordering::Relaxed))).await.unwrap()
        };
        assert_eq!(get(NOW).await, 0);
        assert_eq!(get(NOW.plus(FRESH - Duration::from_millis(1))).await, 0);
        assert_eq!(get(NOW.plus(FRESH)).await, 1);
        assert_eq!(get(NOW).await, 2, "a clock that was set back proves nothing");
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered_and_keeps_nobody_from_reading() {
        let cached = Cached::default();
        assert_eq!(cached.get_or_read(NOW, async || Err::<u32, _>("gone")).await, Err("gone"));
        assert_eq!(cached.get_or_read(NOW, async || Ok::<_, &str>(7)).await, Ok(7));
        assert_eq!(cached.get_or_read(NOW, async || Err::<u32, _>("gone")).await, Ok(7));
    }
}
