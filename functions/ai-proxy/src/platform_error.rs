//! Errors about the platform's own account at a provider: its credentials, budget, credit and rate limits. Operators are told
//! of them. Clients get a neutral sentence instead of the provider's, which names a bill, an organization or figures that are
//! not theirs. No I/O.

use levee::clock::Timestamp;
use levee::http::anthropic::{ErrorKind, stream_event};
use levee::metering::{StreamError, StreamReader};

use crate::outcome::{Fault, of_stream_error};
use crate::platform_alert::Trouble;

/// An error about the platform's account, as it is logged, alerted and told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlatformError {
    /// The code in the log.
    pub code: &'static str,
    /// The sentence in the log.
    pub logged: &'static str,
    /// The kind of error for the client.
    pub kind: ErrorKind,
    /// The sentence for the client.
    pub message: &'static str,
    /// True if the client's SDK may retry the call.
    pub may_retry: bool,
    /// The alert for operators; `None` if the error ends by itself.
    pub trouble: Option<Trouble>,
}

const SPENT: PlatformError = PlatformError {
    code: "provider.limited",
    logged: "the platform's budget is spent",
    kind: ErrorKind::Overloaded,
    message: "The AI provider serves no calls of the platform at the moment.",
    may_retry: true,
    trouble: None,
};

const UNPAID: PlatformError = PlatformError {
    code: Trouble::Credit.code(),
    logged: "the platform's credit is used up",
    trouble: Some(Trouble::Credit),
    ..SPENT
};

const REFUSED: PlatformError = PlatformError {
    code: Trouble::Credentials.code(),
    logged: "a provider refuses the platform's credentials",
    kind: ErrorKind::BadGateway,
    message: "The AI provider refuses the platform's credentials.",
    may_retry: false,
    trouble: Some(Trouble::Credentials),
};

impl PlatformError {
    /// Returns the error that `fault` is; `None` if the fault is not about the platform's account.
    pub fn from_fault(fault: Fault) -> Option<Self> {
        match fault {
            Fault::Spent => Some(SPENT),
            Fault::Unpaid => Some(UNPAID),
            Fault::Refused => Some(REFUSED),
            Fault::Unreachable
            | Fault::Lost
            | Fault::Error
            | Fault::Overloaded
            | Fault::Timeout
            | Fault::Slow
            | Fault::Cut
            | Fault::Throttled
            | Fault::TurnedAway => None,
        }
    }
}

/// The sentence for clients in place of a rate limit's that names the platform.
pub const LIMITED: &str = "The AI provider limits the platform's calls at the moment.";

/// Returns true if the `message` of a rate limit or a server error names the platform's account: its organization or
/// workspace, mostly with an id or a figure.
pub fn names_the_account(message: &str) -> bool {
    let message = message.to_lowercase();
    ["organization", "organisation", "workspace", "your account", "org_", "org-"]
        .iter()
        .any(|word| message.contains(word))
}

/// Returns the event that a client gets in place of the `error` event that ended the stream of `reader`; `None` if the
/// provider's own event may pass.
pub fn event_instead(reader: &StreamReader, now: Timestamp, request_id: &str) -> Option<String> {
    // Judge the provider's own event.
    let error = reader.progress().error?;
    let fault = of_stream_error(error, reader, now).map(|verdict| verdict.fault);
    // Faults of the account have a sentence of their own. A caller's mistake passes, and so does what names no account.
    let (kind, message) = match fault.and_then(PlatformError::from_fault) {
        Some(platform) => (platform.kind, platform.message),
        None if error == StreamError::InvalidRequest || !names_the_account(reader.error_sentence()) => return None,
        None if error == StreamError::RateLimit => (ErrorKind::ProviderLimit, LIMITED),
        None => (ErrorKind::BadGateway, "The AI provider ended the stream with an error."),
    };
    Some(stream_event(kind, message, request_id))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);

    #[rstest]
    #[case::credentials("authentication_error", "invalid x-api-key of organization acme", Some("api_error"))]
    #[case::bill("billing_error", "Your invoice is past due.", Some("api_error"))]
    #[case::credit(
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API.",
        Some("overloaded_error")
    )]
    #[case::rate_limit(
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 400,000 input tokens per minute.",
        Some("rate_limit_error")
    )]
    #[case::account(
        "rate_limit_error",
        "This request would exceed your account's rate limit. Please try again later.",
        Some("rate_limit_error")
    )]
    #[case::server("api_error", "Your workspace wrkspc_1 is being moved.", Some("api_error"))]
    #[case::another_rate_limit("rate_limit_error", "Extra usage is required for long context requests.", None)]
    #[case::overloaded("overloaded_error", "Overloaded", None)]
    #[case::callers_own("invalid_request_error", "messages.0: 'organization' is not a role", None)]
    fn an_event_about_the_platforms_account_is_replaced(
        #[case] kind: &str,
        #[case] message: &str,
        #[case] expected: Option<&str>,
    ) {
        let event = serde_json::json!({ "type": "error", "error": { "type": kind, "message": message } });
        let mut reader = StreamReader::default();
        reader.feed(format!("event: error\ndata: {event}\n\n").as_bytes());
        let instead = event_instead(&reader, NOW, "r-1");
        match (instead, expected) {
            (None, None) => {}
            (Some(instead), Some(expected)) => {
                assert!(instead.contains(&format!("\"type\":\"{expected}\"")), "{instead}");
                assert!(!instead.contains(message), "{instead}");
            }
            (instead, _) => panic!("{instead:?}"),
        }
    }
}
