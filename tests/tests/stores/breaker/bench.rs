//! Environments that share a Redis and a table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use levee::breaker::room::By;
use levee::breaker::{
    Answer, BreakerState, Breakers, BreakersTable, Mode, Observation, ProviderStatus, SecondBucket, Transition,
};
use levee::clock::Timestamp;
use levee::stores::redis::{Redis, RedisConfig};

use crate::emulator::{Asked, Emulator, TIMEOUT};
use crate::redis_server::Server;

const TABLE: &str = "Breakers";
pub const PROVIDER: &str = "primary";
const BREAKER: &str = "{levee}:breaker:primary";

pub struct Bench {
    pub server: Server,
    pub emulator: Emulator,
    asked: Asked,
    client: Client,
}

impl Bench {
    pub async fn start() -> Self {
        let emulator = Emulator::start().await;
        let (client, asked) = emulator.counted();
        Self { server: Server::start().await, emulator, asked, client }
    }

    /// Returns a new environment, with a time-out that is long enough for a busy machine.
    pub fn environment(&self) -> Breakers {
        self.environment_with(self.server.redis(), TIMEOUT)
    }

    /// Returns a new environment that waits for either store no longer than `budget`.
    pub async fn impatient(&self, budget: Duration) -> Breakers {
        let mut told: Vec<String> = self.server.command(&["CONFIG", "GET", "unixsocket"]).await;
        let client = redis::Client::open(format!("redis+unix://{}", told.remove(1))).unwrap();
        self.environment_with(Redis::new(RedisConfig { client: Some(client), budget }), budget)
    }

    fn environment_with(&self, redis: Redis, timeout: Duration) -> Breakers {
        let providers = vec![PROVIDER.to_owned(), "backup".to_owned()];
        Breakers::new(Arc::new(redis), self.table(), timeout, self.server.clock(), "ai-proxy", providers)
    }

    pub fn environments(&self, number: usize) -> Vec<Breakers> {
        (0..number).map(|_| self.environment()).collect()
    }

    pub fn table(&self) -> BreakersTable {
        BreakersTable::new(self.client.clone(), TABLE)
    }

    pub fn now(&self) -> Timestamp {
        self.server.clock().now()
    }

    /// Moves the clock of all environments.
    pub fn advance(&self, secs: u64) {
        self.server.set_clock(self.now().plus(Duration::from_secs(secs)));
    }

    /// Returns the numbers of requests to DynamoDB since the last call, by operation.
    pub fn asked(&self) -> BTreeMap<String, u64> {
        self.asked.take()
    }

    /// Returns the decision in DynamoDB.
    pub async fn saved(&self) -> BreakerState {
        self.table().read(PROVIDER).await.unwrap()
    }

    /// Returns the whole history, newest first, and checks that each row expires after 14 days.
    pub async fn history(&self) -> Vec<Transition> {
        let rows = self.client.query().table_name(TABLE).key_condition_expression("pk = :pk AND sk > :sk");
        let rows = rows
            .expression_attribute_values(":pk", AttributeValue::S(format!("BREAKER#{PROVIDER}")))
            .expression_attribute_values(":sk", AttributeValue::S("HISTORY#".to_owned()));
        for row in rows.send().await.unwrap().items.unwrap().iter().filter(|row| row.contains_key("at")) {
            let number = |name: &str| row[name].as_n().unwrap().parse::<u64>().unwrap();
            assert_eq!(number("expires_at"), number("at") / 1000 + 14 * 24 * 3600);
        }
        self.table().history(PROVIDER, None, 1_000).await.unwrap()
    }

    /// Returns the fields of the breaker in Redis.
    pub async fn fields(&self) -> BTreeMap<String, String> {
        self.server.command(&["HGETALL", BREAKER]).await
    }

    /// Returns the decision in Redis, and true if it is marked as saved in DynamoDB.
    pub async fn mirrored(&self) -> Option<(BreakerState, bool)> {
        let fields = self.fields().await;
        Some((serde_json::from_str(fields.get("state")?).unwrap(), fields["saved"] == "1"))
    }

    /// Overwrites the decision in Redis.
    pub async fn set(&self, state: &BreakerState, is_saved: bool) {
        let (generation, mode) = (state.generation.to_string(), state.mode.to_string());
        let text = serde_json::to_string(state).unwrap();
        let saved = if is_saved { "1" } else { "0" };
        self.server.command::<()>(&["DEL", BREAKER]).await;
        let words = ["HSET", BREAKER, "generation", &generation, "mode", &mode, "state", &text, "saved", saved];
        self.server.command::<()>(&words).await;
        self.server.command::<()>(&["EXPIRE", BREAKER, "3600"]).await;
    }

    /// Makes calls of each environment in turn until the decision changes, and returns the new standing. One second
    /// passes with each round.
    pub async fn until_changed(&self, environments: &[Breakers], is_good: bool) -> ProviderStatus {
        let before = look(&environments[0]).await.state.generation;
        for _ in 0..120 {
            for environment in environments {
                call(environment, is_good).await;
            }
            self.advance(1);
            let standing = look(&environments[0]).await;
            if standing.state.generation != before {
                return standing;
            }
        }
        panic!("nothing is decided: {:?}", self.fields().await);
    }
}

pub fn good() -> Observation {
    let counts = SecondBucket { good: 1, on_time: 1, ..SecondBucket::default() };
    Observation {
        counts,
        latency: Some(Duration::from_millis(900)),
        answer: Some(Answer::Served),
        ..Observation::default()
    }
}

pub fn bad() -> Observation {
    let counts = SecondBucket { bad: 1, ..SecondBucket::default() };
    Observation { counts, answer: Some(Answer::Failed), ..Observation::default() }
}

/// Returns the current standing of the provider.
pub async fn look(environment: &Breakers) -> ProviderStatus {
    environment.look("m", "acme", true).await.remove(0)
}

/// Makes a call to the provider, if it may go there.
pub async fn call(environment: &Breakers, is_good: bool) -> ProviderStatus {
    let standing = look(environment).await;
    let BreakerState { generation, mode, .. } = standing.state;
    let may_go = match mode {
        Mode::Open => false,
        Mode::Probe => environment.may_probe(0, generation).await,
        _ => true,
    };
    if !may_go {
        return standing;
    }
    report(environment, generation, is_good).await
}

/// Reports the result of a call that was allowed under `generation`.
pub async fn report(environment: &Breakers, generation: u64, is_good: bool) -> ProviderStatus {
    let seen = Observation { by: By::Probe, ..if is_good { good() } else { bad() } };
    environment.report(0, "m", "acme", generation, &seen).await
}
