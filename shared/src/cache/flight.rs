//! Lookups in progress within one environment: those of one key and one required version share one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use super::read::{CacheAnswer, SourceGone};
use crate::sync::lock;

type Lookup<T> = Result<CacheAnswer<T>, SourceGone>;
type FlightKey = (String, Option<u64>);

/// Lookups in progress.
pub(super) struct Flights<T>(Mutex<HashMap<FlightKey, Arc<OnceCell<Lookup<T>>>>>);

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

/// A shared lookup, which leaves the list when its last caller is done or gives up.
struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: FlightKey,
    flight: Arc<OnceCell<Lookup<T>>>,
}

impl<T> Flights<T> {
    /// Runs `look_up`, or waits for the outcome of a lookup of the same key and required version that is in progress.
    /// If the caller that runs it gives up, one of those that wait runs its own.
    ///
    /// A caller that requires a newer version never joins an older lookup: its source may have been read before the
    /// write that raised the version.
    pub(super) async fn join(
        &self,
        key: &str,
        required: Option<u64>,
        look_up: impl AsyncFnOnce() -> Lookup<T>,
    ) -> Lookup<T> {
        let key = (key.to_owned(), required);
        let flight = lock(&self.0).entry(key.clone()).or_default().clone();
        let seat = Seat { flights: self, key, flight };
        // Run the lookup, unless another caller does.
        let mut is_leader = false;
        let outcome = seat
            .flight
            .get_or_init(async || {
                is_leader = true;
                look_up().await
            })
            .await
            .clone();
        drop(seat);
        if is_leader { outcome } else { outcome.map(CacheAnswer::collapsed) }
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights.0);
        // A finished lookup serves nobody that comes later. One without an outcome stays for those that still wait.
        let is_listed = flights.get(&self.key).is_some_and(|listed| Arc::ptr_eq(listed, &self.flight));
        let is_last = Arc::strong_count(&self.flight) <= 2;
        if is_listed && (self.flight.initialized() || is_last) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn gone() -> Lookup<()> {
        Err(SourceGone("gone".to_owned()))
    }

    #[tokio::test]
    async fn lookups_of_one_key_and_version_share_one_and_leave_nothing_behind() {
        let (flights, runs) = (Flights::default(), AtomicU32::new(0));
        let look_up = async || {
            runs.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            gone()
        };
        join_all((0..100).map(|_| flights.join("a", Some(1), look_up))).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert!(lock(&flights.0).is_empty());
        // Another key, another version, and a later lookup run their own.
        let others = [("a", Some(1)), ("a", Some(2)), ("a", None), ("b", Some(1))];
        join_all(others.map(|(key, required)| flights.join(key, required, look_up))).await;
        assert_eq!(runs.load(Ordering::Relaxed), 5);
        assert!(lock(&flights.0).is_empty());
    }

    #[tokio::test]
    async fn if_the_caller_that_looks_up_gives_up_another_one_looks_up() {
        let flights = Flights::default();
        let mut first = Box::pin(flights.join("a", None, async || std::future::pending::<Lookup<()>>().await));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(flights.join("a", None, async || gone()));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.is_err());
        assert!(lock(&flights.0).is_empty());
        // A lookup that was given up by its only caller leaves nothing either.
        let mut only = Box::pin(flights.join("a", None, async || std::future::pending::<Lookup<()>>().await));
        assert!(futures_util::poll!(&mut only).is_pending());
        drop(only);
        assert!(lock(&flights.0).is_empty());
    }
}
