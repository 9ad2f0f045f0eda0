//! `/health`: how the platform is, in a word, for anyone; so it says nothing more, and costs next to nothing.

use std::sync::Mutex;
use std::time::Duration;

use http::StatusCode;
use levee::clock::Timestamp;
use levee::stores::with_timeout;
use levee::sync::lock;
use redis::aio::MultiplexedConnection;
use serde::Serialize;

use crate::answer::{Answer, json};
use crate::breakers;
use crate::call::Call;
use crate::config::State;

/// How long an environment says the same again, so that nobody can use it to keep the stores busy.
const REMEMBERED: Duration = Duration::from_secs(2);

/// How the platform is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Requests are authorized, and their limits checked.
    Up,
    /// Requests are authorized, and something else does not work: Redis, or every AI provider.
    Degraded,
    /// Requests cannot be authorized.
    Down,
}

/// What was found last, and when.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Option<(Health, Timestamp)>>);

impl Remembered {
    fn get(&self, now: Timestamp) -> Option<Health> {
        let last = *lock(&self.0);
        last.filter(|(_, at)| *at <= now && now < at.plus(REMEMBERED)).map(|(health, _)| health)
    }

    fn set(&self, health: Health, now: Timestamp) {
        *lock(&self.0) = Some((health, now));
    }
}

pub(crate) async fn answer(call: &Call<'_>) -> Answer {
    let health = match call.state.health.get(call.now) {
        Some(health) => health,
        None => {
            let health = find_out(call).await;
            call.state.health.set(health, call.now);
            health
        }
    };
    let status = if health == Health::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    json(status, &serde_json::json!({ "status": health }))
}

async fn find_out(call: &Call<'_>) -> Health {
    let ping =
        async |mut connection: MultiplexedConnection| redis::cmd("PING").query_async::<()>(&mut connection).await;
    let state = call.state;
    let breakers = with_timeout(state.store_timeout, breakers::read(state, &state.providers, call.now));
    let (accounts, redis, breakers) = tokio::join!(accounts_are_readable(state), state.redis.run(ping), breakers);
    let serves = breakers.is_ok_and(|providers| !breakers::none_takes_calls(&providers));
    match (accounts, redis) {
        (Err(error), _) => {
            tracing::error!(
                code = "accounts.unreachable",
                request.id = call.request_id,
                error,
                "nobody new can be authorized"
            );
            Health::Down
        }
        (Ok(()), Ok(())) if serves => Health::Up,
        (Ok(()), _) => Health::Degraded,
    }
}

/// Whether the table can be read that says who is calling.
pub(crate) async fn accounts_are_readable(state: &State) -> Result<(), String> {
    with_timeout(state.store_timeout, state.accounts.key("")).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_said_again_for_two_seconds() {
        let remembered = Remembered::default();
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
