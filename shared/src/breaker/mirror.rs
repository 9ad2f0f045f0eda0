//! The shared part of a provider's breaker, in Redis: the decision, as in DynamoDB, and the evidence since then.
//!
//! A call reads its providers' status at its start and reports its outcome at its end. Both return the present
//! decision, and once a second one of them is asked to evaluate. Redis may lose all of this: without it the decision
//! is read from DynamoDB, and evidence is collected anew.
//!
//! The scripts in `mirror/` do the work; standing.lua lists the keys and fields.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, Script, ScriptInvocation, Value};

use super::evidence::{Evidence, SecondBucket};
use super::room::{Answer, By, trickles_every};
use super::state::BreakerState;
use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::stores::redis::{Redis, Unavailable};

/// Redis key that counts calls to all providers together.
const CALLS: &str = "{levee}:breaker-calls";

/// Outcome of a call, or of a part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observation {
    /// Results to count.
    pub counts: SecondBucket,
    /// Time until which the provider asks not to be called.
    pub retry_after: Option<Timestamp>,
    /// Time until which the platform's budget at the provider is spent.
    pub spent_until: Option<Timestamp>,
    /// Time to the first content of a stream, or to the end of another answer, if the call succeeded.
    pub latency: Option<Duration>,
    /// True if `latency` is that of a stream's first content.
    pub is_first_content: bool,
    /// True if a probe had no result about the provider, so that another one may take its slot.
    pub is_void: bool,
    /// Answer of the provider, if there was one. It counts whatever the present generation is.
    pub answer: Option<Answer>,
    /// Rule that let the call through.
    pub by: By,
}

/// Status of a provider in Redis.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// Time by Redis's clock.
    pub(super) now: Timestamp,
    /// Decision about the provider; `None` if Redis has none.
    pub(super) state: Option<BreakerState>,
    /// True if DynamoDB has the decision.
    pub(super) is_saved: bool,
    /// AI calls a second to all providers together.
    pub(super) rate: f64,
    /// Time within which 19 of 20 calls of the caller's class ended or had their first content; `None` while too few
    /// calls are known.
    pub(super) late_after: Option<Duration>,
    /// Recent time to the first content of streams.
    pub(super) first_content: Option<Duration>,
    /// True if the caller should compare with DynamoDB.
    pub(super) asks_truth: bool,
    /// True if the provider recently had room for all calls of the caller's account.
    pub(super) has_room: bool,
    /// End of the pause that the provider asked for, if it has served no call since.
    pub(super) paused_until: Option<Timestamp>,
    /// Time since the provider was last called in spite of the pause.
    pub(super) asked_ago: Duration,
    /// True if the provider announced the pause to the caller's account.
    pub(super) told_account: bool,
    /// Time since the provider served an account other than the caller's.
    pub(super) served_another: Option<Duration>,
    /// Evidence since the decision, if the caller should evaluate it.
    pub(super) evidence: Option<Evidence>,
}

/// Reason for sending a call to a provider that does not get all calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Admission {
    /// No other provider can take the call; the rate of all calls, a second.
    Room(f64),
    /// The provider asked for a pause; the shortest time since the last call in spite of it.
    Pause(Duration),
}

/// Report of a call's outcome, with its origin.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptReport<'a> {
    pub(super) generation: u64,
    pub(super) account: &'a str,
    pub(super) environment: &'a str,
    pub(super) seen: &'a Observation,
}

/// Client of the breakers in Redis.
pub(super) struct RedisBreakerState {
    redis: Arc<Redis>,
    clock: Clock,
    standing: Script,
    put: Script,
    probe: Script,
    retry: Script,
    admit: Script,
}

impl RedisBreakerState {
    pub(super) fn new(redis: Arc<Redis>, clock: Clock) -> Self {
        Self {
            redis,
            clock,
            standing: Script::new(include_str!("mirror/standing.lua")),
            put: Script::new(include_str!("mirror/put.lua")),
            probe: Script::new(include_str!("mirror/probe.lua")),
            retry: Script::new(include_str!("mirror/retry.lua")),
            admit: Script::new(include_str!("mirror/admit.lua")),
        }
    }

    /// Returns the status of each of `providers` for a call of `class` of `account`, which is counted if it `begins`.
    /// One round trip.
    pub(super) async fn look(
        &self,
        providers: &[&str],
        class: &str,
        account: &str,
        begins: bool,
    ) -> Result<Vec<Shared>, Unavailable> {
        let calls: Vec<_> = providers
            .iter()
            .enumerate()
            // The call counts once, however many providers are read.
            .map(|(index, provider)| self.standing(provider, class, account, begins && index == 0, None))
            .collect();
        let calls = &calls;
        let all = async |connection: MultiplexedConnection| {
            try_join_all(calls.iter().map(|call| run(call, &connection))).await
        };
        self.redis.run(all).await
    }

    /// Reports the outcome of a call of `class` to `provider`, and returns the provider's status.
    pub(super) async fn report(
        &self,
        provider: &str,
        class: &str,
        report: AttemptReport<'_>,
    ) -> Result<Shared, Unavailable> {
        let call = &self.standing(provider, class, report.account, false, Some(report));
        self.redis.run(async |connection| run(call, &connection).await).await
    }

    /// Puts a decision into Redis. Returns the one that holds instead, if there is one.
    pub(super) async fn put(
        &self,
        provider: &str,
        state: &BreakerState,
        is_saved: bool,
    ) -> Result<Option<BreakerState>, Unavailable> {
        let mut call = self.put.prepare_invoke();
        call.key(breaker(provider)).arg(state.generation).arg(state.mode.to_string());
        call.arg(serde_json::to_string(state).unwrap_or_default()).arg(u8::from(is_saved));
        let call = &call;
        let put = async |mut connection: MultiplexedConnection| call.invoke_async::<String>(&mut connection).await;
        let other = self.redis.run(put).await?;
        Ok(serde_json::from_str(&other).ok())
    }

    /// Returns true if a probe may go to `provider`, whose decision is of `generation`.
    pub(super) async fn probe(&self, provider: &str, generation: u64) -> Result<bool, Unavailable> {
        let mut call = self.probe.prepare_invoke();
        call.key(breaker(provider)).arg(self.clock.offset_millis()).arg(generation);
        self.yes(&call).await
    }

    /// Returns true if a call may be retried, at most `percent` of all calls.
    pub(super) async fn retry(&self, percent: u64) -> Result<bool, Unavailable> {
        let mut call = self.retry.prepare_invoke();
        call.key(CALLS).arg(self.clock.offset_millis()).arg(percent);
        self.yes(&call).await
    }

    /// Returns true if a call may go to `provider`, which does not get all calls.
    pub(super) async fn admit(&self, provider: &str, why: Admission) -> Result<bool, Unavailable> {
        let (what, every) = match why {
            Admission::Room(rate) => ("room", trickles_every(rate)),
            Admission::Pause(every) => ("asked", every),
        };
        let mut call = self.admit.prepare_invoke();
        call.key(room(provider)).arg(self.clock.offset_millis()).arg(what).arg(every.as_millis().max(1).to_string());
        self.yes(&call).await
    }

    async fn yes(&self, call: &ScriptInvocation<'_>) -> Result<bool, Unavailable> {
        self.redis.run(async |mut connection: MultiplexedConnection| call.invoke_async(&mut connection).await).await
    }

    fn standing(
        &self,
        provider: &str,
        class: &str,
        account: &str,
        begins: bool,
        report: Option<AttemptReport<'_>>,
    ) -> ScriptInvocation<'_> {
        let mut call = self.standing.prepare_invoke();
        // The keys and arguments are listed at the top of standing.lua.
        let key = breaker(provider);
        let latencies = format!("{key}:latency:{class}");
        call.key(key).key(CALLS).key(latencies).key(room(provider));
        call.arg(self.clock.offset_millis()).arg(u8::from(begins));
        // A read has no more arguments than the account.
        let Some(AttemptReport { generation, environment, seen, .. }) = report else {
            call.arg(-1).arg(account);
            return call;
        };
        let SecondBucket { good, bad, throttled, late, on_time, .. } = seen.counts;
        call.arg(generation).arg(account).arg(environment).arg(good).arg(bad).arg(throttled).arg(late).arg(on_time);
        call.arg(seen.retry_after.map_or(0, Timestamp::as_millis))
            .arg(seen.spent_until.map_or(0, Timestamp::as_millis));
        match seen.latency {
            Some(latency) => call.arg(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
            None => call.arg(-1),
        };
        call.arg(u8::from(seen.is_first_content)).arg(u8::from(seen.is_void));
        call.arg(seen.answer.map_or("", Answer::letter)).arg(seen.by.word());
        call
    }
}

pub(super) fn breaker(provider: &str) -> String {
    format!("{{levee}}:breaker:{provider}")
}

fn room(provider: &str) -> String {
    format!("{}:room", breaker(provider))
}

async fn run(call: &ScriptInvocation<'_>, connection: &MultiplexedConnection) -> Result<Shared, RedisError> {
    let reply: Vec<Value> = call.invoke_async(&mut connection.clone()).await?;
    read(&reply).ok_or_else(|| (redis::ErrorKind::UnexpectedReturnType, "a breaker's script gave an odd reply").into())
}

fn read(reply: &[Value]) -> Option<Shared> {
    // Indexes follow the reply that standing.lua documents.
    let number = |index: usize| reply.get(index).and_then(|value| i64::from_redis_value_ref(value).ok());
    let count = |index: usize| number(index).and_then(|number| u64::try_from(number).ok());
    let millis = |index: usize| count(index).filter(|millis| *millis > 0);
    // A decision that cannot be read, because a newer version wrote it for example, is no outage: it counts as none.
    let text = String::from_redis_value_ref(reply.get(2)?).ok()?;
    let state: Option<BreakerState> = serde_json::from_str(&text).ok();
    let rate = count(4)? as f64 / 1000.0;
    // Evidence is there only if this call should evaluate it.
    let evidence = match count(8)? {
        0 => None,
        _ => {
            let mut seconds: Vec<SecondBucket> = reply.get(21..)?.chunks_exact(2).map(second).collect::<Option<_>>()?;
            seconds.sort_unstable_by_key(|second| second.at);
            Some(Evidence {
                seconds,
                rate,
                environments: u32::try_from(count(14)?).ok()?,
                troubled_environments: u32::try_from(count(15)?).ok()?,
                accounts: u32::try_from(count(16)?).ok()?,
                troubled_accounts: u32::try_from(count(17)?).ok()?,
                late_accounts: u32::try_from(count(18)?).ok()?,
                retry_after: millis(19).map(Timestamp::from_millis),
                spent_until: millis(20).map(Timestamp::from_millis),
            })
        }
    };
    Some(Shared {
        now: Timestamp::from_millis(count(0)?),
        is_saved: state.is_some() && count(3)? == 1,
        rate,
        late_after: millis(5).map(Duration::from_millis),
        first_content: millis(6).map(Duration::from_millis),
        asks_truth: state.is_none() || count(7)? == 1,
        has_room: count(9)? == 1,
        paused_until: millis(10).map(Timestamp::from_millis),
        asked_ago: Duration::from_millis(count(11)?),
        told_account: count(12)? == 1,
        served_another: count(13).map(Duration::from_millis),
        evidence,
        state,
    })
}

fn second(pair: &[Value]) -> Option<SecondBucket> {
    let at = u64::from_redis_value_ref(&pair[0]).ok()?;
    counts(at, &String::from_redis_value_ref(&pair[1]).ok()?)
}

/// Parses the counts of the second `at` in the format of the scripts.
pub(super) fn counts(at: u64, counts: &str) -> Option<SecondBucket> {
    let mut counts = counts.split(' ').map(str::parse);
    let mut next = || counts.next()?.ok();
    Some(SecondBucket { at, good: next()?, bad: next()?, throttled: next()?, late: next()?, on_time: next()? })
}
