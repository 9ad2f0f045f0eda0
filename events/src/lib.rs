//! Sample events of the functions, in `<function>/<name>.json` beside this package, and the expected answers
//! (`expected.json`). They are the same for all ways to call a function: the local stack, AWS's runtime interface
//! emulator, and `sam local invoke`.
//!
//! An expectation lists required contents of an answer; everything else may have any value.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

/// Delimiter between the head and the body of a streamed answer
/// (<https://docs.aws.amazon.com/lambda/latest/dg/response-streaming-tutorial.html>).
const BODY_FOLLOWS: [u8; 8] = [0; 8];

/// One sample event and its expected answer.
#[derive(Debug)]
pub struct Sample {
    /// Package of the function.
    pub function: String,
    /// Name of the sample, which describes it.
    pub name: String,
    /// The event, as JSON.
    pub event: Vec<u8>,
    expected: Value,
}

/// Reads the events in `folder`, in alphabetical order.
///
/// # Errors
/// Fails if an event has no expectation, or an expectation no event.
pub fn samples(folder: &Path) -> anyhow::Result<Vec<Sample>> {
    let file = folder.join("expected.json");
    let expected = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let expected: Map<String, Value> = serde_json::from_slice(&expected).context("expected.json")?;
    let mut samples = Vec::new();
    for (function, events) in &expected {
        let events = events.as_object().with_context(|| format!("expected.json: {function} is no object"))?;
        // There have to be as many files as expectations.
        let mut files = fs::read_dir(folder.join(function)).with_context(|| format!("no events for {function}"))?;
        let count = files.try_fold(0, |count, file| file.map(|_| count + 1))?;
        ensure!(count == events.len(), "{function} has {count} events and {} expectations", events.len());
        for (name, expected) in events {
            let file = folder.join(function).join(format!("{name}.json"));
            let event = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            samples.push(Sample { function: function.clone(), name: name.clone(), event, expected: expected.clone() });
        }
    }
    Ok(samples)
}

impl Sample {
    /// Compares a function's answer, as it was transmitted, with the expected one.
    ///
    /// # Errors
    /// Lists the differences and the answer.
    pub fn check(&self, answer: &[u8]) -> anyhow::Result<()> {
        let answer = read(answer).with_context(|| format!("{}/{}", self.function, self.name))?;
        let mut differences = Vec::new();
        compare("answer", &self.expected, &answer, &mut differences);
        ensure!(
            differences.is_empty(),
            "{}/{} is answered otherwise than expected:\n{}\nthe answer: {answer}",
            self.function,
            self.name,
            differences.join("\n"),
        );
        Ok(())
    }
}

/// Parses an answer. A plain answer is its JSON. A streamed one becomes its status, its headers and its `body`, or,
/// for server-sent events, the names of the events under `events`.
fn read(answer: &[u8]) -> anyhow::Result<Value> {
    let streamed = answer.windows(BODY_FOLLOWS.len()).position(|window| window == BODY_FOLLOWS);
    let Some(head) = streamed else {
        return serde_json::from_slice(answer).with_context(|| String::from_utf8_lossy(answer).into_owned());
    };
    let mut read: Map<String, Value> = serde_json::from_slice(&answer[..head]).context("the answer's head")?;
    let body = &answer[head + BODY_FOLLOWS.len()..];
    if let Ok(json) = serde_json::from_slice(body) {
        read.insert("body".to_owned(), json);
    } else {
        let body = String::from_utf8_lossy(body);
        let names = body.lines().filter_map(|line| line.strip_prefix("event: ")).collect::<Vec<_>>();
        read.insert("events".to_owned(), json!(names));
    }
    Ok(Value::Object(read))
}

/// Compares two values. Objects may have additional members; everything else must be equal.
fn compare(at: &str, expected: &Value, found: &Value, differences: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (key, expected) in expected {
                compare(&format!("{at}.{key}"), expected, found.get(key).unwrap_or(&Value::Null), differences);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{at}[{index}]"), expected, found, differences);
            }
        }
        _ if expected == found => {}
        _ => differences.push(format!("  {at}: expected {expected}, found {found}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: Value, answer: &[u8]) -> Result<(), String> {
        let sample = Sample { function: "f".to_owned(), name: "n".to_owned(), event: Vec::new(), expected };
        sample.check(answer).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_may_hold_more_than_is_expected() {
        assert_eq!(check(json!({ "a": { "b": 1 } }), br#"{"a":{"b":1,"c":2},"d":3}"#), Ok(()));
    }

    #[test]
    fn a_difference_is_named_by_its_place() {
        let error = check(json!({ "a": [{ "b": 1 }] }), br#"{"a":[{"b":2}]}"#).unwrap_err();
        assert!(error.contains("answer.a[0].b: expected 1, found 2"), "{error}");
        let error = check(json!({ "a": [1] }), br#"{"a":[1,2]}"#).unwrap_err();
        assert!(error.contains("answer.a: expected [1], found [1,2]"), "{error}");
        let error = check(json!({ "a": 1 }), b"{}").unwrap_err();
        assert!(error.contains("answer.a: expected 1, found null"), "{error}");
    }

    #[test]
    fn a_streamed_answer_is_its_head_and_its_body() {
        let answer = b"{\"statusCode\":200}\0\0\0\0\0\0\0\0{\"type\":\"message\"}";
        assert_eq!(check(json!({ "statusCode": 200, "body": { "type": "message" } }), answer), Ok(()));
        let answer = b"{\"statusCode\":200}\0\0\0\0\0\0\0\0event: a\ndata: {}\n\nevent: b\ndata: {}\n\n";
        assert_eq!(check(json!({ "events": ["a", "b"] }), answer), Ok(()));
    }

    #[test]
    fn every_event_beside_this_package_has_an_expectation_and_is_json() {
        for sample in samples(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap() {
            assert!(serde_json::from_slice::<Value>(&sample.event).is_ok(), "{}/{}", sample.function, sample.name);
        }
    }
}
