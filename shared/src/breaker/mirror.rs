//! What all environments share of a provider's breaker, in Redis: the decision, as DynamoDB has it, and what was seen since.
//!
//! A call that begins asks where its provider stands, and one that has come to something reports it; either learns the
//! present decision, and one of them a second is asked to evaluate. Nothing here may not be lost: without Redis the
//! decision is read from DynamoDB, and what was seen is seen again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, Script, ScriptInvocation, Value};

use super::evidence::{Evidence, Second};
use super::room::{Answer, By, trickles_every};
use super::state::State;
use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::stores::redis::{Redis, Unavailable};

/// Calls to whatever provider.
const CALLS: &str = "{levee}:breaker-calls";

/// What became of a call, or of a part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// What to count.
    pub counts: Second,
    /// When the provider wants to be asked again.
    pub retry_after: Option<Timestamp>,
    /// Until when the platform's budget there is spent.
    pub spent_until: Option<Timestamp>,
    /// How long it took until the first content of a stream, or the whole of another answer, where it went well.
    pub latency: Option<Duration>,
    /// Whether that was a stream's first content.
    pub is_first_content: bool,
    /// Whether it was a probe that says nothing about the provider, so that another one may go in its place.
    pub is_void: bool,
    /// The provider's answer, where it gave one; counted whatever was decided meanwhile.
    pub answer: Option<Answer>,
    /// The rule that let the call through.
    pub by: By,
}

/// Where a provider stands, by Redis.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// By Redis's clock.
    pub(super) now: Timestamp,
    /// The decision; `None` where Redis has none.
    pub(super) state: Option<State>,
    /// Whether DynamoDB has it.
    pub(super) is_saved: bool,
    /// AI calls a second to whatever provider.
    pub(super) rate: f64,
    /// When 19 of 20 calls of the asker's class were back; `None` while too few are known.
    pub(super) late_after: Option<Duration>,
    /// How long the first content lately took.
    pub(super) first_content: Option<Duration>,
    /// Whether the asker is to ask DynamoDB.
    pub(super) asks_truth: bool,
    /// True if it lately had room for all calls.
    pub(super) has_room: bool,
    /// Until when it asks to be left alone, having served nothing since.
    pub(super) paused_until: Option<Timestamp>,
    /// The time since it was asked although it asks to be left alone.
    pub(super) asked_ago: Duration,
    /// True if it told the asker's account so.
    pub(super) told_account: bool,
    /// The time since it served another account than the asker's.
    pub(super) served_another: Option<Duration>,
    /// What was seen since the decision, where the asker is to evaluate it.
    pub(super) evidence: Option<Evidence>,
}

/// The reason for which a call asks to go to a provider that is not to get all calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Admission {
    /// Nobody else can take the call; at so many calls a second.
    Room(f64),
    /// The provider asks to be left alone, and was not asked for so long.
    Pause(Duration),
}

/// What a report is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report<'a> {
    pub(super) generation: u64,
    pub(super) account: &'a str,
    pub(super) environment: &'a str,
    pub(super) seen: &'a Seen,
}

/// The shared part of breakers.
pub(super) struct Mirror {
    redis: Arc<Redis>,
    clock: Clock,
    standing: Script,
    put: Script,
    probe: Script,
    retry: Script,
    admit: Script,
}

impl Mirror {
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

    /// Returns where each of `providers` stands for a call of `class` of `account`, which is counted where `begins`. One
    /// round trip.
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
            // However many providers are asked about, it is one call.
            .map(|(index, provider)| self.standing(provider, class, account, begins && index == 0, None))
            .collect();
        let calls = &calls;
        let all = async |connection: MultiplexedConnection| {
            try_join_all(calls.iter().map(|call| run(call, &connection))).await
        };
        self.redis.run(all).await
    }

    /// Reports what was seen of a call to `provider` of `class`.
    pub(super) async fn report(&self, provider: &str, class: &str, report: Report<'_>) -> Result<Shared, Unavailable> {
        let call = &self.standing(provider, class, report.account, false, Some(report));
        self.redis.run(async |connection| run(call, &connection).await).await
    }

    /// Puts a decision there; the one that holds in its place, where another one does.
    pub(super) async fn put(
        &self,
        provider: &str,
        state: &State,
        is_saved: bool,
    ) -> Result<Option<State>, Unavailable> {
        let mut call = self.put.prepare_invoke();
        call.key(breaker(provider)).arg(state.generation).arg(state.mode.to_string());
        call.arg(serde_json::to_string(state).unwrap_or_default()).arg(u8::from(is_saved));
        let call = &call;
        let put = async |mut connection: MultiplexedConnection| call.invoke_async::<String>(&mut connection).await;
        let other = self.redis.run(put).await?;
        Ok(serde_json::from_str(&other).ok())
    }

    /// Whether a probe may go to `provider`, whose decision is `generation`.
    pub(super) async fn probe(&self, provider: &str, generation: u64) -> Result<bool, Unavailable> {
        let mut call = self.probe.prepare_invoke();
        call.key(breaker(provider)).arg(self.clock.offset_millis()).arg(generation);
        self.yes(&call).await
    }

    /// Whether a call may be tried again, of which `percent` may.
    pub(super) async fn retry(&self, percent: u64) -> Result<bool, Unavailable> {
        let mut call = self.retry.prepare_invoke();
        call.key(CALLS).arg(self.clock.offset_millis()).arg(percent);
        self.yes(&call).await
    }

    /// Returns whether a call may go to `provider`, which is not to get all calls.
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
        report: Option<Report<'_>>,
    ) -> ScriptInvocation<'_> {
        let mut call = self.standing.prepare_invoke();
        let key = breaker(provider);
        let latencies = format!("{key}:latency:{class}");
        call.key(key).key(CALLS).key(latencies).key(room(provider));
        call.arg(self.clock.offset_millis()).arg(u8::from(begins));
        let Some(Report { generation, environment, seen, .. }) = report else {
            call.arg(-1).arg(account);
            return call;
        };
        let Second { good, bad, throttled, late, on_time, .. } = seen.counts;
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
    let number = |index: usize| reply.get(index).and_then(|value| i64::from_redis_value_ref(value).ok());
    let count = |index: usize| number(index).and_then(|number| u64::try_from(number).ok());
    let millis = |index: usize| count(index).filter(|millis| *millis > 0);
    // What cannot be read, as where a newer version wrote it, is as good as none: it is no outage of Redis.
    let text = String::from_redis_value_ref(reply.get(2)?).ok()?;
    let state: Option<State> = serde_json::from_str(&text).ok();
    let rate = count(4)? as f64 / 1000.0;
    let evidence = match count(8)? {
        0 => None,
        _ => {
            let mut seconds: Vec<Second> = reply.get(21..)?.chunks_exact(2).map(second).collect::<Option<_>>()?;
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

fn second(pair: &[Value]) -> Option<Second> {
    let at = u64::from_redis_value_ref(&pair[0]).ok()?;
    counts(at, &String::from_redis_value_ref(&pair[1]).ok()?)
}

/// What was counted in the second `at`, as the scripts write it.
pub(super) fn counts(at: u64, counts: &str) -> Option<Second> {
    let mut counts = counts.split(' ').map(str::parse);
    let mut next = || counts.next()?.ok();
    Some(Second { at, good: next()?, bad: next()?, throttled: next()?, late: next()?, on_time: next()? })
}
