//! `GET /v1/usage`: usage of the caller's account in a month.

use std::sync::Arc;

use http::{Response, StatusCode};
use lambda_http::Request;
use levee::http::usage::TooLong;
use levee::http::usage::UsageQuery;
use levee::http::{Caller, Problem};
use levee::metering::UsageReport;

use crate::config::CustomerApiState;
use crate::parameters::{invalid, only_known, parameter};

/// Query parameters of the route.
const PARAMETERS: [&str; 2] = ["month", "format"];
/// `Retry-After` while the table cannot be read, seconds.
const RETRY_AFTER_SECS: u64 = 5;

/// Answers with the usage of the caller's account.
pub(crate) async fn answer(
    state: &CustomerApiState,
    caller: &Caller,
    request: &Request,
    request_id: &str,
) -> Result<Response<String>, Problem> {
    // Parse the parameters.
    let now = state.clock.now();
    only_known(request, &PARAMETERS)?;
    let asked = UsageQuery::read(parameter(request, "month"), parameter(request, "format"), request.headers(), now)
        .map_err(|mistake| invalid(mistake.to_string()))?;

    // Read the sums and the number of open calls concurrently, within one time limit.
    let (account, month) = (caller.account.as_str(), asked.month);
    let open = state.open.get_or_read(now, async || state.ledger.open_by_month().await.map(Arc::new));
    let read = async { tokio::join!(state.months.read(account, month), open) };
    let Ok((lines, open)) = tokio::time::timeout(state.store_timeout, read).await else {
        return Err(unavailable(request_id, &format!("no answer within {:?}", state.store_timeout)));
    };
    let lines = lines.map_err(|error| unavailable(request_id, &error.to_string()))?;
    let open_calls = open.map_err(|error| unavailable(request_id, &error.to_string()))?.count(account, month);

    // Build the report, and answer in the requested format.
    let cap = caller.terms.cap;
    let report = UsageReport::new(account, month, &lines, open_calls, cap, state.counts, &state.prices, now);
    asked.answer(&report, [&report]).map_err(TooLong::problem)
}

fn unavailable(request_id: &str, error: &str) -> Problem {
    tracing::error!(code = "usage.unreadable", request.id = request_id, error, "usage cannot be read");
    let detail = format!("Usage cannot be read right now. Retry in {RETRY_AFTER_SECS} seconds.");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(RETRY_AFTER_SECS)
}
