//! Monthly usage of accounts for programs, as JSON and as CSV.

use std::fmt::Display;

use http::HeaderValue;
use http::header::LINK;
use levee::accounts::TokenCap;
use levee::http::usage::UsageQuery;
use levee::metering::{Month, UsageLine, UsageReport};
use levee::stores;
use levee::web::{Answer, WebError, is_name};
use serde::Serialize;
use url::form_urlencoded::byte_serialize;

use crate::error;
use crate::site::Call;

const PATH: &str = "/admin/api/usage";
/// Maximum number of lines in an answer about several accounts. It keeps the answer, and the data read for it, well
/// below the 6 MB that a function may return.
const MOST_LINES: usize = 8_000;

/// One page of accounts.
#[derive(Debug, Serialize)]
struct UsagePage<'a> {
    month: Month,
    accounts: &'a [UsageReport],
    /// Id of the account after which the next page begins.
    next: Option<String>,
}

/// Answers with the usage of a page of accounts.
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, WebError> {
    let asked = query(call)?;
    let (after, limit) = (call.query_name("after")?, call.limit()?);

    // Read the accounts, then their usage as far as it fits into one answer, and the number of open calls.
    let (state, month) = (call.state, asked.month);
    let (accounts, next) = in_time(call, state.accounts.accounts(after, limit)).await?;
    let ids: Vec<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
    let (used, open) = tokio::join!(
        in_time(call, state.months.read_first(&ids, month, MOST_LINES)),
        in_time(call, state.ledger.open_by_month()),
    );
    let (used, open) = (used?, open?);

    // The next page begins with the first account that did not fit.
    let next = next_after(&ids, used.len(), next);
    let reports: Vec<UsageReport> = accounts
        .iter()
        .zip(&used)
        .map(|(account, lines)| {
            report(call, &account.id, state.cap.for_account(account), month, lines, open.count(&account.id, month))
        })
        .collect();
    // Write the answer, with a link to the next page.
    let mut answer = asked.answer(&UsagePage { month, accounts: &reports, next: next.clone() }, &reports)?;
    if let Some(link) = next.and_then(|next| link(call, &asked, &next, limit)) {
        answer.headers_mut().insert(LINK, link);
    }
    Ok(answer)
}

/// Answers with the usage of one account. The usage of a deleted account is kept.
pub(crate) async fn one(call: &Call<'_>) -> Result<Answer, WebError> {
    let asked = query(call)?;
    let (state, id, month) = (call.state, call.id, asked.month);
    if !is_name(id) {
        return Err(WebError::NotFound);
    }
    // Read the account, its usage and the number of open calls at the same time.
    let (account, lines, open) = tokio::join!(
        in_time(call, state.accounts.account(id)),
        in_time(call, state.months.read(id, month)),
        in_time(call, state.ledger.open_by_month()),
    );
    let (account, lines, open_calls) = (account?.map(|it| it.account), lines?, open?.count(id, month));

    // Check that the account exists, or that a deleted one was used in that month.
    if account.is_none() && lines.is_empty() {
        return Err(WebError::NotFound);
    }
    let cap = account.and_then(|account| state.cap.for_account(&account));
    let report = report(call, id, cap, month, &lines, open_calls);
    Ok(asked.answer(&report, [&report])?)
}

fn report(
    call: &Call<'_>,
    account: &str,
    cap: Option<TokenCap>,
    month: Month,
    lines: &[UsageLine],
    open_calls: u64,
) -> UsageReport {
    let state = call.state;
    UsageReport::new(account, month, lines, open_calls, cap, state.counts, &state.prices, call.now)
}

fn query(call: &Call<'_>) -> Result<UsageQuery, WebError> {
    let asked = UsageQuery::read(call.query("month"), call.query("format"), call.headers(), call.now);
    asked.map_err(|mistake| WebError::Invalid(mistake.to_string()))
}

/// Awaits `read` for at most twice the time-out of one read: a page of accounts takes several reads in sequence.
async fn in_time<T, E: Display>(call: &Call<'_>, read: impl Future<Output = Result<T, E>>) -> Result<T, WebError> {
    stores::with_timeout(call.state.store_timeout * 2, read).await.map_err(error::usage)
}

/// Returns the account after which the next page begins. This page has the first `told` of `ids`. The accounts behind
/// `ids` begin after `next`.
fn next_after(ids: &[&str], told: usize, next: Option<String>) -> Option<String> {
    match ids.get(..told) {
        Some([.., last]) if told < ids.len() => Some((*last).to_owned()),
        _ => next,
    }
}

/// Returns the header that links the next page (RFC 8288). CSV has no other place for it.
fn link(call: &Call<'_>, asked: &UsageQuery, next: &str, limit: usize) -> Option<HeaderValue> {
    let after: String = byte_serialize(next.as_bytes()).collect();
    let (page, month, format) = (call.links.to(PATH), asked.month, asked.format.name());
    let link = format!("<{page}?month={month}&format={format}&limit={limit}&after={after}>; rel=\"next\"");
    HeaderValue::from_str(&link).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_ends_early_goes_on_where_it_ended() {
        let ids = ["acme", "globex", "initech"];
        let next = |told, next: Option<&str>| next_after(&ids, told, next.map(str::to_owned));
        assert_eq!(next(1, None).as_deref(), Some("acme"));
        assert_eq!(next(2, Some("initech")).as_deref(), Some("globex"));
        assert_eq!(next(3, Some("initech")).as_deref(), Some("initech"));
        assert_eq!(next(3, None), None);
        assert_eq!(next_after(&[], 0, None), None);
    }
}
