//! Releases of places in flight, and those among them that Redis has not confirmed.
//!
//! A release that could not be sent waits in its environment. It is sent again with the release or at the beginning of
//! a later call, and by a task in the background. The task stands still while the environment is frozen between calls.
//!
//! Invariants: a release leaves the queue when Redis has confirmed it, when its leases have expired, or when
//! [`MOST_WAITING`] newer ones wait. A release names its call, so that it frees no other call's place, however often it
//! is sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levee::clock::{Clock, Timestamp};
use levee::limits::leases::{self, Release};
use levee::stores::redis::Redis;
use levee::sync::lock;
use tokio::task::AbortHandle;

/// Largest number of releases that wait. An environment has one call at a time, and a lease expires within 90 s.
const MOST_WAITING: usize = 256;
/// Pause before the first attempt in the background; doubled by each failed one.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// Longest pause between attempts in the background.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The releases of one environment.
pub struct Releases {
    redis: Arc<Redis>,
    clock: Clock,
    waiting: Mutex<Waiting>,
}

/// Releases that Redis has not confirmed, oldest first.
#[derive(Default)]
struct Waiting {
    releases: VecDeque<Release>,
    /// Task that sends them again. It exists from a failure until nothing waits.
    retry: Option<AbortHandle>,
}

impl Releases {
    /// Creates an empty queue of releases for `redis`.
    pub fn new(redis: Arc<Redis>, clock: Clock) -> Self {
        Self { redis, clock, waiting: Mutex::default() }
    }

    /// Returns the handle to Redis.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Returns the present time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns true if a release waits.
    pub fn has_some(&self) -> bool {
        !lock(&self.waiting).releases.is_empty()
    }

    /// Sends `release` together with all that wait. Returns false if Redis did not confirm it; it then waits.
    ///
    /// A late reply to a decision opens the guard of the Redis handle, but a place that is not released refuses its
    /// caller the next call. So the first release is sent all the same. Once one has failed, the guard decides.
    pub async fn give_back(self: &Arc<Self>, release: Release) -> bool {
        let has_failed = {
            let mut waiting = lock(&self.waiting);
            waiting.push(release);
            waiting.retry.is_some()
        };
        self.send(!has_failed).await
    }

    /// Sends all releases that wait, if the guard of the Redis handle allows it.
    pub async fn drain(self: &Arc<Self>) {
        self.send(false).await;
    }

    /// Sends all releases that wait, at once. They stay in the queue until Redis has confirmed them, so that none is
    /// lost if this future is dropped.
    async fn send(self: &Arc<Self>, is_anyway: bool) -> bool {
        let batch = lock(&self.waiting).batch(self.now());
        if batch.is_empty() {
            return true;
        }
        // The Redis client logs its own outage, once for many calls.
        let sent = if is_anyway {
            leases::release_anyway(&self.redis, &batch).await
        } else {
            leases::release(&self.redis, &batch).await
        };
        if sent.is_err() {
            self.retry_later();
            return false;
        }
        lock(&self.waiting).confirm(&batch);
        true
    }

    /// Starts the task in the background, unless it runs already.
    fn retry_later(self: &Arc<Self>) {
        let mut waiting = lock(&self.waiting);
        if waiting.retry.is_some() || waiting.releases.is_empty() {
            return;
        }
        let this = self.clone();
        let retry = async move {
            let mut pause = FIRST_RETRY;
            while lock(&this.waiting).is_needed(this.now()) {
                tokio::time::sleep(pause).await;
                this.send(true).await;
                pause = (2 * pause).min(LAST_RETRY);
            }
        };
        waiting.retry = Some(tokio::spawn(retry).abort_handle());
    }
}

impl Waiting {
    /// Appends a release, in place of the oldest one if too many wait.
    fn push(&mut self, release: Release) {
        if self.releases.len() >= MOST_WAITING {
            self.releases.pop_front();
        }
        self.releases.push_back(release);
    }

    /// Drops the releases whose leases have expired, and returns a copy of the others.
    fn batch(&mut self, now: Timestamp) -> Vec<Release> {
        self.releases.retain(|release| release.until > now);
        self.releases.iter().cloned().collect()
    }

    /// Removes the releases that Redis has confirmed. Releases that came meanwhile stay.
    fn confirm(&mut self, batch: &[Release]) {
        self.releases.retain(|release| !batch.contains(release));
        // A task that waits for the next attempt has nothing left to send.
        if self.releases.is_empty()
            && let Some(retry) = self.retry.take()
        {
            retry.abort();
        }
    }

    /// Returns true if the task in the background has something to send. Otherwise the task ends.
    fn is_needed(&mut self, now: Timestamp) -> bool {
        let is_needed = !self.batch(now).is_empty();
        if !is_needed {
            self.retry = None;
        }
        is_needed
    }
}

#[cfg(test)]
pub mod tests;
