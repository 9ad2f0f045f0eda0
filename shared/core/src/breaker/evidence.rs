//! What was seen of a provider since the last decision about it.

use crate::clock::Timestamp;

/// What was seen within one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Second {
    /// Unix seconds.
    pub at: u64,
    /// Calls that went well.
    pub good: u32,
    /// Calls that went badly: failed, or too slow to bear.
    pub bad: u32,
    /// Calls that the provider refused because it limits the platform (429).
    pub throttled: u32,
    /// Calls that are not back although 19 of 20 used to be by then, counted when they became late.
    pub late: u32,
    /// Calls that were back before that.
    pub on_time: u32,
}

/// What was seen of a provider by all environments since the last decision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Second by second, ascending, the last 300 at most; seconds in which nothing was seen are left out.
    pub seconds: Vec<Second>,
    /// AI calls a second to whatever provider.
    pub rate: f64,
    /// How many environments saw results within the last 300 s.
    pub environments: u32,
    /// How many of them saw bad, throttled or late ones.
    pub troubled_environments: u32,
    /// The number of accounts that got results since the first bad one, 60 s back at most; 2 for two and more, 0 if
    /// not known.
    pub accounts: u32,
    /// The number of them that got bad results, or were limited.
    pub troubled_accounts: u32,
    /// The number of them that got late ones.
    pub late_accounts: u32,
    /// When the provider wants to be asked again (Retry-After).
    pub retry_after: Option<Timestamp>,
    /// Until when the platform's budget there is spent.
    pub spent_until: Option<Timestamp>,
}

/// Sums over seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Good, bad and throttled calls together.
    pub results: u32,
    /// Calls that went badly.
    pub bad: u32,
    /// Calls that the provider refused because it limits the platform.
    pub throttled: u32,
    /// Calls that took longer than 19 of 20 used to.
    pub late: u32,
    /// Calls that did not.
    pub on_time: u32,
}

impl Totals {
    /// Adds up `seconds`.
    pub fn of<'a>(seconds: impl IntoIterator<Item = &'a Second>) -> Self {
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
    /// Returns how many results were good since the last second in which one was not.
    pub(super) fn good_since_trouble(&self) -> u32 {
        let clean = self.seconds.iter().rev().take_while(|second| second.bad + second.throttled == 0);
        clean.map(|second| second.good).sum()
    }

    /// Adds up all seconds.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.seconds)
    }
}
