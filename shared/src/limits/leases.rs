//! Leases: the places of calls in flight.
//!
//! The authorizer takes them until the proxy has the call. The proxy extends them while the call runs, and releases
//! them when it ends. A lease that is never released expires soon by itself: if the call never reached the proxy, if
//! the proxy was killed, or if Redis could not be reached.

use std::time::Duration;

use super::config::MOST_POLICIES;
use crate::clock::Timestamp;
use crate::stores::redis::{Redis, Unavailable};

/// Time for which the authorizer takes a lease. A call that the gateway refuses after authorization never reaches the
/// proxy.
pub const UNTIL_ARRIVAL: Duration = Duration::from_secs(30);

/// Prefix of the Redis keys of all sets of calls in flight.
const PREFIX: &str = "{levee}:lease:";

/// Parses the sets that an authorizer context names. Other words are left out, and so are sets beyond the largest
/// number that one call can be in.
pub fn parse(text: &str) -> Vec<String> {
    let sets = text.split_ascii_whitespace().filter(|set| set.starts_with(PREFIX));
    sets.take(MOST_POLICIES).map(str::to_owned).collect()
}

/// Extends the leases of the call `id` in the sets `leases` until `until`. A lease that has expired and was removed
/// stays free.
///
/// # Errors
/// [`Unavailable`] if Redis cannot be reached. The leases then expire when their last extension ends.
pub async fn extend(redis: &Redis, leases: &[String], id: &str, until: Timestamp) -> Result<(), Unavailable> {
    let mut commands = redis::pipe();
    for lease in leases {
        commands.cmd("ZADD").arg(lease).arg("XX").arg(until.as_millis()).arg(id).ignore();
    }
    let commands = &commands;
    redis.run(async |mut connection| commands.query_async::<()>(&mut connection).await).await
}

/// The leases of one call that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Id of the call.
    pub id: String,
    /// The sets that hold the call.
    pub leases: Vec<String>,
    /// The moment at which the last of the leases has expired at the latest. A later release has no effect.
    pub until: Timestamp,
}

/// Releases the leases of calls. Each release names its call, so that it frees no other call's place, and releasing
/// twice has no further effect.
///
/// # Errors
/// [`Unavailable`] if Redis cannot be reached, or is not to be asked at the moment. The leases then expire when their
/// last extension ends.
pub async fn release(redis: &Redis, releases: &[Release]) -> Result<(), Unavailable> {
    let commands = &commands(releases);
    redis.run(async |mut connection| commands.query_async::<()>(&mut connection).await).await
}

/// Releases the leases of calls as [`release`] does, but also while the guard of the Redis handle is open.
///
/// # Errors
/// [`Unavailable`] if Redis cannot be reached.
pub async fn release_anyway(redis: &Redis, releases: &[Release]) -> Result<(), Unavailable> {
    let commands = &commands(releases);
    redis.run_anyway(async |mut connection| commands.query_async::<()>(&mut connection).await).await
}

fn commands(releases: &[Release]) -> redis::Pipeline {
    let mut commands = redis::pipe();
    for Release { id, leases, .. } in releases {
        for lease in leases {
            commands.cmd("ZREM").arg(lease).arg(id).ignore();
        }
    }
    commands
}

/// Connects to Redis ahead of the first call to be released. A failure has no effect, because releasing connects
/// again.
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
