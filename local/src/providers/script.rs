//! The script of a stand-in. Its fields are listed in [`super`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::ScriptedAnswer;
use super::errors::{Problem, usual_message};
use super::usage::Usage;

const LONGEST_WAIT_MS: u64 = 600_000;
const MOST_DELTAS: u64 = 100_000;

/// Number of deltas that `"hang": "stream"` still sends.
const DELTAS_BEFORE_SILENCE: u64 = 2;

/// A script; see the table in [`super`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Script {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fail_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<RetryAfter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttft_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gap_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deltas: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "hang")]
    pub(super) hang: Option<Hang>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cut_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_event_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<ScriptedAnswer>,
}

/// Value of `retry-after`: seconds, or a string that is sent as it is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged, expecting = "seconds as a number, or a string")]
pub(super) enum RetryAfter {
    Seconds(u64),
    Verbatim(String),
}

/// Point at which a call stops answering.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Hang {
    Headers,
    FirstToken,
    Stream,
}

/// Irregular ending of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ending {
    Pings,
    Silence,
    Cut,
    ErrorEvent,
}

impl Script {
    /// Returns this script with the fields of `patch` applied.
    ///
    /// # Errors
    ///
    /// Names the first field that is unknown, of the wrong type or out of range.
    pub(super) fn patched(&self, patch: &Map<String, Value>) -> Result<Self, String> {
        let mut fields = fields(self);
        for (field, value) in patch {
            // Check each field by itself, so that the error can name it.
            Self::deserialize(json!({ field: value })).map_err(|error| format!("{field}: {error}"))?.check()?;
            fields.insert(field.clone(), value.clone());
        }
        Self::deserialize(Value::Object(fields)).map_err(|error| error.to_string())
    }

    fn check(&self) -> Result<(), String> {
        let in_range = |field: &str, value: Option<u64>, least: u64, most: u64| match value {
            Some(value) if !(least..=most).contains(&value) => Err(format!("{field}: must be {least} to {most}")),
            _ => Ok(()),
        };
        // Numbers.
        in_range("status", self.status.map(u64::from), 400, 599)?;
        in_range("ttft_ms", self.ttft_ms, 0, LONGEST_WAIT_MS)?;
        in_range("gap_ms", self.gap_ms, 0, LONGEST_WAIT_MS)?;
        in_range("deltas", self.deltas, 0, MOST_DELTAS)?;
        in_range("cut_after", self.cut_after, 0, MOST_DELTAS)?;
        in_range("error_event_after", self.error_event_after, 0, MOST_DELTAS)?;
        if self.fail_ratio.is_some_and(|ratio| !(0.0..=1.0).contains(&ratio)) {
            return Err("fail_ratio: must be 0 to 1".to_owned());
        }
        // Values that are sent as they are.
        if let Some(RetryAfter::Verbatim(value)) = &self.retry_after
            && http::HeaderValue::from_str(value).is_err()
        {
            return Err("retry_after: is no header value".to_owned());
        }
        if let Some(usage) = &self.usage {
            Usage::default().overridden(usage).map_err(|error| format!("usage: {error}"))?;
        }
        Ok(())
    }

    /// Returns the share of calls that are answered with [`Script::failure`], 0 to 1.
    pub(super) fn share_of_failures(&self) -> f64 {
        self.fail_ratio.unwrap_or(if self.status.is_some() { 1.0 } else { 0.0 })
    }

    pub(super) fn failure(&self) -> Problem {
        let status = self.status.unwrap_or(500);
        let retry_after = self.retry_after.as_ref().map(|value| match value {
            RetryAfter::Seconds(seconds) => seconds.to_string(),
            RetryAfter::Verbatim(value) => value.clone(),
        });
        Problem { retry_after, ..Problem::new(status, usual_message(status)) }
    }

    /// Returns the earliest irregular ending of a stream, with the number of deltas before it.
    pub(super) fn ending(&self) -> Option<(u64, Ending)> {
        let hang = match self.hang {
            Some(Hang::FirstToken) => Some((0, Ending::Pings)),
            Some(Hang::Stream) => Some((DELTAS_BEFORE_SILENCE, Ending::Silence)),
            Some(Hang::Headers) | None => None,
        };
        let cut = self.cut_after.map(|after| (after, Ending::Cut));
        let error = self.error_event_after.map(|after| (after, Ending::ErrorEvent));
        [hang, cut, error].into_iter().flatten().min_by_key(|(after, _)| *after)
    }

    /// Returns the script as shown by `GET /providers/{name}`: only the fields that are set.
    pub(super) fn shown(&self) -> Value {
        Value::Object(fields(self))
    }
}

fn fields(script: &Script) -> Map<String, Value> {
    match serde_json::to_value(script) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// Parses `hang`. `true` means `"headers"`, and `false` is the same as `null`.
fn hang<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Hang>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null | Value::Bool(false) => Ok(None),
        Value::Bool(true) => Ok(Some(Hang::Headers)),
        named => Hang::deserialize(named)
            .map(Some)
            .map_err(|_| serde::de::Error::custom("must be true, false, \"headers\", \"first_token\" or \"stream\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(script: &Script, patch: Value) -> Result<Script, String> {
        script.patched(patch.as_object().unwrap())
    }

    #[test]
    fn a_patch_merges_and_null_clears() {
        let script = patched(&Script::default(), json!({ "status": 529, "gap_ms": 5 })).unwrap();
        let script = patched(&script, json!({ "status": null, "deltas": 3 })).unwrap();
        assert_eq!(script.shown(), json!({ "gap_ms": 5, "deltas": 3 }));
    }

    #[test]
    fn a_mistake_names_its_field() {
        for (patch, field) in [
            (json!({ "statuz": 500 }), "statuz"),
            (json!({ "status": "500" }), "status"),
            (json!({ "status": 200 }), "status"),
            (json!({ "fail_ratio": 1.5 }), "fail_ratio"),
            (json!({ "retry_after": [1] }), "retry_after"),
            (json!({ "retry_after": "line\nbreak" }), "retry_after"),
            (json!({ "ttft_ms": -1 }), "ttft_ms"),
            (json!({ "gap_ms": 600_001 }), "gap_ms"),
            (json!({ "deltas": 100_001 }), "deltas"),
            (json!({ "hang": "forever" }), "hang"),
            (json!({ "cut_after": 1.5 }), "cut_after"),
            (json!({ "error_event_after": "2" }), "error_event_after"),
            (json!({ "usage": { "input_token": 5 } }), "usage"),
            (json!({ "usage": { "input_tokens": -5 } }), "usage"),
            (json!({ "usage": { "iterations": {} } }), "usage"),
            (json!({ "usage": { "iterations": [{ "type": "thought" }] } }), "usage"),
            (json!({ "answer": "nothing" }), "answer"),
            (json!({ "answer": { "status": 1_000 } }), "answer"),
            (json!({ "answer": { "headers": { "x-a": 5 } } }), "answer"),
        ] {
            let error = patched(&Script::default(), patch.clone()).unwrap_err();
            assert!(error.starts_with(&format!("{field}: ")), "{patch} gives {error}");
        }
    }

    #[test]
    fn the_earliest_ending_wins() {
        let script = Script { cut_after: Some(5), error_event_after: Some(3), ..Script::default() };
        assert_eq!(script.ending(), Some((3, Ending::ErrorEvent)));
        let script = Script { hang: Some(Hang::Stream), ..script };
        assert_eq!(script.ending(), Some((2, Ending::Silence)));
    }
}
