use rstest::rstest;

use super::*;

fn one(body: &str) -> Entry {
    let (mut entries, beyond) = parse(body.as_bytes()).unwrap();
    assert_eq!((entries.len(), beyond), (1, 0), "{body}");
    entries.remove(0)
}

fn csp(body: &str) -> RawReport {
    match one(body) {
        Entry::Csp(report) => report,
        other => panic!("{body} is {other:?}"),
    }
}

const EXPECTED_DOCUMENT: &str = "https://shop.example/cart";

#[rstest]
#[case::blink_report_uri(
    r#"{"csp-report":{"document-uri":"https://shop.example/cart","referrer":"","violated-directive":"script-src-elem","effective-directive":"script-src-elem","original-policy":"default-src 'self'; report-uri /r","disposition":"enforce","blocked-uri":"https://evil.example/x.js","line-number":7,"source-file":"https://shop.example/cart","status-code":200,"script-sample":""}}"#
)]
#[case::gecko_report_uri(
    r#"{"csp-report":{"blocked-uri":"https://evil.example/x.js","column-number":1,"disposition":"enforce","document-uri":"https://shop.example/cart","effective-directive":"script-src-elem","original-policy":"default-src 'self'","referrer":"","status-code":200,"violated-directive":"script-src-elem"}}"#
)]
#[case::reporting_api(
    r#"[{"age":2500,"type":"csp-violation","url":"https://shop.example/cart","user_agent":"UA","body":{"documentURL":"https://shop.example/cart","referrer":null,"blockedURL":"https://evil.example/x.js","effectiveDirective":"script-src-elem","originalPolicy":"default-src 'self'","sourceFile":null,"sample":"","disposition":"enforce","statusCode":200,"lineNumber":null,"columnNumber":null}}]"#
)]
#[case::old_webkit_report_to(
    r#"{"type":"csp-violation","url":"https://shop.example/cart","body":{"documentURL":"https://shop.example/cart","disposition":"enforce","referrer":"","effectiveDirective":"script-src-elem","blockedURL":"https://evil.example/x.js","originalPolicy":"default-src 'self'","statusCode":200}}"#
)]
#[case::webkit_mixture(
    r#"{"type":"csp-violation","url":"https://shop.example/cart","csp-report":{"document-uri":"https://shop.example/cart","referrer":"","violated-directive":"script-src-elem","effective-directive":"script-src-elem","original-policy":"default-src 'self'","blocked-uri":"https://evil.example/x.js","status-code":200}}"#
)]
#[case::csp_level_2(
    r#"{"csp-report":{"document-uri":"https://shop.example/cart","violated-directive":"script-src-elem https://cdn.example","blocked-uri":"https://evil.example/x.js","status-code":"200"}}"#
)]
#[case::array_of_one_with_report_uri_names(
    r#"[{"csp-report":{"document-uri":"https://shop.example/cart","effective-directive":"script-src-elem","blocked-uri":"https://evil.example/x.js"}}]"#
)]
fn every_shape_in_use_says_the_same(#[case] body: &str) {
    let report = csp(body);
    assert_eq!(report.document, EXPECTED_DOCUMENT);
    assert_eq!(report.blocked, "https://evil.example/x.js");
    assert!(report.directive.starts_with("script-src-elem"));
    assert_ne!(report.is_report_only, Some(true));
}

#[test]
fn an_age_is_in_milliseconds_and_at_most_a_day() {
    let age = |text: &str| {
        let body = format!(
            r#"[{{"type":"csp-violation","age":{text},"body":{{"documentURL":"d","effectiveDirective":"img-src"}}}}]"#
        );
        csp(&body).age
    };
    assert_eq!(age("2500"), Duration::from_millis(2500));
    assert_eq!(age("\"2500\""), Duration::from_millis(2500));
    assert_eq!(age("-1"), Duration::ZERO);
    assert_eq!(age("null"), Duration::ZERO);
    assert_eq!(age("1e400"), Duration::from_secs(86_400));
    assert_eq!(age("99999999999999999999999999"), Duration::from_secs(86_400));
}

#[test]
fn a_disposition_is_read_in_each_spelling() {
    let disposition = |text: &str| {
        csp(&format!(r#"{{"csp-report":{{"document-uri":"d","effective-directive":"img-src","disposition":{text}}}}}"#))
            .is_report_only
    };
    assert_eq!(disposition("\"enforce\""), Some(false));
    assert_eq!(disposition("\"report\""), Some(true));
    assert_eq!(disposition("\"reporting\""), Some(true));
    assert_eq!(disposition("7"), None);
}

#[test]
fn one_bad_entry_spoils_no_other() {
    let good = r#"{"type":"csp-violation","body":{"documentURL":"https://a.example/","effectiveDirective":"img-src","blockedURL":"inline"}}"#;
    let deep = format!(r#"{{"type":"csp-violation","body":{}1{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let body = format!(
        r#"[{good},7,null,"text",[],{{}},{{"type":"deprecation","body":{{"id":"x"}}}},{{"type":"csp-violation"}},{{"type":"csp-violation","body":7}},{{"type":"csp-violation","body":{{"documentURL":7,"effectiveDirective":"img-src"}}}},{{"type":"invented","body":{{}}}},{deep},{good}]"#
    );
    let (entries, beyond) = parse(body.as_bytes()).unwrap();
    assert_eq!((entries.len(), beyond), (13, 0));
    let good: Vec<_> =
        entries.iter().enumerate().filter(|(_, it)| matches!(it, Entry::Csp(_))).map(|(n, _)| n).collect();
    assert_eq!(good, [0, 12]);
    assert_eq!(entries[6], Entry::Other(OtherType("deprecation")));
    assert_eq!(entries[10], Entry::Other(OtherType("unknown")));
    assert_eq!(entries.iter().filter(|it| **it == Entry::Invalid).count(), 9);
}

#[test]
fn text_that_is_not_utf8_spoils_only_itself() {
    let mut body =
        br#"{"csp-report":{"document-uri":"https://a.example/","effective-directive":"img-src","script-sample":""#
            .to_vec();
    body.extend([0xff, 0xfe]);
    body.extend(br#"x"}}"#);
    let (entries, _) = parse(&body).unwrap();
    let Entry::Csp(report) = &entries[0] else { panic!("{entries:?}") };
    assert_eq!(report.sample.as_deref(), Some("\u{fffd}\u{fffd}x"));
}

#[test]
fn bodies_beyond_the_bounds_are_named() {
    assert_eq!(parse(&vec![b' '; MAX_BODY_BYTES + 1]), Err(BodyError::TooLarge));
    for body in ["", " ", "null", "7", "\"x\"", "{", "[", "[{}", "{}x", "<html>", "\u{feff}"] {
        assert_eq!(parse(body.as_bytes()), Err(BodyError::NotJson), "{body:?}");
    }
    let many = format!("[{}]", vec!["{}"; MAX_REPORTS + 5].join(","));
    let (entries, beyond) = parse(many.as_bytes()).unwrap();
    assert_eq!((entries.len(), beyond), (MAX_REPORTS, 5));
    assert_eq!(parse("\u{feff}[]".as_bytes()), Ok((vec![], 0)));
}

#[test]
fn long_text_is_cut_between_characters() {
    let long = "ä".repeat(4000);
    let report = csp(&format!(r#"{{"csp-report":{{"document-uri":"x{long}","effective-directive":"img-src"}}}}"#));
    assert_eq!(report.document.len(), MAX_FIELD_BYTES - 1);
}

#[test]
fn a_name_that_stands_twice_keeps_its_first_value() {
    let body = r#"{"csp-report":{"document-uri":"first","document-uri":"second","documentURL":"third","effective-directive":"img-src"}}"#;
    assert_eq!(csp(body).document, "first");
}

#[test]
fn escapes_and_lone_surrogates_are_read_or_left_out() {
    let body = r#"{"csp-report":{"document-uri":"a\u002fb","effective-directive":"img-src","script-sample":"\ud800"}}"#;
    let report = csp(body);
    assert_eq!(report.document, "a/b");
    assert_eq!(report.sample, None);
}

#[test]
fn the_depth_ignores_braces_in_strings() {
    assert_eq!(depth(r#"{"a":"[[[[{{\"{{","b":[1]}"#), 2);
    assert_eq!(depth("]]]]{"), 1);
}

proptest::proptest! {
    /// Any bytes are read without a panic, and never make more entries than the bound.
    #[test]
    fn any_body_is_read(body in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        if let Ok((entries, _)) = parse(&body) {
            proptest::prop_assert!(entries.len() <= MAX_REPORTS);
        }
    }
}
