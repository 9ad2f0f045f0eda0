//! What one environment remembers of what accounts have used: for the time in which Redis cannot be asked. No I/O.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use crate::clock::Timestamp;

/// How many figures are remembered; the least recently used go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// How long a figure that was read from DynamoDB is gone by.
const FRESH: Duration = Duration::from_secs(60);
/// How long after DynamoDB could not be read it is asked again.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Figures by their Redis key.
pub(super) struct Own(LruCache<String, Figure>);

#[derive(Clone, Copy, Default)]
struct Figure {
    /// The tokens, as far as they are known.
    tokens: Option<u64>,
    /// Until when DynamoDB is not asked because it has answered.
    fresh_until: Option<Timestamp>,
    /// Until when DynamoDB is not asked because it has not.
    failed_until: Option<Timestamp>,
}

impl Default for Own {
    fn default() -> Self {
        Self(LruCache::new(CAPACITY))
    }
}

impl Own {
    /// What is known without asking DynamoDB; `None` where it is to be asked.
    pub(super) fn at_hand(&mut self, key: &str, now: Timestamp) -> Option<Option<u64>> {
        let figure = self.0.get(key)?;
        let is_before = |until: Option<Timestamp>| until.is_some_and(|until| now < until);
        (is_before(figure.fresh_until) || is_before(figure.failed_until)).then_some(figure.tokens)
    }

    /// What is known, where DynamoDB could not be read a moment ago; `None` where it is to be asked.
    pub(super) fn after_failure(&mut self, key: &str, now: Timestamp) -> Option<Option<u64>> {
        let figure = self.0.get(key)?;
        figure.failed_until.is_some_and(|until| now < until).then_some(figure.tokens)
    }

    /// What is known, however old.
    pub(super) fn remembered(&mut self, key: &str) -> Option<u64> {
        self.0.get(key)?.tokens
    }

    /// Redis has said `tokens`.
    pub(super) fn heard(&mut self, key: &str, tokens: u64) {
        // Once Redis is gone this is older than it looks, so that DynamoDB is asked then.
        self.put(key, Figure { tokens: Some(tokens), ..Figure::default() });
    }

    /// DynamoDB says `tokens`.
    pub(super) fn read(&mut self, key: &str, tokens: u64, now: Timestamp) {
        self.put(key, Figure { tokens: Some(tokens), fresh_until: Some(now.plus(FRESH)), failed_until: None });
    }

    /// DynamoDB could not be read.
    pub(super) fn failed(&mut self, key: &str, now: Timestamp) {
        let tokens = self.remembered(key);
        self.put(key, Figure { tokens, fresh_until: None, failed_until: Some(now.plus(ASKED_AGAIN_AFTER)) });
    }

    /// Adds `tokens` to what is known, where something is; what it is now.
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
