//! Recent results of providers, for the board. Reading them counts no call, lets none through, and takes no turn to
//! evaluate.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::evidence::Totals;
use super::mirror::{breaker, counts};
use crate::clock::Timestamp;
use crate::stores::redis::{Redis, Unavailable};

/// Maximum age of results, if no decision was made since.
const LOOKED_BACK: Duration = Duration::from_secs(300);

/// Results of a provider since the present decision, 5 minutes back at most.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Peek {
    /// Ratio of bad or throttled calls, 0 to 1; `None` if no call has ended.
    pub failure_ratio: Option<f64>,
    /// Ratio of late calls, 0 to 1; `None` if it is not known of any call.
    pub slow_ratio: Option<f64>,
    /// Recent time to the first content of streams.
    pub first_content: Option<Duration>,
}

/// Returns the results of each of `providers` in all environments. One round trip.
///
/// # Errors
/// Returns [`Unavailable`] if Redis cannot be asked.
pub async fn peek(redis: &Redis, providers: &[String], now: Timestamp) -> Result<Vec<Peek>, Unavailable> {
    let all = async |mut connection: MultiplexedConnection| {
        let mut pipeline = redis::pipe();
        for provider in providers {
            pipeline.hgetall(breaker(provider));
        }
        pipeline.query_async::<Vec<HashMap<String, String>>>(&mut connection).await
    };
    let all = redis.run(all).await?;
    Ok(all.iter().map(|fields| Peek::from_fields(fields, now)).collect())
}

impl Peek {
    /// Computes the ratios from the fields of a provider's breaker; standing.lua lists these.
    fn from_fields(fields: &HashMap<String, String>, now: Timestamp) -> Self {
        let since = now.minus(LOOKED_BACK).as_secs();
        let seconds = fields.iter().filter_map(|(field, text)| {
            let at = field.strip_prefix("s:")?.parse().ok().filter(|at| *at > since)?;
            counts(at, text)
        });
        let sum = Totals::from_seconds(&seconds.collect::<Vec<_>>());
        Self {
            failure_ratio: ratio(sum.troubled(), sum.results),
            slow_ratio: ratio(sum.late, sum.late + sum.on_time),
            first_content: fields.get("first").and_then(|first| first.parse().ok()).map(Duration::from_millis),
        }
    }
}

fn ratio(part: u32, all: u32) -> Option<f64> {
    (all > 0).then(|| f64::from(part) / f64::from(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

    fn peek(fields: &[(String, &str)]) -> Peek {
        Peek::from_fields(&fields.iter().map(|(field, text)| (field.clone(), (*text).to_owned())).collect(), NOW)
    }

    #[test]
    fn ratios_are_of_the_last_five_minutes_and_of_what_has_come_to_something() {
        let second = |ago: u64| format!("s:{}", NOW.as_secs() - ago);
        let seen = [(second(0), "5 1 2 1 3"), (second(299), "1 1 0 0 0"), (second(300), "0 99 0 99 0")];
        let known = [("first".to_owned(), "420"), ("state".to_owned(), "{}"), ("s:x".to_owned(), "1")];
        let seen = peek(&[&seen[..], &known[..]].concat());
        assert_eq!((seen.failure_ratio, seen.slow_ratio), (Some(0.4), Some(0.25)));
        assert_eq!(seen.first_content, Some(Duration::from_millis(420)));
    }

    #[test]
    fn of_what_nobody_has_called_nothing_is_known() {
        assert_eq!(peek(&[]), Peek::default());
        assert_eq!(peek(&[(format!("s:{}", NOW.as_secs()), "0 0 0 0 0")]), Peek::default());
    }
}
