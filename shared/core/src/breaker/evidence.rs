//! Results of a provider since the last decision about it.

use crate::clock::Timestamp;

/// Results counted within one second. A report of one call has 0 or 1 in each count: the script in Redis
/// (`breaker/mirror/standing.lua`) takes any of them for one result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecondBucket {
    /// Second, in Unix time.
    pub at: u64,
    /// Calls that succeeded.
    pub good: u32,
    /// Calls that failed, or were too slow to wait for.
    pub bad: u32,
    /// Calls that the provider refused with a rate limit (429).
    pub throttled: u32,
    /// Calls that ran longer than 19 of 20 calls in health take, counted at the moment they became late.
    pub late: u32,
    /// Calls that ended before they became late.
    pub on_time: u32,
}

/// Results of a provider in all environments since the last decision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Results by second, ascending, of the last 300 s at most. Seconds without results are left out.
    pub seconds: Vec<SecondBucket>,
    /// AI calls a second to all providers together.
    pub rate: f64,
    /// Environments that saw results within the last 300 s; 16 and more are 16.
    pub environments: u32,
    /// Environments among them that saw bad, throttled or late results.
    pub troubled_environments: u32,
    /// Accounts that got results since the first bad one, 60 s back at most. 2 stands for two and more, 0 for not
    /// known.
    pub accounts: u32,
    /// Accounts among them that got bad or throttled results.
    pub troubled_accounts: u32,
    /// Accounts among them that got late results.
    pub late_accounts: u32,
    /// Time until which the provider asks not to be called (Retry-After).
    pub retry_after: Option<Timestamp>,
    /// Time until which the platform's budget at the provider is spent.
    pub spent_until: Option<Timestamp>,
}

/// Sums over seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Good, bad and throttled calls together.
    pub results: u32,
    /// Calls that failed, or were too slow to wait for.
    pub bad: u32,
    /// Calls that the provider refused with a rate limit.
    pub throttled: u32,
    /// Calls that became late.
    pub late: u32,
    /// Calls that ended before they became late.
    pub on_time: u32,
}

impl Totals {
    /// Adds up `seconds`.
    pub fn from_seconds<'a>(seconds: impl IntoIterator<Item = &'a SecondBucket>) -> Self {
        seconds.into_iter().fold(Self::default(), |sum, second| Self {
            results: sum.results + second.good + second.bad + second.throttled,
            bad: sum.bad + second.bad,
            throttled: sum.throttled + second.throttled,
            late: sum.late + second.late,
            on_time: sum.on_time + second.on_time,
        })
    }

    /// Returns the number of bad or throttled calls.
    pub fn troubled(self) -> u32 {
        self.bad + self.throttled
    }
}

impl Evidence {
    /// Returns the number of good results since the last second with a bad or throttled one.
    pub(super) fn good_since_trouble(&self) -> u32 {
        let clean = self.seconds.iter().rev().take_while(|second| second.bad + second.throttled == 0);
        clean.map(|second| second.good).sum()
    }

    /// Adds up all seconds.
    pub fn totals(&self) -> Totals {
        Totals::from_seconds(&self.seconds)
    }
}
