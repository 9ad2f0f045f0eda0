//! The story of one request: a summary of about ten lines, from the functions' log lines about it.
//!
//! Each function writes one wide event per request ([`crate::telemetry`]), and a log line for each error; all of them
//! carry `request.id`. This module is pure: callers supply the lines.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Number of errors that a story lists.
const MOST_ERRORS: usize = 3;

/// Summary of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Story {
    sentences: Vec<Sentence>,
}

/// One line of a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// Topic of the line, in one word.
    pub label: &'static str,
    /// Text of the line.
    pub text: String,
}

impl Story {
    /// Builds the story of the request `request_id` from log lines in any order, which may include other requests'
    /// lines. Returns `None` if no line is about it.
    pub fn tell<'a>(request_id: &str, lines: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        // Keep the lines of this request, in order of time, and find the wide events.
        let mut lines: Vec<Line> = lines.into_iter().filter_map(|line| Line::parse(request_id, line)).collect();
        lines.sort_by(|one, other| one.text("timestamp").cmp(&other.text("timestamp")));
        let began = lines.iter().find_map(|line| line.text("timestamp"))?;
        let authorized = lines.iter().find(|line| line.text("Function") == Some("authorizer"));
        let served = lines.iter().find(|line| line.text("Function").is_some_and(|it| it != "authorizer"));
        let of_both = || authorized.into_iter().chain(served);

        // Say everything that is known, in the order of events.
        let mut story = Self { sentences: Vec::new() };
        let route = of_both().find_map(|line| line.text("route")).unwrap_or("an unknown route");
        story.say("request", Some(format!("{request_id} to {route} at {began}")));
        story.say("caller", of_both().find_map(caller).or_else(|| authorized.map(|_| "not known".to_owned())));
        story.say("limits", authorized.and_then(standings));
        story.say("verdict", authorized.map(verdict));
        story.say("call", served.and_then(call));
        story.say("provider", served.and_then(provider));
        story.say("tokens", served.and_then(tokens));
        story.say("time", time(authorized, served));
        story.say("answer", served.and_then(answer));
        story.errors(&lines);
        Some(story)
    }

    /// Returns the lines, in the order of events.
    pub fn sentences(&self) -> &[Sentence] {
        &self.sentences
    }

    fn say(&mut self, label: &'static str, text: Option<String>) {
        self.sentences.extend(text.map(|text| Sentence { label, text }));
    }

    /// Adds the errors: the lines with a code, without duplicates.
    fn errors(&mut self, lines: &[Line]) {
        let mut told = HashSet::new();
        let mut errors: Vec<String> = lines.iter().filter_map(error).collect();
        errors.retain(|error| told.insert(error.clone()));
        let more = errors.len().saturating_sub(MOST_ERRORS);
        for error in errors.into_iter().take(MOST_ERRORS) {
            self.say("error", Some(error));
        }
        self.say("error", (more > 0).then(|| format!("and {more} more: search the logs for the request's id")));
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentences.iter().try_for_each(|Sentence { label, text }| writeln!(f, "{label:<9} {text}"))
    }
}

/// Log line about the request.
struct Line(Value);

impl Line {
    fn parse(request_id: &str, line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line.trim()).ok()?;
        (line.get("request.id")?.as_str()? == request_id).then_some(Self(line))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    fn count(&self, name: &str) -> Option<u64> {
        // Metrics are written as decimal fractions.
        self.number(name).map(|number| number as u64)
    }

    fn millis(&self, name: &str) -> Option<String> {
        self.number(name).map(|millis| format!("{millis:.1} ms"))
    }
}

fn caller(line: &Line) -> Option<String> {
    let (account, integration, key) = (line.text("account.id")?, line.text("integration.id")?, line.text("key.id")?);
    Some(format!("key {key} of integration {integration} of account {account}"))
}

fn standings(line: &Line) -> Option<String> {
    let policies = line.0.get("policies")?.as_array()?;
    let policies: Vec<&str> = policies.iter().filter_map(Value::as_str).collect();
    (!policies.is_empty()).then(|| policies.join(", "))
}

fn verdict(line: &Line) -> String {
    let verdict = line.text("verdict").unwrap_or("unknown");
    let because = line.text("reason").map(|reason| format!(": {reason}"));
    let policy = line.text("policy.name").map(|policy| format!(" by the policy {policy}"));
    format!("{verdict}{}{}", policy.unwrap_or_default(), because.unwrap_or_default())
}

fn call(line: &Line) -> Option<String> {
    let (operation, model) = (line.text("Operation")?, line.text("model"));
    let model = model.map(|model| format!(" with {model}")).unwrap_or_default();
    let streamed = if line.count("streamed") == Some(1) { ", streamed" } else { "" };
    Some(format!("{operation}{model}{streamed}"))
}

fn provider(line: &Line) -> Option<String> {
    let attempts = line.count("attempts").filter(|attempts| *attempts > 0)?;
    let times = if attempts == 1 { "attempt" } else { "attempts" };
    let fallback = line.text("fallback.reason").map(|why| format!(", fallback because {why}")).unwrap_or_default();
    Some(format!("{}, {attempts} {times}{fallback}", line.text("Provider")?))
}

fn tokens(line: &Line) -> Option<String> {
    let parts = [
        ("InputTokens", "input"),
        ("OutputTokens", "output"),
        ("CacheReadTokens", "cache read"),
        ("CacheWriteTokens", "cache write"),
    ];
    let parts: Vec<String> =
        parts.iter().filter_map(|(name, label)| Some(format!("{label} {}", line.count(name)?))).collect();
    let estimated = if line.count("estimated") == Some(1) { " (estimated: the call broke off)" } else { "" };
    (!parts.is_empty()).then(|| format!("{}{estimated}", parts.join(", ")))
}

fn time(authorized: Option<&Line>, served: Option<&Line>) -> Option<String> {
    let spent = |line: Option<&Line>, parts: &[(&str, &str)]| {
        let line = line?;
        let parts: Vec<String> =
            parts.iter().filter_map(|(name, label)| Some(format!("{label} {}", line.millis(name)?))).collect();
        let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        Some(format!("{} {}{parts}", line.text("Function")?, line.millis("Duration")?))
    };
    let authorized = spent(authorized, &[("LimitsDuration", "limits")]);
    let parts =
        [("TimeToFirstContent", "first content"), ("ProviderDuration", "provider"), ("LedgerDuration", "ledger")];
    let both: Vec<String> = authorized.into_iter().chain(spent(served, &parts)).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

fn answer(line: &Line) -> Option<String> {
    let outcome = line.text("outcome")?;
    let status = line.count("status").filter(|status| *status > 0);
    let status = status.map(|status| format!("{status} ")).unwrap_or_default();
    let error = line.text("error").map(|error| format!(": {error}")).unwrap_or_default();
    Some(format!("{status}{outcome}{error}"))
}

fn error(line: &Line) -> Option<String> {
    let (code, message) = (line.text("code")?, line.text("message").unwrap_or_default());
    let cause = line.text("error").map(|error| format!(": {error}")).unwrap_or_default();
    Some(format!("{code}: {message}{cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 6] = [
        "START RequestId: 2665d6da Version: $LATEST",
        r#"{"timestamp":"2026-11-22T02:59:21.7Z","level":"INFO","message":"served an AI call","request.id":"/I3=",
            "Function":"ai-proxy","Operation":"message","account.id":"acme","integration.id":"crm","key.id":"k1",
            "model":"claude-sonnet-5-5","Provider":"primary","attempts":1,"streamed":1,"outcome":"provider_error","status":502,
            "error":"The connection to the AI provider was lost.","estimated":1,"InputTokens":12,"OutputTokens":3,
            "CacheReadTokens":0,"CacheWriteTokens":0,"TimeToFirstContent":12.25,"ProviderDuration":40.0,
            "LedgerDuration":2.04,"Duration":44.5}"#,
        r#"{"timestamp":"2026-11-22T02:59:21.69Z","level":"ERROR","message":"a stream was cut","code":"provider.cut",
            "error":"end of file","request.id":"/I3=","account.id":"acme","provider":"primary"}"#,
        r#"{"timestamp":"2026-11-22T02:59:21.59Z","level":"INFO","message":"authorized a request","request.id":"/I3=",
            "Function":"authorizer","route":"/v1/messages","RouteClass":"ai","account.id":"acme","integration.id":"crm",
            "key.id":"k1","verdict":"allowed","policies":["integration 3/300","account 3/600"],"Requests":1,
            "LimitsDuration":0.8,"Duration":2.1}"#,
        r#"{"timestamp":"2026-11-22T02:59:22Z","level":"ERROR","code":"provider.cut","message":"x","request.id":"/I3"}"#,
        "not JSON",
    ];

    #[test]
    fn a_call_that_broke_off_is_told_in_ten_lines() {
        let story = Story::tell("/I3=", LINES).unwrap();
        insta::assert_snapshot!(story, @r"
        request   /I3= to /v1/messages at 2026-11-22T02:59:21.59Z
        caller    key k1 of integration crm of account acme
        limits    integration 3/300, account 3/600
        verdict   allowed
        call      message with claude-sonnet-5-5, streamed
        provider  primary, 1 attempt
        tokens    input 12, output 3, cache read 0, cache write 0 (estimated: the call broke off)
        time      authorizer 2.1 ms (limits 0.8 ms), ai-proxy 44.5 ms (first content 12.2 ms, provider 40.0 ms, ledger 2.0 ms)
        answer    502 provider_error: The connection to the AI provider was lost.
        error     provider.cut: a stream was cut: end of file
        ");
    }

    #[test]
    fn a_refused_call_is_told_as_far_as_it_got() {
        let refused = r#"{"timestamp":"2026-11-22T02:59:21.59Z","level":"INFO","request.id":"r","Function":"authorizer",
            "route":"/v1/messages","account.id":"acme","integration.id":"crm","key.id":"k1","verdict":"limited",
            "policy.name":"account","policies":["account 600/600"],"Duration":1}"#;
        let unknown = r#"{"timestamp":"2026-11-22T02:59:21.59Z","level":"INFO","request.id":"u","Function":"authorizer",
            "route":"/v1/messages","verdict":"unauthorized","reason":"revoked","policies":[],"Duration":1}"#;
        let text = |id| Story::tell(id, [refused, unknown]).unwrap().to_string();
        assert!(text("r").contains("verdict   limited by the policy account\n"), "{}", text("r"));
        assert!(text("u").contains("caller    not known\nverdict   unauthorized: revoked\n"), "{}", text("u"));
    }

    #[test]
    fn an_unknown_request_has_no_story() {
        assert_eq!(Story::tell("other", LINES), None);
    }

    #[test]
    fn of_many_errors_the_first_are_told_and_the_rest_counted() {
        let line = |n: usize| {
            format!(r#"{{"timestamp":"2026-11-22T02:59:2{n}Z","code":"c{n}","message":"m","request.id":"r"}}"#)
        };
        let lines: Vec<String> = (0..7).map(line).collect();
        let text = Story::tell("r", lines.iter().map(String::as_str)).unwrap().to_string();
        assert!(
            text.ends_with("error     c2: m\nerror     and 4 more: search the logs for the request's id\n"),
            "{text}"
        );
    }
}
