//! Clients of external services: Redis, DynamoDB, Secrets Manager and CloudWatch Logs.
//!
//! No client connects before its first use, and every wait is bounded. [`redis::Redis`] gives each decision one
//! budget, and a guard lets an outage delay one caller instead of all. [`dynamodb`] bounds each call including
//! retries.

pub mod aws;
pub mod dynamodb;
pub mod logs;
pub mod redis;
pub mod secrets;

use std::fmt::Display;
use std::time::Duration;

/// Runs `work` for at most `limit`.
///
/// # Errors
/// The text of the error from `work`, or a message that there was no answer within `limit`.
pub async fn with_timeout<T, E: Display>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_and_a_time_out_are_told_apart() {
        let limit = Duration::from_millis(500);
        assert_eq!(with_timeout(limit, async { Ok::<_, String>(1) }).await, Ok(1));
        assert_eq!(with_timeout(limit, async { Err::<(), _>("refused") }).await, Err("refused".to_owned()));
        let never = std::future::pending::<Result<(), String>>();
        assert_eq!(with_timeout(limit, never).await, Err("no answer within 500ms".to_owned()));
    }
}
