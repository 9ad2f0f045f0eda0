//! One request's authorization, from top to bottom.

use lambda_runtime::Diagnostic;
use levee::accounts::{self, AuthenticationError, Caller, Status};
use levee::http::address::{client_address, counted_together};
use levee::http::context::Verdict;
use levee::http::{AuthorizerContext, RefusalContext, Route};
use levee::limits::headers::LimitHeaders;
use levee::limits::{Decision, Subject};
use serde::Serialize;

use crate::config::State;
use crate::event::Event;
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

    // Find out who is calling.
    let caller = match event.api_key() {
        None => return Err(Failure::Unauthorized),
        Some(key) => {
            match accounts::authenticate(&state.directory, &state.peppers, &state.key_environment, key, now).await {
                Ok(caller) => caller,
                Err(AuthenticationError::Refused(reason)) => {
                    tracing::info!(request.id = event.request_id(), reason, "key refused");
                    return Err(Failure::Unauthorized);
                }
                Err(AuthenticationError::Unreachable(error)) => {
                    tracing::error!(code = "accounts.unreachable", %error, "an unknown key cannot be looked up");
                    return Err(error.into());
                }
            }
        }
    };
    let respond = |effect, context| Ok(Response::new(effect, &caller.key.account, &event.method_arn, context));

    // Check that the caller may use this route; the function behind it says no, as the gateway's 403 is our 429.
    if let Some(reason) = forbidden(&caller, route) {
        return respond(
            Effect::Allow,
            Context::Passed(context(&event, &caller, Some(reason), LimitHeaders::default())),
        );
    }

    // Check the limits.
    let address = (!caller.key.address_exempt)
        .then(|| client_address(event.origin(), state.proxy_secret.as_deref()))
        .flatten()
        .map(|address| Subject(state.peppers.pseudonym(&counted_together(address).to_string())));
    let charges = state.limits.ai_call(address, &caller.owner.account.id, &caller.owner.integration.id);
    let decision = state.limiter.check(charges, now).await;
    log(&event, &caller, &decision);
    match decision {
        Decision::Allowed(readings) => {
            let headers = LimitHeaders::of(&readings, now);
            respond(Effect::Allow, Context::Passed(context(&event, &caller, None, headers)))
        }
        Decision::Unchecked => {
            respond(Effect::Allow, Context::Passed(context(&event, &caller, None, LimitHeaders::degraded())))
        }
        Decision::Refused(refusal) => {
            let base_url = state.base_url.clone().unwrap_or_else(|| event.base_url());
            let context = RefusalContext::new(&refusal, route, &base_url, now);
            respond(Effect::Deny, Context::Refused(context))
        }
    }
}

fn context(event: &Event, caller: &Caller, forbidden: Option<String>, limits: LimitHeaders) -> AuthorizerContext {
    AuthorizerContext {
        request_id: event.request_id().to_owned(),
        account: caller.owner.account.id.clone(),
        integration: caller.owner.integration.id.clone(),
        key: caller.key.id.clone(),
        verdict: if forbidden.is_some() { Verdict::Forbidden } else { Verdict::Allow },
        reason: forbidden,
        limits,
    }
}

fn forbidden(caller: &Caller, route: Route) -> Option<String> {
    if caller.owner.account.status != Status::Active {
        return Some("This account is suspended.".to_owned());
    }
    if caller.owner.integration.status != Status::Active {
        return Some("This integration is suspended.".to_owned());
    }
    let scope = route.scope();
    (!caller.key.scopes.contains(&scope)).then(|| format!("This key lacks the scope '{scope}'."))
}

fn log(event: &Event, caller: &Caller, decision: &Decision) {
    let (verdict, policy) = match decision {
        Decision::Allowed(_) => ("allowed", ""),
        Decision::Unchecked => ("unchecked", ""),
        Decision::Refused(refusal) => ("refused", refusal.binding.policy.name),
    };
    tracing::info!(
        request.id = event.request_id(),
        account.id = caller.owner.account.id,
        integration.id = caller.owner.integration.id,
        key.id = caller.key.id,
        route = event.resource,
        policy.name = policy,
        verdict,
        "authorized a request"
    );
}
