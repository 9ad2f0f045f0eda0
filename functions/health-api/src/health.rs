//! `/health`: the health of the platform in one word, for everyone. It reveals nothing else, and an answer from memory
//! reads no store.

use std::sync::Mutex;
use std::time::Duration;

use http::StatusCode;
use levee::clock::Timestamp;
use levee::stores::with_timeout;
use levee::sync::lock;
use levee::web::{Answer, WebError, json};
use redis::aio::MultiplexedConnection;
use serde::Serialize;

use crate::breakers;
use crate::config::BoardState;
use crate::site::Call;

/// Time for which an environment repeats its last answer, so that callers of `/health` cannot keep the stores busy.
const REMEMBERED: Duration = Duration::from_secs(2);

/// Health of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Requests are authorized and their limits are checked.
    Up,
    /// Requests are authorized, but something else does not work, such as Redis or every AI provider.
    Degraded,
    /// Requests cannot be authorized.
    Down,
}

/// Last health that was found, and the moment of finding it.
#[derive(Debug, Default)]
pub(crate) struct HealthCache(Mutex<Option<(Health, Timestamp)>>);

impl HealthCache {
    fn get(&self, now: Timestamp) -> Option<Health> {
        let last = *lock(&self.0);
        last.filter(|(_, at)| *at <= now && now < at.plus(REMEMBERED)).map(|(health, _)| health)
    }

    fn set(&self, health: Health, now: Timestamp) {
        *lock(&self.0) = Some((health, now));
    }
}

pub(crate) async fn answer(call: &Call<'_>) -> Result<Answer, WebError> {
    // Repeat a recent answer, or look again.
    let health = match call.state.health.get(call.now) {
        Some(health) => health,
        None => {
            let health = find_out(call).await;
            call.state.health.set(health, call.now);
            health
        }
    };
    // Only `down` has an error status. `degraded` is an answer with 200.
    let status = if health == Health::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Ok(json(status, &serde_json::json!({ "status": health })))
}

async fn find_out(call: &Call<'_>) -> Health {
    // Read the accounts table, ping Redis and read the breakers at the same time.
    let ping =
        async |mut connection: MultiplexedConnection| redis::cmd("PING").query_async::<()>(&mut connection).await;
    let state = call.state;
    let breakers = with_timeout(state.store_timeout, breakers::read(state, &state.providers, call.now));
    let (accounts, redis, breakers) = tokio::join!(accounts_are_readable(state), state.redis.run(ping), breakers);
    let serves = breakers.is_ok_and(|providers| !breakers::none_takes_calls(&providers));
    // Without the accounts table, new callers cannot be authorized. Any other failure only degrades the platform.
    match (accounts, redis) {
        (Err(error), _) => {
            tracing::error!(
                code = "accounts.unreachable",
                request.id = call.request_id,
                error,
                "callers cannot be authorized"
            );
            Health::Down
        }
        (Ok(()), Ok(())) if serves => Health::Up,
        (Ok(()), _) => Health::Degraded,
    }
}

/// Checks that the table of accounts and keys can be read.
pub(crate) async fn accounts_are_readable(state: &BoardState) -> Result<(), String> {
    with_timeout(state.store_timeout, state.accounts.key("")).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_said_again_for_two_seconds() {
        let remembered = HealthCache::default();
        let at = Timestamp::from_secs(1_700_000_000);
        assert_eq!(remembered.get(at), None);
        remembered.set(Health::Degraded, at);
        assert_eq!(remembered.get(at.plus(Duration::from_millis(1_999))), Some(Health::Degraded));
        assert_eq!(remembered.get(at.plus(REMEMBERED)), None);
        assert_eq!(
            remembered.get(Timestamp::from_secs(1_699_999_999)),
            None,
            "a clock that was set back proves nothing"
        );
    }
}
