//! Failures of a request. This is the only place that turns them into a status, a code and a public sentence.

use http::StatusCode;

use crate::http::Problem;
use crate::http::usage::TooLong;

/// Failure of a request.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Unknown page or thing.
    #[error("there is no such thing")]
    NotFound,
    /// Method that the path does not take, with the methods that it takes.
    #[error("the path takes {}", .0.join(", "))]
    Method(Vec<&'static str>),
    /// No session, or one that has ended.
    #[error("not signed in")]
    SignedOut,
    /// User without the permission. The sentence is public.
    #[error("{0}")]
    Permission(&'static str),
    /// Refusal by the authorizer. The sentence is public.
    #[error("{0}")]
    Forbidden(String),
    /// Change that does not come from a page of this site, with the site's name.
    #[error("from another site")]
    CrossSite(&'static str),
    /// Request without the token of its session or sign-in form.
    #[error("without the token of its form")]
    Token,
    /// Invalid input. The sentence is public.
    #[error("{0}")]
    Invalid(String),
    /// Answer that would be too long.
    #[error("{0}")]
    TooLong(#[from] TooLong),
    /// Body that is too large.
    #[error("the body is too large")]
    TooLarge,
    /// Body that is no form.
    #[error("the body is no form")]
    NotAForm,
    /// Used-up limit, with the seconds until it resets. The sentence is public.
    #[error("{0}")]
    Limited(String, u64),
    /// Store that cannot be used, with the code that names it in logs and the error.
    #[error("{1}")]
    Unavailable(&'static str, String),
    /// Session that has ended, although the audit could not be written, with the code for logs and the error.
    #[error("{1}")]
    SignOutUnwritten(&'static str, String),
}

impl WebError {
    /// Returns the problem that the caller gets.
    pub fn problem(&self) -> Problem {
        match self {
            Self::NotFound => Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here."),
            Self::Method(methods) => {
                let detail = format!("Use {}.", methods.join(" or "));
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
            }
            Self::SignedOut => Problem::new(StatusCode::UNAUTHORIZED, "signed_out", "Sign in first."),
            Self::Permission(sentence) => Problem::new(StatusCode::FORBIDDEN, "role", *sentence),
            Self::Forbidden(sentence) => Problem::new(StatusCode::FORBIDDEN, "forbidden", sentence),
            Self::CrossSite(site) => {
                let detail = format!(
                    "This did not come from a page of this {site}, and nothing was changed. A script has to send the \
                     {site}'s own address in Origin."
                );
                Problem::new(StatusCode::FORBIDDEN, "cross_site", detail)
            }
            Self::Token => {
                let detail = "The form was too old or was not made for you, and nothing was changed. Go back, load the \
                              page again, and send it once more.";
                Problem::new(StatusCode::FORBIDDEN, "form_token", detail)
            }
            Self::Invalid(sentence) => Problem::new(StatusCode::BAD_REQUEST, "invalid_request", sentence),
            Self::TooLong(too_long) => too_long.problem(),
            Self::TooLarge => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "A form may have 8 KB."),
            Self::NotAForm => {
                let detail = "Send application/x-www-form-urlencoded.";
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
            }
            Self::Limited(sentence, secs) => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", sentence).retry_after(*secs)
            }
            Self::Unavailable(..) => {
                let detail = "What this needs cannot be reached right now. Nothing was changed. Try again in a few \
                              seconds.";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail).retry_after(5)
            }
            Self::SignOutUnwritten(..) => {
                let detail = "You are signed out, but that could not be written into the audit.";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit_unwritten", detail)
            }
        }
    }
}
