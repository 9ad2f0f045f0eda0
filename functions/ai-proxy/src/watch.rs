//! Reports one attempt to the breaker: that it is late or slow, while it runs, and its result.
//!
//! Each attempt counts once as good or bad. One that was counted as slow is not counted again, except that a stream
//! that breaks off after its first content counts as bad as well. Reports run in the background and are awaited at the
//! end. A failure that another provider may repeat is held as a [`Blame`] first. If it is repeated, the call itself
//! was at fault.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use levee::breaker::room::By;
use levee::breaker::{Answer, BreakerState, Breakers, Mode, Observation, SecondBucket};
use levee::sync::lock;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::deadlines::{AttemptDeadlines, ResponseMode};
use crate::outcome::Verdict;

/// Interval at which a late attempt asks if its provider has been given up.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Time after which an attempt asks even if it is not known to be late.
const ASK_FROM: Duration = Duration::from_secs(10);

/// Reports one attempt to the breaker. Dropping it stops its clock.
pub struct Watch {
    shared: Arc<Watched>,
    patience: AttemptDeadlines,
    /// Task that reports the attempt as late and slow. `None` inside if the clock was stopped before it started.
    timer: OnceLock<Option<AbortHandle>>,
}

/// State that a watch shares with its background reports.
struct Watched {
    breakers: Arc<Breakers>,
    /// Index of the provider.
    provider: usize,
    /// Latency class of the call.
    class: String,
    /// Account of the caller.
    account: String,
    /// Generation of the decision under which the attempt was let through.
    generation: u64,
    /// Rule that let the attempt through.
    by: By,
    /// True if the provider was open already, and the call was let through because no other provider could take it.
    was_open: bool,
    is_late: AtomicBool,
    is_slow: AtomicBool,
    is_open: AtomicBool,
    opened: Notify,
    reports: Mutex<JoinSet<()>>,
}

impl Watched {
    /// Sends a report in the background.
    fn tell(self: &Arc<Self>, seen: Observation) {
        let watched = self.clone();
        lock(&self.reports).spawn(async move { watched.report(seen).await });
    }

    async fn report(&self, seen: Observation) {
        let seen = Observation { by: self.by, ..seen };
        let standing = self.breakers.report(self.provider, &self.class, &self.account, self.generation, &seen).await;
        // If the provider was open at the start, the call was sent all the same, and it is no news that it still is.
        let is_given_up = matches!(standing.state.mode, Mode::Open | Mode::Probe);
        if standing.is_shared && is_given_up && !self.was_open && standing.state.generation > self.generation {
            self.is_open.store(true, Ordering::Relaxed);
            self.opened.notify_waiters();
        }
    }

    /// Reports the attempt as late and as slow at the moments set by `patience`, counted from `sent`.
    async fn look_at_the_clock(self: Arc<Self>, sent: Instant, patience: AttemptDeadlines) {
        // Report each deadline once it has passed, the earlier one first.
        let late = patience
            .late_after
            .map(|after| (after, &self.is_late, SecondBucket { late: 1, ..SecondBucket::default() }));
        let slow =
            patience.slow_after.map(|after| (after, &self.is_slow, SecondBucket { bad: 1, ..SecondBucket::default() }));
        let mut marks: Vec<_> = late.into_iter().chain(slow).collect();
        marks.sort_by_key(|(after, ..)| *after);
        for (after, mark, counts) in marks {
            tokio::time::sleep_until(sent + after).await;
            mark.store(true, Ordering::Relaxed);
            let answer = (counts.bad > 0).then_some(Answer::Failed);
            self.tell(Observation { counts, answer, ..Observation::default() });
        }
    }
}

/// A failed attempt that has not been reported yet.
pub struct Blame {
    watched: Arc<Watched>,
    seen: Observation,
    is_bad: bool,
}

impl Blame {
    /// Reports the failure as the provider's. Returns true if this environment now keeps away from the provider, and
    /// its connections should be replaced.
    pub async fn report(self) -> bool {
        let is_away = self.is_bad && self.watched.breakers.record(self.watched.provider, false);
        self.watched.report(self.seen).await;
        is_away
    }

    /// Drops the failure, because the call itself was at fault. If the attempt was a probe, its place is released.
    pub async fn forget(self) {
        if self.watched.by == By::Probe && !self.watched.is_slow.load(Ordering::Relaxed) {
            self.watched.report(Observation { is_void: true, ..Observation::default() }).await;
        }
    }
}

impl Watch {
    /// Creates the watch for an attempt of `account` at `provider`, let through under the decision `state`.
    pub fn begin(
        breakers: &Arc<Breakers>,
        provider: usize,
        class: &str,
        account: &str,
        state: &BreakerState,
        by: By,
        patience: AttemptDeadlines,
    ) -> Self {
        let shared = Arc::new(Watched {
            breakers: breakers.clone(),
            provider,
            class: class.to_owned(),
            account: account.to_owned(),
            generation: state.generation,
            by,
            was_open: state.mode == Mode::Open,
            is_late: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            is_open: AtomicBool::new(false),
            opened: Notify::new(),
            reports: Mutex::default(),
        });
        Self { shared, patience, timer: OnceLock::new() }
    }

    /// Starts the clock: the provider may have the whole request, and can be late from now on. Time spent in our own
    /// stores before does not count.
    pub fn sent(&self) {
        let watched = self.shared.clone();
        self.timer.get_or_init(|| {
            Some(tokio::spawn(watched.look_at_the_clock(Instant::now(), self.patience)).abort_handle())
        });
    }

    /// Resolves when the provider is found to be failing.
    pub async fn wait_until_abandoned(&self) {
        let Watched { is_late, is_slow, opened, .. } = self.shared.as_ref();
        let asks_from = Instant::now() + ASK_FROM;
        loop {
            let opened = opened.notified();
            if self.is_open() || timeout(ASK_EVERY, opened).await.is_ok() {
                return;
            }
            // Ask again if the attempt is late or old: the breaker may have decided since its last report.
            let is_marked = is_late.load(Ordering::Relaxed) || is_slow.load(Ordering::Relaxed);
            if is_marked || Instant::now() >= asks_from {
                // In the background, so that the report is completed even if the answer arrives first.
                self.shared.tell(Observation::default());
            }
        }
    }

    /// Returns true if the provider was found to be failing since the attempt was let through.
    pub fn is_open(&self) -> bool {
        self.shared.is_open.load(Ordering::Relaxed)
    }

    /// Reports a good attempt, whose awaited part arrived `after` the request was sent.
    pub fn came(&self, awaited: ResponseMode, after: Duration) {
        self.stop_the_clock();
        let (is_late, is_slow) = (&self.shared.is_late, &self.shared.is_slow);
        let counts = SecondBucket {
            good: u32::from(!is_slow.load(Ordering::Relaxed)),
            on_time: u32::from(!is_late.load(Ordering::Relaxed)),
            ..SecondBucket::default()
        };
        // Record the success in this environment's own breaker and in the shared one.
        self.shared.breakers.record(self.shared.provider, true);
        let is_first_content = awaited == ResponseMode::FirstContent;
        let answer = Some(Answer::Served);
        self.shared.tell(Observation {
            counts,
            answer,
            latency: Some(after),
            is_first_content,
            ..Observation::default()
        });
    }

    /// Returns the report on an attempt that failed before any of it was passed on; `None` if the failure says nothing
    /// about the provider.
    pub fn failed(&self, verdict: Verdict) -> Option<Blame> {
        self.stop_the_clock();
        let Some(mut seen) = verdict.seen() else {
            self.said_nothing();
            return None;
        };
        // A probe without any result gives its place back. A failure was counted already if it was slow.
        seen.is_void = self.is_without_result() && seen.counts == SecondBucket::default();
        let is_bad = seen.counts.bad > 0;
        if self.shared.is_slow.load(Ordering::Relaxed) {
            (seen.counts, seen.answer) = (SecondBucket::default(), None);
        }
        Some(Blame { watched: self.shared.clone(), seen, is_bad })
    }

    /// Reports a stream that was passed on before its first content and ended badly without any.
    pub fn ended_without_content(&self, verdict: Verdict) {
        if let Some(Blame { seen, is_bad, .. }) = self.failed(verdict) {
            if is_bad {
                self.shared.breakers.record(self.shared.provider, false);
            }
            self.shared.tell(seen);
        }
    }

    /// Records that the attempt says nothing about the provider. If it was a probe, its place is released.
    pub fn said_nothing(&self) {
        self.stop_the_clock();
        if self.is_without_result() {
            self.shared.tell(Observation { is_void: true, ..Observation::default() });
        }
    }

    /// Returns true if the attempt is a probe that has not been counted as slow.
    fn is_without_result(&self) -> bool {
        self.shared.by == By::Probe && !self.shared.is_slow.load(Ordering::Relaxed)
    }

    /// Reports a stream that broke off after its first content.
    pub fn broke_off(&self) {
        self.shared.breakers.record(self.shared.provider, false);
        let counts = SecondBucket { bad: 1, ..SecondBucket::default() };
        self.shared.tell(Observation { counts, answer: Some(Answer::Failed), ..Observation::default() });
    }

    /// Runs `work` in the background. [`Watch::finish`] waits for it.
    pub fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        lock(&self.shared.reports).spawn(work);
    }

    /// Waits until all reports are sent.
    pub async fn finish(&self) {
        let mut reports = std::mem::take(&mut *lock(&self.shared.reports));
        while reports.join_next().await.is_some() {}
    }

    /// Stops the clock, so that the attempt is no longer reported as late or slow. Also prevents a later start, if the
    /// provider answers before it has the whole request.
    pub fn stop_the_clock(&self) {
        if let Some(timer) = self.timer.get_or_init(|| None) {
            timer.abort();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop_the_clock();
    }
}
