//! The places in flight that a call holds, and their release.
//!
//! The authorizer takes the places for as long as a call needs to arrive here. They are then renewed until the call is
//! over. Invariant: they are released before the last part of the answer, so that a client that calls again at once is
//! not counted twice. A place that cannot be released expires.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use levee::clock::Clock;
use levee::limits::leases;
use levee::stores::redis::Redis;
use levee::sync::lock;
use tokio::task::AbortHandle;

use crate::report::CallReport;

/// Time for which each renewal holds the places.
const HELD_FOR: Duration = Duration::from_secs(90);
/// Interval between renewals. Two of them may fail before the places expire.
const RENEWED_EVERY: Duration = Duration::from_secs(30);

/// Shared handle to the places of one call.
#[derive(Clone)]
pub struct InFlight(Arc<Places>);

struct Places {
    redis: Arc<Redis>,
    /// Id of the call.
    id: String,
    /// Redis keys of the sets that hold the call; empty once the places were released.
    leases: Mutex<Vec<String>>,
    /// Task that renews the places.
    renewal: Mutex<Option<AbortHandle>>,
    report: CallReport,
}

impl InFlight {
    /// Returns a handle to the places of the call `id` in the sets `leases`.
    pub fn new(redis: &Arc<Redis>, id: &str, leases: Vec<String>, report: &CallReport) -> Self {
        let (redis, id, leases, report) = (redis.clone(), id.to_owned(), Mutex::new(leases), report.clone());
        Self(Arc::new(Places { redis, id, leases, renewal: Mutex::default(), report }))
    }

    /// Renews the call's places in the background until the call is over. Each renewal holds them for [`HELD_FOR`]
    /// only, so that places of a dead environment expire soon.
    pub fn hold(&self, clock: &Clock) {
        let Places { redis, id, renewal, .. } = &*self.0;
        let (redis, id, leases, clock) = (redis.clone(), id.clone(), self.0.held().clone(), clock.clone());
        if leases.is_empty() {
            return;
        }
        let renew = async move {
            loop {
                // Without Redis the places expire early. The Redis client logs its own outage.
                let _run_out = leases::extend(&redis, &leases, &id, clock.now().plus(HELD_FOR)).await;
                tokio::time::sleep(RENEWED_EVERY).await;
            }
        };
        *lock(renewal) = Some(tokio::spawn(renew).abort_handle());
    }

    /// Releases the places. Later calls do nothing.
    pub async fn give_back(&self) {
        let Places { redis, id, report, .. } = &*self.0;
        self.0.renew_no_more();
        give_back(redis, id, self.0.take(), report).await;
    }
}

impl Places {
    fn take(&self) -> Vec<String> {
        mem::take(&mut self.held())
    }

    fn held(&self) -> MutexGuard<'_, Vec<String>> {
        lock(&self.leases)
    }

    fn renew_no_more(&self) {
        if let Some(renewal) = lock(&self.renewal).take() {
            renewal.abort();
        }
    }
}

/// Releases the places of a call that never finished, because it panicked or the runtime dropped its response. The
/// release runs in the background.
impl Drop for Places {
    fn drop(&mut self) {
        self.renew_no_more();
        let leases = self.take();
        // Outside a runtime nothing can be sent, and the places expire.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !leases.is_empty() {
            let (redis, id, report) = (self.redis.clone(), mem::take(&mut self.id), self.report.clone());
            runtime.spawn(async move { give_back(&redis, &id, leases, &report).await });
        }
    }
}

async fn give_back(redis: &Redis, id: &str, leases: Vec<String>, report: &CallReport) {
    // The Redis client logs its own outage, once for many calls.
    if !leases.is_empty() && leases::release(redis, &leases, id).await.is_err() {
        report.unreleased();
    }
}

#[cfg(test)]
mod tests {
    use levee::stores::redis::RedisConfig;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// Starts a Redis that answers 1 to every command, and returns the names of the sets from which it was told to
    /// remove.
    async fn redis() -> (Arc<Redis>, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = redis::Client::open(format!("redis://{}", listener.local_addr().unwrap())).unwrap();
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut received = [0; 4096];
            while let Ok(length @ 1..) = connection.read(&mut received).await {
                let text = String::from_utf8_lossy(&received[..length]).into_owned();
                let commands = text.matches('*').count();
                for command in text.split('*').filter(|command| command.contains("ZREM")) {
                    sender.send(command.split("\r\n").nth(4).unwrap().to_owned()).await.unwrap();
                }
                connection.write_all(":1\r\n".repeat(commands).as_bytes()).await.unwrap();
            }
        });
        (handle(client), receiver)
    }

    fn handle(client: redis::Client) -> Arc<Redis> {
        Arc::new(Redis::new(RedisConfig { client: Some(client), budget: Duration::from_secs(1) }))
    }

    fn held(redis: &Arc<Redis>) -> InFlight {
        InFlight::new(redis, "r-1", vec!["one".to_owned(), "two".to_owned()], &CallReport::begin("r-1", None))
    }

    #[tokio::test]
    async fn what_is_held_is_given_back_once() {
        let (redis, mut given_back) = redis().await;
        let in_flight = held(&redis);
        in_flight.give_back().await;
        in_flight.clone().give_back().await;
        drop(in_flight);
        tokio::task::yield_now().await;
        let mut sets = Vec::new();
        while let Ok(set) = given_back.try_recv() {
            sets.push(set);
        }
        assert_eq!(sets, ["one", "two"]);
    }

    #[tokio::test]
    async fn a_call_that_ends_without_an_end_gives_back_what_it_holds() {
        let (redis, mut given_back) = redis().await;
        let in_flight = held(&redis);
        let other = in_flight.clone();
        drop(in_flight);
        tokio::task::yield_now().await;
        assert!(given_back.try_recv().is_err(), "somebody still holds it");
        drop(other);
        assert_eq!(given_back.recv().await.as_deref(), Some("one"));
        assert_eq!(given_back.recv().await.as_deref(), Some("two"));
    }

    #[tokio::test]
    async fn without_redis_nothing_fails_and_what_holds_nothing_asks_nobody() {
        let nobody = handle(redis::Client::open("redis://127.0.0.1:1/").unwrap());
        held(&nobody).give_back().await;
        let (redis, mut given_back) = redis().await;
        InFlight::new(&redis, "r-1", Vec::new(), &CallReport::begin("r-1", None)).give_back().await;
        assert!(given_back.try_recv().is_err());
    }
}
