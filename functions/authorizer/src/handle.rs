//! One request's authorization, from top to bottom.

use std::time::Instant;

use lambda_runtime::Diagnostic;
use levee::accounts::{self, AuthenticationError, Caller, Scope, Status};
use levee::clock::Timestamp;
use levee::http::address::{client_address, counted_together};
use levee::http::context::Verdict;
use levee::http::{Admitted, AuthorizerContext, RefusalContext, Route};
use levee::limits::headers::LimitHeaders;
use levee::limits::{Charge, Decision, Refusal, Subject};
use serde::Serialize;

use self::Passage::{Forbidden, Limited, Passes};
use crate::config::State;
use crate::event::Event;
use crate::report::{self, Report};
use crate::response::{Effect, Response};

/// An answer with either context.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Context {
    /// The request goes on to its function.
    Passed(AuthorizerContext),
    /// The gateway refuses it.
    Refused(RefusalContext),
}

/// An authorization that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no valid key. API Gateway answers 401 to an error with exactly this message, and to no other.
    #[error("Unauthorized")]
    Unauthorized,
    /// Who is calling cannot be known; the gateway answers 503.
    #[error("the caller cannot be known: {0}")]
    Unknown(#[from] accounts::Unreachable),
    /// The template declares a route that this function knows no rule for.
    #[error("no rule for the route {0}")]
    NoRule(String),
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: "AuthorizationFailure".to_owned(), error_message: failure.to_string() }
    }
}

/// Decides about one request.
///
/// # Errors
/// [`Failure`], which the gateway turns into 401 or 503.
pub async fn handle(state: &State, event: Event) -> Result<Response<Context>, Failure> {
    let now = state.clock.now();
    let route = Route::of(&event.resource).ok_or_else(|| Failure::NoRule(event.resource.clone()))?;
    let mut report = report::begin(&event, route);

    // Find out who is calling, where that matters.
    let caller = match route.scope() {
        None => None,
        Some(scope) => {
            let caller = authenticate(state, &event, now, &mut report).await?;
            report.caller(&caller);

            // Check that the caller may use this route; the function behind it says no, as the gateway's 403 is our 429.
            if let Some(reason) = forbidden(&caller, scope) {
                report.forbidden(&reason);
                return Ok(passed(&event, Some(&caller), Forbidden(reason)));
            }
            Some(caller)
        }
    };

    // Check the limits.
    let began = Instant::now();
    let decision = state.limiter.check(charges(state, &event, caller.as_ref()), now).await;
    report.decided(&decision, began.elapsed());
    Ok(match decision {
        Decision::Allowed(readings) => passed(&event, caller.as_ref(), Passes(LimitHeaders::of(&readings, now))),
        Decision::Unchecked => passed(&event, caller.as_ref(), Passes(LimitHeaders::degraded())),
        // A page is not refused by the gateway, which would answer a person with JSON.
        Decision::Refused(refusal) if route.answers_html() => passed(&event, None, Limited(refusal, now)),
        Decision::Refused(refusal) => {
            let base_url = state.base_url.clone().unwrap_or_else(|| event.base_url());
            let context = RefusalContext::new(&refusal, route, &base_url, now);
            respond(Effect::Deny, &event, caller.as_ref(), Context::Refused(context))
        }
    })
}

async fn authenticate(state: &State, event: &Event, now: Timestamp, report: &mut Report) -> Result<Caller, Failure> {
    let Some(key) = event.api_key() else {
        report.unauthorized("no key");
        return Err(Failure::Unauthorized);
    };
    match accounts::authenticate(&state.directory, &state.peppers, &state.key_environment, key, now).await {
        Ok(caller) => Ok(caller),
        Err(AuthenticationError::Refused(reason)) => {
            report.unauthorized(reason);
            Err(Failure::Unauthorized)
        }
        Err(AuthenticationError::Unreachable(error)) => {
            report.failed(&error.to_string());
            let id = event.request_id();
            tracing::error!(code = "accounts.unreachable", request.id = id, %error, "an unknown key cannot be looked up");
            Err(error.into())
        }
    }
}

fn forbidden(caller: &Caller, scope: Scope) -> Option<String> {
    if caller.owner.account.status != Status::Active {
        return Some("This account is suspended.".to_owned());
    }
    if caller.owner.integration.status != Status::Active {
        return Some("This integration is suspended.".to_owned());
    }
    (!caller.key.scopes.contains(&scope)).then(|| format!("This key lacks the scope '{scope}'."))
}

/// What the request is charged to.
fn charges(state: &State, event: &Event, caller: Option<&Caller>) -> Vec<Charge> {
    let address = || {
        let address = client_address(event.origin(), state.proxy_secret.as_deref())?;
        Some(Subject(state.peppers.held().pseudonym(&counted_together(address).to_string())))
    };
    match caller {
        None => state.limits.login(address()),
        Some(Caller { key, owner }) => {
            let address = if key.address_exempt { None } else { address() };
            state.limits.ai_call(address, &owner.account.id, &owner.integration.id)
        }
    }
}

/// What the function behind the authorizer is told.
enum Passage {
    Passes(LimitHeaders),
    Forbidden(String),
    Limited(Refusal, Timestamp),
}

fn passed(event: &Event, caller: Option<&Caller>, passage: Passage) -> Response<Context> {
    let (verdict, reason, retry_after, limits) = match passage {
        Passes(limits) => (Verdict::Allow, None, None, limits),
        Forbidden(reason) => (Verdict::Forbidden, Some(reason), None, LimitHeaders::default()),
        Limited(refusal, now) => {
            let retry_after = now.secs_until(refusal.binding.resets_at);
            let reason = format!("Too many sign-ins from your address. Try again in {retry_after} seconds.");
            (Verdict::Limited, Some(reason), Some(retry_after.to_string()), LimitHeaders::of_refusal(&refusal, now))
        }
    };
    let admitted = caller.map(|Caller { key, owner }| Admitted {
        account: owner.account.id.clone(),
        integration: owner.integration.id.clone(),
        key: key.id.clone(),
    });
    let request_id = event.request_id().to_owned();
    let context = AuthorizerContext { request_id, caller: admitted, verdict, reason, retry_after, limits };
    respond(Effect::Allow, event, caller, Context::Passed(context))
}

fn respond(effect: Effect, event: &Event, caller: Option<&Caller>, context: Context) -> Response<Context> {
    let principal = caller.map_or("anyone", |caller| &caller.key.account);
    Response::new(effect, principal, &event.method_arn, context)
}
