//! The proxy's wide event: everything about one call in one line, which is its metrics too.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use levee::breadcrumbs::mask;
use levee::breaker::{Detour, Share};
use levee::headroom::Headroom;
use levee::http::Admitted;
use levee::http::anthropic::ErrorKind;
use levee::metering::model::{LONGEST_TOLD, is_of_a_name};
use levee::metering::{StreamError, TokenState, Usage};
use levee::sync::lock;
use levee::telemetry::Head;
use metrique::ServiceMetrics;
use metrique::emf::flags::NoMetric;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

use crate::routes::Operation;

/// A model's name as it is told. The caller writes it, so it must look like a name, and like nothing that is masked in
/// breadcrumbs.
pub fn told(model: &str) -> &str {
    let is_name = model.len() <= LONGEST_TOLD && is_of_a_name(model) && mask(model) == model;
    if is_name { model } else { "other" }
}

/// One call. Its parts are filled in as they become known.
#[metrics(emf::dimension_sets = [[], ["Operation"], ["Provider"]])]
#[derive(Debug)]
pub struct AiCall {
    #[metrics(flatten)]
    head: Head,
    route: &'static str,
    /// Always `ai`.
    #[metrics(name = "RouteClass")]
    route_class: &'static str,
    #[metrics(name = "Operation")]
    operation: &'static str,
    #[metrics(name = "account.id")]
    account: Option<String>,
    #[metrics(name = "integration.id")]
    integration: Option<String>,
    #[metrics(name = "key.id")]
    key: Option<String>,
    model: Option<String>,
    /// `none` where the call did not get as far.
    #[metrics(name = "Provider")]
    provider: String,
    /// How often a provider was called.
    #[metrics(flags(NoMetric))]
    attempts: u64,
    /// Why it was not the provider that is preferred.
    #[metrics(name = "fallback.reason")]
    fallback_reason: Option<&'static str>,
    /// Another provider than the one that is preferred was called, and not to keep it warm.
    #[metrics(name = "Fallbacks", unit = Count)]
    fallbacks: bool,
    /// How much of the calls that provider gets, in basis points.
    #[metrics(name = "breaker.share", flags(NoMetric))]
    share: Option<u64>,
    #[metrics(flags(NoMetric))]
    streamed: bool,
    /// `ok`, `caller_error`, `forbidden`, `over_cap`, `provider_limited`, `provider_error`, `unavailable`,
    /// `timeout`, or `unfinished` where the environment was stopped first.
    outcome: &'static str,
    #[metrics(flags(NoMetric))]
    status: u64,
    /// What the caller was told.
    error: Option<String>,
    /// How far the account had come within its token cap when the call began.
    #[metrics(name = "token.state")]
    token_state: Option<String>,
    /// The usage is what was known when the call broke off.
    #[metrics(flags(NoMetric))]
    estimated: bool,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    #[metrics(name = "ProviderErrors", unit = Count)]
    provider_errors: bool,
    /// A record of the call could not be written to the ledger; a log line holds it.
    #[metrics(name = "UnwrittenUsage", unit = Count)]
    unwritten: bool,
    /// The call's places in flight could not be given back; they end by themselves.
    #[metrics(name = "Unreleased", unit = Count)]
    unreleased: bool,
    /// The account's token cap is used up, and the call was let through.
    #[metrics(name = "TokenCapExceeded", unit = Count)]
    cap_exceeded: bool,
    /// The account's token cap is used up, and the call was refused.
    #[metrics(name = "TokenCapRefused", unit = Count)]
    cap_refused: bool,
    #[metrics(name = "InputTokens", unit = Count)]
    input: Option<u64>,
    #[metrics(name = "OutputTokens", unit = Count)]
    output: Option<u64>,
    #[metrics(name = "CacheReadTokens", unit = Count)]
    cache_read: Option<u64>,
    #[metrics(name = "CacheWriteTokens", unit = Count)]
    cache_write: Option<u64>,
    #[metrics(name = "TimeToFirstContent", unit = Millisecond)]
    first_content: Option<Duration>,
    #[metrics(name = "ProviderDuration", unit = Millisecond)]
    provider_took: Option<Duration>,
    #[metrics(name = "LedgerDuration", unit = Millisecond)]
    ledger_took: Option<Duration>,
    #[metrics(flatten)]
    headroom: Headroom,
    #[metrics(name = "Duration", unit = Millisecond)]
    took: Timer,
}

/// A handle to the report about one call. The report is written when its last handle is dropped.
#[derive(Clone)]
pub struct Report(Arc<Mutex<AiCallGuard>>);

impl Report {
    /// Begins the report about the request `request_id`.
    pub fn begin(request_id: &str, operation: Option<Operation>) -> Self {
        let call = AiCall {
            head: Head::new("ai-proxy", "served an AI call", request_id),
            route: operation.map_or("none", Operation::resource),
            route_class: levee::http::Route::Ai.class().name(),
            operation: operation.map_or("none", Operation::name),
            account: None,
            integration: None,
            key: None,
            model: None,
            provider: "none".to_owned(),
            attempts: 0,
            fallback_reason: None,
            fallbacks: false,
            share: None,
            streamed: false,
            outcome: "unfinished",
            status: 0,
            error: None,
            token_state: None,
            estimated: false,
            requests: 1,
            provider_errors: false,
            unwritten: false,
            unreleased: false,
            cap_exceeded: false,
            cap_refused: false,
            input: None,
            output: None,
            cache_read: None,
            cache_write: None,
            first_content: None,
            provider_took: None,
            ledger_took: None,
            headroom: Headroom::default(),
            took: Timer::start_now(),
        };
        Self(Arc::new(Mutex::new(call.append_on_drop(ServiceMetrics::sink_or_discard()))))
    }

    /// Who calls.
    pub fn caller(&self, caller: &Admitted) {
        self.note(|call| {
            call.account = Some(caller.account.clone());
            call.integration = Some(caller.integration.clone());
            call.key = Some(caller.key.clone());
        });
    }

    /// What is asked for; the model as it may be [`told`].
    pub fn asked(&self, model: &str, streamed: bool) {
        self.note(|call| (call.model, call.streamed) = (Some(model.to_owned()), streamed));
    }

    /// The call goes to `provider`, which gets `share` basis points of all calls.
    pub fn attempt(&self, provider: &str, share: Share) {
        self.note(|call| {
            provider.clone_into(&mut call.provider);
            call.share = Some(share.basis_points().into());
            call.headroom = Headroom::default();
            call.attempts += 1;
        });
    }

    /// Records that the answer for the caller is the one of `provider`.
    pub fn provider(&self, provider: &str) {
        self.note(|call| {
            if call.provider != provider {
                provider.clone_into(&mut call.provider);
                call.share = None;
            }
        });
    }

    /// The provider that is preferred does not serve the call; `reason` is the first cause. That another one is kept warm is no
    /// trouble.
    pub fn fallback(&self, reason: &'static str) {
        let is_trouble = reason != Detour::Warm.name();
        self.note(|call| (call.fallback_reason, call.fallbacks) = (Some(reason), is_trouble));
    }

    /// The provider that is preferred is asked after all.
    pub fn no_fallback(&self) {
        self.note(|call| (call.fallback_reason, call.fallbacks) = (None, false));
    }

    /// The first content came, so long after the call was sent.
    pub fn first_content(&self, after: Duration) {
        self.note(|call| call.first_content = Some(after));
    }

    /// The provider's answer was complete, or broke off, so long after the call was sent.
    pub fn provider_took(&self, took: Duration) {
        self.note(|call| call.provider_took = Some(took));
    }

    /// Records what the provider leaves of the platform's limits.
    pub fn headroom(&self, headroom: Headroom) {
        self.note(|call| call.headroom = headroom);
    }

    /// The provider answered with `status`, which the caller gets.
    pub fn answered(&self, status: http::StatusCode) {
        self.note(|call| {
            call.outcome = match status.as_u16() {
                200..=299 => "ok",
                429 => "provider_limited",
                400..=499 => "caller_error",
                _ => "provider_error",
            };
            call.provider_errors = call.outcome == "provider_error";
        });
    }

    /// The call failed, or a stream broke off.
    pub fn failed(&self, kind: ErrorKind, message: &str) {
        self.note(|call| {
            call.outcome = match kind {
                ErrorKind::InvalidRequest | ErrorKind::NotFound => "caller_error",
                ErrorKind::Permission => "forbidden",
                ErrorKind::RateLimit => "over_cap",
                ErrorKind::ProviderLimit => "provider_limited",
                ErrorKind::BadGateway | ErrorKind::Overloaded => "provider_error",
                ErrorKind::Unavailable => "unavailable",
                ErrorKind::Timeout => "timeout",
            };
            call.provider_errors = matches!(kind, ErrorKind::BadGateway | ErrorKind::Overloaded | ErrorKind::Timeout);
            call.error = Some(message.to_owned());
        });
    }

    /// The provider ended its stream with an error, which the caller gets.
    pub fn stream_error(&self, error: StreamError) {
        self.note(|call| {
            call.outcome = match error {
                StreamError::RateLimit => "provider_limited",
                StreamError::InvalidRequest => "caller_error",
                StreamError::Overloaded | StreamError::Credentials | StreamError::Other => "provider_error",
            };
            call.provider_errors = call.outcome == "provider_error";
            call.error = Some(format!("The AI provider ended the stream with {}.", error.name()));
        });
    }

    /// The status that the caller gets.
    pub fn status(&self, status: http::StatusCode) {
        self.note(|call| call.status = status.as_u16().into());
    }

    /// What was used, written to the ledger in `took`.
    pub fn metered(&self, usage: &Usage, estimated: bool, took: Duration) {
        self.note(|call| {
            call.input = Some(usage.input);
            call.output = Some(usage.output);
            call.cache_read = Some(usage.cache_read);
            call.cache_write = Some(usage.cache_write_5m + usage.cache_write_1h);
            call.estimated = estimated;
            call.ledger_took = Some(took);
        });
    }

    /// A record of the call could not be written to the ledger.
    pub fn unwritten(&self) {
        self.note(|call| call.unwritten = true);
    }

    /// How far the account had come within its token cap when the call was let through.
    pub fn token_state(&self, state: TokenState) {
        self.note(|call| (call.token_state, call.cap_exceeded) = (Some(state.to_string()), state == TokenState::Over));
    }

    /// The call is refused because the account's token cap is used up.
    pub fn refused_by_cap(&self) {
        self.note(|call| (call.token_state, call.cap_refused) = (Some(TokenState::Over.to_string()), true));
    }

    /// What the call held while it was in flight could not be given back.
    pub fn unreleased(&self) {
        self.note(|call| call.unreleased = true);
    }

    fn note(&self, change: impl FnOnce(&mut AiCall)) {
        change(&mut lock(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_is_told_and_nothing_else_that_a_caller_may_write_there() {
        for model in ["claude-sonnet-5-5", "claude-sonnet-5-5-20260915", "us.anthropic.claude-sonnet-5-5-20260915-v1:0"]
        {
            assert_eq!(told(model), model);
        }
        let key = "lv_live_4f8KpQ2mZx7R_thisKeyOpensNothingButLocalhost10phR2B";
        for other in ["ada@example.com", "203.0.113.9", "Tell me about levees.", key, &"m".repeat(81)] {
            assert_eq!(told(other), "other", "{other}");
        }
    }
}
