//! How log lines about an attempt read.

use std::fmt::Display;

/// More than so many bytes.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes")]
pub struct TooLarge(pub usize);

/// What every log line about an attempt names.
#[derive(Debug, Clone)]
pub struct About {
    /// The id by which the request is named to its caller.
    pub request_id: String,
    /// Who calls.
    pub account: String,
    /// Who is called.
    pub provider: String,
}

impl About {
    /// Logs what went wrong. `error` is the cause; it must not hold what a caller or a provider sent.
    pub fn error(&self, code: &'static str, error: &dyn Display, message: &'static str) {
        let Self { request_id, account, provider } = self;
        tracing::error!(code, request.id = request_id, account.id = account, provider, %error, "{message}");
    }

    /// Logs, once an answer, the first field in which the provider reported what can be no count, where there is one.
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

/// The error with its cause, without the address that was called.
pub fn with_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
