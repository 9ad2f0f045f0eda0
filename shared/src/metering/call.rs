//! What the ledger keeps about a call, and how one record takes another's place. No I/O.
//!
//! A record is of one attempt at one provider. It begins *open*, before anything of the answer reaches the client, and
//! ends *closed*, with what the provider reported, or *void*, where nothing was used. One whose attempt never came to its
//! end (its environment was killed) is *abandoned* by the monitor with what was known of it; should the end come after
//! all, it takes the abandoned record's place. Every record counts in the sums by the difference that it makes
//! ([`step`]), so that whatever is repeated or comes late is counted once.

use serde::{Deserialize, Serialize};

use super::usage::{Figures, Tier};
use crate::accounts::IntegrationKind;
use crate::clock::Timestamp;

/// One attempt to have an AI call served by a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// What makes the call countable once: Lambda's id of the invocation, which no client can choose.
    pub id: String,
    /// Which attempt of the call it is, from 1.
    pub attempt: u32,
    /// The id by which the request is named to its caller.
    pub request_id: String,
    /// The account that pays.
    pub account: String,
    /// The integration that called.
    pub integration: String,
    /// What kind of integration that is.
    pub kind: IntegrationKind,
    /// The provider that is asked.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// When the call began, Unix seconds; decides the day and the month that it counts in.
    pub started_at: u64,
    /// When the attempt must have ended, Unix seconds.
    pub deadline: u64,
}

impl Call {
    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        Timestamp::from_secs(self.started_at)
    }
}

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It runs.
    Open,
    /// It never came to its end.
    Abandoned,
    /// It is over and used tokens.
    Closed,
    /// It is over and used none.
    Void,
}

/// An attempt with what it used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The attempt.
    #[serde(flatten)]
    pub call: Call,
    /// How far it has come.
    pub state: State,
    /// What it used, as far as that is known.
    #[serde(flatten)]
    pub figures: Figures,
    /// Whether the provider's final figures are missing, so that `figures` is what was known when it broke off.
    pub estimated: bool,
}

impl Record {
    /// An attempt that begins.
    pub fn open(call: Call) -> Self {
        Self { call, state: State::Open, figures: Figures::default(), estimated: false }
    }

    /// An attempt that is over; `estimated` where `figures` are not the provider's final ones.
    pub fn closed(call: Call, figures: Figures, estimated: bool) -> Self {
        Self { call, state: State::Closed, figures, estimated }
    }

    /// An attempt that is over and used nothing.
    pub fn void(call: Call) -> Self {
        Self { call, state: State::Void, figures: Figures::default(), estimated: false }
    }

    /// The open record of an attempt that never came to its end, given up on.
    #[must_use]
    pub fn abandoned(self) -> Self {
        Self { state: State::Abandoned, estimated: true, ..self }
    }

    /// What it adds to the sums.
    pub fn tally(&self) -> Tally {
        match self.state {
            State::Open | State::Void => Tally::default(),
            State::Abandoned | State::Closed => {
                let figure = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
                let usage = self.figures.usage;
                Tally {
                    calls: 1,
                    estimated_calls: self.estimated.into(),
                    other_tier_calls: (self.figures.tier != Tier::Standard).into(),
                    input: figure(usage.input),
                    output: figure(usage.output),
                    cache_read: figure(usage.cache_read),
                    cache_write_5m: figure(usage.cache_write_5m),
                    cache_write_1h: figure(usage.cache_write_1h),
                    web_searches: figure(usage.web_searches),
                    web_fetches: figure(usage.web_fetches),
                }
            }
        }
    }
}

/// What writing `new` over `old` (`None` where there is no record yet) adds to the sums; `None` where `old` stays,
/// because it is as final as `new`.
pub fn step(old: Option<&Record>, new: &Record) -> Option<Tally> {
    let rank = |state: State| match state {
        State::Open => 0,
        State::Abandoned => 1,
        State::Closed | State::Void => 2,
    };
    match old {
        None => Some(new.tally()),
        Some(old) if rank(old.state) < rank(new.state) => Some(new.tally().less(&old.tally())),
        Some(_) => None,
    }
}

/// Sums over calls, or a change to them. A sum that is read is never negative; a part of one may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Attempts that used tokens.
    pub calls: i64,
    /// Of them, those whose figures are estimated.
    pub estimated_calls: i64,
    /// Of them, those that were served at another service tier than the standard one.
    pub other_tier_calls: i64,
    /// Input tokens that were neither read from nor written to the cache.
    pub input: i64,
    /// Output tokens.
    pub output: i64,
    /// Input tokens read from the cache.
    pub cache_read: i64,
    /// Input tokens written to the cache for 5 minutes.
    pub cache_write_5m: i64,
    /// Input tokens written to the cache for an hour.
    pub cache_write_1h: i64,
    /// Searches that the provider made in the web.
    pub web_searches: i64,
    /// Pages that the provider fetched from the web.
    pub web_fetches: i64,
}

impl Tally {
    /// The names of the sums, as they are stored.
    pub const NAMES: [&str; 10] = [
        "calls",
        "estimated_calls",
        "other_tier_calls",
        "input",
        "output",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "web_searches",
        "web_fetches",
    ];

    /// The sums in the order of [`Tally::NAMES`].
    pub fn values(&self) -> [i64; 10] {
        [
            self.calls,
            self.estimated_calls,
            self.other_tier_calls,
            self.input,
            self.output,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.web_searches,
            self.web_fetches,
        ]
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, i64::saturating_add)
    }

    /// What is left of this one without `other`.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        self.with(other, i64::saturating_sub)
    }

    fn with(&self, other: &Self, each: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            calls: each(self.calls, other.calls),
            estimated_calls: each(self.estimated_calls, other.estimated_calls),
            other_tier_calls: each(self.other_tier_calls, other.other_tier_calls),
            input: each(self.input, other.input),
            output: each(self.output, other.output),
            cache_read: each(self.cache_read, other.cache_read),
            cache_write_5m: each(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: each(self.cache_write_1h, other.cache_write_1h),
            web_searches: each(self.web_searches, other.web_searches),
            web_fetches: each(self.web_fetches, other.web_fetches),
        }
    }

    /// Whether it changes nothing.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::metering::usage::Usage;

    pub(crate) fn call() -> Call {
        Call {
            id: "1".to_owned(),
            attempt: 1,
            request_id: "r".to_owned(),
            account: "acme".to_owned(),
            integration: "crm".to_owned(),
            kind: IntegrationKind::Customer,
            provider: "primary".to_owned(),
            model: "m".to_owned(),
            started_at: 1_700_000_000,
            deadline: 1_700_000_300,
        }
    }

    pub(crate) fn used(input: u64, output: u64) -> Figures {
        Figures { usage: Usage { input, output, ..Usage::default() }, ..Figures::default() }
    }

    /// The records that an attempt may have, by how final they are.
    fn records() -> [Record; 4] {
        let open = Record::open(call());
        let noted = Record { figures: used(10, 1), ..open.clone() };
        [open, noted.abandoned(), Record::closed(call(), used(10, 20), false), Record::void(call())]
    }

    #[test]
    fn whatever_order_records_come_in_the_sums_are_those_of_the_record_that_stays() {
        for first in 0..4 {
            for second in 0..4 {
                for third in 0..4 {
                    let (mut kept, mut sums) = (None::<Record>, Tally::default());
                    for record in [first, second, third].map(|which| records()[which].clone()) {
                        if let Some(change) = step(kept.as_ref(), &record) {
                            sums = sums.plus(&change);
                            kept = Some(record);
                        }
                    }
                    assert_eq!(Some(sums), kept.map(|kept| kept.tally()), "{first} {second} {third}");
                }
            }
        }
    }

    #[test]
    fn a_late_end_takes_the_place_of_an_abandoned_record_and_of_nothing_that_is_final() {
        let [open, abandoned, closed, void] = records();
        let late = step(Some(&abandoned), &closed).unwrap();
        assert_eq!((late.calls, late.estimated_calls, late.input, late.output), (0, -1, 0, 19));
        assert_eq!(step(Some(&abandoned), &void).unwrap().calls, -1);
        for (old, new) in
            [(&closed, &closed), (&closed, &abandoned), (&closed, &void), (&void, &closed), (&abandoned, &open)]
        {
            assert_eq!(step(Some(old), new), None, "{old:?} {new:?}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for record in records() {
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
        }
        let names = serde_json::to_value(Tally::default()).unwrap();
        assert!(Tally::NAMES.iter().all(|name| names[name] == 0) && names.as_object().unwrap().len() == 10);
    }
}
