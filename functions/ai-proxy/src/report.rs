//! The proxy's wide event: one log line with everything about one call, which also carries its metrics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use levee::breadcrumbs::mask;
use levee::breaker::{FallbackReason, Share};
use levee::headroom::Headroom;
use levee::http::Caller;
use levee::http::anthropic::ErrorKind;
use levee::metering::{StreamError, TokenState, Usage};
use levee::models::{LONGEST_TOLD, is_of_a_name};
use levee::sync::lock;
use levee::telemetry::Head;
use metrique::ServiceMetrics;
use metrique::emf::flags::NoMetric;
use metrique::timers::Timer;
use metrique::unit::{Count, Millisecond};
use metrique::unit_of_work::metrics;

use crate::routes::Operation;

/// Returns a model's name as it may be logged. The caller writes the name, so one that does not look like a model's
/// name, or that breadcrumbs would mask, becomes `other`.
pub fn display_model(model: &str) -> &str {
    let is_name = model.len() <= LONGEST_TOLD && is_of_a_name(model) && mask(model) == model;
    if is_name { model } else { "other" }
}

/// The wide event of one call. Its fields are filled in as they become known.
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
    /// Provider of the last attempt, or of the answer that the caller got; `none` if none was asked.
    #[metrics(name = "Provider")]
    provider: String,
    /// Number of attempts at providers.
    #[metrics(flags(NoMetric))]
    attempts: u64,
    /// Reason why the preferred provider did not serve the call.
    #[metrics(name = "fallback.reason")]
    fallback_reason: Option<&'static str>,
    /// True if another provider than the preferred one was asked, and not to keep it warm.
    #[metrics(name = "Fallbacks", unit = Count)]
    fallbacks: bool,
    /// Share of the calls that the provider gets, in basis points.
    #[metrics(name = "breaker.share", flags(NoMetric))]
    share: Option<u64>,
    #[metrics(flags(NoMetric))]
    streamed: bool,
    /// `ok`, `caller_error`, `forbidden`, `over_cap`, `provider_limited`, `provider_error`, `unavailable`, `timeout`,
    /// or `unfinished` if the environment was stopped first.
    outcome: &'static str,
    #[metrics(flags(NoMetric))]
    status: u64,
    /// Message that the caller got.
    error: Option<String>,
    /// State of the account against its token cap when the call began.
    #[metrics(name = "token.state")]
    token_state: Option<String>,
    /// True if the usage is an estimate.
    #[metrics(flags(NoMetric))]
    estimated: bool,
    #[metrics(name = "Requests", unit = Count)]
    requests: u64,
    #[metrics(name = "ProviderErrors", unit = Count)]
    provider_errors: bool,
    /// True if a record of the call could not be written to the ledger. A log line holds it.
    #[metrics(name = "UnwrittenUsage", unit = Count)]
    unwritten: bool,
    /// True if the call's places in flight could not be released. They expire.
    #[metrics(name = "Unreleased", unit = Count)]
    unreleased: bool,
    /// True if the account's token cap is used up and the call was let through.
    #[metrics(name = "TokenCapExceeded", unit = Count)]
    cap_exceeded: bool,
    /// True if the account's token cap is used up and the call was refused.
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

/// Shared handle to the wide event of one call. The event is written when the last handle is dropped.
#[derive(Clone)]
pub struct CallReport(Arc<Mutex<AiCallGuard>>);

impl CallReport {
    /// Starts the wide event of the request `request_id`.
    pub fn begin(request_id: &str, operation: Option<Operation>) -> Self {
        let call = AiCall {
            head: Head::new("ai-proxy", "served an AI call", request_id),
            route: operation.map_or("none", Operation::resource),
            route_class: levee::limits::Route::Ai.class().name(),
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

    /// Records the caller.
    pub fn caller(&self, caller: &Caller) {
        self.note(|call| {
            call.account = Some(caller.account.clone());
            call.integration = Some(caller.integration.clone());
            call.key = Some(caller.key.clone());
        });
    }

    /// Records the model, as returned by [`display_model`], and if the answer is to be streamed.
    pub fn requested(&self, model: &str, streamed: bool) {
        self.note(|call| (call.model, call.streamed) = (Some(model.to_owned()), streamed));
    }

    /// Records an attempt at `provider`, which gets `share` of all calls.
    pub fn attempt(&self, provider: &str, share: Share) {
        self.note(|call| {
            provider.clone_into(&mut call.provider);
            call.share = Some(share.basis_points().into());
            call.headroom = Headroom::default();
            call.attempts += 1;
        });
    }

    /// Records that the caller gets the answer of `provider`.
    pub fn provider(&self, provider: &str) {
        self.note(|call| {
            if call.provider != provider {
                provider.clone_into(&mut call.provider);
                call.share = None;
            }
        });
    }

    /// Records that the preferred provider does not serve the call; `reason` is the first cause. Keeping another
    /// provider warm does not count as a fallback.
    pub fn fallback(&self, reason: &'static str) {
        let is_trouble = reason != FallbackReason::Warm.name();
        self.note(|call| (call.fallback_reason, call.fallbacks) = (Some(reason), is_trouble));
    }

    /// Records that the preferred provider is asked after all.
    pub fn no_fallback(&self) {
        self.note(|call| (call.fallback_reason, call.fallbacks) = (None, false));
    }

    /// Records that the first content came `after` the call was sent.
    pub fn first_content(&self, after: Duration) {
        self.note(|call| call.first_content = Some(after));
    }

    /// Records that the provider's answer was complete, or broke off, `took` after the call was sent.
    pub fn provider_took(&self, took: Duration) {
        self.note(|call| call.provider_took = Some(took));
    }

    /// Records the provider's remaining rate limits.
    pub fn headroom(&self, headroom: Headroom) {
        self.note(|call| call.headroom = headroom);
    }

    /// Records that the caller gets the provider's answer with `status`.
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

    /// Records that the call failed, or that its stream broke off.
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

    /// Records that the provider ended its stream with an error, which the caller gets.
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

    /// Records the status that the caller gets.
    pub fn status(&self, status: http::StatusCode) {
        self.note(|call| call.status = status.as_u16().into());
    }

    /// Records the usage, which was written to the ledger in `took`.
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

    /// Records that a record of the call could not be written to the ledger.
    pub fn unwritten(&self) {
        self.note(|call| call.unwritten = true);
    }

    /// Records the state of the account against its token cap when the call was let through.
    pub fn token_state(&self, state: TokenState) {
        self.note(|call| (call.token_state, call.cap_exceeded) = (Some(state.to_string()), state == TokenState::Over));
    }

    /// Records that the call is refused because the account's token cap is used up.
    pub fn refused_by_cap(&self) {
        self.note(|call| (call.token_state, call.cap_refused) = (Some(TokenState::Over.to_string()), true));
    }

    /// Records that the call's places in flight could not be released.
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
            assert_eq!(display_model(model), model);
        }
        let key = "lv_live_4f8KpQ2mZx7R_thisKeyOpensNothingButLocalhost10phR2B";
        for other in ["ada@example.com", "203.0.113.9", "Tell me about levees.", key, &"m".repeat(81)] {
            assert_eq!(display_model(other), "other", "{other}");
        }
    }
}
