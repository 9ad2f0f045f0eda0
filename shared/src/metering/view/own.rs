//! What one environment remembers of what accounts have used: for the time in which Redis cannot be asked, and of what
//! DynamoDB has confirmed. No I/O.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use lru::LruCache;

use crate::clock::Timestamp;

/// How many figures are remembered; the least recently used go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// How long what DynamoDB said is gone by.
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
    confirmed: Option<Confirmed>,
}

/// What DynamoDB said while the figure was another one, or the same.
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
        let known = self.0.get(key).copied().unwrap_or_default();
        // Once Redis is gone this is older than it looks, so that DynamoDB is asked then.
        self.put(key, Figure { tokens: Some(tokens), fresh_until: None, ..known });
    }

    /// DynamoDB says `tokens`.
    pub(super) fn read(&mut self, key: &str, tokens: u64, now: Timestamp) {
        let until = now.plus(FRESH);
        let confirmed = Some(Confirmed { figure: tokens, used: tokens, until });
        self.put(key, Figure { tokens: Some(tokens), fresh_until: Some(until), failed_until: None, confirmed });
    }

    /// DynamoDB could not be read.
    pub(super) fn failed(&mut self, key: &str, now: Timestamp) {
        let known = self.0.get(key).copied().unwrap_or_default();
        let failed_until = Some(now.plus(ASKED_AGAIN_AFTER));
        self.put(key, Figure { fresh_until: None, failed_until, ..known });
    }

    /// DynamoDB says `used` while the figure is `figure`.
    pub(super) fn confirm(&mut self, key: &str, figure: u64, used: u64, now: Timestamp) {
        let known = self.0.get(key).copied().unwrap_or_default();
        let confirmed = Some(Confirmed { figure, used, until: now.plus(FRESH) });
        self.put(key, Figure { failed_until: None, confirmed, ..known });
    }

    /// What has been used, now that the figure is `figure`, as far as it matters for `steps`: where DynamoDB has said
    /// that all of them are reached, or that none is; or where it could not be read a moment ago. `None` where it is to be
    /// asked.
    pub(super) fn confirmed(
        &mut self,
        key: &str,
        figure: u64,
        steps: &RangeInclusive<u64>,
        now: Timestamp,
    ) -> Option<u64> {
        let Figure { failed_until, confirmed, .. } = *self.0.get(key)?;
        if let Some(known) = confirmed.filter(|known| now < known.until) {
            // What the figure was wrong by, it still is.
            let grown = known.used.saturating_add(figure.saturating_sub(known.figure));
            if known.used >= *steps.end() {
                return Some(known.used);
            }
            if grown < *steps.start() {
                return Some(grown);
            }
        }
        failed_until.is_some_and(|until| now < until).then_some(figure)
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
