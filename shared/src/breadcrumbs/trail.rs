//! Breadcrumbs of one environment that are not yet written, and the flushes that write them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;

use super::buffer::{Buffer, Due, Write};
use super::{Breadcrumb, BreadcrumbTable, BreadcrumbTableError, TrailLayer};
use crate::clock::{Clock, Timestamp};
use crate::sync::lock;

/// Pause after a failed flush, in which flushes do nothing: an outage of DynamoDB must not cost each request its
/// budget.
const PAUSE: Duration = Duration::from_secs(5);
/// Concurrent writes of a flush. Each needs a connection of its own, and most flushes have one or two.
const CONCURRENCY: usize = 4;

/// Buffer that collects breadcrumbs from tracing events until they are written. Cheap to clone; clones share one
/// buffer.
#[derive(Debug, Clone)]
pub struct Trail {
    function: &'static str,
    state: Arc<Mutex<TrailState>>,
    /// Wakes the flushes that wait for writes of other flushes, as soon as some are settled or given back.
    returned: Arc<Notify>,
}

#[derive(Debug)]
struct TrailState {
    buffer: Buffer,
    sink: Option<(BreadcrumbTable, Clock)>,
    failed_at: Option<Timestamp>,
    /// Number of writes that have succeeded so far.
    settled: u64,
}

impl Trail {
    /// Creates an empty trail for `function`.
    pub fn new(function: &'static str) -> Self {
        let state =
            TrailState { buffer: Buffer::new(function, rand::random()), sink: None, failed_at: None, settled: 0 };
        Self { function, state: Arc::new(Mutex::new(state)), returned: Arc::default() }
    }

    /// Returns the tracing layer that adds errors to this trail.
    pub fn layer(&self) -> TrailLayer {
        TrailLayer(self.clone())
    }

    /// Sets the table that breadcrumbs are written to, and the clock that times them.
    pub fn write_to(&self, table: BreadcrumbTable, clock: Clock) {
        lock(&self.state).sink = Some((table, clock));
    }

    /// Writes the breadcrumbs that are due, and waits for at most `budget`. Failed writes are kept for the next
    /// flush. Returns no error, because no caller may depend on the result. Costs nothing if no write is due, or
    /// within 5 s after a failure.
    ///
    /// A write that takes longer continues in the background while the environment lives: a first TLS handshake may
    /// not fit into the budget, and restarting it each time would never complete.
    pub async fn flush(&self, budget: Duration, now: Timestamp) {
        let has_failed_lately = |failed_at: Timestamp| failed_at <= now && now < failed_at.plus(PAUSE);
        if lock(&self.state).failed_at.is_some_and(has_failed_lately) {
            return;
        }
        if let Some(first) = self.hand_out(Due::Ripe, now) {
            self.within(budget, now, self.clone().write_ripe(first, now)).await;
        }
    }

    /// Writes all breadcrumbs, including repeats of the current minute, even within the pause after a failure. Also
    /// waits for writes that earlier flushes left in flight. Used at the end of an environment, after which nothing
    /// is written.
    pub async fn flush_all(&self, budget: Duration, now: Timestamp) {
        self.within(budget, now, self.clone().write_all(now)).await;
    }

    /// Adds the breadcrumb that `breadcrumb` makes from the function's name and the current time.
    pub(super) fn take_in(&self, breadcrumb: impl FnOnce(&str, Timestamp) -> Breadcrumb) {
        let clock = lock(&self.state).sink.as_ref().map_or_else(Clock::system, |(_, clock)| clock.clone());
        let breadcrumb = breadcrumb(self.function, clock.now());
        lock(&self.state).buffer.add(breadcrumb);
    }

    /// Waits for `work` for at most `budget`. After that it continues in the background.
    async fn within(
        &self,
        budget: Duration,
        now: Timestamp,
        work: impl Future<Output = Result<(), BreadcrumbTableError>> + Send + 'static,
    ) {
        let settled_before = lock(&self.state).settled;
        let trail = self.clone();
        let writing = tokio::spawn(async move {
            if let Err(error) = work.await {
                trail.failed(&error, now);
            }
        });
        if tokio::time::timeout(budget, writing).await.is_err() {
            // If any write has succeeded meanwhile, the table is only slow: do not pause the next flush.
            let is_outage = |state: &TrailState| state.settled == settled_before;
            self.failed_if(is_outage, &BreadcrumbTableError(format!("not written within {budget:?}")), now);
        }
    }

    fn failed(&self, error: &BreadcrumbTableError, now: Timestamp) {
        self.failed_if(|_| true, error, now);
    }

    fn failed_if(&self, is_failure: impl FnOnce(&TrailState) -> bool, error: &BreadcrumbTableError, now: Timestamp) {
        let waiting = {
            let mut state = lock(&self.state);
            if !is_failure(&state) {
                return;
            }
            // A write that was left in flight may fail after a newer one: keep the later time.
            state.failed_at = state.failed_at.max(Some(now));
            state.buffer.waiting()
        };
        tracing::warn!(code = "breadcrumbs.unwritten", %error, waiting, "breadcrumbs wait to be written");
    }

    /// Writes `first`, then everything that has become due meanwhile, until nothing is due.
    async fn write_ripe(self, first: Handed, now: Timestamp) -> Result<(), BreadcrumbTableError> {
        let mut handed = Some(first);
        while let Some(writes) = handed {
            writes.carry_out().await?;
            handed = self.hand_out(Due::Ripe, now);
        }
        Ok(())
    }

    /// Writes until nothing waits and no write is in flight.
    async fn write_all(self, now: Timestamp) -> Result<(), BreadcrumbTableError> {
        loop {
            // Register for the notification before looking at the buffer, so that none is missed.
            let returned = self.returned.notified();
            match self.hand_out(Due::All, now) {
                Some(handed) => handed.carry_out().await?,
                None if lock(&self.state).buffer.is_any_out() => returned.await,
                None => return Ok(()),
            }
        }
    }

    fn hand_out(&self, due: Due, now: Timestamp) -> Option<Handed> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let (table, _) = state.sink.as_ref()?;
        let writes = state.buffer.due(due, now);
        if writes.is_empty() {
            return None;
        }
        Some(Handed { trail: self.clone(), table: table.clone(), writes })
    }
}

/// Writes in flight. Dropping it gives those that have not succeeded back to the buffer.
struct Handed {
    trail: Trail,
    table: BreadcrumbTable,
    writes: Vec<Write>,
}

impl Handed {
    async fn carry_out(self) -> Result<(), BreadcrumbTableError> {
        let mut results =
            stream::iter(0..self.writes.len()).map(|number| self.one(number)).buffer_unordered(CONCURRENCY);
        let mut result = Ok(());
        // Try all: one row may be rejected while others are not.
        while let Some(one) = results.next().await {
            result = result.and(one);
        }
        result
    }

    async fn one(&self, number: usize) -> Result<(), BreadcrumbTableError> {
        let Some(write) = self.writes.get(number) else { return Ok(()) };
        self.table.write(write).await?;
        let mut state = lock(&self.trail.state);
        state.buffer.settle(write);
        state.settled += 1;
        state.failed_at = None;
        Ok(())
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let mut state = lock(&self.trail.state);
        for write in &self.writes {
            state.buffer.give_back(write);
        }
        drop(state);
        self.trail.returned.notify_waiters();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::breadcrumbs::buffer::tests::breadcrumb;
    use crate::stores::dynamodb::stub::Stub;

    const BUDGET: Duration = Duration::from_millis(50);
    const DONE: (u16, &str) = (200, "{}");
    const WRONG: (u16, &str) =
        (400, r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"no such table"}"#);

    const fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// Returns the breadcrumbs that `trail` would write.
    pub(in crate::breadcrumbs) fn waiting(trail: &Trail) -> Vec<Breadcrumb> {
        let writes = lock(&trail.state).buffer.due(Due::All, Timestamp::from_secs(0));
        writes.into_iter().map(|write| write.breadcrumb).collect()
    }

    fn add(trail: &Trail, code: &str, now: Timestamp) {
        lock(&trail.state).buffer.add(breadcrumb(code, "message", now.as_millis()));
    }

    async fn trail(answers: &'static [(u16, &'static str)]) -> (Trail, Stub) {
        let stub = Stub::start(answers).await;
        let trail = Trail::new("function");
        trail.write_to(BreadcrumbTable::new(stub.client.clone(), "breadcrumbs"), Clock::system());
        (trail, stub)
    }

    #[tokio::test]
    async fn repeats_within_a_minute_write_nothing_until_it_is_over() {
        let (trail, stub) = trail(&[DONE]).await;
        for second in 0..60 {
            add(&trail, "code", at(second));
            trail.flush(Duration::from_secs(10), at(second)).await;
        }
        assert_eq!(stub.answered(), 1);
        trail.flush(Duration::from_secs(10), at(60)).await;
        trail.flush(Duration::from_secs(10), at(61)).await;
        assert_eq!(stub.answered(), 2);
    }

    #[tokio::test]
    async fn repeats_are_written_before_the_end() {
        let (trail, stub) = trail(&[DONE]).await;
        for _ in 0..2 {
            add(&trail, "code", at(0));
            trail.flush(Duration::from_secs(10), at(0)).await;
        }
        assert_eq!(stub.answered(), 1);
        trail.flush_all(Duration::from_secs(10), at(0)).await;
        assert_eq!(stub.answered(), 2);
    }

    #[tokio::test]
    async fn a_flush_does_not_wait_for_anything_when_nothing_is_due() {
        let (trail, _stub) = trail(&[]).await;
        let flush = std::pin::pin!(trail.flush(BUDGET, at(0)));
        assert!(futures_util::FutureExt::now_or_never(flush).is_some());
        let unbound = Trail::new("function");
        add(&unbound, "code", at(0));
        let flush = std::pin::pin!(unbound.flush(BUDGET, at(0)));
        assert!(futures_util::FutureExt::now_or_never(flush).is_some());
        assert_eq!(waiting(&unbound).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_costs_one_flush_its_budget_and_those_after_it_nothing_for_a_while() {
        let (trail, _stub) = trail(&[]).await;
        for code in ["a", "b", "c", "d", "e", "f"] {
            add(&trail, code, at(0));
        }
        let mut spent = Vec::new();
        for second in 0..6 {
            let began = Instant::now();
            trail.flush(BUDGET, at(second)).await;
            spent.push(began.elapsed());
            tokio::time::sleep(Duration::from_secs(1) - began.elapsed()).await;
        }
        assert!(spent[0] >= BUDGET && spent[0] < 2 * BUDGET, "{spent:?}");
        assert!(spent[1..5].iter().all(Duration::is_zero), "{spent:?}");
        assert!(spent[5] >= BUDGET && spent[5] < 2 * BUDGET, "{spent:?}");
        assert_eq!(lock(&trail.state).buffer.waiting(), 6);
    }

    #[tokio::test]
    async fn a_row_that_outlasts_its_budget_is_written_though_nobody_flushes_again() {
        let (trail, stub) = trail(&[DONE]).await;
        add(&trail, "code", at(0));
        // No response arrives within a zero budget, because connecting alone needs another turn.
        trail.flush(Duration::ZERO, at(0)).await;
        let unwritten = || lock(&trail.state).buffer.waiting();
        assert_eq!((stub.answered(), unwritten()), (0, 1));
        while unwritten() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!((stub.answered(), lock(&trail.state).failed_at), (1, None), "and the pause is over");
    }

    #[tokio::test]
    async fn the_end_waits_for_what_an_earlier_flush_left_behind() {
        let (trail, stub) = trail(&[DONE]).await;
        add(&trail, "code", at(0));
        trail.flush(Duration::ZERO, at(0)).await;
        add(&trail, "code", at(1));
        trail.flush_all(Duration::from_secs(10), at(1)).await;
        assert_eq!((stub.answered(), lock(&trail.state).buffer.waiting()), (2, 0));
    }

    #[tokio::test]
    async fn a_flush_that_is_late_after_something_was_written_makes_no_pause() {
        let (trail, _stub) = trail(&[]).await;
        let slow = trail.clone();
        let work = async move {
            lock(&slow.state).settled += 1;
            std::future::pending().await
        };
        trail.within(BUDGET, at(0), work).await;
        assert_eq!(lock(&trail.state).failed_at, None);
        trail.within(BUDGET, at(0), std::future::pending()).await;
        assert_eq!(lock(&trail.state).failed_at, Some(at(0)));
    }

    #[tokio::test]
    async fn a_write_that_was_left_behind_and_fails_does_not_shorten_a_later_pause() {
        let trail = Trail::new("function");
        trail.failed(&BreadcrumbTableError("newer".to_owned()), at(5));
        trail.failed(&BreadcrumbTableError("older".to_owned()), at(0));
        assert_eq!(lock(&trail.state).failed_at, Some(at(5)));
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_after_the_pause_and_before_the_end_without_one() {
        let (trail, stub) = trail(&[WRONG, DONE]).await;
        add(&trail, "code", at(0));
        trail.flush(Duration::from_secs(10), at(0)).await;
        trail.flush(Duration::from_secs(10), at(4)).await;
        assert_eq!(stub.answered(), 1);
        trail.flush(Duration::from_secs(10), at(5)).await;
        assert_eq!((stub.answered(), waiting(&trail).len()), (2, 0));

        let (trail, stub) = self::trail(&[WRONG, DONE]).await;
        add(&trail, "code", at(0));
        trail.flush(Duration::from_secs(10), at(0)).await;
        trail.flush_all(Duration::from_secs(10), at(0)).await;
        assert_eq!((stub.answered(), waiting(&trail).len()), (2, 0));
    }

    #[tokio::test]
    async fn one_row_that_is_refused_does_not_hold_up_the_others() {
        let (trail, stub) = trail(&[WRONG, DONE]).await;
        for code in ["a", "b", "c", "d", "e", "f"] {
            add(&trail, code, at(0));
        }
        trail.flush(Duration::from_secs(10), at(0)).await;
        assert_eq!((stub.answered(), waiting(&trail).len()), (6, 1));
    }

    #[tokio::test]
    async fn a_flush_that_its_caller_drops_loses_nothing() {
        let (trail, _stub) = trail(&[]).await;
        add(&trail, "code", at(0));
        let dropped = tokio::time::timeout(Duration::ZERO, trail.flush(Duration::from_secs(10), at(0))).await;
        assert!(dropped.is_err());
        assert_eq!(lock(&trail.state).buffer.waiting(), 1);
    }
}
