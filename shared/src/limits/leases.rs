//! Calls in flight: taken by the authorizer until the proxy has the call, extended by the proxy a while at a time, and given
//! back when the call is over. One that is never given back ends by itself, soon: where a call never reached the proxy,
//! where the proxy was killed, and where Redis could not be told.

use std::time::Duration;

use super::config::MOST_POLICIES;
use crate::clock::Timestamp;
use crate::stores::redis::{Redis, Unavailable};

/// How long a call holds its place before the proxy has it. One that the gateway refuses after it was authorized never
/// arrives.
pub const UNTIL_ARRIVAL: Duration = Duration::from_secs(30);

/// What every set of calls in flight is named by first.
const PREFIX: &str = "{levee}:lease:";

/// Reads the sets that an authorizer context names. What is no such set is left out, and so is what comes after as many as
/// one call can be in.
pub fn parse(text: &str) -> Vec<String> {
    let sets = text.split_ascii_whitespace().filter(|set| set.starts_with(PREFIX));
    sets.take(MOST_POLICIES).map(str::to_owned).collect()
}

/// Makes the call `id` hold its places in the sets `leases` until `until`. What it does not hold any more stays free.
///
/// # Errors
/// When Redis cannot be asked; the call's places are free when what they were extended by last is over.
pub async fn extend(redis: &Redis, leases: &[String], id: &str, until: Timestamp) -> Result<(), Unavailable> {
    let mut commands = redis::pipe();
    for lease in leases {
        commands.cmd("ZADD").arg(lease).arg("XX").arg(until.as_millis()).arg(id).ignore();
    }
    let commands = &commands;
    redis.run(async |mut connection| commands.query_async::<()>(&mut connection).await).await
}

/// Gives back what the call `id` holds in the sets `leases`. Giving back twice is no harm.
///
/// # Errors
/// When Redis cannot be asked; the call's places are then free when what they were extended by is over.
pub async fn release(redis: &Redis, leases: &[String], id: &str) -> Result<(), Unavailable> {
    let mut commands = redis::pipe();
    for lease in leases {
        commands.cmd("ZREM").arg(lease).arg(id).ignore();
    }
    let commands = &commands;
    redis.run(async |mut connection| commands.query_async::<()>(&mut connection).await).await
}

/// Connects ahead of the first call that is to be given back. Failing is no harm: giving back tries again.
pub async fn warm_up(redis: &Redis) {
    redis.warm_up(async |mut connection| redis::cmd("PING").query_async(&mut connection).await).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::limits::{Charge, LimitsConfig, Subject};

    #[test]
    fn the_sets_that_a_charge_names_are_read_and_nothing_else_is() {
        let policies = LimitsConfig::default().policies;
        let named = |policy: &str| {
            let policy = Arc::clone(policies.iter().find(|it| it.name == policy).unwrap());
            Charge { policy, subject: Subject("acme".to_owned()), weight: 1 }.leases()
        };
        let sets = [named("in-flight"), named("global-in-flight")];
        assert_eq!(parse(&sets.join(" ")), sets);
        assert_eq!(parse(&format!("{{levee}}:limit:account:acme:60:0  {}", sets[0])), sets[..1]);
        assert!(parse("").is_empty());
        let many: Vec<String> = (0..99).map(|n| format!("{PREFIX}in-flight:a{n}")).collect();
        assert_eq!(parse(&many.join(" ")), many[..MOST_POLICIES]);
    }
}
