//! What accounts used in a month, for programs: as JSON and as CSV.

use std::fmt::Display;

use http::HeaderValue;
use http::header::LINK;
use levee::accounts::Account;
use levee::metering::{Asked, Line, Month, UsageReport};
use serde::Serialize;
use tokio::time::timeout;
use url::form_urlencoded::byte_serialize;

use crate::answer::Answer;
use crate::call::{Call, is_name};
use crate::failed::Failed;

const PATH: &str = "/admin/api/usage";
/// The most lines of an answer about several accounts, so that it stays well below the 6 MB that a function may answer.
const MOST_LINES: usize = 8_000;

/// A page of accounts.
#[derive(Debug, Serialize)]
struct Page<'a> {
    month: Month,
    accounts: &'a [UsageReport],
    /// The account after which the next page begins.
    next: Option<String>,
}

/// What each of a page of accounts used.
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, Failed> {
    let asked = asked(call)?;
    let (after, limit) = (call.query_name("after")?, call.limit()?);

    // Read the accounts, what each used, and how many of its calls are not over.
    let (state, month) = (call.state, asked.month);
    let (accounts, mut next) = in_time(call, state.accounts.accounts(after, limit)).await?;
    let ids: Vec<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
    let (months, open) = tokio::join!(
        in_time(call, state.months.read_all(&ids, month)),
        in_time(call, state.ledger.open_by_account(month)),
    );
    let (mut months, open) = (months?, open?);

    // Report as much as one answer holds.
    let used: Vec<Vec<Line>> = ids.iter().map(|id| months.remove(*id).unwrap_or_default()).collect();
    let fitting = fitting(used.iter().map(Vec::len));
    if fitting < accounts.len() {
        next = accounts.get(fitting - 1).map(|last| last.id.clone());
    }
    let open_calls = |id: &str| open.get(id).copied().unwrap_or(0);
    let reports: Vec<UsageReport> = accounts
        .iter()
        .zip(&used)
        .take(fitting)
        .map(|(account, lines)| report(call, account, month, lines, open_calls(&account.id)))
        .collect();
    let mut answer = asked.answer(&Page { month, accounts: &reports, next: next.clone() }, &reports);
    if let Some(link) = next.and_then(|next| link(call, &asked, &next, limit)) {
        answer.headers_mut().insert(LINK, link);
    }
    Ok(answer)
}

/// What one account used.
pub(crate) async fn one(call: &Call<'_>) -> Result<Answer, Failed> {
    let asked = asked(call)?;

    // Check that there is such an account.
    let (state, id) = (call.state, call.id);
    let found = if is_name(id) { in_time(call, state.accounts.account(id)).await? } else { None };
    let account = found.ok_or(Failed::NotFound)?.account;

    let (lines, open_calls) = tokio::join!(
        in_time(call, state.months.read(id, asked.month)),
        in_time(call, state.ledger.open_calls(id, asked.month)),
    );
    let report = report(call, &account, asked.month, &lines?, open_calls?);
    Ok(asked.answer(&report, [&report]))
}

fn report(call: &Call<'_>, account: &Account, month: Month, lines: &[Line], open_calls: u64) -> UsageReport {
    let (state, cap) = (call.state, call.state.cap.of(account));
    UsageReport::new(&account.id, month, lines, open_calls, cap, state.counts, &state.prices, call.now)
}

fn asked(call: &Call<'_>) -> Result<Asked, Failed> {
    let asked = Asked::read(call.query("month"), call.query("format"), call.headers(), call.now);
    asked.map_err(|mistake| Failed::Invalid(mistake.to_string()))
}

/// What `read` finds. A page of accounts is several reads, one after the other.
async fn in_time<T, E: Display>(call: &Call<'_>, read: impl Future<Output = Result<T, E>>) -> Result<T, Failed> {
    let budget = call.state.store_timeout * 2;
    match timeout(budget, read).await {
        Ok(found) => found.map_err(Failed::usage),
        Err(_) => Err(Failed::usage(format!("no answer within {budget:?}"))),
    }
}

/// How many of the first accounts, whose reports have so many `lines` each, one answer holds: one at least.
fn fitting(lines: impl Iterator<Item = usize>) -> usize {
    let sums = lines.scan(0, |sum: &mut usize, lines| {
        *sum += lines;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= MOST_LINES).count().max(1)
}

/// Where the next page is (RFC 8288): CSV has no other place for it.
fn link(call: &Call<'_>, asked: &Asked, next: &str, limit: usize) -> Option<HeaderValue> {
    let after: String = byte_serialize(next.as_bytes()).collect();
    let (page, month, format) = (call.links.to(PATH), asked.month, asked.format.name());
    let link = format!("<{page}?month={month}&format={format}&limit={limit}&after={after}>; rel=\"next\"");
    HeaderValue::from_str(&link).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_accounts_up_to_its_bound_and_one_at_least() {
        for (lines, expected) in
            [(&[10, 20, 30][..], 3), (&[MOST_LINES, 0, 1, 0], 2), (&[MOST_LINES - 1, 2], 1), (&[MOST_LINES + 1, 1], 1)]
        {
            assert_eq!(fitting(lines.iter().copied()), expected, "{lines:?}");
        }
    }
}
