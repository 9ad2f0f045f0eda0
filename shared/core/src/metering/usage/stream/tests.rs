use rstest::rstest;

use super::*;
use crate::metering::usage::Usage;

fn read(stream: &str) -> StreamReader {
    let mut reader = StreamReader::default();
    reader.feed(stream.as_bytes());
    reader
}

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\
                     \"output_tokens\":1}}}\n\n";

const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";

fn delta(usage: &str) -> String {
    format!("event: message_delta\ndata: {{\"type\":\"message_delta\",\"usage\":{usage}}}\n\n")
}

fn text(text: &str) -> String {
    format!("data: {{\"type\":\"content_block_delta\",\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n")
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

#[test]
fn before_the_end_the_input_side_is_known_and_nothing_is_final() {
    let progress = read(START).progress();
    assert_eq!(progress.figures.map(|figures| figures.usage), Some(usage(25, 1)));
    assert!(!progress.has_content && !progress.has_final_usage && !progress.ended);
}

#[test]
fn the_output_of_a_stream_that_was_cut_is_estimated_from_its_content() {
    let reader = read(&[START, &text("twelve bytes"), &text("é")].concat());
    let (figures, is_estimated) = reader.result();
    assert_eq!((figures.usage, is_estimated), (usage(25, 4), true));
    assert_eq!(reader.progress().content_bytes, 14);
}

#[rstest]
#[case::no_usage("null")]
#[case::no_output("{\"input_tokens\":25}")]
#[case::an_absurd_output("{\"output_tokens\":-1}")]
#[case::no_object("7")]
fn a_message_delta_without_its_output_leaves_the_estimate(#[case] final_usage: &str) {
    let reader = read(&[START, &text("twelve bytes"), &delta(final_usage), STOP].concat());
    let (figures, is_estimated) = reader.result();
    assert_eq!((figures.usage, is_estimated), (usage(25, 3), true));
    assert!(!reader.progress().has_final_usage);
}

#[test]
fn an_absurd_figure_anywhere_makes_the_result_an_estimate_with_the_output_that_was_reported() {
    let final_usage = delta(r#"{"input_tokens":0.5,"output_tokens":2}"#);
    let reader = read(&[START, &text("twelve bytes"), &final_usage, STOP].concat());
    assert_eq!(reader.progress().absurd, Some("input_tokens"));
    let (figures, is_estimated) = reader.result();
    assert_eq!((figures.usage, figures.is_absurd, is_estimated), (usage(25, 2), true, true));
}

#[test]
fn a_message_start_that_comes_after_the_final_figures_changes_nothing() {
    let final_usage = delta(r#"{"input_tokens":30,"output_tokens":15}"#);
    let reader = read(&[START, &final_usage, START].concat());
    assert_eq!(reader.result().0.usage, usage(30, 15));
}

#[rstest]
#[case::broken_off("", 3, true)]
#[case::stopped(STOP, 2, false)]
#[case::an_error_in_place_of_the_stop(ERROR, 3, true)]
#[case::an_error_after_the_stop(&[STOP, ERROR].concat(), 2, false)]
#[case::a_stop_after_the_error(&[ERROR, STOP].concat(), 3, true)]
#[case::other_figures_after_the_stop(&[STOP, &delta(r#"{"output_tokens":9}"#)].concat(), 2, false)]
fn final_figures_are_final_when_the_stream_stops(#[case] rest: &str, #[case] output: u64, #[case] is_estimated: bool) {
    let reader = read(&[START, &text("twelve bytes"), &delta(r#"{"output_tokens":2}"#), rest].concat());
    assert_eq!(reader.result(), (Figures { usage: usage(25, output), ..Figures::default() }, is_estimated));
}

#[rstest]
#[case::opening_the_stream(ERROR, true)]
#[case::after_a_ping(&["event: ping\ndata: {\"type\":\"ping\"}\n\n", ERROR].concat(), true)]
#[case::after_the_start(&[START, ERROR].concat(), false)]
#[case::after_content(&[&text("twelve bytes"), ERROR].concat(), false)]
#[case::no_error(STOP, false)]
fn a_stream_is_refused_by_an_error_before_anything_was_taken_in(#[case] stream: &str, #[case] is_refused: bool) {
    assert_eq!(read(stream).progress().is_refused(), is_refused);
}

#[rstest]
#[case::by_data_alone("data: {\"type\":\"message_stop\"}\n\n", true)]
#[case::by_name_alone("event: message_stop\ndata: {}\n\n", true)]
#[case::by_name_where_the_data_is_no_json("event: message_stop\ndata: [DONE]\n\n", true)]
#[case::by_data_against_the_name("event: ping\ndata: {\"type\":\"message_stop\"}\n\n", true)]
#[case::not_by_name_against_the_data("event: message_stop\ndata: {\"type\":\"ping\"}\n\n", false)]
#[case::by_an_error_of_any_data("event: error\ndata: {\"type\":\"ping\"}\n\n", true)]
#[case::by_an_error_without_a_name("data: {\"type\":\"error\"}\n\n", true)]
fn an_event_is_what_its_data_says(#[case] stream: &str, #[case] ended: bool) {
    assert_eq!(read(stream).progress().ended, ended);
}

#[test]
fn an_error_event_ends_a_stream_and_tells_what_kind_of_error_it_was() {
    for (kind, expected) in [
        ("overloaded_error", StreamError::Overloaded),
        ("rate_limit_error", StreamError::RateLimit),
        ("invalid_request_error", StreamError::InvalidRequest),
        ("permission_error", StreamError::Credentials),
        ("a_new_error", StreamError::Other),
    ] {
        let data = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
        let progress = read(&format!("event: error\ndata: {data}\n\n")).progress();
        assert_eq!((progress.ended, progress.error), (true, Some(expected)), "{kind}");
    }
    assert_eq!(read("event: error\ndata: nonsense\n\n").progress().error, Some(StreamError::Other));
}

#[test]
fn a_stream_is_served_by_the_model_that_it_names_last() {
    let start = START.replace("\"usage\"", "\"model\":\"claude-fable-5-2\",\"usage\"");
    let fallback = r#"data: {"type":"content_block_start","content_block":{"type":"fallback",
        "from":{"model":"claude-fable-5-2"},"to":{"model":"claude-opus-5-5"}}}"#;
    let fallback = fallback.replace("\n        ", "") + "\n\n";
    for (stream, expected) in [
        ([start.as_str(), STOP].concat(), "claude-fable-5-2"),
        ([start.as_str(), &fallback, &text("twelve bytes")].concat(), "claude-opus-5-5"),
    ] {
        let (reading, _) = read(&stream).reading();
        assert_eq!(reading.parts[0].service.model, expected);
        assert_eq!(reading.parts[0].usage, reading.figures.usage);
    }
}

#[test]
fn an_event_that_is_too_large_is_known_by_its_name() {
    let data = "x".repeat(crate::metering::sse::LARGEST_EVENT);
    let event = format!("event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"x\":\"{data}\"}}\n\n");
    let reader = read(&[START, &event, &delta(r#"{"output_tokens":15}"#), STOP].concat());
    assert!(reader.progress().has_content);
    assert_eq!(reader.result(), (Figures { usage: usage(25, 15), ..Figures::default() }, false));
}

#[rstest]
#[case::of_one_line(r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#, "api_error", "m")]
#[case::of_two_lines(
    "{\"type\":\"error\",\ndata: \"error\":{\"type\":\"api_error\",\ndata:\"message\":\"m\"}}",
    "api_error",
    "m"
)]
#[case::a_text_in_its_place(r#"{"type":"error","error":"m"}"#, "", "m")]
#[case::no_message(r#"{"type":"error","error":{"type":"api_error"}}"#, "api_error", "")]
#[case::a_message_that_is_no_text(r#"{"type":"error","error":{"type":7,"message":["m"]}}"#, "", "")]
#[case::cut_within_a_text("{\"type\":\"error\",\"error\":{\"message\":\"m\ndata: m\"}}", "", "")]
#[case::no_json("m", "", "")]
fn the_sentence_of_an_error_is_read_from_any_shape_of_it(
    #[case] data: &str,
    #[case] kind: &str,
    #[case] sentence: &str,
) {
    let reader = read(&format!("event: error\ndata: {data}\n\n"));
    assert!(reader.progress().error.is_some());
    assert_eq!((reader.error_kind(), reader.error_sentence()), (kind, sentence));
}

#[test]
fn a_sentence_that_is_too_long_is_not_kept() {
    for (length, kept) in [(LONGEST_SENTENCE, LONGEST_SENTENCE), (LONGEST_SENTENCE + 1, 0)] {
        let message = "m".repeat(length);
        let data = format!(r#"{{"type":"error","error":{{"type":"api_error","message":"{message}"}}}}"#);
        assert_eq!(read(&format!("event: error\ndata: {data}\n\n")).error_sentence().len(), kept);
    }
}
