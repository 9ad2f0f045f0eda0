//! The Redis handle: one budget for each use, a guard that bounds the cost of an outage, and connections that are
//! replaced after a failure.
//!
//! The client's own connection manager keeps a connection after a time-out. If a frozen environment lost the
//! connection silently, every later call would fail. This handle drops a connection that failed, timed out, or replied
//! that the server cannot serve; the next use opens a new one. A connection that was idle for long must answer a PING
//! before it is used. Only lost connections and time-outs open the guard: an error reply shows that Redis answers.

mod failure;
mod guard;

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError};
use tokio::time::Instant;

use self::failure::RedisFailure;
use self::guard::{Guard, Turn};
use crate::config::Reader;
use crate::sync::lock;

/// Idle time after which a connection must answer a PING: the environment may have been frozen meanwhile.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(10);
/// Time-out of that PING, after which a new connection is opened instead.
const PING_TIMEOUT: Duration = Duration::from_millis(20);
/// Time-out of connecting while a function starts.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// Configuration of the Redis handle.
#[derive(Clone)]
pub struct RedisConfig {
    /// `REDIS_URL`: `redis://` or, with TLS as on AWS, `rediss://`.
    pub client: Option<Client>,
    /// `REDIS_BUDGET_MS`: time in milliseconds that a decision may spend on Redis, including connecting. Default 75, 5
    /// to 1,000.
    pub budget: Duration,
}

impl RedisConfig {
    /// Reads the variables that the fields name.
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

/// Reason for the lack of an answer from Redis.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The guard is open after an earlier failure; no command was sent.
    #[error("not asked: the guard is open")]
    GuardOpen,
    /// The budget ran out.
    #[error("no answer within the budget of {0:?}")]
    TimedOut(Duration),
    /// Redis or the connection returned an error.
    #[error("{0}")]
    Failed(#[from] RedisError),
}

impl Unavailable {
    /// Classifies the failure.
    fn failure(&self) -> RedisFailure {
        match self {
            Self::GuardOpen | Self::TimedOut(_) => RedisFailure::Lost,
            Self::Failed(error) => error.into(),
        }
    }
}

/// Handle to Redis that all uses within one environment share.
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
    /// Creates a handle. Does not connect yet.
    pub fn new(config: RedisConfig) -> Self {
        Self {
            client: config.client,
            budget: config.budget,
            connection: Mutex::new(None),
            guard: Mutex::new(Guard::default()),
        }
    }

    /// Returns the time that a decision, or another use, may spend on Redis.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Runs one operation on a connection, within the budget.
    ///
    /// # Errors
    /// [`Unavailable`] as for [`Redis::run_within`].
    pub async fn run<T, F>(&self, operation: impl Fn(MultiplexedConnection) -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        self.run_within(self.budget, operation).await
    }

    /// Runs one operation on a connection, within `budget`: for uses of several round trips, which share one budget.
    ///
    /// A held connection that was closed meanwhile (a restart of Redis, an idle time-out), or whose server can no
    /// longer serve, is replaced once. The operation may therefore run twice if the connection broke after Redis had
    /// begun.
    ///
    /// # Errors
    /// [`Unavailable`], at once while the guard is open, otherwise after at most the budget. A lost connection or a
    /// time-out opens the guard. An error reply fails only this use and leaves the guard closed.
    pub async fn run_within<T, F>(
        &self,
        budget: Duration,
        operation: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let Some(turn) = lock(&self.guard).admit(Instant::now()) else { return Err(Unavailable::GuardOpen) };
        self.run_as(turn, budget, operation).await
    }

    /// Runs one operation as [`Redis::run`] does, but also while the guard is open, which an answer closes. The caller
    /// bounds the number of such uses during an outage.
    ///
    /// # Errors
    /// [`Unavailable`], after at most the budget.
    pub async fn run_anyway<T, F>(&self, operation: impl Fn(MultiplexedConnection) -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        self.run_as(Turn::Regular, self.budget, operation).await
    }

    async fn run_as<T, F>(
        &self,
        turn: Turn,
        budget: Duration,
        operation: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let outcome = self.attempt(budget, operation).await;
        let failure = outcome.as_ref().err().map(|unavailable| (unavailable, unavailable.failure()));
        // Log error replies.
        if let Some((error, RedisFailure::Unfit | RedisFailure::Refused)) = failure {
            tracing::error!(
                code = "redis.refused",
                connection = "redis",
                %error,
                "Redis refused a command; what depends on it passes unchecked"
            );
        }
        // Close the guard after an answer, open it after a lost connection or a time-out.
        match failure {
            None | Some((_, RedisFailure::Refused)) => {
                if lock(&self.guard).close() {
                    // A warning, so that it becomes a breadcrumb: the board separates outages by it.
                    tracing::warn!(
                        code = "redis.back",
                        connection = "redis",
                        "Redis answers again; limits are enforced"
                    );
                }
            }
            // Redis answers but cannot serve: an open guard stays open until the next probe.
            Some((_, RedisFailure::Unfit)) => {}
            Some((error, RedisFailure::Lost)) => {
                if lock(&self.guard).open(turn, Instant::now()) {
                    tracing::warn!(
                        code = "redis.gone",
                        connection = "redis",
                        %error,
                        "Redis is unavailable; requests pass"
                    );
                }
            }
        }
        outcome
    }

    /// Connects before the first use and runs `operation`, within a time-out that suits a cold start. A failure is
    /// only logged.
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
        // Check the held connection or connect, then run the operation, all within the budget.
        let outcome = tokio::time::timeout(budget, async {
            let held = still_good(held).await;
            let is_held = held.is_some();
            let mut connection = match held {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let mut result = operation(connection.clone()).await;
            // Replace only a connection that was held: the failure of a new one is current.
            if is_held && result.as_ref().is_err_and(asks_for_another_connection) {
                connection = self.connect().await?;
                result = operation(connection.clone()).await;
            }
            Ok((result, connection))
        })
        .await;
        let (value, connection) = match outcome {
            Ok(Ok((result, connection))) => (result.map_err(Unavailable::from), Some(connection)),
            Ok(Err(error)) => (Err(Unavailable::Failed(error)), None),
            Err(_) => (Err(Unavailable::TimedOut(budget)), None),
        };
        // Keep the connection only if it is known to be good.
        let is_good = value.as_ref().err().is_none_or(|unavailable| unavailable.failure() == RedisFailure::Refused);
        *lock(&self.connection) =
            connection.filter(|_| is_good).map(|connection| Idle { connection, since: Instant::now() });
        value
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let Some(client) = &self.client else {
            return Err((redis::ErrorKind::InvalidClientConfig, "REDIS_URL is not set").into());
        };
        // The budget bounds both, so the client's own time-outs are disabled.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// Returns true if an operation that failed with `error` may succeed on a new connection.
fn asks_for_another_connection(error: &RedisError) -> bool {
    error.is_connection_dropped() || RedisFailure::from(error) == RedisFailure::Unfit
}

/// Returns the held connection if it was used lately or answers a PING.
async fn still_good(held: Option<Idle>) -> Option<MultiplexedConnection> {
    let Idle { mut connection, since } = held?;
    if since.elapsed() < IDLE_BEFORE_PING {
        return Some(connection);
    }
    let ping = redis::cmd("PING");
    let answer = tokio::time::timeout(PING_TIMEOUT, ping.query_async::<()>(&mut connection)).await;
    matches!(answer, Ok(Ok(()))).then_some(connection)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

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

    #[tokio::test]
    async fn a_use_that_does_not_ask_the_guard_closes_it_when_redis_answers() {
        let (redis, _) = peer("+PONG\r\n").await;
        let ping = async |mut connection| redis::cmd("PING").query_async::<()>(&mut connection).await;
        lock(&redis.guard).open(Turn::Regular, Instant::now());
        assert!(matches!(redis.run(ping).await, Err(Unavailable::GuardOpen)));
        assert!(redis.run_anyway(ping).await.is_ok());
        assert!(redis.run(ping).await.is_ok());
    }

    /// Starts a peer that answers every request with `reply`. Also returns the number of connections that it has
    /// accepted.
    async fn peer(reply: &'static str) -> (Redis, Arc<AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::open(format!("redis://{}", listener.local_addr().unwrap())).unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    while let Ok(length @ 1..) = connection.read(&mut request).await {
                        // Connecting sends commands too; each command is one array.
                        let commands = request[..length].iter().filter(|byte| **byte == b'*').count();
                        if connection.write_all(reply.repeat(commands).as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (Redis::new(RedisConfig { client: Some(client), budget: Duration::from_secs(5) }), accepted)
    }

    #[rstest]
    #[case::wrong_type("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", 1)]
    #[case::out_of_memory("-OOM command not allowed when used memory > 'maxmemory'.\r\n", 1)]
    #[case::a_script_that_runs("-BUSY Redis is busy running a script.\r\n", 1)]
    #[case::no_permission("-NOPERM User default has no permissions to run the 'get' command\r\n", 1)]
    #[case::any_error("-ERR unknown command\r\n", 1)]
    #[case::an_unknown_code("-NOREPLICAS Not enough good replicas to write.\r\n", 1)]
    #[case::read_only("-READONLY You can't write against a read only replica.\r\n", 3)]
    #[case::loading("-LOADING Redis is loading the dataset in memory\r\n", 3)]
    #[case::no_password("-NOAUTH Authentication required.\r\n", 3)]
    #[case::primary_gone("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n", 3)]
    #[tokio::test]
    async fn an_error_reply_leaves_the_guard_closed_and_costs_the_connection_only_where_that_cannot_serve(
        #[case] reply: &'static str,
        #[case] connections: usize,
    ) {
        let (redis, accepted) = peer(reply).await;
        for _ in 0..3 {
            let get = async |mut connection| redis::cmd("GET").arg("key").query_async::<()>(&mut connection).await;
            assert!(matches!(redis.run(get).await, Err(Unavailable::Failed(_))), "{reply}");
        }
        assert_eq!(accepted.load(Ordering::SeqCst), connections, "{reply}");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_speak_the_protocol_opens_the_guard() {
        let (redis, _) = peer("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let get = async |mut connection| redis::cmd("GET").arg("key").query_async::<()>(&mut connection).await;
        assert!(matches!(redis.run(get).await, Err(Unavailable::Failed(_))));
        assert!(matches!(redis.run(get).await, Err(Unavailable::GuardOpen)));
    }
}
