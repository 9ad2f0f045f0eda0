use http::{HeaderName, HeaderValue};
use rstest::rstest;
use serde_json::json;

use super::*;

/// A moment on 22 November 2026.
const NOW: Timestamp = Timestamp::from_secs(1_795_310_118);
const SENTENCE: &str = "You have reached your specified API usage limits. You will regain access on";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn of(status: u16, sent: &[(&'static str, &str)], body: &str) -> Option<Verdict> {
    of_failure(StatusCode::from_u16(status).unwrap(), &headers(sent), body.as_bytes(), NOW)
}

fn error(message: &str, code: Option<&str>) -> String {
    let details = serde_json::json!({ "error_code": code });
    serde_json::json!({ "type": "error", "error": { "type": "t", "message": message, "details": details } }).to_string()
}

fn until(date: &str) -> Option<Verdict> {
    Some(Verdict { fault: Fault::Spent, until: Timestamp::of_date(date) })
}

#[test]
fn a_status_says_whose_fault_it_is_whatever_the_body() {
    for body in ["", "<html>an edge</html>", "{", "[]", "null", r#"{"error":7}"#, r#"{"type":"error"}"#] {
        for (status, fault) in [
            (101, Some(Fault::Error)),
            (200, Some(Fault::Error)),
            (302, Some(Fault::Error)),
            (307, Some(Fault::Error)),
            (408, Some(Fault::Error)),
            (429, Some(Fault::Throttled)),
            (500, Some(Fault::Error)),
            (503, Some(Fault::Error)),
            (504, Some(Fault::Error)),
            (529, Some(Fault::Overloaded)),
            (599, Some(Fault::Error)),
            (600, Some(Fault::Error)),
            (999, Some(Fault::Error)),
        ] {
            assert_eq!(of(status, &[], body).map(|verdict| verdict.fault), fault, "{status} {body}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_call_or_with_credentials_is_known_where_the_api_itself_says_so() {
    let html = "<html>an edge</html>";
    for (status, by_the_api) in [
        (400, None),
        (401, Some(Fault::Refused)),
        (402, Some(Fault::Refused)),
        (403, Some(Fault::Refused)),
        (404, None),
        (409, None),
        (413, None),
        (422, None),
        (451, None),
    ] {
        let fault = |body: &str| of(status, &[], body).map(|verdict| verdict.fault);
        assert_eq!(fault(&error("No", None)), by_the_api, "{status}");
        // The edge omits the outer type.
        let short = r#"{"error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#;
        assert_eq!(fault(short), by_the_api, "{status}");
        for body in ["", html, "[]", r#"{"type":"message"}"#, r#"{"error":{"message":"No"}}"#] {
            assert_eq!(fault(body), Some(Fault::TurnedAway), "{status} {body}");
        }
    }
}

#[rstest]
#[case::seconds(&[("retry-after", "7")], Some(7_000))]
#[case::a_part_of_a_second(&[("retry-after", "0.25")], Some(250))]
#[case::spaces(&[("retry-after", " 7 ")], Some(7_000))]
#[case::milliseconds_go_first(&[("retry-after", "7"), ("retry-after-ms", "1500")], Some(1_500))]
#[case::milliseconds_that_are_none(&[("retry-after", "7"), ("retry-after-ms", "soon")], Some(7_000))]
#[case::nothing(&[], None)]
#[case::a_date(&[("retry-after", "Sun, 22 Nov 2026 02:00:00 GMT")], Some(2_682_000))]
#[case::a_date_that_has_come(&[("retry-after", "Sun, 22 Nov 2020 02:00:00 GMT")], Some(0))]
#[case::negative(&[("retry-after", "-1")], None)]
#[case::no_number_at_all(&[("retry-after", "NaN")], None)]
#[case::endless(&[("retry-after", "inf")], None)]
#[case::too_large(&[("retry-after", "1e300")], None)]
#[case::years(&[("retry-after", "999999999")], Some(366 * 86_400_000))]
#[case::no_text(&[("retry-after", "\u{e9}")], None)]
fn when_to_ask_again_is_a_number_of_seconds_or_milliseconds_or_a_date(
    #[case] sent: &[(&'static str, &str)],
    #[case] millis: Option<u64>,
) {
    for status in [429, 500, 529] {
        let after = of(status, sent, "").unwrap().until.map(|at| NOW.until(at).as_millis());
        assert_eq!(after, millis.map(u128::from), "{status}");
    }
}

#[test]
fn a_budget_that_is_spent_is_spent_until_its_date() {
    let (december, now) = (format!("{SENTENCE} 2026-12-01 at 00:00 UTC."), "2026-12-01");
    assert_eq!(of(400, &[], &error(&december, None)), until(now));
    assert_eq!(of(429, &[("retry-after", "3")], &error(&december, None)), until(now));
    let soon = format!("{SENTENCE} 2026-11-25 at 00:00 UTC");
    assert_eq!(of(400, &[], &error(&soon, None)), until("2026-11-25"));
    let code = Some("enforced_spend_limit_reached");
    assert_eq!(
        of(429, &[], &error("Another sentence. You will regain access on 2026-11-25.", code)),
        until("2026-11-25")
    );
}

#[rstest]
#[case::none("The limit is reached.")]
#[case::in_the_far_future("You will regain access on 9999-12-31 at 00:00 UTC.")]
#[case::no_such_day("You will regain access on 2026-11-31 at 00:00 UTC.")]
#[case::too_short("You will regain access on 2026")]
#[case::within_a_character("You will regain access on 2026-12-0\u{20ac}1")]
#[case::no_message("")]
fn without_a_date_that_makes_sense_it_is_spent_until_the_months_end(#[case] message: &str) {
    let code = Some("enforced_spend_limit_reached");
    assert_eq!(of(429, &[], &error(message, code)), until("2026-12-01"));
    assert_eq!(of(400, &[], &error(message, code)), until("2026-12-01"));
}

#[rstest]
#[case::just_now("You will regain access on 2026-12-01 at 00:00 UTC.", "2026-12-01", 1)]
#[case::at_this_moment("You will regain access on 2026-12-01 at 00:00 UTC.", "2026-12-01", 0)]
#[case::today("You will regain access on 2026-12-09 at 00:00 UTC.", "2026-12-09", 80_000)]
#[case::long_ago("You will regain access on 2020-01-01 at 00:00 UTC.", "2026-12-20", 0)]
#[case::no_date_as_the_month_begins("The limit is reached.", "2026-12-01", 1)]
#[case::no_date_a_little_later("The limit is reached.", "2026-12-01", 21_599)]
fn a_budget_that_should_not_be_spent_any_more_is_asked_for_again_soon(
    #[case] message: &str,
    #[case] day: &str,
    #[case] secs: u64,
) {
    let now = Timestamp::of_date(day).unwrap().plus(Duration::from_secs(secs));
    let body = error(message, Some("enforced_spend_limit_reached"));
    let verdict = of_failure(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body.as_bytes(), now);
    assert_eq!(verdict, Some(Verdict { fault: Fault::Spent, until: Some(now.plus(Duration::from_secs(600))) }));
}

#[test]
fn after_a_months_first_hours_a_budget_without_a_date_is_spent_until_its_end() {
    let now = Timestamp::of_date("2026-12-01").unwrap().plus(Duration::from_secs(6 * 3600));
    let body = error("The limit is reached.", Some("enforced_spend_limit_reached"));
    let verdict = of_failure(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body.as_bytes(), now);
    assert_eq!(verdict.unwrap().until, Timestamp::of_date("2027-01-01"));
}

#[rstest]
#[case::a_field(format!("{SENTENCE} 2026-12-01 at 00:00 UTC: Extra inputs are not permitted"))]
#[case::a_value(format!("messages.0.role: Input should be 'user', not '{SENTENCE} 2026-12-01 at 00:00 UTC'"))]
#[case::the_end(format!("tool_choice.name: {SENTENCE} 2026-12-01 at 00:00 UTC."))]
#[case::no_date(format!("{SENTENCE} next year at 00:00 UTC."))]
fn what_a_caller_wrote_and_a_400_repeats_spends_nothing(#[case] message: String) {
    assert_eq!(of(400, &[], &error(&message, None)), None);
}

const NO_CREDIT: &str = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or \
                         purchase credits.";

#[rstest]
#[case::today(NO_CREDIT)]
#[case::short("Your credit balance is too low to access the Anthropic API.")]
#[case::another_advice("Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.")]
#[case::another_name(
    "Your credit balance is too low to access the Claude API. Please go to Plans & Billing to add credits."
)]
fn credit_that_is_used_up_is_the_platforms_matter_and_asked_for_again_soon(#[case] message: &str) {
    let unpaid = Some(Verdict { fault: Fault::Unpaid, until: Some(NOW.plus(Duration::from_secs(600))) });
    for status in [400, 402, 403, 429] {
        assert_eq!(of(status, &[], &error(message, None)), unpaid, "{status}");
        assert_eq!(of(status, &[("retry-after", "3")], &error(message, None)), unpaid, "{status}");
    }
}

#[rstest]
#[case::a_field(format!("{NO_CREDIT}: Extra inputs are not permitted"))]
#[case::a_short_field("Your credit balance is too low to access the Anthropic API.: Extra inputs are not permitted".to_owned())]
#[case::a_value(format!("messages.0.role: Input should be 'user', not '{NO_CREDIT}'"))]
#[case::the_end(format!("tool_choice.name: {NO_CREDIT}"))]
#[case::more_behind_it(format!("{NO_CREDIT} x API."))]
#[case::another_product(NO_CREDIT.replace("Anthropic", "x"))]
#[case::another_sentence("Your credit balance is too low to access the Anthropic API. Use 'x' instead.".to_owned())]
#[case::a_long_sentence(NO_CREDIT.replace("purchase", &"x".repeat(100)))]
#[case::a_part("Your credit balance is too low".to_owned())]
fn words_of_a_caller_that_a_400_repeats_use_up_no_credit(#[case] message: String) {
    assert_eq!(of(400, &[], &error(&message, None)), None);
    // A 402 about one call does not pause the provider either.
    assert_eq!(of(402, &[], &error(&message, None)), Some(Fault::Refused.into()));
}

#[rstest]
#[case::space_behind(&format!("{NO_CREDIT} \n"), 400, Fault::Unpaid)]
#[case::server_error(NO_CREDIT, 500, Fault::Unpaid)]
fn credit_is_known_by_its_sentence_under_any_status(#[case] message: &str, #[case] status: u16, #[case] fault: Fault) {
    assert_eq!(of(status, &[], &error(message, None)).map(|verdict| verdict.fault), Some(fault));
}

#[test]
fn the_platforms_account_is_known_by_the_kind_of_an_error_under_any_status() {
    let disabled = error("This organization has been disabled.", None);
    assert_eq!(of(400, &[], &disabled), Some(Fault::Refused.into()));
    let repeated = error("messages.0: 'This organization has been disabled.' is no role", None);
    assert_eq!(of(400, &[], &repeated), None);
    for kind in ["authentication_error", "billing_error", "permission_error"] {
        let body = error("m", None).replace(r#""type":"t""#, &format!(r#""type":"{kind}""#));
        for status in [400, 404, 429, 500] {
            assert_eq!(of(status, &[], &body), Some(Fault::Refused.into()), "{kind} {status}");
        }
    }
}

#[test]
fn breakers_count_the_providers_faults_and_nothing_else() {
    let count = |fault: Fault| fault.seen().map(|seen| (seen.counts.bad, seen.counts.throttled, seen.counts.good));
    let own =
        [Fault::Unreachable, Fault::Lost, Fault::Error, Fault::Overloaded, Fault::Timeout, Fault::Slow, Fault::Cut];
    for fault in own {
        assert_eq!(count(fault), Some((1, 0, 0)), "{fault:?}");
    }
    assert_eq!(count(Fault::Throttled), Some((0, 1, 0)));
    assert_eq!(count(Fault::Spent), Some((0, 0, 0)));
    assert_eq!(count(Fault::Unpaid), Some((0, 0, 0)));
    assert_eq!(count(Fault::Refused), None);
    assert_eq!(count(Fault::TurnedAway), None);
}

#[test]
fn only_what_may_pass_within_a_moment_is_tried_again() {
    for fault in [Fault::Unreachable, Fault::Lost, Fault::Error, Fault::Overloaded, Fault::Cut] {
        assert!(fault.is_passing(), "{fault:?}");
    }
    let lasting = [Fault::Timeout, Fault::Slow, Fault::Throttled, Fault::Spent, Fault::Unpaid, Fault::Refused];
    for fault in lasting.into_iter().chain([Fault::TurnedAway]) {
        assert!(!fault.is_passing(), "{fault:?}");
    }
}

#[test]
fn a_date_is_one_of_a_budget_where_that_is_spent_and_one_of_a_pause_elsewhere() {
    let at = Some(NOW.plus(Duration::from_secs(9)));
    for fault in [Fault::Spent, Fault::Unpaid] {
        let spent = Verdict { fault, until: at }.seen().unwrap();
        assert_eq!((spent.spent_until, spent.retry_after), (at, None));
    }
    for fault in [Fault::Throttled, Fault::Overloaded, Fault::Error] {
        let seen = Verdict { fault, until: at }.seen().unwrap();
        assert_eq!((seen.spent_until, seen.retry_after), (None, at));
    }
}

#[test]
fn an_error_event_says_whose_fault_it_is() {
    let of = |kind: &str, message: &str, code: Option<&str>| {
        let error = json!({ "type": kind, "message": message, "details": { "error_code": code } });
        let event = json!({ "type": "error", "error": error });
        let mut reader = StreamReader::default();
        reader.feed(format!("event: error\ndata: {event}\n\n").as_bytes());
        of_stream_error(reader.progress().error.unwrap(), &reader, NOW)
    };
    for (kind, expected) in [
        ("overloaded_error", Some(Fault::Overloaded)),
        ("rate_limit_error", Some(Fault::Throttled)),
        ("permission_error", Some(Fault::Refused)),
        ("api_error", Some(Fault::Error)),
        ("invalid_request_error", None),
    ] {
        assert_eq!(of(kind, "m", None), expected.map(Verdict::from), "{kind}");
    }
    let until = |fault, at| Some(Verdict { fault, until: Some(at) });
    let soon = NOW.plus(ASK_AGAIN);
    assert_eq!(of("invalid_request_error", NO_CREDIT, None), until(Fault::Unpaid, soon));
    assert_eq!(of("billing_error", NO_CREDIT, None), until(Fault::Unpaid, soon));
    let (spent, month_ends) = (format!("{SENTENCE} 2026-12-01 at 00:00 UTC."), Month::from_timestamp(NOW).0.ends_at());
    let told = Timestamp::of_date("2026-12-01").unwrap();
    assert_eq!(of("invalid_request_error", &spent, None), until(Fault::Spent, told));
    let code = Some("enforced_spend_limit_reached");
    assert_eq!(of("rate_limit_error", "The limit is reached.", code), until(Fault::Spent, month_ends));
    assert_eq!(of("api_error", "The limit is reached.", code), until(Fault::Spent, month_ends));
}
