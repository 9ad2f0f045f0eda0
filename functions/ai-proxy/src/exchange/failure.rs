//! Handles an answer with an error status: either the next provider gets the call, or the client gets the answer.

use std::fmt::Display;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::Response;
use levee::http::anthropic::{ErrorKind, named_envelope};
use levee::http::status::Named;
use levee::metering::TokenState;

use super::attempt::{Answered, Attempt, AttemptFailure, NOT_UNDERSTOOD, respond};
use crate::answer::{ApiError, Body};
use crate::api_error::{ProviderError, kind_of};
use crate::outcome::{Fault, of_failure};
use crate::platform_error::PlatformError;
use crate::public_error::{LIMITED, REJECTED, public_kind, public_sentence};

/// The sentence for clients in place of a 404's that names the platform.
const UNKNOWN: &str = "The AI provider does not know this model, or another thing that the call names.";
/// The sentence for clients in place of an error's that names the platform.
const FAILED: &str = "The AI provider failed.";

impl Attempt<'_> {
    /// Judges an answer with an error status. The client gets it if the caller made a mistake, else the call moves on
    /// to the next provider.
    pub(super) fn failure(
        &mut self,
        answered: Answered,
        state: Option<TokenState>,
    ) -> Result<Response<Body>, AttemptFailure> {
        // Build the answer for the client. It is not used if another provider serves the call.
        let Answered { status, headers, body } = answered;
        let verdict = of_failure(status, &headers, &body, self.exchange.state.clock.now());
        let headers = self.headers(&headers, state);
        let about_the_platform = verdict.and_then(|verdict| self.about_the_platform(verdict.fault, &Named(status)));
        let answer = match (about_the_platform, ProviderError::parse(&body)) {
            (Some(failed), _) => Err(failed),
            (None, Some(error)) => self.as_an_error(status, headers, &error),
            (None, None) => self.as_no_error(status, headers),
        };
        match (verdict, answer) {
            (None, Ok(response)) => {
                if let Some(watch) = &self.watch {
                    watch.said_nothing();
                }
                Ok(response)
            }
            // An answer that is not understood always has a verdict.
            (verdict, answer) => Err(self.missed(verdict.unwrap_or(Fault::Error.into()), answer)),
        }
    }

    /// Records a `fault` of the platform's account at the provider and returns the error for the client; `None` for
    /// every other fault.
    pub(super) fn about_the_platform(&self, fault: Fault, cause: &dyn Display) -> Option<ApiError> {
        let PlatformError { code, logged, kind, message, may_retry, .. } = PlatformError::from_fault(fault)?;
        self.about.error(code, cause, logged);
        Some(ApiError { may_retry, ..ApiError::upstream(kind, message) })
    }

    /// Returns an error of the API for the client, in the full envelope. Of the provider's body it has only the kind and
    /// the sentence, and a neutral sentence if that is about the platform. The content type is JSON, whatever the
    /// provider's header says.
    fn as_an_error(
        &self,
        status: StatusCode,
        mut headers: HeaderMap,
        error: &ProviderError,
    ) -> Result<Response<Body>, ApiError> {
        if !is_of_an_error(status) {
            return Err(self.not_understood(status));
        }
        // Log the failures of the provider, but not the mistakes of the caller.
        if status.is_server_error() {
            self.about.error("provider.failed", &Named(status), "a provider failed");
        } else if status == StatusCode::TOO_MANY_REQUESTS {
            self.about.error("provider.limited", &Named(status), "a provider limits the platform");
        }
        self.exchange.report.answered(status);
        // Some sentences are about the platform, and not for its customers.
        let is_about_call = matches!(status.as_u16(), 400 | 413 | 422);
        let sentence = public_sentence(&error.message, is_about_call).unwrap_or_else(|| {
            let instead = match status {
                StatusCode::TOO_MANY_REQUESTS => LIMITED,
                StatusCode::NOT_FOUND => UNKNOWN,
                _ if is_about_call => REJECTED,
                _ => FAILED,
            };
            instead.into()
        });
        let kind = public_kind(&error.kind, kind_of(status));
        let body = named_envelope(kind, &sentence, self.request_id(&headers)).into();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(respond(status, headers, Body::Full(Some(body))))
    }

    /// Returns the answer for the client if the provider's is not an error of the API, such as an edge's HTML page or
    /// an empty body.
    fn as_no_error(&self, status: StatusCode, mut headers: HeaderMap) -> Result<Response<Body>, ApiError> {
        let failed = self.not_understood(status);
        match status {
            // The client would take these for a mistake in its own key.
            StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => {
                Err(ApiError { may_retry: false, ..failed })
            }
            // Keep the status, and put a sentence of our own into the envelope.
            _ if status.is_client_error() => {
                let message = "The AI provider turned the call away without an error of its API.";
                let envelope = named_envelope(kind_of(status), message, self.request_id(&headers));
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                if !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) {
                    headers.insert("x-should-retry", HeaderValue::from_static("false"));
                }
                self.exchange.report.answered(status);
                Ok(respond(status, headers, Body::Full(Some(envelope.into()))))
            }
            _ => Err(failed),
        }
    }

    fn not_understood(&self, status: StatusCode) -> ApiError {
        self.about.error("provider.nonsense", &Named(status), "a provider's answer is no error of its API");
        ApiError::upstream(ErrorKind::BadGateway, NOT_UNDERSTOOD)
    }

    /// Returns the request's id for an envelope: the provider's if its headers have one, else ours.
    fn request_id<'a>(&'a self, headers: &'a HeaderMap) -> &'a str {
        let of_provider = headers.get("request-id").and_then(|value| value.to_str().ok());
        of_provider.unwrap_or(&self.about.request_id)
    }
}

/// Returns true if `status` is an error status. Any other would end a stream on Lambda, or redirect the client.
fn is_of_an_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}
