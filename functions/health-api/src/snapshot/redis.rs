//! Redis: its state, latency and memory, and the start of an outage.

use std::sync::Mutex;
use std::time::Duration;

use levee::breadcrumbs::Filter;
use levee::clock::Timestamp;
use levee::stores::redis::Unavailable;
use levee::sync::lock;
use redis::InfoDict;
use redis::aio::MultiplexedConnection;
use serde::Serialize;
use tokio::time::Instant;

use super::{Moment, Parts, breadcrumbs};
use crate::config::BoardState;

/// Code of the breadcrumb by which an environment reports, once per outage, that it lost Redis.
const GONE: &str = "redis.gone";
/// Code of the breadcrumb by which it reports that Redis answers again.
const BACK: &str = "redis.back";
/// Longest gap between two losses that belong to one outage. Environments come and go, and each reports once.
const UNBROKEN: Duration = Duration::from_secs(30 * 60);

/// Reachability of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisState {
    /// Redis answers.
    Up,
    /// Redis does not answer. Requests pass without limits.
    Down,
}

/// State of the guard that keeps this environment from waiting for Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Guard {
    /// Redis is asked.
    Closed,
    /// Redis is not asked, except by an occasional probe.
    Open,
}

/// State of Redis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RedisReport {
    /// Reachability.
    pub state: RedisState,
    /// Start of the outage, as far as it is known; `None` while Redis answers.
    pub since: Option<Moment>,
    /// State of this environment's guard.
    pub guard: Guard,
    /// Duration of a PING, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Memory in use, in bytes.
    pub used_memory_bytes: Option<u64>,
    /// Memory limit, in bytes; `None` if there is none.
    pub max_memory_bytes: Option<u64>,
    /// Number of open connections.
    pub connected_clients: Option<u64>,
    /// Time since Redis was started, in seconds.
    pub uptime_seconds: Option<u64>,
}

/// Answer of Redis: the duration of a PING, and its `INFO`.
pub(super) type Looked = Result<(Duration, InfoDict), Unavailable>;

/// Measures Redis. Callers must do nothing else meanwhile: other work of the process would count as latency.
pub(super) async fn look(state: &BoardState) -> Looked {
    let look = async |mut connection: MultiplexedConnection| {
        // The first PING may include opening the connection, so the second one is measured.
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        let began = Instant::now();
        redis::cmd("PING").query_async::<()>(&mut connection).await?;
        let latency = began.elapsed();
        let info: InfoDict = redis::cmd("INFO").query_async(&mut connection).await?;
        Ok((latency, info))
    };
    state.redis.run(look).await
}

pub(super) async fn report(parts: &Parts<'_>, looked: Looked) -> RedisReport {
    let gone_since = note(&parts.call.state.redis_gone, looked.is_err(), parts.call.now);
    match looked {
        Ok((latency, info)) => RedisReport {
            state: RedisState::Up,
            since: None,
            guard: Guard::Closed,
            latency_ms: Some((latency.as_secs_f64() * 10_000.0).round() / 10.0),
            used_memory_bytes: info.get("used_memory"),
            max_memory_bytes: info.get("maxmemory").filter(|most| *most > 0),
            connected_clients: info.get("connected_clients"),
            uptime_seconds: info.get("uptime_in_seconds"),
        },
        Err(unavailable) => {
            // Read the reports about lost and recovered connections, of all environments.
            let of = |code: &str| Filter { code: Some(code.to_owned()), ..Filter::default() };
            let (gone, back) = (of(GONE), of(BACK));
            let read = async |filter| parts.read("redis", breadcrumbs(parts.call, filter, |_| false)).await;
            let (gone, back) = tokio::join!(read(&gone), read(&back));
            // A row covers all losses within its minute, and the first of them may belong to an earlier outage.
            let gone = gone.unwrap_or_default();
            let lost = gone.iter().flat_map(|it| [it.first_at, it.last_at]).map(Timestamp::from_millis).collect();
            let back = back.unwrap_or_default().iter().map(|it| Timestamp::from_millis(it.last_at)).max();
            RedisReport {
                state: RedisState::Down,
                since: gone_since.map(|here| Moment(began(here, lost, back, parts.call.now))),
                guard: if matches!(unavailable, Unavailable::GuardOpen) { Guard::Open } else { Guard::Closed },
                latency_ms: None,
                used_memory_bytes: None,
                max_memory_bytes: None,
                connected_clients: None,
                uptime_seconds: None,
            }
        }
    }
}

/// Records if Redis is gone. Returns the moment since which this environment has not reached it.
fn note(gone: &Mutex<Option<Timestamp>>, is_gone: bool, now: Timestamp) -> Option<Timestamp> {
    let mut gone = lock(gone);
    *gone = if is_gone { gone.or(Some(now)) } else { None };
    *gone
}

/// Returns the start of the outage that this environment met at `here` and that lasts at `now`. It is the first report
/// in the newest unbroken run of environments that lost Redis. Everything up to the moment at which an environment got
/// Redis `back` belongs to an earlier outage; if `here` does, `now` takes its place.
fn began(here: Timestamp, mut lost: Vec<Timestamp>, back: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let is_of_this_one = |at: &Timestamp| back.is_none_or(|back| *at > back);
    // Drop what belongs to an earlier outage.
    lost.retain(is_of_this_one);
    lost.sort_unstable();
    let here = if is_of_this_one(&here) { here } else { now };
    // Walk back from the newest report, as long as the gaps are short.
    lost.into_iter()
        .rev()
        .fold(here, |began, lost| if lost < began && lost.plus(UNBROKEN) >= began { lost } else { began })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + minute * 60)
    }

    #[test]
    fn an_outage_began_when_the_first_environment_of_an_unbroken_run_met_it() {
        let began = |lost: &[u64]| began(at(100), lost.iter().map(|it| at(*it)).collect(), None, at(110));
        assert_eq!(began(&[]), at(100));
        assert_eq!(began(&[99, 98, 75]), at(75));
        assert_eq!(began(&[95, 10, 70, 40]), at(10));
        assert_eq!(began(&[9, 10, 69]), at(100), "an older outage is another one");
        assert_eq!(began(&[101, 105]), at(100), "later environments change nothing");
    }

    #[test]
    fn an_outage_that_ended_is_not_the_present_one() {
        let began = |here, lost: &[u64], back| {
            began(at(here), lost.iter().map(|it| at(*it)).collect(), Some(at(back)), at(110))
        };
        assert_eq!(began(100, &[80, 81, 98], 82), at(98));
        assert_eq!(began(100, &[80, 81], 82), at(100));
        assert_eq!(began(80, &[80, 81, 105], 90), at(105), "this environment was not asked in between");
        assert_eq!(began(80, &[80, 81], 90), at(110));
    }

    #[test]
    fn an_environment_remembers_the_beginning_of_its_own_outage() {
        let gone = Mutex::new(None);
        assert_eq!(note(&gone, true, at(1)), Some(at(1)));
        assert_eq!(note(&gone, true, at(2)), Some(at(1)));
        assert_eq!(note(&gone, false, at(3)), None);
        assert_eq!(note(&gone, true, at(4)), Some(at(4)));
    }
}
