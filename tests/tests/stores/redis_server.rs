//! A Redis of a test's own, its clock, and access to all of its data.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use levee::clock::{Clock, Timestamp};
use levee::config::from_lookup;
use levee::limits::{DegradedMode, Limiter};
use levee::stores::redis::{Redis, RedisConfig};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tests::wait_for;

/// Part of every key of the limiter, so that all keys are in one slot.
const HASH_TAG: &str = "{levee}:";
const TALLIES: &str = "{levee}:tally:";

/// A server that is killed when it is dropped.
pub struct Server {
    folder: TempDir,
    child: Mutex<Option<Child>>,
    connection: MultiplexedConnection,
}

/// A stored key.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Result of DUMP.
    pub dump: Vec<u8>,
    /// Time to live in milliseconds; -1 for a key without expiry.
    pub ttl: i64,
    /// A counter's value; a sorted set's members with their scores; a hash's fields with their values.
    pub value: Vec<String>,
}

impl Stored {
    /// Returns members or fields with their numbers.
    pub fn pairs(&self) -> BTreeMap<String, u64> {
        self.value.chunks(2).map(|pair| (pair[0].clone(), pair[1].parse().unwrap())).collect()
    }
}

impl Server {
    /// Starts an empty server.
    pub async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let child = spawn(&folder);
        let client = redis::Client::open(url(&folder)).unwrap();
        let connection = wait_for(async || client.get_multiplexed_async_connection().await.ok()).await;
        Self { folder, child: Mutex::new(Some(child)), connection }
    }

    /// Kills the server, so that connections are refused.
    pub fn stop(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts an empty server again after [`Server::stop`].
    pub async fn start_again(&mut self) {
        *self.child.lock().unwrap() = Some(spawn(&self.folder));
        let client = redis::Client::open(url(&self.folder)).unwrap();
        self.connection = wait_for(async || client.get_multiplexed_async_connection().await.ok()).await;
    }

    /// Returns a handle of its own, with a budget that is long enough for a busy machine.
    pub fn redis(&self) -> Redis {
        let client = redis::Client::open(url(&self.folder)).unwrap();
        Redis::new(RedisConfig { client: Some(client), budget: Duration::from_secs(30) })
    }

    /// Returns a limiter with a connection of its own and the clock of [`Server::set_clock`].
    pub fn limiter(&self) -> Limiter {
        Limiter::new(self.redis(), self.clock(), DegradedMode::Allow)
    }

    pub fn clock(&self) -> Clock {
        let file = self.folder.path().join("clock-offset").to_str().unwrap().to_owned();
        let lookup = |name: &str| (name == "LEVEE_CLOCK_OFFSET_FILE").then(|| file.clone());
        from_lookup(lookup, Clock::read).unwrap()
    }

    /// Sets the clock to `moment`, within half a second. The script accepts a caller's time within two seconds, so a
    /// call at exactly `moment` is decided by that moment.
    pub fn set_clock(&self, moment: Timestamp) {
        let ahead = moment.as_millis().cast_signed() - Clock::system().now().as_millis().cast_signed();
        let secs = (ahead + 500).div_euclid(1000);
        std::fs::write(self.folder.path().join("clock-offset"), secs.to_string()).unwrap();
    }

    /// Sends a command to the server directly.
    pub async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection.clone();
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }

    /// Returns all keys, and checks that each has the hash tag and expires.
    pub async fn snapshot(&self) -> BTreeMap<String, Stored> {
        type Row = (String, Vec<u8>, i64, Vec<String>);
        let rows: Vec<Row> = self.command(&["EVAL", include_str!("snapshot.lua"), "0"]).await;
        for (key, _, ttl, _) in &rows {
            assert!(key.starts_with(HASH_TAG), "{key} is in another slot");
            assert!(*ttl > 0, "{key} never ends");
        }
        rows.into_iter().map(|(key, dump, ttl, value)| (key, Stored { dump, ttl, value })).collect()
    }

    /// Returns the tallies of all minutes together.
    pub async fn tallies(&self) -> BTreeMap<String, u64> {
        let mut tallies = BTreeMap::new();
        for (key, hash) in self.snapshot().await {
            if is_tally(&key) && key != levee::limits::tally::MINUTES {
                for (field, calls) in hash.pairs() {
                    *tallies.entry(field).or_default() += calls;
                }
            }
        }
        tallies
    }

    /// Returns the number of calls of each command since `CONFIG RESETSTAT`, without those of this method.
    pub async fn commands(&self) -> BTreeMap<String, u64> {
        let told: String = self.command(&["INFO", "commandstats"]).await;
        let line = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?.parse().ok()?;
            (!["info", "config|resetstat"].contains(&name)).then(|| (name.to_owned(), calls))
        };
        told.lines().filter_map(line).collect()
    }

    pub async fn forget_commands(&self) {
        self.command::<()>(&["CONFIG", "RESETSTAT"]).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns true if a key counts for the statistics: a refused call changes only such keys.
pub fn is_tally(key: &str) -> bool {
    key.starts_with(TALLIES)
}

fn socket(folder: &TempDir) -> String {
    folder.path().join("redis.sock").to_str().unwrap().to_owned()
}

fn url(folder: &TempDir) -> String {
    format!("redis+unix://{}", socket(folder))
}

fn spawn(folder: &TempDir) -> Child {
    let program = std::env::split_paths(&path()).map(|folder| folder.join("redis-server")).find(|it| it.is_file());
    Command::new(program.unwrap_or_else(|| "valkey-server".into()))
        .args(["--port", "0", "--unixsocket", &socket(folder), "--save", "", "--appendonly", "no"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "where programs are is asked of the environment")]
fn path() -> String {
    std::env::var("PATH").unwrap_or_default()
}
