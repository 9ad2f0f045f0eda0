use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use levee::stores::redis::RedisConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Budget for one use of Redis.
const BUDGET: Duration = Duration::from_millis(200);

/// A Redis that answers 1 to every command, or nothing at all while it is silent.
pub struct FakeRedis {
    url: String,
    state: Arc<FakeState>,
}

#[derive(Default)]
struct FakeState {
    is_silent: AtomicBool,
    connections: AtomicUsize,
    /// Commands that were answered, their words separated by spaces.
    commands: Mutex<Vec<String>>,
}

impl FakeRedis {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let state = Arc::new(FakeState::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(connection, shared.clone()));
            }
        });
        Self { url, state }
    }

    /// Lets Redis answer, or drop all commands unread.
    pub fn answers(&self, on: bool) {
        self.state.is_silent.store(!on, Ordering::SeqCst);
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Returns the sets and the members that were removed from them.
    pub fn removed(&self) -> Vec<String> {
        let commands = lock(&self.state.commands);
        commands.iter().filter_map(|command| command.strip_prefix("ZREM ").map(str::to_owned)).collect()
    }

    pub async fn wait_for_removals(&self, count: usize) -> Vec<String> {
        while self.removed().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.removed()
    }

    /// Waits for a command that begins with `start`, and returns all commands so far.
    pub async fn wait_for(&self, start: &str) -> Vec<String> {
        loop {
            let commands = lock(&self.state.commands).clone();
            if commands.iter().any(|command| command.starts_with(start)) {
                return commands;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn answer(mut connection: TcpStream, state: Arc<FakeState>) {
    let mut received = Vec::new();
    while connection.read_buf(&mut received).await.is_ok_and(|length| length > 0) {
        if state.is_silent.load(Ordering::SeqCst) {
            received.clear();
            continue;
        }
        while let Some((command, length)) = command(&received) {
            received.drain(..length);
            lock(&state.commands).push(command);
            if connection.write_all(b":1\r\n").await.is_err() {
                return;
            }
        }
    }
}

/// Returns the first command, and its length in bytes; `None` if it is not complete.
fn command(received: &[u8]) -> Option<(String, usize)> {
    let text = std::str::from_utf8(received).unwrap();
    let (head, mut rest) = text.split_once("\r\n")?;
    let mut words = Vec::new();
    // A word is its length in a line and its text in another one.
    for _ in 0..head.strip_prefix('*').unwrap().parse().unwrap() {
        let (_, after) = rest.split_once("\r\n")?;
        let (word, after) = after.split_once("\r\n")?;
        words.push(word);
        rest = after;
    }
    Some((words.join(" "), text.len() - rest.len()))
}

/// Returns the releases of an environment that uses `redis`.
pub fn releases(redis: &FakeRedis) -> Arc<Releases> {
    let client = redis::Client::open(redis.url.as_str()).unwrap();
    let redis = Redis::new(RedisConfig { client: Some(client), budget: BUDGET });
    Arc::new(Releases::new(Arc::new(redis), Clock::system()))
}

fn release(releases: &Releases, id: &str) -> Release {
    let until = releases.now().plus(Duration::from_secs(90));
    Release { id: id.to_owned(), leases: vec!["set".to_owned()], until }
}

/// Makes a decision, which is late if Redis is silent.
async fn decide(releases: &Releases) -> bool {
    releases.redis().run(async |mut it| redis::cmd("GET").arg("k").query_async::<()>(&mut it).await).await.is_ok()
}

#[tokio::test]
async fn a_late_reply_to_a_decision_keeps_no_place_from_being_given_back() {
    let redis = FakeRedis::start().await;
    let releases = releases(&redis);
    redis.answers(false);
    assert!(!decide(&releases).await);
    redis.answers(true);
    assert!(!decide(&releases).await, "the guard is open");
    assert!(releases.give_back(release(&releases, "r-1")).await);
    assert_eq!(redis.removed(), ["set r-1"]);
    assert!(decide(&releases).await, "an answer closes the guard");
}

#[tokio::test]
async fn releases_that_redis_did_not_hear_of_go_out_with_the_next_one_that_it_may_hear_of() {
    let redis = FakeRedis::start().await;
    let releases = releases(&redis);
    redis.answers(false);
    assert!(!releases.give_back(release(&releases, "r-1")).await);
    // Once a release has failed, further ones wait without a time-out of their own.
    let connections = redis.connections();
    assert!(!releases.give_back(release(&releases, "r-2")).await);
    assert_eq!(redis.connections(), connections);

    redis.answers(true);
    releases.redis().run_anyway(async |mut it| redis::cmd("PING").query_async::<()>(&mut it).await).await.unwrap();
    assert!(releases.give_back(release(&releases, "r-3")).await);
    assert_eq!(redis.removed(), ["set r-1", "set r-2", "set r-3"]);
    assert!(!releases.has_some());
    assert!(releases.give_back(release(&releases, "r-4")).await);
    assert_eq!(redis.removed().len(), 4, "nothing that was confirmed is sent again");
}

#[tokio::test]
async fn releases_that_wait_go_out_in_the_background_when_redis_answers_again() {
    let redis = FakeRedis::start().await;
    let releases = releases(&redis);
    redis.answers(false);
    for id in ["r-1", "r-2"] {
        assert!(!releases.give_back(release(&releases, id)).await);
    }
    redis.answers(true);
    assert_eq!(redis.wait_for_removals(2).await, ["set r-1", "set r-2"]);
    while lock(&releases.waiting).retry.is_some() {
        tokio::task::yield_now().await;
    }
    assert!(!releases.has_some());
}

#[tokio::test]
async fn a_release_whose_sending_is_dropped_waits() {
    let redis = FakeRedis::start().await;
    let releases = releases(&redis);
    redis.answers(false);
    let sending = releases.give_back(release(&releases, "r-1"));
    assert!(tokio::time::timeout(Duration::from_millis(1), sending).await.is_err());
    redis.answers(true);
    assert!(releases.give_back(release(&releases, "r-2")).await);
    assert_eq!(redis.removed(), ["set r-1", "set r-2"]);
}

#[test]
fn the_newest_releases_wait_until_their_leases_have_expired() {
    let at = Timestamp::from_secs;
    let release = |n: u64| Release { id: format!("r-{n}"), leases: vec!["set".to_owned()], until: at(n) };
    let mut waiting = Waiting::default();
    let most = MOST_WAITING as u64;
    (1..=most + 9).for_each(|n| waiting.push(release(n)));
    let batch = waiting.batch(at(0));
    assert_eq!((batch.len(), &batch[0], batch.last()), (MOST_WAITING, &release(10), Some(&release(most + 9))));
    assert_eq!(waiting.batch(at(most)).len(), 9);

    // Releases that come while others are sent stay.
    let batch = waiting.batch(at(most));
    waiting.push(release(most + 10));
    waiting.confirm(&batch);
    assert_eq!(waiting.batch(at(most)), [release(most + 10)]);
    assert!(!waiting.is_needed(at(most + 10)));
}
