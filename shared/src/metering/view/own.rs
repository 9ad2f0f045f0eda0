//! Figures that one environment remembers: as a fallback while Redis is unavailable, and as confirmed by DynamoDB. No
//! I/O.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use lru::LruCache;

use crate::clock::Timestamp;

/// Maximum number of figures. The least recently used are evicted first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// Time for which an answer of DynamoDB is used.
const FRESH: Duration = Duration::from_secs(60);
/// Pause after a failed read of DynamoDB before the next one.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Remembered figures by their Redis key.
pub(super) struct Own(LruCache<String, Figure>);

#[derive(Clone, Copy, Default)]
struct Figure {
    /// Counted tokens, if known.
    tokens: Option<u64>,
    /// End of the time in which DynamoDB is not asked because it has answered.
    fresh_until: Option<Timestamp>,
    /// End of the time in which DynamoDB is not asked because a read failed.
    failed_until: Option<Timestamp>,
    confirmed: Option<Confirmed>,
}

/// Answer of DynamoDB, with the figure of the view at that moment.
#[derive(Clone, Copy)]
struct Confirmed {
    figure: u64,
    used: u64,
    until: Timestamp,
}

impl Default for Own {
    fn default() -> Self {
        Self(LruCache::new(CAPACITY))
    }
}

impl Own {
    /// Returns the remembered tokens while DynamoDB need not be asked, because it has answered or failed recently.
    /// Returns `None` if it is to be asked.
    pub(super) fn at_hand(&mut self, key: &str, now: Timestamp) -> Option<Option<u64>> {
        let figure = self.0.get(key)?;
        let is_before = |until: Option<Timestamp>| until.is_some_and(|until| now < until);
        (is_before(figure.fresh_until) || is_before(figure.failed_until)).then_some(figure.tokens)
    }

    /// Returns the remembered tokens if a read of DynamoDB has failed recently. Returns `None` if it is to be asked.
    pub(super) fn after_failure(&mut self, key: &str, now: Timestamp) -> Option<Option<u64>> {
        let figure = self.0.get(key)?;
        figure.failed_until.is_some_and(|until| now < until).then_some(figure.tokens)
    }

    /// Returns the remembered tokens, however old.
    pub(super) fn remembered(&mut self, key: &str) -> Option<u64> {
        self.0.get(key)?.tokens
    }

    /// Remembers `tokens` as read from Redis.
    pub(super) fn heard(&mut self, key: &str, tokens: u64) {
        let known = self.0.get(key).copied().unwrap_or_default();
        // The figure in Redis may be minutes old, so DynamoDB is asked once Redis becomes unavailable.
        self.put(key, Figure { tokens: Some(tokens), fresh_until: None, ..known });
    }

    /// Remembers `tokens` as read from DynamoDB.
    pub(super) fn read(&mut self, key: &str, tokens: u64, now: Timestamp) {
        let until = now.plus(FRESH);
        let confirmed = Some(Confirmed { figure: tokens, used: tokens, until });
        self.put(key, Figure { tokens: Some(tokens), fresh_until: Some(until), failed_until: None, confirmed });
    }

    /// Remembers that DynamoDB could not be read.
    pub(super) fn failed(&mut self, key: &str, now: Timestamp) {
        let known = self.0.get(key).copied().unwrap_or_default();
        let failed_until = Some(now.plus(ASKED_AGAIN_AFTER));
        self.put(key, Figure { fresh_until: None, failed_until, ..known });
    }

    /// Remembers that DynamoDB said `used` while the view's figure was `figure`.
    pub(super) fn confirm(&mut self, key: &str, figure: u64, used: u64, now: Timestamp) {
        let known = self.0.get(key).copied().unwrap_or_default();
        let confirmed = Some(Confirmed { figure, used, until: now.plus(FRESH) });
        self.put(key, Figure { failed_until: None, confirmed, ..known });
    }

    /// Returns the used tokens now that the view's figure is `figure`, if they are certain enough for `steps`: DynamoDB
    /// has confirmed that all steps are reached or none, or it could not be read a moment ago. Returns `None` if
    /// DynamoDB is to be asked.
    pub(super) fn confirmed(
        &mut self,
        key: &str,
        figure: u64,
        steps: &RangeInclusive<u64>,
        now: Timestamp,
    ) -> Option<u64> {
        let Figure { failed_until, confirmed, .. } = *self.0.get(key)?;
        // Use the last answer of DynamoDB if it settles all steps.
        if let Some(known) = confirmed.filter(|known| now < known.until) {
            // The figure is still wrong by as much as it was at the confirmation.
            let grown = known.used.saturating_add(figure.saturating_sub(known.figure));
            if known.used >= *steps.end() {
                return Some(known.used);
            }
            if grown < *steps.start() {
                return Some(grown);
            }
        }
        // Within the pause after a failed read, go by the figure itself.
        failed_until.is_some_and(|until| now < until).then_some(figure)
    }

    /// Adds `tokens` to the remembered tokens and returns the sum, or returns `None` if none are remembered.
    pub(super) fn add(&mut self, key: &str, tokens: u64) -> Option<u64> {
        let known = self.0.get_mut(key)?.tokens.as_mut()?;
        *known = known.saturating_add(tokens);
        Some(*known)
    }

    fn put(&mut self, key: &str, figure: Figure) {
        match self.0.get_mut(key) {
            Some(known) => *known = figure,
            None => drop(self.0.put(key.to_owned(), figure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_said_last_is_there_when_nobody_else_can_be_asked() {
        let (mut own, now) = (Own::default(), Timestamp::from_secs(1));
        own.heard("acme", 7);
        assert_eq!(own.at_hand("acme", now), None, "DynamoDB is to be asked");
        own.failed("acme", now);
        assert_eq!(own.at_hand("acme", now), Some(Some(7)));
        assert_eq!(own.add("acme", 3), Some(10));
        assert_eq!(own.at_hand("acme", now.plus(ASKED_AGAIN_AFTER)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut own = Own::default();
        for account in 0..=CAPACITY.get() {
            own.heard(&account.to_string(), 1);
        }
        assert_eq!((own.remembered("0"), own.remembered("1")), (None, Some(1)));
        assert_eq!(own.add("0", 5), None, "what is not known is not counted from nothing");
    }
}
