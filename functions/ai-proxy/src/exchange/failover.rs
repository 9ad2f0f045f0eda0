//! Sends a call to one provider after the other until one of them serves it.
//!
//! Start reading at [`serve`]. The order comes from [`route`], which considers breakers, shares and the caller's
//! terms.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use lambda_http::Response;
use levee::breaker::{
    BreakerState, Candidate, Entry, FallbackReason, NoRoute, ProviderStatus, RoutePlan, Share, Target, route,
};
use levee::clock::Timestamp;
use levee::http::anthropic::ErrorKind;
use levee::sync::lock;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::alternatives::Alternatives;
use super::attempt::{Attempt, AttemptFailure};
use super::prepared::prepare;
use super::{Exchange, stream, whole};
use crate::answer::{ApiError, Body};
use crate::deadlines::{AttemptDeadlines, ResponseMode};
use crate::outcome::Fault;
use crate::watch::Blame;

/// Longest pause before a provider is retried. The pause is a random part of it.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Time during which a failure is held back, in case another provider repeats it.
const BLAME_WAITS: Duration = Duration::from_secs(2);

/// State of a call between its attempts.
struct Failover<'a> {
    exchange: &'a Exchange<'a>,
    standings: Vec<ProviderStatus>,
    attempts: u32,
    /// Reason why a provider other than the preferred one was tried.
    fallback: Option<&'static str>,
    /// First reason why the preferred provider does not serve the call.
    cause: Option<&'static str>,
    /// Index of a provider and its failed attempt, whose answer the client gets if no provider serves the call.
    missed: Option<(usize, AttemptFailure)>,
    /// Providers that may be retried.
    may_retry: Vec<Target>,
    /// Indexes of the providers that have been tried.
    asked: Vec<usize>,
    /// Failure of the previous provider, held back in case the call itself is at fault.
    blame: Option<Pending>,
    /// Failure that the call itself causes. Known once two providers have failed in the same way.
    own_fault: Option<Fault>,
}

/// A failure that `timer` reports after [`BLAME_WAITS`], unless it is withdrawn before.
struct Pending {
    provider: usize,
    fault: Fault,
    blame: Arc<Mutex<Option<Blame>>>,
    timer: JoinHandle<bool>,
}

/// Sends the call to the providers of its route until one of them serves it.
pub async fn serve(exchange: &Exchange<'_>) -> Result<Response<Body>, ApiError> {
    let Exchange { state, ask, caller, spending, .. } = exchange;
    // Ask the breakers about all providers, in one round trip.
    let standings = state.breakers.look(&ask.class, &caller.account, spending.is_some()).await;
    let mut course = Failover {
        exchange,
        standings,
        attempts: 0,
        fallback: None,
        cause: None,
        missed: None,
        may_retry: Vec::new(),
        asked: Vec::new(),
        blame: None,
        own_fault: None,
    };
    let answer = course.run().await;
    // Report a failure that no other provider repeated.
    course.report_pending().await;
    let headers = exchange.headers(course.attempts, course.fallback);
    // Add the headers about the call as a whole.
    match answer {
        Ok(mut response) => {
            response.headers_mut().extend(headers);
            Ok(response)
        }
        Err(mut failed) => {
            failed.headers.extend(headers);
            Err(failed)
        }
    }
}

impl Failover<'_> {
    async fn run(&mut self) -> Result<Response<Body>, ApiError> {
        // Plan the order of the providers.
        let route = self.route()?;
        self.cause = route.detour.map(FallbackReason::name);
        // Try a provider without room once more at the end: it may have room by then.
        let again = route.stops.iter().filter(|stop| stop.entry == Entry::Room);
        for (place, stop) in route.stops.iter().chain(again).enumerate() {
            // Do not start an attempt without time left. It would count against the provider.
            if self.attempts > 0 && Instant::now() >= self.exchange.answer_by() {
                break;
            }
            // Nothing has changed since the first round if no provider was tried in it.
            if self.attempts == 0 && place >= route.stops.len() {
                break;
            }
            if self.asked.contains(&stop.provider) {
                continue;
            }
            if !may_enter(self.exchange, &self.standings[stop.provider], *stop).await {
                self.cause.get_or_insert(FallbackReason::Open.name());
                continue;
            }
            self.asked.push(stop.provider);
            // Tell the attempt which providers are left, and make it.
            let others = route.stops.iter().skip(place + 1).filter(|other| !self.asked.contains(&other.provider));
            let others = Alternatives::from_targets(&others.copied().collect::<Vec<_>>(), &self.standings);
            if let Some(answer) = self.attempt(stop, others).await {
                return answer;
            }
        }
        // All providers have failed. Retry those with a transient fault, within the fleet's retry budget.
        for stop in std::mem::take(&mut self.may_retry) {
            if !pauses(self.exchange).await {
                break;
            }
            if let Some(answer) = self.attempt(&stop, Alternatives::Nobody).await {
                return answer;
            }
        }
        // Return the most telling failure.
        match self.missed.take() {
            Some((provider, missed)) => {
                let Exchange { report, state, .. } = self.exchange;
                // The answer may come from another provider than the one that was tried last.
                report.provider(&state.providers[provider].name);
                if let Ok(response) = missed.answer.as_ref() {
                    report.answered(response.status());
                }
                *missed.answer
            }
            None => Err(self.all_bad(self.now())),
        }
    }

    fn now(&self) -> Timestamp {
        self.exchange.state.clock.now()
    }

    fn route(&self) -> Result<RoutePlan, ApiError> {
        let Exchange { state, caller, ask, .. } = self.exchange;
        // In dry-run mode, route as if all providers were healthy.
        let as_if_well;
        let standings = if state.routing.is_enforced {
            &self.standings
        } else {
            as_if_well = self.standings.iter().map(well).collect();
            &as_if_well
        };
        // A provider is allowed if the terms of the account and of the key allow it.
        let candidates: Vec<Candidate<'_>> = state
            .providers
            .iter()
            .zip(standings)
            .map(|(provider, standing)| Candidate {
                name: &provider.name,
                standing,
                is_allowed: caller.terms.allow_provider(&provider.name),
            })
            .collect();
        self.refuse(route(ask.whose(), &candidates, state.routing.warm, state.breakers.config()))
    }

    fn refuse(&self, route: Result<RoutePlan, NoRoute>) -> Result<RoutePlan, ApiError> {
        route.map_err(|none| match none {
            NoRoute::Restricted => {
                let message = "This account's data may go to none of the AI providers that there are.";
                ApiError::by_caller(ErrorKind::Permission, message)
            }
            NoRoute::AllOut(at) => self.all_bad(at),
        })
    }

    /// Returns the error for a call that no provider can serve before `at`.
    fn all_bad(&self, at: Timestamp) -> ApiError {
        let message = "No AI provider can serve the call at the moment.";
        let retry_after = self.now().secs_until(at).max(1);
        ApiError {
            headers: vec![(RETRY_AFTER, retry_after.into())],
            ..ApiError::upstream(ErrorKind::Overloaded, message)
        }
    }

    /// Decides whom to blame for a failed attempt at `provider`. It is the provider, unless a second one fails in the
    /// same way while one of the two serves other accounts.
    async fn blame(&mut self, provider: usize, fault: Fault, blame: Option<Blame>) {
        let Some(blame) = blame else { return };
        // The call is known to cause this fault at every provider.
        if self.own_fault == Some(fault) {
            return blame.forget().await;
        }
        // Compare with the failure of the provider before.
        if let Some(before) = self.blame.take() {
            let serves = |provider: usize| self.standings[provider].served_another;
            let is_repeated = before.fault == fault && fault.may_be_the_calls_own() && before.provider != provider;
            if is_repeated && (serves(before.provider) || serves(provider)) {
                self.own_fault = Some(fault);
                match take(&before.blame) {
                    Some(first) => {
                        before.timer.abort();
                        first.forget().await;
                    }
                    // Its timer has reported it, or is about to.
                    None => finish(self.exchange, before).await,
                }
                return blame.forget().await;
            }
            finish(self.exchange, before).await;
        }
        // Report at once if no other provider could show that the call is at fault.
        let may_be_repeated = fault.may_be_the_calls_own() && self.standings.iter().any(|it| it.served_another);
        if !may_be_repeated {
            if blame.report().await {
                self.exchange.state.providers[provider].reconnect();
            }
            return;
        }
        // Otherwise hold the failure back until the timer runs out or another provider fails.
        let blame = Arc::new(Mutex::new(Some(blame)));
        let waiting = blame.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(BLAME_WAITS).await;
            report(&waiting).await
        });
        self.blame = Some(Pending { provider, fault, blame, timer });
    }

    /// Reports the failure that is still held back.
    async fn report_pending(&mut self) {
        if let Some(pending) = self.blame.take() {
            finish(self.exchange, pending).await;
        }
    }

    /// Makes one attempt. Returns `None` if it is the next provider's turn.
    async fn attempt(&mut self, stop: &Target, others: Alternatives) -> Option<Result<Response<Body>, ApiError>> {
        let Target { provider, entry } = *stop;
        let Exchange { state, ask, .. } = self.exchange;
        let standing = &self.standings[provider];
        self.attempts += 1;
        // Record the fallback if this is not the preferred provider.
        if let Some(cause) = self.cause.filter(|_| provider > 0 && self.fallback.is_none()) {
            self.fallback = Some(cause);
            self.exchange.report.fallback(cause);
        }
        // Make the attempt with the deadlines of its class.
        let patience = match &self.exchange.spending {
            Some(_) => AttemptDeadlines::new(ask.awaited, standing.late_after, state.timeouts.failover),
            None => AttemptDeadlines::without_tokens(state.timeouts.failover),
        };
        let share = share_of(standing, state.routing.is_enforced);
        let call = prepare(self.exchange, &state.providers[provider]);
        let attempt = Attempt::begin(self.exchange, *stop, self.attempts, standing, share, patience, others);
        let answer = match ask.awaited {
            ResponseMode::FirstContent => stream::stream(attempt, call).await,
            ResponseMode::Whole => whole::whole(attempt, call).await,
        };
        match answer {
            // A 404 does not replace the failure of an earlier provider, which may know the model.
            Ok(response) if response.status() == StatusCode::NOT_FOUND && self.missed.is_some() => None,
            Ok(response) => Some(Ok(response)),
            Err(mut missed) => {
                // Report the failure, and remember it for the fallback headers, a retry and the answer.
                self.blame(provider, missed.fault, missed.blame.take()).await;
                if self.fallback == Some(FallbackReason::Warm.name()) {
                    // The preferred provider may serve the call after all.
                    (self.fallback, self.cause) = (None, None);
                    self.exchange.report.no_fallback();
                } else {
                    self.cause.get_or_insert(missed.fault.name());
                }
                // A provider that takes single calls is not retried.
                if missed.may_retry && entry == Entry::Free {
                    self.may_retry.push(*stop);
                }
                // A refusal of the call or of the platform's credentials tells less than an earlier failure.
                if !matches!(missed.fault, Fault::Refused | Fault::TurnedAway) || self.missed.is_none() {
                    self.missed = Some((provider, missed));
                }
                None
            }
        }
    }
}

/// Returns true if the call may go to the provider of `stop` now. `standing` is the state of its breaker.
async fn may_enter(exchange: &Exchange<'_>, standing: &ProviderStatus, Target { provider, entry }: Target) -> bool {
    let breakers = &exchange.state.breakers;
    let uses_tokens = exchange.spending.is_some();
    // In dry-run mode every provider counts as healthy, apart from an admin's overrides.
    if !exchange.state.routing.is_enforced {
        return true;
    }
    match entry {
        Entry::Free => true,
        // The breaker learns nothing from a call that uses no tokens, so do not spend a probe on it.
        Entry::Probe => uses_tokens && breakers.may_probe(provider, standing.state.generation).await,
        // A call without tokens costs the provider next to nothing and needs no room.
        Entry::Room => {
            standing.has_room || !uses_tokens || breakers.admit(provider, &exchange.caller.account, standing.rate).await
        }
        Entry::Pause => uses_tokens && breakers.admit_in_pause(provider, false).await,
        Entry::LastPause => !uses_tokens || breakers.admit_in_pause(provider, true).await,
    }
}

/// Reports a failure that was not withdrawn.
async fn finish(exchange: &Exchange<'_>, pending: Pending) {
    let Pending { provider, blame, timer, .. } = pending;
    // If the timer has taken the failure already, wait for its report.
    let is_reporting = lock(&blame).is_none();
    let is_away = if is_reporting {
        timer.await.unwrap_or(false)
    } else {
        timer.abort();
        report(&blame).await
    };
    if is_away {
        exchange.state.providers[provider].reconnect();
    }
}

fn take(blame: &Mutex<Option<Blame>>) -> Option<Blame> {
    lock(blame).take()
}

/// Reports a failure unless it was reported before. Returns true if this environment now keeps away from its provider.
async fn report(blame: &Mutex<Option<Blame>>) -> bool {
    match take(blame) {
        Some(blame) => blame.report().await,
        None => false,
    }
}

/// Returns the standing of a provider as if it were healthy. An admin's override is kept.
fn well(standing: &ProviderStatus) -> ProviderStatus {
    let state = BreakerState { forced: standing.state.forced.clone(), ..BreakerState::new() };
    ProviderStatus { state, is_away: false, has_room: true, pause: None, ..standing.clone() }
}

/// Waits for a random pause before a retry. Returns false if there is no time or no retry budget.
async fn pauses(exchange: &Exchange<'_>) -> bool {
    let Exchange { state, waited, .. } = exchange;
    let began = Instant::now();
    let until = began + rand::random_range(Duration::ZERO..=LONGEST_PAUSE);
    if until >= exchange.answer_by() || !state.breakers.may_retry(state.routing.retry_percent).await {
        return false;
    }
    sleep_until(until).await;
    waited.add(began.elapsed());
    true
}

fn share_of(standing: &ProviderStatus, is_enforced: bool) -> Share {
    let forced = standing.state.forced.as_ref().map(|forced| forced.share);
    if is_enforced { forced.unwrap_or(standing.state.share) } else { Share::ALL }
}
