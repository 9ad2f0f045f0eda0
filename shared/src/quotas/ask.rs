//! A customer's request as it arrives: what may be asked for, and how it is written.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::accounts::form;
use crate::clock::Timestamp;
use crate::limits::{LARGEST_LIMIT, is_policy_name};

/// Longest id of a refused request, and longest idempotency key, bytes.
const LONGEST_TOKEN: usize = 128;
/// Latest end of a grant, in days from now.
const LATEST_END_DAYS: u64 = 366;
/// Largest body, bytes.
const LARGEST_BODY: usize = 8 * 1024;
const DAY_SECS: u64 = 24 * 3600;

/// Request for a higher limit, as a customer writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaAsk {
    /// Name of the policy.
    pub policy: String,
    /// Requested limit; 1 to 1,000,000,000.
    pub limit: u64,
    /// Reason, 1 to 500 characters.
    pub reason: String,
    /// Requested end, Unix seconds; `None` for no end.
    pub until: Option<u64>,
    /// Id of the refused request that led to this one.
    pub refused_request_id: Option<String>,
}

/// Error for a request that cannot be stored. Its message is public and says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AskError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskFields {
    policy: String,
    limit: u64,
    reason: String,
    #[serde(default)]
    until: Option<String>,
    #[serde(default)]
    refused_request_id: Option<String>,
}

impl QuotaAsk {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// [`AskError`] that names the field and what it may be.
    pub fn from_json(body: &[u8], now: Timestamp) -> Result<Self, AskError> {
        if body.len() > LARGEST_BODY {
            return Err(AskError(format!("The body may have at most {LARGEST_BODY} bytes.")));
        }
        let AskFields { policy, limit, reason, until, refused_request_id } = object(body).map_err(|error| {
            AskError(format!(
                "The body is a JSON object with the fields 'policy', 'limit' and 'reason', and optionally 'until' \
                     and 'refused_request_id': {error}."
            ))
        })?;
        Self::new(&policy, limit, &reason, until.as_deref(), refused_request_id.as_deref(), now)
    }

    /// Checks the parts of a request. Empty optional parts count as absent.
    ///
    /// # Errors
    /// [`AskError`] that names the part and what it may be.
    pub fn new(
        policy: &str,
        limit: u64,
        reason: &str,
        until: Option<&str>,
        refused_request_id: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, AskError> {
        let wrong = |sentence: String| Err(AskError(sentence));
        // Check the policy and the limit. If the policy exists is checked against the caller's limits.
        if !is_policy_name(policy) {
            return wrong("'policy' is the name of a limit, as GET /v1/quota lists them.".to_owned());
        }
        if !(1..=LARGEST_LIMIT).contains(&limit) {
            return wrong("'limit' is 1 to 1,000,000,000.".to_owned());
        }
        // Check the reason, which admins read.
        let Ok(reason) = form::note(reason) else {
            let sentence = "'reason' has 1 to 500 characters, none of them a control character or invisible.";
            return wrong(sentence.to_owned());
        };
        // Check the end.
        let until = match until.map(str::trim).filter(|until| !until.is_empty()) {
            None => None,
            Some(text) => Some(end(text, now)?),
        };
        // Check the refused request's id.
        let refused_request_id = refused_request_id.map(str::trim).filter(|id| !id.is_empty());
        if refused_request_id.is_some_and(|id| !is_token(id)) {
            return wrong("'refused_request_id' is the request id of a refusal, as in x-levee-request-id.".to_owned());
        }
        Ok(Self {
            policy: policy.to_owned(),
            limit,
            reason: reason.to_owned(),
            until,
            refused_request_id: refused_request_id.map(str::to_owned),
        })
    }

    /// Returns a digest of all parts, by which a repeated request is recognised.
    pub fn digest(&self) -> String {
        let Self { policy, limit, reason, until, refused_request_id } = self;
        hex(&serde_json::json!([policy, limit, reason, until, refused_request_id]).to_string())
    }
}

/// Parses a JSON object. The fields of a struct would be read from an array as well.
fn object<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body)?;
    serde_json::from_value(fields.into())
}

/// Parses an end: an RFC 3339 moment, or a day, of which the grant includes the whole.
fn end(text: &str, now: Timestamp) -> Result<u64, AskError> {
    let moment = match Timestamp::of_date(text) {
        Some(midnight) => Some(midnight.as_secs() + DAY_SECS),
        None => OffsetDateTime::parse(text, &Rfc3339).ok().and_then(|it| u64::try_from(it.unix_timestamp()).ok()),
    };
    let Some(moment) = moment else {
        return Err(AskError(
            "'until' is a moment such as 2026-12-31T23:00:00Z, or a day such as 2026-12-31.".to_owned(),
        ));
    };
    if moment <= now.as_secs() || moment > now.as_secs() + (LATEST_END_DAYS + 1) * DAY_SECS {
        return Err(AskError(format!("'until' is in the future, and at most {LATEST_END_DAYS} days from now.")));
    }
    Ok(moment)
}

/// Client's key of a request, under which a repetition returns the first answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Parses the value of the header `Idempotency-Key`.
    ///
    /// # Errors
    /// [`AskError`] if it is missing, or not 1 to 128 visible ASCII characters.
    pub fn parse(value: Option<&str>) -> Result<Self, AskError> {
        let sentence = "Send a header 'Idempotency-Key' of 1 to 128 visible ASCII characters, such as a random UUID: a \
                        repetition with the same key makes no second request.";
        match value.map(str::trim).filter(|key| is_token(key)) {
            Some(key) => Ok(Self(key.to_owned())),
            None => Err(AskError(sentence.to_owned())),
        }
    }

    /// Returns the digest under which it is stored.
    pub(super) fn digest(&self) -> String {
        hex(&self.0)
    }
}

fn is_token(text: &str) -> bool {
    (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_796_000_000); // 2026-11-30T00:53:20Z

    #[test]
    fn a_request_is_read_with_its_end_and_the_refusal_that_led_to_it() {
        let body = br#"{"policy":"account","limit":1200,"reason":" Launch day ","until":"2026-12-31",
            "refused_request_id":"Zx9="}"#;
        let ask = QuotaAsk::from_json(body, NOW).unwrap();
        assert_eq!((ask.policy.as_str(), ask.limit, ask.reason.as_str()), ("account", 1_200, "Launch day"));
        assert_eq!(ask.until, Some(1_798_761_600));
        assert_eq!(ask.refused_request_id.as_deref(), Some("Zx9="));
        let moment = QuotaAsk { until: Some(1_796_000_060), ..ask.clone() };
        let read = QuotaAsk::new("account", 1_200, "Launch day", Some("2026-11-30T01:54:20+01:00"), Some("Zx9="), NOW);
        assert_eq!(read, Ok(moment.clone()));
        assert_ne!(ask.digest(), moment.digest());
    }

    #[rstest]
    #[case("", "JSON object")]
    #[case("[]", "JSON object")]
    #[case(r#"["account",1200,"x"]"#, "JSON object")]
    #[case(r#"{"policy":"account","limit":1200}"#, "reason")]
    #[case(r#"{"policy":"account","limit":-1,"reason":"x"}"#, "JSON object")]
    #[case(r#"{"policy":"account","limit":1.5,"reason":"x"}"#, "JSON object")]
    #[case(r#"{"policy":"account","limit":"2","reason":"x"}"#, "JSON object")]
    #[case(r#"{"policy":"account","limit":0,"reason":"x"}"#, "'limit' is")]
    #[case(r#"{"policy":"account","limit":1000000001,"reason":"x"}"#, "'limit' is")]
    #[case(r#"{"policy":"Account","limit":2,"reason":"x"}"#, "'policy' is")]
    #[case(r#"{"policy":"account","limit":2,"reason":"  "}"#, "'reason' has")]
    #[case("{\"policy\":\"account\",\"limit\":2,\"reason\":\"a\u{202e}b\"}", "'reason' has")]
    #[case(r#"{"policy":"account","limit":2,"reason":"x","until":"tomorrow"}"#, "'until' is")]
    #[case(r#"{"policy":"account","limit":2,"reason":"x","until":"2026-11-29"}"#, "future")]
    #[case(r#"{"policy":"account","limit":2,"reason":"x","until":"2028-01-01"}"#, "366 days")]
    #[case(r#"{"policy":"account","limit":2,"reason":"x","refused_request_id":"a b"}"#, "'refused_request_id' is")]
    #[case(r#"{"policy":"account","limit":2,"reason":"x","account":"globex"}"#, "account")]
    fn what_is_no_request_is_refused_with_what_is_allowed(#[case] body: &str, #[case] said: &str) {
        let error = QuotaAsk::from_json(body.as_bytes(), NOW).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn bodies_and_reasons_are_bounded() {
        let body = |reason: usize| format!(r#"{{"policy":"a","limit":2,"reason":"{}"}}"#, "x".repeat(reason));
        assert!(QuotaAsk::from_json(body(500).as_bytes(), NOW).is_ok());
        assert!(QuotaAsk::from_json(body(501).as_bytes(), NOW).is_err());
        assert!(QuotaAsk::from_json(body(9_000).as_bytes(), NOW).unwrap_err().to_string().contains("8192"));
    }

    #[test]
    fn an_idempotency_key_is_needed_and_bounded() {
        assert!(IdempotencyKey::parse(Some("8e1f")).is_ok());
        for value in [None, Some(""), Some("a b"), Some("ü"), Some("x".repeat(129).as_str())] {
            assert!(IdempotencyKey::parse(value).is_err(), "{value:?}");
        }
    }
}
