//! The soft cap: what a call has to do with the tokens that its account may use in a month.
//!
//! Where the cap blocks, the account's figure is asked for before anything is sent; where it warns, meanwhile. The call
//! that crosses the cap completes in either case. What a call used is added when it is in the ledger, in the month in which
//! the call began. Before a call is refused or somebody is told, the figure is confirmed: both last longer than it does.
//! Invariants: an account without a cap costs no question; a figure that nobody knows refuses nobody.

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use levee::accounts::{CapMode, TokenCap};
use levee::clock::{Clock, Timestamp};
use levee::http::anthropic::ErrorKind;
use levee::metering::{Month, Reached, Tally, TokenState, Told, View};
use levee::pages::show::grouped;
use tokio::time::timeout;

use crate::answer::Failed;
use crate::report::Report;

/// The header that says how far the account has come.
const STATE_HEADER: HeaderName = HeaderName::from_static("x-levee-token-state");
/// How long an answer's end waits for counting and telling, so that neither costs a stream its end at the function's
/// deadline.
const PATIENCE: Duration = Duration::from_millis(400);

/// What one environment needs for caps.
pub struct Caps {
    /// What accounts have used.
    pub view: View,
    /// Tells somebody.
    pub told: Told,
    /// The time.
    pub clock: Clock,
}

/// An account with its cap, in the month in which a call began.
#[derive(Clone)]
struct Capped {
    caps: Arc<Caps>,
    account: String,
    month: Month,
    cap: TokenCap,
}

/// What one call has to do with its account's cap.
#[derive(Clone)]
pub struct Spending {
    report: Report,
    /// `None` where the account has no cap.
    capped: Option<Capped>,
    /// How far the account had come when the call was let through, where that was asked for.
    admitted: Option<TokenState>,
}

impl Spending {
    /// Returns what a call of an account without a cap has to do with it.
    #[cfg(test)]
    pub fn without_cap(report: &Report) -> Self {
        Self { report: report.clone(), capped: None, admitted: None }
    }

    /// Lets a call of `account` through that began at `started_at`, or refuses it.
    pub async fn admit(
        caps: &Arc<Caps>,
        report: &Report,
        account: &str,
        cap: Option<TokenCap>,
        started_at: Timestamp,
    ) -> Result<Self, Failed> {
        let month = Month::of(started_at).0;
        let capped = cap.map(|cap| Capped { caps: caps.clone(), account: account.to_owned(), month, cap });
        let mut spending = Self { report: report.clone(), capped, admitted: None };
        let Some(capped) = spending.capped.as_ref().filter(|capped| capped.cap.mode == CapMode::Block) else {
            return Ok(spending);
        };
        match capped.used_for_sure().await {
            Some(used) if used >= capped.cap.limit => {
                report.refused_by_cap();
                let refused = refused(capped.cap, month, caps.clock.now());
                // The call that crossed the cap may not have come to telling.
                let capped = capped.clone();
                in_patience(async move { capped.tell(used).await }).await;
                Err(refused)
            }
            used => {
                spending.admitted = used.map(|used| TokenState::of(used, capped.cap.limit));
                Ok(spending)
            }
        }
    }

    /// How far the account has come, where that is known; for the answer's header.
    pub async fn state(&self) -> Option<TokenState> {
        let state = match &self.capped {
            None => Some(TokenState::Ok),
            Some(capped) => match capped.cap.mode {
                CapMode::Block => self.admitted,
                CapMode::Warn => capped.used().await.map(|used| TokenState::of(used, capped.cap.limit)),
            },
        };
        if let Some(state) = state {
            self.report.token_state(state);
        }
        state
    }

    /// Adds what the call used, which is in the ledger, and tells of it.
    pub async fn settle(&self, tally: &Tally) {
        let Some(capped) = self.capped.clone() else { return };
        let tokens = capped.caps.view.counts().of(tally);
        if tokens > 0 {
            in_patience(async move { capped.add(tokens).await }).await;
        }
    }
}

impl Capped {
    async fn used(&self) -> Option<u64> {
        self.caps.view.used(&self.account, self.month, self.caps.clock.now()).await
    }

    /// What has been used, confirmed where that is all of the cap.
    async fn used_for_sure(&self) -> Option<u64> {
        let (figure, limit) = (self.used().await?, self.cap.limit);
        if figure < limit {
            return Some(figure);
        }
        let view = &self.caps.view;
        Some(view.confirmed(&self.account, self.month, figure, limit..=limit, self.caps.clock.now()).await)
    }

    async fn add(&self, tokens: u64) {
        let used = self.caps.view.add(&self.account, self.month, tokens, self.caps.clock.now()).await;
        if let Some(used) = used {
            self.tell(used).await;
        }
    }

    async fn tell(&self, figure: u64) {
        let Self { caps, account, month, cap } = self;
        let (reached, now) = (|used| Reached { account, month: *month, used, cap: *cap }, caps.clock.now());
        let Some(steps) = caps.told.news(reached(figure)) else { return };
        let used = caps.view.confirmed(account, *month, figure, steps, now).await;
        caps.told.tell(reached(used), now).await;
    }
}

/// Does `work`, which an answer waits for no longer than [`PATIENCE`]; what takes longer goes on by itself.
async fn in_patience(work: impl Future<Output = ()> + Send + 'static) {
    let _goes_on = timeout(PATIENCE, tokio::spawn(work)).await;
}

/// The header that says `state`.
pub fn header(state: TokenState) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::try_from(state.to_string()).ok()?;
    Some((STATE_HEADER, value))
}

fn refused(cap: TokenCap, month: Month, now: Timestamp) -> Failed {
    let (limit, end) = (grouped(cap.limit), month.ends_at());
    let message =
        format!("This account has used its {limit} tokens of {month}. They begin anew at {}.", end.to_rfc3339());
    let retry_after = (RETRY_AFTER, now.secs_until(end).into());
    let headers = std::iter::once(retry_after).chain(header(TokenState::Over)).collect();
    Failed { headers, ..Failed::by_caller(ErrorKind::RateLimit, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_is_told_when_the_tokens_begin_anew_and_no_sdk_tries_again() {
        let now = Timestamp::from_secs(1_795_310_118);
        let cap = TokenCap { limit: 1_000_000, mode: CapMode::Block };
        let answer = refused(cap, Month::of(now).0, now);
        assert_eq!(
            answer.message,
            "This account has used its 1,000,000 tokens of 2026-11. They begin anew at 2026-12-01T00:00:00Z."
        );
        let answer = answer.into_response("r-1");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), 429);
        assert_eq!(header("retry-after"), "773082");
        assert_eq!((header("x-should-retry").as_str(), header("x-levee-token-state").as_str()), ("false", "over"));
    }
}
