//! Breakers of the AI providers: their state, their decisions, and overrides by admins.

mod page;
mod report;
mod word;

use futures_util::future::try_join_all;
use http::StatusCode;
use levee::breaker::{BreakersTableError, Mode, Peek, peek};
use levee::clock::Timestamp;
use levee::web::{self, Answer, WebError};
use serde_json::json;

pub(crate) use self::page::{bar, class, link, page};
pub use self::report::BreakerReport;
use self::report::Decision;
pub(crate) use self::word::{force, pin, release};
use crate::config::BoardState;
use crate::error;
use crate::site::Call;

/// Reads the state of `providers`. If Redis cannot be reached, the figures that it holds are left out.
pub(crate) async fn read(
    state: &BoardState,
    providers: &[String],
    now: Timestamp,
) -> Result<Vec<BreakerReport>, BreakersTableError> {
    // Read the decisions from DynamoDB and the figures from Redis at the same time.
    let decided = try_join_all(providers.iter().map(|provider| state.breakers.read(provider)));
    let (decided, seen) = tokio::join!(decided, peek(&state.redis, providers, now));
    let seen = seen.unwrap_or_else(|_| vec![Peek::default(); providers.len()]);
    let all = providers.iter().zip(decided?).zip(seen);
    Ok(all.map(|((name, state), seen)| BreakerReport::new(name, &state, seen, now)).collect())
}

/// Returns true if no provider takes AI calls according to its breaker: each has been given up, or is held open by an
/// admin. A provider that is being probed takes calls, although its share is 0.
pub(crate) fn none_takes_calls(providers: &[BreakerReport]) -> bool {
    let is_probed = |provider: &BreakerReport| provider.mode == Some(Mode::Probe) && provider.forced_until.is_none();
    let takes_none = |provider: &BreakerReport| provider.share == Some(0.0) && !is_probed(provider);
    !providers.is_empty() && providers.iter().all(takes_none)
}

/// Answers with the state of all providers, in order of preference.
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, WebError> {
    let breakers = read(call.state, &call.state.providers, call.now).await.map_err(error::breakers)?;
    Ok(web::json(StatusCode::OK, &json!({ "breakers": breakers })))
}

/// Answers with the state of one provider.
pub(crate) async fn one(call: &Call<'_>) -> Result<Answer, WebError> {
    Ok(web::json(StatusCode::OK, &standing(call).await?))
}

/// Answers with a page of decisions about one provider.
pub(crate) async fn history(call: &Call<'_>) -> Result<Answer, WebError> {
    known(call)?;
    let (decisions, next) = decisions(call).await?;
    Ok(web::json(StatusCode::OK, &json!({ "decisions": decisions, "next": next })))
}

/// Checks that the path names a provider.
fn known(call: &Call<'_>) -> Result<(), WebError> {
    if call.state.providers.iter().any(|name| name == call.id) { Ok(()) } else { Err(WebError::NotFound) }
}

async fn standing(call: &Call<'_>) -> Result<BreakerReport, WebError> {
    known(call)?;
    let found = read(call.state, &[call.id.to_owned()], call.now).await.map_err(error::breakers)?;
    found.into_iter().next().ok_or(WebError::NotFound)
}

/// Reads a page of decisions, newest first, after the decision that the caller names. Also returns the generation of
/// the page's last decision if there may be more.
async fn decisions(call: &Call<'_>) -> Result<(Vec<Decision>, Option<u64>), WebError> {
    let mistake = |_| WebError::Invalid("'after' takes what a page before said.".to_owned());
    let after = call.query("after").map(str::parse).transpose().map_err(mistake)?;
    let limit = call.limit()?;
    let most = u16::try_from(limit).unwrap_or(u16::MAX);
    let found = call.state.breakers.history(call.id, after, most).await.map_err(error::breakers)?;
    // Only a full page may be followed by another one.
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.to.generation);
    Ok((found.iter().map(Decision::from_transition).collect(), next))
}
