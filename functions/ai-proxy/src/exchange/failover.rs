//! Which providers a call is sent to, one after the other.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use lambda_http::Response;
use levee::breaker::{Candidate, Detour, NoRoute, Route, Share, Standing, State as BreakerState, Stop, route};
use levee::clock::Timestamp;
use levee::http::anthropic::ErrorKind;
use tokio::time::{Instant, sleep_until};

use super::attempt::{Attempt, Missed, Others};
use super::{Exchange, stream, whole};
use crate::answer::{Body, Failed};
use crate::outcome::Fault;
use crate::patience::{Awaited, Patience};

/// The longest pause before a provider is tried a second time; the pause is a random part of it.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A call on its way from provider to provider.
struct Course<'a> {
    exchange: &'a Exchange<'a>,
    standings: Vec<Standing>,
    attempts: u32,
    /// Why another provider than the one that is preferred was tried.
    fallback: Option<&'static str>,
    /// Why the one that is preferred may not serve the call: the first cause.
    cause: Option<&'static str>,
    /// What the client gets if nobody serves the call.
    missed: Option<Missed>,
    /// Who may be tried a second time.
    may_retry: Vec<Stop>,
}

/// Makes the call, at whatever provider serves it.
pub async fn serve(exchange: &Exchange<'_>) -> Result<Response<Body>, Failed> {
    let standings = exchange.state.breakers.look(&exchange.ask.class, exchange.spending.is_some()).await;
    let mut course =
        Course { exchange, standings, attempts: 0, fallback: None, cause: None, missed: None, may_retry: Vec::new() };
    let answer = course.run().await;
    let headers = exchange.headers(course.attempts, course.fallback);
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

impl Course<'_> {
    async fn run(&mut self) -> Result<Response<Body>, Failed> {
        let route = self.route()?;
        self.cause = route.detour.map(Detour::name);
        for (place, stop) in route.stops.iter().enumerate() {
            // Whoever gets no time to answer is not to be judged by that.
            if self.attempts > 0 && Instant::now() >= self.exchange.answer_by() {
                break;
            }
            let generation = self.standings[stop.provider].state.generation;
            if stop.is_probe && !may_probe(self.exchange, *stop, generation).await {
                self.cause.get_or_insert(Detour::Open.name());
                continue;
            }
            if let Some(answer) = self.attempt(stop, Others::of(&route.stops[place + 1..])).await {
                return answer;
            }
        }
        for stop in std::mem::take(&mut self.may_retry) {
            if !pauses(self.exchange).await {
                break;
            }
            if let Some(answer) = self.attempt(&stop, Others::Nobody).await {
                return answer;
            }
        }
        match self.missed.take() {
            Some(missed) => {
                // It need not be what was answered last.
                if let Ok(response) = missed.answer.as_ref() {
                    self.exchange.report.answered(response.status());
                }
                *missed.answer
            }
            None => Err(self.all_bad(self.now())),
        }
    }

    fn now(&self) -> Timestamp {
        self.exchange.state.clock.now()
    }

    fn route(&self) -> Result<Route, Failed> {
        let Exchange { state, caller, ask, .. } = self.exchange;
        let as_if_well;
        let standings = if state.routing.is_enforced {
            &self.standings
        } else {
            as_if_well = self.standings.iter().map(well).collect();
            &as_if_well
        };
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

    fn refuse(&self, route: Result<Route, NoRoute>) -> Result<Route, Failed> {
        route.map_err(|none| match none {
            NoRoute::Restricted => {
                let message = "This account's data may go to none of the AI providers that there are.";
                Failed::by_caller(ErrorKind::Permission, message)
            }
            NoRoute::AllBad(at) => self.all_bad(at),
        })
    }

    /// No provider is of any use before `at`.
    fn all_bad(&self, at: Timestamp) -> Failed {
        let message = "No AI provider can serve the call at the moment.";
        let retry_after = self.now().secs_until(at).max(1);
        Failed { headers: vec![(RETRY_AFTER, retry_after.into())], ..Failed::upstream(ErrorKind::Overloaded, message) }
    }

    /// One attempt. `None` where it is another provider's turn.
    async fn attempt(&mut self, stop: &Stop, others: Others) -> Option<Result<Response<Body>, Failed>> {
        let Stop { provider, is_probe } = *stop;
        let Exchange { state, ask, .. } = self.exchange;
        let standing = &self.standings[provider];
        self.attempts += 1;
        if let Some(cause) = self.cause.filter(|_| provider > 0 && self.fallback.is_none()) {
            self.fallback = Some(cause);
            self.exchange.report.fallback(cause);
        }
        let patience = match &self.exchange.spending {
            Some(_) => Patience::new(ask.awaited, standing.late_after, state.timeouts.failover),
            None => Patience::without_tokens(state.timeouts.failover),
        };
        let share = share_of(standing, state.routing.is_enforced);
        let attempt =
            Attempt::begin(self.exchange, *stop, self.attempts, standing.state.generation, share, patience, others);
        let answer = match ask.awaited {
            Awaited::FirstContent => stream::stream(attempt).await,
            Awaited::Whole => whole::whole(attempt).await,
        };
        match answer {
            // What one provider does not know, another one knew.
            Ok(response) if response.status() == StatusCode::NOT_FOUND && self.missed.is_some() => None,
            Ok(response) => Some(Ok(response)),
            Err(missed) => {
                if self.fallback == Some(Detour::Warm.name()) {
                    // The provider that is preferred may serve the call after all.
                    (self.fallback, self.cause) = (None, None);
                    self.exchange.report.no_fallback();
                } else {
                    self.cause.get_or_insert(missed.fault.name());
                }
                // Who takes single calls is not asked twice.
                if missed.may_retry && !is_probe {
                    self.may_retry.push(*stop);
                }
                // That the call is turned away, or the platform's credentials are, says less than what went wrong before.
                if !matches!(missed.fault, Fault::Refused | Fault::TurnedAway) || self.missed.is_none() {
                    self.missed = Some(missed);
                }
                None
            }
        }
    }
}

/// A provider as if it were well. What an admin says holds all the same.
fn well(standing: &Standing) -> Standing {
    let state = BreakerState { forced: standing.state.forced.clone(), ..BreakerState::new() };
    Standing { state, is_away: false, ..standing.clone() }
}

/// Whether the call may go to a provider that takes single calls: not where nothing would be learnt from it.
async fn may_probe(exchange: &Exchange<'_>, stop: Stop, generation: u64) -> bool {
    exchange.spending.is_some() && exchange.state.breakers.may_probe(stop.provider, generation).await
}

/// Waits a moment before a provider is tried a second time; false where that may not be.
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

fn share_of(standing: &Standing, is_enforced: bool) -> Share {
    let forced = standing.state.forced.as_ref().map(|forced| forced.share);
    if is_enforced { forced.unwrap_or(standing.state.share) } else { Share::ALL }
}
