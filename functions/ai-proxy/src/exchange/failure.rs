//! An answer that is no success: another provider's turn, or what the client gets.

use std::fmt::Display;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use lambda_http::Response;
use levee::http::anthropic::{ErrorKind, named_envelope};
use levee::http::status::Named;
use levee::metering::TokenState;

use super::attempt::{Answered, Attempt, Missed, NOT_UNDERSTOOD, respond};
use crate::answer::{Body, Failed};
use crate::api_error::{ApiError, kind_of};
use crate::outcome::{Fault, of_failure};

impl Attempt<'_> {
    /// Judges an answer that is no success: the client gets it where the caller has to mend something, else it is another
    /// provider's turn.
    pub(super) fn failure(&mut self, answered: Answered, state: Option<TokenState>) -> Result<Response<Body>, Missed> {
        let Answered { status, headers, body } = answered;
        let verdict = of_failure(status, &headers, &body, self.exchange.state.clock.now());
        let headers = self.headers(&headers, state);
        let about_the_platform = verdict.and_then(|verdict| self.about_the_platform(verdict.fault, &Named(status)));
        let answer = match (about_the_platform, ApiError::parse(&body)) {
            (Some(failed), _) => Err(failed),
            (None, Some(error)) => self.as_an_error(status, headers, body, &error),
            (None, None) => self.as_no_error(status, headers),
        };
        match (verdict, answer) {
            (None, Ok(response)) => {
                if let Some(watch) = &self.watch {
                    watch.said_nothing();
                }
                Ok(response)
            }
            // What cannot be understood has a verdict.
            (verdict, answer) => Err(self.missed(verdict.unwrap_or(Fault::Error.into()), answer)),
        }
    }

    /// Returns the error for a client where `fault` is about the platform's account at the provider, and records it; `None` for
    /// every other fault.
    pub(super) fn about_the_platform(&self, fault: Fault, cause: &dyn Display) -> Option<Failed> {
        match fault {
            Fault::Spent => Some(self.without_budget("provider.limited", cause, "the platform's budget is spent")),
            Fault::Unpaid => Some(self.without_budget("provider.unpaid", cause, "the platform's credit is used up")),
            Fault::Refused => Some(self.without_credentials(cause)),
            _ => None,
        }
    }

    /// Returns the error for a client where the platform's budget or credit is used up: the provider's words are about a bill
    /// that is not the client's.
    fn without_budget(&self, code: &'static str, cause: &dyn Display, message: &'static str) -> Failed {
        self.about.error(code, cause, message);
        Failed::upstream(ErrorKind::Overloaded, "The AI provider serves no calls of the platform at the moment.")
    }

    /// Returns the error for a client where the platform's credentials are refused: the provider's own would send the client
    /// looking for a mistake in a key that is fine.
    fn without_credentials(&self, cause: &dyn Display) -> Failed {
        self.about.error("provider.refused", cause, "a provider refuses the platform's credentials");
        let message = "The AI provider refuses the platform's credentials.";
        Failed { may_retry: false, ..Failed::upstream(ErrorKind::BadGateway, message) }
    }

    /// Returns an error of the API as the client gets it: byte for byte, or in the full envelope where it came without. It is
    /// JSON, whatever its head says.
    fn as_an_error(
        &self,
        status: StatusCode,
        mut headers: HeaderMap,
        body: Bytes,
        error: &ApiError,
    ) -> Result<Response<Body>, Failed> {
        if !is_of_an_error(status) {
            return Err(self.not_understood(status));
        }
        if status.is_server_error() {
            self.about.error("provider.failed", &Named(status), "a provider failed");
        } else if status == StatusCode::TOO_MANY_REQUESTS {
            self.about.error("provider.limited", &Named(status), "a provider limits the platform");
        }
        self.exchange.report.answered(status);
        let body = if error.is_full { body } else { error.envelope(self.request_id(&headers)).into() };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(respond(status, headers, Body::Full(Some(body))))
    }

    /// Returns the answer for a client where the provider's is no error of the API: a page of an edge, or nothing at all.
    fn as_no_error(&self, status: StatusCode, mut headers: HeaderMap) -> Result<Response<Body>, Failed> {
        let failed = self.not_understood(status);
        match status {
            // They would be taken for a mistake in the client's own key.
            StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => {
                Err(Failed { may_retry: false, ..failed })
            }
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

    fn not_understood(&self, status: StatusCode) -> Failed {
        self.about.error("provider.nonsense", &Named(status), "a provider's answer is no error of its API");
        Failed::upstream(ErrorKind::BadGateway, NOT_UNDERSTOOD)
    }

    /// Returns the request's id for an envelope: the provider's, where its head has one.
    fn request_id<'a>(&'a self, headers: &'a HeaderMap) -> &'a str {
        let of_provider = headers.get("request-id").and_then(|value| value.to_str().ok());
        of_provider.unwrap_or(&self.about.request_id)
    }
}

/// Returns whether `status` is one of an error. Others end a stream on Lambda, or ask a client to go elsewhere.
fn is_of_an_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}
