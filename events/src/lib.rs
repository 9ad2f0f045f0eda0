//! The sample events beside this package, `<function>/<name>.json`, and what the functions must answer them
//! (`expected.json`), however they are called: by the local stack, under AWS's runtime interface emulator, by
//! `sam local invoke`.
//!
//! An expectation names what an answer must hold; what it does not name may be anything.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

/// What stands between the head and the body of a streamed answer
/// (<https://docs.aws.amazon.com/lambda/latest/dg/response-streaming-tutorial.html>).
const BODY_FOLLOWS: [u8; 8] = [0; 8];

/// One event.
#[derive(Debug)]
pub struct Sample {
    /// The package of the function that it is for.
    pub function: String,
    /// What it shows.
    pub name: String,
    /// The JSON that the function gets.
    pub event: Vec<u8>,
    expected: Value,
}

/// The events in `folder`, in alphabetical order.
///
/// # Errors
/// When an event has no expectation, or an expectation no event.
pub fn samples(folder: &Path) -> anyhow::Result<Vec<Sample>> {
    let file = folder.join("expected.json");
    let expected = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let expected: Map<String, Value> = serde_json::from_slice(&expected).context("expected.json")?;
    let mut samples = Vec::new();
    for (function, events) in &expected {
        let events = events.as_object().with_context(|| format!("expected.json: {function} is no object"))?;
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
    /// Holds a function's answer, as it went over the wire, against what is expected.
    ///
    /// # Errors
    /// What is different, and the answer.
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

/// A plain answer is the JSON that it is. A streamed one becomes its status, its headers and its `body`, or, where that
/// is a stream of server-sent events, their names under `events`.
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

/// Objects may hold more than is expected of them; everything else must be the same.
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
