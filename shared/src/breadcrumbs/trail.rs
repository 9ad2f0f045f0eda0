//! The trail of one environment: what it has yet to write.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::buffer::{Buffer, Due, Write};
use super::{Breadcrumb, BreadcrumbTable, TableError, TrailLayer};
use crate::clock::{Clock, Timestamp};
use crate::sync::lock;

/// How long flushes do nothing after one that failed: an outage of DynamoDB must not cost every request its budget.
const PAUSE: Duration = Duration::from_secs(5);
/// Writes at a time. Each needs a connection of its own, and most flushes have one or two.
const CONCURRENCY: usize = 4;

/// Collects breadcrumbs from tracing events until they are written. Cheap to clone; clones share one buffer.
#[derive(Debug, Clone)]
pub struct Trail {
    function: &'static str,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    buffer: Buffer,
    sink: Option<(BreadcrumbTable, Clock)>,
    failed_at: Option<Timestamp>,
}

impl Trail {
    /// An empty trail of `function`.
    pub fn new(function: &'static str) -> Self {
        let state = State { buffer: Buffer::new(function, rand::random()), sink: None, failed_at: None };
        Self { function, state: Arc::new(Mutex::new(state)) }
    }

    /// What takes errors from tracing events into this trail.
    pub fn layer(&self) -> TrailLayer {
        TrailLayer(self.clone())
    }

    /// From now on breadcrumbs are timed by `clock` and written to `table`.
    pub fn write_to(&self, table: BreadcrumbTable, clock: Clock) {
        lock(&self.state).sink = Some((table, clock));
    }

    /// Writes what is due, for at most `budget`. Whatever fails is kept for the next time; nothing is returned, because
    /// nothing may depend on it. With nothing due it costs nothing, and for some seconds after a failure neither.
    pub async fn flush(&self, budget: Duration, now: Timestamp) {
        let has_failed_lately = |failed_at: Timestamp| failed_at <= now && now < failed_at.plus(PAUSE);
        if !lock(&self.state).failed_at.is_some_and(has_failed_lately) {
            self.write(Due::Ripe, budget, now).await;
        }
    }

    /// Writes everything that waits, repeats of the current minute included, also after a failure: for the end of an
    /// environment, after which nothing is written any more.
    pub async fn flush_all(&self, budget: Duration, now: Timestamp) {
        self.write(Due::All, budget, now).await;
    }

    /// Takes in what `breadcrumb` makes of the function's name and the present moment.
    pub(super) fn take_in(&self, breadcrumb: impl FnOnce(&str, Timestamp) -> Breadcrumb) {
        let clock = lock(&self.state).sink.as_ref().map_or_else(Clock::system, |(_, clock)| clock.clone());
        let breadcrumb = breadcrumb(self.function, clock.now());
        lock(&self.state).buffer.add(breadcrumb);
    }

    /// Writes what is due, and waits for at most `budget`. A write that takes longer goes on by itself, while the
    /// environment lives: a first TLS handshake may not fit a budget, and beginning it anew each time would lead nowhere.
    async fn write(&self, due: Due, budget: Duration, now: Timestamp) {
        let Some(first) = self.hand_out(due, now) else { return };
        let trail = self.clone();
        let writing = tokio::spawn(async move {
            match trail.write_repeatedly(first, due, now).await {
                Ok(()) => lock(&trail.state).failed_at = None,
                Err(error) => trail.failed(&error, now),
            }
        });
        if tokio::time::timeout(budget, writing).await.is_err() {
            self.failed(&TableError(format!("not written within {budget:?}")), now);
        }
    }

    fn failed(&self, error: &TableError, now: Timestamp) {
        let waiting = {
            let mut state = lock(&self.state);
            state.failed_at = Some(now);
            state.buffer.waiting()
        };
        tracing::warn!(code = "breadcrumbs.unwritten", %error, waiting, "breadcrumbs wait to be written");
    }

    /// Writes until nothing is due: what was recorded meanwhile, and repeats of what was begun before.
    async fn write_repeatedly(&self, first: Handed, due: Due, now: Timestamp) -> Result<(), TableError> {
        let mut handed = Some(first);
        while let Some(writes) = handed {
            writes.carry_out().await?;
            handed = self.hand_out(due, now);
        }
        Ok(())
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

/// Writes on their way. Those that have not succeeded go back to the buffer when it is dropped.
struct Handed {
    trail: Trail,
    table: BreadcrumbTable,
    writes: Vec<Write>,
}

impl Handed {
    async fn carry_out(self) -> Result<(), TableError> {
        let mut results =
            stream::iter(0..self.writes.len()).map(|number| self.one(number)).buffer_unordered(CONCURRENCY);
        let mut result = Ok(());
        // All are tried: one row may be refused where others are not.
        while let Some(one) = results.next().await {
            result = result.and(one);
        }
        result
    }

    async fn one(&self, number: usize) -> Result<(), TableError> {
        let Some(write) = self.writes.get(number) else { return Ok(()) };
        self.table.write(write).await?;
        lock(&self.trail.state).buffer.settle(write);
        Ok(())
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let mut state = lock(&self.trail.state);
        for write in &self.writes {
            state.buffer.give_back(write);
        }
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

    /// What `trail` would write.
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
        }
        assert!(spent[0] >= BUDGET && spent[0] < 2 * BUDGET, "{spent:?}");
        assert!(spent[1..5].iter().all(Duration::is_zero), "{spent:?}");
        assert!(spent[5] >= BUDGET && spent[5] < 2 * BUDGET, "{spent:?}");
        assert_eq!(waiting(&trail).len(), 6);
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
        assert_eq!(waiting(&trail).len(), 1);
    }
}
