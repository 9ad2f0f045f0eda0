//! Refunds: what a call was charged is given back if the platform failed to serve it.
//!
//! The authorizer names the charges in its context, and the function that could not serve the call refunds them. A
//! call whose function never ran, or was killed, is not refunded.

use redis::Script;
use redis::aio::MultiplexedConnection;

use super::config::MOST_POLICIES;
use super::policy::{Algorithm, Charge};
use super::tally::{minute_of, tally_key};
use crate::clock::Timestamp;
use crate::stores::redis::{Redis, Unavailable};

/// Prefix of the names of window counters.
const PREFIX: &str = "{levee}:limit:";
/// Prefix of the names of refund counts, which replaces [`PREFIX`].
const REFUNDS: &str = "{levee}:refund:";
/// Longest text that goes into an authorizer context, bytes. A call with a longer one is not refunded.
const LONGEST: usize = 2_048;

/// Charges of one call that were counted by windows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Charged {
    counters: Vec<Counter>,
    /// Minute in which the call was charged, and the caller's group in that minute's tallies.
    tally: Option<(u64, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Counter {
    key: String,
    weight: u64,
    limit: u64,
}

impl Charged {
    /// Returns the charges of a call that passes at `now`; `group` is as in the tallies, empty for none.
    pub fn new(charges: &[Charge], group: &str, now: Timestamp) -> Self {
        let counted = charges.iter().filter(|charge| charge.policy.algorithm != Algorithm::Concurrency);
        let counter =
            |charge: &Charge| Counter { key: charge.counter(now), weight: charge.weight, limit: charge.policy.limit };
        let tally = (!group.is_empty()).then(|| (minute_of(now), group.to_owned()));
        Self { counters: counted.map(counter).collect(), tally }
    }

    /// Returns the text for the authorizer context; `None` if there is nothing to refund, or the text would be too
    /// long.
    pub fn to_text(&self) -> Option<String> {
        let word =
            |Counter { key, weight, limit }: &Counter| Some(format!("{}*{weight}/{limit}", key.strip_prefix(PREFIX)?));
        let words: Vec<String> = self.counters.iter().filter_map(word).collect();
        let (minute, group) = self.tally.as_ref().map_or((0, ""), |(minute, group)| (*minute, group.as_str()));
        let text = format!("{}|{minute}|{group}", words.join(" "));
        (!words.is_empty() && text.len() <= LONGEST).then_some(text)
    }

    /// Parses the text of [`Charged::to_text`]. Parts that cannot be parsed are left out.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '|');
        let mut next = || parts.next().unwrap_or_default();
        let (counters, minute, group) = (next(), next(), next());
        let counter = |word: &str| {
            let (key, rest) = word.rsplit_once('*')?;
            let (weight, limit) = rest.split_once('/')?;
            Some(Counter { key: format!("{PREFIX}{key}"), weight: weight.parse().ok()?, limit: limit.parse().ok()? })
        };
        let counters = counters.split_ascii_whitespace().filter_map(counter).take(MOST_POLICIES).collect();
        let tally = minute.parse().ok().filter(|_| !group.is_empty()).map(|minute| (minute, group.to_owned()));
        Self { counters, tally }
    }

    /// Refunds the charges, and returns true if any counter was lowered. Refunds at most a limit's worth of each
    /// window, and never below zero.
    ///
    /// # Errors
    /// [`Unavailable`] if Redis cannot be reached. The call then keeps its charge.
    pub async fn refund(&self, redis: &Redis) -> Result<bool, Unavailable> {
        if self.counters.is_empty() {
            return Ok(false);
        }
        // Name the counters, then their refund counts, then the tallies, as `refund.lua` expects.
        let script = Script::new(include_str!("refund.lua"));
        let mut call = script.prepare_invoke();
        for Counter { key, .. } in &self.counters {
            call.key(key);
        }
        for Counter { key, .. } in &self.counters {
            call.key(key.replacen(PREFIX, REFUNDS, 1));
        }
        // Without a group, an empty field leaves the tallies as they are.
        let (minute, field) = match &self.tally {
            Some((minute, group)) => (*minute, format!("0 {group}")),
            None => (0, String::new()),
        };
        call.key(tally_key(minute));
        for Counter { weight, limit, .. } in &self.counters {
            call.arg(*weight).arg(*limit);
        }
        call.arg(field);
        let call = &call;
        let run = async |mut connection: MultiplexedConnection| call.invoke_async::<u64>(&mut connection).await;
        Ok(redis.run(run).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::limits::{LimitsConfig, Subject};

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_030);

    fn charges(names: &[&str]) -> Vec<Charge> {
        let policies = LimitsConfig::default().policies;
        let charge = |name: &&str| {
            let policy = Arc::clone(policies.iter().find(|it| it.name == *name).unwrap());
            Charge { policy, subject: Subject("acme".to_owned()), weight: 3 }
        };
        names.iter().map(charge).collect()
    }

    #[test]
    fn what_was_charged_is_read_as_it_was_written() {
        let charged =
            Charged::new(&charges(&["account", "global", "in-flight"]), "acme/crm/k/ai account:a:1:60:f:1", NOW);
        assert_eq!(charged.counters.len(), 2, "places in flight are given back by themselves");
        assert_eq!(Charged::parse(&charged.to_text().unwrap()), charged);
        let anonymous = Charged::new(&charges(&["account"]), "", NOW);
        assert_eq!(Charged::parse(&anonymous.to_text().unwrap()), anonymous);
    }

    #[test]
    fn nothing_is_named_where_nothing_was_charged_or_too_much() {
        assert_eq!(Charged::new(&charges(&["in-flight"]), "g", NOW).to_text(), None);
        assert_eq!(Charged::new(&charges(&["account"]), &"g".repeat(LONGEST), NOW).to_text(), None);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for text in ["", "|", "a", "a*b/c|x|y", "a*1|1|", "*/|0|"] {
            assert_eq!(Charged::parse(text).counters, [], "{text}");
        }
        let many: Vec<String> = (0..99).map(|n| format!("account:a{n}:60:0*1/2")).collect();
        assert_eq!(Charged::parse(&many.join(" ")).counters.len(), MOST_POLICIES);
    }
}
