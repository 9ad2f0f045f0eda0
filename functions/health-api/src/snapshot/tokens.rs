//! Tokens: what each account used in this month.

use levee::metering::months::{Total, projected};
use serde::Serialize;

use super::Parts;

/// What an account used in this month (UTC).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokensReport {
    /// The account's id.
    pub account: String,
    /// Tokens of all kinds.
    pub used: u64,
    /// AI calls.
    pub calls: u64,
    /// The most that it may use; no account has a cap yet.
    pub cap: Option<u64>,
    /// How much of the cap is used.
    pub percent: Option<f64>,
    /// What the month comes to if it goes on like that.
    pub projected: u64,
}

/// Reads the sums of `accounts`, the most first; those that made no call are left out.
pub(super) async fn read(parts: &Parts<'_>, accounts: Option<&[&str]>) -> Option<Vec<TokensReport>> {
    let now = parts.call.now;
    let Some(accounts) = accounts else {
        parts.failed("tokens", "the accounts are not known");
        return None;
    };
    let totals = parts.read("tokens", parts.call.state.months.totals(accounts, now)).await?;
    let report = |(account, total): (String, Total)| {
        let used = total.tokens();
        TokensReport { account, used, calls: total.calls, cap: None, percent: None, projected: projected(used, now) }
    };
    let mut reports: Vec<TokensReport> = totals.into_iter().map(report).collect();
    reports.sort_by_key(|report| std::cmp::Reverse(report.used));
    Some(reports)
}
