//! The places in flight that a call holds, and their release.
//!
//! The authorizer takes the places for as long as a call needs to arrive here. They are then renewed until the call is
//! over. Invariant: they are released before the last part of the answer, so that a client that calls again at once is
//! not counted twice. A place that cannot be released waits in [`Releases`], and expires.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use levee::limits::leases::{self, Release};
use levee::sync::lock;
use tokio::task::AbortHandle;

use crate::releases::Releases;
use crate::report::CallReport;

/// Time for which each renewal holds the places.
const HELD_FOR: Duration = Duration::from_secs(90);
/// Interval between renewals. Two of them may fail before the places expire.
const RENEWED_EVERY: Duration = Duration::from_secs(30);

/// Shared handle to the places of one call.
#[derive(Clone)]
pub struct InFlight(Arc<Places>);

struct Places {
    releases: Arc<Releases>,
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
    pub fn new(releases: &Arc<Releases>, id: &str, leases: Vec<String>, report: &CallReport) -> Self {
        let (releases, id, leases, report) = (releases.clone(), id.to_owned(), Mutex::new(leases), report.clone());
        Self(Arc::new(Places { releases, id, leases, renewal: Mutex::default(), report }))
    }

    /// Renews the call's places in the background until the call is over. Each renewal holds them for [`HELD_FOR`]
    /// only, so that places of a dead environment expire soon. Places of earlier calls that are still to be released
    /// are released before the first renewal.
    pub fn hold(&self) {
        let Places { releases, id, renewal, .. } = &*self.0;
        let (releases, id, leases) = (releases.clone(), id.clone(), self.0.held().clone());
        if leases.is_empty() && !releases.has_some() {
            return;
        }
        let renew = async move {
            releases.drain().await;
            while !leases.is_empty() {
                // Without Redis the places expire early. The Redis client logs its own outage.
                let until = releases.now().plus(HELD_FOR);
                let _run_out = leases::extend(releases.redis(), &leases, &id, until).await;
                tokio::time::sleep(RENEWED_EVERY).await;
            }
        };
        *lock(renewal) = Some(tokio::spawn(renew).abort_handle());
    }

    /// Releases the places, and those of earlier calls that could not be released. Later calls release nothing more.
    pub async fn give_back(&self) {
        let Places { releases, report, .. } = &*self.0;
        self.0.renew_no_more();
        match self.0.take() {
            Some(release) => give_back(releases, release, report).await,
            None => releases.drain().await,
        }
    }
}

impl Places {
    /// Returns the release of the places that are held. No renewal lasts longer than it.
    fn take(&self) -> Option<Release> {
        let leases = mem::take(&mut *self.held());
        let until = self.releases.now().plus(HELD_FOR);
        (!leases.is_empty()).then(|| Release { id: self.id.clone(), leases, until })
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
        // Outside a runtime nothing can be sent, and the places expire.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if let Some(release) = self.take() {
            let (releases, report) = (self.releases.clone(), self.report.clone());
            runtime.spawn(async move { give_back(&releases, release, &report).await });
        }
    }
}

async fn give_back(releases: &Arc<Releases>, release: Release, report: &CallReport) {
    if !releases.give_back(release).await {
        report.unreleased();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::releases::tests::{FakeRedis, releases};

    fn held(releases: &Arc<Releases>) -> InFlight {
        InFlight::new(releases, "r-1", vec!["one".to_owned(), "two".to_owned()], &CallReport::begin("r-1", None))
    }

    #[tokio::test]
    async fn what_is_held_is_given_back_once() {
        let redis = FakeRedis::start().await;
        let in_flight = held(&releases(&redis));
        in_flight.give_back().await;
        in_flight.clone().give_back().await;
        drop(in_flight);
        tokio::task::yield_now().await;
        assert_eq!(redis.removed(), ["one r-1", "two r-1"]);
    }

    #[tokio::test]
    async fn a_call_that_ends_without_an_end_gives_back_what_it_holds() {
        let redis = FakeRedis::start().await;
        let in_flight = held(&releases(&redis));
        let other = in_flight.clone();
        drop(in_flight);
        tokio::task::yield_now().await;
        assert!(redis.removed().is_empty(), "somebody still holds it");
        drop(other);
        assert_eq!(redis.wait_for_removals(2).await, ["one r-1", "two r-1"]);
    }

    #[tokio::test]
    async fn without_redis_nothing_fails_and_what_holds_nothing_asks_nobody() {
        let redis = FakeRedis::start().await;
        redis.answers(false);
        held(&releases(&redis)).give_back().await;
        let redis = FakeRedis::start().await;
        InFlight::new(&releases(&redis), "r-1", Vec::new(), &CallReport::begin("r-1", None)).give_back().await;
        assert_eq!(redis.connections(), 0);
    }

    #[tokio::test]
    async fn a_call_begins_with_the_releases_of_the_calls_before_and_renews_its_own_places_after_them() {
        let redis = FakeRedis::start().await;
        let releases = releases(&redis);
        redis.answers(false);
        held(&releases).give_back().await;
        assert!(releases.has_some());
        // The guard is closed again, as it is when a frozen environment gets its next call.
        redis.answers(true);
        releases.redis().run_anyway(async |mut it| redis::cmd("PING").query_async::<()>(&mut it).await).await.unwrap();
        let next = InFlight::new(&releases, "r-2", vec!["one".to_owned()], &CallReport::begin("r-2", None));
        next.hold();
        let commands = redis.wait_for("ZADD one XX").await;
        let place = |start: &str| commands.iter().position(|command| command.starts_with(start)).unwrap();
        assert!(place("ZREM one r-1") < place("ZADD one XX"), "{commands:?}");
        assert!(!releases.has_some());
        next.give_back().await;
        let removed = redis.removed();
        assert_eq!(removed.iter().filter(|it| *it == "one r-2").count(), 1, "{removed:?}");
    }
}
