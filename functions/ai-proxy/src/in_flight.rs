//! What a call holds while it is in flight, and how it is given back.
//!
//! The authorizer took the places for as long as a call needs to get here; here they are renewed until the call is over.
//! Invariant: they are given back before the last of the answer is released, so that a client that calls again at once
//! does not meet its own call. What cannot be given back ends by itself.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use levee::clock::Clock;
use levee::limits::leases;
use levee::stores::redis::Redis;
use levee::sync::lock;
use tokio::task::AbortHandle;

use crate::report::Report;

/// How long a call holds its places from each renewal on.
const HELD_FOR: Duration = Duration::from_secs(90);
/// How long after a renewal the next one comes: two of them may fail.
const RENEWED_EVERY: Duration = Duration::from_secs(30);

/// A handle to the places that one call holds.
#[derive(Clone)]
pub struct InFlight(Arc<Places>);

struct Places {
    redis: Arc<Redis>,
    /// The call's id.
    id: String,
    /// The sets that it is in; empty once they were given back.
    leases: Mutex<Vec<String>>,
    /// What renews them.
    renewal: Mutex<Option<AbortHandle>>,
    report: Report,
}

impl InFlight {
    /// The call `id` is in the sets `leases`.
    pub fn new(redis: &Arc<Redis>, id: &str, leases: Vec<String>, report: &Report) -> Self {
        let (redis, id, leases, report) = (redis.clone(), id.to_owned(), Mutex::new(leases), report.clone());
        Self(Arc::new(Places { redis, id, leases, renewal: Mutex::default(), report }))
    }

    /// Keeps the call's places until it is over: they are renewed for a while at a time, so that what could not be given
    /// back, or belonged to an environment that died, is free soon. Costs the call no time.
    pub fn hold(&self, clock: &Clock) {
        let Places { redis, id, renewal, .. } = &*self.0;
        let (redis, id, leases, clock) = (redis.clone(), id.clone(), self.0.held().clone(), clock.clone());
        if leases.is_empty() {
            return;
        }
        let renew = async move {
            loop {
                // Without Redis they run out early, which is logged where it is found out.
                let _run_out = leases::extend(&redis, &leases, &id, clock.now().plus(HELD_FOR)).await;
                tokio::time::sleep(RENEWED_EVERY).await;
            }
        };
        *lock(renewal) = Some(tokio::spawn(renew).abort_handle());
    }

    /// Gives the places back. The second time nothing is left to do.
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

/// A call that ended without an end: it panicked, or the runtime dropped its answer. The environment lives on, and what
/// the call held is given back beside whatever it does next.
impl Drop for Places {
    fn drop(&mut self) {
        self.renew_no_more();
        let leases = self.take();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !leases.is_empty() {
            let (redis, id, report) = (self.redis.clone(), mem::take(&mut self.id), self.report.clone());
            runtime.spawn(async move { give_back(&redis, &id, leases, &report).await });
        }
    }
}

async fn give_back(redis: &Redis, id: &str, leases: Vec<String>, report: &Report) {
    // That Redis is gone is logged where it is found out, once for many calls.
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

    /// A Redis that answers 1 to everything, and the names of the sets that something was taken out of.
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
        InFlight::new(redis, "r-1", vec!["one".to_owned(), "two".to_owned()], &Report::begin("r-1", None))
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
        InFlight::new(&redis, "r-1", Vec::new(), &Report::begin("r-1", None)).give_back().await;
        assert!(given_back.try_recv().is_err());
    }
}
