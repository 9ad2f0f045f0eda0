//! `GET /v1/usage`: usage of the caller's account in a month.

use std::sync::Arc;

use http::{Response, StatusCode};
use lambda_http::{Request, RequestExt};
use levee::http::usage::TooLong;
use levee::http::usage::UsageQuery;
use levee::http::{Caller, Problem};
use levee::metering::UsageReport;

use crate::config::CustomerApiState;

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
    only_known(request)?;
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

/// Refuses unknown and repeated parameters.
fn only_known(request: &Request) -> Result<(), Problem> {
    let Some(parameters) = request.query_string_parameters_ref() else { return Ok(()) };
    for (name, _) in parameters.iter() {
        if !PARAMETERS.contains(&name) {
            let known = PARAMETERS.join("' and '");
            return Err(invalid(format!("There is a parameter that is not known. The parameters are '{known}'.")));
        }
        if parameters.all(name).is_some_and(|values| values.len() > 1) {
            return Err(invalid(format!("'{name}' is there more than once.")));
        }
    }
    Ok(())
}

/// Returns a query parameter. An empty value counts as absent.
fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.query_string_parameters_ref()?.first(name).filter(|value| !value.is_empty())
}

fn invalid(sentence: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", sentence)
}

fn unavailable(request_id: &str, error: &str) -> Problem {
    tracing::error!(code = "usage.unreadable", request.id = request_id, error, "usage cannot be read");
    let detail = format!("Usage cannot be read right now. Retry in {RETRY_AFTER_SECS} seconds.");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(RETRY_AFTER_SECS)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn checked(query: &[(&str, &[&str])]) -> Result<(), String> {
        let values = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        let query: HashMap<_, _> = query.iter().map(|(name, it)| ((*name).to_owned(), values(it))).collect();
        only_known(&Request::default().with_query_string_parameters(query)).map_err(|problem| problem.detail)
    }

    #[test]
    fn a_parameter_that_is_not_known_is_refused_and_so_is_one_that_is_there_twice() {
        assert_eq!(checked(&[]), Ok(()));
        assert_eq!(checked(&[("month", &["2026-11"]), ("format", &["csv"])]), Ok(()));
        let unknown = "There is a parameter that is not known. The parameters are 'month' and 'format'.";
        assert_eq!(checked(&[("account", &["globex"])]).unwrap_err(), unknown);
        let twice = checked(&[("month", &["2026-10", "2026-11"])]).unwrap_err();
        assert_eq!(twice, "'month' is there more than once.");
    }
}
