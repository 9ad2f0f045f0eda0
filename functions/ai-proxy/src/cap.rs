//! The soft token cap of an account, as one call sees it.
//!
//! If the cap blocks, the account's figure is read before anything is sent. If it warns, the figure is read while the
//! request is on its way. In both cases the call that crosses the cap completes. The tokens of a call are added once
//! they are in the ledger, in the month in which the call began. A figure is confirmed with DynamoDB before a call is
//! refused or operators are alerted, because both outlast an error of the figure.
//!
//! Invariants: a call of an account without a cap reads nothing. A call is never refused by an unknown figure.

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use levee::accounts::{CapMode, TokenCap};
use levee::clock::{Clock, Timestamp};
use levee::http::anthropic::ErrorKind;
use levee::metering::{CapNotifier, Month, Reached, Tally, TokenState, UsageCache};
use levee::text::grouped;
use tokio::time::timeout;

use crate::answer::ApiError;
use crate::report::CallReport;

/// Header with the account's position against its cap.
const STATE_HEADER: HeaderName = HeaderName::from_static("x-levee-token-state");
/// Longest time that the end of an answer waits for the addition and the alert, so that a stream still ends before the
/// function's deadline.
const PATIENCE: Duration = Duration::from_millis(400);

/// State of one environment for token caps.
pub struct CapService {
    /// Tokens that accounts have used.
    pub view: UsageCache,
    /// Alerts about caps.
    pub told: CapNotifier,
    /// Clock.
    pub clock: Clock,
}

/// An account and its cap, in the month in which a call began.
#[derive(Clone)]
struct Capped {
    caps: Arc<CapService>,
    account: String,
    month: Month,
    cap: TokenCap,
}

/// The cap of a call's account, if it has one.
#[derive(Clone)]
pub struct CapCheck {
    report: CallReport,
    /// The account's cap; `None` if it has none.
    capped: Option<Capped>,
    /// State of the account at admission. Known only if the cap blocks.
    admitted: Option<TokenState>,
}

impl CapCheck {
    /// Returns the spending of a call of an account without a cap.
    #[cfg(test)]
    pub fn without_cap(report: &CallReport) -> Self {
        Self { report: report.clone(), capped: None, admitted: None }
    }

    /// Admits a call of `account` that began at `started_at`, or refuses it if the cap blocks and is used up.
    pub async fn admit(
        caps: &Arc<CapService>,
        report: &CallReport,
        account: &str,
        cap: Option<TokenCap>,
        started_at: Timestamp,
    ) -> Result<Self, ApiError> {
        // A cap that only warns needs no figure yet.
        let month = Month::from_timestamp(started_at).0;
        let capped = cap.map(|cap| Capped { caps: caps.clone(), account: account.to_owned(), month, cap });
        let mut spending = Self { report: report.clone(), capped, admitted: None };
        let Some(capped) = spending.capped.as_ref().filter(|capped| capped.cap.mode == CapMode::Block) else {
            return Ok(spending);
        };
        // Refuse the call if the cap is used up. An unknown figure lets it through.
        match capped.used_for_sure().await {
            Some(used) if used >= capped.cap.limit => {
                report.refused_by_cap();
                let refused = refused(capped.cap, month, caps.clock.now());
                // The call that crossed the cap may have ended before it raised the alert.
                let capped = capped.clone();
                in_patience(async move { capped.tell(used).await }).await;
                Err(refused)
            }
            used => {
                spending.admitted = used.map(|used| TokenState::from_usage(used, capped.cap.limit));
                Ok(spending)
            }
        }
    }

    /// Returns the account's state for the response header, if it is known, and records it in the wide event.
    pub async fn state(&self) -> Option<TokenState> {
        let state = match &self.capped {
            None => Some(TokenState::Ok),
            Some(capped) => match capped.cap.mode {
                CapMode::Block => self.admitted,
                CapMode::Warn => capped.used().await.map(|used| TokenState::from_usage(used, capped.cap.limit)),
            },
        };
        if let Some(state) = state {
            self.report.token_state(state);
        }
        state
    }

    /// Adds a call's tokens from the ledger to the account's figure, and raises the alerts that are due.
    pub async fn settle(&self, tally: &Tally) {
        let Some(capped) = self.capped.clone() else { return };
        let tokens = capped.caps.view.counts().counted(tally);
        if tokens > 0 {
            in_patience(async move { capped.add(tokens).await }).await;
        }
    }
}

impl Capped {
    async fn used(&self) -> Option<u64> {
        self.caps.view.used(&self.account, self.month, self.caps.clock.now()).await
    }

    /// Returns the tokens used so far. A figure that reaches the cap is confirmed first.
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
        // Confirm the figure only if there would be something to tell.
        let Some(steps) = caps.told.news(reached(figure)) else { return };
        let used = caps.view.confirmed(account, *month, figure, steps, now).await;
        caps.told.tell(reached(used), now).await;
    }
}

/// Runs `work` and waits for it for up to [`PATIENCE`]. After that it continues in the background.
async fn in_patience(work: impl Future<Output = ()> + Send + 'static) {
    let _goes_on = timeout(PATIENCE, tokio::spawn(work)).await;
}

/// Returns the header for `state`.
pub fn header(state: TokenState) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::try_from(state.to_string()).ok()?;
    Some((STATE_HEADER, value))
}

fn refused(cap: TokenCap, month: Month, now: Timestamp) -> ApiError {
    let (limit, end) = (grouped(cap.limit), month.ends_at());
    let message =
        format!("This account has reached its cap of {limit} tokens for {month}. It resets at {}.", end.to_rfc3339());
    let retry_after = (RETRY_AFTER, now.secs_until(end).into());
    let headers = std::iter::once(retry_after).chain(header(TokenState::Over)).collect();
    ApiError { headers, ..ApiError::by_caller(ErrorKind::RateLimit, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_is_told_when_the_tokens_begin_anew_and_no_sdk_tries_again() {
        let now = Timestamp::from_secs(1_795_310_118);
        let cap = TokenCap { limit: 1_000_000, mode: CapMode::Block };
        let answer = refused(cap, Month::from_timestamp(now).0, now);
        assert_eq!(
            answer.message,
            "This account has reached its cap of 1,000,000 tokens for 2026-11. It resets at 2026-12-01T00:00:00Z."
        );
        let answer = answer.into_response("r-1");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), 429);
        assert_eq!(header("retry-after"), "773082");
        assert_eq!((header("x-should-retry").as_str(), header("x-levee-token-state").as_str()), ("false", "over"));
    }
}
