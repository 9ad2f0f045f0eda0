//! Alerts operators when an account nears its token cap: once per month, account and share of [`TOLD_PERCENTS`].
//!
//! The alerts table ensures that each alert is raised once. The keys that an environment remembers only save requests
//! to it. A call that passes several shares raises an alert for each.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use lru::LruCache;

use super::cap::{TOLD_PERCENTS, percent, tokens_at};
use super::month::Month;
use super::months::projected;
use crate::accounts::{CapMode, TokenCap};
use crate::alerts::{Alert, Alerts};
use crate::clock::Timestamp;
use crate::stores::with_timeout;
use crate::sync::lock;
use crate::text::grouped;

/// First part of the keys of alerts about caps.
pub const CAP_ALERT: &str = "tokens";
/// Cool-down of an alert, longer than any month.
const COOL_DOWN: Duration = Duration::from_secs(40 * 24 * 3600);
/// Maximum number of alerts that an environment remembers. The least recently used are evicted first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(3_000).unwrap();

/// Usage of an account's cap.
#[derive(Debug, Clone, Copy)]
pub struct Reached<'a> {
    /// Id of the account.
    pub account: &'a str,
    /// Month of the usage.
    pub month: Month,
    /// Counted tokens that the account has used in the month.
    pub used: u64,
    /// Cap of the account.
    pub cap: TokenCap,
}

/// Sender of alerts about caps.
pub struct CapNotifier {
    alerts: Alerts,
    timeout: Duration,
    /// Keys of alerts that are known to be raised, by this environment or another.
    known: Mutex<LruCache<String, ()>>,
}

impl CapNotifier {
    /// Returns a sender that raises alerts through `alerts`. Each raise takes at most `timeout`.
    pub fn new(alerts: Alerts, timeout: Duration) -> Self {
        Self { alerts, timeout, known: Mutex::new(LruCache::new(CAPACITY)) }
    }

    /// Returns the token counts of the first and the last share for which [`CapNotifier::tell`] would raise an alert, or
    /// `None` if it would raise none.
    pub fn news(&self, reached: Reached<'_>) -> Option<RangeInclusive<u64>> {
        let mut known = lock(&self.known);
        let mut news = reached.shares().filter(|share| known.get(&reached.key(*share)).is_none());
        let first = news.next()?;
        let last = news.last().unwrap_or(first);
        Some(tokens_at(first, reached.cap.limit)..=tokens_at(last, reached.cap.limit))
    }

    /// Raises an alert for each share that is reached, unless it was raised before. An alert that cannot be raised is
    /// logged, and raised by the next call of this function.
    pub async fn tell(&self, reached: Reached<'_>, now: Timestamp) {
        // Collect the alerts that are not known to be raised, then raise them concurrently.
        let alerts: Vec<Alert> = {
            let mut known = lock(&self.known);
            // `get` marks the key as recently used, so that it is evicted last.
            reached.alerts(now).filter(|alert| known.get(&alert.key).is_none()).collect()
        };
        join_all(alerts.iter().map(|alert| self.raise(reached.account, alert, now))).await;
    }

    async fn raise(&self, account: &str, alert: &Alert, now: Timestamp) {
        let error = match with_timeout(self.timeout, self.alerts.raise(alert, now)).await {
            Ok(_first) => {
                lock(&self.known).put(alert.key.clone(), ());
                return;
            }
            Err(error) => error,
        };
        tracing::error!(
            code = "tokens.untold",
            account.id = account,
            error,
            "operators could not be alerted about an account's use of its cap"
        );
    }
}

impl<'a> Reached<'a> {
    fn alerts(self, now: Timestamp) -> impl Iterator<Item = Alert> + use<'a> {
        self.shares().map(move |share| self.alert(share, now))
    }

    fn shares(&self) -> impl Iterator<Item = u64> + use<> {
        let reached = percent(self.used, self.cap.limit);
        TOLD_PERCENTS.into_iter().filter(move |share| *share <= reached)
    }

    /// Returns the key of the alert about a share.
    fn key(&self, share: u64) -> String {
        format!("{CAP_ALERT}/{}/{}/{share}", self.account, self.month)
    }

    fn alert(&self, share: u64, now: Timestamp) -> Alert {
        let Self { account, month, used, cap } = *self;
        // Describe the treatment of calls beyond the cap.
        let consequence = match cap.mode {
            CapMode::Warn => {
                "Its calls pass, whatever it uses; their answers say so in x-levee-token-state.".to_owned()
            }
            CapMode::Block => {
                let when = if used < cap.limit { "When the cap is used up, its" } else { "Its" };
                format!("{when} AI calls are refused until {}.", month.ends_at().to_rfc3339())
            }
        };
        let detail = format!(
            "The account {account} has used {used} of the {limit} tokens of {month} that its cap allows ({percent} %). If \
             it goes on like that, it will have used {projected} at the end of the month. {consequence}\n\n\
             What used them: levee usage show {account}\n\
             Another cap: levee cap set {account} --tokens N",
            used = grouped(used),
            limit = grouped(cap.limit),
            percent = percent(used, cap.limit),
            projected = grouped(projected(used, month, now)),
        );
        Alert {
            key: self.key(share),
            title: format!("{account} has used {share} % of its tokens of {month}"),
            detail,
            cool_down: COOL_DOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::dynamodb::stub::{Stub, TIMEOUT};

    const DONE: (u16, &str) = (200, "{}");
    const WRONG: (u16, &str) =
        (400, r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no such table"}"#);
    /// 2026-11-22T01:15:18Z.
    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

    fn reached(used: u64, mode: CapMode) -> Reached<'static> {
        Reached { account: "acme", month: Month::from_timestamp(NOW).0, used, cap: TokenCap { limit: 1_000_000, mode } }
    }

    fn keys(used: u64) -> Vec<String> {
        reached(used, CapMode::Warn).alerts(NOW).map(|alert| alert.key).collect()
    }

    #[test]
    fn a_call_that_jumps_over_several_shares_tells_of_each() {
        assert_eq!(keys(799_999), [""; 0]);
        assert_eq!(keys(800_000), ["tokens/acme/2026-11/80"]);
        assert_eq!(keys(1_600_000).len(), 3);
        assert_eq!(keys(u64::MAX)[2], "tokens/acme/2026-11/150");
    }

    #[test]
    fn an_alert_says_where_the_account_stands_what_follows_and_what_to_do() {
        let detail = |used, mode| reached(used, mode).alerts(NOW).next().unwrap().detail;
        assert_eq!(
            detail(812_345, CapMode::Block),
            "The account acme has used 812,345 of the 1,000,000 tokens of 2026-11 that its cap allows (81 %). If it goes \
             on like that, it will have used 1,157,610 at the end of the month. When the cap is used up, its AI calls are \
             refused until 2026-12-01T00:00:00Z.\n\nWhat used them: levee usage show acme\nAnother cap: levee cap set acme \
             --tokens N"
        );
        assert!(detail(1_000_000, CapMode::Block).contains(". Its AI calls are refused until"));
        assert!(detail(812_345, CapMode::Warn).contains("Its calls pass, whatever it uses"));
    }

    #[tokio::test]
    async fn what_was_told_is_not_asked_about_again_and_what_was_not_is() {
        let stub = Stub::start(&[WRONG, DONE]).await;
        let told = CapNotifier::new(Alerts::new(stub.client.clone(), "alerts"), TIMEOUT);
        for expected in [1, 2, 2] {
            told.tell(reached(800_000, CapMode::Warn), NOW).await;
            assert_eq!(stub.answered(), expected);
            assert_eq!(told.news(reached(800_000, CapMode::Warn)).is_some(), expected == 1);
        }
        assert_eq!(told.news(reached(1_600_000, CapMode::Warn)), Some(1_000_000..=1_500_000));
        told.tell(reached(1_500_000, CapMode::Warn), NOW).await;
        assert_eq!(stub.answered(), 4, "the two that are new");
    }
}
