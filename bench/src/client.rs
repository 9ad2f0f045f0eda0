//! Clients of the benchmark: the limiter, the plainest commands through the same handle, and a server that speaks
//! HTTP.

use anyhow::{Context as _, bail};
use levee::stores::redis::{Redis, RedisConfig, Unavailable};
use redis::{AsyncCommands as _, Script};

use crate::catalog::CatalogReader;
use crate::express::Express;
use crate::levee::Decider;

/// Number of subjects of each kind, between which the decisions rotate.
pub(crate) const SUBJECTS: usize = 64;

/// Time budget of a Redis call in milliseconds. It is longer than a function's: on a busy machine a late decision
/// still counts.
const BUDGET_MILLIS: u64 = 1_000;

/// Addresses of the servers.
pub(crate) struct Place {
    /// URL of Redis.
    pub(crate) redis: String,
    /// Port of the express server on this machine, if there is one.
    pub(crate) express: Option<u16>,
}

impl Place {
    /// Creates a Redis handle, in the same way as a function does.
    pub(crate) fn redis(&self) -> anyhow::Result<Redis> {
        let lookup = |name: &str| match name {
            "REDIS_URL" => Some(self.redis.clone()),
            "REDIS_BUDGET_MS" => Some(BUDGET_MILLIS.to_string()),
            _ => None,
        };
        Ok(Redis::new(levee::config::from_lookup(lookup, RedisConfig::read)?))
    }
}

/// One connection, and the request that is sent on it.
pub(crate) enum Client {
    /// PING: the lower bound of any round trip.
    Ping(Redis),
    /// INCR of one counter.
    Incr(Redis),
    /// A script of three INCRBYs.
    Script(Redis, Script),
    /// Reads of a catalog.
    Catalog(Box<CatalogReader>),
    /// The limiter.
    Levee(Box<Decider>),
    /// Three limits of express-rate-limit, over HTTP.
    Express(Express),
}

impl Client {
    /// Opens a client for a target, by its name in the table.
    pub(crate) async fn open(place: &Place, target: &str) -> anyhow::Result<Self> {
        Ok(match target {
            "ping" => Self::Ping(place.redis()?),
            "incr" => Self::Incr(place.redis()?),
            "evalsha" => Self::Script(place.redis()?, Script::new(include_str!("increments.lua"))),
            "express" | "express/refused" => {
                let port = place.express.context("express was not started")?;
                Self::Express(Express::connect(port, target == "express/refused").await?)
            }
            _ if CatalogReader::measures(target) => Self::Catalog(Box::new(CatalogReader::open(place, target).await?)),
            _ => Self::Levee(Box::new(Decider::open(place, target)?)),
        })
    }

    /// Sends one request and checks that the answer is the expected one; `turn` selects the subject.
    pub(crate) async fn ask(&mut self, turn: usize) -> anyhow::Result<()> {
        let subject = turn % SUBJECTS;
        // Each plain command replies with a number of at least 1.
        let answer: Result<i64, Unavailable> = match self {
            Self::Ping(redis) => redis.run(async |mut connection| connection.ping::<()>().await.map(|()| 1)).await,
            Self::Incr(redis) => {
                let key = format!("incr:{subject}");
                let key = &key;
                redis.run(async |mut connection| connection.incr(key, 1).await).await
            }
            Self::Script(redis, script) => {
                let mut call = script.prepare_invoke();
                for scope in ["key", "integration", "account"] {
                    call.key(format!("evalsha:{scope}:{subject}"));
                }
                let call = &call;
                redis.run(async |mut connection| call.invoke_async(&mut connection).await).await
            }
            Self::Catalog(reader) => return reader.ask().await,
            Self::Levee(decider) => return decider.ask(turn).await,
            Self::Express(express) => return express.ask(subject).await,
        };
        if answer? < 1 {
            bail!("an answer that cannot be");
        }
        Ok(())
    }
}
