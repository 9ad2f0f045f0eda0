//! Tests of answers with iterations, and of the usage of each of their models.

use rstest::rstest;
use serde_json::{Value, json};

use super::super::{StreamReader, Tier};
use super::*;

/// Model that was asked for, as the answer names it.
const ASKED: &str = "claude-sonnet-5-5";

/// Reads `usage` from a JSON answer of [`ASKED`], and from a stream with it in `message_delta`. Both must agree.
fn read(usage: &Value) -> Reading {
    let message = json!({ "type": "message", "model": ASKED, "content": [], "usage": usage });
    let whole = Reading::of_message(message.to_string().as_bytes()).unwrap();
    let start = json!({ "type": "message_start", "message": { "model": ASKED, "usage": { "input_tokens": 7 } } });
    let delta = json!({ "type": "message_delta", "usage": usage });
    let mut reader = StreamReader::default();
    for event in [start, delta, json!({ "type": "message_stop" })] {
        reader.feed(format!("data: {event}\n\n").as_bytes());
    }
    let (streamed, is_estimated) = reader.reading();
    assert_eq!((&streamed, is_estimated), (&whole, whole.figures.is_absurd), "{usage}");
    assert_eq!(reader.progress().figures, Some(whole.figures), "{usage}");
    let sum = whole.parts.iter().fold(Usage::default(), |sum, part| sum.plus(&part.usage));
    assert_eq!(whole.figures.usage, sum, "{usage}");
    whole
}

/// Returns input and output by model, in the order of the parts, without parts that have no tokens.
fn by_model(reading: &Reading) -> Vec<(&str, u64, u64)> {
    let parts = reading.parts.iter().map(|part| (part.service.model.as_str(), part.usage.input, part.usage.output));
    parts.filter(|(_, input, output)| input + output > 0).collect()
}

fn entry(kind: &str, model: Option<&str>, input: u64, output: u64) -> Value {
    let mut entry = json!({ "type": kind, "input_tokens": input, "output_tokens": output });
    if let Some(model) = model {
        entry["model"] = model.into();
    }
    entry
}

fn usage(input: u64, output: u64, iterations: &[Value]) -> Value {
    json!({ "input_tokens": input, "output_tokens": output, "iterations": iterations })
}

#[rstest]
#[case::none(&[], &[(ASKED, 900, 40)])]
#[case::one_pass(&[entry("message", None, 900, 40)], &[(ASKED, 900, 40)])]
#[case::one_pass_with_its_model(&[entry("message", Some(ASKED), 900, 40)], &[(ASKED, 900, 40)])]
#[case::one_pass_with_a_date(
    &[entry("message", Some("claude-sonnet-5-5-20260915"), 900, 40)],
    &[(ASKED, 900, 40)]
)]
#[case::one_pass_with_another_spelling(
    &[entry("message", Some("anthropic.claude-sonnet-5-5-v1:0"), 900, 40)],
    &[(ASKED, 900, 40)]
)]
#[case::passes_and_a_compaction_with_another_spelling(
    &[
        entry("compaction", Some("eu.claude-sonnet-5-5"), 1_000, 50),
        entry("message", Some("eu.claude-sonnet-5-5"), 400, 15),
        entry("message", Some("eu.claude-sonnet-5-5"), 500, 25),
    ],
    &[(ASKED, 1_900, 90)]
)]
#[case::another_model_beside_another_spelling(
    &[entry("message", Some("eu.claude-sonnet-5-5"), 900, 40), entry("message", Some("claude-opus-5-5"), 100, 10)],
    &[(ASKED, 900, 40), ("claude-opus-5-5", 100, 10)]
)]
#[case::passes_of_a_tool_loop(
    &[entry("message", None, 400, 15), entry("message", None, 500, 25)],
    &[(ASKED, 900, 40)]
)]
#[case::passes_that_come_to_more(
    &[entry("message", None, 400, 15), entry("message", None, 900, 40)],
    &[(ASKED, 1_300, 55)]
)]
#[case::passes_that_come_to_less(&[entry("message", None, 400, 15)], &[(ASKED, 900, 40)])]
#[case::a_pass_of_an_unknown_type(&[entry("thought", None, 900, 40)], &[(ASKED, 900, 40)])]
#[case::an_advisor(
    &[entry("message", None, 900, 40), entry("advisor_message", Some("claude-opus-5-5"), 823, 1_612)],
    &[(ASKED, 900, 40), ("claude-opus-5-5", 823, 1_612)]
)]
#[case::an_advisor_of_the_same_model(
    &[entry("message", None, 900, 40), entry("advisor_message", Some(ASKED), 100, 10)],
    &[(ASKED, 1_000, 50)]
)]
#[case::a_fallback_after_an_attempt_that_declined_before_any_output(
    &[entry("message", Some(ASKED), 850, 0), entry("fallback_message", Some("claude-opus-4-8"), 900, 40)],
    &[("claude-opus-4-8", 900, 40)]
)]
#[case::a_fallback_after_an_attempt_that_declined_within_its_answer(
    &[entry("message", Some(ASKED), 850, 9), entry("fallback_message", Some("claude-opus-4-8"), 900, 40)],
    &[("claude-opus-4-8", 900, 40), (ASKED, 850, 9)]
)]
#[case::a_fallback_with_a_tool_loop(
    &[
        entry("message", Some("claude-opus-4-8"), 400, 15),
        entry("fallback_message", Some("claude-opus-4-8"), 500, 25),
    ],
    &[("claude-opus-4-8", 900, 40)]
)]
#[case::a_fallback_without_a_model(&[entry("fallback_message", None, 900, 40)], &[(ASKED, 900, 40)])]
fn each_pass_counts_once_and_under_its_own_model(#[case] iterations: &[Value], #[case] expected: &[(&str, u64, u64)]) {
    let reading = read(&usage(900, 40, iterations));
    assert_eq!((by_model(&reading), reading.absurd), (expected.to_vec(), None));
}

#[test]
fn a_compaction_counts_beside_the_figures_of_the_answer() {
    let iterations = [entry("compaction", None, 150_000, 2_500), entry("message", None, 900, 40)];
    let reading = read(&usage(900, 40, &iterations));
    assert_eq!((reading.figures.usage.input, reading.figures.usage.output), (150_900, 2_540));
    let steps: Vec<_> = reading.parts.iter().map(|part| (part.service.prompt_above, part.usage.input)).collect();
    assert_eq!(steps, [(0, 900), (128_000, 150_000)], "each pass has a prompt of its own length");
}

#[test]
fn an_iteration_has_the_kinds_of_tokens_that_a_usage_object_has() {
    let compaction = json!({ "type": "compaction", "input_tokens": 1, "output_tokens": 2,
        "cache_read_input_tokens": 30, "cache_creation_input_tokens": 900,
        "cache_creation": { "ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 500 } });
    let mut whole = usage(10, 20, &[compaction, entry("message", None, 10, 20)]);
    whole["server_tool_use"] = json!({ "web_search_requests": 3 });
    let expected = Usage {
        input: 11,
        output: 22,
        cache_read: 30,
        cache_write_5m: 400,
        cache_write_1h: 500,
        web_searches: 3,
        web_fetches: 0,
    };
    assert_eq!(read(&whole).figures.usage, expected);
}

#[test]
fn tier_speed_and_region_are_kept_with_each_part_and_an_advisor_has_no_speed() {
    let mut whole = usage(900, 40, &[entry("advisor_message", Some("claude-opus-5-5"), 1, 2)]);
    (whole["speed"], whole["inference_geo"], whole["service_tier"]) = ("fast".into(), "us".into(), "batch".into());
    let reading = read(&whole);
    let told = |part: &Part| (part.service.speed.clone(), part.service.geo.clone(), part.service.tier);
    let told: Vec<_> = reading.parts.iter().map(told).collect();
    let expected = |speed: &str| (speed.to_owned(), "us".to_owned(), Tier::Batch);
    assert_eq!(told, [expected("fast"), expected("")]);
}

#[rstest]
#[case::no_array(json!({}), "iterations")]
#[case::a_number(json!(7), "iterations")]
#[case::an_entry_that_is_no_object(json!([7]), "usage")]
#[case::an_absurd_count(json!([{ "type": "compaction", "input_tokens": -1 }]), "input_tokens")]
#[case::too_many(json!(vec![json!({ "type": "compaction", "input_tokens": 0 }); MOST_ITERATIONS + 1]), "iterations")]
fn iterations_that_cannot_be_read_are_left_out_and_named(#[case] iterations: Value, #[case] field: &'static str) {
    let reading = read(&json!({ "input_tokens": 900, "output_tokens": 40, "iterations": iterations }));
    assert_eq!((reading.figures.usage.input, reading.figures.usage.output), (900, 40));
    assert_eq!((reading.absurd, reading.figures.is_absurd), (Some(field), true));
}

#[test]
fn iterations_of_a_later_report_take_the_place_of_earlier_ones() {
    let mut reported = Reported::default();
    let compaction = |input| usage(900, 40, &[entry("compaction", None, input, 0)]).to_string();
    for report in [compaction(100), compaction(250), json!({ "output_tokens": 41, "iterations": null }).to_string()] {
        reported.replace_with(&report);
    }
    let usage = reported.reading().figures.usage;
    assert_eq!((usage.input, usage.output), (1_150, 41));
}

#[test]
fn an_answer_without_a_model_was_served_by_that_of_its_last_pass() {
    let usage = usage(900, 40, &[entry("message", Some("m-1"), 900, 40)]);
    let message = json!({ "type": "message", "usage": usage }).to_string();
    let reading = Reading::of_message(message.as_bytes()).unwrap();
    assert_eq!(by_model(&reading), [("m-1", 900, 40)]);
}

#[rstest]
#[case::nothing(json!({}), false)]
#[case::output_alone(json!({ "output_tokens": 7 }), false)]
#[case::input_alone(json!({ "input_tokens": 7 }), false)]
#[case::an_input_that_is_none(json!({ "input_tokens": -7, "output_tokens": 7 }), false)]
#[case::both(json!({ "input_tokens": 0, "output_tokens": 0 }), true)]
#[case::only_cached_input(json!({ "cache_read_input_tokens": 7, "output_tokens": 7 }), false)]
#[case::an_input_that_is_text(json!({ "input_tokens": "7", "cache_read_input_tokens": 7, "output_tokens": 7 }), false)]
fn figures_are_whole_where_input_and_output_are_reported(#[case] usage: Value, #[case] expected: bool) {
    let message = json!({ "type": "message", "model": ASKED, "content": [], "usage": usage }).to_string();
    let reading = Reading::of_message(message.as_bytes()).unwrap();
    assert_eq!(reading.is_whole(), expected);
    if usage.get("output_tokens").is_none() {
        assert_eq!(reading.figures.usage.output, tokens_of(message.as_bytes()));
    }
    let start = json!({ "type": "message_start", "message": { "model": ASKED } });
    let delta = json!({ "type": "message_delta", "usage": usage });
    let mut reader = StreamReader::default();
    for event in [start, delta, json!({ "type": "message_stop" })] {
        reader.feed(format!("data: {event}\n\n").as_bytes());
    }
    assert_eq!(reader.reading().1, !expected);
}

#[test]
fn a_name_that_is_none_is_other() {
    for model in ["a b", "", &"x".repeat(LONGEST_TOLD + 1)] {
        let body = json!({ "model": model, "usage": { "input_tokens": 1 } }).to_string();
        let reading = Reading::of_message(body.as_bytes()).unwrap();
        assert_eq!(reading.parts[0].service.model, "other", "{model:?}");
    }
    let reading = Reading::of_message(br#"{"usage":{"input_tokens":1}}"#).unwrap();
    assert_eq!(reading.parts[0].service.model, "");
}

#[test]
fn an_answer_that_reports_no_usage_is_estimated_from_its_length() {
    let body = json!({ "model": ASKED, "content": [{ "type": "text", "text": "x".repeat(4_000) }] }).to_string();
    assert_eq!(Reading::of_message(body.as_bytes()), None);
    let reading = Reading::of_unmetered(body.as_bytes());
    assert_eq!(by_model(&reading), [(ASKED, 0, body.len().div_ceil(4) as u64)]);
    assert_eq!(reading.figures.usage, reading.parts[0].usage);
}
