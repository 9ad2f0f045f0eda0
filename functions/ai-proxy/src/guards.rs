//! What one call may ask for: a model that the account's and the key's guards both allow, and no more `max_tokens` than
//! either. No I/O.

use levee::accounts::{Guards, Terms};
use levee::http::anthropic::ErrorKind;
use levee::metering::model::LONGEST_ASKED;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::answer::Failed;
use crate::report::told;

/// What is read of a call's body. Everything else goes to the provider as it came. A field that is there twice, however
/// it is spelled, is refused, so that what is looked at here is what the provider sees.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// The model.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: Option<bool>,
    #[serde(default)]
    max_tokens: MaxTokens,
    #[serde(default)]
    metadata: Metadata,
}

/// What is read of `metadata`, whatever was written there.
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

/// Whatever was written there. What is no whole number is the provider's to judge, unless there is a ceiling.
#[derive(Debug, Default)]
enum MaxTokens {
    Whole(u64),
    #[default]
    Other,
}

impl<'de> Deserialize<'de> for MaxTokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whatever it is, it is not built up in memory.
        let written = <&RawValue>::deserialize(deserializer)?;
        Ok(written.get().parse().map_or(Self::Other, Self::Whole))
    }
}

impl Asked {
    /// Whether the answer is to be streamed.
    pub fn is_streamed(&self) -> bool {
        self.stream == Some(true)
    }

    /// How many tokens the answer may have, where that is said.
    pub fn max_tokens(&self) -> Option<u64> {
        match self.max_tokens {
            MaxTokens::Whole(asked) => Some(asked),
            MaxTokens::Other => None,
        }
    }

    /// Whom the caller makes the call for: one user's calls belong together.
    pub fn user(&self) -> Option<&str> {
        self.metadata.user_id.as_deref()
    }

    /// Checks that the model is a name, and one that may be asked for.
    pub fn check_model(&self, terms: &Terms) -> Result<(), Failed> {
        let model = &self.model;
        if model.is_empty() || model.len() > LONGEST_ASKED || model.chars().any(char::is_control) {
            let message = format!("model must be 1 to {LONGEST_ASKED} bytes of text without control characters.");
            return Err(Failed::by_caller(ErrorKind::InvalidRequest, message));
        }
        for (whose, guards) in both(terms) {
            if !guards.allow(model) {
                let allowed = guards.models.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let which = match told(model) {
                    told if told == model => format!("the model '{told}'"),
                    _ => "this model".to_owned(),
                };
                let message = format!("This {whose} may not use {which}. It may use: {allowed}.");
                return Err(Failed::by_caller(ErrorKind::Permission, message));
            }
        }
        Ok(())
    }

    /// Checks that no more tokens are asked for than may be.
    pub fn check_max_tokens(&self, terms: &Terms) -> Result<(), Failed> {
        let ceilings = both(terms).into_iter().filter_map(|(whose, guards)| Some((guards.max_tokens?, whose)));
        let Some((ceiling, whose)) = ceilings.min() else { return Ok(()) };
        let asked = match self.max_tokens {
            MaxTokens::Whole(asked) if asked <= ceiling => return Ok(()),
            MaxTokens::Whole(asked) => format!("is {asked}"),
            MaxTokens::Other => "must be a whole number from 1 on".to_owned(),
        };
        let message = format!("max_tokens {asked}; this {whose} may ask for at most {ceiling}.");
        Err(Failed::by_caller(ErrorKind::InvalidRequest, message))
    }
}

/// The guards that hold, and whose they are.
fn both(terms: &Terms) -> [(&'static str, &Guards); 2] {
    [("account", &terms.account), ("key", &terms.key)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards(models: &[&str], max_tokens: Option<u64>) -> Guards {
        Guards { models: models.iter().map(ToString::to_string).collect(), max_tokens, ..Guards::default() }
    }

    fn asked(model: &str) -> Asked {
        Asked { model: model.to_owned(), stream: None, max_tokens: MaxTokens::Other, metadata: Metadata::default() }
    }

    fn model(terms: &Terms, model: &str) -> Result<(), (u16, String)> {
        asked(model).check_model(terms).map_err(|failed| (failed.kind.status().as_u16(), failed.message))
    }

    /// What becomes of `max_tokens` as it stands in a body.
    fn max_tokens(terms: &Terms, written: &str) -> Result<(), String> {
        let asked: Asked = serde_json::from_str(&format!(r#"{{"model":"m"{written}}}"#)).unwrap();
        asked.check_max_tokens(terms).map_err(|failed| failed.message)
    }

    #[test]
    fn a_model_must_be_allowed_by_the_account_and_by_the_key() {
        let terms = Terms { account: guards(&["claude-haiku-*", "claude-opus-5-5"], None), ..Terms::default() };
        assert_eq!(model(&terms, "claude-haiku-5-5"), Ok(()));
        let message =
            "This account may not use the model 'claude-sonnet-5-5'. It may use: claude-haiku-*, claude-opus-5-5.";
        assert_eq!(model(&terms, "claude-sonnet-5-5"), Err((403, message.to_owned())));
        let terms = Terms { key: guards(&["claude-haiku-5-5"], None), ..terms };
        assert_eq!(model(&terms, "claude-haiku-5-5"), Ok(()));
        let message = "This key may not use the model 'claude-opus-5-5'. It may use: claude-haiku-5-5.";
        assert_eq!(model(&terms, "claude-opus-5-5"), Err((403, message.to_owned())));
        assert_eq!(model(&Terms::default(), "anything"), Ok(()));
    }

    #[test]
    fn a_name_that_looks_like_none_is_not_repeated() {
        let terms = Terms { key: guards(&["m"], None), ..Terms::default() };
        for name in ["<b>ada@example.com</b>", &"x".repeat(200)] {
            assert_eq!(model(&terms, name), Err((403, "This key may not use this model. It may use: m.".to_owned())));
        }
        for name in ["", "a\nb", "a\u{7f}", "\u{9b}", &"x".repeat(257)] {
            assert_eq!(model(&Terms::default(), name).unwrap_err().0, 400, "{name:?}");
        }
    }

    #[test]
    fn no_more_tokens_may_be_asked_for_than_the_smaller_ceiling() {
        let terms = Terms { account: guards(&[], Some(4_096)), ..Terms::default() };
        assert_eq!(max_tokens(&terms, r#","max_tokens":4096"#), Ok(()));
        let message = "max_tokens is 9000; this account may ask for at most 4096.";
        assert_eq!(max_tokens(&terms, r#","max_tokens":9000"#), Err(message.to_owned()));
        let terms = Terms { key: guards(&[], Some(100)), ..terms };
        let message = "max_tokens is 4096; this key may ask for at most 100.";
        assert_eq!(max_tokens(&terms, r#","max_tokens":4096"#), Err(message.to_owned()));
    }

    #[test]
    fn what_is_no_whole_number_gets_around_no_ceiling_and_is_the_providers_to_judge_without_one() {
        let terms = Terms { key: guards(&[], Some(100)), ..Terms::default() };
        let message = "max_tokens must be a whole number from 1 on; this key may ask for at most 100.";
        for written in ["1e9", "1e1", "50.0", "-1", "\"50\"", "null", "[50]", "{}", "true", "18446744073709551616"] {
            let written = format!(r#","max_tokens":{written}"#);
            assert_eq!(max_tokens(&terms, &written), Err(message.to_owned()), "{written}");
            assert_eq!(max_tokens(&Terms::default(), &written), Ok(()), "{written}");
        }
        assert_eq!(max_tokens(&terms, ""), Err(message.to_owned()));
    }

    #[test]
    fn a_user_is_a_text_and_whatever_else_is_in_metadata_is_the_providers_to_judge() {
        let user = |metadata: &str| {
            let body = format!(r#"{{"model":"m","metadata":{metadata}}}"#);
            serde_json::from_str::<Asked>(&body).unwrap().user().map(str::to_owned)
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
        assert_eq!(asked("m").user(), None);
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
            assert!(serde_json::from_str::<Asked>(body).unwrap_err().to_string().contains("duplicate field"), "{body}");
        }
    }
}
