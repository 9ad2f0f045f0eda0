//! Judges a provider by its answer: the fault, and the time to leave it alone. No I/O.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, StatusCode};
use levee::breaker::{Answer, Observation, SecondBucket};
use levee::clock::Timestamp;
use levee::metering::{Month, StreamError, StreamReader};

use crate::api_error::ProviderError;

/// Reason why a provider did not serve a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The provider could not be reached.
    Unreachable,
    /// The connection was lost while the request was sent, or before the answer began.
    Lost,
    /// The provider answered with an error of its own, or with something that is not its API's.
    Error,
    /// The provider said that it is overloaded.
    Overloaded,
    /// The provider did not answer in time.
    Timeout,
    /// The breaker gave the provider up while the call waited for it.
    Slow,
    /// The provider ended its answer before any of it could be passed on.
    Cut,
    /// The provider rate-limits the platform.
    Throttled,
    /// The platform's budget at the provider is spent.
    Spent,
    /// The platform's prepaid credit at the provider is used up.
    Unpaid,
    /// The provider rejects the platform's credentials, or demands payment.
    Refused,
    /// A server in front of the provider rejected the call, in words that are not the API's. The call or the provider
    /// may be at fault.
    TurnedAway,
}

impl Fault {
    /// Returns the fault's name in headers and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable | Self::Lost => "unreachable",
            Self::Error | Self::TurnedAway => "error",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Slow => "slow",
            Self::Cut => "cut",
            Self::Throttled => "throttled",
            Self::Spent | Self::Unpaid => "spent",
            Self::Refused => "refused",
        }
    }

    /// Returns true if the same provider may serve the same call a moment later.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Unreachable | Self::Lost | Self::Error | Self::Overloaded | Self::Cut)
    }

    /// Returns the evidence for the breaker; `None` if the fault says nothing about the provider's health.
    pub fn seen(self) -> Option<Observation> {
        let (counts, answer) = match self {
            Self::Throttled => (SecondBucket { throttled: 1, ..SecondBucket::default() }, Some(Answer::Refused)),
            Self::Spent | Self::Unpaid => (SecondBucket::default(), None),
            Self::Refused | Self::TurnedAway => return None,
            Self::Overloaded => (SecondBucket { bad: 1, ..SecondBucket::default() }, Some(Answer::Refused)),
            Self::Unreachable | Self::Lost | Self::Error | Self::Timeout | Self::Slow | Self::Cut => {
                (SecondBucket { bad: 1, ..SecondBucket::default() }, Some(Answer::Failed))
            }
        };
        Some(Observation { counts, answer, ..Observation::default() })
    }

    /// Returns true if the call itself may be at fault. A second provider that fails in the same way confirms it.
    pub const fn may_be_the_calls_own(self) -> bool {
        matches!(self, Self::Lost | Self::Error | Self::Cut | Self::Timeout)
    }
}

/// A fault, and the moment at which the provider may be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The fault.
    pub fault: Fault,
    /// The moment until which the provider is to be left alone, if it named one.
    pub until: Option<Timestamp>,
}

impl From<Fault> for Verdict {
    fn from(fault: Fault) -> Self {
        Self { fault, until: None }
    }
}

impl Verdict {
    /// Returns the evidence for the breaker, with the moment until which the provider is to be left alone.
    pub fn seen(self) -> Option<Observation> {
        let seen = self.fault.seen()?;
        Some(match self.fault {
            Fault::Spent | Fault::Unpaid => Observation { spent_until: self.until, ..seen },
            Fault::Unreachable
            | Fault::Lost
            | Fault::Error
            | Fault::Overloaded
            | Fault::Timeout
            | Fault::Slow
            | Fault::Cut
            | Fault::Throttled
            | Fault::Refused
            | Fault::TurnedAway => Observation { retry_after: self.until, ..seen },
        })
    }
}

/// Start of a month in which a spent budget without a sensible date may be the budget of the month before.
const MONTHS_FIRST_HOURS: Duration = Duration::from_secs(6 * 3600);
/// Pause of a provider whose budget or credit may be available again at any moment.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// Judges an answer with an error status. Returns `None` if the caller made a mistake.
pub fn of_failure(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Option<Verdict> {
    // Errors about the platform's account come first: their status can be that of a caller's mistake.
    let error = ProviderError::parse(body);
    if let Some(ProviderError { message, code, .. }) = &error
        && let Some(verdict) = of_account(status.as_u16(), message, code.as_deref().unwrap_or_default(), now)
    {
        return Some(verdict);
    }
    let fault = match status.as_u16() {
        _ if error.as_ref().is_some_and(ProviderError::is_about_the_account) => Fault::Refused,
        401..=403 if error.is_some() => Fault::Refused,
        429 => Fault::Throttled,
        529 => Fault::Overloaded,
        // Redirects are not followed, and a status outside the five classes means nothing.
        408 | 500.. | ..=399 => Fault::Error,
        _ if error.is_some() => return None,
        // Not an error of the API. The caller cannot correct it, but may have caused it.
        _ => Fault::TurnedAway,
    };
    Some(Verdict { fault, until: retry_after(headers, now) })
}

/// Judges the `error` event that ended the stream of `reader`. Returns `None` if the caller made a mistake.
pub fn of_stream_error(error: StreamError, reader: &StreamReader, now: Timestamp) -> Option<Verdict> {
    let (status, fault) = match error {
        StreamError::Overloaded => (529, Some(Fault::Overloaded)),
        StreamError::RateLimit => (429, Some(Fault::Throttled)),
        StreamError::Credentials => (403, Some(Fault::Refused)),
        StreamError::Other => (500, Some(Fault::Error)),
        StreamError::InvalidRequest => (400, None),
    };
    of_account(status, reader.error_sentence(), reader.error_code(), now).or(fault.map(Verdict::from))
}

/// Longest pause that a provider may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(366 * 86_400);

/// Returns the moment from which the provider wants to be asked again, by `retry-after-ms`, else by `retry-after` in
/// seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let number = |name| text(name)?.parse::<f64>().ok();
    let after = |secs| Some(now.plus(Duration::try_from_secs_f64(secs).ok()?.min(LONGEST_RETRY_AFTER)));
    if let Some(millis) = number(HeaderName::from_static("retry-after-ms")) {
        return after(millis / 1000.0);
    }
    if let Some(secs) = number(RETRY_AFTER) {
        return after(secs);
    }
    // Not a number, so it should be a date.
    let date = httpdate::parse_http_date(text(RETRY_AFTER)?).ok()?;
    let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_secs(date.as_secs()).min(now.plus(LONGEST_RETRY_AFTER)))
}

/// Judges an error about the platform's account: its budget or its credit. Returns `None` for any other error.
fn of_account(status: u16, message: &str, code: &str, now: Timestamp) -> Option<Verdict> {
    let verdict = |fault, until| Some(Verdict { fault, until: Some(until) });
    match status {
        400.. if message.trim() == DISABLED => Some(Fault::Refused.into()),
        400.. if is_unpaid(message.trim()) => verdict(Fault::Unpaid, now.plus(ASK_AGAIN)),
        400.. => spent_until(status, message, code, now).and_then(|until| verdict(Fault::Spent, until)),
        _ => None,
    }
}

/// The whole sentence of a provider that has closed the platform's account. A longer one may repeat a caller's words.
const DISABLED: &str = "This organization has been disabled.";

/// Returns true if `message` is the error for an account without credit: "Your credit balance is too low to access the
/// Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."
///
/// A 400 may repeat a caller's text, and a caller must not be able to pause a provider for everyone. So the message
/// must begin with this sentence, and only one sentence about the billing page may follow.
fn is_unpaid(message: &str) -> bool {
    // Split the sentence into its fixed parts, the product's name and the advice.
    let rest = message.strip_prefix("Your credit balance is too low to access the ");
    let Some((product, advice)) = rest.and_then(|rest| rest.split_once(" API.")) else { return false };
    let is_plain = |text: &str| {
        text.len() <= LONGEST_ADVICE
            && text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b' ' | b'&' | b','))
    };
    let advice_rest = advice.strip_prefix(" Please go to Plans & Billing").and_then(|rest| rest.strip_suffix('.'));
    matches!(product, "Anthropic" | "Claude") && (advice.is_empty() || advice_rest.is_some_and(is_plain))
}

/// Longest variable part of the sentence about the billing page, in bytes.
const LONGEST_ADVICE: usize = 80;

/// Returns the moment until which the platform's budget is spent, if the answer says that it is.
///
/// A cap on spending answers 429 with `error.details.error_code` `enforced_spend_limit_reached`. A limit that the
/// customer has set answers 400 with "You have reached your specified API usage limits. You will regain access on
/// 2026-12-01 at 00:00 UTC." Without a date, the budget is spent until the month ends. A date that has passed by our
/// clock, and a missing date in the first six hours of a month, mean that the limit may be lifted at any moment.
fn spent_until(status: u16, message: &str, code: &str, now: Timestamp) -> Option<Timestamp> {
    // Look for the code, or for the sentence with its date.
    let is_code = code == "enforced_spend_limit_reached";
    let told =
        message.split_once("regain access on ").and_then(|(before, rest)| Some((before, rest.split_at_checked(10)?)));
    let date = told.and_then(|(_, (date, _))| Timestamp::of_date(date));
    // A 400 may repeat a caller's text, so its message must begin and end like the sentence.
    let is_whole = told.is_some_and(|(before, (_, after))| {
        before.starts_with("You have reached") && after.trim_end_matches('.') == " at 00:00 UTC"
    });
    let is_told = date.is_some() && (is_whole || status == 429);
    if !is_code && !is_told {
        return None;
    }
    let month_ends = Month::from_timestamp(now).0.ends_at();
    let is_new_month = Month::from_timestamp(now.minus(MONTHS_FIRST_HOURS)).0 != Month::from_timestamp(now).0;
    // Choose the end by the date, else by the month.
    Some(match date {
        Some(date) if date <= now => now.plus(ASK_AGAIN),
        Some(date) if date <= month_ends.plus(Duration::from_secs(86_400)) => date,
        None if is_new_month => now.plus(ASK_AGAIN),
        // A date more than a day after the month's end makes no sense and is ignored.
        _ => month_ends,
    })
}

#[cfg(test)]
mod tests;
