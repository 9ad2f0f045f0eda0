//! What is the same for all callers, read once for those who ask within two seconds.

use std::sync::Mutex;
use std::time::Duration;

use levee::clock::Timestamp;
use levee::sync::lock;

/// How old an answer may be.
pub(crate) const FRESH: Duration = Duration::from_secs(2);

/// What was read last. An environment serves one request at a time, so that no two read at once.
#[derive(Debug)]
pub(crate) struct Cached<T>(Mutex<Option<(T, Timestamp)>>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Cached<T> {
    /// What was read less than [`FRESH`] before `now`, or else what `read` finds. A failure is not remembered, nor is
    /// what was read by a clock that is set back since.
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
