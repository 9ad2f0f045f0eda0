//! Token caps: the tokens that count, the cap of an account, and how much of it is used. No I/O.

use std::fmt;

use crate::accounts::Account;
use crate::accounts::terms::{LARGEST_CAP, TokenCap};
use crate::config::Reader;
use crate::metering::tally::Tally;

/// Shares of a cap, in percent, at which operators are alerted, once per month and account each.
pub const TOLD_PERCENTS: [u64; 3] = [80, 100, 150];
/// Share of a cap, in percent, from which callers are warned.
const WARN_PERCENT: u64 = 80;

/// Kinds of tokens that count against caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    input: bool,
    output: bool,
    cache_read: bool,
    cache_write: bool,
}

impl Counts {
    /// Reads `AI_TOKEN_CAP_COUNTS`: the kinds of tokens that count against caps, separated by commas: `input`,
    /// `output`, `cache_read`, `cache_write`. Default `input,cache_write,output`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.parsed("AI_TOKEN_CAP_COUNTS", Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut counts = Self { input: false, output: false, cache_read: false, cache_write: false };
        for kind in text.split(',').map(str::trim) {
            *match kind {
                "input" => &mut counts.input,
                "output" => &mut counts.output,
                "cache_read" => &mut counts.cache_read,
                "cache_write" => &mut counts.cache_write,
                _ => return Err(format!("has '{kind}'; the kinds are input, output, cache_read and cache_write")),
            } = true;
        }
        Ok(counts)
    }

    /// Returns the number of tokens of `tally` that count.
    pub fn counted(self, tally: &Tally) -> u64 {
        let figures = [
            (self.input, tally.input),
            (self.output, tally.output),
            (self.cache_read, tally.cache_read),
            (self.cache_write, tally.cache_write_5m),
            (self.cache_write, tally.cache_write_1h),
        ];
        let counted = figures.into_iter().filter(|(counts, _)| *counts).map(|(_, figure)| figure);
        u64::try_from(counted.fold(0, i64::saturating_add)).unwrap_or(0)
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self { input: true, output: true, cache_read: false, cache_write: true }
    }
}

/// Cap of accounts that have none of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapConfig {
    /// `AI_TOKEN_CAP_DEFAULT`: tokens a month (UTC) and account. Default 0: no cap; at most 1,000,000,000,000.
    pub default: u64,
}

impl CapConfig {
    /// Reads the variable named at the field.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self { default: reader.number("AI_TOKEN_CAP_DEFAULT", 0, 0..=LARGEST_CAP) }
    }

    /// Returns the cap of `account`, or `None` if it has none.
    pub fn for_account(&self, account: &Account) -> Option<TokenCap> {
        let limit = account.cap.limit.unwrap_or(self.default);
        (limit > 0).then_some(TokenCap { limit, mode: account.cap.mode })
    }
}

/// State of an account with respect to its cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// Below 80 % of the cap, or no cap.
    Ok,
    /// From 80 % to below 100 % of the cap.
    Warn,
    /// At 100 % of the cap or above.
    Over,
}

impl TokenState {
    /// Returns the state for `used` tokens of `limit`.
    pub fn from_usage(used: u64, limit: u64) -> Self {
        match percent(used, limit) {
            100.. => Self::Over,
            WARN_PERCENT.. => Self::Warn,
            _ => Self::Ok,
        }
    }
}

impl fmt::Display for TokenState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Over => "over",
        })
    }
}

/// Returns the whole percent of `limit` that are used. A `limit` of 0 is treated as 1.
pub fn percent(used: u64, limit: u64) -> u64 {
    u64::try_from(u128::from(used) * 100 / u128::from(limit.max(1))).unwrap_or(u64::MAX)
}

/// Returns the smallest number of tokens for which [`percent`] of `limit` is at least `share`.
pub fn tokens_at(share: u64, limit: u64) -> u64 {
    u64::try_from((u128::from(share) * u128::from(limit.max(1))).div_ceil(100)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::terms::{CapMode, CapOverride};
    use crate::clock::Timestamp;
    use crate::config::from_lookup;

    const TALLY: Tally = Tally {
        calls: 1,
        further_attempts: 0,
        estimated_calls: 0,
        other_tier_calls: 0,
        input: 1,
        output: 20,
        cache_read: 300,
        cache_write_5m: 4_000,
        cache_write_1h: 50_000,
        web_searches: 6,
        web_fetches: 7,
    };

    #[test]
    fn what_is_read_from_the_cache_counts_only_where_it_is_asked_for() {
        let counts = |text: &'static str| from_lookup(move |_| Some(text.to_owned()), Counts::read);
        assert_eq!(counts("").unwrap().counted(&TALLY), 54_021);
        assert_eq!(counts("input, output,cache_read,cache_write").unwrap().counted(&TALLY), 54_321);
        assert_eq!(counts("output").unwrap().counted(&TALLY), 20);
        let mistake = counts("input,tokens").unwrap_err().to_string();
        assert!(mistake.contains("AI_TOKEN_CAP_COUNTS has 'tokens'; the kinds are"), "{mistake}");
    }

    #[test]
    fn an_accounts_own_cap_goes_before_the_default_and_nothing_is_no_cap() {
        let account = |limit, mode| {
            let account = Account::new("acme", "Acme", Timestamp::from_secs(1));
            Account { cap: CapOverride { limit, mode }, ..account }
        };
        let cap = |limit, mode| Some(TokenCap { limit, mode });
        for (default, limit, expected) in
            [(0, None, None), (10, None, Some(10)), (10, Some(0), None), (10, Some(5), Some(5)), (0, Some(5), Some(5))]
        {
            let found = CapConfig { default }.for_account(&account(limit, CapMode::Warn));
            assert_eq!(found, expected.and_then(|limit| cap(limit, CapMode::Warn)), "{default} {limit:?}");
        }
        assert_eq!(CapConfig { default: 10 }.for_account(&account(None, CapMode::Block)), cap(10, CapMode::Block));
    }

    #[test]
    fn a_cap_is_near_from_four_fifths_on_and_over_when_it_is_used_up() {
        for (used, expected) in [
            (0, TokenState::Ok),
            (799, TokenState::Ok),
            (800, TokenState::Warn),
            (999, TokenState::Warn),
            (1_000, TokenState::Over),
        ] {
            assert_eq!(TokenState::from_usage(used, 1_000), expected, "{used}");
        }
        assert_eq!(percent(u64::MAX, 1), u64::MAX);
        assert_eq!(percent(1_500, 1_000), 150);
    }

    #[test]
    fn a_share_is_reached_at_its_tokens_and_not_before() {
        for limit in [1, 2, 3, 7, 99, 101, 1_000, 1_000_003] {
            for share in TOLD_PERCENTS {
                let tokens = tokens_at(share, limit);
                assert!(percent(tokens, limit) >= share && percent(tokens - 1, limit) < share, "{share} % of {limit}");
            }
        }
        assert_eq!((tokens_at(80, 1_000), tokens_at(150, u64::MAX)), (800, u64::MAX));
    }
}
