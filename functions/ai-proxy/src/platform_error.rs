//! Errors about the platform's own account at a provider: its credentials, budget and credit. Operators are told of
//! them. Clients get a neutral sentence instead of the provider's, which names a bill, an organization or figures that
//! are not theirs. No I/O.

use levee::clock::Timestamp;
use levee::http::anthropic::{ErrorKind, named_envelope, stream_event};
use levee::metering::{StreamError, StreamReader};

use crate::outcome::{Fault, of_stream_error};
use crate::platform_alert::Trouble;
use crate::public_error::{LIMITED, REJECTED, public_kind, public_sentence};

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

/// The sentence for clients in place of an error's of a stream that has none, or one that names the platform.
const FAILED: &str = "The AI provider ended the stream with an error.";

/// Returns the event that a client gets in place of the `error` event that ended the stream of `reader`; `None` if the
/// stream has none. It has the kind and the sentence of the provider's event, if a client may see them, and nothing
/// else of it.
pub fn event_instead(reader: &StreamReader, now: Timestamp, request_id: &str) -> Option<String> {
    let error = reader.progress().error?;
    // A fault of the account has a kind and a sentence of its own.
    let fault = of_stream_error(error, reader, now).map(|verdict| verdict.fault);
    if let Some(platform) = fault.and_then(PlatformError::from_fault) {
        return Some(stream_event(platform.kind, platform.message, request_id));
    }
    // Any other one keeps its own, unless the sentence names the account.
    let (written, is_about_call) = (reader.error_sentence(), error == StreamError::InvalidRequest);
    let sentence = match public_sentence(written, is_about_call) {
        Some(sentence) if !sentence.is_empty() => sentence,
        _ if error == StreamError::RateLimit => LIMITED.into(),
        None if is_about_call => REJECTED.into(),
        _ => FAILED.into(),
    };
    let envelope = named_envelope(public_kind(reader.error_kind(), error.name()), &sentence, request_id);
    Some(format!("event: error\ndata: {envelope}\n\n"))
}

#[cfg(test)]
mod tests;
