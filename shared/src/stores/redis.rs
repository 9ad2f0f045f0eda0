//! The Redis handle: one budget per use, a guard that spares callers an outage, and connections that are replaced
//! rather than trusted.
//!
//! The client's own connection manager keeps a connection after a time-out, and a connection that a frozen environment
//! lost silently then fails every later call. Here a lost connection, a time-out and a reply that says that the server
//! cannot serve drop the connection, the next use opens a new one, and a connection that has been idle for long is asked
//! for a PING before it is believed. Only lost connections and time-outs open the guard: an error reply is an answer.

mod failure;
mod guard;

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError};
use tokio::time::Instant;

use self::failure::Failure;
use self::guard::Guard;
use crate::config::Reader;
use crate::sync::lock;

/// A connection idle for longer than this is asked for a PING first: the environment may have been frozen meanwhile.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(10);
/// How long that PING may take before a new connection is opened instead.
const PING_TIMEOUT: Duration = Duration::from_millis(20);
/// How long connecting may take while a function starts.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(1);

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

impl Unavailable {
    /// The state of Redis that this shows.
    fn failure(&self) -> Failure {
        match self {
            Self::GuardOpen | Self::TimedOut(_) => Failure::Lost,
            Self::Failed(error) => error.into(),
        }
    }
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
    /// A connection that was closed meanwhile (Redis restarted, an idle time-out), or whose server can serve nothing any
    /// more, is replaced once, so the operation may run twice where the connection broke after Redis had begun.
    ///
    /// # Errors
    /// [`Unavailable`] at once while the guard is open, after at most the budget otherwise. A lost connection or a time-out
    /// opens the guard. An error reply does not: this use fails, and the next one is tried.
    pub async fn run<T, F>(&self, operation: impl Fn(MultiplexedConnection) -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let Some(turn) = lock(&self.guard).admit(Instant::now()) else { return Err(Unavailable::GuardOpen) };
        let outcome = self.attempt(self.budget, operation).await;
        let failure = outcome.as_ref().err().map(|unavailable| (unavailable, unavailable.failure()));
        if let Some((error, Failure::Unfit | Failure::Refused)) = failure {
            tracing::error!(
                code = "redis.refused",
                connection = "redis",
                %error,
                "Redis refused a command; what depends on it passes unchecked"
            );
        }
        match failure {
            None | Some((_, Failure::Refused)) => {
                if lock(&self.guard).close() {
                    // A warning, so that it is kept as a breadcrumb: the board tells outages apart by it.
                    tracing::warn!(
                        code = "redis.back",
                        connection = "redis",
                        "Redis answers again; limits are enforced"
                    );
                }
            }
            // It answers, and serves nothing: a guard that is open stays so until the next probe.
            Some((_, Failure::Unfit)) => {}
            Some((error, Failure::Lost)) => {
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
        let outcome = tokio::time::timeout(budget, async {
            let held = still_good(held).await;
            let is_held = held.is_some();
            let mut connection = match held {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let mut result = operation(connection.clone()).await;
            // Only a connection that was good before is replaced: a new one has just shown how things stand.
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
        // No connection is left behind that is not known to be good.
        let is_good = value.as_ref().err().is_none_or(|unavailable| unavailable.failure() == Failure::Refused);
        *lock(&self.connection) =
            connection.filter(|_| is_good).map(|connection| Idle { connection, since: Instant::now() });
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

/// Returns whether an operation that ended in `error` may succeed on a new connection.
fn asks_for_another_connection(error: &RedisError) -> bool {
    error.is_connection_dropped() || Failure::from(error) == Failure::Unfit
}

/// Returns the connection that was held, if it was used lately or answers a PING.
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

    /// A peer that answers every request with `reply`, and the number of connections that it has accepted.
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
                        // Connecting sends commands too; each is one array.
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
