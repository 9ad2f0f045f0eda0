//! Tokens that each account used in this month.

use levee::accounts::Account;
use levee::metering::Month;
use levee::metering::months::projected;
use serde::Serialize;

use super::Parts;

/// Usage of one account in this month (UTC).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokensReport {
    /// Id of the account.
    pub account: String,
    /// Tokens that count against caps.
    pub used: u64,
    /// Number of AI calls.
    pub calls: u64,
    /// Token cap of the month; `None` if there is none.
    pub cap: Option<u64>,
    /// Used part of the cap, in percent.
    pub percent: Option<f64>,
    /// Tokens at the end of the month, at the present rate.
    pub projected: u64,
}

/// Reads the usage of `accounts`, highest first. Accounts that made no call are left out.
pub(super) async fn read(parts: &Parts<'_>, accounts: Option<&[Account]>) -> Option<Vec<TokensReport>> {
    let (now, state) = (parts.call.now, parts.call.state);
    let Some(accounts) = accounts else {
        parts.failed("tokens", "the accounts are not known");
        return None;
    };
    let (month, _) = Month::from_timestamp(now);
    let ids: Vec<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
    // Read the sums of all accounts at once.
    let mut months = parts.read("tokens", state.months.totals(&ids, month)).await?;
    let mut reports: Vec<TokensReport> = Vec::new();
    for account in accounts {
        let total = months.remove(&account.id).unwrap_or_default();
        if total.is_zero() {
            continue;
        }
        let used = state.counts.counted(&total);
        let cap = state.cap.for_account(account).map(|cap| cap.limit);
        reports.push(TokensReport {
            account: account.id.clone(),
            used,
            calls: u64::try_from(total.calls).unwrap_or(0),
            cap,
            percent: cap.map(|cap| used as f64 * 100.0 / cap as f64),
            projected: projected(used, month, now),
        });
    }
    reports.sort_by_key(|report| std::cmp::Reverse(report.used));
    Some(reports)
}
