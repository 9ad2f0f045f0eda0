//! Fast view, in Redis, of the counted tokens that an account has used in a month. Used only for accounts that have a
//! cap.
//!
//! `{levee}:tokens:<account>:<2026-11>` holds one number. If it is missing at a lookup, it is read from the
//! [ledger](super::ledger)'s sums. Each finished call adds its tokens. The number may be wrong: a call that ends while
//! the number is being read may be in it twice or not at all, an addition that Redis did not confirm may be repeated,
//! and calls that the monitor settles are not added. So each number expires [`KEPT`] after it was read, however often
//! it was added to, and is then read again.
//!
//! While Redis is unavailable, an environment uses the figures that it remembers ([`own`]). Before a figure has a
//! consequence that outlasts it, it is [`confirmed`].

mod confirmed;
mod own;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::Script;

use self::own::Own;
use super::cap::Counts;
use super::month::Month;
use super::months::Months;
use crate::clock::Timestamp;
use crate::stores::redis::Redis;
use crate::stores::with_timeout;
use crate::sync::lock;

/// Lifetime of a figure in Redis, from when it was read from DynamoDB.
pub const KEPT: Duration = Duration::from_secs(300);

/// Fast view of the tokens that accounts have used.
pub struct UsageCache {
    redis: Arc<Redis>,
    months: Months,
    counts: Counts,
    timeout: Duration,
    add: Script,
    own: Mutex<Own>,
}

/// A figure to look up.
struct Wanted<'a> {
    account: &'a str,
    month: Month,
    /// Redis key of the figure.
    key: String,
    now: Timestamp,
}

impl UsageCache {
    /// Returns a view of the sums that `months` reads, in which the tokens in `counts` count. Reading a month takes at
    /// most `timeout`.
    pub fn new(redis: Arc<Redis>, months: Months, counts: Counts, timeout: Duration) -> Self {
        let add = Script::new(include_str!("view.lua"));
        Self { redis, months, counts, timeout, add, own: Mutex::default() }
    }

    /// Returns the kinds of tokens that count.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the counted tokens that `account` has used in `month`, or `None` if neither Redis nor DynamoDB answers
    /// and nothing is remembered.
    pub async fn used(&self, account: &str, month: Month, now: Timestamp) -> Option<u64> {
        let wanted = Wanted::new(account, month, now);
        let key = &wanted.key;
        let get = async |mut connection| redis::cmd("GET").arg(key).query_async::<Option<u64>>(&mut connection).await;
        match self.redis.run(get).await {
            Ok(Some(used)) => Some(self.heard(&wanted, used)),
            Ok(None) => self.rebuild(&wanted).await,
            Err(_) => self.without_redis(&wanted).await,
        }
    }

    /// Adds the `tokens` of a finished call that is in the ledger already. Returns the tokens that `account` has used
    /// with them, as [`UsageCache::used`] does.
    pub async fn add(&self, account: &str, month: Month, tokens: u64, now: Timestamp) -> Option<u64> {
        let wanted = Wanted::new(account, month, now);
        let mut call = self.add.prepare_invoke();
        call.key(&wanted.key).arg(tokens);
        let call = &call;
        match self.redis.run(async |mut connection| call.invoke_async::<Option<u64>>(&mut connection).await).await {
            Ok(Some(used)) => Some(self.heard(&wanted, used)),
            Ok(None) => self.rebuild(&wanted).await,
            Err(_) => {
                // Without Redis, add to the remembered figure if it is current.
                let is_at_hand = lock(&self.own).at_hand(&wanted.key, now).is_some();
                if is_at_hand {
                    return lock(&self.own).add(&wanted.key, tokens);
                }
                // A figure from the ledger includes the tokens; the remembered one does not.
                match self.read_anew(&wanted).await {
                    Some(used) => Some(used),
                    None => lock(&self.own).add(&wanted.key, tokens),
                }
            }
        }
    }

    fn heard(&self, wanted: &Wanted<'_>, used: u64) -> u64 {
        lock(&self.own).heard(&wanted.key, used);
        used
    }

    /// Reads the figure from the ledger and puts it into Redis, unless another environment was first. Within five
    /// seconds of a failed read, returns what is remembered instead.
    async fn rebuild(&self, wanted: &Wanted<'_>) -> Option<u64> {
        if let Some(known) = lock(&self.own).after_failure(&wanted.key, wanted.now) {
            return known;
        }
        let Some(used) = self.read_anew(wanted).await else { return lock(&self.own).remembered(&wanted.key) };
        let mut set = redis::cmd("SET");
        set.arg(&wanted.key).arg(used).arg("NX").arg("EX").arg(KEPT.as_secs());
        let set = &set;
        // If this fails, the next lookup reads the figure again.
        let _gone = self.redis.run(async |mut connection| set.query_async::<()>(&mut connection).await).await;
        Some(used)
    }

    /// Returns the remembered figure if DynamoDB answered or failed recently, else that of the ledger's sums.
    async fn without_redis(&self, wanted: &Wanted<'_>) -> Option<u64> {
        let at_hand = lock(&self.own).at_hand(&wanted.key, wanted.now);
        if let Some(known) = at_hand {
            return known;
        }
        match self.read_anew(wanted).await {
            Some(used) => Some(used),
            None => lock(&self.own).remembered(&wanted.key),
        }
    }

    /// Reads the figure from the ledger and remembers it.
    async fn read_anew(&self, wanted: &Wanted<'_>) -> Option<u64> {
        let used = self.ask(wanted).await?;
        lock(&self.own).read(&wanted.key, used, wanted.now);
        Some(used)
    }

    /// Reads the counted tokens from the ledger's sums. Remembers a failure, so that it is not repeated at every call.
    async fn ask(&self, wanted: &Wanted<'_>) -> Option<u64> {
        let Wanted { account, month, key, now } = wanted;
        let error = match with_timeout(self.timeout, self.months.total(account, *month)).await {
            Ok(total) => return Some(self.counts.counted(&total)),
            Err(error) => error,
        };
        lock(&self.own).failed(key, *now);
        tracing::warn!(
            code = "tokens.unread",
            account.id = account,
            error,
            "how much an account has used could not be read; its cap may not hold"
        );
        None
    }
}

impl<'a> Wanted<'a> {
    fn new(account: &'a str, month: Month, now: Timestamp) -> Self {
        Self { account, month, key: format!("{{levee}}:tokens:{account}:{month}"), now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::dynamodb::stub::Stub;
    use crate::stores::redis::RedisConfig;

    const TIMEOUT: Duration = Duration::from_millis(500);
    pub(super) const USED_30: (u16, &str) = (
        200,
        r#"{"Items":[{"day":{"N":"1"},"integration":{"S":"crm"},"kind":{"S":"customer"},"model":{"S":"m"},
        "input":{"N":"10"},"output":{"N":"20"},"cache_read":{"N":"400"}}],"Count":1}"#,
    );
    pub(super) const BROKEN: (u16, &str) =
        (400, r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no such table"}"#);

    /// Returns a view whose Redis is unreachable.
    pub(super) async fn view(answers: &'static [(u16, &'static str)]) -> (UsageCache, Stub) {
        let stub = Stub::start(answers).await;
        let nobody = redis::Client::open("redis://127.0.0.1:1/").unwrap();
        let redis = Redis::new(RedisConfig { client: Some(nobody), budget: Duration::from_secs(1) });
        let months = Months::new(stub.client.clone(), "usage");
        (UsageCache::new(Arc::new(redis), months, Counts::default(), TIMEOUT), stub)
    }

    pub(super) fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_795_310_118 + secs)
    }

    pub(super) fn month() -> Month {
        Month::from_timestamp(at(0)).0
    }

    #[tokio::test]
    async fn without_redis_an_account_is_read_once_a_minute_and_what_is_added_here_counts_at_once() {
        let (view, stub) = view(&[USED_30]).await;
        assert_eq!(view.used("acme", month(), at(0)).await, Some(30));
        assert_eq!(view.add("acme", month(), 5, at(1)).await, Some(35));
        assert_eq!(view.used("acme", month(), at(59)).await, Some(35));
        assert_eq!(stub.answered(), 1);
        assert_eq!(view.used("acme", month(), at(60)).await, Some(30), "the ledger knows it all");
        assert_eq!(stub.answered(), 2);
        assert_eq!(view.add("acme", month(), 5, at(120)).await, Some(30), "what is added is in the ledger already");
        assert_eq!(stub.answered(), 3);
    }

    #[tokio::test]
    async fn without_redis_and_dynamodb_nothing_is_known_but_what_was() {
        let (view, stub) = view(&[BROKEN]).await;
        for secs in [0, 1, 4] {
            assert_eq!(view.used("acme", month(), at(secs)).await, None);
            assert_eq!(view.add("acme", month(), 5, at(secs)).await, None);
        }
        assert_eq!(stub.answered(), 1, "a failure is not repeated at every call");
        lock(&view.own).heard(&Wanted::new("acme", month(), at(0)).key, 100);
        assert_eq!(view.used("acme", month(), at(10)).await, Some(100));
        assert_eq!(view.add("acme", month(), 5, at(11)).await, Some(105));
        assert_eq!(stub.answered(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dynamodb_that_says_nothing_is_waited_for_no_longer_than_agreed() {
        let (view, _stub) = view(&[]).await;
        let began = tokio::time::Instant::now();
        assert_eq!(view.used("acme", month(), at(0)).await, None);
        assert!(began.elapsed() <= TIMEOUT * 2, "{:?}", began.elapsed());
    }
}
