//! Log lines about an attempt.

use std::fmt::Display;

/// Error for a body or an event of more than this many bytes.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes")]
pub struct TooLarge(pub usize);

/// Fields that every log line about an attempt has.
#[derive(Debug, Clone)]
pub struct LogContext {
    /// Id of the request, as the caller sees it.
    pub request_id: String,
    /// Account of the caller.
    pub account: String,
    /// Provider of the attempt.
    pub provider: String,
}

impl LogContext {
    /// Logs an error with its cause. The cause must not contain anything that a caller or a provider sent.
    pub fn error(&self, code: &'static str, error: &dyn Display, message: &'static str) {
        let Self { request_id, account, provider } = self;
        tracing::error!(code, request.id = request_id, account.id = account, provider, %error, "{message}");
    }

    /// Logs the first field of an answer that had an impossible count, if there is one.
    pub fn absurd(&self, field: Option<&'static str>) {
        let Self { request_id, account, provider } = self;
        if let Some(field) = field {
            tracing::warn!(
                code = "metering.absurd",
                request.id = request_id,
                account.id = account,
                provider,
                field,
                "a provider reported an absurd token count"
            );
        }
    }
}

/// Returns the error with its cause, but without the URL that was called.
pub fn with_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
