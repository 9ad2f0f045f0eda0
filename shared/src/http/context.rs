//! The authorizer context: the authorizer's findings about a request, passed to the function behind it or to the
//! gateway response that refuses it.
//!
//! API Gateway passes a flat map of strings. These names are used by template.yaml's gateway responses
//! (`context.authorizer.retryAfter`) and by [`super::admit()`].

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use super::problem::LONGEST_SDK_WAIT_SECS;
use crate::accounts::terms::or_default;
use crate::accounts::{IntegrationKind, Terms};
use crate::clock::Timestamp;
use crate::limits::{Algorithm, Class, Refusal, Route, headers::LimitHeaders};

/// Context of a request that the gateway lets through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizerContext {
    /// Id of the request, as its caller sees it. The gateway's other id can be chosen by the client.
    pub request_id: String,
    /// Caller; absent on routes that need no key.
    #[serde(flatten)]
    pub caller: Option<Caller>,
    /// Instruction for the function.
    pub verdict: Verdict,
    /// Public sentence that gives the reason for a verdict other than [`Verdict::Allow`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds to wait, if the verdict is [`Verdict::Limited`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
    /// Redis keys under which the call is in flight, separated by spaces; absent if there are none. The function that
    /// serves the call releases them under [`AuthorizerContext::request_id`] when the call is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<String>,
    /// Charges of the windows for the call, in the text form of [`Charged`](crate::limits::Charged); absent if there
    /// were none, or too many to list. The function refunds them if the platform fails the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<String>,
    /// Version of the catalogs that was published last, 0 if none was lately. Absent on routes that read no catalog,
    /// and if Redis could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogs_version: Option<String>,
    /// Header values to copy to the response.
    #[serde(flatten)]
    pub limits: LimitHeaders,
}

impl AuthorizerContext {
    /// Parses the context from its `fields`.
    ///
    /// # Errors
    /// A field is missing or malformed. A caller that is present in any part but cannot be read is an error, and is not
    /// treated as a request without a caller.
    pub fn parse(fields: Map<String, Value>) -> Result<Self, serde_json::Error> {
        // Parse the caller separately: a flattened option would turn a malformed caller into none.
        let has_caller = ["account", "integration", "key"].iter().any(|name| fields.contains_key(*name));
        let fields = Value::Object(fields);
        let caller = if has_caller { Some(serde_json::from_value(fields.clone())?) } else { None };
        Ok(Self { caller, ..serde_json::from_value(fields)? })
    }
}

/// Instruction for the function behind the authorizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Serve the request.
    Allow,
    /// Answer 400: the request makes two contradictory statements about its caller.
    BadRequest,
    /// Answer 403: the key is known, but lacks permission.
    Forbidden,
    /// Answer 429 as a page: a limit is used up on a route whose responses are HTML.
    Limited,
}

/// Authenticated caller of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Id of the account.
    #[serde(deserialize_with = "filled")]
    pub account: String,
    /// Id of the integration.
    #[serde(deserialize_with = "filled")]
    pub integration: String,
    /// Kind of the integration.
    // Missing in contexts from an authorizer of an earlier deployment.
    #[serde(rename = "integrationKind", default, deserialize_with = "or_default")]
    pub kind: IntegrationKind,
    /// Public id of the key.
    #[serde(deserialize_with = "filled")]
    pub key: String,
    /// Terms of the account, as JSON in a string, because a context cannot nest values.
    #[serde(default, with = "json_text", skip_serializing_if = "is_default")]
    pub terms: Terms,
}

/// Reads a text that is not empty. Calls of a caller without an id would be counted together.
fn filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Err(de::Error::custom("an id is empty")) } else { Ok(text) }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Serializes a value as JSON within a string.
mod json_text {
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(value).map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Method and path of requests for a higher limit.
const INCREASE_API: &str = "POST /v1/quota/requests";

/// Values for the ACCESS_DENIED gateway response. Every value is always present, because API Gateway does not document
/// the rendering of an absent one. No value holds a quote, because the template inserts the values into JSON
/// unescaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalContext {
    /// `type` of the body.
    pub problem_type: String,
    /// Stable machine-readable reason.
    pub code: String,
    /// Public sentence that names the limit and the time of the next retry.
    pub detail: String,
    /// Name of the policy to wait for.
    pub policy: String,
    /// PolicyScope of the limit, such as `account`; `platform` for the pool and an account's share of it.
    pub scope: String,
    /// Calls per window as a JSON number, or `null` for the pool and an account's share of it.
    pub limit: String,
    /// Length of the window in seconds, or `null` for calls in flight, for the pool and for an account's share of it.
    pub window_seconds: String,
    /// Time of the reset, RFC 3339.
    pub resets_at: String,
    /// URL of a page at which to ask for a higher limit. Empty: there is no such page.
    pub increase_url: String,
    /// Method and path at which a client asks for a higher limit; empty if no request may raise it.
    pub increase_api: String,
    /// Seconds to wait, at least until the reset.
    pub retry_after: String,
    /// `true` if an SDK should wait and retry by itself, `false` if the wait exceeds 60 seconds.
    pub should_retry: String,
    /// Header values. A refusal by the global pool still includes the caller's own policies.
    #[serde(flatten)]
    pub limits: LimitHeaders,
}

impl RefusalContext {
    /// Creates the context of a refusal on `route`.
    pub fn new(refusal: &Refusal, route: Route, now: Timestamp) -> Self {
        let policy = &refusal.binding.policy;
        let retry_after = now.secs_until(refusal.binding.resets_at);
        let is_in_flight = policy.algorithm == Algorithm::Concurrency;
        let window_secs = policy.window.secs(now);
        // Never reveal the numbers of the pool or of an account's share of it.
        let unless_secret = |number: u64| if policy.is_public() { number.to_string() } else { "null".to_owned() };
        // Write the sentence that fits the kind of limit.
        let detail = if !policy.is_public() {
            format!("The platform is at capacity. Retry in {retry_after} seconds.")
        } else if is_in_flight {
            format!("The {} limit of {} calls at the same time is reached.", policy.scope, policy.limit)
        } else if policy.classes == [Class::FailedAuth] {
            format!("Too many refused requests from your address. Retry in {retry_after} seconds.")
        } else {
            format!(
                "The {} limit of {} requests per {window_secs} seconds is used up. Retry in {retry_after} seconds.",
                policy.scope, policy.limit
            )
        };
        Self {
            problem_type: route.problem_type().to_owned(),
            code: if policy.is_public() { "quota_exceeded" } else { "platform_capacity" }.to_owned(),
            detail,
            policy: if policy.is_public() { &policy.name } else { "platform" }.to_owned(),
            scope: policy.scope.to_string(),
            limit: unless_secret(policy.limit),
            window_seconds: if is_in_flight { "null".to_owned() } else { unless_secret(window_secs) },
            resets_at: refusal.binding.resets_at.to_rfc3339(),
            increase_url: String::new(),
            increase_api: if policy.is_raisable() { INCREASE_API.to_owned() } else { String::new() },
            retry_after: retry_after.to_string(),
            should_retry: (retry_after <= LONGEST_SDK_WAIT_SECS).to_string(),
            limits: LimitHeaders::of_refusal(refusal, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::terms::{
        LARGEST_CAP, LARGEST_MAX_TOKENS, LONGEST_PROVIDER, LONGEST_VALUE, MOST_MODELS, MOST_PROVIDERS, MOST_VALUES,
    };
    use crate::accounts::{CapMode, Guards, TokenCap, UnknownFields, form};
    use crate::limits::{ChargedCall, Decision, LimitsConfig, Overrides, Party, decide};
    use crate::models::LONGEST_LISTED;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_030_500);

    /// Returns the refusal of an AI call with these counts: address, integration, account, share, pool, and three in
    /// flight.
    fn refusal(counts: [i64; 8]) -> Refusal {
        let none = Overrides::new();
        let (of_account, of_integration, of_key) = (&none, &none, &none);
        let party = Some(Party { account: "acme", integration: "crm", key: "k", of_account, of_integration, of_key });
        let asked = ChargedCall { class: Class::Ai, resource: "/", address: Some("a1b2"), party, platform: &none };
        let charges = LimitsConfig::default().charges(&asked, NOW);
        let Decision::Refused(refusal) = decide(&charges, false, &counts, NOW) else { panic!("allowed") };
        refusal
    }

    #[test]
    fn the_longest_terms_leave_room_for_the_rest_of_an_authorizers_answer() {
        let names = |count: usize, length: usize| (0..count).map(|at| format!("{at:m>length$}")).collect();
        let guards = Guards {
            models: names(MOST_MODELS, LONGEST_LISTED),
            max_tokens: Some(LARGEST_MAX_TOKENS),
            providers: names(MOST_PROVIDERS, LONGEST_PROVIDER),
            speeds: names(1, LONGEST_VALUE),
            unknown_fields: UnknownFields::Allow,
            ..Guards::default()
        };
        assert_eq!(form::guards(&guards), Ok(()));
        let too_long = Guards {
            speeds: names(MOST_VALUES, LONGEST_VALUE),
            inference_geos: names(MOST_VALUES, LONGEST_VALUE),
            ..guards.clone()
        };
        assert!(form::guards(&too_long).is_err(), "guards are bounded in all");
        let cap = Some(TokenCap { limit: LARGEST_CAP, mode: CapMode::Block });
        let admitted = Caller {
            account: "a".repeat(64),
            integration: "i".repeat(64),
            kind: IntegrationKind::AiOperator,
            key: "4f8KpQ2mZx7R".to_owned(),
            terms: Terms { cap, account: guards.clone(), key: guards },
        };
        let json = serde_json::to_string(&admitted).unwrap();
        assert_eq!(serde_json::from_str::<Caller>(&json).unwrap(), admitted);
        // The limit is 8 KB, the size of a Lambda authorizer's result by API Gateway's quotas.
        assert!(json.len() < 5_632, "{}", json.len());
    }

    #[test]
    fn a_refusal_names_the_policy_and_when_to_come_back() {
        let context = RefusalContext::new(&refusal([3, 10, 600, 12, 12, 1, 1, 1]), Route::Ai, NOW);
        insta::assert_json_snapshot!(context, @r#"
        {
          "problemType": "error",
          "code": "quota_exceeded",
          "detail": "The account limit of 600 requests per 60 seconds is used up. Retry in 10 seconds.",
          "policy": "account",
          "scope": "account",
          "limit": "600",
          "windowSeconds": "60",
          "resetsAt": "2023-11-14T22:14:00Z",
          "increaseUrl": "",
          "increaseApi": "POST /v1/quota/requests",
          "retryAfter": "10",
          "shouldRetry": "true",
          "rateLimitPolicy": "\"ai-address\";q=30;w=60, \"integration\";q=300;w=60, \"account\";q=600;w=60, \"in-flight\";q=20;qu=\"concurrent-requests\"",
          "rateLimit": "\"ai-address\";r=27;t=10, \"integration\";r=290;t=10, \"account\";r=0;t=10, \"in-flight\";r=19",
          "xLimit": "600",
          "xRemaining": "0",
          "xReset": "1700000040"
        }
        "#);
    }

    #[test]
    fn a_refusal_by_the_global_pool_names_no_limit_and_no_usage() {
        let context = RefusalContext::new(&refusal([3, 10, 11, 12, 6_000, 1, 1, 1]), Route::Ai, NOW);
        let json = serde_json::to_string(&context).unwrap();
        assert!(!json.contains("6000") && !json.contains("global"), "{json}");
        assert_eq!((context.limit.as_str(), context.scope.as_str()), ("null", "platform"));
    }

    #[test]
    fn a_refusal_by_the_share_of_the_pool_says_no_more_than_one_by_the_pool() {
        let share = RefusalContext::new(&refusal([3, 10, 11, 1_200, 1_200, 1, 1, 1]), Route::Ai, NOW);
        let pool = RefusalContext::new(&refusal([3, 10, 11, 1_200, 6_000, 1, 1, 1]), Route::Ai, NOW);
        assert_eq!(share, pool);
        assert_eq!((share.policy.as_str(), share.code.as_str()), ("platform", "platform_capacity"));
    }

    #[test]
    fn a_refusal_by_calls_in_flight_has_no_window_and_may_be_tried_again_soon() {
        let context = RefusalContext::new(&refusal([3, 10, 11, 12, 13, 20, 20, 20]), Route::Ai, NOW);
        assert_eq!((context.policy.as_str(), context.window_seconds.as_str()), ("in-flight", "null"));
        assert_eq!((context.limit.as_str(), context.retry_after.as_str()), ("20", "1"));
        assert_eq!(context.detail, "The account limit of 20 calls at the same time is reached.");
    }

    #[test]
    fn a_wait_of_more_than_a_minute_is_not_for_an_sdk_to_sit_out() {
        let mut refusal = refusal([3, 10, 600, 12, 12, 1, 1, 1]);
        refusal.binding.resets_at = Timestamp::from_millis(NOW.as_millis() + 60_001);
        let context = RefusalContext::new(&refusal, Route::Ai, NOW);
        assert_eq!((context.retry_after.as_str(), context.should_retry.as_str()), ("61", "false"));
    }
}
