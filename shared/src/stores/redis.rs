//! The Redis handle: one budget per use, a guard that spares callers an outage, and connections that are replaced
//! rather than trusted.
//!
//! The client's own connection manager keeps a connection after a time-out, and a connection that a frozen environment
//! lost silently then fails every later call. Here any failure drops the connection, the next use opens a new one, and
//! a connection that has been idle for long is asked for a PING before it is believed.

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError};
use tokio::time::Instant;

use crate::config::Reader;
use crate::sync::lock;

/// A connection idle for longer than this is asked for a PING first: the environment may have been frozen meanwhile.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(10);
/// How long that PING may take before a new connection is opened instead.
const PING_TIMEOUT: Duration = Duration::from_millis(20);
/// How long the guard stays shut after a first failure; doubled by each failed probe.
const FIRST_PROBE_AFTER: Duration = Duration::from_secs(2);
/// How long connecting may take while a function starts.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest pause between probes.
const LAST_PROBE_AFTER: Duration = Duration::from_secs(30);

/// How to reach Redis and how long a decision may wait for it.
#[derive(Clone)]
pub struct RedisConfig {
    /// `REDIS_URL`: `redis://` or, with TLS as on AWS, `rediss://`.
    pub client: Option<Client>,
    /// `REDIS_BUDGET_MS`: the whole time a decision may spend on Redis, connecting included. Default 75, 5 to 1,000.
    pub budget: Duration,
}

impl RedisConfig {
    /// Reads the variables named at the fields.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        reader.required("REDIS_URL");
        Self { client: reader.parsed("REDIS_URL", parse_url), budget: reader.millis("REDIS_BUDGET_MS", 75, 5..=1_000) }
    }
}

// The URL may hold a password, so the message does not repeat it.
fn parse_url(url: &str) -> Result<Client, &'static str> {
    let info = url.into_connection_info().map_err(|_| "is not a redis:// or rediss:// URL")?;
    let tcp = TcpSettings::default().set_nodelay(true);
    Client::open(info.set_tcp_settings(tcp)).map_err(|_| "is not a redis:// or rediss:// URL")
}

/// Why Redis was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The guard is open after an earlier failure; nothing was sent.
    #[error("not asked: the guard is open")]
    GuardOpen,
    /// The budget ran out.
    #[error("no answer within the budget of {0:?}")]
    TimedOut(Duration),
    /// Redis or the connection answered with an error.
    #[error("{0}")]
    Failed(#[from] RedisError),
}

/// A handle to Redis, shared by all uses within one environment.
pub struct Redis {
    client: Option<Client>,
    budget: Duration,
    connection: Mutex<Option<Idle>>,
    guard: Mutex<Guard>,
}

#[derive(Clone)]
struct Idle {
    connection: MultiplexedConnection,
    since: Instant,
}

impl Redis {
    /// A handle for the given configuration. Opens no connection yet.
    pub fn new(config: RedisConfig) -> Self {
        Self {
            client: config.client,
            budget: config.budget,
            connection: Mutex::new(None),
            guard: Mutex::new(Guard::default()),
        }
    }

    /// Runs one operation on a connection, all within the budget.
    ///
    /// A connection that turns out to have been closed meanwhile (Redis restarted, an idle time-out) is replaced once,
    /// so the operation may run twice where the connection broke after Redis had begun.
    ///
    /// # Errors
    /// [`Unavailable`] at once while the guard is open, after at most the budget otherwise. Any error opens the guard.
    pub async fn run<T, F>(&self, operation: impl Fn(MultiplexedConnection) -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let Some(turn) = lock(&self.guard).admit(Instant::now()) else { return Err(Unavailable::GuardOpen) };
        match self.attempt(self.budget, operation).await {
            Ok(value) => {
                if lock(&self.guard).close() {
                    tracing::info!(code = "redis.back", "Redis answers again; limits are enforced");
                }
                Ok(value)
            }
            Err(unavailable) => {
                if lock(&self.guard).open(turn, Instant::now()) {
                    tracing::warn!(
                        code = "redis.gone",
                        connection = "redis",
                        error = %unavailable,
                        "Redis is unavailable; requests pass"
                    );
                }
                Err(unavailable)
            }
        }
    }

    /// Connects ahead of the first use and runs `operation`, within a time that suits a cold start. Failing changes
    /// nothing.
    pub async fn warm_up<F>(&self, operation: impl Fn(MultiplexedConnection) -> F)
    where
        F: Future<Output = Result<(), RedisError>>,
    {
        if let Err(error) = self.attempt(WARM_UP_TIMEOUT, operation).await {
            tracing::warn!(code = "redis.cold", %error, "Redis could not be reached while starting");
        }
    }

    async fn attempt<T, F>(
        &self,
        budget: Duration,
        operation: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let held = lock(&self.connection).clone();
        let result = tokio::time::timeout(budget, async {
            if let Some(connection) = still_good(held).await {
                match operation(connection.clone()).await {
                    Err(error) if error.is_connection_dropped() => {}
                    result => return Ok((result?, connection)),
                }
            }
            let connection = self.connect().await?;
            Ok((operation(connection.clone()).await?, connection))
        })
        .await
        .unwrap_or(Err(Unavailable::TimedOut(budget)));
        // Whatever failed leaves no connection behind that is not known to be good.
        let (value, idle) = match result {
            Ok((value, connection)) => (Ok(value), Some(Idle { connection, since: Instant::now() })),
            Err(unavailable) => (Err(unavailable), None),
        };
        *lock(&self.connection) = idle;
        value
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let Some(client) = &self.client else {
            return Err((redis::ErrorKind::InvalidClientConfig, "REDIS_URL is not set").into());
        };
        // The budget bounds both; the client's own limits are put out of its way.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// A connection that was used lately, or that answers a PING.
async fn still_good(held: Option<Idle>) -> Option<MultiplexedConnection> {
    let Idle { mut connection, since } = held?;
    if since.elapsed() < IDLE_BEFORE_PING {
        return Some(connection);
    }
    let ping = redis::cmd("PING");
    let answer = tokio::time::timeout(PING_TIMEOUT, ping.query_async::<()>(&mut connection)).await;
    matches!(answer, Ok(Ok(()))).then_some(connection)
}

/// Decides who may try Redis: everyone while it answers, one probe now and then while it does not.
#[derive(Debug, Default)]
struct Guard {
    /// When the next probe may go, and how long to wait after it. `None` while Redis answers.
    open: Option<(Instant, Duration)>,
}

/// In what capacity a use may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The guard was closed.
    Regular,
    /// The guard was open; this use finds out whether it may close.
    Probe,
}

impl Guard {
    /// Whether this use may try. While open, one use is let through each time the pause has passed.
    fn admit(&mut self, now: Instant) -> Option<Turn> {
        match &mut self.open {
            None => Some(Turn::Regular),
            Some((probe_at, _)) if now < *probe_at => None,
            Some((probe_at, pause)) => {
                *probe_at = now + *pause;
                Some(Turn::Probe)
            }
        }
    }

    /// Opens after a failure, or waits longer after a failed probe. True when it was closed before. Uses that had begun
    /// before it opened change nothing when they fail too.
    fn open(&mut self, turn: Turn, now: Instant) -> bool {
        let pause = match (self.open, turn) {
            (None, _) => FIRST_PROBE_AFTER,
            (Some(_), Turn::Regular) => return false,
            (Some((_, pause)), Turn::Probe) => (pause * 2).min(LAST_PROBE_AFTER),
        };
        self.open.replace((now + pause, pause)).is_none()
    }

    /// Closes after a success. True when it was open before.
    fn close(&mut self) -> bool {
        self.open.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_guard_lets_one_probe_through_per_pause_and_backs_off_to_thirty_seconds() {
        let start = Instant::now();
        let mut guard = Guard::default();
        assert_eq!(guard.admit(start), Some(Turn::Regular));
        assert!(guard.open(Turn::Regular, start));

        let mut now = start;
        for pause in [2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(pause);
            assert_eq!(guard.admit(now + pause - Duration::from_millis(1)), None, "no probe before {pause:?}");
            now += pause;
            assert_eq!(guard.admit(now), Some(Turn::Probe), "one probe after {pause:?}");
            assert_eq!(guard.admit(now), None, "and only one");
            assert!(!guard.open(Turn::Probe, now), "it was open already");
        }
        assert!(guard.close());
        assert_eq!(guard.admit(now), Some(Turn::Regular));
    }

    #[test]
    fn failures_of_uses_that_began_together_lengthen_no_pause() {
        let start = Instant::now();
        let mut guard = Guard::default();
        assert!(guard.open(Turn::Regular, start));
        assert!(!guard.open(Turn::Regular, start));
        assert_eq!(guard.admit(start + FIRST_PROBE_AFTER), Some(Turn::Probe));
    }

    #[tokio::test(start_paused = true)]
    async fn a_redis_that_says_nothing_costs_one_use_the_budget_and_the_next_ones_nothing() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::open(format!("redis://{}", silent.local_addr().unwrap())).unwrap();
        let budget = Duration::from_millis(75);
        let redis = Redis::new(RedisConfig { client: Some(client), budget });
        let ping = async |mut connection| redis::cmd("PING").query_async::<()>(&mut connection).await;

        let began = Instant::now();
        assert!(matches!(redis.run(ping).await, Err(Unavailable::TimedOut(_))));
        assert_eq!(began.elapsed(), budget);
        for _ in 0..100 {
            assert!(matches!(redis.run(ping).await, Err(Unavailable::GuardOpen)));
        }
        assert_eq!(began.elapsed(), budget);
    }

    #[tokio::test]
    async fn a_refused_connection_opens_the_guard_and_later_uses_send_nothing() {
        let redis = Redis::new(RedisConfig {
            client: Some(Client::open("redis://127.0.0.1:1/").unwrap()),
            budget: Duration::from_millis(75),
        });
        let ping = |mut connection: MultiplexedConnection| async move {
            redis::cmd("PING").query_async::<()>(&mut connection).await
        };
        assert!(matches!(redis.run(ping).await, Err(Unavailable::Failed(_))));
        assert!(matches!(redis.run(ping).await, Err(Unavailable::GuardOpen)));
    }
}
