//! The breaker's scripts by themselves, at given times.

use std::collections::BTreeMap;

use levee::breaker::room::By;
use redis::{FromRedisValue, Value};

use crate::redis_server::Server;

const BREAKER: &str = "{levee}:breaker:primary";
const CALLS: &str = "{levee}:breaker-calls";
const LATENCIES: &str = "{levee}:breaker:primary:latency:m";
const ROOM: &str = "{levee}:breaker:primary:room";

const STANDING: &str = include_str!("../../../../shared/src/breaker/mirror/standing.lua");
const PUT: &str = include_str!("../../../../shared/src/breaker/mirror/put.lua");
const PROBE: &str = include_str!("../../../../shared/src/breaker/mirror/probe.lua");
const RETRY: &str = include_str!("../../../../shared/src/breaker/mirror/retry.lua");
const ADMIT: &str = include_str!("../../../../shared/src/breaker/mirror/admit.lua");

/// A Redis, and the time that its scripts use, in Unix milliseconds.
pub struct Scripts {
    pub server: Server,
    pub now: u64,
}

/// Arguments of a report.
#[derive(Clone, Debug)]
pub struct Report {
    pub generation: u64,
    pub account: String,
    pub environment: String,
    /// Counts: good, bad, throttled, late, on time.
    pub counts: [u64; 5],
    pub retry_after: u64,
    pub spent_until: u64,
    pub latency: Option<u64>,
    pub is_first_content: bool,
    pub is_void: bool,
    /// Letter of the answer: `g`, `f`, `r` or empty.
    pub letter: &'static str,
    pub by: By,
}

pub const GOOD: [u64; 5] = [1, 0, 0, 0, 1];
pub const BAD: [u64; 5] = [0, 1, 0, 0, 0];

/// Reply of standing.lua.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub generation: i64,
    pub rate: i64,
    pub late_after: i64,
    pub first_content: i64,
    pub asks_truth: bool,
    pub has_room: bool,
    /// Time until which the provider asks to be left alone, in Unix milliseconds, or 0.
    pub paused_until: i64,
    pub told_account: bool,
    /// Milliseconds since it served another account, or -1.
    pub served_another: i64,
    pub evidence: Option<Seen>,
}

/// Evidence in the reply.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub environments: i64,
    pub troubled: i64,
    pub accounts: i64,
    pub troubled_accounts: i64,
    pub late_accounts: i64,
    pub retry_after: i64,
    pub spent_until: i64,
    pub seconds: BTreeMap<i64, String>,
}

impl Report {
    pub fn new(environment: &str, counts: [u64; 5]) -> Self {
        Self {
            generation: 1,
            account: String::new(),
            environment: environment.to_owned(),
            counts,
            retry_after: 0,
            spent_until: 0,
            latency: None,
            is_first_content: false,
            is_void: false,
            letter: "",
            by: By::Probe,
        }
    }

    pub fn of(self, account: &str) -> Self {
        Self { account: account.to_owned(), ..self }
    }

    pub fn took(self, latency: u64) -> Self {
        Self { latency: Some(latency), ..self }
    }
}

impl Scripts {
    /// Starts a Redis in which the decision of generation 1 is `mode`.
    pub async fn start(mode: &str) -> Self {
        let scripts = Self { server: Server::start().await, now: 1_800_000_000_000 };
        assert_eq!(scripts.put(1, mode, "one", true).await, "");
        scripts
    }

    /// Runs a script with `now` as its time.
    async fn run<T: FromRedisValue>(&self, script: &str, keys: &[&str], arguments: &[String]) -> T {
        let now = self.now;
        let time = format!("{{'{}', '{}'}}", now / 1000, now % 1000 * 1000);
        let script = script.replace("redis.call('TIME')", &time).replace("call('TIME')", &time);
        let number = keys.len().to_string();
        let mut words = vec!["EVAL", &script, &number];
        words.extend(keys);
        words.extend(arguments.iter().map(String::as_str));
        self.server.command(&words).await
    }

    /// Puts a state and returns the one that holds instead, or an empty string.
    pub async fn put(&self, generation: u64, mode: &str, state: &str, is_saved: bool) -> String {
        let arguments = [generation.to_string(), mode.to_owned(), state.to_owned(), u8::from(is_saved).to_string()];
        self.run(PUT, &[BREAKER], &arguments).await
    }

    pub async fn may_probe(&self, generation: u64) -> bool {
        self.run(PROBE, &[BREAKER], &["0".to_owned(), generation.to_string()]).await
    }

    pub async fn may_retry(&self, percent: u64) -> bool {
        self.run(RETRY, &[CALLS], &["0".to_owned(), percent.to_string()]).await
    }

    /// Returns true if a call may go there that no other provider can take.
    pub async fn has_room_for_one(&self, rate: f64) -> bool {
        let every = levee::breaker::room::trickles_every(rate).as_millis().to_string();
        self.run(ADMIT, &[ROOM], &["0".to_owned(), "room".to_owned(), every]).await
    }

    /// Returns true if a call may go there although the provider asks to be left alone.
    pub async fn may_ask_in_pause(&self, every: u64) -> bool {
        self.run(ADMIT, &[ROOM], &["0".to_owned(), "asked".to_owned(), every.to_string()]).await
    }

    /// Reads the standing at the beginning of a call.
    pub async fn look(&self) -> Reply {
        self.look_for("").await
    }

    /// Reads the standing at the beginning of a call of this account.
    pub async fn look_for(&self, account: &str) -> Reply {
        self.standing(&["0", "1", "-1", account].map(str::to_owned)).await
    }

    pub async fn report(&self, report: &Report) -> Reply {
        let latency = report.latency.map_or("-1".to_owned(), |latency| latency.to_string());
        let mut arguments = vec!["0".to_owned(), "0".to_owned(), report.generation.to_string()];
        arguments.extend([report.account.clone(), report.environment.clone()]);
        arguments.extend(report.counts.map(|count| count.to_string()));
        arguments.extend([report.retry_after, report.spent_until].map(|at| at.to_string()));
        arguments.extend([latency, u8::from(report.is_first_content).to_string()]);
        arguments.extend([u8::from(report.is_void).to_string(), report.letter.to_owned()]);
        arguments.push(report.by.word().to_owned());
        self.standing(&arguments).await
    }

    async fn standing(&self, arguments: &[String]) -> Reply {
        let reply: Vec<Value> = self.run(STANDING, &[BREAKER, CALLS, LATENCIES, ROOM], arguments).await;
        let number = |index: usize| i64::from_redis_value_ref(&reply[index]).unwrap();
        assert_eq!(number(0), self.now.cast_signed());
        let seconds = reply.get(21..).unwrap_or_default().chunks_exact(2);
        let seconds = seconds.map(|pair| {
            (i64::from_redis_value_ref(&pair[0]).unwrap(), String::from_redis_value_ref(&pair[1]).unwrap())
        });
        let evidence = (number(8) == 1).then(|| Seen {
            environments: number(14),
            troubled: number(15),
            accounts: number(16),
            troubled_accounts: number(17),
            late_accounts: number(18),
            retry_after: number(19),
            spent_until: number(20),
            seconds: seconds.collect(),
        });
        assert!(evidence.is_some() || reply.len() == 14, "{reply:?}");
        Reply {
            generation: number(1),
            rate: number(4),
            late_after: number(5),
            first_content: number(6),
            asks_truth: number(7) == 1,
            has_room: number(9) == 1,
            paused_until: number(10),
            told_account: number(12) == 1,
            served_another: number(13),
            evidence,
        }
    }

    /// Returns the evidence so far, as an environment whose turn it is to evaluate.
    pub async fn seen(&self) -> Seen {
        self.server.command::<()>(&["HDEL", BREAKER, "next"]).await;
        self.look().await.evidence.unwrap()
    }

    /// Returns the fields of the breaker's hash.
    pub async fn fields(&self) -> BTreeMap<String, String> {
        self.server.command(&["HGETALL", BREAKER]).await
    }

    /// Returns the fields of the hash of calls.
    pub async fn calls(&self) -> BTreeMap<String, u64> {
        self.server.command(&["HGETALL", CALLS]).await
    }
}
