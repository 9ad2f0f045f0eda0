//! The fields of a call's body that the proxy reads regardless of guards. No I/O.

use levee::http::anthropic::ErrorKind;
use levee::models::LONGEST_ASKED;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::answer::ApiError;

/// The fields that are read from a call's body. The rest goes to the provider as it came. A duplicate field is refused
/// in any spelling, so that the proxy and the provider read the same value.
#[derive(Debug, Deserialize)]
pub struct RequestBody {
    /// Model that the caller asks for.
    pub model: String,
    /// True if the answer is to be streamed; `None` if the field is missing or null.
    pub stream: Option<bool>,
    #[serde(default)]
    max_tokens: MaxTokens,
    #[serde(default)]
    metadata: Metadata,
}

/// The user id in `metadata`, if that is an object with one. Any other value is accepted.
#[derive(Debug, Default)]
struct Metadata {
    user_id: Option<String>,
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            user_id: Option<String>,
        }
        let written = <&RawValue>::deserialize(deserializer)?;
        let user_id = serde_json::from_str(written.get()).ok().and_then(|written: Written| written.user_id);
        Ok(Self { user_id })
    }
}

/// The ceiling of tokens, if it is a whole number. Any other value is for the provider to judge, unless a guard sets a
/// ceiling.
#[derive(Debug, Default)]
enum MaxTokens {
    Whole(u64),
    #[default]
    Other,
}

impl<'de> Deserialize<'de> for MaxTokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrow the raw JSON, so that a large value is not built up in memory.
        let written = <&RawValue>::deserialize(deserializer)?;
        Ok(written.get().parse().map_or(Self::Other, Self::Whole))
    }
}

impl RequestBody {
    /// Returns true if the answer is to be streamed.
    pub fn is_streamed(&self) -> bool {
        self.stream == Some(true)
    }

    /// Returns the largest number of tokens that the answer may have, if the call sets one.
    pub fn max_tokens(&self) -> Option<u64> {
        match self.max_tokens {
            MaxTokens::Whole(asked) => Some(asked),
            MaxTokens::Other => None,
        }
    }

    /// Returns the user for whom the caller makes the call. Calls for one user form a session.
    pub fn user(&self) -> Option<&str> {
        self.metadata.user_id.as_deref()
    }

    /// Checks that the model's name is of a valid length and has no control characters.
    ///
    /// # Errors
    /// 400 if it is not.
    pub fn check_model(&self) -> Result<(), ApiError> {
        let model = &self.model;
        if model.is_empty() || model.len() > LONGEST_ASKED || model.chars().any(char::is_control) {
            let message = format!("model must be 1 to {LONGEST_ASKED} bytes of text without control characters.");
            return Err(ApiError::by_caller(ErrorKind::InvalidRequest, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_text_and_whatever_else_is_in_metadata_is_the_providers_to_judge() {
        let user = |metadata: &str| {
            let body = format!(r#"{{"model":"m","metadata":{metadata}}}"#);
            serde_json::from_str::<RequestBody>(&body).unwrap().user().map(str::to_owned)
        };
        assert_eq!(user(r#"{"user_id":"u-1","more":[1]}"#).as_deref(), Some("u-1"));
        assert_eq!(user(r#"{"user\u005fid":"\u00e9"}"#).as_deref(), Some("\u{e9}"));
        for metadata in [
            "null",
            "{}",
            "[]",
            "7",
            "\"text\"",
            "true",
            r#"{"user_id":null}"#,
            r#"{"user_id":7}"#,
            r#"{"user_id":["u"]}"#,
            r#"{"user_id":"a","user_id":"b"}"#,
            r#"{"other":{"user_id":"u"}}"#,
        ] {
            assert_eq!(user(metadata), None, "{metadata}");
        }
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused_however_it_is_spelled() {
        for body in [
            r#"{"model":"allowed","model":"forbidden"}"#,
            r#"{"model":"allowed","\u006dodel":"forbidden"}"#,
            r#"{"mode\u006C":"allowed","model":"forbidden"}"#,
            r#"{"model":"m","max_tokens":1,"max_tokens":9000}"#,
            r#"{"model":"m","max_tokens":1,"max\u005ftokens":9000}"#,
            r#"{"model":"m","max_tokens":null,"max_tokens":9000}"#,
            r#"{"model":"m","stream":false,"stream":true}"#,
        ] {
            assert!(
                serde_json::from_str::<RequestBody>(body).unwrap_err().to_string().contains("duplicate field"),
                "{body}"
            );
        }
    }

    #[test]
    fn a_model_is_a_short_text_without_control_characters() {
        for name in ["", "a\nb", "a\u{7f}", "\u{9b}", &"x".repeat(257)] {
            let asked = RequestBody {
                model: name.to_owned(),
                stream: None,
                max_tokens: MaxTokens::Other,
                metadata: Metadata::default(),
            };
            assert_eq!(asked.check_model().unwrap_err().kind, ErrorKind::InvalidRequest, "{name:?}");
        }
    }
}
