//! What the breaker is told of one attempt: that it is late or slow, while it runs, and what came of it.
//!
//! Each attempt counts once as good or bad; one that was counted as slow is not counted again, but for a stream that breaks off
//! after its first content, which is bad besides. Reports go beside whatever else is done, and are waited for at the end.
//! A failure that another provider may repeat is a [`Blame`] first: where it does, it was the call's own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use levee::breaker::room::By;
use levee::breaker::{Answer, Breakers, Mode, Second, Seen, State as BreakerState};
use levee::sync::lock;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::outcome::Verdict;
use crate::patience::{Awaited, Patience};

/// How often an attempt that is late asks whether its provider has been given up.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// From when on one asks of which it is not known whether it is late.
const ASK_FROM: Duration = Duration::from_secs(10);

/// The watch over one attempt.
pub struct Watch {
    shared: Arc<Watched>,
    patience: Patience,
    /// `None` within it: nothing is to be late any more.
    timer: OnceLock<Option<AbortHandle>>,
}

/// What is watched.
struct Watched {
    breakers: Arc<Breakers>,
    /// The provider's place among all.
    provider: usize,
    /// The class of its latency.
    class: String,
    /// The account whose call it is.
    account: String,
    /// Under which decision the attempt was let through.
    generation: u64,
    /// The rule that let the attempt through.
    by: By,
    /// The provider had been given up before, and the call was let through as nobody else could take it.
    was_open: bool,
    is_late: AtomicBool,
    is_slow: AtomicBool,
    is_open: AtomicBool,
    opened: Notify,
    reports: Mutex<JoinSet<()>>,
}

impl Watched {
    /// Reports what was seen, beside whatever else is done.
    fn tell(self: &Arc<Self>, seen: Seen) {
        let watched = self.clone();
        lock(&self.reports).spawn(async move { watched.report(seen).await });
    }

    async fn report(&self, seen: Seen) {
        let seen = Seen { by: self.by, ..seen };
        let standing = self.breakers.report(self.provider, &self.class, &self.account, self.generation, &seen).await;
        // On probation it has been given up before.
        let is_given_up = matches!(standing.state.mode, Mode::Open | Mode::Probe);
        if standing.is_shared && is_given_up && !self.was_open && standing.state.generation > self.generation {
            self.is_open.store(true, Ordering::Relaxed);
            self.opened.notify_waiters();
        }
    }

    /// Reports when the attempt becomes late and slow.
    async fn look_at_the_clock(self: Arc<Self>, sent: Instant, patience: Patience) {
        let late = patience.late_after.map(|after| (after, &self.is_late, Second { late: 1, ..Second::default() }));
        let slow = patience.slow_after.map(|after| (after, &self.is_slow, Second { bad: 1, ..Second::default() }));
        let mut marks: Vec<_> = late.into_iter().chain(slow).collect();
        marks.sort_by_key(|(after, ..)| *after);
        for (after, mark, counts) in marks {
            tokio::time::sleep_until(sent + after).await;
            mark.store(true, Ordering::Relaxed);
            let answer = (counts.bad > 0).then_some(Answer::Failed);
            self.tell(Seen { counts, answer, ..Seen::default() });
        }
    }
}

/// A failed attempt that has not been reported yet.
pub struct Blame {
    watched: Arc<Watched>,
    seen: Seen,
    is_bad: bool,
}

impl Blame {
    /// Reports the failure as the provider's. True where the environment keeps away from it now: its connections had
    /// better be made anew.
    pub async fn report(self) -> bool {
        let is_away = self.is_bad && self.watched.breakers.record(self.watched.provider, false);
        self.watched.report(self.seen).await;
        is_away
    }

    /// Forgets the failure: it was the call's own. Where the attempt was a probe, another one may go in its place.
    pub async fn forget(self) {
        if self.watched.by == By::Probe && !self.watched.is_slow.load(Ordering::Relaxed) {
            self.watched.report(Seen { is_void: true, ..Seen::default() }).await;
        }
    }
}

impl Watch {
    /// Watches an attempt of `account` at `provider`, let through under the decision `state`.
    pub fn begin(
        breakers: &Arc<Breakers>,
        provider: usize,
        class: &str,
        account: &str,
        state: &BreakerState,
        by: By,
        patience: Patience,
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

    /// The provider has all of the request: from now on it may be late. What our own stores took before is not its fault.
    pub fn sent(&self) {
        let watched = self.shared.clone();
        self.timer.get_or_init(|| {
            Some(tokio::spawn(watched.look_at_the_clock(Instant::now(), self.patience)).abort_handle())
        });
    }

    /// Waits until the provider is found to be failing.
    pub async fn is_hopeless(&self) {
        let Watched { is_late, is_slow, opened, .. } = self.shared.as_ref();
        let asks_from = Instant::now() + ASK_FROM;
        loop {
            let opened = opened.notified();
            if self.is_open() || timeout(ASK_EVERY, opened).await.is_ok() {
                return;
            }
            // What this attempt had to say has been said, and what came of it may have been decided since then.
            let is_marked = is_late.load(Ordering::Relaxed) || is_slow.load(Ordering::Relaxed);
            if is_marked || Instant::now() >= asks_from {
                // Beside this: where the answer comes first, a decision that this leads to is told all the same.
                self.shared.tell(Seen::default());
            }
        }
    }

    /// Whether the provider was found to be failing since the attempt was let through.
    pub fn is_open(&self) -> bool {
        self.shared.is_open.load(Ordering::Relaxed)
    }

    /// The attempt went well: what was awaited came `after` it was sent.
    pub fn came(&self, awaited: Awaited, after: Duration) {
        self.stop_the_clock();
        let (is_late, is_slow) = (&self.shared.is_late, &self.shared.is_slow);
        let counts = Second {
            good: u32::from(!is_slow.load(Ordering::Relaxed)),
            on_time: u32::from(!is_late.load(Ordering::Relaxed)),
            ..Second::default()
        };
        self.shared.breakers.record(self.shared.provider, true);
        let is_first_content = awaited == Awaited::FirstContent;
        let answer = Some(Answer::Served);
        self.shared.tell(Seen { counts, answer, latency: Some(after), is_first_content, ..Seen::default() });
    }

    /// Returns whom to blame for an attempt that failed before anything of it was passed on; `None` where that says nothing
    /// about the provider.
    pub fn failed(&self, verdict: Verdict) -> Option<Blame> {
        self.stop_the_clock();
        let Some(mut seen) = verdict.seen() else {
            self.said_nothing();
            return None;
        };
        seen.is_void = self.is_without_result() && seen.counts == Second::default();
        let is_bad = seen.counts.bad > 0;
        if self.shared.is_slow.load(Ordering::Relaxed) {
            (seen.counts, seen.answer) = (Second::default(), None);
        }
        Some(Blame { watched: self.shared.clone(), seen, is_bad })
    }

    /// The attempt's stream, passed on before its first content, ended badly without any.
    pub fn ended_without_content(&self, verdict: Verdict) {
        if let Some(Blame { seen, is_bad, .. }) = self.failed(verdict) {
            if is_bad {
                self.shared.breakers.record(self.shared.provider, false);
            }
            self.shared.tell(seen);
        }
    }

    /// What came of the attempt says nothing about the provider: where it was a probe, another one may go in its place.
    pub fn said_nothing(&self) {
        self.stop_the_clock();
        if self.is_without_result() {
            self.shared.tell(Seen { is_void: true, ..Seen::default() });
        }
    }

    /// Whether it was a probe, and has not been counted as slow.
    fn is_without_result(&self) -> bool {
        self.shared.by == By::Probe && !self.shared.is_slow.load(Ordering::Relaxed)
    }

    /// The attempt's stream broke off after its first content.
    pub fn broke_off(&self) {
        self.shared.breakers.record(self.shared.provider, false);
        let counts = Second { bad: 1, ..Second::default() };
        self.shared.tell(Seen { counts, answer: Some(Answer::Failed), ..Seen::default() });
    }

    /// Runs `work` beside whatever else is done; [`Watch::finish`] waits for it.
    pub fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        lock(&self.shared.reports).spawn(work);
    }

    /// Waits until everything is reported.
    pub async fn finish(&self) {
        let mut reports = std::mem::take(&mut *lock(&self.shared.reports));
        while reports.join_next().await.is_some() {}
    }

    /// Nothing is late or slow any more, even where the provider answered before it had all of the request.
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
